"""Files that were dropped or pasted into the studio, each under the hash of its bytes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from attrs import frozen

from ..errors import RequestError
from ..mapping.media import SUFFIX_TYPES, SUFFIXES, any_content_type

UPLOAD: Final = "upload:"
"""How a file is named in a form: this, the hash of its bytes, and its suffix."""
MAX_BYTES: Final = 300 * 1024 * 1024
"""The largest file that is taken, in bytes."""
SNIFFED: Final = 4096
"""Bytes that tell what a file is."""
_NAME: Final = re.compile(r"upload:([0-9a-f]{32}\.[a-z0-9]{3,4})")


@frozen
class UploadFolder:
    """Where the files are."""

    folder: Path

    def keep(self, content: bytes) -> str:
        """Keep a file. The result is its name in a form.

        RequestError is raised for bytes that are no image, video or sound that polyreel knows.
        """
        kind = any_content_type(content[:SNIFFED])
        if kind not in SUFFIXES:
            known = ", ".join(sorted({one.partition("/")[2] for one in SUFFIXES}))
            raise RequestError([f"file: its bytes are none of {known}"])
        name = hashlib.sha256(content).hexdigest()[:32] + SUFFIXES[kind]
        path = self.folder / name
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_bytes(content)
            part.replace(path)
        return UPLOAD + name

    def path(self, name: str) -> Path | None:
        """The file of a name; None where there is none."""
        found = _NAME.fullmatch(name)
        path = self.folder / found[1] if found else None
        return path if path is not None and path.is_file() else None

    def content_type(self, path: Path) -> str:
        """The media type of a file that is kept."""
        return SUFFIX_TYPES[path.suffix]

    def name(self, path: str) -> str | None:
        """The name of a path in this folder; None for another path."""
        if not path.startswith(str(self.folder)):
            return None  # as nearly every text: seen at once
        here = Path(path)
        name = UPLOAD + here.name
        return name if here.parent == self.folder and self.path(name) is not None else None
