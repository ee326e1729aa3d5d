"""Snippets of the studio as people run them: by a shell whose programs write down their calls."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from hypothesis import strategies as st
from polyreel import plan
from polyreel.places import JsonObject
from polyreel.plans.planning import Plan
from polyreel.plans.requests import check_request
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.studio.snippets import Snippet, snippets

from .requests import EXAMPLES

HOSTILE: Final = (
    "it's \"quoted\" 'twice' \\ and \\\\ escaped\\",
    "first line\nsecond line\n\n'fourth'\n",
    "$(touch pwned) `touch pwned` ${HOME} $HOME $1 !! !x {a,b} *",
    "雨の街を歩く猫 — «кот» 🐈‍⬛ \u202etxt.exe\u202c \ufeff\u00a0",
    "</script><script>alert(1)</script> &amp; <b>",
    "-rf --live --yes",
    "--",
    "-",
    '=HYPERLINK("http://example.com","x")',
    "@SUM(1+1)|cmd",
    "+1",
    "100 % of %s %(name)s %n %%",
    "a, b; c\td|e\\nf\\u0041",
    '""" \'\'\' """',
    "# no comment\nEND\nJSON\n",
    "  blanks around  ",
    "tab\tbell\x07escape\x1b[31m return\r next\x85line\u2028end",
    "FILE1Z FILE LINK_1 key-of-the-vendor",
    "~/x ../y C:\\z",
    "{{7*7}} {% x %} <%= y %>",
)
"""Prompts that a shell, a table, a page or a program could take for something else."""

prompts: Final = st.one_of(
    st.sampled_from(HOSTILE),
    st.lists(st.sampled_from([*HOSTILE, *"'\"\\$`!%=@#-\n\r\t |,;&<>~ a"]), min_size=1).map(
        "".join
    ),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
).filter(lambda text: bool(text.strip()))


@cache
def served() -> list[tuple[JsonObject, str]]:
    """Each example with a vendor that serves it, in turns."""
    vendors = [*all_providers()]
    turns = (
        (request, [*vendors[number % len(vendors) :], *vendors[: number % len(vendors)]])
        for number, request in enumerate(EXAMPLES.values())
    )
    found = (
        (
            request,
            next((one for one in order if not plan(request, get_provider(one)).refused), None),
        )
        for request, order in turns
    )
    return [(request, vendor) for request, vendor in found if vendor is not None]


FAKES: Final = """
record() {
  printf '%s\\0' "$@" CALLED >> calls
  case " $* " in *" @- "*) cat > stdin ;; esac
}
curl() { record curl "$@"; }
polyreel() { record polyreel "$@"; }
"""


@frozen
class ShellCall:
    """One program that a shell was told to run."""

    words: tuple[str, ...]
    stdin: bytes
    folder: Path

    def option(self, name: str) -> list[str]:
        """The values of an option."""
        return [
            value for one, value in zip(self.words, self.words[1:], strict=False) if one == name
        ]

    @property
    def body(self) -> bytes:
        """What curl would send."""
        given = self.option("--data-raw")
        return given[0].encode("utf-8", "surrogateescape") if given else self.stdin

    @property
    def headers(self) -> dict[str, str]:
        """The headers that are given to curl."""
        return dict(one.split(": ", 1) for one in self.option("--header"))


def run_by_shell(texts: Sequence[str], folder: Path) -> list[ShellCall]:
    """Run each text by one shell, in a folder of its own; what it was told to run last."""
    script = [FAKES]
    for number, text in enumerate(texts):
        (folder / str(number)).mkdir(parents=True)
        script += [f"cd {folder / str(number)}", text]
    keys = {one.key_variable: f"key-of-{one.id}" for one in all_providers().values()}
    done = subprocess.run(
        ["sh", "-eu"],
        input="\n".join(script),
        env={"PATH": os.environ["PATH"], **keys},
        cwd=folder,
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not [*folder.rglob("pwned")]
    return [_call(folder / str(number)) for number in range(len(texts))]


def _call(folder: Path) -> ShellCall:
    calls = (folder / "calls").read_bytes().decode("utf-8", "surrogateescape").split("\0CALLED\0")
    stdin = folder / "stdin"
    return ShellCall(
        tuple(calls[-2].split("\0")), stdin.read_bytes() if stdin.exists() else b"", folder
    )


def by_kind(request: JsonObject, vendor: str, **options: Any) -> dict[str, Snippet]:
    """The snippets of a request that the vendor serves."""
    made = snippets(request, get_provider(vendor), **options)
    assert len({one.kind for one in made}) == len(made) == 7
    return {one.kind: one for one in made}


def check_paid_call(call: ShellCall, made: Plan) -> None:
    """The call of the vendor's is the plan's: method, URL, headers, the very bytes."""
    assert call.words[:4] == ("curl", "--request", made.method, made.url)
    assert call.body == made.content
    sent = made.step().headers.items()
    assert sent <= call.headers.items()
    own = {name: value for name, value in call.headers.items() if (name, value) not in sent}
    assert f"key-of-{made.vendor}" in "".join(own.values())


def check_gateway_call(call: ShellCall, request: JsonObject, vendor: str) -> None:
    """The gateway is asked for the same request."""
    assert call.words[:3] == ("curl", "--request", "POST")
    body = json.loads(call.body)
    assert check_request(body["request"]) == check_request(request)
    assert body["vendors"] == [vendor]
