"""Whether a media file is whole, by its own account.

MP4 and MOV are boxes, PNG and WebP are chunks, JPEG is segments. Each part says how long it is, so
a file that was cut short shows it, whatever a server says. Nothing is decoded, and only the parts'
headers are read, with the tables of an MP4 and the scans of a JPEG.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import IO, Final

MAX_PARTS: Final = 100_000
"""How many parts a file may have. Real files have a few thousand at most."""
MAX_TABLES: Final = 64_000_000
"""How many bytes of an MP4's tables are read. Those of longer films are not looked into."""
PIECE: Final = 1_000_000
_TRACK: Final = (b"trak", b"mdia", b"minf", b"stbl")
"""The boxes, each inside of the one before, that hold the places of a track's data."""
_MARKER: Final = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
"""What ends the data of a JPEG's scan: a marker that is no restart and no escaped byte."""
_BARE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
"""The markers of a JPEG that have no length."""


class CutError(Exception):
    """The file ends before a part of it does, or lacks a part."""


def flaw(file: IO[bytes], size: int, content_type: str) -> str | None:
    """Say what is missing from a file of `size` bytes, or None where it is whole.

    `file` can be read and moved about in; its position is changed. `content_type` is the one that
    `media.content_type` finds. Bytes after the end of an image are nothing to object to.
    """
    walk = _WALKS.get(content_type)
    if walk is None:
        return None
    try:
        walk(file, size)
    except CutError as cut:
        return str(cut)
    return None


def _read(file: IO[bytes], at: int, length: int) -> bytes:
    """These very bytes of the file."""
    file.seek(at)
    found = file.read(length)
    if len(found) != length:
        raise CutError(f"it ends inside of a part, after {at + len(found)} bytes")
    return found


def _ends_early(end: int, size: int) -> CutError:
    return CutError(f"it ends after {size} bytes, and a part of it goes on to {end}")


# -- MP4 and MOV -----------------------------------------------------------------------------------


def _walk_boxes(file: IO[bytes], size: int) -> None:
    kinds = set()
    for kind, start, end in boxes(file, 0, size):
        kinds.add(kind)
        if kind == b"moov" and end - start <= MAX_TABLES:
            _check_places(_read(file, start, end - start), size)
    for kind, text in ((b"moov", "its index (moov)"), (b"mdat", "its pictures (mdat)")):
        if kind not in kinds:
            raise CutError(f"{text} is missing")


