"""A batch: everything is planned and priced before the first row is paid; then all rows are worked on, by a ledger."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import define, field

from ..client import TIMEOUT, AsyncClient
from ..drivers import ManyJobsDriver
from ..errors import BudgetError, LedgerError, PolyreelError, RequestError
from ..jobs.many import ManyJobs
from ..jobs.routing import Preference
from ..jobs.submitting import failed
from ..ledger.events import Find
from ..ledger.records import SUPERSEDED, LedgerEntry
from ..ledger.sqlite import Ledger
from .costs import Bound, Budget, Summary, total
from .results import Result, ResultsFile, known
from .rows import Row, RowProblem, refuse
from .tasks import RowTask
from .working import Work

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

CONCURRENCY: Final = 8
TOLD: Final = 5
"""How many rows of unknown price are named."""


@define(eq=False, slots=False)
class Batch:
    """Many jobs of one client, which needs a ledger. The same rows run again go on where they stopped."""

    client: AsyncClient
    rows: Sequence[Row]
    output: Path = field(default=Path("clips"), converter=Path)
    vendors: Sequence[str] = field(default=(), kw_only=True)
    """Who makes the rows that name nobody; of several, the next where the one before it is proved unpaid."""
    prefer: Preference = field(default="order", kw_only=True)
    max_cost: Decimal | None = field(default=None, kw_only=True)
    """Dollars that the batch, with all its runs, never spends more of. What may have been billed counts as spent."""
    concurrency: int = field(default=CONCURRENCY, kw_only=True)
    """How many rows are under way at one vendor."""
    rate: float | None = field(default=None, kw_only=True)
    """How many rows a minute are begun at one vendor at most."""
    timeout: float = field(default=TIMEOUT, kw_only=True)
    """Seconds that one row may take; its job goes on after that."""
    listener: Callable[[Result], None] | None = field(default=None, kw_only=True)
    """Hears of every row that is over."""
    budget: Budget = field(factory=Budget, init=False)
    _results: dict[int, Result] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        if self.concurrency < 1 or (self.rate is not None and not self.rate > 0):
            raise RequestError(
                ["a batch begins at least one row at a time, and more than none a minute"]
            )
        if self.max_cost is not None and not (self.max_cost.is_finite() and self.max_cost >= 0):
            raise RequestError(["max_cost: dollars, not less than 0"])
        self.file = ResultsFile(self.output)

    @property
    def ledger(self) -> Ledger:
        """Where it is written down what was paid; LedgerError where the client has none."""
        if self.client.ledger is None:
            raise LedgerError("a batch is kept in a ledger, and this client has none: pass ledger=")
        return self.client.ledger

    # -- before anything is paid -----------------------------------------------------------------

    @cached_property
    def _prepared(self) -> tuple[tuple[RowTask, ...], tuple[RowProblem, ...]]:
        """All rows with their plans, and what is wrong with them."""
        tasks, mistakes = [], []
        entries = self._entries()
        for row in self.rows:
            try:
                task = self._task(row, entries.get(row.reference, ()))
            except PolyreelError as error:
                mistakes.append(RowProblem(row.line, str(error)))
                continue
            tasks.append(task)
            mistakes += [RowProblem(row.line, problem) for problem in self._problems(task)]
        return tuple(tasks), tuple(mistakes)

    def _entries(self) -> Mapping[str, Sequence[LedgerEntry]]:
        """What the ledger has of the rows."""
        self.ledger.recover()
        wanted, found = {row.reference for row in self.rows}, dict[str, list[LedgerEntry]]()
        for entry in self.client.jobs():
            if entry.submission.reference in wanted:
                found.setdefault(str(entry.submission.reference), []).append(entry)
        return found

    def _task(self, row: Row, entries: Sequence[LedgerEntry]) -> RowTask:
        asked = list(row.vendors or self.vendors)
        routed = self.prefer == "cheapest" or len(asked) > 1
        if routed:
            plans = self.client.plans(row.request, asked or None, prefer=self.prefer)
        else:
            plans = [self.client.plan(row.request, asked[0] if asked else None)]
        own = next((entry for entry in entries if entry.state not in SUPERSEDED), None)
        lost = tuple(entry for entry in entries if entry.state in {"abandoned", "resubmitted"})
        planned = {plan.vendor for plan in plans}
        strangers = dict.fromkeys(
            entry.vendor for entry in (own, *lost) if entry and entry.vendor not in planned
        )
        others = tuple(self.client.plan(row.request, vendor) for vendor in strangers)
        return RowTask(row, tuple(plans), routed, own, lost, others)

    def _problems(self, task: RowTask) -> Iterator[str]:
        """Why a row cannot be begun, or not be gone on with."""
        if task.entry is not None:
            yield from _another(task, task.entry)
            return
        for plan in task.usable:
            if plan.vendor not in self.client.wire.keys:
                yield f"vendor: there is no key for {plan.vendor}: set {plan.provider.key_variable}"
        for plan in () if task.usable else task.plans:
            yield from (f"{plan.vendor}: {violation.message}" for violation in plan.violations)

    @property
    def mistakes(self) -> tuple[RowProblem, ...]:
        """Why rows cannot be begun. Sends nothing."""
        return self._prepared[1]

    @property
    def left(self) -> int:
        """About how many rows something is left to do. Sends nothing."""
        return sum(_over(task) is None for task in self._prepared[0])

    def plan(self) -> Summary:
        """Plan and price all rows; RequestError with every mistake in them. Sends nothing."""
        tasks, mistakes = self._prepared
        if mistakes:
            refuse("the batch", mistakes)
        bound, unknown = total(task.bound for task in tasks)
        before = sum(task.entry is not None for task in tasks)
        vendors = Counter(task.vendor for task in tasks)
        return Summary(
            len(tasks),
            before,
            bound.least,
            bound.most or Decimal(0),
            unknown,
            dict(vendors),
            self.max_cost,
        )

    def check(self) -> None:
        """Make the budget; BudgetError where `max_cost` could be exceeded, or nobody can tell. Sends nothing."""
        tasks, _ = self._prepared
        spent, unknown = total(bound for task in tasks for bound in _spent(task))
        left, more = total(task.bound for task in tasks if task.entry is None)
        assert spent.most is not None
        assert left.most is not None
        self.budget = Budget(self.max_cost, spent.most)
        if self.max_cost is None:
            return
        if unknown or more:
            raise BudgetError(_unknown(tasks))
        if spent.most + left.most > self.max_cost:
            before = f", {spent.most:f} of them spent before" if spent.most else ""
            text = f"the batch can cost ${spent.most + left.most:f}{before}, and may cost ${self.max_cost:f}"
            raise BudgetError(f"{text}; nothing was sent")

    # -- the run ---------------------------------------------------------------------------------

    async def run(self) -> tuple[Result, ...]:
        """Do every row, as far as that is possible; what became of each, in their order.

        Raises RequestError and BudgetError before anything is sent. What goes wrong with one row is in its result.
        """
        self.plan()
        self.check()
        tasks, _ = self._prepared
        self._results = {task.row.number: result for task in tasks if (result := _over(task))}
        self.file.begin(self._results.values())
        try:
            wire = self.client.wire
            async with ManyJobsDriver(
                wire, ManyJobs(self.client.simulated, wire.randomness)
            ) as crew:
                await Work(self, crew).do(
                    [task for task in tasks if task.row.number not in self._results]
                )
        finally:
            done = tuple(
                self._results.get(task.row.number) or self.result_of(task) for task in tasks
            )
            self.__dict__.pop(
                "_prepared", None
            )  # the next run begins with what the ledger has then
            self.file.finish(done)
        return done

    def finished(self, result: Result) -> None:
        """Take note of a row that is over."""
        self._results[result.row.number] = result
        self.file.add(result)
        if self.listener is not None:
            self.listener(result)

    def result_of(
        self, task: RowTask, job: Job | None = None, error: Exception | None = None
    ) -> Result:
        """What became of a row, by the ledger."""
        about = getattr(error, "ledger_id", None) if job is None else job.ledger_id
        entry = None
        with suppress(PolyreelError):
            entry = self.ledger.entry(about) if about else self._found(task.row.reference)
        if entry is not None:
            return known(task.row, entry, task.cost(entry.vendor), error)
        vendor, billed = task.vendor, getattr(error, "billed", "no")
        state = "saved" if job else "not-started" if billed == "no" else "ambiguous"
        return Result(task.row, state, vendor, task.cost(vendor), job, error, about)  # type: ignore[arg-type]

    def _found(self, reference: str) -> LedgerEntry | None:
        found: LedgerEntry | None = self.ledger.write(
            Find(reference, self.client.simulated), "", 0.0
        )
        return found


def _another(task: RowTask, entry: LedgerEntry) -> Iterator[str]:
    """Whether the ledger has another request under a row's reference: its files would be taken for the row's."""
    plan = next(plan for plan in (*task.plans, *task.others) if plan.vendor == entry.vendor)
    if plan.refused or plan.parts or plan.uploads:
        return  # only what was uploaded then could tell
    if json.loads(plan.content) != entry.submission.body:
        text = f"reference: {task.row.reference!r} has a job of another request already ({entry.id}, {entry.state})"
        yield f"{text}; give the row another reference, or the batch another name"


def _spent(task: RowTask) -> Iterator[Bound]:
    """What may have been paid for a row before."""
    for entry in (task.entry, *task.lost):
        if entry is not None:
            yield Bound.of(task.cost(entry.vendor))


def _over(task: RowTask) -> Result | None:
    """The result of a row about which nothing is left to do."""
    entry = task.entry
    if entry is None or entry.job is None or entry.state not in {"saved", "failed", "canceled"}:
        return None
    if entry.state == "saved" and not all(
        Path(output.path or "").exists() for output in entry.job.outputs or ()
    ):
        return None
    told = None if entry.state == "saved" else failed(entry.job)
    return known(task.row, entry, task.cost(entry.vendor), told)


def _unknown(tasks: Sequence[RowTask]) -> str:
    """Which prices are missing, and what to do about it."""
    rows = [task for task in tasks if task.bound.most is None] or [
        task for task in tasks if task.lost
    ]
    named = ", ".join(f"line {task.row.line} at {task.vendor}" for task in rows[:TOLD])
    more = f" and {len(rows) - TOLD} more" if len(rows) > TOLD else ""
    advice = "give the prices in a price file, or leave the limit out"
    return f"the price of {len(rows)} row(s) is unknown ({named}{more}), so the cost has no limit: {advice}"
