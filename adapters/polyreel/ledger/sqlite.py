"""The ledger in a file: SQLite's, without a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UnusableFileError
from ..mapping.media import local_path
from .file import LedgerFile
from .keeping import StoredLedger
from .owners import Owners
from .usual import write_usual

if TYPE_CHECKING:
    from .store import Write


class Ledger(StoredLedger):
    """The ledger in one SQLite file. The file is made where it is missing.

    Only its user can read the file. LedgerError is raised where it cannot be opened.

    >>> from tempfile import TemporaryDirectory
    >>> from polyreel import Client, Ledger
    >>> with TemporaryDirectory() as folder, Ledger(f"{folder}/jobs.sqlite3") as ledger:
    ...     with Client(ledger=ledger) as client:
    ...         job = client.submit(client.plan({"model": "kling-v3", "prompt": "a cat"}))
    ...     [entry.state for entry in ledger.entries()]
    ['accepted']
    """

    def __init__(self, path: str | Path) -> None:
        self._file = LedgerFile(local_path(path))
        self.path = self._file.path
        """The file itself: links to it are resolved, so that all its users find its owners."""
        self.named = str(self.path)
        self._process_owners = Owners(self._beside("owners"))
        super().__init__(self._file, self._process_owners, self._beside)

    def _write_usual(self, writes: Sequence[Write]) -> dict[int, Any]:
        try:
            with self._file.writing() as connection:
                results = write_usual(connection, writes)
        except UnusableFileError:
            raise
        except Exception:  # which one it is about is found out one by one
            return {}
        self.touched += [result for result in results.values() if result is not None]
        return results

    def _beside(self, name: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{name}")
