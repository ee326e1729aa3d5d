"""Connections of a ledger to Postgres: each statement is one message to the server, and one back.

They give libpq, by way of psycopg, the bytes that it sends. A cursor of psycopg takes several times
as long for a statement as that, which is most of the time of a worker with much to write down.
"""

from __future__ import annotations

import selectors
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from attrs import define, field
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.rows import dict_row
from psycopg.waiting import Ready, Wait

from .at_once import without_nul
from .limits_schema import NOW, POSTGRES_NOW

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGconn, PGresult

    from .database import Cursor, StoredRow, Value

T = TypeVar("T")
Statement = tuple[str, Sequence["Value"]]
"""A statement in the words of SQLite, and its values."""
ANSWER_SECONDS: Final = 30.0
"""How long an answer of the database is waited for. A frozen connection answers never."""
MOST_PREPARED: Final = 200
"""How many statements a connection remembers, so that the server need not plan them again."""
FIRST_RUNS: Final = 10
"""After how many runs a statement is planned anew, and then each time it has run twice as often.

The server keeps a plan. One that was made when a table had a few rows reads all of them.
"""
TEXT, BIGINT, FLOAT = 0, 20, 701
"""The types of values, by their numbers. The server finds out what a text stands for."""
SELECTOR: Final = getattr(selectors, "PollSelector", selectors.DefaultSelector)
"""Not `select`, which takes no descriptors beyond a thousand; nor one that opens one of its own."""
WORDS: Final = (
    (NOW, POSTGRES_NOW),
    ("json_each(?) AS name", "json_array_elements_text(CAST(? AS json)) AS name(value)"),
    ("json_each(?)", "json_array_elements_text(CAST(? AS json)) AS items(value)"),
    ("json_group_array(", "json_agg("),
    ("json_array(", "json_build_array("),
    ("CROSS JOIN", "JOIN"),
    (" IS ?", " IS NOT DISTINCT FROM ?"),
)
"""SQLite's words, and what stands for them here."""


@cache
def translated(statement: str) -> str:
    """A statement in the words of Postgres, with `?` for values."""
    for theirs, ours in WORDS:
        statement = statement.replace(theirs, ours)
    return statement


@cache
def _numbered(statement: str) -> bytes:
    """The same with numbers for values, as libpq takes it."""
    first, *parts = translated(statement).split("?")
    return (first + "".join(f"${n}{part}" for n, part in enumerate(parts, 1))).encode()


@cache
def _marked(statement: str) -> bytes:
    """The same as psycopg takes it."""
    return translated(statement).replace("%", "%%").replace("?", "%s").encode()


def fitting(value: Value) -> Value:
    """A value as its column takes it: a truth as a number, and no text with a NUL."""
    return int(value) if isinstance(value, bool) else without_nul(value)


def executed(
    connection: psycopg.Connection[Any], statement: str, values: Sequence[Value] = ()
) -> Cursor:
    """Run one statement in a connection of the ledger's own, or of a caller's."""
    if isinstance(connection, LedgerConnection):
        return connection.run(statement, values)
    # Its rows are those that are read here, whatever a caller's own cursors give.
    cursor: psycopg.Cursor[Any] = psycopg.Cursor(connection, row_factory=dict_row)
    return cursor.execute(_marked(statement), [*map(fitting, values)])


