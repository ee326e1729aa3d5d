"""EvoLink's families of Google, OpenAI, ByteDance, MiniMax and xAI."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import evolve

from .. import (
    LOWER_AT,
    Absent,
    Choice,
    Constant,
    Field,
    FirstAndLast,
    Forced,
    Group,
    Limited,
    Pointless,
    Prompt,
    Route,
    Row,
    TwoOrMore,
    cited_inputs,
)
from .common import (
    ASPECT,
    AUDIO,
    DURATION,
    NEGATIVE,
    ONE_IMAGE,
    REFERENCES,
    SEED,
    SIZE,
    TEXT_AND_IMAGE,
    family,
)

FIRST_AND_LAST: Final = Group(
    ("first_frame", "last_frame"), ("image_urls",), FirstAndLast("image_urls")
)

# -- Veo -------------------------------------------------------------------------------------------

PEOPLE: Final = {"person_generation": "whether people may be shown; use extra"}
RESIZE: Final = {"resize_mode": "how a frame of another shape is fitted; use extra"}
NO_IMAGES: Final = {"image_urls": "generation_type TEXT takes no images"}
FIXED: Final = "fixed beside reference images"
ALONE: Final = "beside reference images EvoLink takes no further parameter but the sound"


def veo(model: str, word: str, schema: str) -> tuple[Route, ...]:
    """The routes of a Veo family: `generation_type` says what the images are."""
    free = (DURATION, SIZE, ASPECT, NEGATIVE, SEED, Field("count", "n"))
    fixed = (
        Field("duration", "duration", Limited((8,), FIXED)),
        Field("aspect_ratio", "aspect_ratio", Limited(("16:9",), FIXED)),
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


# -- Sora ------------------------------------------------------------------------------------------


class Pixels:
    """A ratio, which is read in pixels, too: `1280x720`."""

    ratios: Final = {"1280x720": "16:9", "720x1280": "9:16"}

    def encode(self, value: str, shared: Mapping[str, Any]) -> str:
        """The ratio itself."""
        return value

    def decode(self, value: str, shared: Mapping[str, Any]) -> str:
        """The ratio."""
        return self.ratios.get(value, value)


SORA: Final = (
    *family(
        "sora-2",
        "sora-2-preview",
        "Sora2",
        *(ONE_IMAGE, evolve(ASPECT, codec=Pixels()), DURATION),
        workflows=TEXT_AND_IMAGE,
    ),
    *family(
        "sora-2-pro",
        "sora-2-pro-preview",
        "Sora2Pro",
        *(ONE_IMAGE, ASPECT, DURATION, SIZE),
        workflows=TEXT_AND_IMAGE,
    ),
)

# -- Seedance --------------------------------------------------------------------------------------

RATIOS: Final = ("16:9", "9:16", "1:1", "4:3", "3:4", "21:9")
ADAPTIVE: Final = Field(
    "aspect_ratio",
    "aspect_ratio",
    Choice({**{ratio: ratio for ratio in RATIOS}, "auto": "adaptive"}),
)
FILTER: Final = {"content_filter": "EvoLink's own filter, without which a clip costs more"}
SEARCH: Final = {"model_params.web_search": "the shared model has no search; use extra"}
CITING: Final = Field("prompt", "prompt", Prompt(LOWER_AT, cited_inputs))
INPUTS: Final = (
    REFERENCES,
    Field("reference_videos", "video_urls"),
    Field("reference_audio", "audio_urls"),
)


def seedance(model: str, word: str, schema: str) -> tuple[Route, ...]:
    """The routes of a family of Seedance 2.0: each workflow has a model word of its own."""
    made = (DURATION, SIZE, ADAPTIVE, AUDIO)
    return (
        *family(
            model,
            f"{word}-text-to-video",
            f"{schema}Text",
            *made,
            workflows=("text-to-video",),
            ignored=FILTER | SEARCH,
        ),
        *family(
            model,
            f"{word}-image-to-video",
            f"{schema}Image",
            *(FIRST_AND_LAST, *made),
            workflows=("image-to-video",),
            ignored=FILTER,
        ),
        *family(
            model,
            f"{word}-reference-to-video",
            f"{schema}Reference",
            *(*INPUTS, *made),
            workflows=("reference-to-video",),
            prompt=CITING,
            ignored=FILTER,
        ),
    )


SEEDANCE: Final = (
    *family(
        "seedance-1.5",
        "seedance-1.5-pro",
        "Seedance15",
        *(FIRST_AND_LAST, DURATION, SIZE, ADAPTIVE, AUDIO),
        workflows=TEXT_AND_IMAGE,
    ),
    *seedance("seedance-2.0", "seedance-2.0", "Seedance20"),
    *seedance("seedance-2.0-fast", "seedance-2.0-fast", "Seedance20Fast"),
)

# -- Hailuo ----------------------------------------------------------------------------------------

ENHANCE: Final = Field("enhance_prompt", "model_params.prompt_optimizer")
NO_ASPECT: Final = Absent("aspect_ratio", reason="EvoLink lists none for Hailuo")

HAILUO: Final = (
    *family(
        "hailuo-2.3",
        "MiniMax-Hailuo-2.3",
        "Hailuo23",
        *(ONE_IMAGE, SIZE, DURATION, ENHANCE, NO_ASPECT),
        workflows=TEXT_AND_IMAGE,
        ignored={"model_params.fast_pretreatment": "how the prompt is rewritten; use extra"},
    ),
    *family(
        "hailuo-2.3-fast",
        "MiniMax-Hailuo-2.3-Fast",
        "Hailuo23Fast",
        *(ONE_IMAGE, SIZE, DURATION, ENHANCE, NO_ASPECT),
        workflows=("image-to-video",),
    ),
)

# -- Grok Imagine ----------------------------------------------------------------------------------

SEVERAL: Final = Field(
    "reference_images", "image_urls", TwoOrMore("a single image is taken for the first frame")
)
MOOD: Final = {"mode": "fun, normal or spicy; the shared model has no mood; use extra"}
ONE_SHAPE: Final = "with one image the clip has its shape, and EvoLink ignores the field"
NO_RATIO: Final = Field("aspect_ratio", "aspect_ratio", Pointless(ONE_SHAPE))
TEXT_ONLY: Final = {"image_urls": "images are for other workflows"}


SMALL: Final = Field(
    "resolution", "quality", Limited(("480p", "720p"), "not offered with references")
)


def grok(
    model: str,
    word: str,
    schema: str,
    *,
    ratio: Row = ASPECT,
    size: Row = SIZE,
    ignored: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Route, ...]:
    """The routes of a body in which one image is the first frame, and more are references.

    `ratio` is the row of the former, and `size` that of the latter.
    """
    one, several = (ONE_IMAGE, DURATION, SIZE, ratio), (SEVERAL, DURATION, size, ASPECT)
    return (
        *family(model, word, schema, *one, workflows=("image-to-video",), ignored=ignored),
        *family(model, word, schema, *several, workflows=("reference-to-video",), ignored=ignored),
    )


GROK: Final = (
    *family(
        "grok-imagine-1",
        "grok-imagine-text-to-video-beta",
        "GrokImagineText",
        *(DURATION, SIZE, ASPECT),
        workflows=("text-to-video",),
        ignored=MOOD,
    ),
    *grok(
        "grok-imagine-1",
        "grok-imagine-image-to-video-beta",
        "GrokImagineImage",
        ratio=NO_RATIO,
        ignored=MOOD,
    ),
    *family(
        "grok-imagine-1.0",
        "grok-imagine-video-1.0-t2v",
        "GrokImagine10Text",
        *(DURATION, SIZE, ASPECT),
        workflows=("text-to-video",),
    ),
    *grok("grok-imagine-1.0", "grok-imagine-video-1.0-i2v", "GrokImagine10Image"),
    *family(
        "grok-imagine-1.5",
        "grok-imagine-video-1.5-preview",
        "GrokImagine15",
        *(DURATION, SIZE, ASPECT),
        workflows=("text-to-video",),
        ignored=TEXT_ONLY,
    ),
    *grok(
        "grok-imagine-1.5",
        "grok-imagine-video-1.5-preview",
        "GrokImagine15",
        ratio=NO_RATIO,
        size=SMALL,
    ),
)

FAMILIES: Final = (
    *veo("veo-3.1", "veo-3.1-generate-preview", "Veo31"),
    *veo("veo-3.1-fast", "veo-3.1-fast-generate-preview", "Veo31Fast"),
    *SORA,
    *SEEDANCE,
    *HAILUO,
    *GROK,
)
