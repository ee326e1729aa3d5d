"""One recorded call, in one form for all kinds of recordings."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final

from attrs import Factory, frozen

MAX_BODY_BYTES: Final = 50_000_000
GZIP: Final = b"\x1f\x8b"


@frozen
class FormField:
    """One field of a recorded form."""

    name: str
    text: str | None
    """None where the field is a file."""


@frozen
class RecordedExchange:
    """One recorded request, with its response if there was one."""

    number: int
    """In its recording, from 1."""
    method: str
    url: str
    request_headers: Mapping[str, str]
    """By lower-case names, like the response's."""
    request_body: bytes | None
    """None where it was not recorded."""
    status: int | None = None
    """None where no response was recorded."""
    response_headers: Mapping[str, str] = Factory(dict)
    response_body: bytes | None = None
    form: tuple[FormField, ...] | None = None
    """The fields of a form, where they were recorded instead of its body."""
    recording: str = ""
    """The name of the file."""


def content_type(headers: Mapping[str, str]) -> str:
    """The media type without its parameters, in lower case; empty where there is none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def unpacked(content: bytes | None, headers: Mapping[str, str]) -> bytes | None:
    """A body as it was before compression; None where that cannot be found out.

    Some recorders keep the header and unpack the body, so the first bytes are looked at too.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    if content is None or not content or encoding in {"", "identity"}:
        return content
    if encoding in {"gzip", "x-gzip"}:
        return _inflated(content, 31) if content.startswith(GZIP) else content
    if content.lstrip()[:1] in {b"{", b"[", b"<"}:
        return content
    return _inflated(content, 15) if encoding == "deflate" else None


def _inflated(content: bytes, window: int) -> bytes | None:
    # The size is limited, because a few compressed bytes can become gigabytes.
    decompressor = zlib.decompressobj(window)
    try:
        plain = decompressor.decompress(content, MAX_BODY_BYTES)
    except zlib.error:
        return None
    return plain if decompressor.eof else None
