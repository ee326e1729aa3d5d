"""A batch: all rows are planned and priced before the first is paid, and then made by a ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Final

from attrs import define, evolve, field

from ..client import TIMEOUT, AsyncClient
from ..client.checks import check_labels, located
from ..drivers import ManyJobsDriver, arun
from ..errors import BudgetError, LedgerError, PolyreelError, RequestError
from ..jobs import queued
from ..jobs.finishing import try_output
from ..jobs.locations import Location
from ..jobs.many import ManyJobs
from ..jobs.naming import Target, distinguishes_jobs, with_filename
from ..jobs.routing import Preference
from ..jobs.work import Engine
from ..ledger.keeping import StoredLedger
from ..ledger.limits import LimitChanges
from ..ledger.records import PROVED_UNPAID, SUPERSEDED, LedgerEntry
from ..ledger.store import LedgerStore
from ..mapping.reports import Allowance
from ..money.amounts import GIVE_PRICES
from ..providers.base.registry import all_providers, get_provider
from .costs import Budget, Summary, total
from .display import LiveDisplay, batch_html
from .following import FollowedRun
from .outcomes import Outcomes, result_before
from .results import Result, ResultsFile
from .rows import Row, RowProblem, refuse
from .sharing import most_of, share_limits
from .tasks import RowTask
from .working import BatchRun, WorkSettings

CONCURRENCY: Final = 8
MOST_NAMED: Final = 5
"""How many rows of unknown price a message names."""


@define(eq=False, slots=False)
class Batch:
    """Many jobs of one client, which needs a ledger.

    The same rows run again continue where they stopped: no row is paid twice.

    >>> import asyncio
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from polyreel import AsyncClient
    >>> from polyreel.batch import Batch, read
    >>> async def make(folder: Path) -> list[str]:
    ...     rows = folder / "rows.jsonl"
    ...     text = '{"prompt": "a cat", "duration": 3}'
    ...     _ = rows.write_text(text)
    ...     async with AsyncClient(ledger=folder / "ledger") as client:  # simulated
    ...         done = await Batch(client, read(rows), folder / "clips").run()
    ...     return [result.state for result in done]
    >>> with TemporaryDirectory() as folder:
    ...     asyncio.run(make(Path(folder)))
    ['saved']
    """

    client: AsyncClient
    rows: Sequence[Row]
    output: Location = field(default=Path("clips"), converter=located)
    """The folder for the files, and for `results.jsonl`; a URL of object storage for the files."""
    filename: str | None = field(default=None, kw_only=True)
    """A pattern for the names of the files, such as `{name}-{n}.{ext}`: see `jobs.naming`."""
    results: Path | None = field(default=None, kw_only=True)
    """The folder for `results.jsonl` instead: `clips`, where the files are in object storage."""
    vendors: Sequence[str] = field(default=(), kw_only=True)
    """Who makes the rows without a vendor; the next where the one before it is proved unpaid."""
    prefer: Preference = field(default="order", kw_only=True)
    allow: Mapping[str, Allowance] = field(factory=dict, kw_only=True)
    """What may become of fields of the rows: see `polyreel.plan`."""
    max_cost: Decimal | None = field(default=None, kw_only=True)
    """The most dollars for all runs together. What may have been billed counts as spent."""
    concurrency: int | None = field(default=None, kw_only=True)
    """How many rows are under way at one vendor at a time; by default 8, and with an engine any."""
    rate: float | None = field(default=None, kw_only=True)
    """How many rows are begun at one vendor in a minute at most; None for no limit."""
    timeout: float = field(default=TIMEOUT, kw_only=True)
    """Seconds that one row may take. Its job goes on after that."""
    engine: Engine | None = field(default=None, kw_only=True)
    """What carries the rows to workers of the ledger; None makes them in this process."""
    labels: Mapping[str, str] | None = field(default=None, kw_only=True)
    """Your own labels of every job that the batch makes. No vendor sees them."""
    listener: Callable[[Result], None] | None = field(default=None, kw_only=True)
    """Called with the result of every row that is over."""
    budget: Budget = field(factory=Budget, init=False)
    _outcomes: Outcomes | None = field(default=None, init=False)
    """Those of the run that goes on, or of the last one."""

    def __attrs_post_init__(self) -> None:
        if (self.concurrency is not None and self.concurrency < 1) or (
            self.rate is not None and not self.rate > 0
        ):
            raise RequestError(
                ["a batch begins at least one row at a time, and more than none a minute"]
            )
        if self.max_cost is not None and not (self.max_cost.is_finite() and self.max_cost >= 0):
            raise RequestError(["max_cost: dollars, not less than 0"])
        check_labels(self.labels)
        if Target.of(self.output).stem is not None:
            problem = f"a batch makes many files: name a folder, not {self.output}"
            raise RequestError([f"output: {problem}"])
        folder = self.output if isinstance(self.output, Path) else Path("clips")
        self.file = ResultsFile(self.results or folder, self.rows)

    @property
    def files(self) -> Location:
        """Where the files of the rows are saved. RequestError where the pattern cannot be used."""
        if self.filename is None:
            return self.output
        try:
            path = with_filename(self.output, self.filename)
        except ValueError as error:
            raise RequestError([f"filename: {error}"]) from None
        if not distinguishes_jobs(path):
            raise RequestError(
                [
                    f"filename: {self.filename}: it needs {{name}} or {{id}}, so that "
                    "each row has files of its own"
                ]
            )
        return path

    @property
    def ledger(self) -> LedgerStore:
        """The client's ledger; LedgerError where it has none."""
        if self.client.ledger is None:
            raise LedgerError("a batch is kept in a ledger, and this client has none: pass ledger=")
        return self.client.ledger

    # -- before anything is paid -----------------------------------------------------------------

    @cached_property
    def _prepared(self) -> tuple[tuple[RowTask, ...], tuple[RowProblem, ...]]:
        """All rows with their plans, and what is wrong with them."""
        tasks, problems = [], []
        entries = self._entries()
        for row in self.rows:
            try:
                task = self._task(row, entries[row.reference])
            except PolyreelError as error:
                problems.append(RowProblem(row.line, str(error)))
                continue
            tasks.append(task)
            problems += [RowProblem(row.line, problem) for problem in self._problems_of(task)]
        return tuple(tasks), tuple(problems)

    def _entries(self) -> Mapping[str, Sequence[LedgerEntry]]:
        """The ledger's entries of the rows, by their references."""
        found: dict[str, list[LedgerEntry]] = {row.reference: [] for row in self.rows}
        for entry in self._entries_of_batch:
            reference = entry.submission.reference
            if reference in found:
                found[reference].append(entry)
        return found

    @cached_property
    def _entries_of_batch(self) -> Sequence[LedgerEntry]:
        """All entries of the rows, and those under their batch's name that left the file."""
        own = {row.reference for row in self.rows}
        names = {f"{row.batch}/" for row in self.rows if row.batch is not None}
        return self.ledger.of_references(own, names, simulated=self.client.simulated)

    def _spent(self, tasks: Sequence[RowTask]) -> tuple[Decimal, Sequence[LedgerEntry]]:
        """What may have been paid before, and the entries of which nobody knows the price."""
        rows = {task.row.reference: task for task in tasks}
        found = [(entry, most_of(entry, rows)) for entry in self._entries_of_batch]
        spent = sum((most for _, most in found if most is not None), Decimal(0))
        return spent, [entry for entry, most in found if most is None]

    def _task(self, row: Row, entries: Sequence[LedgerEntry]) -> RowTask:
        asked = [get_provider(vendor) for vendor in row.vendors or self.vendors]
        routed = self.prefer == "cheapest" or len(asked) > 1
        if routed:
            plans = self.client.plans(
                row.request, asked or None, prefer=self.prefer, allow=self.allow
            )
        else:
            plans = [self.client.plan(row.request, asked[0] if asked else None, allow=self.allow)]
        current = next((entry for entry in entries if entry.state not in SUPERSEDED), None)
        planned = {plan.vendor for plan in plans}
        paid = dict.fromkeys(entry.vendor for entry in entries if entry.state not in PROVED_UNPAID)
        others = [
            self.client.plan(row.request, get_provider(vendor), allow=self.allow)
            for vendor in paid
            if vendor in all_providers() and vendor not in planned
        ]
        return RowTask(row, tuple(plans), routed, current, tuple(others))

    def _problems_of(self, task: RowTask) -> Iterator[str]:
        """Why a row cannot be begun or continued."""
        if task.entry is not None:
            yield from _other_request(task, task.entry)
            return
        if self.engine is not None:
            yield from _not_for_workers(task)
        for plan in task.usable:
            if plan.vendor not in self.client.wire.keys:
                yield f"vendor: there is no key for {plan.vendor}: set {plan.provider.key_variable}"
        for plan in () if task.usable else task.plans:
            yield from (f"{plan.vendor}: {violation.message}" for violation in plan.violations)

    @property
    def problems(self) -> tuple[RowProblem, ...]:
        """Why rows cannot be begun. Sends nothing."""
        return self._prepared[1]

    @property
    def left(self) -> int:
        """The number of rows that need something more. Sends nothing."""
        elsewhere = self.engine is not None
        return sum(result_before(one, elsewhere=elsewhere) is None for one in self._prepared[0])

    def plan(self) -> Summary:
        """Plan and price all rows; RequestError with every problem in them. Sends nothing."""
        return self._summary(self.tasks)

    def unpaid(self) -> Summary:
        """Price the rows that have no job yet, so that a run pays for them. Sends nothing."""
        return self._summary([task for task in self.tasks if task.entry is None])

    @property
    def tasks(self) -> Sequence[RowTask]:
        """All rows with their plans; RequestError with every problem in them. Sends nothing."""
        _ = self.files  # their names are checked before anything is paid
        tasks, problems = self._prepared
        if problems:
            refuse("the batch", problems)
        return tasks

    def _summary(self, tasks: Sequence[RowTask]) -> Summary:
        costs, unknown = total(task.cost_range for task in tasks)
        return Summary(
            rows=len(tasks),
            paid_before=sum(task.entry is not None for task in tasks),
            at_least=costs.least,
            at_most=costs.most or Decimal(0),
            unknown=unknown,
            vendors=dict(Counter(task.vendor for task in tasks)),
            max_cost=self.max_cost,
        )

    def check(self) -> None:
        """Make the budget. Sends nothing.

        Raises BudgetError where the batch could cost more than `max_cost`, also because a price is
        unknown.
        """
        tasks, _ = self._prepared
        spent, unknown_spent = self._spent(tasks)
        left, unknown_left = total(task.cost_range for task in tasks if task.entry is None)
        assert left.most is not None
        self.budget = Budget(self.max_cost, spent)
        if self.max_cost is None:
            return
        if unknown_left:
            raise BudgetError(_unknown_prices(tasks))
        if unknown_spent:
            raise BudgetError(_unknown_before(unknown_spent))
        most = spent + left.most
        if most > self.max_cost:
            before = f", {spent:f} of them spent before" if spent else ""
            limit = f"and may cost ${self.max_cost:f}; nothing was sent"
            raise BudgetError(f"the batch can cost ${most:f}{before}, {limit}")

    # -- the run ---------------------------------------------------------------------------------

    async def run(self) -> tuple[Result, ...]:
        """Make every row, as far as that is possible. The results are in the order of the rows.

        In a notebook, a display shows how it goes on. Raises RequestError and BudgetError before
        anything is sent. What goes wrong with one row is in its result.
        """
        self.plan()
        self.check()
        tasks, _ = self._prepared
        if self.engine is None:  # workers try it where they are
            await arun(try_output(str(self.output)), self.client.wire)
        outcomes = Outcomes(
            self.ledger,
            self.client.simulated,
            self.file,
            self.listener,
            has_workers=self.engine is not None,
        )
        left, self._outcomes = outcomes.begin(tasks), outcomes
        outcomes.display = LiveDisplay.begin(self._repr_html_)
        places = self.concurrency or CONCURRENCY
        settings = WorkSettings(self.files, self.timeout, places, self.rate, self.labels)
        try:
            if self.engine is None:
                shared = evolve(settings, limits=self._shared_limits())
                await self._make(left, shared, outcomes)
            else:
                await self._follow(left, settings, outcomes, self.engine)
        finally:
            # The next run begins with what the ledger has then.
            self.__dict__.pop("_prepared", None)
            self.__dict__.pop("_entries_of_batch", None)
            results = outcomes.finish(tasks)
        return results

    def _shared_limits(self) -> str | None:
        """The limit of the batch's name in the ledger, which runs at the same time share.

        None where its money has no limit, or its rows no name.
        """
        name, *others = {row.batch for row in self.rows} or [None]
        is_limited = self.max_cost is not None and isinstance(self.ledger, StoredLedger)
        if name is None or others or not is_limited:
            return None
        self._share({"max_cost": self.max_cost})
        return name

    def _share(self, limits: LimitChanges) -> StoredLedger:
        """Set the limits of the batch's name: see `share_limits`."""
        rows = {task.row.reference: task for task in self.tasks}
        return share_limits(self.client, self.rows, self._entries_of_batch, rows, limits)

    async def _make(
        self, tasks: Sequence[RowTask], settings: WorkSettings, outcomes: Outcomes
    ) -> None:
        """Make the rows in this process."""
        wire = self.client.wire
        jobs = ManyJobs(self.client.simulated, wire.randomness)
        async with ManyJobsDriver(wire, jobs) as driver:
            await BatchRun(self.client, settings, self.budget, outcomes, driver).do(tasks)

    async def _follow(
        self,
        tasks: Sequence[RowTask],
        settings: WorkSettings,
        outcomes: Outcomes,
        engine: Engine,
    ) -> None:
        """Have the rows made by workers, within the limits of the batch's name."""
        limits: LimitChanges = {
            "max_cost": self.max_cost,
            "rate": self.rate,
            "concurrency": self.concurrency,
        }
        ledger = self._share(limits)
        is_paced = self.rate is not None or self.concurrency is not None
        run = FollowedRun(self.client, ledger, engine, settings, outcomes, is_paced)
        await run.do(tasks)

    def _repr_html_(self) -> str:
        """As a table in a notebook. Sends nothing."""
        known = () if self._outcomes is None else self._outcomes.results
        return batch_html(known, len(self.rows), str(self.output))


