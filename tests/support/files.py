"""Media files that are whole by their own account, around bytes that no decoder is meant for."""

from __future__ import annotations

import struct
import zlib


def box(kind: bytes, content: bytes) -> bytes:
    """A box of an MP4."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


def mp4(pictures: bytes, brand: bytes = b"isom") -> bytes:
    """An MP4, or by its brand a MOV, without any track."""
    head = box(b"ftyp", brand + b"\x00\x00\x02\x00" + brand + b"mp41")
    return head + box(b"moov", b"") + box(b"mdat", pictures)


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    check = zlib.crc32(kind + content)
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", check)


def png(pictures: bytes) -> bytes:
    """A PNG of 640 x 640 pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 640, 640, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pictures) + chunk(b"IEND", b"")


def webp(pictures: bytes) -> bytes:
    """A WebP of one chunk."""
    content = (
        b"WEBPVP8 " + struct.pack("<I", len(pictures)) + pictures + b"\0" * (len(pictures) % 2)
    )
    return b"RIFF" + struct.pack("<I", len(content)) + content


def jpeg(pictures: bytes) -> bytes:
    """A JPEG of one scan."""
    head = b"\xff\xe0" + struct.pack(">H", 2 + 5) + b"JFIF\0"
    scan = b"\xff\xda" + struct.pack(">H", 2 + 4) + b"\x01\x01\x00\x3f"
    return b"\xff\xd8" + head + scan + pictures + b"\xff\xd9"
