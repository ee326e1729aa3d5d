"""A Postgres database that a ledger is kept in: connections, transactions, and its address."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import psycopg
from attrs import frozen
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ..errors import ClaimedError, LedgerError, RequestError
from .database import DeadlockError
from .postgres_connection import LedgerConnection, Statement, executed, part
from .postgres_errors import as_own, is_lasting
from .postgres_schema import SCHEMA, bring_up

if TYPE_CHECKING:
    from .database import Cursor, StoredRow, Value

CONNECT_SECONDS: Final = 5
LOCK_SECONDS: Final = 20
"""How long a transaction waits for those of others."""
PATIENCE: Final = 15.0
"""For how many seconds a database that is away is tried again, before a transaction has begun."""
OPENING: Final = 5.0
"""The same where a ledger is opened: its address may be wrong."""
MOST_IDLE: Final = 8
"""How many connections are kept for later transactions."""
PLANNING: Final = "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
"""Every statement finds its rows by an index. A plan that was made when the tables were empty, and
is kept, would read them whole.
"""
IN_THE_WAY: Final = (
    psycopg.IntegrityError,
    psycopg.DataError,
    psycopg.errors.DeadlockDetected,
)
"""Errors after which the database goes on, and something else can be written."""
TAKEN_BACK: Final = (*IN_THE_WAY, psycopg.errors.InvalidSqlStatementName)
"""Errors after which it is certain that nothing was written."""
WHERE: Final = "SELECT current_database() AS name, current_setting('search_path') AS path"
"""Tells the database, by the server, and where tables are looked for."""
SET_PATH: Final = "SELECT set_config('search_path', ?, true)"
"""Says where tables are looked for, until the transaction ends."""
ENCODE: Final = (
    "in a user or a password, write % as %25, @ as %40, / as %2F, : as %3A, ? as %3F, a blank as "
    "%20"
)
UNSAFE: Final = re.compile(r"[/@\s]|%(?![0-9a-fA-F]{2})")
"""What no user and no password has in an address as it is."""
QUERY: Final = re.compile(r"/[^/@?]*\?.*", re.DOTALL)
QUOTED: Final = re.compile('".*"', re.DOTALL)
PORTS: Final = re.compile("[0-9,]*")


@frozen
class PostgresTransaction:
    """A transaction of Postgres. What it reads, it locks."""

    connection: psycopg.Connection[Any]

    def execute(self, statement: str, values: Sequence[Value] = (), /) -> Cursor:
        """Run one statement."""
        if statement.startswith("SELECT"):
            statement += " FOR UPDATE"
        return executed(self.connection, statement, values)


class PostgresDatabase:
    """A Postgres database. Each thread's transaction has a connection of its own."""

    def __init__(self, address: str) -> None:
        self.conninfo = _conninfo(address)
        """How it is connected to. It can have a password in it."""
        parts = conninfo_to_dict(self.conninfo)
        host, port = parts.get("host", "localhost"), parts.get("port", 5432)
        self.place = f"postgresql://{host}:{port}/{parts.get('dbname', '')}"
        """Its address without a user and a password."""
        self._process = os.getpid()
        self._idle: list[LedgerConnection] = []
        self._guard = threading.Lock()
        self._running = threading.local()
        self._is_open = True
        try:
            with self._guarded(), self._connected(patience=OPENING) as connection:
                bring_up(connection, self.place)
                (found,) = executed(connection, WHERE).fetchall()
                self._name = found["name"]
        except BaseException:
            self.close()
            raise

    # -- connections -------------------------------------------------------------------------------

    @property
    def is_inherited(self) -> bool:
        """Whether a fork has made this process after it was opened."""
        return self._process != os.getpid()

    def check(self) -> None:
        """Raise LedgerError where it is closed."""
        if not self._is_open:
            raise LedgerError(f"the ledger {self.place} is closed")

    def take_idle(self) -> LedgerConnection | None:
        """Take a connection that is open already; None where there is none. `give_back` it."""
        with self._guard:
            if self.is_inherited:  # the parent's connections are the parent's
                self._process, self._idle = os.getpid(), []
            while self._idle:
                idle = self._idle.pop()
                if not idle.has_news():
                    return idle
                idle.close()
        return None

    def _taken(self) -> LedgerConnection:
        self.check()
        if (idle := self.take_idle()) is not None:
            return idle
        options = f"{conninfo_to_dict(self.conninfo)['options']} {PLANNING}"
        return LedgerConnection.to(self.conninfo, options)

    def give_back(self, connection: LedgerConnection) -> None:
        """Keep a connection for later transactions, or close it."""
        idle = psycopg.pq.TransactionStatus.IDLE
        if not connection.closed and connection.info.transaction_status == idle:
            with self._guard:
                if self._is_open and len(self._idle) < MOST_IDLE:
                    self._idle.append(connection)
                    return
        connection.close()

    @contextmanager
    def _connected(self, first: str = "", patience: float = PATIENCE) -> Iterator[LedgerConnection]:
        """A connection that has answered to a first statement; where none does, with patience.

        Without a statement, it is one that the server has not ended.
        """
        end, pause = time.monotonic() + patience, 0.0
        while True:
            connection = None
            try:
                connection = self._taken()
                if first:
                    connection.run(first)
                break
            except psycopg.OperationalError as error:
                if connection is not None:
                    connection.close()
                if time.monotonic() >= end or is_lasting(error):
                    raise
            time.sleep(pause)
            pause = min(2 * pause or 0.05, 1.0)
        try:
            yield connection
        finally:
            self.give_back(connection)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Raise the errors of the database as errors of polyreel."""
        try:
            yield
        except psycopg.IntegrityError:
            raise ClaimedError(
                "another thread or process has taken the reference in the meantime; the same call "
                "again, when that has ended, goes on with its job"
            ) from None
        except psycopg.errors.DeadlockDetected:
            raise DeadlockError(
                f"the ledger {self.place}: a deadlock with another transaction; nothing was "
                "written by this one: try again"
            ) from None
        except (psycopg.Error, OSError) as error:
            raise as_own(self.place, error) from None

    # -- statements --------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[PostgresTransaction]:
        """Run one durable transaction: it is committed at the end, or taken back by an error.

        Within another one of the same thread it is a part, which can be taken back alone.
        """
        running: psycopg.Connection[Any] | None = getattr(self._running, "connection", None)
        if running is not None:
            with self._guarded(), part(running):
                yield PostgresTransaction(running)
            return
        with self._guarded(), self._connected("BEGIN") as connection:
            self._running.connection = connection
            try:
                yield PostgresTransaction(connection)
                connection.run("COMMIT")
            except BaseException:
                self._taken_back(connection)
                raise
            finally:
                self._running.connection = None

    @contextmanager
    def joining(self, connection: object) -> Iterator[PostgresTransaction]:
        """Run statements in the transaction of a caller's connection, which the caller ends."""
        if not isinstance(connection, psycopg.Connection):
            raise RequestError(
                [f"connection: it is a psycopg.Connection, not a {type(connection).__name__}"]
            )
        with self._guarded():
            if problem := _problem_of(connection):
                raise RequestError([f"connection: {problem}; nothing was written"])
            if not connection.autocommit:
                connection.execute(b"SELECT 1")  # begins the caller's transaction, if need be
            with connection.transaction():  # a part of the caller's, where there is one
                (before,) = executed(connection, WHERE).fetchall()
                if before["name"] != self._name:
                    text = f"connection: it is to another database than {self.place}"
                    raise RequestError([f"{text}; nothing was written"])
                executed(connection, SET_PATH, (SCHEMA,))
                outer = getattr(self._running, "connection", None)
                self._running.connection = connection
                try:
                    yield PostgresTransaction(connection)
                finally:
                    self._running.connection = outer
                executed(connection, SET_PATH, (before["path"],))

    def query(self, statement: str, *values: Value) -> list[StoredRow]:
        """Read the rows that a SELECT statement finds."""
        running = getattr(self._running, "connection", None)
        with self._guarded():
            if running is not None:
                return executed(running, statement, values).fetchall()
            with self._connected() as connection:
                return connection.run(statement, values).fetchall()

    @property
    def is_writing(self) -> bool:
        """Whether this thread is in a transaction."""
        return getattr(self._running, "connection", None) is not None

    def run(self, statements: Sequence[Statement]) -> list[list[StoredRow]] | None:
        """Run statements in one durable transaction; the result is the rows that each gives.

        None where a row, or another transaction, was in the way: then nothing is written.
        """
        with self._guarded(), self._connected() as connection:
            try:
                return [answer.fetchall() for answer in connection.run_all(statements)]
            except IN_THE_WAY:
                return None

    def change(
        self,
        read: Sequence[Statement],
        made: Callable[[list[list[StoredRow]]], Sequence[Statement] | None],
    ) -> bool:
        """Read rows, and run the statements that are made of them, in one durable transaction.

        False where a row, or another transaction, was in the way, or where nothing was made: then
        nothing is changed.
        """
        with self._guarded(), self._connected() as connection:
            try:
                _, *answers = connection.run_all([("BEGIN", ()), *read])
                statements = made([answer.fetchall() for answer in answers])
                if statements is not None:
                    connection.run_all([*statements, ("COMMIT", ())])
                    return True
            except TAKEN_BACK:
                pass
            except BaseException:
                self._taken_back(connection)
                raise
            self._taken_back(connection)
            return False

    def _taken_back(self, connection: LedgerConnection) -> None:
        with suppress(psycopg.Error):
            connection.run("ROLLBACK")

    def close(self) -> None:
        """Close the connections that are idle, and the others when they are given back."""
        with self._guard:
            self._is_open = False
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def _problem_of(connection: psycopg.Connection[Any]) -> str:
    """Why nothing can be written in a caller's transaction; empty where it can."""
    if connection.closed:
        return "it is closed"
    if connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
        return "a statement has failed in its transaction: roll it back, and begin again"
    if connection.info.encoding != "utf-8":
        return f"its client_encoding is {connection.info.encoding}: make it UTF8"
    return ""


def _conninfo(address: str) -> str:
    """An address in libpq's form. LedgerError, which quotes none of it, where it cannot be read."""
    scheme, colon, rest = address.partition("://")
    if UNSAFE.search(QUERY.sub("", rest).rpartition("@")[0]):
        raise LedgerError(f"the address of the ledger cannot be read: {ENCODE}")
    try:
        made = make_conninfo(
            f"{scheme.lower()}{colon}{rest}" if colon else address,
            connect_timeout=CONNECT_SECONDS,
            application_name="polyreel",
            client_encoding="UTF8",
            options=f"-c search_path={SCHEMA} -c lock_timeout={LOCK_SECONDS}s",
        )
    except psycopg.Error as error:
        text = QUOTED.sub('"..."', str(error))[:200]  # it may be a part of the password
        raise LedgerError(f"the address of the ledger: {text}; {ENCODE}") from None
    if not PORTS.fullmatch(str(conninfo_to_dict(made).get("port", ""))):
        raise LedgerError(f"the address of the ledger has a port that is no number; {ENCODE}")
    return made
