"""Media inputs: a URL, or a file that is here, where the vendor has a way to take one.

A file is here at a path, or in the request itself: as a data: URL, or as bare Base64.
"""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Final, Literal
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from attrs import field, frozen

from ..places import Json
from .containers import flaw
from .limits import MeasuredFile
from .measures import Measures, measure

Kind = Literal["image", "video", "audio"]

ELEMENT: Final[dict[str, Kind]] = {"front_image": "image", "images": "image", "video": "video"}
"""The members of a described element that hold media, and what they hold."""
FIELDS: Final[dict[str, Kind]] = {
    "first_frame": "image",
    "last_frame": "image",
    "reference_images": "image",
    "character_image": "image",
    "reference_videos": "video",
    "reference_audio": "audio",
    "source_video": "video",
    "extend_video": "video",
    "reference_video": "video",
    "motion_video": "video",
    **ELEMENT,
}
"""The shared fields that hold media, and what they hold. A test compares it with the spec."""

SUFFIXES: Final = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
}
"""The media types polyreel knows by their first bytes, with the file name suffix of each."""
SUFFIX_TYPES: Final = {
    **{suffix: content_type for content_type, suffix in SUFFIXES.items()},
    ".jpeg": "image/jpeg",
    ".m4v": "video/mp4",
}
"""The media type that each file name suffix stands for."""
OTHER_SUFFIXES: Final = frozenset({".avi", ".gif", ".mkv", ".mpg", ".mpeg", ".webm", ".wmv"})
"""Suffixes of media that no vendor makes."""
_FORMATS: Final[dict[Kind, str]] = {
    "image": "a JPEG, PNG or WebP image",
    "video": "an MP4 or MOV video",
    "audio": "an MP3 or WAV sound",
}
SHORTEST_BASE64: Final = 24
"""Characters of the shortest Base64 that is looked at: 16 bytes show the type of a file."""
LONGEST_PATH: Final = 1024
LONGEST_NAME: Final = 100
"""A longer path without a dot is rather Base64."""
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\s-]+={0,2}\s*")
_STANDARD: Final = str.maketrans("-_", "+/")
# Brands of HEIC, AVIF and audio files, which begin like MP4.
_OTHER_BRANDS: Final = (b"avi", b"hei", b"hev", b"mif", b"msf", b"M4A")


def inputs(shared: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Kind]]:
    """Each media input of a shared request: field, JSON Pointer, value, and what it holds."""
    for name, kind in FIELDS.items():
        yield from _inputs(name, f"/{name}", shared.get(name), kind)
    for index, element in enumerate(shared.get("elements", ())):
        for member, kind in ELEMENT.items() if isinstance(element, dict) else ():
            at = f"/elements/{index}/{member}"
            yield from _inputs("elements", at, element.get(member), kind)


def _inputs(name: str, at: str, value: Json, kind: Kind) -> Iterator[tuple[str, str, str, Kind]]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _inputs(name, f"{at}/{index}", item, kind)
    elif isinstance(value, str):
        yield name, at, value, kind


def is_local(value: str) -> bool:
    """Whether a media input names a local file: anything that is not an absolute URL."""
    # A scheme has two letters or more: one letter before the colon is a Windows drive.
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", value) is None


@frozen(slots=False)
class LocalFile:
    """A media input that is here: in a file, or in the request itself."""

    content_type: str
    path: Path | None = None
    content: bytes | None = field(default=None, repr=False)
    """Its bytes, where it has no path."""

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self.path.stat().st_size if self.path else len(self.content or b"")

    def open(self) -> IO[bytes]:
        """Open it for reading."""
        return self.path.open("rb") if self.path else io.BytesIO(self.content or b"")

    @cached_property
    def measured(self) -> MeasuredFile:
        """What a vendor's facts are compared with."""
        return MeasuredFile(self.content_type, self.size, self.measures)

    @cached_property
    def measures(self) -> Measures:
        """What it measures; nothing where it cannot be read."""
        try:
            with self.open() as file:
                return measure(file, self.size, self.content_type)
        except OSError:
            return Measures()


def is_data(value: str) -> bool:
    """Whether a media input is a data: URL."""
    return value[:5].lower() == "data:"


def is_inline(value: str) -> bool:
    """Whether a media input holds the content itself: a data: URL, or Base64 of a known type."""
    return is_data(value) or _content_of(value) is not None


def look(value: str, kind: Kind) -> LocalFile | None:
    """The file that a media input stands for; None for an URL.

    Local files are looked at, and the network is not. ValueError says what is wrong with the input.
    """
    if not is_data(value) and not is_local(value):
        if reason := url_problem(value):
            raise ValueError(reason)
        return None
    inline = _content_of(value)
    if inline is not None:
        return _inline(value, inline, kind)
    try:
        found = _file(value, kind)
    except OSError as error:
        hint = _if_base64(value, kind)
        raise ValueError(f"{shown(value)} cannot be read: {error.strerror}{hint}") from None
    except ValueError:  # such as a NUL, or half of a character
        raise ValueError(f"not a file name: {shown(value)}") from None
    if isinstance(found, str):
        raise ValueError(found)
    return found


