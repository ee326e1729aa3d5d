"""One SQLite connection for each ledger file and process, shared by all who open the file.

SQLite's locks are POSIX locks. The system drops all locks that a process has on a file as soon as
the process closes any descriptor of that file. Then another process takes itself for the last user,
deletes the log, and later commits go into a deleted file. So only SQLite opens the file, and it
opens it once in a process.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..errors import LedgerError, UnusableFileError, UnwritableFileError
from .commands import command
from .schema import bring_up

BUSY_SECONDS: Final = 30.0
"""How long a transaction waits for those of other threads and processes."""
BUSY_PAUSE: Final = 0.02
"""Seconds until a file that is in use is opened again."""

Identity = tuple[int, int]
"""The device and the inode of a file: the same for all its names."""


_UNWRITABLE: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
_BUSY: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_FULL_DISK: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def is_unwritable(error: BaseException) -> bool:
    """Whether an error says that nothing can be written to the file's disk."""
    if isinstance(error, OSError):
        return error.errno in {*_FULL_DISK, errno.EROFS}
    return _kind(error) in _UNWRITABLE


def _kind(error: BaseException) -> int | None:
    """SQLite's code of an error, without its details; None where the error has none."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def as_own(path: Path, error: sqlite3.Error | OSError) -> UnusableFileError:
    """The error of a database, or of its disk, as one that says what to do about it."""
    kind, advice = _kind(error), ""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if kind in _BUSY:
        advice = "; another program uses it just now: try again when that has ended"
    elif kind in _DAMAGED:
        advice = (
            "; the file is damaged, or is no ledger: restore it from a backup, or move it away to"
            " start a new one. What the vendors have accepted is on their dashboards"
        )
    elif kind == sqlite3.SQLITE_IOERR:
        name = getattr(error, "sqlite_errorname", "")
        advice = f" ({name}); the disk may be full, failing, or one that may only be read"
    elif is_unwritable(error):
        advice = "; make room, or give leave to write there, and try again"
    what = f"the ledger {path}: {text}{advice}"
    return UnwritableFileError(what) if is_unwritable(error) else UnusableFileError(what)


class SharedConnection:
    """The connection of this process to one file. `lock` is held while it is used."""

    def __init__(self, path: Path, identity: Identity) -> None:
        self.path = path
        self.identity = identity
        self.process = os.getpid()
        self.users = 0
        self.lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._side_paths = [f"{path}{end}" for end in ("-wal", "-shm")]
        self._side_files: list[Identity | None] = []
        self._is_for_one_use = False

    @property
    def is_inherited(self) -> bool:
        """Whether a fork has made this process after the file was opened."""
        return self.process != os.getpid()

    def check_process(self) -> None:
        """Raise LedgerError in a process that was forked after the file was opened."""
        if self.is_inherited:
            raise LedgerError(
                f"the ledger {self.path} was opened before this process was forked, and SQLite's"
                " connections do not survive that; nothing was sent: open a ledger, or a client,"
                " of its own in each process"
            )

    @property
    def connection(self) -> sqlite3.Connection:
        """The open connection. LedgerError is raised where it is not the file's any more."""
        self.check_process()
        if (connection := self._connection) is None:
            # A fork waits for the lock: its child would have SQLite's own locks as they are then.
            with self.lock:
                if (connection := self._connection) is None:
                    connection = self._connection = self._open()
        return connection

    def _open(self) -> sqlite3.Connection:
        """Open the file, with patience: SQLite does not wait by itself at each step of this.

        It gives up at once where two processes change a new file to use a log.
        """
        until = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return self._opened()
            except sqlite3.OperationalError as error:
                if is_unwritable(error):
                    return self._opened(alone=True)
                if _kind(error) not in _BUSY or time.monotonic() > until:
                    raise
            time.sleep(BUSY_PAUSE)

    def _opened(self, *, alone: bool = False) -> sqlite3.Connection:
        """Open the file, or `alone`: for one use, in which no other process can use it.

        Who is alone needs no shared memory, for which a full disk has no room.
        """
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.row_factory = sqlite3.Row
            if alone:
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            bring_up(connection, self.path)
            # A read opens the log. SQLite keeps it, and this very file, as long as it is connected.
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            self._side_files = self._side_files_now()
            self.check_file()
        except BaseException:
            connection.close()
            raise
        self._is_for_one_use = alone
        return connection

    def end_use(self) -> None:
        """Close a connection that is for one use, when the outermost use has ended."""
        if self._is_for_one_use:
            self.suspend()

    def _side_files_now(self) -> list[Identity | None]:
        return [identity_of(path) for path in self._side_paths]

    def is_intact(self) -> bool:
        """Whether the file and its log are still those that were opened."""
        is_same = identity_of(self.path) == self.identity
        return is_same and self._side_files_now() == self._side_files

    def check_file(self) -> None:
        """Raise UnusableFileError where the file, or its log, was taken away or replaced."""
        if not self.is_intact():
            raise UnusableFileError(
                f"the ledger {self.path}, or SQLite's files beside it, were deleted or replaced"
                " while they were in use, so nothing can be written down safely in this process:"
                f" end it, look at `{command('jobs', ledger=self.path)}`, and start it again. A"
                " program that opens or copies the file while polyreel runs can cause this: use"
                " sqlite3's .backup"
            )

    def suspend(self) -> None:
        """Close the connection until it is used again, unless closing would do harm."""
        connection = self._connection
        if connection is not None and not connection.in_transaction and self.is_intact():
            self.close()

    def close(self) -> bool:
        """Close the connection; False where it has to stay open, because closing would do harm."""
        connection, self._connection = self._connection, None
        if connection is None:
            return True
        if self.is_inherited or connection.in_transaction or not self.is_intact():
            # Closing would write from a log that is not the file's any more, or is the parent's.
            _keep_open(connection)
            return False
        connection.close()
        return True


