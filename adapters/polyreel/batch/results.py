"""What became of the rows, and the file that says it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TextIO

from attrs import Factory, define, field, frozen

from ..errors import Billed, DownloadError, PolyreelError
from ..jobs.naming import file_name
from ..ledger.records import PROVED_UNPAID, LedgerEntry, State
from ..money.amounts import Cost
from ..money.charged import charged
from ..places import JsonObject
from .rows import Row

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

RowState = State | Literal["not-started"]
FILE: Final = "results.jsonl"
MAYBE_BILLED: Final = frozenset(
    {"sending", "ambiguous", "failed", "canceled", "abandoned", "resubmitted"}
)
"""States in which a vendor may have billed the job, or not, or given the money back."""


@frozen(eq=False)
class Result:
    """What became of one row."""

    row: Row
    state: RowState
    """As in the ledger; `not-started` where the ledger has nothing of the row."""
    vendor: str | None
    """The vendor that has the job, or would have been asked first."""
    cost: Cost
    """The estimate for that vendor, made before."""
    job: Job | None = None
    error: Exception | None = None
    ledger_id: str | None = None
    labels: Mapping[str, str] = Factory(dict)
    """The caller's own labels, as the ledger has them."""

    @property
    def billed(self) -> Billed:
        """Whether the row has cost anything."""
        if self.state in {*PROVED_UNPAID, "not-started", "queued"}:
            return "no"
        return "maybe" if self.state in MAYBE_BILLED else "yes"

    @property
    def files(self) -> list[str]:
        """The files that were saved."""
        return [output.path for output in (self.job and self.job.outputs) or () if output.path]

    @property
    def problem(self) -> str | None:
        """What went wrong, in words. The texts of foreign errors are left out: they could hold
        anything.
        """
        if self.error is None:
            return None
        own = isinstance(self.error, PolyreelError)
        return str(self.error) if own else "internal error; please report it"

    def document(self) -> JsonObject:
        """As a line of `results.jsonl`."""
        job, charge = self.job, self.job and charged(self.job)
        return {
            "row": self.row.number,
            "line": self.row.line,
            "reference": self.row.reference,
            "state": self.state,
            "vendor": self.vendor,
            "job": job and job.id,
            "files": self.files,
            **({"element": job.element} if job and job.element is not None else {}),
            "cost": self.cost.document(),
            "billed": self.billed,
            # What the vendor says that it charged: in its own words, and in numbers.
            "charged": job and job.usage,
            "charge": charge and charge.document(),
            "simulated": job and job.simulated,
            "ledger_id": self.ledger_id,
            "labels": dict(self.labels),
            "error": self.error and {"type": type(self.error).__name__, "message": self.problem},
        }


def known(row: Row, entry: LedgerEntry, cost: Cost, error: Exception | None = None) -> Result:
    """The result of a row that has an entry in the ledger."""
    labels = entry.submission.labels
    return Result(row, entry.state, entry.vendor, cost, entry.job, error, entry.id, labels)


def tally(results: Iterable[Result]) -> Mapping[str, int]:
    """How many rows are in each state."""
    return Counter(result.state for result in results)


@define(slots=False)
class ResultsFile:
    """`results.jsonl` in a folder: lines are added as rows finish, and sorted at the end.

    Where the rows come from a table, the end writes `results.csv` too.

    It may lose its last lines when the machine dies. The ledger does not, and every run makes the
    file from it. The file of another batch is moved aside first, to `results-<batch>.jsonl`.
    """

    folder: Path
    _rows: Sequence[Row] = ()
    _file: TextIO | None = field(default=None, init=False)

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self.folder / FILE

    def begin(self, before: Iterable[Result]) -> None:
        """Start with the rows that were over before; DownloadError where it cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._replace(before)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise DownloadError(
                f"{self.path}: {error.strerror or error}; nothing was sent"
            ) from None

    def add(self, result: Result) -> None:
        """Add a row that is over. An error of writing is ignored: `finish` makes the file anew."""
        try:
            if self._file is not None:
                self._file.write(_line(result))
                self._file.flush()
        except OSError:
            self._file = None

    def finish(self, results: Iterable[Result], table: bytes | None = None) -> None:
        """Replace the file by the lines of all rows in their order; DownloadError on failure.

        `table` are the results as a table, which are written beside it.
        """
        if self._file is not None:
            self._file.close()
            self._file = None
        try:
            self._replace(results)
            if table is not None:
                self._write(self.table_path, table)
            for before in {self._aside(reference) for reference in self._own}:
                before.unlink(missing_ok=True)
                before.with_suffix(".csv").unlink(missing_ok=True)
        except OSError as error:
            reason = f"{self.path}: {error.strerror or error}"
            advice = "the ledger has everything, so run the batch again"
            raise DownloadError(f"{reason}; {advice}") from None

    @property
    def table_path(self) -> Path:
        """The path of the results as a table, where the rows come from one."""
        return self.path.with_suffix(".csv")

    def _replace(self, results: Iterable[Result]) -> None:
        self._move_aside()
        ordered = sorted(results, key=lambda result: result.row.number)
        self._write(self.path, "".join(map(_line, ordered)).encode())

    def _write(self, path: Path, content: bytes) -> None:
        # Two batches may be at work in the folder, or two runs of one.
        part = path.with_name(f"{file_name(path.name, self._batch)}.{os.getpid()}.part")
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    @property
    def _batch(self) -> str:
        return next((row.batch for row in self._rows if row.batch is not None), "")

    def _move_aside(self) -> None:
        """Keep the results of another batch, which may be at work: it goes on writing to them."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (FileNotFoundError, UnicodeDecodeError):
            lines = []
        for line in lines:
            other = _reference(line)
            if other is None or other in self._own or other.startswith(f"{self._batch}/"):
                continue
            aside = self._aside(other)
            self.path.replace(aside)
            with suppress(FileNotFoundError):
                self.table_path.replace(aside.with_suffix(".csv"))
            return

    def _aside(self, reference: str) -> Path:
        """Where the results of the batch of a row are kept."""
        name = file_name("results", reference.rpartition("/")[0] or reference)
        return self.path.with_name(f"{name}.jsonl")

    @cached_property
    def _own(self) -> frozenset[str]:
        return frozenset(row.reference for row in self._rows)


def _reference(line: str) -> str | None:
    """The reference of a row in a line; None for a line that is cut, or says something else."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    found = value.get("reference") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def _line(result: Result) -> str:
    return json.dumps(result.document(), allow_nan=False) + "\n"
