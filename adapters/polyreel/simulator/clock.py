"""Time in the simulator: a clock that jumps instead of waiting, or the machine's, running faster."""

from __future__ import annotations

import asyncio
import time


class VirtualClock:
    """A clock that only moves when told: sleeping moves it at once. It starts now, or at `start`."""

    def __init__(self, start: float | None = None) -> None:
        self._now = time.time() if start is None else start

    def now(self) -> float:
        """Seconds since 1970, virtually."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on."""
        self._now += max(0.0, seconds)

    def sleep(self, seconds: float) -> None:
        """Move on instead of waiting."""
        self.advance(seconds)

    async def asleep(self, seconds: float) -> None:
        """Move on instead of waiting, letting other tasks run."""
        self.advance(seconds)
        await asyncio.sleep(0)


class RunningClock:
    """The machine's clock, `speed` times as fast: for a server, and for clients that are to keep pace with it."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._start = time.monotonic()
        self._epoch = time.time()

    def now(self) -> float:
        """Seconds since 1970, sped up."""
        return self._epoch + (time.monotonic() - self._start) * self.speed

    def advance(self, seconds: float) -> None:
        """Jump ahead; afterwards it runs on as before."""
        self._epoch += max(0.0, seconds)

    def sleep(self, seconds: float) -> None:
        """Wait, as much shorter as time runs faster."""
        time.sleep(max(0.0, seconds) / self.speed)

    async def asleep(self, seconds: float) -> None:
        """Wait, awaiting, as much shorter as time runs faster."""
        await asyncio.sleep(max(0.0, seconds) / self.speed)
