"""The shape of a job's output (length, size, sound, number, format), from the request for it."""

from __future__ import annotations

import math
from typing import Any, Final, Literal

from attrs import frozen

from ..mapping.workflows import INPUT_VIDEOS
from ..plans.reading import Reading

SHORT_SIDES: Final = {
    **{f"{side}p": side for side in (360, 480, 540, 720, 768, 1080)},
    "2k": 1440,
    "4k": 2160,
}
MOST_SECONDS: Final = 24 * 60 * 60
MOST_OUTPUTS: Final = 100
"""What a job has at most where a vendor documents no limit: any number would be a length there."""
DEFAULT_SECONDS: Final = 5
"""The length of a clip for which the request leaves it to the vendor."""
IMAGE_SIDES: Final = {"1K": 1024, "2K": 2048}
ImageFormat = Literal["jpeg", "png", "webp"]


@frozen
class Picture:
    """The output of a job: videos or images, mostly one; none where it makes a subject."""

    seconds: int
    """The length of a video; 0 for an image."""
    width: int
    height: int
    audio: bool
    prompt: str
    caption: tuple[str, ...]
    count: int = 1
    image_format: ImageFormat = "png"

    @property
    def has_file(self) -> bool:
        """Whether there is any file: a subject has none."""
        return self.count > 0

    @property
    def content_type(self) -> str:
        """The media type."""
        return "video/mp4" if self.seconds else f"image/{self.image_format}"

    @property
    def suffix(self) -> str:
        """The file name suffix."""
        return ".mp4" if self.seconds else f".{self.image_format}"

    @property
    def units(self) -> int:
        """What work takes time for: the seconds of the videos, the images, or the subject."""
        return (self.seconds or 1) * (self.count or 1)


def picture_of(reading: Reading) -> Picture:
    """The output that a request asks for, with the vendor's defaults for what it leaves out."""
    asked: dict[str, Any] = {**reading.provider.defaults(reading.route), **reading.request}
    shots = asked.get("shots") or [{}]
    prompt = str(asked.get("prompt") or shots[0].get("prompt") or "")
    caption = (reading.provider.name, f"{reading.route.model} {reading.route.workflow}", prompt)
    ratio = asked.get("aspect_ratio", "auto")
    across, down = (int(part) for part in ("16:9" if ratio == "auto" else ratio).split(":"))
    count = min(int(asked.get("count", 1)), MOST_OUTPUTS)
    if reading.kind == "element":
        return Picture(0, 0, 0, False, str(asked.get("description", "")), caption, count=0)
    if reading.kind == "image":
        side = IMAGE_SIDES.get(asked.get("resolution", "1K"), 1024)
        width, height = image_size(side, across, down)
        image_format = asked.get("output_format", "png")
        return Picture(0, width, height, False, prompt, caption, count, image_format)
    short_side = SHORT_SIDES.get(asked.get("resolution", "720p"), 720)
    width, height = video_size(short_side, across, down)
    has_input = any(name in asked for name in INPUT_VIDEOS)
    audio = bool(asked.get("audio") or (has_input and asked.get("keep_source_audio", True)))
    length = asked.get("duration", "auto")
    seconds = DEFAULT_SECONDS if length == "auto" else min(int(length), MOST_SECONDS)
    return Picture(seconds, width, height, audio, prompt, caption, count)


def video_size(short_side: int, across: int, down: int) -> tuple[int, int]:
    """Width and height of a frame, both even, from its shorter side and its aspect ratio."""
    scale = short_side / min(across, down)
    return round(across * scale / 2) * 2, round(down * scale / 2) * 2


def image_size(side: int, across: int, down: int) -> tuple[int, int]:
    """Width and height of an image as large as a square of that side, in steps of 8 pixels."""
    unit = side / math.sqrt(across * down)
    return round(across * unit / 8) * 8, round(down * unit / 8) * 8
