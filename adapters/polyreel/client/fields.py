"""A request in keywords: `client.generate("a cat", duration=5)`, as type checkers see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, TypeVar, cast

from ..errors import RequestError, did_you_mean
from ..mapping.inputs import Media, Several
from ..mapping.reports import Allowance

if TYPE_CHECKING:
    from polyreel_generated.shared import Element, Shot

Given = TypeVar("Given")


class RequestFields(TypedDict, total=False):
    """The fields of a VideoRequest and an ImageRequest, which say what each is for."""

    model: str
    negative_prompt: str
    first_frame: Media
    last_frame: Media
    reference_images: Several[Media]
    reference_videos: Several[Media]
    reference_audio: Several[Media]
    source_video: Media
    extend_video: Media
    reference_video: Media
    motion_video: Media
    character_image: Media
    character_orientation: Literal["image", "video"]
    elements: Several[str | Element | Mapping[str, object]]
    shots: Several[Shot | Mapping[str, object]]
    shot_mode: Literal["custom", "automatic"]
    duration: int | Literal["auto"]
    aspect_ratio: str
    resolution: Literal["360p", "480p", "540p", "720p", "768p", "1080p", "2k", "4k", "1K", "2K"]
    fps: int
    count: int
    seed: int
    camera_fixed: bool
    enhance_prompt: bool
    audio: bool
    keep_source_audio: bool
    guidance_scale: float
    watermark: bool
    output_format: Literal["jpeg", "png", "webp"]
    end_user_id: str
    callback_url: str
    extra: Mapping[str, Mapping[str, object]]


class PlanOptions(TypedDict, total=False):
    """The options of `plan` that other calls hand on to it."""

    allow: Mapping[str, Allowance] | None
    preferences: Mapping[str, Any] | None
    override: bool
    stream: bool


class GenerateOptions(PlanOptions, RequestFields, total=False):
    """The options of `plan`, and the fields of a request whose prompt is given as a text."""


_PLANNING: Final = frozenset(PlanOptions.__annotations__)
OPTIONS: Final = (*_PLANNING, "vendor", "output", "timeout", "reference", "labels")
"""What callers can mean where they mistype a keyword."""


def divided(options: GenerateOptions) -> tuple[PlanOptions, RequestFields]:
    """The options of `plan`, and all others."""
    planning = {name: value for name, value in options.items() if name in _PLANNING}
    fields = {name: value for name, value in options.items() if name not in _PLANNING}
    return cast(PlanOptions, planning), cast(RequestFields, fields)


def with_fields(request: Given | str, fields: Mapping[str, object]) -> Given | dict[str, object]:
    """A request: a text is its prompt, and keywords are its other fields.

    Raises RequestError for keywords that are no fields, or that stand beside a request or plan:
    nobody could say which of the two is meant.
    """
    if isinstance(request, str) and "prompt" in fields:
        raise RequestError(["prompt: it is given twice, as the text and as a keyword"])
    known = RequestFields.__annotations__
    if unknown := [name for name in fields if name not in known]:
        words = [*known, *OPTIONS]
        raise RequestError(
            [f"{name}: no such field or option{did_you_mean(name, words)}" for name in unknown]
        )
    if isinstance(request, str):
        return {"prompt": request, **fields}
    if fields:
        names, what = ", ".join(fields), type(request).__name__
        raise RequestError([f"{names}: fields go with a prompt as text, not with a {what}"])
    return request
