"""What a caller may hold in the place of a media input, as the text that a request carries.

A path stays a path. What is in memory becomes a data: URL, so that a request is plain JSON: it can
be written down, sent to another process, and planned for several vendors.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final, Protocol, TypeAlias, TypeVar

from ..errors import RequestError
from .media import FIELDS, any_content_type

HEAD: Final = 16
"""How many of the first bytes show the type of a file."""
LOOKED_INTO: Final = frozenset(FIELDS)
"""The fields of requests and elements that hold media. A text such as the prompt is no file."""

Item_co = TypeVar("Item_co", covariant=True)


class Readable(Protocol):
    """A file that is open for reading bytes."""

    def read(self) -> bytes:
        """All that is left."""


class Several(Protocol[Item_co]):
    """A list or tuple, but no text: its letters are not what is meant."""

    def __contains__(self, item: object, /) -> bool: ...
    def __iter__(self) -> Iterator[Item_co]: ...


class Drawing(Protocol):
    """A picture in memory, such as one of PIL."""

    @property
    def mode(self) -> str:
        """How its pixels are held."""

    def save(self, file: IO[bytes], form: str, /) -> None:
        """Write it into a file."""


Media: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | Readable | Drawing
"""A media input: a URL, a path, or content in memory. docs/files.md has it all."""


def with_texts(request: Mapping[Any, Any], at: str = "") -> dict[Any, Any]:
    """A request, or an element, with texts for the paths, bytes, open files and PIL images in it.

    RequestError names what cannot be read, by its place; `at` is that of the element. Anything else
    stays as it is.
    """
    found = dict(request)
    for name, value in request.items():
        if name in LOOKED_INTO:
            found[name] = as_text(value, f"{at}{name}")
        elif name == "elements" and isinstance(value, list | tuple):
            found[name] = [
                with_texts(item, f"{name}.{number}.") if isinstance(item, Mapping) else item
                for number, item in enumerate(value)
            ]
    return found


def as_text(value: Any, place: str) -> Any:
    """One value, or what is in a list, as text where it is a media input."""
    if isinstance(value, list | tuple):
        return [as_text(item, f"{place}.{number}") for number, item in enumerate(value)]
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return data_url(bytes(value))
    if callable(getattr(value, "read", None)):
        return data_url(_read(value, place))
    if callable(getattr(value, "save", None)) and hasattr(value, "mode"):
        return data_url(_drawn(value, place))
    return value


def data_url(content: bytes) -> str:
    """The data: URL of a file's bytes, whose type is seen from the bytes."""
    head = content[:HEAD]
    kind = any_content_type(head) or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _read(file: Any, place: str) -> bytes:
    """What an open file still holds. It can be read again afterwards, where files can go back."""
    try:
        start = file.tell() if file.seekable() else None
        content = file.read()
        if start is not None:
            file.seek(start)
    except (OSError, ValueError, AttributeError) as error:
        raise RequestError([f"{place}: the open file cannot be read: {error}"]) from None
    if not isinstance(content, bytes):
        raise RequestError([f"{place}: the file is open as text; open it with mode 'rb'"])
    return content


def _drawn(image: Any, place: str) -> bytes:
    """A PIL image as a PNG, which loses nothing of its pixels."""
    target = io.BytesIO()
    try:
        if image.mode not in {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}:
            image = image.convert("RGB")
        image.save(target, "PNG")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError([f"{place}: the image cannot be written as PNG: {error}"]) from None
    return target.getvalue()
