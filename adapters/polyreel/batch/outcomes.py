"""What became of the rows of one run, by the ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import define, field

from ..errors import ClaimedError, PolyreelError, RequestError
from ..jobs.finishing import failed
from ..jobs.locations import is_there
from ..ledger.events import Find
from ..ledger.records import LedgerEntry
from ..ledger.store import LedgerStore
from .display import LiveDisplay
from .results import Result, ResultsFile, RowState, known
from .resulttable import as_table
from .tasks import RowTask

if TYPE_CHECKING:
    from polyreel_generated.shared import Job


@define(eq=False)
class Outcomes:
    """Collects the results of one run, in memory and in `results.jsonl`."""

    ledger: LedgerStore
    simulated: bool
    file: ResultsFile
    listener: Callable[[Result], None] | None = None
    has_workers: bool = False
    """Whether workers save the files, maybe on other machines: then the ledger tells what is saved.
    """
    display: LiveDisplay | None = None
    """What shows in a notebook how the run goes on."""
    _results: dict[int, Result] = field(factory=dict, init=False)

    @property
    def results(self) -> Sequence[Result]:
        """What is known by now."""
        return [*self._results.values()]

    def begin(self, tasks: Sequence[RowTask]) -> list[RowTask]:
        """Note the rows that were over before, and return the others."""
        self._results = {
            task.row.number: result
            for task in tasks
            if (result := result_before(task, elsewhere=self.has_workers))
        }
        self.file.begin(self._results.values())
        return [task for task in tasks if task.row.number not in self._results]

    def add(self, result: Result) -> None:
        """Note a row that is over."""
        self._results[result.row.number] = result
        self.file.add(result)
        if self.listener is not None:
            self.listener(result)
        if self.display is not None:
            self.display.update()

    def finish(self, tasks: Sequence[RowTask]) -> tuple[Result, ...]:
        """The results of all rows in their order, which are also written to the file."""
        results = tuple(self._results.get(task.row.number) or self.of(task) for task in tasks)
        self._results = {one.row.number: one for one in results}
        if self.display is not None:
            self.display.update(at_once=True)
        self.file.finish(results, as_table(results))
        return results

    def of(self, task: RowTask, job: Job | None = None, error: Exception | None = None) -> Result:
        """The result of a row by its entry in the ledger, or without one by its job and error."""
        ledger_id = getattr(error, "ledger_id", None) if job is None else job.ledger_id
        entry = None
        with suppress(PolyreelError):
            entry = self._entry(task.row.reference, ledger_id)
        is_refused = isinstance(error, RequestError | ClaimedError)
        if entry is not None and is_refused and task.difference(entry) is not None:
            # Another batch has used the reference meanwhile: nothing was sent for the row.
            entry = ledger_id = None
        if entry is not None:
            return known(task.row, entry, task.cost(entry.vendor), error)
        state: RowState = "not-started"
        if job is not None:
            state = "saved"
        elif getattr(error, "billed", "no") != "no":
            state = "ambiguous"
        return Result(task.row, state, task.vendor, task.cost(task.vendor), job, error, ledger_id)

    def _entry(self, reference: str, ledger_id: str | None) -> LedgerEntry | None:
        if ledger_id:
            return self.ledger.entry(ledger_id)
        found: LedgerEntry | None = self.ledger.write(Find(reference, self.simulated), "", 0.0)
        return found


def result_before(task: RowTask, *, elsewhere: bool = False) -> Result | None:
    """The result of a row that needs nothing more; None for all others.

    Files that were saved `elsewhere` are not looked for.
    """
    entry = task.entry
    if entry is None or entry.job is None or entry.state not in {"saved", "failed", "canceled"}:
        return None
    cost = task.cost(entry.vendor)
    if entry.state != "saved":
        return known(task.row, entry, cost, failed(entry.job))
    paths = (output.path or "" for output in entry.job.outputs or ())
    is_saved = elsewhere or all(map(is_there, paths))
    return known(task.row, entry, cost) if is_saved else None
