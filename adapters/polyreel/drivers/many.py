"""Drivers of many jobs: they make the queries of a ManyJobs, and give each job that is over."""

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

    from ..ledger.events import News


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
        self._ended: asyncio.Queue[Completed | Exception] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        """Set where an answer, another job or a time may have brought something to do."""

    async def enrol(
        self,
        job: Job,
        *,
        timeout: float,
        base_url: str | None = None,
        news: News | None = None,
    ) -> None:
        """Wait for one more job, at most `timeout` seconds; `news` is as for ManyJobs."""
        adding = self._many.enrol(job, timeout=timeout, base_url=base_url, news=news)
        self._hand_out(await arun(adding, self._wire))

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
                self._hand_out(await arun(work, self._wire))
        except Exception as error:  # `get` raises it
            self._ended.put_nowait(error)

    def _hand_out(self, ends: list[Completed]) -> None:
        for end in ends:
            self._ended.put_nowait(end)
        self._changed.set()

    async def _next(self) -> Flow[list[Completed]]:
        """Wait for the next thing to do. One worker waits for it, the others for their turn."""
        async with self._turn:
            while isinstance(work := self._many.next(self._wire.clock.now()), float):
                self._changed.clear()
                await self._rest(work)
            return work

    async def _rest(self, seconds: float) -> None:
        """Wait until the time is up or something has changed."""
        cancel = None if isinf(seconds) else self._alarm(seconds)
        try:
            await self._changed.wait()
        finally:
            if cancel is not None:
                cancel()

    def _alarm(self, seconds: float) -> Callable[[], object]:
        """End the rest after some seconds; the result cancels that."""
        clock = self._wire.clock
        if type(clock) is RealClock:
            # A timer costs a fraction of a task, and there is one for almost every query.
            return asyncio.get_running_loop().call_later(seconds, self._changed.set).cancel

        async def ring() -> None:
            await clock.asleep(seconds)
            self._changed.set()

        return asyncio.create_task(ring()).cancel
