"""What could not be written into the ledger's file when it happened, kept in files beside it.

Whoever uses the ledger next writes it there first. Each outcome is a small file of its own, which
is whole or not there: processes need no lock to share the folder.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from attrs import frozen

from .events import Released, Settle

LOG: Final = logging.getLogger("polyreel")
END: Final = ".json"


@frozen
class Unwritten:
    """An outcome, or the end of an owner, that is not in the ledger's file yet."""

    path: Path
    event: Settle | Released
    now: float
    """When it happened, in seconds since 1970."""

    def is_there(self) -> bool:
        """Whether nobody has written it into the ledger meanwhile. It is asked while writing."""
        return self.path.exists()

    def remove(self) -> None:
        """Forget it: it is in the ledger."""
        self.path.unlink(missing_ok=True)

    def set_aside(self, why: str) -> None:
        """Keep it for its user, where the ledger does not take it."""
        _set_aside(self.path, why)


class UnwrittenOutcomes:
    """The folder of what is not in the ledger's file yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, event: Settle | Released, now: float) -> None:
        """Keep an event durably; OSError is raised where that is not possible."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kind: Literal["outcome", "release"] = "release"
        facts: dict[str, str | int | None]
        if isinstance(event, Settle):
            kind = "outcome"  # outcomes are written before the ends of their owners: o < r
            job = None if event.job is None else event.job.model_dump_json(exclude_none=True)
            facts = {
                "entry": event.entry,
                "state": event.state,
                "reason": event.reason,
                "job": job,
                "request_id": event.request_id,
                "attempt": event.attempt,
            }
        else:
            facts = {"owner": event.owner, "sent": event.sent}
        path = self.folder / f"{kind}-{time.time_ns()}-{secrets.token_hex(4)}{END}"
        new = path.with_suffix(".new")
        file = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(file, "wb") as stream:
            stream.write(json.dumps({"kind": kind, "now": now, **facts}).encode())
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(path)

    @property
    def is_empty(self) -> bool:
        """Whether all is in the ledger."""
        try:
            return not any(name.endswith(END) for name in os.listdir(self.folder))
        except (FileNotFoundError, NotADirectoryError):
            return True

    def read(self) -> Iterator[Unwritten]:
        """What is kept, in the order in which it has to be written."""
        try:
            names = sorted(name for name in os.listdir(self.folder) if name.endswith(END))
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in names:
            path = self.folder / name
            try:
                yield _read(path)
            except FileNotFoundError:  # somebody else was faster
                continue
            except (ValueError, LookupError, TypeError) as error:
                _set_aside(path, f"it cannot be read ({type(error).__name__})")


def _read(path: Path) -> Unwritten:
    from polyreel_generated.shared import Job  # noqa: PLC0415

    facts = json.loads(path.read_bytes())
    now = float(facts["now"])
    if facts["kind"] == "release":
        return Unwritten(path, Released(facts["owner"], bool(facts["sent"])), now)
    job = Job.model_validate_json(facts["job"]) if facts["job"] else None
    outcome = (facts["entry"], facts["state"], facts["reason"], job, facts["request_id"])
    return Unwritten(path, Settle(*outcome, facts.get("attempt")), now)


def _set_aside(path: Path, why: str) -> None:
    aside = path.with_suffix(".refused")
    LOG.warning("an outcome was not written into the ledger, because %s: see %s", why, aside)
    try:
        path.replace(aside)
    except FileNotFoundError:
        return
