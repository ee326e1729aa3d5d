"""Writes of awaited flows to a ledger whose commits take long: those of one turn share a commit.

Flows go on when theirs is durable. While one group is written, the next one gathers.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from attrs import define

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


@define(eq=False)
class _Waiting(Generic[T]):
    """A write that a flow waits for."""

    write: T
    done: asyncio.Future[Any]
    is_written: bool = False


class GroupedWrites(Generic[T]):
    """The writes of one kind of one event loop to one ledger.

    `write_all` makes several writes, and gives their results in their order; the error of one is
    its result. What it raises is the error of all of them.
    """

    def __init__(self, write_all: Callable[[Sequence[T]], list[Any]]) -> None:
        self.loop = asyncio.get_running_loop()
        self._write_all = write_all
        self._waiting: list[_Waiting[T]] = []
        self._is_busy = False

    @classmethod
    def here(cls, known: Self | None, write_all: Callable[[Sequence[T]], list[Any]]) -> Self:
        """Those that are known, where they are of the loop that runs; otherwise new ones."""
        if known is not None and known.loop is asyncio.get_running_loop():
            return known
        return cls(write_all)

    async def write(self, write: T) -> Any:
        """Make one write, with others. Who is canceled meanwhile is so when it is written.

        Otherwise it could come after what it has to come before.
        """
        one = _Waiting(write, self.loop.create_future())
        self._waiting.append(one)
        if not self._is_busy:
            self._is_busy = True
            self.loop.call_soon(self._begin)
        canceled, result = None, None
        while not one.is_written:
            try:
                result = await one.done
            except asyncio.CancelledError as error:
                canceled, one.done = error, self.loop.create_future()
        if canceled is not None:
            raise canceled
        if isinstance(result, BaseException):
            raise result
        return result

    def _begin(self) -> None:
        group, self._waiting = self._waiting, []
        writes = [one.write for one in group]
        written = self.loop.run_in_executor(None, self._write_all, writes)
        written.add_done_callback(partial(self._end, group))

    def _end(self, group: list[_Waiting[T]], written: asyncio.Future[list[Any]]) -> None:
        error = written.exception()
        results = [error] * len(group) if error else written.result()
        for one, result in zip(group, results, strict=True):
            one.is_written = True
            if not one.done.done():  # its flow was canceled just now
                one.done.set_result(result)
        self._is_busy = bool(self._waiting)
        if self._waiting:
            self._begin()
