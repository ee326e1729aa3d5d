"""One run of a batch: workers begin and finish rows; between, one driver waits for all jobs."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from attrs import Factory, define, field, frozen

from ..client import AsyncClient
from ..drivers import ManyJobsDriver
from ..errors import BudgetError, ClaimedError, SubmitError
from ..jobs.finishing import failed
from ..jobs.locations import Location
from ..jobs.many import Completed
from ..jobs.naming import named
from ..ledger.events import Find
from ..money.amounts import CostRange
from .costs import Budget
from .outcomes import Outcomes
from .places import Places, is_refused_for_now
from .results import Result
from .tasks import RowTask

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

WORKERS: Final = 8
"""How many rows of one vendor are begun at a time, and how many of all vendors are finished."""
OTHERS_PAUSE: Final = 0.2
"""Seconds until it is looked again whether another run has done with a row."""


@frozen
class WorkSettings:
    """How rows are worked on."""

    output: Location
    timeout: float
    """Seconds that one row may take."""
    concurrency: int
    """How many rows of one vendor are under way at a time."""
    rate: float | None
    """How many rows of one vendor are begun in a minute at most; None for no limit."""
    labels: Mapping[str, str] | None = None
    """The caller's own labels of every job."""
    limits: str | None = None
    """The name of limits in the ledger that other runs of the batch keep, too."""


@define
class _Interval:
    """Keeps starts at least so many seconds apart."""

    seconds: float
    free_at: float = 0.0

    def wait(self, now: float) -> float:
        """Take the next start; how many seconds it is away."""
        start = max(now, self.free_at)
        self.free_at = start + self.seconds
        return start - now


@define(eq=False)
class RowQueue:
    """The waiting rows of one vendor."""

    places: Places
    """How many of its rows may be under way."""
    interval: _Interval
    waiting: deque[RowTask] = Factory(deque)


