"""The SQLite file of a ledger: opened for its user only, written in durable transactions.

WAL and synchronous=FULL, so that neither a killed process nor a power cut loses a transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from ..errors import ClaimedError, LedgerError, RequestError
from .connections import as_own, connect, disconnect
from .database import StoredRow, Transaction, Value
from .schema import part, transaction


class LedgerFile:
    """An open file. All who open it in a process share one connection, and wait for each other.

    Errors of the database and of the disk are raised as UnusableFileError, and ClaimedError where
    an index forbids a second row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.guarded():
            self._shared = connect(path)
        self.path = self._shared.path
        self._is_open = True

    @property
    def is_inherited(self) -> bool:
        """Whether a fork has made this process after the file was opened."""
        return self._shared.is_inherited

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection of this process. LedgerError is raised where it cannot be used."""
        if not self._is_open:
            raise LedgerError(f"the ledger {self.path} is closed")
        return self._shared.connection

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Raise the errors of the database and of the disk as errors of polyreel."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise ClaimedError(
                "another thread or process has taken the reference in the meantime; the same call "
                "again, when that has ended, goes on with its job"
            ) from None
        except (sqlite3.DatabaseError, OSError) as error:
            raise as_own(self.path, error) from None

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Run one durable transaction: it is committed at the end, or taken back by an error.

        Within another one of the same thread it is a part, which can be taken back alone.
        UnusableFileError is also raised where the file, or its log, was taken away meanwhile.
        """
        with self._using() as connection:
            if connection.in_transaction:
                with part(connection):
                    yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            with transaction(connection):
                yield connection
            self._shared.check_file()  # otherwise it was committed to a file without a name

    def joining(self, connection: object) -> AbstractContextManager[Transaction]:
        """A file has a connection of its own, in which no caller's transaction can be."""
        raise RequestError(
            ["connection: this ledger is in a file, and only one in Postgres can be written so"]
        )

    def query(self, statement: str, *values: Value) -> list[StoredRow]:
        """Read the rows that a SELECT statement finds."""
        with self._using() as connection:
            return connection.execute(statement, values).fetchall()

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        self._shared.check_process()  # before a lock that a thread of the parent may have held
        with self._shared.lock, self.guarded():
            connection = self.connection
            if not connection.in_transaction:  # one is checked when it begins, and at its end
                self._shared.check_file()
            try:
                yield connection
            finally:
                self._shared.end_use()

    def check(self) -> None:
        """Raise LedgerError where the file cannot be used in this process."""
        with self.guarded():
            assert self.connection  # not in a child that was forked meanwhile

    def close(self) -> None:
        """Close the file for this object; the last one in the process closes the connection."""
        if self._is_open:
            self._is_open = False
            disconnect(self._shared)
