"""Writes of awaited flows to a ledger whose commits take long: those of one turn share a commit.

Flows go on when theirs is durable. While one group is written, the next one gathers. Of many, two
groups are written at a time: the database works at one while this process works at the other. They
are as large as each other: small ones cost more. Where commits take longer than that work, larger
groups are faster, and one is written at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, Generic, Self, TypeVar

from attrs import define

T = TypeVar("T")
Begin = Callable[[Sequence[T], Callable[[list[Any] | Callable[[], list[Any]]], None]], bool]
"""Begins to make writes; what it calls then has their results, or what makes these in a thread."""
AT_A_TIME: Final = 2
"""How many groups are written at a time, where that takes no threads."""
LEAST: Final = 8
"""How many writes are a group that is written beside another one: smaller ones cost more each."""
WORK_SECONDS: Final = 1e-4
"""How long the work at a write takes, here and in the database, as long as that is not known."""
WORK: Final = 3.0
"""How long that is, about, over how long it takes to begin a write: machines differ, and the work
of a slow one is not to be taken for commits that take long.
"""


def _begins_nothing(*_: object) -> bool:
    return False


@define(eq=False)
class _Waiting(Generic[T]):
    """A write that a flow waits for."""

    write: T
    done: asyncio.Future[Any]
    is_written: bool = False


@define(eq=False)
class _Group(Generic[T]):
    """Writes that are written together."""

    waiting: list[_Waiting[T]]
    began: float
    """When, by the clock of the loop."""


class GroupedWrites(Generic[T]):
    """The writes of one kind of one event loop to one ledger.

    `write_all` makes several writes, and gives their results in their order; the error of one is
    its result. What it raises is the error of all of them. `begin_all` begins the same without a
    thread, as that of `LedgerStore`.
    """

    def __init__(
        self, write_all: Callable[[Sequence[T]], list[Any]], begin_all: Begin[T] | None = None
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._write_all, self._begin_all = write_all, begin_all or _begins_nothing
        self._at_a_time = 1 if begin_all is None else AT_A_TIME
        self._waiting: list[_Waiting[T]] = []
        self._groups = self._under_way = 0
        """How many groups are written just now, and how many writes these are."""
        self._work_seconds = WORK_SECONDS
        """How long the work at a write takes, about."""
        self._commit_seconds = 0.0
        """How long a group takes beside the work at its writes, about."""
        self._is_to_begin = False

    @classmethod
    def here(
        cls,
        known: Self | None,
        write_all: Callable[[Sequence[T]], list[Any]],
        begin_all: Begin[T] | None = None,
    ) -> Self:
        """Those that are known, where they are of the loop that runs; otherwise new ones."""
        if known is not None and known.loop is asyncio.get_running_loop():
            return known
        return cls(write_all, begin_all)

    async def write(self, write: T) -> Any:
        """Make one write, with others. Who is canceled meanwhile is so when it is written.

        Otherwise it could come after what it has to come before.
        """
        one = _Waiting(write, self.loop.create_future())
        self._waiting.append(one)
        self._begin_soon()
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

    @property
    def _has_group(self) -> bool:
        """Whether what waits is to be written now."""
        if self._groups == 0:
            return bool(self._waiting)
        least = max(LEAST, self._under_way)
        return self._groups < self._at_a_time and len(self._waiting) >= least and self._goes_in_two

    @property
    def _goes_in_two(self) -> bool:
        """Whether the work takes longer than a commit, so that it is faster beside another one."""
        many = len(self._waiting) + self._under_way
        return self._commit_seconds < self._work_seconds * many

    def _begin_soon(self) -> None:
        """Begin when all flows that go on just now have said what they write."""
        if self._has_group and not self._is_to_begin:
            self._is_to_begin = True
            self.loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._is_to_begin = False
        while self._has_group:
            are_many = self._groups == 0 and len(self._waiting) >= self._at_a_time * LEAST
            parts = self._at_a_time if are_many and self._goes_in_two else 1
            size = len(self._waiting) // parts
            group = _Group(self._waiting[:size], self.loop.time())
            self._waiting = self._waiting[size:]
            self._groups += 1
            self._under_way += size
            writes = [one.write for one in group.waiting]
            is_begun = False
            with suppress(Exception):  # a thread tells its flows
                is_begun = self._begin_all(writes, partial(self._hear, group))
            if is_begun:
                seconds = WORK * (self.loop.time() - group.began) / size
                self._work_seconds += (seconds - self._work_seconds) / 4
            else:
                self._in_a_thread(group, partial(self._write_all, writes))

    def _hear(self, group: _Group[T], results: list[Any] | Callable[[], list[Any]]) -> None:
        if callable(results):
            self._in_a_thread(group, results)
        else:
            self._end(group, results)

    def _in_a_thread(self, group: _Group[T], write: Callable[[], list[Any]]) -> None:
        def end(written: asyncio.Future[list[Any]]) -> None:
            error = written.exception()
            self._end(group, [error] * len(group.waiting) if error else written.result())

        self.loop.run_in_executor(None, write).add_done_callback(end)

    def _end(self, group: _Group[T], results: list[Any]) -> None:
        for one, result in zip(group.waiting, results, strict=True):
            one.is_written = True
            if not one.done.done():  # its flow was canceled just now
                one.done.set_result(result)
        size = len(group.waiting)
        rest = max(0.0, self.loop.time() - group.began - self._work_seconds * size)
        # Beside another group, it has waited for the commit of that one too.
        self._commit_seconds += (rest / self._groups - self._commit_seconds) / 4
        self._groups -= 1
        self._under_way -= size
        self._begin_soon()
