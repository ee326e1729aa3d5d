"""How many rows of one vendor may be under way: what was asked for, or the fewer that it allows."""

from __future__ import annotations

import asyncio
from collections.abc import Sized
from typing import TYPE_CHECKING, Final

from attrs import define, field

from ..errors import NeverSentError, RejectedError

if TYPE_CHECKING:
    from ..drivers import Clock

FIRST_PAUSE: Final = 5.0
"""Seconds until a vendor without a free place is asked again; each further time twice as long."""
LONGEST_PAUSE: Final = 120.0
GROWTH_PAUSE: Final = 30.0
"""Seconds after which one more row than the learned limit is tried."""


def is_refused_for_now(error: Exception) -> bool:
    """Whether a row was refused only because its vendor has too many just now, or rests.

    That costs nothing, and the same row may be taken later. An account without money is told so by
    another status, or another code.
    """
    if isinstance(error, NeverSentError):
        return error.vendor is None  # nobody was asked
    return isinstance(error, RejectedError) and error.is_busy


@define(eq=False)
class Places:
    """The places of one vendor. Rows wait for one, and the vendor's refusals teach the limit.

    A refused row waits until one of the others has ended, or a pause is over. Then one more is
    tried, so that the limit grows again where the vendor allows more.
    """

    most: int
    """How many rows may be under way at most."""
    clock: Clock
    allowed: int = field(init=False)
    """How many the vendor allows, as far as is known."""
    taken: int = field(default=0, init=False)
    accepted: int = field(default=0, init=False)
    """How many of the rows under way the vendor has taken."""
    progress_at: float = field(init=False)
    """When the vendor last took a row, or ended one."""
    _pause: float = field(default=FIRST_PAUSE, init=False)
    _opens_at: float | None = field(default=None, init=False)
    _changed: asyncio.Event = field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.allowed, self.progress_at = self.most, self.clock.now()

    async def take(self, waiting: Sized) -> bool:
        """Wait for a place, and take it; False where no row waits for one any more."""
        while waiting and self.taken >= self.allowed:
            if self._opens_at is not None and self.clock.now() >= self._opens_at:
                # One more is tried.
                self.allowed, self._opens_at = min(self.most, self.taken + 1), None
                continue
            await self._change()
        self.taken += bool(waiting)
        return bool(waiting)

    async def _change(self) -> None:
        """Wait until a place may be free: one was given back, or the pause is over."""
        self._changed.clear()
        waiting: list[asyncio.Task[object]] = [asyncio.create_task(self._changed.wait())]
        if self._opens_at is not None:
            pause = max(0.0, self._opens_at - self.clock.now())
            waiting.append(asyncio.create_task(self._slept(pause)))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    async def _slept(self, seconds: float) -> None:
        await self.clock.asleep(seconds)

    def note_accepted(self) -> None:
        """Note that the vendor has taken a row."""
        self.accepted += 1
        self.allowed = max(self.allowed, self.accepted)
        self.progress_at, self._pause = self.clock.now(), FIRST_PAUSE
        if self.allowed < self.most and self._opens_at is None:
            self._opens_at = self.clock.now() + GROWTH_PAUSE
        self._changed.set()

    def note_refused(self, retry_after: float | None) -> None:
        """Note that the vendor has no place for a row, which gives its place back."""
        self.allowed = self.accepted
        pause = self._pause if retry_after is None else max(retry_after, 1.0)
        self._pause = min(LONGEST_PAUSE, self._pause * 2)
        self._opens_at = self.clock.now() + pause
        self.give_back()

    def note_ended(self) -> None:
        """Note that a row that the vendor had taken is over there."""
        self.accepted -= 1
        self.progress_at = self.clock.now()

    def give_back(self) -> None:
        """Give a place back."""
        self.taken -= 1
        self._changed.set()

    def is_hopeless(self, patience: float) -> bool:
        """Whether nothing is under way, and the vendor has taken nothing for so many seconds."""
        return not self.accepted and self.clock.now() - self.progress_at >= patience
