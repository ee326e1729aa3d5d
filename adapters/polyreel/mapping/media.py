"""Media inputs: a URL, or a local file where the vendor has a way to take one."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

Kind = Literal["image", "video"]

FIELDS: Final[dict[str, Kind]] = {
    "first_frame": "image",
    "last_frame": "image",
    "reference_images": "image",
    "character_image": "image",
    "source_video": "video",
    "reference_video": "video",
    "motion_video": "video",
}
"""The shared fields that hold media, and what they hold. A test compares it with the spec."""

SUFFIXES: Final = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
}
"""The media types polyreel knows by their first bytes, with the file name suffix of each."""
_FORMATS: Final[dict[Kind, str]] = {
    "image": "a JPEG, PNG or WebP image",
    "video": "an MP4 or MOV video",
}
# Brands of HEIC, AVIF and audio files, which begin like MP4.
_OTHER_BRANDS: Final = (b"avi", b"hei", b"hev", b"mif", b"msf", b"M4A")


def is_local(value: str) -> bool:
    """Whether a media input names a local file: anything that is not an absolute URL."""
    # A scheme has two letters or more: one letter before the colon is a Windows drive.
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", value) is None


def problem(value: str, kind: Kind) -> str | None:
    """Say what is wrong with a media input, or None. Looks at local files, never at the network."""
    if value[:5].lower() == "data:":
        return "no vendor documents data: URLs; save the file and give its path"
    if not is_local(value):
        return url_problem(value)
    try:
        return _file_problem(value, kind)
    except OSError as error:
        return f"{shown(value)} cannot be read: {error.strerror}"
    except ValueError:  # such as a NUL, or half of a character
        return f"not a file name: {shown(value)}"


def _file_problem(value: str, kind: Kind) -> str | None:
    path = local_path(value)
    if not path.exists():
        return f"no such file: {shown(value)}"
    if not path.is_file():
        return f"not a file: {shown(value)}"
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        return f"{shown(value)} is empty"
    return None if content_type(head, kind) else f"{shown(value)} is not {_FORMATS[kind]}"


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


def local_path(value: str) -> Path:
    """The path of a local input, with `~` for the home folder."""
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
    elif head[4:8] == b"ftyp" and not head[8:12].startswith(_OTHER_BRANDS):
        found = "video/quicktime" if head[8:10] == b"qt" else "video/mp4"
    return found if found and found.startswith(kind) else None


def content_type_of(path: Path, kind: Kind) -> str | None:
    """The media type of a local file, from its first bytes."""
    with path.open("rb") as file:
        return content_type(file.read(16), kind)


def file_suffix(head: bytes) -> str | None:
    """The file name suffix for downloaded bytes, by the bytes alone, whatever the server says."""
    return SUFFIXES.get(content_type(head, "image") or content_type(head, "video") or "")
