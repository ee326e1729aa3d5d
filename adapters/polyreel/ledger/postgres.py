"""The ledger in Postgres, for work on several machines. It needs `polyreel[postgres]`.

    Client(ledger="postgresql://user@host/database", keys=...)

The tables are in a schema of their own. Statements are those of the other ledgers; a few words of
SQLite's are replaced.
"""

from __future__ import annotations

import hashlib
import os
import re
import selectors
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from attrs import frozen

from ..errors import ClaimedError, LedgerError, RequestError, UnusableFileError
from .at_once import Statement, is_usual, without_nul, write_at_once
from .database import DeadlockError
from .events import LedgerEvent, Settle, Take
from .keeping import StoredLedger
from .leases import LEASE, LeaseOwners
from .limits_schema import NOW, POSTGRES_NOW
from .postgres_schema import SCHEMA, bring_up

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
    from psycopg.rows import dict_row

    from .postgres_errors import as_own, is_lasting
except ImportError as error:
    raise LedgerError(
        f"a ledger in Postgres needs psycopg ({error}): pip install 'polyreel[postgres]'"
    ) from None

if TYPE_CHECKING:
    from psycopg.abc import PQGen

    from .database import Cursor, StoredRow, Value
    from .store import Write

T = TypeVar("T")
CONNECT_SECONDS: Final = 5
ANSWER_SECONDS: Final = 30.0
"""How long an answer of the database is waited for. A frozen connection answers never."""
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
WHERE: Final = "SELECT current_database() AS name, current_setting('search_path') AS path"
"""Tells the database, by the server, and where tables are looked for."""
SET_PATH: Final = "SELECT set_config('search_path', %s, true)"
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
WORDS: Final = (
    (NOW, POSTGRES_NOW),
    ("json_each(?) AS name", "json_array_elements_text(CAST(? AS json)) AS name(value)"),
    ("json_each(?)", "json_array_elements_text(CAST(? AS json)) AS items(value)"),
    ("CROSS JOIN", "JOIN"),
    (" IS ?", " IS NOT DISTINCT FROM ?"),
    ("%", "%%"),
    ("?", "%s"),
)
"""SQLite's words, and what stands for them here."""


@cache
def _translated(statement: str) -> str:
    for theirs, ours in WORDS:
        statement = statement.replace(theirs, ours)
    return statement


def _fitting(value: Value) -> Value:
    """A value as its column takes it: a truth as a number, and no text with a NUL."""
    return int(value) if isinstance(value, bool) else without_nul(value)


