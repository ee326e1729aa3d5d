"""What became of the rows, and the file that tells it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TextIO

from attrs import define, field, frozen

from ..errors import Billed, DownloadError, PolyreelError
from ..ledger.records import PROVED_UNPAID, LedgerEntry, State
from ..money.amounts import Cost
from ..money.charged import charged
from ..places import JsonObject
from .rows import Row

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

RowState = State | Literal["not-started"]
FILE: Final = "results.jsonl"
MAYBE: Final = frozenset({"sending", "ambiguous", "failed", "canceled", "abandoned", "resubmitted"})
"""States in which a vendor may have billed the job, or not, or given the money back."""


@frozen(eq=False)
class Result:
    """What became of one row."""

    row: Row
    state: RowState
    """As in the ledger; `not-started` where it has nothing of the row."""
    vendor: str | None
    """Who has the job, or would have been asked first."""
    cost: Cost
    """The estimate of before, for that vendor."""
    job: Job | None = None
    error: Exception | None = None
    ledger_id: str | None = None

    @property
    def billed(self) -> Billed:
        """Whether the row has cost anything."""
        if self.state in PROVED_UNPAID or self.state == "not-started":
            return "no"
        return "maybe" if self.state in MAYBE else "yes"

    @property
    def files(self) -> list[str]:
        """The files that were saved."""
        return [output.path for output in (self.job and self.job.outputs) or () if output.path]

    def document(self) -> JsonObject:
        """As a line of `results.jsonl`."""
        facts = {
            "row": self.row.number,
            "line": self.row.line,
            "reference": self.row.reference,
            "state": self.state,
        }
        job = None if self.job is None else self.job.id
        money = {"cost": self.cost.document(), "billed": self.billed, **self._charge()}
        return {
            **facts,
            "vendor": self.vendor,
            "job": job,
            "files": self.files,
            **money,
            **self._trouble(),
        }

    def _charge(self) -> JsonObject:
        """What the vendor says that it charged: in its own words, and in numbers."""
        found = None if self.job is None else charged(self.job)
        usage, simulated = (self.job.usage, self.job.simulated) if self.job else (None, None)
        return {"charged": usage, "charge": found and found.document(), "simulated": simulated}

    def _trouble(self) -> JsonObject:
        error = (
            None
            if self.error is None
            else {"type": type(self.error).__name__, "message": _message(self.error)}
        )
        return {"ledger_id": self.ledger_id, "error": error}


def _message(error: Exception) -> str:
    # Errors of polyreel's own are written for users; of others the text could quote anything.
    return str(error) if isinstance(error, PolyreelError) else "internal error; please report it"


def known(row: Row, entry: LedgerEntry, cost: Cost, error: Exception | None = None) -> Result:
    """The result of a row that the ledger has an entry of."""
    return Result(row, entry.state, entry.vendor, cost, entry.job, error, entry.id)


def tally(results: Iterable[Result]) -> Mapping[str, int]:
    """How many rows are in each state."""
    return Counter(result.state for result in results)


@define
class ResultsFile:
    """`results.jsonl` in a folder: lines are added as rows finish, and it is put in order at the end.

    It may lose its last lines when the machine dies; the ledger does not, and the file is made from it on every run.
    """

    folder: Path
    _file: TextIO | None = field(default=None, init=False)

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.folder / FILE

    def begin(self, before: Iterable[Result]) -> None:
        """Start with what was over before."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._replace(before)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise DownloadError(
                f"{self.path}: {error.strerror or error}; nothing was sent"
            ) from None

    def add(self, result: Result) -> None:
        """One more row is over. That the file cannot be written stops nobody: it is made anew at the end."""
        try:
            if self._file is not None:
                self._file.write(_line(result))
                self._file.flush()
        except OSError:
            self._file = None

    def finish(self, results: Iterable[Result]) -> None:
        """All lines in the order of the rows, in the place of what was there, at once."""
        if self._file is not None:
            self._file.close()
            self._file = None
        try:
            self._replace(results)
        except OSError as error:
            text = f"{self.path}: {error.strerror or error}; the ledger has everything, so run the batch again"
            raise DownloadError(text) from None

    def _replace(self, results: Iterable[Result]) -> None:
        part = self.path.with_name(f"{FILE}.part")
        with part.open("w", encoding="utf-8") as file:
            file.writelines(
                _line(result) for result in sorted(results, key=lambda result: result.row.number)
            )
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)


def _line(result: Result) -> str:
    return json.dumps(result.document(), allow_nan=False) + "\n"
