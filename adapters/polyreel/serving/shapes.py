"""What a simulated output looks like: length, size, sound and caption, from the request that was read."""

from __future__ import annotations

import math
from typing import Any, Final, Literal

from attrs import frozen

from ..plans.reading import Reading

SHORT_SIDES: Final = {"720p": 720, "1080p": 1080, "4k": 2160}
IMAGE_SIDES: Final = {"1K": 1024, "2K": 2048}
ImageFormat = Literal["jpeg", "png", "webp"]


@frozen
class Picture:
    """An output to render. `seconds` is 0 for an image."""

    seconds: int
    width: int
    height: int
    audio: bool
    prompt: str
    caption: tuple[str, ...]
    count: int = 1
    image_format: ImageFormat = "png"

    @property
    def content_type(self) -> str:
        """The media type."""
        return "video/mp4" if self.seconds else f"image/{self.image_format}"

    @property
    def suffix(self) -> str:
        """The file name suffix."""
        return ".mp4" if self.seconds else f".{self.image_format}"

    @property
    def credits(self) -> float:
        """What it costs in simulated credits: one a second, or one an image. Not a vendor's price."""
        return float(self.seconds or self.count)


def picture_of(reading: Reading) -> Picture:
    """The output that a request asks for, with the vendor's defaults where it is silent."""
    asked: dict[str, Any] = {**reading.provider.defaults(reading.route), **reading.request}
    shots = asked.get("shots") or [{}]
    prompt = str(asked.get("prompt") or shots[0].get("prompt") or "")
    caption = (reading.provider.name, f"{reading.route.model} {reading.route.workflow}", prompt)
    ratio = tuple(int(part) for part in asked.get("aspect_ratio", "16:9").split(":"))
    if reading.route.workflow == "generate-image":
        width, height = image_size(
            IMAGE_SIDES.get(asked.get("resolution", "1K"), 1024), ratio[0], ratio[1]
        )
        form = asked.get("output_format", "png")
        return Picture(0, width, height, False, prompt, caption, int(asked.get("count", 1)), form)
    width, height = video_size(
        SHORT_SIDES.get(asked.get("resolution", "720p"), 720), ratio[0], ratio[1]
    )
    has_input = any(name in asked for name in ("source_video", "reference_video", "motion_video"))
    audio = bool(asked.get("audio") or (has_input and asked.get("keep_source_audio", True)))
    return Picture(int(asked.get("duration", 5)), width, height, audio, prompt, caption)


def video_size(short: int, across: int, down: int) -> tuple[int, int]:
    """Even width and height of a frame whose shorter side is given."""
    scale = short / min(across, down)
    return round(across * scale / 2) * 2, round(down * scale / 2) * 2


def image_size(side: int, across: int, down: int) -> tuple[int, int]:
    """Width and height of an image with the area of a square of that side, in steps of 8 pixels."""
    unit = side / math.sqrt(across * down)
    return round(across * unit / 8) * 8, round(down * unit / 8) * 8
