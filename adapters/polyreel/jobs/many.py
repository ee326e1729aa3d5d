"""Many jobs in flight: whom to ask next about which of them, with as few calls as the vendors allow. No I/O here.

A job in flight is an entry in a heap of due times and its last state as bytes, about a kilobyte; it has no task, no
timer and no connection. `polyreel.drivers` asks the queries of a fleet, a few at a time.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from attrs import Factory, define, field, frozen

from ..errors import LedgerError, PolyreelError, VendorError, alike
from ..flows import LAST_CALL, Flow, Notify, Paused, at_once, now
from ..ledger.events import keep, past, read_news, read_news_of
from ..ledger.states import about, advance, warn_of_unknown
from ..providers.base.facts import FINAL, Facts, Status
from ..providers.base.registry import get_provider
from .timetable import Timetable
from .waiting import (
    CALLED_BACK_SECONDS,
    JITTER,
    LISTEN_SECONDS,
    Patience,
    age_of,
    ended,
    still_running,
    tells_all,
    timetable,
)

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..providers.base.provider import Provider

LOG: Final = logging.getLogger("polyreel")
AT_ONCE: Final = 4
"""How many queries are under way at one vendor."""
LONGEST_REST: Final = 120.0
ALONE_SECONDS: Final = 60.0
"""How long jobs are asked about one by one after a query about several has failed."""
LEARNED_SECONDS: Final = 60.0
"""How long it is before the ledger is asked again how long jobs take."""


@frozen
class Completed:
    """The end of the waiting for one job: it is over, or `error` tells why nobody waits for it any more."""

    job: Job
    error: Exception | None = None


@define(eq=False)
class PendingJob:
    """A job in flight."""

    lane: VendorQueue
    task: str
    status: Status
    document: bytes
    """The job as it began, as JSON: a tenth of the size of the object."""
    started: float
    """When the vendor took it, in seconds since 1970; likewise the next."""
    ends: float
    timeout: float
    times: Timetable
    patience: Patience | None = None
    """Made where the vendor is first wrong about the job."""
    alone: bool = False
    """Whether a query about several tells nothing of it, so that it has to be asked about by itself."""
    turn: int = 0
    """The number of its entry in the heap that counts; earlier ones do not."""
    over: bool = False

    @property
    def job(self) -> Job:
        """The job, as far as it matters before its end."""
        from polyreel_generated.shared import Job  # noqa: PLC0415

        return Job.model_validate_json(self.document).model_copy(update={"status": self.status})


@define(eq=False)
class VendorQueue:
    """The jobs of one vendor at one address."""

    provider: Provider
    base_url: str | None
    due: list[tuple[float, int, PendingJob]] = Factory(list)
    size: int = 0
    under_way: int = 0
    rests_until: float = 0.0
    troubles: int = 0
    """How many rests there have been since the last answer."""
    trouble: str = ""
    """The last query that came to nothing, in words; empty where the vendor has answered since."""
    alone_until: float = 0.0
    """Until when nobody is asked about together, because that was of no use."""

    def first(self) -> PendingJob | None:
        """The job that is due first."""
        while self.due and (self.due[0][2].over or self.due[0][1] != self.due[0][2].turn):
            heappop(self.due)
        return self.due[0][2] if self.due else None

    def wait(self, seconds: float) -> float:
        """Seconds until something can be asked here; infinity where only answers are waited for."""
        if self.under_way >= AT_ONCE or self.first() is None:
            return float("inf")
        return max(self.due[0][0], self.rests_until) - seconds


@frozen
class Query:
    """One status query about one job, or about several of one vendor."""

    lane: VendorQueue
    flights: tuple[PendingJob, ...]
    together: bool

    def ask(self) -> Flow[Mapping[str, Facts]]:
        """What the vendor tells of them."""
        provider, base_url = self.lane.provider, self.lane.base_url
        if self.together:
            return (
                yield from provider.ask_about([flight.task for flight in self.flights], base_url)
            )
        flight = self.flights[0]
        return {flight.task: (yield from provider.get(flight.task, base_url))}


@define(eq=False)
class ManyJobs:
    """Jobs that are waited for. Each leaves it once, as a Completed."""

    simulated: bool
    randomness: random.Random = Factory(random.Random)
    _lanes: dict[tuple[str, str | None], VendorQueue] = field(factory=dict, init=False)
    _flights: dict[tuple[str, str], PendingJob] = field(factory=dict, init=False)
    _times: dict[tuple[Any, ...], tuple[float, Timetable]] = field(factory=dict, init=False)
    _ends: list[tuple[float, int, PendingJob]] = field(factory=list, init=False)
    """When nobody waits for a job any longer, whatever its vendor is doing."""
    _numbers: count[int] = field(factory=count, init=False)
    _callers: frozenset[str] = field(default=frozenset(), init=False)
    """The vendors that call back: they are asked seldom, and the ledger often."""
    _listened: float = field(default=0.0, init=False)
    """When the ledger was last asked what it had heard."""

    def __len__(self) -> int:
        return len(self._flights)

    # -- in ------------------------------------------------------------------------------------------

    def enrol(
        self, job: Job, *, timeout: float, base_url: str | None = None
    ) -> Flow[list[Completed]]:
        """Wait for one more job, at most `timeout` seconds; the result is its end, where it is over already.

        A job that is in flight already is not waited for twice.
        """
        if (job.vendor, job.id) in self._flights:
            return []
        seconds, news = (yield from now()), (yield from read_news_of(job))
        over = ended(job, news) or Patience().told(job)
        if over is not None:
            return [Completed(over)]
        if not timeout > 0:
            return [Completed(job, still_running(job, timeout))]
        if not self._flights:
            self._listened = seconds
        self._callers |= news.callers
        kind = (job.vendor, job.model, job.workflow, job.estimated_seconds)
        learned_at, times = self._times.get(kind, (-LEARNED_SECONDS, None))
        if times is None or seconds - learned_at >= LEARNED_SECONDS:
            times = timetable(job, (yield from past(job)))
            self._times[kind] = seconds, times
        self._take_off(job, times, seconds, timeout, base_url)
        return []

    def _take_off(
        self, job: Job, times: Timetable, seconds: float, timeout: float, base_url: str | None
    ) -> None:
        lane = self._lanes.get((job.vendor, base_url))
        if lane is None:
            lane = self._lanes[job.vendor, base_url] = VendorQueue(
                get_provider(job.vendor), base_url
            )
        age = age_of(job, seconds)
        document = job.model_dump_json(exclude_none=True).encode()
        facts = (
            lane,
            job.id,
            job.status,
            document,
            seconds - age,
            seconds + timeout,
            timeout,
            times,
        )
        flight = self._flights[job.vendor, job.id] = PendingJob(*facts)
        lane.size += 1
        heappush(self._ends, (flight.ends + LAST_CALL, next(self._numbers), flight))
        self._plan(flight, seconds, next(times.pauses(age)))

    def _plan(self, flight: PendingJob, seconds: float, pause: float) -> None:
        """Ask about a job after a pause, spread so that jobs which began together are not asked about together."""
        if pause and flight.lane.provider.id in self._callers:
            pause = max(pause, CALLED_BACK_SECONDS)
        pause *= 1 + JITTER * self.randomness.random()
        flight.turn = next(self._numbers)
        heappush(flight.lane.due, (min(seconds + pause, flight.ends), flight.turn, flight))

    # -- what to do ----------------------------------------------------------------------------------

    def next(self, seconds: float) -> Flow[list[Completed]] | float:
        """What is to be done now, whose result is the jobs that are over by that; or how many seconds there is nothing
        to do: infinity where only answers, or other jobs, can bring more.
        """
        while self._ends and self._ends[0][2].over:
            heappop(self._ends)
        least = self._ends[0][0] - seconds if self._ends else float("inf")
        if least <= 0:
            return self._expired(heappop(self._ends)[2])
        if self._flights and self._callers:
            least = min(least, self._listened + LISTEN_SECONDS - seconds)
            if least <= 0:
                return self._listen()
        for lane in self._lanes.values():
            wait = lane.wait(seconds)
            if wait <= 0:
                return self._attend(self._query(lane, seconds))
            least = min(least, wait)
        return least

    def _expired(self, flight: PendingJob) -> Flow[list[Completed]]:
        """A job whose time is up, though its vendor could not be asked for the last time."""
        return self._again(flight, (yield from now()))

    def _listen(self) -> Flow[list[Completed]]:
        """Hear what the ledger knows by now: webhooks, or other processes, tell it of jobs before anybody asks."""
        seconds = yield from now()
        if seconds - self._listened < LISTEN_SECONDS:
            return []
        # A little earlier than the last time: whoever wrote it may have looked at the clock before.
        since, self._listened = self._listened - LISTEN_SECONDS, seconds
        try:
            news = yield from read_news(since, simulated=self.simulated)
        except LedgerError as error:  # the vendor can be asked all the same
            LOG.warning("%s", error)
            return []
        if news is None:
            return []
        self._callers = news.callers
        ends = []
        for flight, job in [(self._flights.get((job.vendor, job.id)), job) for job in news.ended]:
            if flight is not None and tells_all(job):
                yield Notify(job)
                ends.append(self._landed(flight, job))
            elif flight is not None:  # what it came to is still to be asked
                flight.alone = True
                self._plan(flight, seconds, 0.0)
        return ends

    def _query(self, lane: VendorQueue, seconds: float) -> Query:
        # Whoever was asked goes to the end, so that no vendor has to wait for another.
        key = next(key for key, known in self._lanes.items() if known is lane)
        self._lanes[key] = self._lanes.pop(key)
        lane.under_way += 1
        flights = [heappop(lane.due)[2]]
        survey = lane.provider.survey
        listed = survey is not None and not (survey.running_only and lane.size > survey.size)
        if survey is not None and listed and seconds >= lane.alone_until and not flights[0].alone:
            # The next ones too, though they are not due: they cost nothing here, and a query of their own later.
            while (
                len(flights) < survey.size
                and (first := lane.first()) is not None
                and not first.alone
            ):
                flights.append(heappop(lane.due)[2])
        return Query(lane, tuple(flights), together=len(flights) > 1)

    # -- what was told -------------------------------------------------------------------------------

    def _attend(self, query: Query) -> Flow[list[Completed]]:
        """Ask a query, about those of its jobs of whose end nobody has heard by then."""
        ends = []
        try:
            ends = yield from self._listen()
            if all(flight.over for flight in query.flights):
                return ends
            facts = yield from at_once(query.ask())
        except Paused as pause:
            return ends + (yield from self._unheard(query, pause))
        except Exception as error:  # whatever it is, nobody must wait for these jobs for ever
            seconds = yield from now()
            left = [flight for flight in query.flights if not flight.over]
            return ends + [
                end for flight in left for end in self._failed(flight, error, query, seconds)
            ]
        finally:
            query.lane.under_way -= 1
        query.lane.troubles, query.lane.trouble = 0, ""
        return ends + (yield from self._heard(query, facts))

    def _unheard(self, query: Query, pause: Paused) -> Flow[list[Completed]]:
        """No answer to use: the vendor is let alone for a while, longer each time."""
        seconds, lane = (yield from now()), query.lane
        if seconds >= lane.rests_until:  # of several queries that fail at once, the first decides
            lane.troubles += 1
            lane.rests_until = seconds + min(
                LONGEST_REST, pause.seconds * 2.0 ** min(lane.troubles - 1, 10)
            )
        lane.rests_until = max(lane.rests_until, seconds + pause.seconds)
        lane.trouble = " (last trouble: no usable answer)"
        self._apart(query, seconds)
        return [end for flight in query.flights for end in self._again(flight, seconds)]

    def _apart(self, query: Query, seconds: float) -> None:
        """A query about several came to nothing, which says nothing about each: they are asked about one by one."""
        if query.together:
            query.lane.alone_until = seconds + ALONE_SECONDS

    def _heard(self, query: Query, told: Mapping[str, Facts]) -> Flow[list[Completed]]:
        seconds = yield from now()
        ends: list[Completed] = []
        for flight in query.flights:
            if (facts := told.get(flight.task)) is None:
                flight.alone = True
                ends += self._again(flight, seconds, at_once=True)
            else:
                flight.alone = False
                ends += yield from self._told(flight, facts, seconds)
        return ends

    def _told(self, flight: PendingJob, facts: Facts, seconds: float) -> Flow[list[Completed]]:
        if flight.over:
            return []
        if flight.patience is not None:
            flight.patience.answered()
        if facts.status not in FINAL:  # nothing else that it tells by now will matter
            if facts.status != flight.status:
                warn_of_unknown(flight.lane.provider, flight.task, facts)
                flight.status = facts.status
            return self._again(flight, seconds)
        job = advance(flight.job, facts, seconds)
        yield Notify(job)
        flight.patience = flight.patience or Patience()
        over = flight.patience.told(job)
        if over is None:
            return self._again(flight, seconds)
        try:
            return [self._landed(flight, (yield from keep(over)))]
        except LedgerError as error:
            return [self._landed(flight, over, error)]

    def _failed(
        self, flight: PendingJob, error: Exception, query: Query, seconds: float
    ) -> list[Completed]:
        """What follows from a refused query, or from one that could not be made."""
        if not isinstance(error, VendorError):
            return [self._landed(flight, flight.job, alike(error))]
        flight.patience = flight.patience or Patience()
        if query.together:
            self._apart(query, seconds)
            return self._again(flight, seconds, at_once=True)
        if not flight.patience.is_over(error):
            return self._again(flight, seconds)
        return [self._landed(flight, flight.job, alike(error))]

    def _again(
        self, flight: PendingJob, seconds: float, *, at_once: bool = False
    ) -> list[Completed]:
        """Ask about it later, or no more where its time is up."""
        if flight.over:
            return []
        if seconds >= flight.ends:
            job, own = flight.job, flight.patience.trouble if flight.patience else ""
            return [
                self._landed(
                    flight, job, still_running(job, flight.timeout, own or flight.lane.trouble)
                )
            ]
        pause = 0.0 if at_once else flight.times.pause(max(0.0, seconds - flight.started))
        self._plan(flight, seconds, pause)
        return []

    def _landed(self, flight: PendingJob, job: Job, error: Exception | None = None) -> Completed:
        flight.over = True
        flight.lane.size -= 1
        del self._flights[flight.lane.provider.id, flight.task]
        if isinstance(error, PolyreelError):
            about(job, error)
        return Completed(job, error)