@contextmanager
def part(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Take back what happens in a part of a transaction, where it fails."""
    executed(connection, "SAVEPOINT part")
    try:
        yield
    except BaseException:
        with suppress(psycopg.Error):
            executed(connection, "ROLLBACK TO part")
            executed(connection, "RELEASE part")
        raise
    executed(connection, "RELEASE part")


@define
class Outcome:
    """What a statement has found, or changed."""

    rowcount: int
    _rows: list[StoredRow] = field(alias="rows")

    def fetchone(self) -> StoredRow | None:
        """The next row."""
        return self._rows.pop(0) if self._rows else None

    def fetchall(self) -> list[StoredRow]:
        """All rows that are left."""
        rows, self._rows = self._rows, []
        return rows


@define(eq=False)
class _PreparedStatement:
    """A statement that the server has prepared."""

    name: bytes
    most: int
    """How often it is run before it is planned anew."""
    runs: int = 0


Statements = dict[tuple[bytes, tuple[int, ...]], _PreparedStatement]
"""Those that the server has prepared, by their texts and types of values."""


@define
class SentStatements:
    """Statements that were sent."""

    before: Sequence[int]
    """How many answers come before that of each."""
    known: Statements
    """What the server had prepared before."""


class LedgerConnection(psycopg.Connection[Any]):
    """A connection whose every answer comes in time, or not at all."""

    def __init__(self, pgconn: PGconn) -> None:
        super().__init__(pgconn)
        self._statements: Statements = {}
        self._numbers = count()
        self._transformer = Transformer(self)
        self._unasked = SELECTOR()
        """Tells whether the server has said anything."""
        self._unasked.register(self.fileno(), selectors.EVENT_READ)

    @classmethod
    def to(cls, conninfo: str, options: str = "") -> LedgerConnection:
        """Connect to a database. `options` are those of its server."""
        made = cls.connect(
            conninfo,
            autocommit=True,
            row_factory=dict_row,
            # With its own, psycopg would make the server forget those of this class too.
            prepare_threshold=None,
            options=options,
        )
        assert isinstance(made, cls)
        return made

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for what a generator of psycopg waits for."""
        return super().wait(gen, interval, timeout or ANSWER_SECONDS)

    def has_news(self) -> bool:
        """Whether the server has said something unasked, such as that it ends."""
        return bool(self._unasked.select(0))

    def run(self, statement: str, values: Sequence[Value] = ()) -> Outcome:
        """Run one statement."""
        return self.run_all([(statement, values)])[0]

    def run_all(self, statements: Sequence[Statement]) -> list[Outcome]:
        """Run statements, all of them or none; the answers come together.

        Where no transaction has begun, they are one.
        """
        try:
            return self._run_all(statements)
        except psycopg.errors.InvalidSqlStatementName:  # somebody has made the server forget them
            self._statements.clear()
            if self.info.transaction_status != TransactionStatus.IDLE:
                raise
        return self._run_all(statements)

    def _run_all(self, statements: Sequence[Statement]) -> list[Outcome]:
        try:
            sent = self.send_all(statements)
            results = self.wait(results_of(self.pgconn))
        except BaseException:
            self.close()  # what comes next in it is not known
            raise
        return self.answers(sent, results)

    def send_all(self, statements: Sequence[Statement]) -> SentStatements:
        """Send statements. The connection is to be closed where their results are not waited for,
        with `results_of`.
        """
        known = {**self._statements}
        self.pgconn.enter_pipeline_mode()
        before = [self._send(_numbered(text), values) for text, values in statements]
        self.pgconn.pipeline_sync()
        return SentStatements(before, known)

    def answers(self, sent: SentStatements, found: Sequence[PGresult]) -> list[Outcome]:
        """What statements that were sent have found, or the error of one of them."""
        self.pgconn.exit_pipeline_mode()
        results, known, answers = iter(found), sent.known, []
        for others in sent.before:
            for number in range(others + 1):
                result = next(results)
                if result.status not in {ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK}:
                    kept = known.items() & self._statements.items()  # not those that are new
                    self._statements = dict(kept)
                    raise error_from_result(result, encoding="utf-8")
                if number == others:
                    answers.append(self._read(result))
        return answers

    def _send(self, text: bytes, given: Sequence[Value]) -> int:
        """Send a statement; the result is how many answers come before its own."""
        values: list[bytes | None] = []
        types: list[int] = []
        for one in map(fitting, given):
            kind = BIGINT if isinstance(one, int) else FLOAT if isinstance(one, float) else TEXT
            types.append(kind)
            values.append(None if one is None else str(one).encode())
        key, others = (text, tuple(types)), 0
        known = self._statements.get(key)
        if known is None and len(self._statements) == MOST_PREPARED:
            self.pgconn.send_query_params(text, values, types)
            return others
        if known is not None and known.runs == known.most:
            self.pgconn.send_query_params(b"DEALLOCATE " + known.name, None)
            others += 1
        if known is None or known.runs == known.most:
            most = known.most * 2 if known else FIRST_RUNS
            known = _PreparedStatement(f"polyreel_{next(self._numbers)}".encode(), most)
            self.pgconn.send_prepare(known.name, text, types)
            self._statements[key] = known
            others += 1
        known.runs += 1
        self.pgconn.send_query_prepared(known.name, values)
        return others

    def _read(self, result: PGresult) -> Outcome:
        names = [(result.fname(n) or b"").decode() for n in range(result.nfields)]
        rows: list[StoredRow] = []
        if names:
            self._transformer.set_pgresult(result)
            found = self._transformer.load_rows(0, result.ntuples, tuple)
            self._transformer.set_pgresult(None)  # it may be large
            rows = [dict(zip(names, row, strict=True)) for row in found]
        return Outcome(result.command_tuples or 0, rows)


def results_of(pgconn: PGconn) -> PQGen[list[PGresult]]:
    """Wait until all is sent, and all results are there."""
    results: list[PGresult] = []
    was_end = False
    while True:
        ready = yield Wait.RW if pgconn.flush() else Wait.R
        if not ready & Ready.R:
            continue
        pgconn.consume_input()
        while not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:
                if was_end:
                    raise psycopg.OperationalError("the connection was lost")
                was_end = True
                continue
            was_end = False
            if result.status == ExecStatus.PIPELINE_SYNC:
                return results
            results.append(result)