@define(eq=False)
class BatchRun:
    """One run of a batch."""

    client: AsyncClient
    settings: WorkSettings
    budget: Budget
    outcomes: Outcomes
    driver: ManyJobsDriver
    _left: int = field(default=0, init=False)
    _all_over: asyncio.Event = field(factory=asyncio.Event, init=False)
    _in_flight: dict[tuple[str, str], tuple[RowTask, RowQueue]] = field(factory=dict, init=False)
    """The rows whose jobs the driver waits for, by vendor and task id."""
    _reconcile_later: list[tuple[RowTask, Result]] = field(factory=list, init=False)
    _aside: set[int] = field(factory=set, init=False)
    """The numbers of the rows that wait, or have waited, for another run."""
    _group: asyncio.TaskGroup | None = field(default=None, init=False)
    _shared: frozenset[bytes] = field(default=frozenset(), init=False)
    """The hashes of contents that more than one row sends."""

    async def do(self, tasks: Sequence[RowTask]) -> None:
        """Work on all rows; their results go to `outcomes`."""
        if not tasks:
            return
        counts = Counter(content for task in tasks for content in task.contents)
        self._shared = frozenset(content for content, count in counts.items() if count > 1)
        queues, self._left = self._queues(tasks), len(tasks)
        async with asyncio.TaskGroup() as group:
            self._group = group
            for queue in queues:
                for _ in range(min(WORKERS, len(queue.waiting))):
                    group.create_task(self._begin_rows(queue))
            finishers = [group.create_task(self._finish_rows()) for _ in range(WORKERS)]
            await self._all_over.wait()
            for finisher in finishers:
                finisher.cancel()
        while self._reconcile_later:
            await self._reconcile(*self._reconcile_later.pop())

    def _queues(self, tasks: Sequence[RowTask]) -> Iterable[RowQueue]:
        seconds = 60 / self.settings.rate if self.settings.rate else 0.0
        queues: dict[str, RowQueue] = {}
        for task in tasks:
            if task.vendor not in queues:
                places = Places(self.settings.concurrency, self.client.wire.clock)
                queues[task.vendor] = RowQueue(places, _Interval(seconds))
            queues[task.vendor].waiting.append(task)
        return queues.values()

    # -- beginning rows --------------------------------------------------------------------------

    async def _begin_rows(self, queue: RowQueue) -> None:
        """Begin one row after the other until none waits."""
        while await queue.places.take(queue.waiting):
            task = queue.waiting.popleft()
            try:
                result = await self._begun(task, queue)
            except SubmitError as error:
                self._wait_again(task, queue, error)
                continue
            except ClaimedError:
                self._put_aside(task, queue)
                continue
            if result is not None:
                await self._over(task, queue, result)

    def _wait_again(self, task: RowTask, queue: RowQueue, error: SubmitError) -> None:
        """Put a row back that the vendor has no place for just now: that has cost nothing."""
        self._unreserve(task, None)
        queue.waiting.appendleft(task)
        queue.places.note_refused(getattr(error, "retry_after", None))

    def _waits(self, queue: RowQueue, error: Exception) -> bool:
        """Whether a row waits for a place after an error."""
        if not is_refused_for_now(error):
            return False
        return not queue.places.is_hopeless(self.settings.timeout)

    async def _begun(self, task: RowTask, queue: RowQueue) -> Result | None:
        """Begin or continue a row; None where the driver waits for its job now.

        SubmitError is raised where the row waits for a place at its vendor, ClaimedError where it
        waits for another run.
        """
        entry = task.entry
        try:
            if entry is None:
                try:
                    job = await self._submitted(task, queue)
                except ClaimedError:  # another run of the batch has begun the row meanwhile
                    return await self._taken_up(task)
                base_url = self.client.base_urls.get(job.vendor)
            elif entry.state == "accepted" and entry.job is not None:
                job = entry.job
                base_url = entry.submission.base_url
            else:
                return await self._generated(task)
            self._in_flight[job.vendor, job.id] = task, queue
            queue.places.note_accepted()
            try:
                await self.driver.enrol(job, timeout=self.settings.timeout, base_url=base_url)
            except Exception:
                queue.places.note_ended()
                raise
        except ClaimedError:
            raise
        except Exception as error:  # whatever it is, it is about this row
            if self._waits(queue, error):
                raise
            return self.outcomes.of(task, error=error)
        return None

    async def _submitted(self, task: RowTask, queue: RowQueue) -> Job:
        clock = self.client.wire.clock
        await self._some_vendor_ready(task)
        if (pause := queue.interval.wait(clock.now())) > 0:
            await clock.asleep(pause)
        if not self.budget.reserve(task.cost_range):
            raise BudgetError("the budget is used up; the row was not sent")
        task.reserved.append(task.cost_range)
        return await self._submit(task)

    async def _submit(self, task: RowTask) -> Job:
        return await self.client.submit(
            task.asked,
            reference=task.row.reference,
            output=self._output(task),
            labels=self.settings.labels,
            limits=self.settings.limits,
        )

    async def _some_vendor_ready(self, task: RowTask) -> None:
        """Wait as long as all vendors of a row rest after failures: none of them would be asked."""
        if not task.routed:
            return
        clock, health = self.client.wire.clock, self.client.health
        while (pause := min(health.rests(plan.vendor, clock.now()) for plan in task.usable)) > 0:
            await clock.asleep(pause)

    # -- finishing rows --------------------------------------------------------------------------

    async def _finish_rows(self) -> None:
        """Finish one row after the other, as their jobs end."""
        while True:
            end = await self.driver.get()
            task, queue = self._in_flight.pop((end.job.vendor, end.job.id))
            queue.places.note_ended()
            try:
                result = await self._finished(task, end)
            except ClaimedError:
                self._put_aside(task, queue)
            else:
                await self._over(task, queue, result)

    async def _finished(self, task: RowTask, end: Completed) -> Result:
        if end.error is not None:
            return self.outcomes.of(task, error=end.error)
        if end.job.status != "succeeded":
            return self.outcomes.of(task, error=failed(end.job))
        return await self._generated(task)

    async def _generated(self, task: RowTask) -> Result:
        """Do whatever is left to do for a row, by its reference.

        ClaimedError is raised while another run of the batch does it.
        """
        try:
            job = await self.client.generate(
                task.asked,
                output=self._output(task),
                timeout=self.settings.timeout,
                reference=task.row.reference,
                labels=self.settings.labels,
            )
        except Exception as error:  # as above
            if isinstance(error, ClaimedError) and self._is_elsewhere(task):
                raise
            return self.outcomes.of(task, error=error)
        return self.outcomes.of(task, job)

    async def _taken_up(self, task: RowTask) -> Result:
        """Go on with a row that another run has begun; begin it where that one has paid nothing."""
        assert self.client.ledger is not None
        find = Find(task.row.reference, self.client.simulated)
        if self.client.ledger.write(find, "", 0.0) is None:
            try:
                await self._submit(task)
            except ClaimedError:
                raise
            except Exception as error:  # as above
                return self.outcomes.of(task, error=error)
        return await self._generated(task)

    async def _after_the_other(self, task: RowTask, queue: RowQueue) -> None:
        """Wait until another run has done with a row, and then do what is left.

        It waits in the time of the machine: the clock of this run says nothing of the other one's.
        """
        until = time.monotonic() + self.settings.timeout
        while True:
            await asyncio.sleep(OTHERS_PAUSE)
            try:
                result = await self._taken_up(task)
            except ClaimedError as error:
                if time.monotonic() < until:
                    continue
                result = self.outcomes.of(task, error=error)
            await self._over(task, queue, result)
            return

    def _is_elsewhere(self, task: RowTask) -> bool:
        """Whether somebody else looks after the job of a row just now."""
        assert self.client.ledger is not None
        found = self.client.ledger.of_references(
            [task.row.reference], simulated=self.client.simulated
        )
        return any(entry.owned for entry in found)

    def _output(self, task: RowTask) -> str:
        return str(named(self.settings.output, task.row.name))

    def _unreserve(self, task: RowTask, cost: CostRange | None) -> None:
        for reserved in task.reserved:
            self.budget.settle(reserved, cost)
        task.reserved.clear()

    def _put_aside(self, task: RowTask, queue: RowQueue) -> None:
        """Let a row wait for another run, so that others begin in its place meanwhile."""
        queue.places.give_back()
        self._aside.add(task.row.number)
        assert self._group is not None
        self._group.create_task(self._after_the_other(task, queue))

    async def _over(self, task: RowTask, queue: RowQueue, result: Result) -> None:
        """End a row. Where the answer of its submit was lost, its task is looked for once."""
        self._unreserve(task, None if result.billed == "no" else CostRange.of(result.cost))
        if result.state != "ambiguous":
            self.outcomes.add(result)
        elif self._shared.isdisjoint(task.contents):
            await self._reconcile(task, result)
        else:
            # A vendor's list tells rows apart by their bodies. Another row with the same body may
            # still wait for its answer, and its task must not be taken for the task of this row.
            self._reconcile_later.append((task, result))
        if task.row.number not in self._aside:
            queue.places.give_back()
        self._left -= 1
        if not self._left:
            self._all_over.set()

    async def _reconcile(self, task: RowTask, result: Result) -> None:
        """Ask once what became of a submit without an answer, and continue with a found job."""
        try:
            findings = await self.client.reconcile(result.ledger_id or "")
        except Exception as error:  # as above
            self.outcomes.add(self.outcomes.of(task, error=error))
            return
        found = any(finding.result == "found" for finding in findings)
        try:
            self.outcomes.add(await self._generated(task) if found else result)
        except ClaimedError as error:
            self.outcomes.add(self.outcomes.of(task, error=error))
