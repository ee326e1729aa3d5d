"""ByteDance's families at Runway: Seedance 2.0, 2.0 Fast, 2.0 Mini and 2.5."""

from __future__ import annotations

from typing import Final

from .. import Constant, Field
from .calls import CITING, FRAMES, LENGTH, REFERENCES, SEED, SOUND, SOUNDS, TEXT, pixels, sold
from .google import MODES

SHAPES: Final = ("21:9", "16:9", "4:3", "1:1", "3:4", "9:16")


def words(*found: str) -> dict[str, str]:
    """Words in pixels by their shapes."""
    return dict(zip(SHAPES, found, strict=True))


SMALL: Final = words("992:432", "864:496", "752:560", "640:640", "560:752", "496:864")
HD: Final = words("1470:630", "1280:720", "1112:834", "960:960", "834:1112", "720:1280")
FULL_HD: Final = words("2206:946", "1920:1080", "1664:1248", "1440:1440", "1248:1664", "1080:1920")
UHD: Final = words("3840:1646", "3840:2160", "3840:2880", "3840:3840", "2880:3840", "2160:3840")
SIZES_25: Final = {
    "480p": {**SMALL, "16:9": "854:480", "9:16": "480:854"},
    "720p": HD,
    "1080p": FULL_HD,
}
DRAFTS: Final = {
    "draft": "a draft has no shared word; use extra",
    "outputFormat": "what kind of file is made has no shared word; use extra",
}
FAST: Final = {"480p": SMALL, "720p": HD}
EVERY: Final = {**FAST, "1080p": FULL_HD, "4k": UHD}
SEEDANCE: Final = (
    *(
        route
        for model, word, form, sizes in (
            ("seedance-2.0", "seedance2", "Seedance2", EVERY),
            ("seedance-2.0-fast", "seedance2_fast", "Seedance2Fast", FAST),
            ("seedance-2.0-mini", "seedance2_mini", "Seedance2Fast", FAST),
        )
        for kind, workflows, name, rows in (
            (
                "text",
                ("text-to-video", "reference-to-video"),
                "Text",
                (*REFERENCES, CITING, pixels(sizes)),
            ),
            (
                "image",
                "image-to-video",
                "Image",
                (FRAMES, SOUNDS, TEXT, pixels(sizes, shape=None)),
            ),
            (
                "video",
                "edit-video",
                "Edit",
                (
                    Field("source_video", "promptVideo"),
                    *(*REFERENCES, CITING, pixels(sizes, shape=None)),
                ),
            ),
        )
        for route in sold(model, word, kind, workflows, f"{form}{name}", *rows, LENGTH, SOUND, SEED)
    ),
    *sold(
        "seedance-2.5",
        "seedance2_5",
        "text",
        ("text-to-video", "reference-to-video"),
        "Seedance25Text",
        *(*REFERENCES, CITING, LENGTH, pixels(SIZES_25), SOUND, SEED),
        ignored={**DRAFTS, "draftTaskId": "a clip of a draft has no shared word; use extra"},
    ),
    *sold(
        "seedance-2.5",
        "seedance2_5",
        "image",
        "image-to-video",
        "Seedance25Image",
        *(FRAMES, SOUNDS, TEXT, LENGTH, pixels(SIZES_25, shape=None), SOUND, SEED),
        ignored=DRAFTS,
    ),
    *(
        route
        for mode, (workflow, field) in MODES.items()
        for route in sold(
            "seedance-2.5",
            "seedance2_5",
            "video",
            workflow,
            f"Seedance25{mode.title()}",
            *(Constant("mode", mode), Field(field, "promptVideo"), *REFERENCES, CITING),
            *(LENGTH, pixels(SIZES_25, shape=None), SOUND, SEED),
            ignored=DRAFTS,
        )
    ),
)
