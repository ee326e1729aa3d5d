"""What a media file measures: sides, length and frames, from its headers. Nothing is decoded."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import IO, Final

from attrs import frozen

from .containers import MAX_TABLES, CutError, boxes, inside, segments

VP8_START: Final = b"\x9d\x01\x2a"
"""What stands before the sides in the first frame of a lossy WebP."""
TURNED: Final = frozenset({5, 6, 7, 8})
"""The EXIF orientations of pictures that are shown turned by a quarter."""
JPEG_SIZES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""The segments of a JPEG that hold its sides."""


@frozen
class Measures:
    """What a file measures; None where its headers do not say."""

    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    fps: float | None = None
    sound: bool | None = None
    """Whether a film has a track of sound."""

    @property
    def ratio(self) -> float | None:
        """Width by height."""
        return self.width / self.height if self.width and self.height else None


def measure(file: IO[bytes], size: int, content_type: str) -> Measures:
    """Measure a file of `size` bytes; `content_type` is the one that its first bytes show.

    A file with headers that make no sense measures nothing.
    """
    reader = _READERS.get(content_type)
    try:
        return reader(file, size) if reader else Measures()
    except (CutError, struct.error, ValueError, OverflowError):
        return Measures()


def _png(file: IO[bytes], size: int) -> Measures:
    file.seek(16)
    return Measures(*struct.unpack(">II", file.read(8)))


def _webp(file: IO[bytes], size: int) -> Measures:
    file.seek(12)
    head = file.read(18)
    kind = head[:4]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(head[at : at + 3], "little") for at in (12, 15))
        return Measures(width, height)
    if kind == b"VP8L" and head[8] == 0x2F:
        bits = int.from_bytes(head[9:13], "little")
        return Measures(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 " and head[11:14] == VP8_START:
        width, height = struct.unpack("<HH", head[14:18])
        return Measures(width & 0x3FFF, height & 0x3FFF)
    return Measures()


def _jpeg(file: IO[bytes], size: int) -> Measures:
    turned = False
    for kind, start, end in segments(file, size):
        if kind == 0xE1:
            file.seek(start)
            turned = _orientation(file.read(min(end - start, 65_536))) in TURNED
        elif kind in JPEG_SIZES:
            file.seek(start + 1)
            height, width = struct.unpack(">HH", file.read(4))
            return Measures(height, width) if turned else Measures(width, height)
    return Measures()


def _orientation(exif: bytes) -> int:
    """How a picture is to be turned, by its EXIF data; 1 where they do not say."""
    if not exif.startswith(b"Exif\0\0"):
        return 1
    tiff = exif[6:]
    order = "<" if tiff.startswith(b"II") else ">"
    (at,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, at)
    for number in range(min(count, 200)):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, at + 2 + 12 * number)
        if tag == 0x0112:
            return int(value)
    return 1


# -- MP4 and MOV -----------------------------------------------------------------------------------


def _video(file: IO[bytes], size: int) -> Measures:
    for kind, start, end in boxes(file, 0, size):
        if kind == b"moov" and end - start <= MAX_TABLES:
            file.seek(start)
            return _of_tables(file.read(end - start))
    return Measures()


def _of_tables(tables: bytes) -> Measures:
    whole = (0, len(tables))
    tracks = [(track, _kinds(tables, track)) for track in inside(tables, whole, b"trak")]
    sound = any(b"soun" in kinds for _, kinds in tracks)
    for track, kinds in tracks:
        if b"vide" not in kinds:
            continue
        width, height = _sides(tables, track)
        seconds = next(_durations(tables, inside(tables, whole, b"mvhd")), None)
        for media in inside(tables, track, b"mdia"):
            length = next(_durations(tables, inside(tables, media, b"mdhd")), None)
            frames = _frames(tables, media)
            fps = frames / length if frames and length else None
            return Measures(width, height, seconds or length, fps, sound)
    return Measures()


def _kinds(tables: bytes, track: tuple[int, int]) -> list[bytes]:
    """What a track holds: `vide` or `soun`."""
    return [_handler(tables, media) for media in inside(tables, track, b"mdia")]


def _handler(tables: bytes, media: tuple[int, int]) -> bytes:
    return b"".join(tables[at + 8 : at + 12] for at, _ in inside(tables, media, b"hdlr")[:1])


def _sides(tables: bytes, track: tuple[int, int]) -> tuple[int | None, int | None]:
    """The sides as they are shown: a phone turns its pictures by the matrix of the track."""
    for at, _ in inside(tables, track, b"tkhd"):
        matrix = at + (52 if tables[at] else 40)
        one, other = struct.unpack_from(">ii", tables, matrix)
        width, height = (value >> 16 for value in struct.unpack_from(">II", tables, matrix + 36))
        if width and height:
            return (height, width) if abs(other) > abs(one) else (width, height)
    return None, None


def _durations(tables: bytes, headers: list[tuple[int, int]]) -> Iterator[float]:
    """The seconds of a film or a track."""
    for at, _ in headers:
        form, place = (">IQ", at + 20) if tables[at] else (">II", at + 12)
        scale, length = struct.unpack_from(form, tables, place)
        if scale and length:
            yield length / scale


def _frames(tables: bytes, media: tuple[int, int]) -> int:
    """How many frames a track has."""
    found = [media]
    for kind in (b"minf", b"stbl", b"stts"):
        found = [one for outer in found for one in inside(tables, outer, kind)]
    counts = [tables[start + 8 : start + 8 + (end - start - 8) // 8 * 8] for start, end in found]
    return sum(count for table in counts for count, _ in struct.iter_unpack(">II", table))


_READERS: Final[dict[str, Callable[[IO[bytes], int], Measures]]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/webp": _webp,
    "video/mp4": _video,
    "video/quicktime": _video,
}
