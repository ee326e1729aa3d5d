"""What a user hands over as text: in a file or on standard input, and in which encoding.

Everything of a user is read in the same way: UTF-8 with or without a byte order mark, or UTF-16
with one, as some editors and shells write it.
"""

from __future__ import annotations

import codecs
import sys
from typing import Final

from ..errors import RequestError
from .media import local_path

STANDARD_INPUT: Final = "-"
"""What stands for standard input where a prompt or a file is asked for."""
MAX_BYTES: Final = 200_000_000
"""As many as a batch file may have: a request can hold its pictures."""
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def has_mark(content: bytes) -> bool:
    """Whether a byte order mark says in which encoding the text is."""
    return content.startswith((codecs.BOM_UTF8, *_UTF_16))


def text_of(content: bytes) -> str:
    """The text of some bytes; UnicodeDecodeError where they are none.

    No text holds NUL. Where UTF-8 has it, it is UTF-16 without a mark, or UTF-32.
    """
    encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8-sig"
    text = content.decode(encoding)
    if "\0" in text:
        raise UnicodeDecodeError(encoding, content, 0, len(content), "NUL characters")
    return text


def read_bytes(source: str, where: str) -> bytes:
    """The bytes of a file or of standard input.

    RequestError, with `where` as its place, where there are none, or more than MAX_BYTES.
    """
    try:
        content = _read(source)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise RequestError([f"{where}: {reason}"]) from None
    if len(content) > MAX_BYTES:
        raise RequestError([f"{where}: more than {MAX_BYTES} bytes are too many"])
    return content


def _read(source: str) -> bytes:
    if source != STANDARD_INPUT:
        with local_path(source).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    if sys.stdin is None:  # the process was started without one
        raise OSError("there is no standard input")
    return sys.stdin.buffer.read(MAX_BYTES + 1)
