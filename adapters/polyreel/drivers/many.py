"""The crew of a fleet: asks its queries, a few at a time, and hands out the jobs that are over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from math import isinf
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..flows import Flow
from ..jobs.many import Completed, ManyJobs
from .pump import arun, run
from .wire import CONNECTIONS, RealClock, Wire

if TYPE_CHECKING:
    from polyreel_generated.shared import Job


def completed(fleet: ManyJobs, wire: Wire) -> Iterator[Completed]:
    """The jobs of a fleet as they end, blocking, with one query at a time."""
    while len(fleet):
        found = fleet.next(wire.clock.now())
        if isinstance(found, float):
            wire.clock.sleep(found)
        else:
            yield from run(found, wire)


class ManyJobsDriver:
    """Works on a fleet as long as the block runs. Jobs may join at any time; iterating gives each as it ends."""

    def __init__(self, wire: Wire, fleet: ManyJobs) -> None:
        self._wire, self._fleet = wire, fleet
        self._ended: asyncio.Queue[Completed | Exception] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._turn = asyncio.Lock()
        self._news = asyncio.Event()

    async def enrol(self, job: Job, *, timeout: float, base_url: str | None = None) -> None:
        """Wait for one more job."""
        self._tell(
            await arun(self._fleet.enrol(job, timeout=timeout, base_url=base_url), self._wire)
        )

    async def __aiter__(self) -> AsyncIterator[Completed]:
        while len(self._fleet) or not self._ended.empty():
            yield await self.get()

    async def get(self) -> Completed:
        """The next job that is over. Raises what nobody can go on after, such as a listener's own mistake."""
        found = await self._ended.get()
        if isinstance(found, Exception):
            raise found
        return found

    async def __aenter__(self) -> Self:
        self._workers = [asyncio.create_task(self._work()) for _ in range(CONNECTIONS)]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def _work(self) -> None:
        try:
            while True:
                work = await self._next()
                self._tell(await arun(work, self._wire))
        except Exception as error:  # whoever waits for jobs must hear of it
            self._ended.put_nowait(error)

    def _tell(self, ends: list[Completed]) -> None:
        for end in ends:
            self._ended.put_nowait(end)
        self._news.set()

    async def _next(self) -> Flow[list[Completed]]:
        """The next thing to do. One worker waits until there is one, the others for their turn."""
        async with self._turn:
            while isinstance(found := self._fleet.next(self._wire.clock.now()), float):
                self._news.clear()
                await self._rest(found)
            return found

    async def _rest(self, seconds: float) -> None:
        """Wait for the time, or for news: an answer, or another job, may bring something to ask."""
        cancel = None if isinf(seconds) else self._alarm(seconds)
        try:
            await self._news.wait()
        finally:
            if cancel is not None:
                cancel()

    def _alarm(self, seconds: float) -> Callable[[], object]:
        """Have it be news that a time has come; the result calls that off."""
        clock = self._wire.clock
        if (
            type(clock) is RealClock
        ):  # a timer costs a fraction of a task, and there is one for almost every query
            return asyncio.get_running_loop().call_later(seconds, self._news.set).cancel

        async def ring() -> None:
            await clock.asleep(seconds)
            self._news.set()

        return asyncio.create_task(ring()).cancel
