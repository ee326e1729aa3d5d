"""EvoLink's families of Google."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from .. import Constant, CountedImages, Field, Fixed, Forced, Group, Route, Row
from .calls import CLIENT, CREATE

TEXT: Final = Field("prompt", "prompt")
AUDIO: Final = Field("audio", "generate_audio")
DURATION: Final = Field("duration", "duration")
SIZE: Final = Field("resolution", "quality")
ASPECT: Final = Field("aspect_ratio", "aspect_ratio")
SEED: Final = Field("seed", "seed")
NEGATIVE: Final = Field("negative_prompt", "negative_prompt")
FIRST_AND_LAST: Final = Group(
    ("first_frame", "last_frame"), ("image_urls",), CountedImages("image_urls", last=True)
)
REFERENCES: Final = Field("reference_images", "image_urls")
CALLBACK: Final = Field("callback_url", "callback_url")
TEXT_AND_IMAGE: Final = ("text-to-video", "image-to-video")


def family(
    model: str,
    word: str,
    schema: str,
    *rows: Row,
    workflows: Sequence[str],
    ignored: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Route, ...]:
    """The routes of the workflows that share one model word and one table."""
    body = CLIENT.body(schema)
    every = (Constant("model", word, field="model"), TEXT, *rows, CALLBACK)
    return tuple(Route(model, workflow, CREATE, body, every, ignored) for workflow in workflows)


PEOPLE: Final = {"person_generation": "whether people may be shown; use extra"}
RESIZE: Final = {"resize_mode": "how a frame of another shape is fitted; use extra"}
NO_IMAGES: Final = {"image_urls": "generation_type TEXT takes no images"}
FIXED: Final = "fixed beside reference images"
ALONE: Final = "beside reference images EvoLink takes no further parameter but the sound"


def veo(model: str, word: str, schema: str) -> tuple[Route, ...]:
    """The routes of a Veo family: `generation_type` says what the images are."""
    free = (DURATION, SIZE, ASPECT, NEGATIVE, SEED, Field("count", "n"))
    fixed = (
        Field("duration", "duration", Fixed(8, FIXED)),
        Field("aspect_ratio", "aspect_ratio", Fixed("16:9", FIXED)),
        Forced("resolution", value="720p", reason=ALONE),
        Forced("count", value=1, reason=ALONE),
    )
    unused = ("quality", "n", "seed", "negative_prompt", *PEOPLE, *RESIZE)
    forms: tuple[tuple[str, Constant, tuple[Row, ...], Mapping[str, str]], ...] = (
        (
            "text-to-video",
            Constant("generation_type", "TEXT", optional=True),
            free,
            NO_IMAGES | PEOPLE | RESIZE,
        ),
        (
            "image-to-video",
            Constant("generation_type", "FIRST&LAST"),
            (FIRST_AND_LAST, *free),
            PEOPLE | RESIZE,
        ),
        (
            "reference-to-video",
            Constant("generation_type", "REFERENCE"),
            (REFERENCES, *fixed),
            dict.fromkeys(unused, ALONE),
        ),
    )
    return tuple(
        route
        for workflow, kind, rows, ignored in forms
        for route in family(
            model, word, schema, kind, *rows, AUDIO, workflows=(workflow,), ignored=ignored
        )
    )


FAMILIES: Final = (
    *veo("veo-3.1", "veo-3.1-generate-preview", "Veo31"),
    *veo("veo-3.1-fast", "veo-3.1-fast-generate-preview", "Veo31Fast"),
)
