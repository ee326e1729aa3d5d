"""Files that are not whole yet: `.part` files that one download holds, and that a later process can go on with."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Final

from ..errors import DownloadError
from ..mapping import media

try:
    import fcntl
except (
    ImportError
):  # Windows: nothing tells there whether a part is still being written, so none is shared
    fcntl = None  # type: ignore[assignment]

HEAD_BYTES: Final = 16
TRIES: Final = 4
"""How often a part that somebody finishes at the same moment is opened again."""


def part_name(stem: str, mark: str) -> str:
    """The name of the part of an output."""
    return f"{stem}.{mark}.part"


def mark_of(validator: str, length: int) -> str:
    """The mark of a file by which any process finds the part it left."""
    return hashlib.sha256(f"{validator}{length}".encode()).hexdigest()[:8]


def length_of(headers: Mapping[str, str]) -> int | None:
    """The length a body is said to have."""
    text = headers.get("content-length", "") if "transfer-encoding" not in headers else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def validator_of(headers: Mapping[str, str]) -> str | None:
    """What tells one version of a file from every other, byte by byte: a strong ETag, or a date that is old enough
    for no other version to have the same.
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
    """A `.part` file that nobody else writes.

    With a validator and a length it has a name that a later process finds again, and stays when the download breaks
    off. Without, or where somebody else holds that one, it has a random name and is deleted unless finished.
    """

    def __init__(
        self, target: Path, vendor: str, validator: str | None, length: int | None
    ) -> None:
        self.target, self.vendor, self.validator, self.length = target, vendor, validator, length
        self.lasting = False
        """Whether it stays when the download breaks off."""
        self._file: IO[bytes]
        self._over = False
        with self.disk():
            target.parent.mkdir(parents=True, exist_ok=True)
            if not self._hold_lasting():
                self._hold_random()
            self.size = self._file.seek(0, os.SEEK_END)
        if self.size and not media.file_suffix(self.head()):
            self.restart()  # whatever it is, it is not the beginning of the file

    @property
    def whole(self) -> bool:
        """Whether all bytes are here, by a length that was told."""
        return self.validator is not None and self.size == self.length

    def is_of(self, validator: str | None, length: int | None) -> bool:
        """Whether this part is one of the file with this validator and length."""
        return None not in {validator, length} and (validator, length) == (
            self.validator,
            self.length,
        )

    def write(self, chunk: bytes) -> None:
        """Append bytes."""
        try:  # not `disk`, whose context costs a tenth as much as the writing
            self._file.write(chunk)
        except (OSError, ValueError) as error:
            raise self._refused(error) from None
        self.size += len(chunk)

    def restart(self) -> None:
        """Begin again with nothing."""
        with self.disk():
            self._file.flush()
            self._file.truncate(0)
        self.size = 0

    def head(self) -> bytes:
        """The first bytes, which tell what it is."""
        with self.disk():
            self._file.flush()
            self._file.seek(0)
            head = self._file.read(HEAD_BYTES)
            self._file.seek(0, os.SEEK_END)
        return head

    def finish(self, final: Path) -> None:
        """Give the whole file its final name, and leave no part of this output behind."""
        with self.disk():
            self._file.flush()
            os.fsync(self._file.fileno())
            if fcntl is None:
                self._file.close()  # Windows renames no open file
            os.replace(self.path, final)
        self._over = True
        self._file.close()
        self._sweep()

    def let_go(self) -> None:
        """Close it; what nobody can go on with is deleted, while it is still locked where that is possible."""
        unwanted = not self._over and not (self.lasting and self.size)
        self._over = True  # from now on, the name can be somebody else's
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
        """Tell what the disk refuses by folder and reason."""
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
                    self.path.unlink(missing_ok=True)  # nobody can share it
                self._file.close()
                return False
            if _is_at(self._file, self.path):
                self.lasting = True
                return True
            self._file.close()  # whoever held it has just finished it
        return False

    def _hold_random(self) -> None:
        for _ in range(TRIES):
            self.path = self.target.with_name(part_name(self.target.name, secrets.token_hex(4)))
            self._file = _open(self.path, os.O_CREAT | os.O_EXCL)
            # Locked too, so that whoever finishes first does not take it for one that was left behind.
            if fcntl is None or not _lock(self._file) or _is_at(self._file, self.path):
                return
            self._file.close()

    def _sweep(self) -> None:
        """Delete the parts of this output that nobody holds: of other versions, or of processes that were killed."""
        if fcntl is None:
            return
        pattern = re.compile(rf"{re.escape(self.target.name)}\.[0-9a-f]{{8}}\.part")
        with suppress(OSError):
            for path in [
                path for path in self.target.parent.iterdir() if pattern.fullmatch(path.name)
            ]:
                with suppress(OSError), _open(path) as file:
                    if _lock(file) and _is_at(file, path):
                        path.unlink()


def _open(path: Path, flags: int = 0) -> IO[bytes]:
    # No links: a name that can be foreseen must not lead to somebody's file.
    flags |= os.O_RDWR | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o666), "a+b")


def _lock(file: IO[bytes]) -> bool | None:
    """Lock a file; False where somebody else has, None on file systems without locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether the open file still has that name."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path, follow_symlinks=False))
    return False
