"""Guesses which shared field a native property is, and which shared word a native word.

The names that known vendors use are read from their tables; this file has only general English
words. A person checks every guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from ..mapping.codecs import Choice
from ..mapping.rows import Field
from ..providers.base.facts import Status
from ..providers.base.registry import all_providers
from ..providers.base.specified import snake

ENGLISH: Final[Mapping[str, tuple[str, ...]]] = {
    "prompt": ("text", "text_prompt", "prompt_text", "input_text", "instruction"),
    "negative_prompt": ("negative", "avoid", "exclude"),
    "first_frame": (
        *(
            "image",
            "image_url",
            "input_image",
            "init_image",
            "start_image",
            "start_image_url",
            "start_frame",
        ),
        *("first_frame_image", "first_frame_url", "first_image", "opening_image", "prompt_image"),
        *("img_url", "image_start"),
    ),
    "last_frame": (
        "end_image",
        "end_image_url",
        "end_frame",
        "tail_image",
        "last_image",
        "closing_image",
        *("last_frame_image", "last_frame_url", "image_end"),
    ),
    "reference_images": ("images", "image_urls", "references", "reference_image_urls"),
    "source_video": ("video", "video_url", "input_video", "prompt_video", "source"),
    "duration": ("seconds", "length", "duration_seconds", "video_length", "length_seconds"),
    "aspect_ratio": ("ratio", "aspect", "shape", "orientation", "format"),
    "resolution": ("quality", "definition", "size", "video_quality"),
    "audio": (
        "sound",
        "with_audio",
        "with_sound",
        "generate_audio",
        "enable_audio",
        "audio_enabled",
    ),
    "guidance_scale": ("cfg", "cfg_scale", "guidance", "prompt_strength"),
    "watermark": ("add_watermark", "with_watermark", "watermark_enabled"),
    "callback_url": (
        "callback",
        "webhook",
        "webhook_url",
        "notify_url",
        "hook_url",
        "notification_url",
    ),
    "count": ("n", "num_images", "num_videos", "number_of_images", "image_count"),
    "reference_videos": ("video_urls", "reference_video_urls", "video_refs"),
    "reference_audio": ("audio_url", "audio_urls", "reference_audio_urls"),
    "fps": ("frame_rate", "frames_per_second"),
    "camera_fixed": ("fixed_camera", "static_camera"),
    "enhance_prompt": (
        "prompt_optimizer",
        "prompt_extend",
        "enable_prompt_expansion",
        "enhance",
        "auto_enhance",
    ),
    "end_user_id": ("user_id", "user"),
    "output_format": ("image_format", "file_format"),
}
"""General words for shared fields, in snake case."""
WORDS: Final[Mapping[str, Mapping[Any, tuple[str, ...]]]] = {
    "aspect_ratio": {
        "16:9": ("landscape", "horizontal", "wide", "widescreen"),
        "9:16": ("portrait", "vertical", "tall"),
        "1:1": ("square",),
    },
    "resolution": {
        "720p": ("hd", "sd", "standard", "std", "normal", "720"),
        "1080p": ("full_hd", "fullhd", "fhd", "high", "pro", "1080"),
        "4k": ("uhd", "ultra", "2160p", "2160"),
    },
    "audio": {True: ("on", "yes", "true", "enabled"), False: ("off", "no", "false", "disabled")},
    "watermark": {True: ("on", "yes", "true"), False: ("off", "no", "false")},
}
"""General words for shared values."""
STATES: Final[Mapping[Status, tuple[str, ...]]] = {
    "queued": (
        "queued",
        "pending",
        "waiting",
        "submitted",
        "created",
        "accepted",
        "scheduled",
        "new",
        "enqueued",
        "queueing",
        "preparing",
    ),
    "running": (
        "running",
        "processing",
        "in_progress",
        "started",
        "generating",
        "rendering",
        "working",
        "active",
    ),
    "succeeded": (
        "succeeded",
        "success",
        "completed",
        "complete",
        "done",
        "finished",
        "ready",
        "ok",
    ),
    "failed": (
        "failed",
        "fail",
        "failure",
        "error",
        "errored",
        "broken",
        "expired",
        "rejected",
        "timeout",
    ),
    "canceled": ("canceled", "cancelled", "aborted", "stopped", "deleted"),
}
"""General words for states."""


@cache
def _known_fields() -> Mapping[str, tuple[str, ...]]:
    """The shared fields of every native name of the known vendors, in snake case."""
    found: dict[str, dict[str, None]] = {}
    for provider in all_providers().values():
        rows = [row for route in provider.routes for row in route.rows]
        for row in rows:
            if isinstance(row, Field):
                for place in row.places:
                    found.setdefault(snake(place.rpartition(".")[2]), {})[row.shared] = None
    return {native: tuple(shared) for native, shared in found.items()}


BESIDE: Final = frozenset(
    (
        *("price", "prices", "pricing", "cost", "costs", "billing", "budget", "credit", "credits"),
        *("fee", "fees", "usage", "payment", "discount", "balance", "quota", "description"),
        *("metadata", "meta", "tags", "label", "labels", "trace"),
    )
)
"""Words of places that tell of money, or something to people, and nothing of the clip."""
LINK_NAMES: Final = frozenset({"url", "uri", "link", "href", "src"})
"""Names of a link: what it leads to, the object says that it is in."""
AFTER: Final = re.compile(r"_(url|uri|link)(s?)$")
BEFORE: Final = re.compile(r"^(input|output|video|clip|target)_")


def is_beside(place: str) -> bool:
    """Whether a place is about money, or a text for people: it is never guessed to be a field."""
    return any(word in BESIDE for part in place.split(".") for word in snake(part).split("_"))


def candidates(native: str) -> Iterator[str]:
    """The shared fields that a native property may be, the likeliest first."""
    if is_beside(native):
        return
    parent, _, last = native.rpartition(".")
    name = snake(last)
    if name in LINK_NAMES and parent:
        name = snake(parent.rpartition(".")[2])
    whole = [name, AFTER.sub(r"\2", name)]
    names = [*whole, *(BEFORE.sub("", one) for one in whole)]
    for one in dict.fromkeys(names):
        general = [shared for shared, words in ENGLISH.items() if one in words]
        yield from dict.fromkeys([one, *general, *_known_fields().get(one, ())])


@cache
def _known_words(field: str) -> Mapping[str, Any]:
    """The shared value of every native word of the known vendors, and of general English."""
    routes = [route for provider in all_providers().values() for route in provider.routes]
    rows = [row for route in routes for row in route.rows]
    fields = [row for row in rows if isinstance(row, Field) and row.shared == field]
    tables = [row.codec.table for row in fields if isinstance(row.codec, Choice)]
    found = {str(native).lower(): shared for table in tables for shared, native in table.items()}
    general = WORDS.get(field, {}).items()
    return found | {word: shared for shared, words in general for word in words}


def meaning_of(field: str, native: str | int, offered: tuple[Any, ...]) -> Any:
    """The shared value that a native word of a field may stand for; None where none is likely.

    `offered` are the values that the shared field can have; empty where any value is allowed.
    """
    text = str(native)
    for value in offered:
        if text.lower() == str(value).lower():
            return value
    if field == "aspect_ratio" and (
        found := re.fullmatch(r"([0-9]{1,2})[:x_/-]([0-9]{1,2})", text)
    ):
        return f"{found[1]}:{found[2]}"
    if field == "duration" and (found := re.fullmatch(r"([0-9]{1,3}) ?(s|sec|seconds)?", text)):
        return int(found[1])
    guess = _known_words(field).get(snake(text), _known_words(field).get(text.lower()))
    return guess if not offered or guess in offered else None


@cache
def _known_states() -> Mapping[str, Status]:
    found: dict[str, Status] = {}
    for provider in all_providers().values():
        found |= {word: status for word, status in provider.statuses.items() if word not in found}
    return found | {word: status for status, words in STATES.items() for word in words}


def state_of(word: str) -> Status | None:
    """The state that a status word may mean."""
    text = word.strip().lower()
    return _known_states().get(text) or _known_states().get(snake(text))
