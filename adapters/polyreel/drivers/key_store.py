"""Keys that `polyreel keys set` has stored: in a file of the user's own, or in the keyring."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from attrs import define, frozen

from ..errors import KeyMissingError, MissingExtraError

SERVICE: Final = "polyreel"
"""The name under which the keyring has the keys."""
KEYRING: Final = "the keyring"
OTHERS: Final = 0o077
"""What a file allows its group and all others to do."""
LOCK_SECONDS: Final = 30.0
"""How long another process is waited for that changes the keys."""
MAX_BYTES: Final = 1_000_000


@frozen
class StoredKey:
    """A key, and where it is stored."""

    value: str
    place: str

    def __repr__(self) -> str:
        return f"StoredKey('****', {self.place!r})"


@define
class _Content:
    """What the file holds: keys by vendor, and the vendors whose keys are in the keyring."""

    keys: dict[str, str]
    in_keyring: list[str]


@frozen
class KeyStore:
    """The keys of one file. Only its owner may read it, or it is refused."""

    path: Path

    def find(self, vendor: str) -> StoredKey | None:
        """The key of a vendor, if there is one; KeyMissingError where it cannot be had."""
        content = self._read()
        if vendor in content.in_keyring:
            with _keyring() as keyring:
                return StoredKey(keyring.get_password(SERVICE, vendor) or "", KEYRING)
        if vendor in content.keys:
            return StoredKey(content.keys[vendor], str(self.path))
        return None

    def place_of(self, vendor: str) -> str | None:
        """Where the key of a vendor is stored, without asking the keyring; None if nowhere."""
        content = self._read()
        if vendor in content.in_keyring:
            return KEYRING
        return str(self.path) if vendor in content.keys else None

    def vendors(self) -> list[str]:
        """The vendors that have a key here, also those that are not installed."""
        content = self._read()
        return sorted({*content.keys, *content.in_keyring})

    def set(self, vendor: str, key: str, *, keyring: bool = False) -> str:
        """Store a key, in the place of the one before. The result says where it is."""
        with self._changed() as content:
            if keyring:
                with _keyring() as ring:
                    ring.set_password(SERVICE, vendor, key)
                content.keys.pop(vendor, None)
                content.in_keyring = sorted({*content.in_keyring, vendor})
                return KEYRING
            self._drop_from_keyring(vendor, content)
            content.keys[vendor] = key
        return str(self.path)

    def remove(self, vendor: str) -> bool:
        """Forget the key of a vendor; False where there is none."""
        if self.place_of(vendor) is None:
            return False
        with self._changed() as content:
            self._drop_from_keyring(vendor, content)
            content.keys.pop(vendor, None)
        return True

    @staticmethod
    def _drop_from_keyring(vendor: str, content: _Content) -> None:
        if vendor not in content.in_keyring:
            return
        with _keyring() as ring:
            if ring.get_password(SERVICE, vendor) is not None:
                ring.delete_password(SERVICE, vendor)
        content.in_keyring.remove(vendor)

    # -- the file --------------------------------------------------------------------------------

    def _read(self) -> _Content:
        try:
            with self.path.open("rb") as file:
                if problem := _looseness(os.fstat(file.fileno())):
                    raise KeyMissingError(
                        f"{self.path}: {problem}, so no key is read from it: "
                        f"run chmod 600 {self.path}; others may have seen the keys in it"
                    )
                text = file.read(MAX_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return _Content({}, [])
        except OSError as error:
            raise KeyMissingError(f"{self.path}: {error.strerror or error}") from None
        try:
            return _content(json.loads(text))
        except (ValueError, RecursionError):
            problem = "it is not a file of `polyreel keys`; remove it, and set the keys anew"
            raise KeyMissingError(f"{self.path}: {problem}") from None

    @contextmanager
    def _changed(self) -> Iterator[_Content]:
        """What the file holds, to be changed; it is written at the end, whole or not at all."""
        from filelock import FileLock  # noqa: PLC0415

        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = self.path.with_name(f"{self.path.name}.lock")
            with FileLock(lock, timeout=LOCK_SECONDS, mode=0o600):
                content = self._read()
                yield content
                self._write(content)
        except OSError as error:
            reason = f"{self.path}: {error.strerror or error}; nothing was changed"
            raise KeyMissingError(reason) from None

    def _write(self, content: _Content) -> None:
        document = {"keys": content.keys, "keyring": content.in_keyring}
        path = self.path.resolve()  # a link stays a link
        # Such a file is its owner's alone from the beginning.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(json.dumps(document, indent=1) + "\n")
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise


def _looseness(facts: os.stat_result) -> str | None:
    """Why a file is not one that only its owner can read and write."""
    if os.name == "nt":
        return None  # its folder is the user's own, and modes say nothing
    if not stat.S_ISREG(facts.st_mode):
        return "it is no file"
    if facts.st_mode & OTHERS:
        return f"others may open it (mode {stat.S_IMODE(facts.st_mode):04o})"
    if os.getuid() not in {facts.st_uid, 0}:
        return "it belongs to another user"
    return None


def _content(document: Any) -> _Content:
    """What a file's JSON says; ValueError where it is something else."""
    if not isinstance(document, dict) or not {"keys", "keyring"} >= document.keys():
        raise ValueError
    keys, in_keyring = document.get("keys", {}), document.get("keyring", [])
    if not isinstance(keys, dict) or not isinstance(in_keyring, list):
        raise ValueError
    if not all(isinstance(text, str) for text in (*keys.values(), *in_keyring)):
        raise ValueError
    return _Content(keys, in_keyring)


@contextmanager
def _keyring() -> Iterator[ModuleType]:
    """The package `keyring`; errors of it say what to do, and nothing of a key."""
    try:
        import keyring  # noqa: PLC0415
        from keyring.errors import KeyringError  # noqa: PLC0415
    except ImportError:
        problem = "keys in the keyring need the extra polyreel[keyring]"
        raise MissingExtraError(problem) from None
    try:
        yield keyring
    except KeyringError as error:
        raise KeyMissingError(
            f"{KEYRING} of this system cannot be used ({type(error).__name__}); a key can be "
            "stored in a file, without --keyring, or set in the environment"
        ) from None