def _other_request(task: RowTask, entry: LedgerEntry) -> Iterator[str]:
    """Whether a row's reference has the job of another request, whose files are not the row's."""
    if (found := task.difference(entry)) is not None:
        name = f"reference: {task.row.reference!r}"
        yield (
            f"{name} has a job of another request already ({entry.id}, {entry.state}; {found}); "
            "give the row another reference, or the batch another name"
        )


def _not_for_workers(task: RowTask) -> Iterator[str]:
    """Why another process, maybe on another machine, cannot submit a row."""
    for plan in task.usable:
        try:
            queued.check(plan)
        except RequestError as error:
            yield str(error)
            return


def _unknown_before(entries: Sequence[LedgerEntry]) -> str:
    """Which jobs of before have no price, and what to do about it."""
    named = ", ".join(f"{entry.id} at {entry.vendor}" for entry in entries[:MOST_NAMED])
    more = f" and {len(entries) - MOST_NAMED} more" if len(entries) > MOST_NAMED else ""
    return (
        f"nobody knows the price of {len(entries)} job(s) that may have been paid before under "
        f"the name of this batch ({named}{more}), so the cost has no limit; nothing was sent. "
        "Leave the limit out, or give the rest of the rows another --name"
    )


def _unknown_prices(tasks: Sequence[RowTask]) -> str:
    """Which prices are missing, and what to do about it."""
    rows = [task for task in tasks if task.cost_range.most is None]
    named = ", ".join(
        f"line {task.row.line} at {' and '.join(task.unpriced)}" for task in rows[:MOST_NAMED]
    )
    more = f" and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
    return (
        f"the price of {len(rows)} row(s) is unknown ({named}{more}), so the cost has no limit; "
        f"nothing was sent: {GIVE_PRICES}, or leave the limit out"
    )