_GUARD: Final = threading.RLock()
"""Held while connections are opened, closed, or taken through a fork; taken before their locks."""
_OPEN: Final[dict[Identity, SharedConnection]] = {}
_LOST: Final[set[Identity]] = set()
"""Files that SQLite holds open in this process in a way that it cannot repair."""
_KEPT: Final[list[sqlite3.Connection]] = []


def connect(path: Path) -> SharedConnection:
    """Open a file, or share the connection that this process has to it.

    The file is made, readable by its user only, where it is missing.
    """
    with _GUARD:
        path = Path(os.path.realpath(path))
        identity = _made(path)
        if identity in _LOST:
            raise UnusableFileError(
                f"the ledger {path} cannot be opened again in this process, where SQLite still has"
                " the state of an earlier use; nothing was sent: open it in a new process"
            )
        shared = _OPEN.get(identity) or SharedConnection(path, identity)
        with shared.lock:
            assert shared.connection  # an error of opening it is raised here
        _OPEN[identity] = shared
        shared.users += 1
        return shared


def disconnect(shared: SharedConnection) -> None:
    """Let go of a shared connection. The last one to do so closes it."""
    if shared.is_inherited:
        return
    with _GUARD, shared.lock:
        shared.users -= 1
        if shared.users == 0:
            _OPEN.pop(shared.identity, None)
            if not shared.close():
                _LOST.add(shared.identity)


def identity_of(path: str | Path) -> Identity | None:
    """The identity of a file, or None where there is none. The file is not opened."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _made(path: Path) -> Identity:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        _make(path)
    if os.stat(path).st_nlink > 1 and path.is_file():
        for leftover in path.parent.glob(f"{path.name}.new-*"):  # of a process that was killed
            leftover.unlink(missing_ok=True)
        if os.stat(path).st_nlink > 1:
            raise UnusableFileError(
                f"the ledger {path} has a second name (a hard link): SQLite would keep a log for"
                " each name, and one job could be paid twice. Remove the link, or copy the file"
            )
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _make(path: Path) -> None:
    """Make an empty file under its name at once, with the permissions of its user only.

    SQLite would give it the usual permissions. Its side files get the permissions of the file.
    """
    handle, new = tempfile.mkstemp(prefix=f"{path.name}.new-", dir=path.parent)
    os.close(handle)
    try:
        with suppress(FileExistsError):  # another process has been faster
            try:
                os.link(new, path)
            except FileExistsError:
                raise
            except OSError:  # no hard links here; nobody has opened what did not exist
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    finally:
        Path(new).unlink(missing_ok=True)


def _keep_open(connection: sqlite3.Connection) -> None:
    """Keep a connection as long as the process lives, also when Python ends and cleans up."""
    _KEPT.append(connection)
    with suppress(ImportError, AttributeError):
        import ctypes  # noqa: PLC0415

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


# -- forks -----------------------------------------------------------------------------------------


def _before_fork() -> None:
    """Close all connections. They are opened again when they are next used.

    A child must neither use nor close a connection of its parent, and SQLite must not believe, in
    the child, that it has the locks of the parent.
    """
    _GUARD.acquire()
    for shared in _OPEN.values():
        shared.lock.acquire()
        shared.suspend()


def _after_fork_in_parent() -> None:
    for shared in _OPEN.values():
        shared.lock.release()
    _GUARD.release()


def _after_fork_in_child() -> None:
    for shared in _OPEN.values():
        if not shared.close():  # it could not be closed before the fork
            _LOST.add(shared.identity)
        shared.lock.release()
    _OPEN.clear()
    _GUARD.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
