"""The SQLite file of a ledger: opened for its user only, written in durable transactions.

WAL and synchronous=FULL, so that neither a killed process nor a power cut loses a transaction.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..errors import ClaimedError, LedgerError
from .rows import Value
from .schema import bring_up, transaction

BUSY_SECONDS: Final = 30.0
"""How long a transaction waits for those of other threads and processes."""


class LedgerFile:
    """An open file. Threads may share it; processes each open their own.

    Errors of the database and of the disk are raised as LedgerError, and ClaimedError where an
    index forbids a second row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        with self.guarded():
            self.connection = self._open()

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # polyreel makes the file, since SQLite would give it the usual permissions. The side
        # files of SQLite get the permissions of the file.
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            bring_up(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Raise the errors of the database and of the disk as errors of polyreel."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise ClaimedError(
                "another thread or process has taken the reference in the meantime"
            ) from None
        except sqlite3.DatabaseError as error:
            unusable = "not a database" in str(error)
            advice = "move the file away to start a new one" if unusable else "nothing is lost"
            raise LedgerError(f"the ledger {self.path}: {error}; {advice}") from None
        except OSError as error:
            raise LedgerError(f"the ledger {self.path}: {error.strerror or error}") from None

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Run one durable transaction: it is committed at the end, or taken back by an error."""
        with self._lock, self.guarded():
            self.connection.execute("BEGIN IMMEDIATE")
            with transaction(self.connection):
                yield self.connection

    def query(self, statement: str, *values: Value) -> list[sqlite3.Row]:
        """Read the rows that a SELECT statement finds."""
        with self._lock, self.guarded():
            return self.connection.execute(statement, values).fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self.connection.close()
