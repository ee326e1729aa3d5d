"""Many jobs in flight: whom to ask next about which of them, with as few calls as the vendors allow. No I/O here.

A job in flight is an entry in a heap of due times and its last state as bytes, about a kilobyte; it has no task, no
timer and no connection. `polyreel.drivers` asks the queries of a fleet, a few at a time.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from attrs import Factory, define, field, frozen

from .errors import LedgerError, PolyreelError, VendorError
from .flows import Flow, Paused, Tell, at_once, now
from .jobs import about, advance, warn_of_unknown
from .polling import Timetable
from .provider import FINAL, Facts, Status
from .records import keep, past
from .registry import get_provider
from .waiting import Patience, age_of, still_running, timetable

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from .provider import Provider

AT_ONCE: Final = 4
"""How many queries are under way at one vendor."""
LONGEST_REST: Final = 120.0
LEARNED_SECONDS: Final = 60.0
"""How long it is before the ledger is asked again how long jobs take."""
JITTER: Final = 0.1


@frozen
class Completed:
    """The end of the waiting for one job: it is over, or `error` tells why nobody waits for it any more."""

    job: Job
    error: PolyreelError | None = None


@define(eq=False)
class Flight:
    """A job in flight."""

    lane: Lane
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
    """Whether a query about several has not told of it."""
    over: bool = False

    @property
    def job(self) -> Job:
        """The job, as far as it matters before its end."""
        from polyreel_generated.shared import Job  # noqa: PLC0415

        return Job.model_validate_json(self.document).model_copy(update={"status": self.status})


@define(eq=False)
class Lane:
    """The jobs of one vendor at one address."""

    provider: Provider
    base_url: str | None
    due: list[tuple[float, int, Flight]] = Factory(list)
    size: int = 0
    under_way: int = 0
    rests_until: float = 0.0
    troubles: int = 0
    """How many queries have failed since the last that did not."""

    def wait(self, seconds: float) -> float:
        """Seconds until something can be asked here; infinity where only answers are waited for."""
        while self.due and self.due[0][2].over:
            heappop(self.due)
        if not self.due or self.under_way >= AT_ONCE:
            return float("inf")
        return max(self.due[0][0], self.rests_until) - seconds


@frozen
class Query:
    """One status query about one job, or about several of one vendor."""

    lane: Lane
    flights: tuple[Flight, ...]
    together: bool

    def ask(self) -> Flow[Mapping[str, Facts]]:
        """What the vendor tells of them."""
        provider, base_url = self.lane.provider, self.lane.base_url
        if self.together:
            return (yield from provider.ask_about([flight.task for flight in self.flights], base_url))
        flight = self.flights[0]
        return {flight.task: (yield from provider.get(flight.task, base_url))}


@define(eq=False)
class Fleet:
    """Jobs that are waited for. Each leaves it once, as a Completed."""

    randomness: random.Random = Factory(random.Random)
    _lanes: dict[tuple[str, str | None], Lane] = field(factory=dict, init=False)
    _flights: dict[tuple[str, str], Flight] = field(factory=dict, init=False)
    _times: dict[tuple[Any, ...], tuple[float, Timetable]] = field(factory=dict, init=False)
    _numbers: count[int] = field(factory=count, init=False)

    def __len__(self) -> int:
        return len(self._flights)

    # -- in ------------------------------------------------------------------------------------------

    def enrol(self, job: Job, *, timeout: float, base_url: str | None = None) -> Flow[list[Completed]]:
        """Wait for one more job, at most `timeout` seconds; the result is its end, where it is over already.

        A job that is in flight already is not waited for twice.
        """
        over = Patience().told(job)
        if over is not None or (job.vendor, job.id) in self._flights:
            return [] if over is None else [Completed(over)]
        seconds = yield from now()
        kind = (job.vendor, job.model, job.workflow, job.estimated_seconds)
        learned_at, times = self._times.get(kind, (-LEARNED_SECONDS, None))
        if times is None or seconds - learned_at >= LEARNED_SECONDS:
            times = timetable(job, (yield from past(job)))
            self._times[kind] = seconds, times
        self._take_off(job, times, seconds, timeout, base_url)
        return []

    def _take_off(self, job: Job, times: Timetable, seconds: float, timeout: float, base_url: str | None) -> None:
        lane = self._lanes.get((job.vendor, base_url))
        if lane is None:
            lane = self._lanes[job.vendor, base_url] = Lane(get_provider(job.vendor), base_url)
        age = age_of(job, seconds)
        document = job.model_dump_json(exclude_none=True).encode()
        facts = (lane, job.id, job.status, document, seconds - age, seconds + timeout, timeout, times)
        flight = self._flights[job.vendor, job.id] = Flight(*facts)
        lane.size += 1
        self._plan(flight, seconds, next(times.pauses(age)))

    def _plan(self, flight: Flight, seconds: float, pause: float) -> None:
        """Ask about a job after a pause, spread so that jobs which began together are not asked about together."""
        pause *= 1 + JITTER * self.randomness.random()
        heappush(flight.lane.due, (min(seconds + pause, flight.ends), next(self._numbers), flight))

    # -- what to ask ---------------------------------------------------------------------------------

    def next(self, seconds: float) -> Query | float:
        """What is to be asked now, or how many seconds there is nothing to ask; infinity where only answers, or other
        jobs, can bring more.
        """
        least = float("inf")
        for lane in self._lanes.values():
            wait = lane.wait(seconds)
            if wait <= 0:
                return self._query(lane, seconds)
            least = min(least, wait)
        return least

    def _query(self, lane: Lane, seconds: float) -> Query:
        # Whoever was asked goes to the end, so that no vendor has to wait for another.
        key = next(key for key, known in self._lanes.items() if known is lane)
        self._lanes[key] = self._lanes.pop(key)
        lane.under_way += 1
        flights = [heappop(lane.due)[2]]
        survey = lane.provider.survey
        if survey is not None and not (survey.running_only and lane.size > survey.size) and not flights[0].alone:
            # The next ones too, though they are not due: they cost nothing here, and a query of their own later.
            while len(flights) < survey.size and lane.due and not lane.due[0][2].alone:
                flights.append(heappop(lane.due)[2])
        return Query(lane, tuple(flights), together=len(flights) > 1)

    # -- what was told -------------------------------------------------------------------------------

    def attend(self, query: Query) -> Flow[list[Completed]]:
        """Ask a query; the result is the jobs for which the waiting is over by its answer."""
        lane = query.lane
        try:
            facts = yield from at_once(query.ask())
        except Paused as pause:
            seconds = yield from now()
            lane.troubles += 1
            rest = min(LONGEST_REST, pause.seconds * 2.0 ** min(lane.troubles - 1, 10))
            lane.rests_until = max(lane.rests_until, seconds + rest)
            return [end for flight in query.flights for end in self._unheard(flight, seconds, "no usable answer")]
        except VendorError as error:
            seconds = yield from now()
            return [end for flight in query.flights for end in self._failed(flight, error, query, seconds)]
        finally:
            lane.under_way -= 1
        lane.troubles = 0
        return (yield from self._heard(query, facts))

    def _heard(self, query: Query, told: Mapping[str, Facts]) -> Generator[Any, Any, list[Completed]]:
        seconds = yield from now()
        ends: list[Completed] = []
        for flight in query.flights:
            facts = told.get(flight.task)
            if flight.over:
                continue
            if facts is None:
                flight.alone = True
                heappush(flight.lane.due, (seconds, next(self._numbers), flight))
            else:
                flight.alone = False
                ends += yield from self._told(flight, facts, seconds)
        return ends

    def _told(self, flight: Flight, facts: Facts, seconds: float) -> Flow[list[Completed]]:
        if facts.status not in FINAL:  # nothing else that it tells by now will matter
            if facts.status != flight.status:
                warn_of_unknown(flight.lane.provider, flight.task, facts)
                flight.status = facts.status
            return self._again(flight, seconds)
        job = advance(flight.job, facts, seconds)
        yield Tell(job)
        flight.patience = flight.patience or Patience()
        over = flight.patience.told(job)
        return self._again(flight, seconds) if over is None else [(yield from self._landed(flight, over))]

    def _landed(self, flight: Flight, job: Job) -> Flow[Completed]:
        self._leave(flight)
        try:
            return Completed((yield from keep(job)))
        except LedgerError as error:
            return Completed(job, about(job, error))

    def _failed(self, flight: Flight, error: VendorError, query: Query, seconds: float) -> list[Completed]:
        """What follows from a refused query. One about several says nothing about each: they are asked for alone."""
        if query.together and error.status not in {401, 403}:
            flight.alone = True
            return self._again(flight, seconds)
        flight.patience = flight.patience or Patience()
        if not flight.patience.is_over(error):
            return self._again(flight, seconds)
        self._leave(flight)
        job = flight.job
        facts: dict[str, Any] = {"vendor": job.vendor, "status": error.status, "code": error.code}
        return [Completed(job, about(job, type(error)(str(error), request_id=error.request_id, **facts)))]

    def _unheard(self, flight: Flight, seconds: float, trouble: str) -> list[Completed]:
        flight.patience = flight.patience or Patience()
        flight.patience.trouble = f" (last trouble: {trouble})"
        return self._again(flight, seconds)

    def _again(self, flight: Flight, seconds: float) -> list[Completed]:
        """Ask about it later, or no more where its time is up."""
        if seconds >= flight.ends:
            self._leave(flight)
            trouble = flight.patience.trouble if flight.patience else ""
            job = flight.job
            return [Completed(job, still_running(job, flight.timeout, trouble))]
        self._plan(flight, seconds, flight.times.pause(max(0.0, seconds - flight.started)))
        return []

    def _leave(self, flight: Flight) -> None:
        flight.over = True
        flight.lane.size -= 1
        del self._flights[flight.lane.provider.id, flight.task]
