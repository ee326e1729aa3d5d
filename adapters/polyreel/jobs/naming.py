"""Where the files of a job are saved, and how they are called.

One location says both: a folder; a file of a kind that vendors make, such as `clip.mp4`; or a
pattern, such as `clips/{name}-{n}.{ext}`. So the ledger keeps it as one text, and `resume` reads it
alike. In object storage, no folder is looked for: what looks like a file or a pattern is one.
"""

from __future__ import annotations

import hashlib
import os
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen

from ..errors import did_you_mean
from ..mapping.media import OTHER_SUFFIXES, SUFFIX_TYPES
from .locations import Location

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

NAME_LENGTH: Final = 200
"""Characters of a file's name before its number: file systems allow 255 bytes."""
FIELDS: Final = ("name", "vendor", "model", "id", "n", "ext")
"""What a pattern may hold: the job's name, its vendor, model and id, the number of the file, and
its suffix.
"""


ARTICLES: Final = {"image": "an image", "element": "a subject, which has no file"}


@frozen
class Target:
    """Where the files of a job are saved."""

    folder: Location
    stem: str | None = None
    """The name without its suffix, which may hold fields; None for the usual name."""
    suffix: str = ""
    """The suffix that is asked for, with its dot; empty for that of the file."""
    is_pattern: bool = False

    @classmethod
    def of(cls, path: Location) -> Target:
        """Read a path. A folder that is there is a folder, whatever its name is."""
        if _is_folder(path):
            return cls(path)
        if _fields(path.name):
            stem, suffix = path.name, ""
            if stem.endswith(".{ext}"):
                stem = stem.removesuffix(".{ext}")
            elif path.suffix.lower() in SUFFIX_TYPES:
                stem, suffix = path.stem, path.suffix
            return cls(path.parent, stem, suffix, is_pattern=True)
        if path.suffix.lower() in SUFFIX_TYPES:
            return cls(path.parent, path.stem, path.suffix)
        return cls(path)

    @property
    def is_file(self) -> bool:
        """Whether it is the name of one file."""
        return self.stem is not None and not self.is_pattern

    def stem_of(self, job: Job, index: int) -> Location:
        """The location of one file of a job, without its suffix."""
        usual = file_name(job.vendor, job.id)
        if self.stem is None:
            return self.folder / f"{usual}-{index + 1}"
        if self.is_file:
            return self.folder / (self.stem if index == 0 else f"{self.stem}-{index + 1}")
        values = {
            "name": usual,
            "vendor": plain(job.vendor),
            "model": plain(job.model or ""),
            "id": plain(job.id),
            "n": str(index + 1),
            "ext": self.suffix.removeprefix("."),
        }
        return self.folder / "".join(
            text + (values[field] if field else "") for text, field in _parsed(self.stem)
        )

    def problem(self, *, kind: str, count: int) -> str | None:
        """Say why files of a kind cannot be saved so, or None."""
        asked = SUFFIX_TYPES.get(self.suffix.lower(), kind)
        if not asked.startswith(kind):
            return f"a name with {self.suffix} is not one for {_article(kind)}"
        if count > 1 and self.is_file:
            return f"this is the name of one file, and {count} files are asked for: name a folder"
        return None


def problem_of_path(path: Location) -> str | None:
    """Say what is wrong with the last part of a path to save to, or None."""
    if _is_folder(path):
        return None
    fields = _fields(path.name)
    if not fields and "{" in path.name:
        return f"{path.name}: a pattern has fields such as {{name}}, and no other braces"
    if unknown := [name for name in fields if name not in FIELDS]:
        near = did_you_mean(unknown[0], FIELDS)
        known = ", ".join(f"{{{name}}}" for name in FIELDS)
        return f"{path.name}: no field {{{unknown[0][:40]}}}; there are {known}{near}"
    if "ext" in fields and (fields.count("ext") > 1 or not path.name.endswith(".{ext}")):
        return f"{path.name}: {{ext}} stands once, at the end and after a dot"
    if not fields and path.suffix.lower() in OTHER_SUFFIXES:
        made = ", ".join(SUFFIX_TYPES)
        return f"{path.name}: no vendor makes such files; name it with one of {made}, or a folder"
    return None


def named(path: Location, name: str | None) -> Location:
    """A location to save to, with a job's own name in the place of `{name}`."""
    fields = () if _is_folder(path) else _fields(path.name)
    if not fields:
        return path
    ends = "ext" in fields or path.suffix.lower() in SUFFIX_TYPES
    pattern = path.name if ends else f"{path.name}.{{ext}}"
    if name is not None:
        pattern = pattern.replace("{name}", plain(name)[:NAME_LENGTH])
    return path.with_name(pattern)


def with_filename(folder: Location, filename: str) -> Location:
    """A folder and the pattern of the files in it, as one location. ValueError says what is
    wrong.
    """
    if not filename.strip() or Path(filename).name != filename or "\\" in filename:
        raise ValueError("the name of a file, without folders: the folder is --output")
    path = folder / filename
    if Target.of(folder).stem is not None:
        raise ValueError("--output is a file already: name a folder there")
    if not _fields(filename) and path.suffix.lower() not in SUFFIX_TYPES:
        raise ValueError("a name such as clip.mp4, or a pattern such as {name}-{n}.{ext}")
    if problem := problem_of_path(path):
        raise ValueError(problem)
    return path


def distinguishes_jobs(path: Location) -> bool:
    """Whether the files of different jobs have different names."""
    target = Target.of(path)
    return target.stem is None or not {"name", "id"}.isdisjoint(_fields(path.name))


def plain(text: str) -> str:
    """A text as a part of a file's name: letters and digits of any script, `-`, `_` and dots."""
    return re.sub(r"[^\w.-]", "_", text).lstrip(".") or "_"


def file_name(vendor: str, identity: str) -> str:
    """Name the files of a job: no two jobs of a vendor have the same name.

    An id that cannot stand in a file name as it is gets a digest, after a character that no other
    name has.

    >>> file_name("acme", "task-1"), file_name("acme", "task/1")
    ('acme-task-1', 'acme-task_1.834634821c42f12e')
    """
    name = f"{vendor}-{identity}"
    usual = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    if usual == name and len(name) <= NAME_LENGTH:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{usual[: NAME_LENGTH - 17]}.{digest}"


def _is_folder(path: Location) -> bool:
    return isinstance(path, Path) and os.path.isdir(path)


def _parsed(pattern: str) -> Iterator[tuple[str, str | None]]:
    """Each text of a pattern with the field after it. ValueError where it is no pattern."""
    for text, field, form, conversion in string.Formatter().parse(pattern):
        if form or conversion:
            raise ValueError("a field has no format")
        yield text, field


def _fields(name: str) -> list[str]:
    """The fields of a pattern; none where it is no pattern."""
    try:
        return [field for _, field in _parsed(name) if field is not None]
    except ValueError:
        return []


def _article(kind: str) -> str:
    return ARTICLES.get(kind, "a video")
