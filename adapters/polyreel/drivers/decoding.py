"""Compressed bodies of answers: no compression is asked for, and some servers compress anyway."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

KNOWN: Final = {"gzip": 47, "x-gzip": 47, "deflate": 15}
"""The encodings that are read, with zlib's window bits."""
RAW: Final = -15
"""The window bits for deflate without zlib's head, as some servers send it."""
HEAD_BYTES: Final = 2
"""The length of zlib's head."""
PIECE: Final = 65_536
"""Bytes that are made at once, so that a few compressed bytes never fill the memory."""


class Decoder:
    """Decodes one body piece by piece.

    ValueError is raised for an encoding that is not read, for what is not encoded so, and for more
    than `limit` decoded bytes.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        name = encoding.strip().lower()
        if name not in KNOWN:
            raise ValueError(
                "a compressed answer, which was not asked for, in an encoding that is not read"
            )
        self._head: bytes | None = b"" if name == "deflate" else None
        """The first bytes, until they show which of its two forms deflate has."""
        self._decoder = zlib.decompressobj(KNOWN[name])
        self._left = limit
        self._begun = False

    def decode(self, piece: bytes) -> Iterator[bytes]:
        """Give the bytes that a piece stands for, in pieces that are not large."""
        while not self._decoder.eof:
            decoded = self._next(piece)
            piece = self._decoder.unconsumed_tail
            self._left -= len(decoded)
            if self._left < 0:
                raise ValueError("the answer is too large")
            if not decoded and not piece:
                return
            yield decoded

    def _next(self, piece: bytes) -> bytes:
        self._begun = self._begun or bool(piece)
        if self._head is not None:
            piece = self._head + piece
            if len(piece) < HEAD_BYTES:
                self._head = piece
                return b""
            if piece[0] & 15 != zlib.DEFLATED or int.from_bytes(piece[:HEAD_BYTES]) % 31:
                self._decoder = zlib.decompressobj(RAW)
            self._head = None
        try:
            return self._decoder.decompress(piece, PIECE)
        except zlib.error:
            raise ValueError("a compressed answer that cannot be read") from None

    @property
    def is_whole(self) -> bool:
        """Whether the end of the body was there."""
        return self._decoder.eof or not self._begun


def decoder_for(encoding: str | None, limit: int) -> Decoder | None:
    """The decoder for a Content-Encoding; None where there is nothing to decode."""
    names = [
        name
        for one in (encoding or "").split(",")
        if (name := one.strip().lower()) and name != "identity"
    ]
    return Decoder(",".join(names), limit) if names else None