def problem(value: str, kind: Kind) -> str | None:
    """Say what is wrong with a media input, or None. See `look`."""
    try:
        look(value, kind)
    except ValueError as error:
        return str(error)
    return None


def _file(value: str, kind: Kind) -> LocalFile | str:
    """The file at a path, or what is wrong with it."""
    path = local_path(value)
    if not path.exists():
        return f"no such file: {shown(value)}{_if_base64(value, kind)}"
    if not path.is_file():
        return f"not a file: {shown(value)}"
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        return f"{shown(value)} is empty"
    found = content_type(head, kind)
    return LocalFile(found, path) if found else f"{shown(value)} is not {_FORMATS[kind]}"


def _if_base64(value: str, kind: Kind) -> str:
    """What to add where no file is called so, and the text is rather the content of one."""
    likely = len(value) > LONGEST_NAME and _BASE64.fullmatch(value)
    return f"; if it is Base64, it is not that of {_FORMATS[kind]}" if likely else ""


def _content_of(value: str) -> bytes | None:
    """The bytes that a data: URL or bare Base64 holds; None for anything else."""
    if is_data(value):
        head, _, text = value.partition(",")
        if head.lower().endswith(";base64"):
            return _decoded(text)
        return unquote_to_bytes(text.encode("utf-8", "surrogatepass"))
    if len(value) < SHORTEST_BASE64 or not _BASE64.fullmatch(value):
        return None
    found = _decoded(value)
    return found if any_content_type(found[:16]) else None  # a path can read like Base64, too


def _decoded(text: str) -> bytes:
    """The bytes of Base64, in both of its alphabets, with or without padding and line breaks."""
    plain = "".join(unquote(text).split()).translate(_STANDARD).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        return b""


def _inline(value: str, content: bytes, kind: Kind) -> LocalFile:
    what = "a data: URL" if is_data(value) else "Base64 text"
    if not content:
        raise ValueError(f"{what} without any content that can be read")
    found = content_type(content[:16], kind)
    if found is None:
        raise ValueError(f"{what} of {len(content)} bytes, which are not {_FORMATS[kind]}")
    if cut := flaw(io.BytesIO(content), len(content), found):
        raise ValueError(f"{what} of a file ({found}) that is not whole: {cut}")
    return LocalFile(found, content=content)


def described(value: str, file: LocalFile) -> str:
    """What a media input is, in words that a person can act on, and on one line."""
    if file.path is not None:
        return f"{shown(value)} is a local file"
    what = "a data: URL" if is_data(value) else "Base64 text"
    return f"{what} that holds a file ({file.content_type}, {file.size} bytes) was given"


def abridged(value: str) -> str:
    """A text as it can be shown: a file that it holds, as a data: URL or Base64, is cut."""
    is_long_base64 = len(value) > LONGEST_PATH and " " not in value and _BASE64.fullmatch(value)
    if not is_long_base64 and not (is_data(value) and len(value) > 100):
        return value
    return f"{value[:40]}... ({len(value)} characters)"


def abridged_body(value: Json) -> Json:
    """A JSON value as it can be shown: files that it holds are cut."""
    if isinstance(value, dict):
        return {name: abridged_body(item) for name, item in value.items()}
    if isinstance(value, list):
        return [abridged_body(item) for item in value]
    return abridged(value) if isinstance(value, str) else value


def url_problem(value: str) -> str | None:
    """Say what is wrong with an absolute URL, or None."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "not a valid URL"
    if parts.scheme not in {"http", "https"}:
        return f"{parts.scheme}:// is not supported; use http, https or a local path"
    if not host or " " in value or "\\" in value or not value.isprintable():
        return "not a valid URL"
    return None


def shown(value: str) -> str:
    """An input as a message can hold it: on one line, and not endless."""
    text = "".join(character if character.isprintable() else "?" for character in value[:101])
    return text if len(text) <= 100 else f"{text[:100]}..."


def local_path(value: str | os.PathLike[str]) -> Path:
    """A path as it was typed, with `~` for the home folder."""
    return Path(os.path.expanduser(value))


def content_type(head: bytes, kind: Kind) -> str | None:
    """The media type that the first bytes of a file show, or None where it is not of that kind."""
    found: str | None = None
    if head.startswith(b"\xff\xd8\xff"):
        found = "image/jpeg"
    elif head.startswith(b"\x89PNG\r\n\x1a\n"):
        found = "image/png"
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        found = "image/webp"
    elif head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        found = "audio/wav"
    elif head.startswith((b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")):
        found = "audio/mpeg"
    elif head[4:8] == b"ftyp" and not head[8:12].startswith(_OTHER_BRANDS):
        found = "video/quicktime" if head[8:10] == b"qt" else "video/mp4"
    return found if found and found.startswith(kind) else None


def file_suffix(head: bytes) -> str | None:
    """The file name suffix for downloaded bytes, by the bytes alone, whatever the server says."""
    return SUFFIXES.get(content_type(head, "image") or content_type(head, "video") or "")


def any_content_type(head: bytes) -> str | None:
    """The media type that the first bytes of a file show, or None where it is no media file."""
    return next(filter(None, (content_type(head, kind) for kind in _FORMATS)), None)
