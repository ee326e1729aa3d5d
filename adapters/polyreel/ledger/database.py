"""What a ledger is kept in: a database with transactions, and those who own entries in it.

Statements are written once, in SQLite's words, with `?` for values. Another database puts its own
words in the place of the few that it lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ..errors import UnusableFileError

Value = str | int | float | None
"""What a column can hold."""


class StoredRow(Protocol):
    """A row as database drivers give it."""

    def __getitem__(self, name: str, /) -> Any:
        """The value of a column."""

    def keys(self) -> Iterable[str]:
        """The names of the columns."""


class Cursor(Protocol):
    """What a statement has found, or changed."""

    @property
    def rowcount(self) -> int:
        """How many rows it has changed."""

    def fetchone(self) -> StoredRow | None:
        """The next row."""

    def fetchall(self) -> list[StoredRow]:
        """All rows that are left."""


class Transaction(Protocol):
    """A transaction that has begun."""

    def execute(self, statement: str, values: Sequence[Value] = (), /) -> Cursor:
        """Run one statement. Nobody else can change what it reads before the transaction ends."""


class DeadlockError(UnusableFileError):
    """Of transactions that waited for each other, the database has taken this one back.

    It can be tried again, alone.
    """


class Database(Protocol):
    """A database that a ledger is kept in.

    Its errors are raised as UnusableFileError, and ClaimedError where an index forbids a second
    row.
    """

    @property
    def is_inherited(self) -> bool:
        """Whether a fork has made this process after it was opened, and it cannot be used here."""

    def writing(self) -> AbstractContextManager[Transaction]:
        """Run one durable transaction: it is committed at the end, or taken back by an error.

        What the same thread reads meanwhile, it reads in the transaction.
        """

    def joining(self, connection: object) -> AbstractContextManager[Transaction]:
        """Run statements in the transaction of a caller's connection, which the caller ends.

        They are taken back by an error; what the caller did before stays. RequestError is raised
        where it is no connection to such a database.
        """

    def query(self, statement: str, *values: Value) -> list[StoredRow]:
        """Read the rows that a SELECT statement finds."""

    def check(self) -> None:
        """Raise LedgerError where it cannot be used in this process."""

    def close(self) -> None:
        """Close it for this object."""


class OwnerRegistry(Protocol):
    """The owners of entries: one for each flow that works on some, alive as long as its process."""

    def new(self) -> str:
        """Make a new owner in this process; the result is its name."""

    def end(self, owner: str) -> None:
        """End an owner of this process."""

    def is_alive(self, owner: str | None, within: float = 0.0) -> bool:
        """Whether an owner is at work, in any process; or was so, so many seconds ago."""

    def processes(self) -> list[tuple[str, str, int | None, float]]:
        """The processes at work: the beginning of their owners' names, the machine, the number
        there where it is known, and since when not seen, in seconds.
        """

    def check(self, owner: str) -> None:
        """Raise LedgerError where an owner may soon be taken for dead: it must not pay any more."""

    def close(self) -> None:
        """End all owners of this process."""
