"""Clocks of the simulator: one that jumps instead of waiting, and the machine's, sped up."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from ..flows import Moment


class VirtualClock:
    """A clock that moves only by `advance` and `sleep`, which return at once.

    It starts now, or at `start`, in seconds since 1970.
    """

    jumps: ClassVar = True
    """Whether a wait moves it, whoever else is at work."""

    def __init__(self, start: float | None = None) -> None:
        self._now = time.time() if start is None else start

    def now(self) -> float:
        """Virtual seconds since 1970."""
        return self._now

    def moment(self) -> Moment:
        """Both clocks are this one."""
        return Moment(self.now(), self.now())

    def advance(self, seconds: float) -> None:
        """Move ahead by so many seconds."""
        self._now += max(0.0, seconds)

    def sleep(self, seconds: float) -> None:
        """Move ahead instead of waiting."""
        self.advance(seconds)

    async def asleep(self, seconds: float) -> None:
        """Move ahead instead of waiting, and let other tasks run."""
        self.advance(seconds)
        await asyncio.sleep(0)


class RunningClock:
    """The machine's clock, `speed` times as fast: for a server and for its clients."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._start = time.monotonic()
        self._epoch = time.time()

    def now(self) -> float:
        """Seconds since 1970 on this faster clock."""
        return self._epoch + (time.monotonic() - self._start) * self.speed

    def moment(self) -> Moment:
        """Both clocks are this one."""
        return Moment(self.now(), self.now())

    def advance(self, seconds: float) -> None:
        """Jump ahead; afterwards it runs on as before."""
        self._epoch += max(0.0, seconds)

    def sleep(self, seconds: float) -> None:
        """Wait until so many seconds have passed on this clock."""
        time.sleep(max(0.0, seconds) / self.speed)

    async def asleep(self, seconds: float) -> None:
        """Await until so many seconds have passed on this clock."""
        await asyncio.sleep(max(0.0, seconds) / self.speed)
