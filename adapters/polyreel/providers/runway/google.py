"""Google's families at Runway: Veo 3.1, Veo 3.1 Fast and Gemini Omni Flash."""

from __future__ import annotations

from typing import Final

from .. import Constant, Field, Items
from .calls import (
    CITING,
    FIRST_FRAME,
    FRAMES,
    IMAGES,
    LENGTH,
    NEGATIVE,
    SEED,
    SOUND,
    TEXT,
    pixels,
    sold,
)

HD: Final = {"16:9": "1280:720", "9:16": "720:1280"}
FULL_HD: Final = {"16:9": "1920:1080", "9:16": "1080:1920"}
VEO_SIZES: Final = pixels({"720p": HD, "1080p": FULL_HD}, demanded=True)
VEO_ROWS: Final = (*(TEXT, NEGATIVE, Field("duration", "duration"), VEO_SIZES, SOUND, SEED),)
VEO_31: Final = tuple(
    route
    for model, word in (("veo-3.1", "veo3.1"), ("veo-3.1-fast", "veo3.1_fast"))
    for kind, own in (("text", ()), ("image", (FRAMES,)))
    for route in sold(
        model, word, kind, f"{kind}-to-video", f"Veo31{kind.title()}", *own, *VEO_ROWS
    )
)

FLASH: Final = ("gemini-omni-flash", "gemini_omni_flash")
FLASH_11: Final = ("gemini-omni-flash-1.1", "gemini_omni_flash_1.1")
SIZES: Final = {
    "360p": {"16:9": "640:360", "9:16": "360:640"},
    "720p": HD,
    "1080p": FULL_HD,
    "4k": {"16:9": "3840:2160", "9:16": "2160:3840"},
}
MODES: Final = {
    "edit": ("edit-video", "source_video"),
    "extend": ("extend-video", "extend_video"),
    "reference": ("reference-video", "reference_video"),
}
"""The words for what a clip is for, each with its workflow and the shared field of the clip."""
GEMINI_OMNI: Final = (
    *sold(*FLASH, "text", "text-to-video", "GeminiOmniText", TEXT, LENGTH, pixels({"720p": HD})),
    *sold(
        *FLASH,
        "image",
        "image-to-video",
        "GeminiOmniImage",
        *(FIRST_FRAME, TEXT, LENGTH, pixels({"720p": HD}, shape=None)),
    ),
    *sold(
        *FLASH,
        "video",
        "edit-video",
        "GeminiOmniEdit",
        *(Field("source_video", "videoUri"), IMAGES, CITING),
    ),
    *sold(
        *FLASH_11,
        "text",
        ("text-to-video", "reference-to-video"),
        "GeminiOmni11Text",
        *(IMAGES, Field("reference_videos", "referenceVideos", Items("uri"))),
        *(CITING, LENGTH, pixels(SIZES)),
    ),
    *sold(
        *FLASH_11,
        "image",
        "image-to-video",
        "GeminiOmni11Image",
        *(FRAMES, TEXT, LENGTH, pixels(SIZES, shape=None)),
    ),
    *(
        route
        for mode, (workflow, field) in MODES.items()
        for route in sold(
            *FLASH_11,
            "video",
            workflow,
            f"GeminiOmni11{mode.title()}",
            *(Constant("mode", mode), Field(field, "videoUri"), IMAGES),
            *(CITING, LENGTH, pixels(SIZES, shape=None)),
        )
    ),
)
