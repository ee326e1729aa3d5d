"""What was asked for in each run: a small file, written before anything is submitted.

The ledger has every job. A note adds what no job says: the form as it was typed, and the vendors
that were asked and have no job.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import asdict, evolve, field, frozen

RUN_ID: Final = re.compile(r"[0-9a-f]{12}")
LABEL: Final = "studio"
"""The label of a run's jobs; its value is the id of the run."""


def new_run_id() -> str:
    """An id for a run. A page has it before the run begins: a second click is the same run."""
    return secrets.token_hex(6)


def reference_of(run: str, vendor: str) -> str:
    """The reference of a run's job at a vendor: a ledger submits each reference once."""
    return f"{LABEL}-{run}-{vendor}"


@frozen
class RunNote:
    """What was asked for in a run."""

    id: str
    query: str
    """The query of the form's page."""
    vendors: tuple[str, ...]
    live: bool = False
    fault: str = ""
    """The fault that was injected before, if any."""
    problems: Mapping[str, str] = field(factory=dict)
    """Why vendors have no job: what went wrong before anything was written into the ledger."""

    def is_same(self, other: RunNote) -> bool:
        """Whether both ask for the same."""
        return evolve(self, problems={}) == evolve(other, problems={})


@frozen
class RunNotes:
    """The notes in a folder."""

    folder: Path

    def begin(self, note: RunNote) -> RunNote:
        """Write a note down; of two with one id the first stays, and is the result."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with self._path(note.id).open("x", encoding="utf-8") as file:
                file.write(json.dumps(asdict(note)))
        except FileExistsError:
            return self.find(note.id) or note
        return note

    def set_problem(self, note: RunNote, vendor: str, text: str | None) -> None:
        """Write down why a vendor has no job; None takes that back."""
        found = self.find(note.id) or note
        rest = {name: why for name, why in found.problems.items() if name != vendor}
        written = evolve(found, problems=rest if text is None else {**rest, vendor: text})
        path = self._path(note.id)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(written)), encoding="utf-8")
        part.replace(path)

    def find(self, run: str) -> RunNote | None:
        """The note of a run; None where there is none, or it cannot be read."""
        if not RUN_ID.fullmatch(run):
            return None
        try:
            found = json.loads(self._path(run).read_text(encoding="utf-8"))
            return RunNote(**{**found, "vendors": tuple(found["vendors"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _path(self, run: str) -> Path:
        return self.folder / f"{run}.json"
