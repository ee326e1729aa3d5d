"""Files that were dropped or pasted into the studio, each under the hash of its bytes."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import field, frozen

from ..errors import RequestError
from ..mapping.media import SUFFIX_TYPES, SUFFIXES, any_content_type, shown

UPLOAD: Final = "upload:"
"""How a file is named in a form: this, its own name and a slash, the hash of its bytes, and its
suffix, as in `upload:cat.png/ed82….png`. Its own name may be missing.
"""
MAX_BYTES: Final = 300 * 1024 * 1024
"""The largest file that is taken, in bytes."""
SNIFFED: Final = 4096
"""Bytes that tell what a file is."""
LONGEST_NAME: Final = 80
"""Characters of a file's own name that are kept."""
_KEPT: Final = r"[0-9a-f]{32}\.[a-z0-9]{3,4}"
_NAME: Final = re.compile(rf"upload:(?:([^/]*)/)?({_KEPT})")


@frozen
class UploadFolder:
    """Where the files are."""

    folder: Path
    _own_names: dict[str, str] = field(factory=dict, init=False, eq=False, repr=False)
    """What files are called by those who gave them, by their names in the folder."""

    def keep(self, content: bytes, own_name: str = "") -> str:
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
        return self._named(name, own_name)

    def _named(self, name: str, own_name: str) -> str:
        """The name in a form."""
        bare = re.split(r"[/\\]", own_name)[-1]
        plain = "".join(one for one in bare if one.isprintable()).strip()[-LONGEST_NAME:]
        return f"{UPLOAD}{plain}/{name}" if plain else UPLOAD + name

    def path(self, name: str) -> Path | None:
        """The file of a name; None where there is none."""
        found = _NAME.fullmatch(name)
        path = self.folder / found[2] if found else None
        if found is None or path is None or not path.is_file():
            return None
        known = self._own_names.get(found[2], found[2])
        self._own_names[found[2]] = (found[1] or known)[:LONGEST_NAME]
        return path

    def content_type(self, path: Path) -> str:
        """The media type of a file that is kept."""
        return SUFFIX_TYPES[path.suffix]

    def name(self, path: str) -> str | None:
        """The name of a path in this folder; None for another path."""
        if not path.startswith(str(self.folder)):
            return None  # as nearly every text: seen at once
        here = Path(path)
        if here.parent != self.folder or self.path(UPLOAD + here.name) is None:
            return None
        return self._named(here.name, self._own_name(here.name))

    def _own_name(self, kept: str) -> str:
        """What a file was called; nothing where nobody said it."""
        name = self._own_names.get(kept, "")
        return "" if name == kept else name

    def told(self, text: str, quoted: Callable[[str], str] = str) -> str:
        """A text in which files are called as those call them who gave them, and not by a path.

        `quoted` is how the text is written, such as HTML. Messages cut long paths: what is left of
        several files may be the same.
        """
        cut = dict[str, set[str]]()
        for kept, own_name in [*self._own_names.items()]:
            path = f"{self.folder}{os.sep}{kept}"
            text = text.replace(quoted(path), quoted(own_name))
            if (left := shown(path)) != path:
                cut.setdefault(left, set()).add(own_name)
        for left, names in cut.items():
            name = names.pop() if len(names) == 1 else "the file"
            text = text.replace(quoted(left), quoted(name))
        return text
