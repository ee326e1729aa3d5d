"""A batch at work: a few workers begin rows and bring them home; in between, all rows are in flight in one fleet."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from attrs import Factory, define, field, frozen

from ..drivers import ManyJobsDriver
from ..errors import BudgetError
from ..jobs.many import Completed
from ..jobs.submitting import failed
from .costs import Bound
from .results import Result
from .tasks import RowTask

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from .running import Batch

WORKERS: Final = 8
"""How many rows of one vendor are begun at a time, and how many of all are brought home, whatever is in flight."""


@define
class _Pace:
    """Starts that are at least so many seconds apart."""

    seconds: float
    free_at: float = 0.0

    def wait(self, now: float) -> float:
        """Take the next turn; how long it is until then."""
        turn = max(now, self.free_at)
        self.free_at = turn + self.seconds
        return turn - now


@define(eq=False)
class Queue:
    """The rows of one vendor that wait, and how many more of its rows may be under way."""

    free: asyncio.Semaphore
    pace: _Pace
    waiting: deque[RowTask] = Factory(deque)


@frozen
class Flying:
    """A row whose job is in flight."""

    task: RowTask
    queue: Queue


@define(eq=False)
class Work:
    """One run of a batch."""

    batch: Batch
    crew: ManyJobsDriver
    _left: int = field(default=0, init=False)
    _over: asyncio.Event = field(factory=asyncio.Event, init=False)
    _flying: dict[tuple[str, str], Flying] = field(factory=dict, init=False)
    _later: list[tuple[RowTask, Result]] = field(factory=list, init=False)
    _shared: frozenset[bytes] = field(default=frozenset(), init=False)
    """What more than one row sends."""

    async def do(self, tasks: Sequence[RowTask]) -> None:
        """Do all rows; what becomes of each is told to the batch."""
        counts = Counter(content for task in tasks for content in task.contents)
        self._shared = frozenset(content for content, count in counts.items() if count > 1)
        queues, self._left = self._queues(tasks), len(tasks)
        async with asyncio.TaskGroup() as group:
            for queue in queues:
                for _ in range(min(WORKERS, len(queue.waiting))):
                    group.create_task(self._begin(queue))
            landing = [group.create_task(self._land()) for _ in range(WORKERS if tasks else 0)]
            if tasks:
                await self._over.wait()
            for worker in landing:
                worker.cancel()
        while self._later:
            await self._look_for(*self._later.pop())

    def _queues(self, tasks: Sequence[RowTask]) -> Iterable[Queue]:
        queues: dict[str, Queue] = {}
        for task in tasks:
            if task.vendor not in queues:
                pace = _Pace(60 / self.batch.rate if self.batch.rate else 0.0)
                queues[task.vendor] = Queue(asyncio.Semaphore(self.batch.concurrency), pace)
            queues[task.vendor].waiting.append(task)
        return queues.values()

    # -- taking off ------------------------------------------------------------------------------

    async def _begin(self, queue: Queue) -> None:
        """Begin one row after the other until none waits."""
        while True:
            await queue.free.acquire()
            if not queue.waiting:
                queue.free.release()
                return
            task = queue.waiting.popleft()
            over = await self._started(task, queue)
            if over is not None:
                await self._done(task, queue, over)

    async def _started(self, task: RowTask, queue: Queue) -> Result | None:
        """Begin a row, or go on with it; None where its job is in flight now."""
        entry = task.entry
        try:
            if entry is None:
                job = await self._submitted(task, queue)
                base_url = self.batch.client.base_urls.get(job.vendor)
            elif entry.state == "accepted" and entry.job is not None:
                job, base_url = (
                    entry.job.model_copy(update={"ledger_id": entry.id}),
                    entry.submission.base_url,
                )
            else:
                return await self._generated(task)
            self._flying[job.vendor, job.id] = Flying(task, queue)
            await self.crew.enrol(job, timeout=self.batch.timeout, base_url=base_url)
        except Exception as error:  # whatever it is, it is about this row
            return self.batch.result_of(task, error=error)
        return None

    async def _submitted(self, task: RowTask, queue: Queue) -> Job:
        clock, batch = self.batch.client.wire.clock, self.batch
        await self._rested(task)
        if (pause := queue.pace.wait(clock.now())) > 0:
            await clock.asleep(pause)
        if not batch.budget.reserve(task.bound):
            raise BudgetError("the budget is used up; the row was not sent")
        task.reserved.append(task.bound)
        return await batch.client.submit(
            task.asked, reference=task.row.reference, output=batch.output
        )

    async def _rested(self, task: RowTask) -> None:
        """Wait as long as all vendors of a row rest: it would only be sent to nobody."""
        clock, health = self.batch.client.wire.clock, self.batch.client.health
        while (
            task.routed
            and (pause := min(health.rests(plan.vendor, clock.now()) for plan in task.usable)) > 0
        ):
            await clock.asleep(pause)

    # -- coming home -----------------------------------------------------------------------------

    async def _land(self) -> None:
        """Bring one job home after the other."""
        while True:
            end = await self.crew.get()
            flying = self._flying.pop((end.job.vendor, end.job.id))
            await self._done(flying.task, flying.queue, await self._landed(flying.task, end))

    async def _landed(self, task: RowTask, end: Completed) -> Result:
        if end.error is not None:
            return self.batch.result_of(task, error=end.error)
        if end.job.status != "succeeded":
            return self.batch.result_of(task, error=failed(end.job))
        return await self._generated(task)

    async def _generated(self, task: RowTask) -> Result:
        """Do what is left to do for a row, by its reference."""
        batch = self.batch
        options = {
            "output": batch.output,
            "timeout": batch.timeout,
            "reference": task.row.reference,
        }
        try:
            return batch.result_of(task, await batch.client.generate(task.asked, **options))  # type: ignore[arg-type]
        except Exception as error:  # as above
            return batch.result_of(task, error=error)

    async def _done(self, task: RowTask, queue: Queue, result: Result) -> None:
        """A row is over, unless its answer was lost: then it is looked for, once."""
        for bound in task.reserved:
            self.batch.budget.settle(
                bound, None if result.billed == "no" else Bound.of(result.cost)
            )
        task.reserved.clear()
        if result.state != "ambiguous":
            self.batch.finished(result)
        elif self._shared.isdisjoint(task.contents):
            await self._look_for(task, result)
        else:
            # A vendor's list tells rows apart by their bodies. That of a row which has the same, and whose
            # answer is still on its way, must not be taken for this one's.
            self._later.append((task, result))
        queue.free.release()
        self._left -= 1
        if not self._left:
            self._over.set()

    async def _look_for(self, task: RowTask, result: Result) -> None:
        """Ask once what became of a submit whose answer was lost, and go on with the job where it is found."""
        try:
            findings = await self.batch.client.reconcile(result.ledger_id or "")
        except Exception as error:  # as above
            self.batch.finished(self.batch.result_of(task, error=error))
            return
        found = any(finding.result == "found" for finding in findings)
        self.batch.finished(await self._generated(task) if found else result)
