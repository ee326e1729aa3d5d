"""The ledger in Postgres, for work on several machines. It needs `polyreel[postgres]`.

    Client(ledger="postgresql://user@host/database", keys=...)

The tables are in a schema of their own. Statements are those of the other ledgers; a few words of
SQLite's are replaced.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from ..errors import ClaimedError, LedgerError, RequestError, UnusableFileError
from .at_once import is_usual, write_at_once
from .changes import forget_deliveries
from .database import DeadlockError
from .events import Intend, Keep, LedgerEvent, Settle, Take
from .gathering import NOT_WRITTEN, GatheredWrites
from .keeping import StoredLedger
from .leases import LEASE, LeaseOwners
from .postgres_deliveries import BETWEEN, FORGOTTEN, deliver_at_once
from .postgres_schema import SCHEMA, bring_up
from .postgres_states import keep_at_once
from .records import LedgerEntry
from .store import Delivered
from .together import after_deadlocks

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    from .postgres_connection import LedgerConnection, Statement, executed, part
    from .postgres_errors import as_own, is_lasting
except ImportError as error:
    raise LedgerError(
        f"a ledger in Postgres needs psycopg ({error}): pip install 'polyreel[postgres]'"
    ) from None

if TYPE_CHECKING:
    from ..providers.base.webhooks import Event
    from .database import Cursor, StoredRow, Value
    from .store import Write

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

    def _taken(self) -> LedgerConnection:
        self.check()
        with self._guard:
            if self.is_inherited:  # the parent's connections are the parent's
                self._process, self._idle = os.getpid(), []
            while self._idle:
                idle = self._idle.pop()
                if not idle.has_news():
                    return idle
                idle.close()
        options = f"{conninfo_to_dict(self.conninfo)['options']} {PLANNING}"
        return LedgerConnection.to(self.conninfo, options)

    def _given_back(self, connection: LedgerConnection) -> None:
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
            with self._guarded(), part(running):
                yield PostgresTransaction(running)
            return
        with self._guarded(), self._connected("BEGIN") as connection:
            self._running.connection = connection
            try:
                yield PostgresTransaction(connection)
                connection.run("COMMIT")
            except BaseException:
                with suppress(psycopg.Error):
                    connection.run("ROLLBACK")
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

    def change(self, read: Statement, made: Callable[[list[StoredRow]], Statement | None]) -> bool:
        """Read rows, and run the statement that is made of them, in one durable transaction.

        False where a row, or another transaction, was in the way: then nothing is changed.
        """
        with self._guarded(), self._connected("BEGIN") as connection:
            try:
                statement = made(connection.run(*read).fetchall())
                connection.run_all([*([statement] if statement else []), ("COMMIT", ())])
            except BaseException as error:
                with suppress(psycopg.Error):
                    connection.run("ROLLBACK")
                if isinstance(error, IN_THE_WAY):
                    return False
                raise
        return True

    def close(self) -> None:
        """Close the connections that are idle, and the others when they are given back."""
        with self._guard:
            self._is_open = False
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def _is_gathered(event: LedgerEvent) -> bool:
    """Whether an event can be written together with those of other threads."""
    return isinstance(event, Keep) or is_usual(event)


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
        self._deliveries = count()
        self._gathered = GatheredWrites(self._at_once, self._interrupted)
        super().__init__(database, self.owners, self._local)

    def write(self, event: LedgerEvent, owner: str, now: float) -> Any:
        """Write one event of a flow durably; each event's class says what the result is."""
        if _is_gathered(event) and not self.database.is_writing:
            if self._gathered.process != os.getpid():
                self._gathered = GatheredWrites(self._at_once, self._interrupted)
            result = self._gathered.write((event, owner, now))
            if isinstance(result, Exception):
                raise result
            if result is not NOT_WRITTEN:
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
        keeps = {n: (event, now) for n, (event, _, now) in enumerate(writes) if type(event) is Keep}
        usual = {n: one for n, one in enumerate(writes) if is_usual(one[0])}
        if not usual and not keeps:
            return {}
        results: dict[int, Any] = {}
        try:
            self._write_unwritten()
            if usual:
                found = write_at_once([*usual.values()], self.database.run)
                results |= {number: found[n] for n, number in enumerate(usual) if n in found}
            if keeps:
                results |= keep_at_once(keeps, self.database.change)
        except UnusableFileError as error:
            left = {*usual, *keeps}.difference(results)
            results |= {number: self._not_written(writes[number], error) for number in left}
        for number, result in results.items():
            event = writes[number][0]
            if isinstance(event, Take) and isinstance(result, LedgerEntry):
                self.touched.append(event.entry)
            elif isinstance(event, Intend) and isinstance(result, str):
                self.touched.append(result)
        return results

    def _not_written(self, write: Write, error: LedgerError) -> LedgerError:
        """What the flow of a write is told; the outcome of a submit is kept elsewhere."""
        event, _, now = write
        return self._kept(event, now, error) if isinstance(event, Settle) else error

    def _interrupted(self, write: Write) -> LedgerError:
        text = "a thread was interrupted that wrote to it for others too; it may not be written"
        return self._not_written(write, LedgerError(f"the ledger {self.place}: {text}"))

    @after_deadlocks
    def deliver(self, event: Event, now: float, *, simulated: bool = False) -> Delivered:
        """Write a webhook down, once; see `LedgerStore.deliver`."""
        self._write_unwritten()
        row = self._read.of_task(event.vendor, event.task_id, simulated=simulated)
        entry = None if row is None else self._entry(row)
        if row is None or entry is None or entry.job is None or not event.verified:
            return super().deliver(event, now, simulated=simulated)
        done = deliver_at_once(self.database, row, entry.job, event, now)
        if done is None:
            return super().deliver(event, now, simulated=simulated)
        if next(self._deliveries) % BETWEEN == 0:
            with self.database.writing() as connection:
                forget_deliveries(connection, now, FORGOTTEN)
        effect, after = done
        return Delivered(effect, entry if after is row else self._entry(after))

    def _local(self, name: str) -> Path:
        import platformdirs  # noqa: PLC0415

        folder = hashlib.sha256(self.place.encode()).hexdigest()[:16]
        return platformdirs.user_data_path("polyreel") / f"postgres-{folder}" / name
