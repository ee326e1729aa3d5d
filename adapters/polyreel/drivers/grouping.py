"""Writes of awaited flows to a ledger whose commits take long: those of one turn share a commit.

Flows go on when theirs is durable. While one group is written, the next one gathers.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from attrs import define

from ..ledger.events import LedgerEvent
from ..ledger.store import LedgerStore, Write


@define(eq=False)
class _Waiting:
    """A write that a flow waits for."""

    write: Write
    done: asyncio.Future[Any]
    is_written: bool = False


class GroupedWrites:
    """The writes of one event loop to one ledger."""

    def __init__(self, ledger: LedgerStore) -> None:
        self.loop = asyncio.get_running_loop()
        self._ledger = ledger
        self._waiting: list[_Waiting] = []
        self._is_busy = False

    async def write(self, event: LedgerEvent, owner: str, now: float) -> Any:
        """Write one event, with others. Who is canceled meanwhile is so when it is written.

        Otherwise it could come after what it has to come before.
        """
        one = _Waiting((event, owner, now), self.loop.create_future())
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
        written = self.loop.run_in_executor(None, self._ledger.write_all, writes)
        written.add_done_callback(partial(self._end, group))

    def _end(self, group: list[_Waiting], written: asyncio.Future[list[Any]]) -> None:
        error = written.exception()
        results = [error] * len(group) if error else written.result()
        for one, result in zip(group, results, strict=True):
            one.is_written = True
            if not one.done.done():  # its flow was canceled just now
                one.done.set_result(result)
        self._is_busy = bool(self._waiting)
        if self._waiting:
            self._begin()
