"""Where files are saved: a path of this machine, or a URL of object storage.

Nothing here opens anything. `drivers.storage` does, with fsspec.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.request import url2pathname

from attrs import evolve, frozen

from ..mapping.media import local_path

URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
SLASH_LOST: Final = re.compile(r"(s3|gcs|gs|az|abfss?|memory|file):/[^/]")
"""What becomes of a URL as a `pathlib.Path`."""
ADVICE: Final = "leave it out: credentials come from the store's own settings, as from AWS_PROFILE"
NOT_WRITTEN_TO: Final = frozenset({"http", "https", "data", "ftp"})


@frozen
class StorageUrl:
    """A folder, a file or a pattern in object storage, such as `s3://bucket/clips`."""

    scheme: str
    path: PurePosixPath
    """The bucket, and below it the key."""

    @property
    def name(self) -> str:
        """The last part of the key; empty for a bucket."""
        return self.path.name if len(self.path.parts) > 1 else ""

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The suffix of the name, with its dot."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> StorageUrl:
        """The folder that it is in."""
        return evolve(self, path=self.path.parent)

    def with_name(self, name: str) -> StorageUrl:
        """Another name in the same folder."""
        return evolve(self, path=self.path.with_name(name))

    def __truediv__(self, name: str) -> StorageUrl:
        return evolve(self, path=self.path / name)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.path}"


Location = Path | StorageUrl
"""Where files are saved."""


def location_of(value: str | os.PathLike[str] | StorageUrl) -> Location:
    """Read where files are saved. `~` is the home folder, and `file://` a path of this machine.

    ValueError says why it cannot be used. A text that could have a password in it is not quoted.

    >>> print(location_of("s3://bucket/clips/"))
    s3://bucket/clips
    """
    if isinstance(value, StorageUrl):
        return value
    text = os.fspath(value)
    if not isinstance(value, str) and SLASH_LOST.match(text):
        raise ValueError(f"{text[:80]}: a Path holds no URL: give it as text")
    if "::" in text and "://" in text:
        raise ValueError("a URL to save at is no chain of several with '::'")
    found = URL.fullmatch(text)
    if found is None:
        return local_path(value)
    scheme, rest = found[1].lower(), found[2].removesuffix("/")
    host = rest.partition("/")[0]
    if ":" in host.rpartition("@")[0]:
        raise ValueError(f"the URL has a password in it, which the ledger would keep; {ADVICE}")
    if "?" in rest or "#" in rest:
        raise ValueError(f"the URL has a query or a fragment, which may be a secret; {ADVICE}")
    if scheme == "file":
        if host not in {"", "localhost"}:
            raise ValueError("a file:// URL has three slashes, and names no other machine")
        return Path(url2pathname(rest.removeprefix(host)) or "/")
    problem = _problem(scheme, rest)
    if problem is not None:
        raise ValueError(f"{text[:200]}: {problem}" if text.isprintable() else problem)
    return StorageUrl(scheme, PurePosixPath(rest))


def _problem(scheme: str, rest: str) -> str | None:
    """Say why no file can be saved at a URL, or None."""
    if scheme in NOT_WRITTEN_TO:
        return f"nothing can be saved at {scheme}://; there are folders, and s3://bucket/folder"
    if not rest.isprintable() or "\\" in rest:
        return "a URL to save at has no control characters and no backslashes"
    parts = rest.split("/")
    if not parts[0]:
        return "the name of the bucket is missing"
    if {"", ".", ".."}.intersection(parts):
        return "no part of a URL to save at is empty, '.' or '..'"
    return None


def is_there(path: str) -> bool:
    """Whether a file that was saved is still there, as far as this machine can tell.

    Of a file in object storage the ledger knows that it was saved: nobody is asked again.
    """
    return URL.fullmatch(path) is not None or Path(path).exists()