def boxes(file: IO[bytes], at: int, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Each box up to `size`: its kind, and where its content starts and ends."""
    for _ in range(MAX_PARTS):
        if at >= size:
            return
        length, kind = struct.unpack(">I4s", _read(file, at, 8))
        start = at + 8
        if length == 1:
            (length,) = struct.unpack(">Q", _read(file, start, 8))
            start += 8
        end = size if length == 0 else at + length
        if end < start:
            raise CutError(f"a part of it, {at} bytes from its beginning, has no sensible length")
        if end > size:
            raise _ends_early(end, size)
        yield kind, start, end
        at = end
    raise CutError(f"it has more than {MAX_PARTS} parts")


def _check_places(tables: bytes, size: int) -> None:
    """Whether the data of every track lies inside of the file.

    A box of pictures may be as long as the file, whatever that is. Then only this tells.
    """
    found = [(0, len(tables))]
    for kind in _TRACK:
        found = [inner for outer in found for inner in inside(tables, outer, kind)]
    for outer in found:
        for kind, letter in ((b"stco", "I"), (b"co64", "Q")):
            for start, end in inside(tables, outer, kind):
                last = _end_of_track(tables, outer, numbers(tables, start, end, letter))
                if last > size:
                    raise _ends_early(last, size)


def inside(tables: bytes, outer: tuple[int, int], wanted: bytes) -> list[tuple[int, int]]:
    """The boxes of one kind inside of another box."""
    at, until = outer
    found: list[tuple[int, int]] = []
    while at + 8 <= until and len(found) < MAX_PARTS:
        length, kind = struct.unpack_from(">I4s", tables, at)
        end = until if length == 0 else at + length
        if length == 1 or not at + 8 <= end <= until:
            break  # odd, and no sign of a cut: the box around it is here
        if kind == wanted:
            found.append((at + 8, end))
        at = end
    return found


def numbers(tables: bytes, start: int, end: int, letter: str) -> tuple[int, ...]:
    """The numbers of a table: a version, their count, and the numbers themselves."""
    if end - start < 8:
        return ()
    (count,) = struct.unpack_from(">I", tables, start + 4)
    count = min(count, (end - start - 8) // struct.calcsize(f">{letter}"))
    return struct.unpack_from(f">{count}{letter}", tables, start + 8)


def _end_of_track(tables: bytes, outer: tuple[int, int], chunks: tuple[int, ...]) -> int:
    """Where the last byte of a track should lie, as far as its tables say."""
    if not chunks:
        return 0
    last = max(chunks)
    if last != chunks[-1]:
        return last + 1
    return last + max(1, sum(_last_samples(tables, outer, len(chunks))))


def _last_samples(tables: bytes, outer: tuple[int, int], chunks: int) -> tuple[int, ...]:
    """The sizes of the samples in the last chunk of a track."""
    number = 0
    for start, end in inside(tables, outer, b"stsc"):
        table = tables[start + 8 : end]
        for first, samples, _ in struct.iter_unpack(">III", table[: len(table) // 12 * 12]):
            number = samples if first <= chunks else number
    for start, end in inside(tables, outer, b"stsz"):
        if end - start < 12 or not number:
            continue
        every, count = struct.unpack_from(">II", tables, start + 4)
        if every:
            return (every * min(number, count),)
        sizes = numbers(tables, start + 4, end, "I")
        return sizes[-number:] if len(sizes) == count else ()
    return ()


# -- images ----------------------------------------------------------------------------------------


def _walk_png(file: IO[bytes], size: int) -> None:
    at, kinds = 8, set()
    for _ in range(MAX_PARTS):
        length, kind = struct.unpack(">I4s", _read(file, at, 8))
        at += 12 + length
        if at > size:
            raise _ends_early(at, size)
        kinds.add(kind)
        if kind == b"IEND":
            if not {b"IHDR", b"IDAT"} <= kinds:
                raise CutError("its picture (IDAT) is missing")
            return
    raise CutError(f"it has more than {MAX_PARTS} parts")


def _walk_webp(file: IO[bytes], size: int) -> None:
    (length,) = struct.unpack("<I", _read(file, 4, 4))
    until = 8 + length
    if until > size:
        raise _ends_early(until, size)
    at, kinds = 12, set()
    for _ in range(MAX_PARTS):
        if at >= until:
            break
        kind, length = struct.unpack("<4sI", _read(file, at, 8))
        if at + 8 + length > until:
            raise _ends_early(at + 8 + length, until)
        kinds.add(kind)
        at += 8 + length + length % 2
    else:
        raise CutError(f"it has more than {MAX_PARTS} parts")
    if not kinds & {b"VP8 ", b"VP8L", b"ANMF"}:
        raise CutError("its picture (VP8) is missing")


def _walk_jpeg(file: IO[bytes], size: int) -> None:
    scans = sum(kind == 0xDA for kind, _, _ in segments(file, size))
    if not scans:
        raise CutError("its picture is missing")


def segments(file: IO[bytes], size: int) -> Iterator[tuple[int, int, int]]:
    """Each segment of a JPEG up to its end: its kind, and where its content starts and ends."""
    at = 2
    for _ in range(MAX_PARTS):
        mark, kind = _read(file, at, 2)
        if mark != 0xFF:
            raise CutError(f"a part of it, {at} bytes from its beginning, is none of a JPEG")
        if kind == 0xD9:
            return
        if kind == 0xFF or kind in _BARE:  # a byte that fills up, or a part without a length
            at += 1 if kind == 0xFF else 2
            continue
        (length,) = struct.unpack(">H", _read(file, at + 2, 2))
        start, at = at + 4, at + 2 + length
        if at > size:
            raise _ends_early(at, size)
        yield kind, start, at
        if kind == 0xDA:
            at = _end_of_scan(file, at, size)
    raise CutError(f"it has more than {MAX_PARTS} parts")


def _end_of_scan(file: IO[bytes], at: int, size: int) -> int:
    """Where the marker after a scan of a JPEG is."""
    while at < size:
        file.seek(at)
        piece = file.read(PIECE)
        if (found := _MARKER.search(piece)) is not None:
            return at + found.end() - 2
        if len(piece) < 2:
            break
        at += len(piece) - 1  # a marker may lie across two pieces
    raise CutError(f"its picture ends nowhere in {size} bytes")


_WALKS: Final[dict[str, Callable[[IO[bytes], int], None]]] = {
    "video/mp4": _walk_boxes,
    "video/quicktime": _walk_boxes,
    "image/png": _walk_png,
    "image/jpeg": _walk_jpeg,
    "image/webp": _walk_webp,
}
