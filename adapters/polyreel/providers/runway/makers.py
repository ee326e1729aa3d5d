"""Other makers' families at Runway: Hailuo 3, H3 Max, Wan 3.0, HappyHorse and Grok Imagine."""

from __future__ import annotations

from typing import Final

from .. import Choice, Field
from .calls import (
    CITING,
    CLIPS,
    FIRST_FRAME,
    FRAMED,
    FRAMES,
    IMAGES,
    LENGTH,
    ONE_IMAGE,
    REFERENCES,
    SEED,
    SIZE,
    SOUND,
    SOUNDS,
    TEXT,
    only_auto,
    pixels,
    sold,
)

WITH_REFERENCES: Final = ("text-to-video", "reference-to-video")

# -- MiniMax ---------------------------------------------------------------------------------------

HAILUO_RATIOS: Final = ("21:9", "16:9", "4:3", "1:1", "3:4", "9:16")
HAILUO_ROWS: Final = (
    LENGTH,
    Field(
        "aspect_ratio",
        "ratio",
        Choice({"auto": "adaptive", **{ratio: ratio for ratio in HAILUO_RATIOS}}),
    ),
    Field(
        "resolution",
        "resolution",
        Choice({"768p": "768p", "2k": "2k"}, {"768P": "768p", "2K": "2k"}),
    ),
)
HAILUO: Final = tuple(
    route
    for kind, workflows, schema, rows in (
        ("text", WITH_REFERENCES, "Hailuo3Text", (*REFERENCES, CITING)),
        ("image", "image-to-video", "Hailuo3Image", (*ONE_IMAGE, SOUNDS, TEXT)),
        (
            "video",
            "edit-video",
            "Hailuo3Edit",
            (Field("source_video", "promptVideo"), *REFERENCES, CITING),
        ),
    )
    for route in sold("hailuo-3", "hailuo3", kind, workflows, schema, *rows, *HAILUO_ROWS)
)
EXPANSION: Final = {
    "promptExpansionMode": "how far the prompt is expanded has three words; use extra"
}
H3_MAX: Final = tuple(
    route
    for kind, own in (("text", ()), ("image", (FRAMES,)))
    for route in sold(
        "minimax-h3-max",
        "h3_max",
        kind,
        f"{kind}-to-video",
        f"H3Max{kind.title()}",
        *(*own, TEXT, LENGTH, SIZE, SEED),
        ignored=EXPANSION,
    )
)

# -- Alibaba ---------------------------------------------------------------------------------------

WAN_SHAPES: Final = ("16:9", "4:3", "1:1", "3:4", "9:16", "auto")
WAN_SIZES: Final = {
    size: dict(zip(WAN_SHAPES, (*words, f"auto_{size}"), strict=True))
    for size, words in (
        ("480p", ("832:480", "720:544", "624:624", "544:720", "480:832")),
        ("720p", ("1280:720", "1104:832", "960:960", "832:1104", "720:1280")),
        ("1080p", ("1920:1080", "1648:1248", "1440:1440", "1248:1648", "1080:1920")),
    )
}
WAN: Final = tuple(
    route
    for model, word in (("wan-3.0", "wan3"), ("wan-3.0-prime", "wan3_prime"))
    for kind, workflows, schema, own in (
        ("text", WITH_REFERENCES, "Wan3Text", (*REFERENCES, CITING)),
        (
            "image",
            ("image-to-video", "reference-to-video"),
            "Wan3Image",
            (*ONE_IMAGE, CLIPS, SOUNDS, CITING),
        ),
    )
    for route in sold(
        model,
        word,
        kind,
        workflows,
        schema,
        *(*own, LENGTH, SOUND, pixels(WAN_SIZES, shape="auto")),
    )
)
HORSE_SHAPES: Final = ("16:9", "9:16", "1:1", "4:3", "3:4")
HAPPYHORSE: Final = (
    *sold(
        "happyhorse-1.0",
        "happyhorse_1_0",
        "text",
        "text-to-video",
        "HappyHorse10Text",
        *(TEXT, LENGTH),
        pixels(
            {
                size: dict(zip(HORSE_SHAPES, words, strict=True))
                for size, words in (
                    ("720p", ("1280:720", "720:1280", "960:960", "1108:832", "832:1108")),
                    ("1080p", ("1920:1080", "1080:1920", "1440:1440", "1662:1248", "1248:1662")),
                )
            }
        ),
    ),
    *sold(
        "happyhorse-1.0",
        "happyhorse_1_0",
        "image",
        "image-to-video",
        "HappyHorse10Image",
        *(FIRST_FRAME, TEXT, LENGTH, FRAMED),
        Field(
            "resolution",
            "resolution",
            Choice({"720p": "720p", "1080p": "1080p"}, {"720P": "720p", "1080P": "1080p"}),
        ),
    ),
)

# -- xAI -------------------------------------------------------------------------------------------

LITE_SHAPES: Final = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3")
LITE_SIZES: Final = {
    size: dict(zip(LITE_SHAPES, words.split(), strict=True))
    for size, words in (
        ("480p", "848:480 480:848 480:480 640:480 480:640 720:480 480:720"),
        ("720p", "1280:720 720:1280 720:720 960:720 720:960 1088:720 720:1088"),
        ("1080p", "1904:1072 1072:1904 1424:1424 1648:1232 1232:1648 1744:1152 1152:1744"),
    )
}
GROK: Final = (
    *sold(
        "grok-imagine-1.5",
        "grok_imagine_1_5",
        "text",
        WITH_REFERENCES,
        "GrokImagine15Text",
        *(IMAGES, SOUNDS, CITING, LENGTH, Field("aspect_ratio", "ratio"), SIZE),
    ),
    *sold(
        "grok-imagine-1.5",
        "grok_imagine_1_5",
        "image",
        "image-to-video",
        "GrokImagine15Image",
        *(FIRST_FRAME, TEXT, LENGTH, SIZE, FRAMED),
    ),
    *sold(
        "grok-imagine-1.5-lite",
        "grok_imagine_1_5_lite",
        "text",
        "text-to-video",
        "GrokImagine15LiteText",
        *(TEXT, LENGTH, pixels(LITE_SIZES)),
    ),
    *sold(
        "grok-imagine-1.5-lite",
        "grok_imagine_1_5_lite",
        "image",
        "image-to-video",
        "GrokImagine15LiteImage",
        *(FIRST_FRAME, TEXT, LENGTH, *only_auto("480p", "720p", "1080p")),
    ),
)
