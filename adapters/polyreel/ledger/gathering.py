"""Writes of threads to a database whose commits take long: those that wait at a time share one.

While some threads write their own and those of others, the next ones gather; one of them goes on.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar
from weakref import WeakSet

from attrs import define, field

T = TypeVar("T")
NOT_WRITTEN: Final = object()
"""The result of a write that was left alone."""


@define(eq=False)
class _WaitingThread(Generic[T]):
    """A write whose thread waits until it is written, or until it is to write the next group."""

    write: T
    turn: threading.Lock = field(factory=threading.Lock)
    is_written: bool = False
    result: Any = NOT_WRITTEN


class GatheredWrites(Generic[T]):
    """The writes of one kind of the threads of one process to one ledger.

    `write` makes several writes, and gives their results, by their numbers; it raises no error of
    the ledger. `interrupted` makes the result of a write whose group was interrupted. One group is
    written at a time: two are smaller, and cost more than is won where the database works at one
    while this process works at the other.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], dict[int, Any]],
        interrupted: Callable[[T], Exception],
    ) -> None:
        self._write = write
        self._interrupted = interrupted
        self.begin()
        _ALL.add(self)

    def begin(self) -> None:
        """Begin anew, as in a process that was forked: the threads that write are not there."""
        self._guard = threading.Lock()
        self._waiting: list[_WaitingThread[T]] = []
        self._is_writing = False

    def write(self, one: T) -> Any:
        """The result of one write, whose error is raised; NOT_WRITTEN where it is left alone."""
        result = self._result(one)
        if isinstance(result, Exception):
            raise result
        return result

    def _result(self, one: T) -> Any:
        if threading.current_thread() is threading.main_thread():
            # Ctrl-C interrupts this thread alone, so it waits for nobody, and nobody for it.
            return self._write([one]).get(0, NOT_WRITTEN)
        mine = _WaitingThread(one)
        with self._guard:
            waits = self._is_writing
            if waits:
                mine.turn.acquire()
                self._waiting.append(mine)
            self._is_writing = True
        if waits:
            mine.turn.acquire()  # released when it is written, or is to write
        if not mine.is_written:
            self._write_group(mine)
        return mine.result

    def _let_others_come(self) -> None:
        """Let threads that go on just now say what they write: those of the group before, often.

        Else the first of them writes alone, and all others wait for that.
        """
        known = -1
        while known < (known := len(self._waiting)):
            time.sleep(0)  # who waits for the interpreter has it now, until it waits for something

    def _write_group(self, mine: _WaitingThread[T]) -> None:
        """Write what waits, and let one of those that have come meanwhile go on."""
        group = [mine]
        results: dict[int, Any] = {}
        try:
            self._let_others_come()
            with self._guard:
                group, self._waiting = [mine, *self._waiting], []
            results = self._write([one.write for one in group])
        except BaseException:
            results = {n: self._interrupted(one.write) for n, one in enumerate(group)}
            raise
        finally:
            for number, one in enumerate(group):
                one.result = results.get(number, NOT_WRITTEN)
                one.is_written = True
            with self._guard:
                following, self._waiting = self._waiting[:1], self._waiting[1:]
                self._is_writing = bool(following)
            for one in [*following, *group[1:]]:
                one.turn.release()


_ALL: Final[WeakSet[GatheredWrites[Any]]] = WeakSet()


def _begin_in_a_child() -> None:
    for one in _ALL:
        one.begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_a_child)
