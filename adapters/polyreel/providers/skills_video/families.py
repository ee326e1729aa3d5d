"""Families with one or two pages of their own (specs/skills_video/)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from .. import (
    Absent,
    CannotExpressError,
    Constant,
    Field,
    MeaninglessError,
    Route,
    Row,
    Seed,
    Single,
    Unless,
)
from .common import (
    ASPECT,
    AUDIO,
    CLIENT,
    DURATION,
    NEGATIVE,
    NOT_OFFERED,
    QUALITY,
    TEXT_AND_IMAGE,
)

COUNT: Final = Field("count", "n")
SEED: Final = Field("seed", "seed")
TEXT: Final = Field("prompt", "prompt")
SIZE: Final = Field("resolution", "resolution")
FIRST: Final = Field("first_frame", "first_frame_url")
LAST: Final = Field("last_frame", "last_frame_url")
ENHANCE: Final = Field("enhance_prompt", "prompt_optimizer")
SWITCHES: Final = (NOT_OFFERED[0], NOT_OFFERED[-1])
UNCLEAR_IMAGE: Final = {
    "image_url": "what it is beside first_frame_url is not documented; use extra"
}


def family(
    model: str,
    operation: str,
    schema: str,
    *rows: Row,
    workflows: Sequence[str] = TEXT_AND_IMAGE,
    ignored: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Route, ...]:
    """The routes of a family whose workflows share a body."""
    call, body = CLIENT.operation(operation), CLIENT.body(schema)
    every = (TEXT, COUNT, *rows, *SWITCHES)
    return tuple(Route(model, workflow, call, body, every, ignored) for workflow in workflows)


def veo(model: str, name: str) -> tuple[Route, ...]:
    """The routes of a Veo family: `mode` says the workflow."""
    rows = (DURATION, SIZE, ASPECT, AUDIO, NEGATIVE, SEED)
    images = Field("reference_images", "reference_image_urls")
    forms: tuple[tuple[str, str, Constant, tuple[Row, ...]], ...] = (
        ("text-to-video", "Text", Constant("mode", "text-image", optional=True), ()),
        ("image-to-video", "Frames", Constant("mode", "frames"), (FIRST, LAST)),
        ("reference-to-video", "Reference", Constant("mode", "reference"), (images,)),
    )
    return tuple(
        route
        for workflow, form, mode, own in forms
        for route in family(
            model, f"create{name}Video", f"{name}{form}", *own, *rows, mode, workflows=(workflow,)
        )
    )


class SourceSound:
    """Whether the sound of the source is kept: `origin`, or `auto`, which the model decides."""

    def encode(self, value: bool, shared: Mapping[str, Any]) -> str:
        """`origin`."""
        if not value:
            raise CannotExpressError("off is not offered", limit="only on", nearest="auto")
        return "origin"

    def decode(self, value: str, shared: Mapping[str, Any]) -> bool:
        """That it is kept."""
        if value == "auto":
            raise MeaninglessError("auto leaves it to the model, as leaving it out does")
        return value == "origin"


def seedance_2() -> tuple[Route, ...]:
    """The routes of Seedance 2.0: `feature` says the workflow."""
    made = (DURATION, ASPECT, SIZE, AUDIO, SEED, Field("end_user_id", "end_user_id"))
    images = Field("reference_images", "reference_image_urls")
    sound = {"audio_urls": "what the sounds are for is not documented; use extra"}
    forms: tuple[tuple[str, str, Constant, tuple[Row, ...], Mapping[str, str]], ...] = (
        (
            "text-to-video",
            "Text",
            Constant("feature", "text-image-to-video", optional=True),
            (),
            {
                **sound,
                **UNCLEAR_IMAGE,
                "image_urls": "what it is here is not documented; use extra",
            },
        ),
        (
            "image-to-video",
            "Frames",
            Constant("feature", "frame-to-video"),
            (FIRST, Field("last_frame", "end_frame_url")),
            {},
        ),
        (
            "reference-to-video",
            "Reference",
            Constant("feature", "reference-to-video"),
            (images,),
            sound,
        ),
    )
    return tuple(
        Route(
            "seedance-2.0",
            workflow,
            CLIENT.operation("createSeedance20Video"),
            CLIENT.body(f"Seedance20{form}"),
            (TEXT, *own, *made, feature, *SWITCHES),
            ignored,
        )
        for workflow, form, feature, own, ignored in forms
    )


FAMILIES: Final = (
    *family(
        "kling-v3",
        "createKlingV3Video",
        "KlingV3Video",
        *(FIRST, LAST, DURATION, AUDIO, QUALITY, NEGATIVE, ASPECT),
        ignored=UNCLEAR_IMAGE,
    ),
    *veo("veo-3.1", "Veo31"),
    *veo("veo-3.1-fast", "Veo31Fast"),
    *family("sora-2", "createSora2Video", "Sora2", FIRST, DURATION, ASPECT, SIZE),
    *family(
        "sora-2-pro",
        "createSora2ProVideo",
        "Sora2Pro",
        *(FIRST, Field("duration", "seconds"), ASPECT, SIZE),
    ),
    *family(
        "seedance-1.5",
        "createSeedance15Video",
        "Seedance15",
        *(FIRST, Field("last_frame", "end_frame_url"), DURATION, ASPECT, SIZE, AUDIO),
        *(Field("camera_fixed", "camera_fixed"), Field("seed", "seed", Seed())),
        ignored={
            **UNCLEAR_IMAGE,
            "enable_safety_checker": "the shared model has no such switch; use extra",
        },
    ),
    *seedance_2(),
    *family(
        "wan-2.7",
        "createWan27EditVideo",
        "Wan27EditVideo",
        *(Field("source_video", "video_url"), SIZE, ASPECT, SEED),
        Field("reference_images", "reference_image_url", Single()),
        Field("duration", "duration", Unless(0, "0 keeps the length of the source")),
        Field("keep_source_audio", "audio_setting", SourceSound()),
        workflows=("edit-video",),
    ),
    *family(
        "vidu-q3",
        "createViduQ3Video",
        "ViduQ3",
        *(FIRST, DURATION, ASPECT, SIZE, SEED, Field("audio", "audio")),
        ignored={"generate_audio": "background music, for clips of 4 s only; use extra"},
    ),
    *(
        route
        for model, name in (("hailuo-2.3", "Hailuo23"), ("hailuo-2.3-fast", "Hailuo23Fast"))
        for route in family(
            model,
            f"create{name}Video",
            name,
            *(FIRST, DURATION, SIZE, ENHANCE),
            Absent("aspect_ratio", reason="the page documents none for Hailuo, only a first frame"),
            workflows=("image-to-video",),
        )
    ),
)
