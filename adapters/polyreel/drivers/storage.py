"""Files in object storage, by way of fsspec, which is imported where a URL is used and only there.

Everything here blocks, and raises what the store's own package raises. `storing` calls it.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import sys
import tempfile
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final, Protocol

from ..errors import MissingExtraError
from .parts import COMPARED, MAX_NAMES, numbered

try:
    import fcntl
except ImportError:
    # Windows has no locks that tell whether a folder is in use, so none is swept.
    fcntl = None  # type: ignore[assignment]

LOG: Final = logging.getLogger("polyreel")
PACKAGES: Final = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss"), "adlfs"),
}
"""The packages from which fsspec has what speaks to a store, by the scheme of its URLs."""
TRIED: Final = "polyreel-can-save-here"
"""The object by which a folder is tried. It is deleted again, where that is allowed."""
SPOOL: Final = "polyreel-spool-"
"""How folders begin in which files wait for their upload."""
SPOOL_SECONDS: Final = 60.0
"""How old a folder is at least that is taken for left behind: a new one may not be locked yet."""


class FileSystem(Protocol):
    """What is used of a file system of fsspec."""

    def info(self, path: str) -> dict[str, Any]:
        """What the store says of an object; FileNotFoundError where there is none."""

    def invalidate_cache(self) -> None:
        """Forget what was listed before."""

    def open(self, path: str, mode: str) -> AbstractContextManager[IO[bytes]]:
        """Open an object."""

    def put_file(self, lpath: str, rpath: str, **options: str) -> None:
        """Upload a file; with `mode="create"`, FileExistsError where the name is taken."""

    def rm_file(self, path: str) -> None:
        """Delete an object."""


class UnequalError(Exception):
    """What the store has is not what was sent."""


class StoredFile:
    """One file on its way into a folder, whose own name no other file is replaced under."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.begun: str | None = None
        """The name under which this file was put, and not found to be whole yet."""

    def put(self, local: Path) -> str:
        """Put it there, and compare it with what the store has then; the result is its URL.

        Where another object has its name, it gets the next free one (`clip-1.2.mp4`). Where that
        object has the same bytes, it is this one. UnequalError is raised where what is there in the
        end is not what was sent; the next call puts it there again.
        """
        system, root = _opened(self.folder)
        for name in [self.begun] if self.begun else _names(local.name):
            key = f"{root}/{name}"
            if self.begun is None and not self._put_new(system, local, name, key):
                continue
            if self.begun is not None:
                self._check(system, local, key)
            if name != local.name:
                LOG.warning("%s is another file, which stays; saved as %s", local.name, name)
            return f"{self.folder}/{name}"
        raise FileExistsError(f"there are {MAX_NAMES} other files of this name")

    def _put_new(self, system: FileSystem, local: Path, name: str, key: str) -> bool:
        """Put it under a name that no object has; whether this file is there now."""
        if (same := _is_there(system, local, key)) is not None:
            return same
        try:
            _put_where_none_is(system, local, key)
        except FileExistsError:  # somebody was faster, or its own answer was lost
            return bool(_is_there(system, local, key))
        self.begun = name
        return True

    def _check(self, system: FileSystem, local: Path, key: str) -> None:
        """Raise UnequalError where the store has something else; then it is put there anew."""
        try:
            if _is_same(system, local, key):
                self.begun = None
                return
        except PermissionError:
            LOG.warning(
                "%s/%s cannot be read with these credentials, so its size is not compared",
                self.folder,
                local.name,
            )
            self.begun = None
            return
        system.put_file(str(local), key)  # it is this one's own: nobody else has this name
        if not _is_same(system, local, key):
            raise UnequalError("what it has is not what was sent")
        self.begun = None

    def drop(self) -> None:
        """Delete what was put there and is not whole, as far as that is allowed."""
        if self.begun is not None:
            system, root = _opened(self.folder)
            with suppress(Exception):
                system.rm_file(f"{root}/{self.begun}")


def try_folder(folder: str) -> None:
    """Put a tiny object into a folder, and delete it again. That needs no right but to write."""
    system, root = _opened(folder)
    key = f"{root}/{TRIED}"
    with spool() as own:
        local = own / TRIED
        local.write_bytes(b"polyreel can save files here\n")
        system.put_file(str(local), key)
    with suppress(Exception):
        system.rm_file(key)


def copy_here(url: str, path: Path) -> None:
    """Copy an object to a file of this machine, which is there whole or not at all."""
    system, key = _opened(url)
    descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file, system.open(key, "rb") as source:
            shutil.copyfileobj(source, file, COMPARED)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink()
        raise


def _opened(folder: str) -> tuple[FileSystem, str]:
    """The store of a folder, as fsspec has it, and the folder's name there."""
    scheme = folder.partition(":")[0]
    package = PACKAGES.get(scheme, "s3fs")
    more = "" if package == "s3fs" else f" {package}"
    advice = f'saving at {scheme}:// needs more: pip install "polyreel[storage]"{more}'
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415

        system, root = url_to_fs(folder)
    except ImportError as error:
        if scheme not in PACKAGES and "fsspec" in sys.modules:
            advice = f"saving at {scheme}:// needs more: {error}"
        raise MissingExtraError(advice) from None
    return system, str(root).rstrip("/")


def _names(name: str) -> Iterator[str]:
    yield name
    yield from (numbered(Path(name), number) for number in range(2, MAX_NAMES))


def _put_where_none_is(system: FileSystem, local: Path, key: str) -> None:
    """Put a file under a name; FileExistsError where an object has it."""
    try:
        system.put_file(str(local), key, mode="create")
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        system.put_file(str(local), key)  # the store has no such step, and was looked at before


def _is_there(system: FileSystem, local: Path, key: str) -> bool | None:
    """Whether the object of a name is the file; None where there is none, or nobody may know."""
    try:
        return _is_same(system, local, key)
    except (FileNotFoundError, PermissionError):
        return None


def _is_same(system: FileSystem, local: Path, key: str) -> bool:
    """Whether an object has the bytes of a file: by its size and its MD5, else by reading it."""
    system.invalidate_cache()  # others write there too
    facts = system.info(key)
    if facts.get("type") != "file" or facts.get("size") != local.stat().st_size:
        return False
    with local.open("rb") as one:
        if (digest := _md5_of(facts)) is not None:
            if hashlib.file_digest(one, _md5).digest() == digest:
                return True
            one.seek(0)  # an ETag of 16 bytes need not be an MD5
        with system.open(key, "rb") as two:
            while piece := one.read(COMPARED):
                if piece != two.read(COMPARED):
                    return False
    return True


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _md5_of(facts: dict[str, Any]) -> bytes | None:
    """The MD5 of an object, where its store seems to say it."""
    settings = facts.get("content_settings") or {}
    with suppress(ValueError, TypeError):
        if (given := settings.get("content_md5")) is not None:
            return bytes(given)
        if (given := facts.get("md5Hash")) is not None:
            return b64decode(given, validate=True)
        found = bytes.fromhex(str(facts.get("ETag", "")).strip('"'))
        return found if len(found) == 16 else None
    return None


# -- files that wait for their upload --------------------------------------------------------------


@contextmanager
def spool() -> Iterator[Path]:
    """A temporary folder. What processes have left behind that were killed is deleted first."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=SPOOL))
    descriptor = None
    try:
        if fcntl is not None:
            descriptor = os.open(folder, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def _sweep() -> None:
    if fcntl is None:
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{SPOOL}*"):
        with suppress(OSError):
            if time.time() - folder.lstat().st_mtime < SPOOL_SECONDS:
                continue
            descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
