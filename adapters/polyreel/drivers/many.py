"""Drivers of many jobs: they make the queries of a ManyJobs, and give each job that is over."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from math import isinf
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, cast

from ..flows import Flow
from ..jobs.many import Completed, ManyJobs
from .pump import arun, run
from .wire import RealClock, Wire

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..ledger.events import News

MOST_WORKERS: Final = 256
"""How many queries, and writes of ends, are under way at most.

A vendor has four queries, and each may tell of some 50 ends: those are written together, and no
query waits for them. Where a ledger cannot keep up, the vendors are asked no more meanwhile.
"""


def completed(many: ManyJobs, wire: Wire) -> Iterator[Completed]:
    """Give the jobs as they end, blocking, with one query at a time."""
    while len(many):
        work = many.next(wire.clock.now())
        if isinstance(work, float):
            wire.clock.sleep(work)
        else:
            yield from run(work, wire)


class ManyJobsDriver:
    """Waits for many jobs as long as its block runs, awaiting.

    Jobs can be added at any time. Iterating gives each job as it ends.
    """

    def __init__(self, wire: Wire, many: ManyJobs) -> None:
        self._wire, self._many = wire, many
        many.vendors = wire.asked
        self._jumps = getattr(wire.clock, "jumps", False)
        """Whether the clock moves on when somebody waits for a time, whoever else is at work."""
        self._ended: asyncio.Queue[Completed | Exception] = asyncio.Queue()
        self._workers: set[asyncio.Task[None]] = set()
        """As many as there was work for at the same time."""
        self._idle: deque[asyncio.Future[None]] = deque()
        """What the workers that have nothing to do wait for."""
        self._awake = 0
        """How many workers do something, or are about to look for it."""
        self._roused = 0
        """How many of them were idle, or have just begun, and have not looked yet."""
        self._is_open = False
        self._alarm: tuple[float, Callable[[], object]] | None = None
        """When a worker is woken, in seconds since 1970, and what cancels that."""
        self._rings: set[asyncio.Task[None]] = set()
        """The tasks of alarms, where the clock is not the machine's."""

    async def enrol(
        self,
        job: Job,
        *,
        timeout: float,
        base_url: str | None = None,
        news: News | None = None,
    ) -> None:
        """Wait for one more job, at most `timeout` seconds; `news` is as for ManyJobs."""
        await self.enrol_all([(job, base_url)], timeout=timeout, news=news)

    async def enrol_all(
        self, jobs: Iterable[tuple[Job, str | None]], *, timeout: float, news: News | None = None
    ) -> None:
        """The same for several with their addresses: a flow for each would take longer."""

        def adding() -> Flow[list[Completed]]:
            ends = []
            for job, base_url in jobs:
                ends += yield from self._many.enrol(
                    job, timeout=timeout, base_url=base_url, news=news
                )
            return ends

        self._hand_out(await arun(adding(), self._wire))
        self._look_ahead(self._wire.clock.now())

    @property
    def is_idle(self) -> bool:
        """Whether no job is waited for, and each that is over was given."""
        return not len(self._many) and self._ended.empty()

    async def __aiter__(self) -> AsyncIterator[Completed]:
        while not self.is_idle:
            yield await self.get()

    async def get(self) -> Completed:
        """Wait for the next job that is over.

        It raises the exception of a worker that could not go on, such as one of a listener.
        """
        found = await self._ended.get()
        if isinstance(found, Exception):
            raise found
        return found

    async def __aenter__(self) -> Self:
        self._is_open = True
        self._look_ahead(self._wire.clock.now())  # jobs may have been added before
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_open = False  # nobody is to be woken any more
        self._cancel_alarm()
        self._many.leave()  # before anything is awaited, where this can be canceled too
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, *self._rings, return_exceptions=True)

    async def _work(self) -> None:
        self._roused -= 1
        try:
            while True:
                work = await self._next()
                self._hand_out(await arun(work, self._wire))
        except Exception as error:  # `get` raises it
            self._ended.put_nowait(error)
            self._awake -= 1
            self._workers.remove(cast("asyncio.Task[None]", asyncio.current_task()))
            self._look_ahead(self._wire.clock.now())

    def _hand_out(self, ends: list[Completed]) -> None:
        for end in ends:
            self._ended.put_nowait(end)

    async def _next(self) -> Flow[list[Completed]]:
        """Wait for the next thing to do."""
        while True:
            seconds = self._wire.clock.now()
            work = self._many.next(seconds)
            if not isinstance(work, float):
                self._look_ahead(seconds)
                return work
            idle = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            self._awake -= 1
            self._wake_after(work, seconds)
            await idle
            self._roused -= 1

    def _look_ahead(self, seconds: float) -> None:
        """Have a worker woken when there is something to do, from now (`seconds`) on."""
        writes = self._many.writes
        for _ in range(writes - self._roused):  # at the same time, so that they share a commit
            self._wake()
        if self._has_room and not writes:  # who ends its work looks, too
            self._wake_after(self._many.wait(seconds), seconds)

    @property
    def _has_room(self) -> bool:
        """Whether more can be done at the same time."""
        return self._is_open and (bool(self._idle) or len(self._workers) < MOST_WORKERS)

    def _wake_after(self, wait: float, seconds: float) -> None:
        """Wake a worker some seconds after now (`seconds`).

        One alarm is for all of them. It stays where it comes before that.
        """
        if wait <= 0:
            self._wake()
        elif self._jumps and self._awake:
            return  # such a clock stands still as long as a query is on its way
        elif not isinf(wait) and (self._alarm is None or seconds + wait < self._alarm[0]):
            self._cancel_alarm()
            self._alarm = seconds + wait, self._alarm_in(wait)

    def _wake(self) -> None:
        """Wake an idle worker; where none is, and there is room, have one more."""
        if self._jumps:
            self._cancel_alarm()
        if not self._has_room:
            return
        self._awake += 1
        self._roused += 1
        while self._idle:
            idle = self._idle.popleft()
            if not idle.done():  # one that is cancelled waits no longer
                idle.set_result(None)
                return
        self._workers.add(asyncio.create_task(self._work()))

    def _cancel_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm[1]()
            self._alarm = None

    def _ring(self) -> None:
        self._alarm = None
        self._wake()

    def _alarm_in(self, seconds: float) -> Callable[[], object]:
        """Wake a worker after some seconds; the result cancels that."""
        clock = self._wire.clock
        if type(clock) is RealClock:
            # A timer costs a fraction of a task, and there is one for almost every query.
            return asyncio.get_running_loop().call_later(seconds, self._ring).cancel

        async def ring() -> None:
            await clock.asleep(seconds)
            self._ring()

        task = asyncio.create_task(ring())
        self._rings.add(task)
        task.add_done_callback(self._rings.discard)
        return task.cancel
