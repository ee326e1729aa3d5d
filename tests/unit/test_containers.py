"""A media file says itself whether it is whole."""

from __future__ import annotations

import struct
from functools import cache
from importlib.resources import files as resources
from io import BytesIO
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polyreel.mapping import media
from polyreel.mapping.containers import MAX_PARTS, flaw
from polyreel.simulator.rendering import ImageFormat, render_image, render_video
from support import files
from support.faults import FILES

TYPES: Final = ("video/mp4", "image/png", "image/jpeg", "image/webp")


def found(content: bytes, content_type: str) -> str | None:
    return flaw(BytesIO(content), len(content), content_type)


@cache
def rendered(content_type: str) -> bytes:
    """A small file of the simulator."""
    if content_type == "video/mp4":
        return render_video(seconds=1, width=32, height=32, audio=True, caption=("cut",))
    form: ImageFormat = content_type.removeprefix("image/")  # type: ignore[assignment]
    assert form in {"png", "jpeg", "webp"}
    return render_image(width=32, height=32, output_format=form, caption=("cut",))


def ready_made(suffix: str) -> bytes:
    return resources("polyreel.simulator").joinpath("ready", f"ready-made{suffix}").read_bytes()


@pytest.mark.parametrize("content_type", TYPES)
def test_a_file_that_is_cut_anywhere_is_not_whole(content_type: str) -> None:
    """At each of its bytes; and the file as it was rendered is."""
    content = rendered(content_type)
    assert found(content, content_type) is None
    whole = [end for end in range(16, len(content)) if found(content[:end], content_type) is None]
    assert whole == []


@pytest.mark.parametrize("suffix", [".mp4", ".png", ".jpeg", ".webp"])
def test_ready_made_files_are_whole(suffix: str) -> None:
    """And not without their last byte."""
    content = ready_made(suffix)
    content_type = (
        media.content_type(content[:16], "image") or media.content_type(content[:16], "video") or ""
    )
    assert found(content, content_type) is None
    assert found(content[:-1], content_type) is not None


@pytest.mark.parametrize("content_type", FILES)
def test_the_files_of_other_tests_are_whole(content_type: str) -> None:
    assert found(FILES[content_type], content_type) is None


HEAD: Final = files.box(b"ftyp", b"isom\0\0\2\0")


def track(*tables: bytes) -> bytes:
    """An MP4's index with one track."""
    inner = b"".join(tables)
    for kind in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        inner = files.box(kind, inner)
    return inner


def table(kind: bytes, *numbers: int, letter: str = "I") -> bytes:
    return files.box(kind, bytes(4) + struct.pack(">I", len(numbers)) + _pack(letter, *numbers))


def _pack(letter: str, *numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}{letter}", *numbers)


def endless(places: bytes, *more: bytes, data: int = 100) -> bytes:
    """A film whose pictures go on to the end of the file, wherever that is."""
    return HEAD + track(places, *more) + struct.pack(">I4s", 0, b"mdat") + bytes(data)


SAMPLES: Final = (
    files.box(b"stsc", bytes(4) + _pack("I", 1, 1, 2, 1)),
    files.box(b"stsz", bytes(4) + _pack("I", 0, 4, 10, 10, 20, 30)),
)
EQUAL: Final = (SAMPLES[0], files.box(b"stsz", bytes(4) + _pack("I", 25, 4)))


@pytest.mark.parametrize("letter", ["I", "Q"])
@pytest.mark.parametrize("samples", [SAMPLES, EQUAL], ids=["each", "equal"])
def test_pictures_to_the_end_of_the_file_are_looked_up(
    letter: str, samples: tuple[bytes, bytes]
) -> None:
    """The tables say where the last sample ends: here 50 bytes after its chunk begins."""
    kind = b"stco" if letter == "I" else b"co64"
    start = len(endless(table(kind, 0, 0, letter=letter), *samples, data=0))
    film = endless(table(kind, start, start + 50, letter=letter), *samples)
    assert found(film, "video/mp4") is None
    assert {found(film[:end], "video/mp4") is None for end in range(start, len(film))} == {False}


NO_FILMS: Final = {
    "ten bytes": HEAD[:10],
    "only a beginning": HEAD,
    "no index": HEAD + files.box(b"mdat", b"x" * 99),
    "no pictures": HEAD + files.box(b"moov", b""),
    "a length of seven": HEAD + struct.pack(">I4s", 7, b"moov"),
    "a length of no less than everything": HEAD + struct.pack(">I4sQ", 1, b"mdat", 2**64 - 1),
    "a length of nothing": HEAD + struct.pack(">I4sQ", 1, b"mdat", 0),
    "no end of parts": HEAD + files.box(b"free", b"") * (MAX_PARTS + 1),
}


@pytest.mark.parametrize("name", NO_FILMS)
def test_what_is_no_film(name: str) -> None:
    assert found(NO_FILMS[name], "video/mp4") is not None


def test_large_boxes_are_read() -> None:
    """Those with lengths of eight bytes."""
    film = HEAD + files.box(b"moov", b"") + struct.pack(">I4sQ", 1, b"mdat", 16 + 5) + b"12345"
    assert found(film, "video/mp4") is None
    assert found(film[:-1], "video/mp4") is not None


def test_bytes_after_an_image_are_nothing_to_object_to() -> None:
    """Cameras and editors put things there."""
    for content_type in ("image/png", "image/jpeg", "image/webp"):
        assert found(FILES[content_type] + b"more", content_type) is None


@pytest.mark.parametrize("content_type", FILES)
@given(st.data())
def test_no_bytes_make_it_fail(content_type: str, data: st.DataObject) -> None:
    """Whatever a server sends, the answer is a sentence or None."""
    content = bytearray(FILES[content_type])
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    answer = found(bytes(content), content_type)
    assert answer is None or answer[:2] in {"it", "a "}