class _Connection(psycopg.Connection[Any]):
    """A connection whose every answer comes in time, or not at all."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        return super().wait(gen, interval, timeout or ANSWER_SECONDS)


@frozen
class PostgresTransaction:
    """A transaction of Postgres. What it reads, it locks."""

    connection: psycopg.Connection[Any]

    def execute(self, statement: str, values: Sequence[Value] = (), /) -> Cursor:
        """Run one statement."""
        text = _translated(statement)
        if text.startswith("SELECT"):
            text += " FOR UPDATE"
        return _executed(self.connection, text, values)


def _executed(
    connection: psycopg.Connection[Any], text: str, values: Sequence[Value]
) -> psycopg.Cursor[Any]:
    cursor = psycopg.Cursor(connection, row_factory=dict_row)  # whatever a caller's own gives
    return cursor.execute(text.encode(), [_fitting(value) for value in values])


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
        self._idle: list[_Connection] = []
        self._guard = threading.Lock()
        self._running = threading.local()
        self._is_open = True
        try:
            with self._guarded(), self._connected(patience=OPENING) as connection:
                bring_up(connection, self.place)
                (found,) = _executed(connection, WHERE, ())
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

    def _taken(self) -> _Connection:
        self.check()
        with self._guard:
            if self.is_inherited:  # the parent's connections are the parent's
                self._process, self._idle = os.getpid(), []
            while self._idle:
                idle = self._idle.pop()
                if not _has_news(idle):
                    return idle
                idle.close()
        options = f"{conninfo_to_dict(self.conninfo)['options']} {PLANNING}"
        return _Connection.connect(
            self.conninfo, autocommit=True, row_factory=dict_row, options=options
        )

    def _given_back(self, connection: _Connection) -> None:
        idle = psycopg.pq.TransactionStatus.IDLE
        if not connection.closed and connection.info.transaction_status == idle:
            with self._guard:
                if self._is_open and len(self._idle) < MOST_IDLE:
                    self._idle.append(connection)
                    return
        connection.close()

    @contextmanager
    def _connected(self, first: str = "", patience: float = PATIENCE) -> Iterator[_Connection]:
        """A connection that has answered to a first statement; where none does, with patience.

        Without a statement, it is one that the server has not ended.
        """
        end, pause = time.monotonic() + patience, 0.0
        while True:
            connection = None
            try:
                connection = self._taken()
                if first:
                    connection.execute(first.encode())
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
            self._given_back(connection)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Raise the errors of the database as errors of polyreel."""
        try:
            yield
        except psycopg.IntegrityError:
            raise ClaimedError(
                "another thread or process has taken the reference in the meantime"
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
            with self._guarded(), running.transaction():
                yield PostgresTransaction(running)
            return
        with self._guarded(), self._connected("BEGIN") as connection:
            self._running.connection = connection
            try:
                yield PostgresTransaction(connection)
                connection.execute(b"COMMIT")
            except BaseException:
                with suppress(psycopg.Error):
                    connection.execute(b"ROLLBACK")
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
                (before,) = _executed(connection, WHERE, ())
                if before["name"] != self._name:
                    text = f"connection: it is to another database than {self.place}"
                    raise RequestError([f"{text}; nothing was written"])
                _executed(connection, SET_PATH, (SCHEMA,))
                outer = getattr(self._running, "connection", None)
                self._running.connection = connection
                try:
                    yield PostgresTransaction(connection)
                finally:
                    self._running.connection = outer
                _executed(connection, SET_PATH, (before["path"],))

    def query(self, statement: str, *values: Value) -> list[StoredRow]:
        """Read the rows that a SELECT statement finds."""
        text, running = _translated(statement), getattr(self._running, "connection", None)
        with self._guarded():
            if running is not None:
                return list(_executed(running, text, values))
            with self._connected() as connection:
                return list(_executed(connection, text, values))

    @property
    def is_writing(self) -> bool:
        """Whether this thread is in a transaction."""
        return getattr(self._running, "connection", None) is not None

    def run(self, statements: Sequence[Statement]) -> list[list[StoredRow]] | None:
        """Run statements in one durable transaction; the result is the rows that each gives.

        None where a row, or another transaction, was in the way: then nothing is written.
        """
        first = "BEGIN" if len(statements) > 1 else ""
        with self._guarded(), self._connected(first) as connection:
            try:
                found: list[list[StoredRow]] = []
                for text, value in statements:
                    cursor = psycopg.Cursor(connection, row_factory=dict_row)
                    found.append(list(cursor.execute(text.encode(), [value])))
                if first:
                    connection.execute(b"COMMIT")
            except BaseException as error:
                if first:
                    with suppress(psycopg.Error):
                        connection.execute(b"ROLLBACK")
                if isinstance(error, IN_THE_WAY):
                    return None
                raise
            return found

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


def _has_news(connection: _Connection) -> bool:
    """Whether the server has said something unasked, such as that it ends."""
    # Not `select`, which takes no descriptors beyond a thousand.
    with selectors.DefaultSelector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        return bool(selector.select(0))


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


class PostgresLedger(StoredLedger):
    """The ledger in a Postgres database, shared by many machines.

    LedgerError is raised where it cannot be opened. An owner is alive as long as its process says
    so, by the database's clock: see `polyreel.ledger.leases`.
    """

    shares_commits = True

    def __init__(self, address: str, *, lease: float = LEASE) -> None:
        self.database = database = PostgresDatabase(address)
        self.lease = lease
        """Seconds after which a process that was not seen is taken for dead."""
        self.place = database.place
        """Its address without a user and a password."""
        self.owners = LeaseOwners(database, lease)
        super().__init__(database, self.owners, self._local)

    def write(self, event: LedgerEvent, owner: str, now: float) -> Any:
        """Write one event of a flow durably; each event's class says what the result is."""
        if is_usual(event) and not self.database.is_writing:
            for result in self._at_once([(event, owner, now)]).values():
                if isinstance(result, Exception):
                    raise result
                return result
        return super().write(event, owner, now)

    def write_all(self, writes: Sequence[Write]) -> list[Any]:
        """Write several events of different flows durably, at once."""
        results = self._at_once(writes)
        left = [number for number in range(len(writes)) if number not in results]
        if left:
            written = super().write_all([writes[number] for number in left])
            results |= dict(zip(left, written, strict=True))
        return [results[number] for number in range(len(writes))]

    def _at_once(self, writes: Sequence[Write]) -> dict[int, Any]:
        """The results of those writes that are made in few statements, by their numbers."""
        usual = {n: one for n, one in enumerate(writes) if is_usual(one[0])}
        if not usual:
            return {}
        try:
            self._write_unwritten()
            found = write_at_once([*usual.values()], self.database.run)
        except UnusableFileError as error:
            return {
                number: self._kept(event, now, error) if isinstance(event, Settle) else error
                for number, (event, _, now) in usual.items()
            }
        results = {number: found[n] for n, number in enumerate(usual) if n in found}
        for number, result in results.items():
            event = writes[number][0]
            if not isinstance(event, Settle):
                self.touched.append(event.entry if isinstance(event, Take) else result)
        return results

    def _local(self, name: str) -> Path:
        import platformdirs  # noqa: PLC0415

        folder = hashlib.sha256(self.place.encode()).hexdigest()[:16]
        return platformdirs.user_data_path("polyreel") / f"postgres-{folder}" / name
