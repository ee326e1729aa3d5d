"""Unfinished files: each is a `.part` file of one download, which a later process can continue."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Final

from ..errors import DownloadError
from ..mapping import containers, media

try:
    import fcntl
except ImportError:
    # Windows has no locks that tell whether a part is still being written, so none is continued.
    fcntl = None  # type: ignore[assignment]

LOG: Final = logging.getLogger("polyreel")
HEAD_BYTES: Final = 16
COMPARED: Final = 1_000_000
MAX_NAMES: Final = 100
"""How many names are tried where other files have the first ones."""
NO_LINKS: Final = frozenset(
    {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EACCES, errno.EXDEV, errno.EMLINK}
)
"""What systems say that cannot give a file a second name."""
WRITTEN_BACK: Final = 1 << 22
"""After how many bytes the disk is told to begin with them."""
TRIES: Final = 4
"""How often a part is opened again where another download finishes it at the same moment."""


def part_name(stem: str, mark: str) -> str:
    """The name of the part of an output file."""
    return f"{stem}.{mark}.part"


def mark_of(validator: str, length: int) -> str:
    """The mark in the name of a part by which any process finds the part of this very file."""
    return hashlib.sha256(f"{validator}{length}".encode()).hexdigest()[:8]


def length_of(headers: Mapping[str, str]) -> int | None:
    """The length of a body by its headers, in bytes; None where they do not say."""
    text = headers.get("content-length", "") if "transfer-encoding" not in headers else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def validator_of(headers: Mapping[str, str]) -> str | None:
    """A text that no other version of the file has: a strong ETag, or an old enough date.

    A date is old enough where no later version can have the same.
    """
    if etag := headers.get("etag"):
        return etag if re.fullmatch(r'"[!#-~]*"', etag) else None
    modified = headers.get("last-modified") or ""
    try:
        age = parsedate_to_datetime(headers["date"]) - parsedate_to_datetime(modified)
    except (KeyError, ValueError, TypeError, IndexError, OverflowError):
        return None
    return modified if age.total_seconds() >= 1 and modified.isascii() else None


class Partial:
    """A `.part` file that no other download writes.

    With a validator and a length it has a name that a later process finds again, and it stays when
    the download breaks off. Otherwise, or where another download holds that file, it has a random
    name, and is deleted unless it is finished.
    """

    def __init__(
        self, target: Path, vendor: str, validator: str | None, length: int | None
    ) -> None:
        self.target, self.vendor, self.validator, self.length = target, vendor, validator, length
        self.lasting = False
        """Whether it stays when the download breaks off."""
        self._file: IO[bytes]
        self._written_back = 0
        """Up to which byte the disk has been told to begin."""
        self._over = False
        with self.disk():
            target.parent.mkdir(parents=True, exist_ok=True)
            if not self._hold_lasting():
                self._hold_random()
            self.size = self._written_back = self._file.seek(0, os.SEEK_END)
        if self.size and not media.file_suffix(self.head()):
            self.restart()  # these bytes are not the beginning of a media file

    @property
    def whole(self) -> bool:
        """Whether all bytes have arrived, by the length in the headers."""
        return self.validator is not None and self.size == self.length

    def is_of(self, validator: str | None, length: int | None) -> bool:
        """Whether this is the part of the file with this validator and length."""
        if validator is None or length is None:
            return False
        return (validator, length) == (self.validator, self.length)

    def write(self, chunk: bytes | memoryview) -> None:
        """Append bytes."""
        try:  # not `disk`, whose context costs a tenth as much as the writing
            self._file.write(chunk)
        except (OSError, ValueError) as error:
            raise self._refused(error) from None
        self.size += len(chunk)
        if self.size - self._written_back >= WRITTEN_BACK:
            self._write_back()

    def _write_back(self) -> None:
        """Have the disk begin with what is new, so that little is left for the fsync at the end.

        Linux begins to write what it is told not to keep in memory.
        """
        start, self._written_back = self._written_back, self.size
        if sys.platform == "linux":
            with suppress(OSError):  # it is only a hint
                new = self.size - start
                os.posix_fadvise(self._file.fileno(), start, new, os.POSIX_FADV_DONTNEED)

    def restart(self) -> None:
        """Begin again with nothing."""
        with self.disk():
            self._file.flush()
            self._file.truncate(0)
        self.size = self._written_back = 0

    def head(self) -> bytes:
        """The first bytes, which show the type of the file."""
        with self.disk():
            self._file.flush()
            self._file.seek(0)
            head = self._file.read(HEAD_BYTES)
            self._file.seek(0, os.SEEK_END)
        return head

    def flaw(self, content_type: str) -> str | None:
        """Say what is missing from a file of this type, by its own account; None if nothing is."""
        with self.disk():
            self._file.flush()
            flaw = containers.flaw(self._file, self.size, content_type)
            self._file.seek(0, os.SEEK_END)
        return flaw

    def finish(self, final: Path) -> Path:
        """Give the whole file its final name, and leave no part of this output behind.

        The result is the name. A file that is there already is never replaced: where its bytes are
        the same, it is this one; otherwise this one gets the next free name (`clip-1.2.mp4`).
        """
        with self.disk():
            self._file.flush()
            os.fsync(self._file.fileno())
            if fcntl is None:
                self._file.close()  # Windows renames no open file
            name = self._named(final)
        self._over = True
        self._file.close()
        self._sweep()
        return name

    def _named(self, final: Path) -> Path:
        for name in (final, *(final.with_name(numbered(final, n)) for n in range(2, MAX_NAMES))):
            try:
                _move(self.path, name)
            except FileExistsError:
                if name.is_dir() and not name.is_symlink():
                    raise
                if not _are_same(self.path, name):
                    continue
                self.path.unlink(missing_ok=True)
            if name != final:
                LOG.warning("%s is another file, which stays; saved as %s", final.name, name.name)
            return name
        raise FileExistsError(errno.EEXIST, f"there are {MAX_NAMES} other files of this name")

    def let_go(self) -> None:
        """Close it. A part that cannot be continued is deleted, if possible while it is locked."""
        unwanted = not self._over and not (self.lasting and self.size)
        self._over = True  # from now on, another download can use the name
        if fcntl is None:
            self._close()  # Windows deletes no open file
        if unwanted:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
        self._close()

    def _close(self) -> None:
        with suppress(OSError):
            self._file.close()

    @contextmanager
    def disk(self) -> Iterator[None]:
        """Raise errors of the disk as DownloadError, with folder and reason."""
        try:
            yield
        except (OSError, ValueError) as error:
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> DownloadError:
        self.lasting = False
        reason = getattr(error, "strerror", None) or error
        return DownloadError(f"cannot save to {self.target.parent}: {reason}", vendor=self.vendor)

    def _hold_lasting(self) -> bool:
        if fcntl is None or self.validator is None or self.length is None:
            return False
        self.path = self.target.with_name(
            part_name(self.target.name, mark_of(self.validator, self.length))
        )
        for _ in range(TRIES):
            self._file = _open(self.path, os.O_CREAT)
            if not (locked := _lock(self._file)):
                if locked is None:
                    self.path.unlink(missing_ok=True)  # without locks it cannot be shared
                self._file.close()
                return False
            if _is_at(self._file, self.path):
                if os.fstat(self._file.fileno()).st_nlink == 1:
                    self.lasting = True
                    return True
                # A process was killed while it finished this part: the file has its name already,
                # and must not change any more.
                self.path.unlink(missing_ok=True)
            self._file.close()  # another download has just finished it
        return False

    def _hold_random(self) -> None:
        for _ in range(TRIES):
            self.path = self.target.with_name(part_name(self.target.name, secrets.token_hex(4)))
            self._file = _open(self.path, os.O_CREAT | os.O_EXCL)
            # Locked too, so that a download that finishes does not delete it as left behind.
            if fcntl is None or not _lock(self._file) or _is_at(self._file, self.path):
                return
            self._file.close()

    def _sweep(self) -> None:
        """Delete the parts of this output that no download holds.

        They are of other versions, or of processes that were killed.
        """
        if fcntl is None:
            return
        pattern = re.compile(rf"{re.escape(self.target.name)}\.[0-9a-f]{{8}}\.part")
        with suppress(OSError):
            files = list(self.target.parent.iterdir())
            for path in [path for path in files if pattern.fullmatch(path.name)]:
                with suppress(OSError), _open(path) as file:
                    if _lock(file) and _is_at(file, path):
                        path.unlink()


def numbered(final: Path, number: int) -> str:
    """The name of a file whose own name another file has."""
    return f"{final.name.removesuffix(final.suffix)}.{number}{final.suffix}"


def _move(path: Path, name: Path) -> None:
    """Rename a file. FileExistsError is raised where the name is taken, at whatever moment."""
    if os.name == "nt":
        path.rename(name)
        return
    try:
        os.link(path, name, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        # The name is reserved by an empty file of our own, which nobody misses.
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            os.replace(path, name)
        except OSError:
            name.unlink(missing_ok=True)
            raise
    else:
        path.unlink(missing_ok=True)


def _are_same(path: Path, other: Path) -> bool:
    """Whether another file, no link to one, has the same bytes."""
    if not stat.S_ISREG(other.lstat().st_mode) or path.stat().st_size != other.stat().st_size:
        return False
    with path.open("rb") as one, other.open("rb") as two:
        while piece := one.read(COMPARED):
            if piece != two.read(COMPARED):
                return False
    return True


def _open(path: Path, flags: int = 0) -> IO[bytes]:
    # Links are not followed: somebody who foresees the name could make it lead to another file.
    flags |= os.O_RDWR | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o666), "a+b")


def _lock(file: IO[bytes]) -> bool | None:
    """Lock a file; False where it is locked already, None on file systems without locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether the open file still has this path."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path, follow_symlinks=False))
    return False
