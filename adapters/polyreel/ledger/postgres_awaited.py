"""Statements whose answers an event loop waits for, without a thread.

Threads that write take turns with the loop for each of their calls to the database. That costs more
than all else that is done for a small group of writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import psycopg
from psycopg.waiting import Ready, Wait

from .postgres_connection import ANSWER_SECONDS, results_of

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

    from .postgres_connection import LedgerConnection, Outcome, Statement

Answered = Callable[["Sequence[Outcome] | Exception"], None]
"""Hears the answers, or why there are none."""


def begin(
    connection: LedgerConnection, statements: Sequence[Statement], answered: Answered
) -> bool:
    """Send statements, all of them or none, in one transaction; `answered` hears what comes of it.

    False where the loop that runs cannot wait for a connection: then nothing is sent.
    """
    loop = asyncio.get_running_loop()
    awaited = _Awaited(connection, loop, answered)
    try:
        loop.add_reader(connection.fileno(), awaited.go_on, Ready.R)
    except NotImplementedError:
        return False
    awaited.send(statements)
    return True


class _Awaited:
    """Answers of a connection that a loop waits for."""

    def __init__(
        self, connection: LedgerConnection, loop: asyncio.AbstractEventLoop, answered: Answered
    ) -> None:
        self._connection, self._loop, self._answered = connection, loop, answered
        self._number = connection.fileno()
        self._results = results_of(connection.pgconn)

    def send(self, statements: Sequence[Statement]) -> None:
        """Send the statements."""
        self._timer = self._loop.call_later(ANSWER_SECONDS, self._give_up)
        try:
            self._sent = self._connection.send_all(statements)
            self._wait_for(next(self._results))
        except Exception as error:
            self._lose(error)

    def _wait_for(self, what: Wait) -> None:
        if what == Wait.RW:
            self._loop.add_writer(self._number, self.go_on, Ready.W)

    def go_on(self, ready: Ready) -> None:
        """Something can be read, or written."""
        self._loop.remove_writer(self._number)
        try:
            self._wait_for(self._results.send(ready))
        except StopIteration as stop:
            self._end(stop.value)
        except Exception as error:
            self._lose(error)

    def _end(self, results: Sequence[PGresult]) -> None:
        self._forget()
        found: Sequence[Outcome] | Exception
        try:
            found = self._connection.answers(self._sent, results)
        except Exception as error:
            found = error
        self._answered(found)

    def _give_up(self) -> None:
        self._lose(psycopg.OperationalError("the database does not answer"))

    def _lose(self, error: Exception) -> None:
        """What comes next in the connection is not known."""
        self._forget()
        self._connection.close()
        self._answered(error)

    def _forget(self) -> None:
        self._timer.cancel()
        self._loop.remove_reader(self._number)
        self._loop.remove_writer(self._number)
