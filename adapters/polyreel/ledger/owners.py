"""Owners of ledger entries: one for each flow that works on entries, alive as long as its process.

Each process holds a lock on a file of its own. The operating system releases the lock when the
process is gone, however it ends. Process ids are used again, and leases depend on clocks: both
would give wrong answers sooner or later.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from pathlib import Path

from filelock import FileLock, Timeout


class Owners:
    """The owners that share a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._process: tuple[int, str, FileLock] | None = None
        self._own: set[str] = set()
        self._number = 0

    def new(self) -> str:
        """Make a new owner in this process; the result is its name."""
        with self._guard:
            self._number += 1
            owner = f"{self._process_name()}/{self._number}"
            self._own.add(owner)
            return owner

    def _process_name(self) -> str:
        if self._process is None or self._process[0] != os.getpid():  # a fork is another process
            name = secrets.token_hex(8)
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(self._folder / name, thread_local=False)
            lock.acquire(timeout=0)
            self._process, self._own = (os.getpid(), name, lock), set()
        return self._process[1]

    def end(self, owner: str) -> None:
        """End an owner of this process."""
        with self._guard:
            self._own.discard(owner)

    def is_alive(self, owner: str | None, within: float = 0.0) -> bool:
        """Whether an owner is still at work, in any process."""
        if owner is None:
            return False
        with self._guard:
            name = owner.partition("/")[0]
            if self._process is not None and self._process[:2] == (os.getpid(), name):
                return owner in self._own
        return self._is_locked(self._folder / name)

    def _is_locked(self, path: Path) -> bool:
        if not path.exists():
            return False
        lock = FileLock(path, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        path.unlink(missing_ok=True)  # its process is gone, and no other process has its name
        lock.release()
        return False

    def processes(self) -> list[tuple[str, str, int | None, float]]:
        """The processes that hold their lock. All are on this machine, and are seen now."""
        names = (
            sorted(path.name for path in self._folder.glob("*")) if self._folder.is_dir() else []
        )
        with self._guard:
            own = self._process[1] if self._process is not None else None
        host = socket.gethostname()
        found = [n for n in names if n == own or self._is_locked(self._folder / n)]
        return [(n, host, os.getpid() if n == own else None, 0.0) for n in found]

    def check(self, owner: str) -> None:
        """Nothing to do: a lock is never taken for another's before its process is gone."""

    def close(self) -> None:
        """End all owners of this process."""
        with self._guard:
            self._own.clear()
            if self._process is not None and self._process[0] == os.getpid():
                _, name, lock = self._process
                (self._folder / name).unlink(missing_ok=True)
                lock.release()
            self._process = None
