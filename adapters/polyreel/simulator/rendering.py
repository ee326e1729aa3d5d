"""Renders the simulator's output files: small real videos and images of exactly the asked shape.

With the same libraries, the same arguments give the same bytes, on any number of cores. The import
does not need the `simulator` extra, but a call does.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from functools import cache
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtraError
from ..serving.shapes import ImageFormat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from av.audio.frame import AudioFrame
    from av.container import OutputContainer
    from av.video.frame import VideoFrame
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

__all__ = ["ImageFormat", "render_image", "render_video"]

_FRAMES_PER_SECOND = 24
_PICTURES_PER_SECOND = 4
_SAMPLES_PER_SECOND = 48_000
_SAMPLES_PER_WAVE = 100
_LOUDNESS = 0.05

_MOST_SECONDS = 600
"""Some vendors document no longest clip; a longer one would keep a test waiting for minutes."""

_LETTERS_PER_ENTRY = 1_000
_LINES_PER_ENTRY = 4

# Chosen for speed, not for size: a 4K video has to be ready before its test times out. The number
# of threads is fixed because x264's output depends on it.
_H264_OPTIONS = {
    "preset": "ultrafast",
    "crf": "28",
    "g": "48",
    "threads": "4",
    "flags": "+bitexact",
}
_AAC_OPTIONS = {"b": "64k", "flags": "+bitexact"}
_MP4_OPTIONS = {"movflags": "+faststart", "fflags": "+bitexact"}
_IMAGE_OPTIONS: dict[ImageFormat, dict[str, Any]] = {
    "jpeg": {"quality": 85},
    "png": {"compress_level": 1},
    "webp": {"quality": 80, "method": 0},
}


def render_video(
    *, seconds: int, width: int, height: int, audio: bool, caption: Sequence[str]
) -> bytes:
    """Render an MP4 (H.264, 24 frames per second) with the caption, a clock and a growing bar.

    `width` and `height` are even numbers of pixels. `audio` adds a quiet stereo tone (AAC) of the
    same length; without it there is no audio stream. No clip is longer than ten minutes. Raises
    MissingExtraError.
    """
    seconds = min(seconds, _MOST_SECONDS)
    _require("PIL", "av")
    import av  # noqa: PLC0415

    picture = _captioned(width, height, caption)
    with TemporaryDirectory(prefix="polyreel-") as folder:
        # A file: +faststart reads back what it wrote, which FFmpeg cannot do on a BytesIO.
        path = Path(folder, "video.mp4")
        with av.open(str(path), "w", format="mp4", options=_MP4_OPTIONS) as container:
            _encode(container, picture, seconds, audio=audio)
        return path.read_bytes()


def render_image(
    *, width: int, height: int, output_format: ImageFormat, caption: Sequence[str]
) -> bytes:
    """Render an image that shows the caption. Raises MissingExtraError."""
    _require("PIL")
    file = BytesIO()
    _captioned(width, height, caption).save(file, output_format, **_IMAGE_OPTIONS[output_format])
    return file.getvalue()


@cache
def is_installed(*, video: bool) -> bool:
    """Whether videos, or else pictures, can be rendered. Nothing is imported for that."""
    return all(find_spec(module) is not None for module in ("PIL", *(["av"] if video else [])))


def _require(*modules: str) -> None:
    try:
        for module in modules:
            import_module(module)
    except ImportError as error:
        message = "rendering needs the simulator extra: pip install 'polyreel[simulator]'"
        raise MissingExtraError(message) from error


def _encode(container: OutputContainer, picture: Image, seconds: int, *, audio: bool) -> None:
    video = container.add_stream("libx264", _FRAMES_PER_SECOND, options=_H264_OPTIONS)
    video.width, video.height = picture.size
    sound = (
        container.add_stream("aac", _SAMPLES_PER_SECOND, options=_AAC_OPTIONS, layout="stereo")
        if audio
        else None
    )
    tone = _second_of_tone()
    for second in range(seconds):
        for number, frame in enumerate(
            _second_of_video(picture, second, seconds), second * _FRAMES_PER_SECOND
        ):
            frame.pts = number
            container.mux(video.encode(frame))
        if sound:
            tone.pts = second * _SAMPLES_PER_SECOND
            container.mux(sound.encode(tone))
    container.mux(video.encode())
    if sound:
        container.mux(sound.encode())


def _second_of_video(picture: Image, second: int, seconds: int) -> Iterator[VideoFrame]:
    """Draw a few pictures and repeat each, as drawing costs more than encoding again."""
    from av import VideoFrame  # noqa: PLC0415

    for part in range(_PICTURES_PER_SECOND):
        _draw_clock(picture, second, (second + part / _PICTURES_PER_SECOND) / seconds)
        # The fourth byte is padding that Pillow keeps anyway, so this is a plain copy.
        pixels = picture.tobytes("raw", "RGBX")
        frame = VideoFrame.from_bytes(pixels, picture.width, picture.height).reformat(
            format="yuv420p"
        )
        for _ in range(_FRAMES_PER_SECOND // _PICTURES_PER_SECOND):
            yield frame


def _second_of_tone() -> AudioFrame:
    """One second of whole waves: it can be repeated without a click."""
    from av import AudioFrame  # noqa: PLC0415

    wave = (
        _LOUDNESS * math.sin(math.tau * sample / _SAMPLES_PER_WAVE)
        for sample in range(_SAMPLES_PER_WAVE)
    )
    samples = array("f", wave) * (_SAMPLES_PER_SECOND // _SAMPLES_PER_WAVE)
    frame = AudioFrame("fltp", "stereo", _SAMPLES_PER_SECOND)
    frame.sample_rate = _SAMPLES_PER_SECOND
    for plane in frame.planes:
        plane.update(samples.tobytes())
    return frame


def _captioned(width: int, height: int, caption: Sequence[str]) -> Image:
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415

    letter = _letter_size(width, height)
    font = ImageFont.load_default(letter)
    picture = Image.new("RGB", (width, height), _background(caption))
    draw = ImageDraw.Draw(picture)
    lines = (line for entry in caption for line in _wrapped(entry, font, width - 2 * letter))
    tops = range(letter, height - 5 * letter, letter * 3 // 2)
    for top, line in zip(tops, lines, strict=False):
        draw.text((letter, top), line, "white", font)
    return picture


def _draw_clock(picture: Image, second: int, progress: float) -> None:
    """Draw the time and a bar over the lower edge of the picture, below the caption."""
    from PIL import ImageDraw, ImageFont  # noqa: PLC0415

    width, height = picture.size
    letter = _letter_size(width, height)
    top, bar_top = max(0, height - 3 * letter), height - letter // 2
    clock, font = f"{second // 60}:{second % 60:02}", ImageFont.load_default(letter)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, top, width, height), "black")
    draw.text((letter, top + letter // 2), clock, "white", font)
    draw.rectangle((0, bar_top, round(width * progress), height), "white")


def _letter_size(width: int, height: int) -> int:
    return max(8, min(width, height) // 24)


def _background(caption: Sequence[str]) -> tuple[int, int, int]:
    """Derive a colour from the caption, dark enough for white letters."""
    red, green, blue, *_ = sha256("\n".join(caption).encode("utf-8", "surrogatepass")).digest()
    return 24 + red // 3, 24 + green // 3, 24 + blue // 3


def _wrapped(text: str, font: FreeTypeFont | ImageFont, width: int) -> list[str]:
    """Break the beginning of a text into lines that fit the width, between words where possible."""
    letters = (letter if letter.isprintable() else " " for letter in text[:_LETTERS_PER_ENTRY])
    rest = " ".join("".join(letters).split())
    lines: list[str] = []
    while rest and len(lines) < _LINES_PER_ENTRY:
        end = bisect_right(
            range(1, len(rest) + 1), width, key=lambda count: int(font.getlength(rest[:count]))
        )
        if end < len(rest) and (space := rest.rfind(" ", 0, end + 1)) > 0:
            end = space
        lines.append(rest[:end])
        rest = rest[end:].lstrip()
    return lines
