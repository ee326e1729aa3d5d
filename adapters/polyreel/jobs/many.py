"""Waiting for many jobs: about which of them to ask next, with as few calls as vendors allow.

Nothing here does I/O. `polyreel.drivers` makes the queries, a few at a time.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar

from attrs import Factory, define, field, frozen

from ..errors import LedgerError, PolyreelError, Portable, TaskNotFoundError, VendorError, alike
from ..flows import LAST_CALL, Flow, Notify, Reply, Sleep, now
from ..ledger.events import News, keep, past, read_news, read_news_of
from ..ledger.states import about, advance, warn_of_unknown
from ..providers.base.facts import FINAL, Facts, Status
from ..providers.base.registry import get_provider
from .queues import AskedVendor, AskedVendors, PendingJob, Query, VendorQueue
from .timetable import LONGEST, Timetable
from .waiting import (
    CALLED_BACK_SECONDS,
    JITTER,
    LISTEN_SECONDS,
    Patience,
    age_of,
    ended,
    is_complete,
    observe_end,
    still_running,
    timetable,
    unclear,
)

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

T = TypeVar("T")
LOG: Final = logging.getLogger("polyreel")
LEARNED_SECONDS: Final = 60.0
"""After how many seconds the ledger is asked again how long jobs take."""

Kind = tuple[str, str, str, float | None]
"""Vendor, model, workflow and estimated seconds: jobs of a kind share a timetable."""


@frozen
class Completed:
    """The end of the waiting for one job: it is over, or `error` says why the waiting ended."""

    job: Job
    error: Exception | None = None


@define(eq=False)
class ManyJobs:
    """Jobs that are waited for. Each leaves once, as a Completed."""

    simulated: bool
    randomness: random.Random = Factory(random.Random)
    shards: int = 1
    """In how many shards the jobs are, of which these are one."""
    vendors: AskedVendors = field(factory=dict, init=False)
    """Its own, or those of all who ask the same vendors with one client."""
    _queues: dict[tuple[str, str], VendorQueue] = field(factory=dict, init=False)
    _pending: dict[tuple[str, str], PendingJob] = field(factory=dict, init=False)
    _times: dict[Kind, tuple[float, Timetable]] = field(factory=dict, init=False)
    """Timetables, and when the ledger was asked for them."""
    _ends: list[tuple[float, int, PendingJob]] = field(factory=list, init=False)
    """A heap of the times at which the waiting for a job ends, even if its vendor rests."""
    _numbers: count[int] = field(factory=count, init=False)
    _callers: frozenset[str] = field(default=frozenset(), init=False)
    """The vendors that call back. They are asked seldom, and the ledger is read often."""
    _unwritten: deque[tuple[PendingJob, Job]] = field(factory=deque, init=False)
    """Jobs that have ended, by what their vendor says, and are still to be written down."""
    _news_read_at: float = field(default=0.0, init=False)

    def __len__(self) -> int:
        return len(self._pending)

    # -- adding jobs -------------------------------------------------------------------------------

    def enrol(
        self,
        job: Job,
        *,
        timeout: float,
        base_url: str | None = None,
        news: News | None = None,
    ) -> Flow[list[Completed]]:
        """Wait for one more job, at most `timeout` seconds.

        The result is its end, where it is over already. A pending job is not added twice. `news` is
        what the ledger says of it; left out, the ledger is asked.
        """
        if (job.vendor, job.id) in self._pending:
            return []
        seconds = yield from now()
        if news is None:
            news = yield from read_news_of(job)
        over = ended(job, news) or Patience().final(job)
        if over is not None:
            return [Completed(over)]
        if not timeout > 0:
            return [Completed(job, still_running(job, timeout))]
        if not self._pending:
            self._news_read_at = seconds
        self._callers |= news.callers
        kind = (job.vendor, job.model, job.workflow, job.estimated_seconds)
        learned_at, times = self._times.get(kind, (-LEARNED_SECONDS, None))
        if times is None or seconds - learned_at >= LEARNED_SECONDS:
            times = timetable(job, (yield from past(job)))
            self._times[kind] = seconds, times
        self._add(job, times, seconds, timeout, base_url)
        return []

    def _add(
        self, job: Job, times: Timetable, seconds: float, timeout: float, base_url: str | None
    ) -> None:
        provider = get_provider(job.vendor)
        # An entry of the ledger names the vendor's own address, where a client does not.
        key = job.vendor, base_url or provider.base_url
        queue = self._queues.get(key)
        if queue is None:
            vendor = self.vendors.setdefault(key, AskedVendor())
            queue = self._queues[key] = VendorQueue(provider, base_url, vendor, self.shards)
        age = age_of(job, seconds)
        pending = PendingJob(
            queue=queue,
            task=job.id,
            status=job.status,
            document=job.model_dump_json(exclude_none=True).encode(),
            started=seconds - age,
            ends=seconds + timeout,
            timeout=timeout,
            times=times,
            locator=job.locator,
        )
        self._pending[job.vendor, job.id] = pending
        queue.grow()
        heappush(self._ends, (pending.ends + LAST_CALL, next(self._numbers), pending))
        self._plan(pending, seconds, next(times.pauses(age)))

    def _plan(self, pending: PendingJob, seconds: float, pause: float) -> None:
        """Ask about a job after a pause.

        The pause is spread, so that jobs that began together are not asked about together.
        """
        pause = max(pause, min(LONGEST, pause * pending.queue.stretch))
        if pause and pending.queue.provider.id in self._callers:
            pause = max(pause, CALLED_BACK_SECONDS)
        pause *= 1 + JITTER * self.randomness.random()
        pending.queue.schedule(pending, min(seconds + pause, pending.ends), next(self._numbers))

    def leave(self) -> None:
        """Wait no longer: the vendors are left to the others who ask them."""
        for queue in self._queues.values():
            queue.leave()

    # -- what to do next ---------------------------------------------------------------------------

    def next(self, seconds: float) -> Flow[list[Completed]] | float:
        """What to do now (`seconds` since 1970), or for how many seconds there is nothing to do.

        The result of the flow is the jobs that are then over. Infinity means that only an answer,
        or another job, can lead to more work.
        """
        if self._unwritten:
            return self._keep(*self._unwritten.popleft())
        if (least := self._wait_but_for_queries(seconds)) > 0:
            for key, queue in self._queues.items():
                if (wait := queue.wait(seconds)) <= 0:
                    # It goes to the end, so that no vendor has to wait for another.
                    self._queues[key] = self._queues.pop(key)
                    return self._ask(queue.query(seconds), seconds)
                least = min(least, wait)
            return least
        if self._ends[0][0] <= seconds:
            return self._expired(heappop(self._ends)[2])
        return self._read_news(seconds)

    def wait(self, seconds: float) -> float:
        """For how many seconds from now (`seconds` since 1970) there is nothing to do.

        0 or less where there is something now, infinity as for `next`.
        """
        if self._unwritten:
            return 0.0
        least = self._wait_but_for_queries(seconds)
        for queue in self._queues.values():
            if least <= 0:
                break
            least = min(least, queue.wait(seconds))
        return least

    @property
    def writes(self) -> int:
        """How many ends of jobs are to be written down now: at the same time, as they then share a
        commit.
        """
        return len(self._unwritten)

    def _wait_but_for_queries(self, seconds: float) -> float:
        """The same for anything but a query."""
        while self._ends and self._ends[0][2].over:
            heappop(self._ends)
        if not self._ends:
            return inf
        least = self._ends[0][0] - seconds
        if self._callers:
            least = min(least, LISTEN_SECONDS - (seconds - self._news_read_at))
        return least

    def _expired(self, pending: PendingJob) -> Flow[list[Completed]]:
        """The time of a job is up, though its vendor could not be asked for the last time."""
        return self._ask_later(pending, (yield from now()))

    def _news_are_due(self, seconds: float) -> bool:
        """Whether the ledger has not been read for a while."""
        return seconds - self._news_read_at >= LISTEN_SECONDS

    def _read_news(self, seconds: float) -> Flow[list[Completed]]:
        """Read from the ledger which jobs have ended: webhooks or other processes report them."""
        # From a little before the last time: other processes read the clock before they write.
        since, self._news_read_at = self._news_read_at - LISTEN_SECONDS, seconds
        try:
            news = yield from read_news(since, simulated=self.simulated, tasks=self._pending)
        except LedgerError as error:  # the vendor can still be asked
            LOG.warning("%s", error)
            return []
        if news is None:
            return []
        self._callers = news.callers
        ends = []
        for pending, job in [(self._pending.get((job.vendor, job.id)), job) for job in news.ended]:
            if pending is not None and is_complete(job):
                yield Notify(job)
                yield from observe_end(job)
                ends.append(self._completed(pending, job))
            elif pending is not None:  # only the vendor can give its outputs
                pending.answered(alone=True)
                self._plan(pending, seconds, 0.0)
        return ends

    # -- queries and their answers -----------------------------------------------------------------

    def _ask(self, query: Query, seconds: float) -> Flow[list[Completed]]:
        """Make a query, unless the ledger has the ends of all its jobs by then."""
        ends = []
        try:
            if self._news_are_due(seconds):
                ends = yield from self._read_news(seconds)
            if query.jobs[0].over and all(pending.over for pending in query.jobs):
                return ends
            answer = yield from at_once(query.ask(), query.goes_on)
        except Paused as pause:
            seconds = yield from now()
            query.queue.vendor.unanswered(pause.seconds, seconds)
            return ends + self._in_vain(query, seconds)
        except Exception as error:  # whatever it is, nobody may wait for these jobs for ever
            seconds = yield from now()
            if query.together and isinstance(error, VendorError):
                return ends + self._in_vain(query, seconds)
            left = [pending for pending in query.jobs if not pending.over]
            return ends + [
                end for pending in left for end in self._failed(pending, error, query, seconds)
            ]
        finally:
            query.queue.under_way -= 1
        query.answered()
        if isinstance(answer, str):
            return ends + self._goes_on(query, answer, (yield from now()))
        return ends + (yield from self._answered(query, answer))

    def _in_vain(self, query: Query, seconds: float) -> list[Completed]:
        """Handle a query whose answer, if there is one, says nothing about any job."""
        query.failed(seconds)
        ends: list[Completed] = []
        for pending in query.jobs:
            if query.together and pending.alone and not pending.over:  # before all that are due
                pending.queue.schedule(pending, 0.0, next(self._numbers))
            else:
                ends += self._ask_later(pending, seconds)
        return ends

    def _goes_on(self, query: Query, status: Status, seconds: float) -> list[Completed]:
        """Handle an answer that only says that its one job goes on."""
        pending = query.jobs[0]
        pending.answered()
        pending.status, pending.answer = status, query.answer
        return self._nothing_new(pending, seconds)

    def _answered(self, query: Query, answer: Mapping[str, Facts]) -> Flow[list[Completed]]:
        """Handle an answer that was read."""
        seconds = yield from now()
        ends: list[Completed] = []
        for pending in query.jobs:
            facts = answer.get(pending.task)
            pending.answered(alone=facts is None)
            if facts is None:
                ends += self._ask_later(pending, seconds, pause=0.0)
            else:
                ends += yield from self._advanced(pending, facts, seconds)
                if not facts.is_strange and facts.status not in FINAL:
                    pending.answer = query.answer
        return ends

    def _nothing_new(self, pending: PendingJob, seconds: float) -> list[Completed]:
        if pending.patience is not None:
            pending.patience.answered()
        return self._ask_later(pending, seconds)

    def _advanced(self, pending: PendingJob, facts: Facts, seconds: float) -> Flow[list[Completed]]:
        if pending.over:
            return []
        if facts.is_strange:
            return (yield from self._strange(pending, facts, seconds))
        if facts.status not in FINAL:  # nothing else in the answer matters later
            if facts.status != pending.status:
                warn_of_unknown(pending.queue.provider, pending.task, facts)
                pending.status = facts.status
            return self._nothing_new(pending, seconds)
        if pending.patience is not None:
            pending.patience.answered()
        job = advance(pending.job, facts, seconds)
        yield Notify(job)
        pending.patience = pending.patience or Patience()
        over = pending.patience.final(job)
        if over is None:
            return self._ask_later(pending, seconds)
        # Others can have ended in the same answer: each is a flow of its own.
        self._unwritten.append((pending, over))
        return []

    def _keep(self, pending: PendingJob, over: Job) -> Flow[list[Completed]]:
        """Write down that a job has ended, unless the ledger has told of it."""
        if pending.over:
            return []
        trouble: LedgerError | None = None
        try:
            over = yield from keep(over)
        except LedgerError as error:
            trouble = error
        if pending.over:  # the ledger told of it while it was written
            return []
        yield from observe_end(over)
        return [self._completed(pending, over, trouble)]

    def _strange(self, pending: PendingJob, facts: Facts, seconds: float) -> Flow[list[Completed]]:
        """Handle a status word that nobody knows, beside a link or an error."""
        if facts.status != pending.status:
            warn_of_unknown(pending.queue.provider, pending.task, facts)
            pending.status = facts.status
        pending.patience = pending.patience or Patience()
        pending.patience.answered(strange=True)
        if not pending.patience.is_strange:
            return self._ask_later(pending, seconds)
        job = advance(pending.job, facts, seconds)
        yield Notify(job)
        return [self._completed(pending, job, unclear(job))]

    def _failed(
        self, pending: PendingJob, error: Exception, query: Query, seconds: float
    ) -> list[Completed]:
        """Handle a refused query, or one that could not be made."""
        if not isinstance(error, VendorError):
            return [self._completed(pending, pending.job, alike(error))]
        pending.patience = pending.patience or Patience()
        is_over = pending.patience.is_over(error)
        if is_over or isinstance(error, TaskNotFoundError):
            query.answered()  # it says something about this one job
        else:
            query.failed(seconds)
        if not is_over:
            return self._ask_later(pending, seconds)
        return [self._completed(pending, pending.job, alike(error))]

    def _ask_later(
        self, pending: PendingJob, seconds: float, *, pause: float | None = None
    ) -> list[Completed]:
        """Ask about a job after a pause, by its timetable where none is given; or end the waiting.

        The waiting ends where the job's time is up.
        """
        if pending.over:
            return []
        if seconds >= pending.ends:
            job = pending.job
            error = still_running(job, pending.timeout, pending.trouble)
            return [self._completed(pending, job, error)]
        if pause is None:
            pause = pending.times.pause(max(0.0, seconds - pending.started))
        self._plan(pending, seconds, pause)
        return []

    def _completed(
        self, pending: PendingJob, job: Job, error: Exception | None = None
    ) -> Completed:
        pending.over = True
        pending.queue.shrink()
        del self._pending[pending.queue.provider.id, pending.task]
        if isinstance(error, PolyreelError):
            about(job, error)
        return Completed(job, error)


class Paused(Portable, Exception):  # noqa: N818 - it asks for patience
    """A flow wants to wait before it tries again."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


def at_once(
    flow: Flow[T], enough: Callable[[Reply], Status | None] = lambda _: None
) -> Flow[T | Status]:
    """The same flow without pauses: it raises Paused instead, so that others can run meanwhile.

    What `enough` makes of the first answer, unless it is None, is the result, and ends the flow.
    """
    first = True
    result: Any = None
    failure: PolyreelError | None = None
    try:
        while True:
            try:
                step = flow.throw(failure) if failure else flow.send(result)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            if isinstance(step, Sleep):
                raise Paused(step.seconds)
            try:
                result, failure = (yield step), None
            except PolyreelError as error:
                failure = error
                continue
            if first and isinstance(result, Reply):
                first = False
                if (found := enough(result)) is not None:
                    return found
    finally:
        flow.close()
