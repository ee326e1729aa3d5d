"""Kling's families at Runway. The tier is a part of the model's name, and decides the size."""

from __future__ import annotations

from typing import Final

from .. import Absent, Choice, Default, Field, Forced, Group, Row, ShotList
from .calls import (
    AS_LONG,
    AS_WIDE,
    CITING,
    DEMANDED,
    FRAMED,
    FRAMES,
    IMAGES,
    LENGTH,
    ONE_IMAGE,
    SOUND,
    TEXT,
    only_auto,
    pixels,
    sold,
)

TIERS: Final = {
    "standard": ("Standard", "720p", ("1280:720", "720:1280", "960:960")),
    "pro": ("Pro", "1080p", ("1920:1080", "1080:1920", "1440:1440")),
    "4k": ("FourK", "4k", ("3840:2160", "2160:3840", "2880:2880")),
}
"""Each tier: how its bodies are called, its size, and its words for the shapes."""
SHAPES: Final = ("16:9", "9:16", "1:1")
PLACES: Final = ("providerSettings.multiPrompt", "providerSettings.shotType")
SHOTS: Final = Group(
    ("shots", "shot_mode"),
    PLACES,
    ShotList("intelligence", None, PLACES, numbers=True),
    homes={"shot_mode": PLACES[1]},
)
GUIDANCE: Final = Field("guidance_scale", "cfgScale", note="Runway's types tell no range of it")
KEEP: Final = Field("keep_source_audio", "providerSettings.keepOriginalSound")
NO_SOUND: Final = Absent(
    "audio", reason="Runway lists no sound of the model's own beside a clip: keep_source_audio"
)
NO_SWITCH: Final = Absent("audio", reason="Runway lists none for this model")


def tier(name: str, *, told: bool = True) -> Forced:
    """The size of a tier; `told` is whether the words for the shapes of the body say it."""
    size = TIERS[name][1]
    why = f"{name} is a part of the model's name"
    reason = why if told else f"{why}; that it is {size} here too is inferred"
    return Forced("resolution", value=size, reason=reason, chosen=True)


def shape(name: str, *, demanded: bool) -> Field:
    """The words of a tier for the shapes."""
    words = dict(zip(SHAPES, TIERS[name][2], strict=True))
    default = Default("16:9", DEMANDED) if demanded else None
    return Field("aspect_ratio", "ratio", Choice(words), default=default)


def made(name: str, *own: Row, demanded: bool = False) -> tuple[Row, ...]:
    """The rows of clips of a tier that have shots, a length and sound of their own."""
    return (*own, SHOTS, LENGTH, shape(name, demanded=demanded), tier(name), SOUND)


KLING_O3: Final = tuple(
    route
    for name, (form, _, _) in TIERS.items()
    for kind, workflows, schema, rows in (
        ("text", "text-to-video", "Text", made(name, TEXT, demanded=True)),
        (
            "image",
            ("image-to-video", "reference-to-video"),
            "Image",
            made(name, FRAMES, IMAGES, CITING),
        ),
        (
            "video",
            "edit-video",
            "Edit",
            (
                Field("source_video", "promptVideo"),
                *(IMAGES, CITING, SHOTS, KEEP, AS_LONG, AS_WIDE, NO_SOUND),
                tier(name, told=False),
            ),
        ),
    )
    for route in sold(
        "kling-o3", f"klingO3_{name}", kind, workflows, f"KlingO3{form}{schema}", *rows
    )
)
KLING_V3: Final = tuple(
    route
    for name, (form, _, _) in TIERS.items()
    for kind, rows in (
        ("text", made(name, TEXT, GUIDANCE, demanded=True)),
        ("image", made(name, FRAMES, TEXT, GUIDANCE)),
    )
    for route in sold(
        "kling-v3",
        f"kling3.0_{name}",
        kind,
        f"{kind}-to-video",
        f"KlingV3{form}{kind.title()}",
        *rows,
    )
)
KLING_V25_TURBO: Final = (
    *sold(
        "kling-v2.5-turbo",
        "kling2.5_turbo_pro",
        "text",
        "text-to-video",
        "KlingV25TurboText",
        *(TEXT, GUIDANCE, Field("duration", "duration"), NO_SWITCH),
        pixels(
            {
                "720p": {"16:9": "1280:720", "1:1": "720:720", "9:16": "720:1280"},
                "1080p": {"16:9": "1920:1080", "1:1": "1440:1440", "9:16": "1080:1920"},
            }
        ),
    ),
    *sold(
        "kling-v2.5-turbo",
        "kling2.5_turbo_pro",
        "image",
        "image-to-video",
        "KlingV25TurboImage",
        *(FRAMES, TEXT, GUIDANCE, Field("duration", "duration"), NO_SWITCH, FRAMED),
        Forced("resolution", value="1080p", reason="that Kling's pro is 1080p here is inferred"),
    ),
)

V4_CLIPS: Final = {"referenceVideos": "what its items hold was not read; use extra"}
KLING_V4: Final = (
    *sold(
        "kling-v4",
        "kling_4",
        "text",
        ("text-to-video", "reference-to-video"),
        "KlingV4Text",
        *(IMAGES, CITING, LENGTH, NO_SWITCH),
        pixels(
            {
                "720p": {
                    **dict(zip(SHAPES, ("1280:720", "720:1280", "940:940"), strict=True)),
                    "21:9": "1460:624",
                    "auto": "auto_720p",
                },
                "1080p": {
                    **dict(zip(SHAPES, ("1920:1080", "1080:1920", "1440:1440"), strict=True)),
                    "21:9": "2200:940",
                    "auto": "auto_1080p",
                },
            },
            shape="auto",
        ),
        ignored=V4_CLIPS,
    ),
    *sold(
        "kling-v4",
        "kling_4",
        "image",
        ("image-to-video", "reference-to-video"),
        "KlingV4Image",
        *(*ONE_IMAGE, IMAGES, CITING, LENGTH, NO_SWITCH, *only_auto("720p", "1080p")),
        ignored=V4_CLIPS,
    ),
    *sold(
        "kling-v4",
        "kling_4",
        "video",
        "edit-video",
        "KlingV4Edit",
        Field("source_video", "videoUri"),
        *(IMAGES, CITING, AS_LONG, NO_SWITCH, *only_auto("720p", "1080p")),
    ),
)
