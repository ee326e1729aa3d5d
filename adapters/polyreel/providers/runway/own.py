"""Runway's own families: Gen-4.5, Gen-4 Turbo and Aleph 2."""

from __future__ import annotations

from typing import Final

from attrs import evolve

from .. import Default, Field
from .calls import AS_LONG, FIRST_FRAME, LENGTH, SEED, TEXT, pixels, sold

CHECKS: Final = {
    "contentModeration.publicFigureThreshold": "how strict checks are has no shared word; use extra"
}
FORMATS: Final = {
    **CHECKS,
    "outputFormat": "what kind of file is made has no shared word; use extra",
    "proresProfile": "which kind of ProRes is made has no shared word; use extra",
}
FIVE: Final = evolve(LENGTH, default=Default(5, "the field is demanded; 5 is polyreel's choice"))
TEXT_SHAPES: Final = pixels({"720p": {"16:9": "1280:720", "9:16": "720:1280"}}, demanded=True)
SHAPES: Final = pixels(
    {
        "720p": {
            "16:9": "1280:720",
            "9:16": "720:1280",
            "4:3": "1104:832",
            "1:1": "960:960",
            "3:4": "832:1104",
            "21:9": "1584:672",
        }
    },
    demanded=True,
)

OWN: Final = (
    *sold(
        "gen-4.5",
        "gen4.5",
        "text",
        "text-to-video",
        "Gen45Text",
        *(TEXT, FIVE, TEXT_SHAPES, SEED),
        ignored=FORMATS,
    ),
    *sold(
        "gen-4.5",
        "gen4.5",
        "image",
        "image-to-video",
        "Gen45Image",
        *(FIRST_FRAME, TEXT, FIVE, SHAPES, SEED),
        ignored=FORMATS,
    ),
    *sold(
        "gen-4-turbo",
        "gen4_turbo",
        "image",
        "image-to-video",
        "Gen4TurboImage",
        *(FIRST_FRAME, TEXT, LENGTH, SHAPES, SEED),
        ignored=CHECKS,
    ),
    *sold(
        "aleph-2",
        "aleph2",
        "video",
        "edit-video",
        "Aleph2Edit",
        *(Field("source_video", "videoUri"), TEXT, AS_LONG, SEED),
        Field("aspect_ratio", "targetAspectRatio"),
        ignored={
            **FORMATS,
            "keyframes": "images at some seconds of the clip have no shared word; use extra",
            "ratio": "what it takes beside targetAspectRatio was not read; use extra",
        },
    ),
)
