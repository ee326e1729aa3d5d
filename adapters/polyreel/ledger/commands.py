"""The `polyreel` commands that messages tell a user to type, with what names the same ledger."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Final
from urllib.parse import unquote

PASSWORD: Final = "PASSWORD"  # noqa: S105
"""What stands in an address that is shown where it has a password."""
SECRET: Final = frozenset({"password", "sslpassword"})
"""The settings of an address that are secret."""


def command(
    *words: str, ledger: str | Path | None = None, live: bool = False, options: tuple[str, ...] = ()
) -> str:
    """A command line of polyreel that can be copied into a shell.

    `ledger` is the place of the ledger; None where the command finds it without an option. A
    password in it is not shown. `options` are further ones.

    >>> command("resume", "4f0c", ledger="my jobs.sqlite3", live=True)
    "polyreel resume 4f0c --live --ledger 'my jobs.sqlite3'"
    """
    place = [] if ledger is None else ["--ledger", shown_place(str(ledger))]
    every = ["polyreel", *words, *(["--live"] if live else []), *place, *options]
    return " ".join(map(_quoted, every))


def deciding(
    entry: str,
    task: str = "TASK",
    *,
    ledger: str | None,
    live: bool,
    options: tuple[str, ...] = (),
) -> tuple[tuple[str, str], ...]:
    """The commands by which a person decides what an ambiguous job is, each with what it means.

    `entry` is the id of its entry, and `task` the vendor's that it may be. See `command` for the
    others.
    """
    again = ("resubmit", entry, "--accept-double-billing")
    return (
        (
            command("adopt", entry, task, ledger=ledger, live=live, options=options),
            "it is that task",
        ),
        (command(*again, ledger=ledger, live=live, options=options), "pay for it anew"),
        (command("abandon", entry, ledger=ledger), "leave it at that"),
    )


def shown_place(place: str) -> str:
    """The place of a ledger as a user can be shown it, and can type it in this folder.

    >>> shown_place("postgresql://me:s3cret@host/jobs")
    'postgresql://me:PASSWORD@host/jobs'
    """
    if "://" not in place:
        return from_here(place)
    address, mark, query = place.partition("?")
    address = re.sub(r"(://[^:@/]*):[^@/]*@", rf"\1:{PASSWORD}@", address)
    return f"{address}{mark}{'&'.join(map(_without_secret, query.split('&')))}"


def _without_secret(setting: str) -> str:
    name, equals, _ = setting.partition("=")
    is_secret = unquote(name).strip().lower() in SECRET
    return f"{name}{equals}{PASSWORD}" if is_secret else setting


def from_here(path: str) -> str:
    """A path as it can be typed in this folder: the short one, where the file lies in it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (OSError, ValueError):
        return path


def _quoted(word: str) -> str:
    if os.name == "nt":
        from subprocess import list2cmdline  # noqa: PLC0415

        return list2cmdline([word])
    return shlex.quote(word)
