"""Other makers' families on fal: Veo, Seedance, Hailuo, Vidu, Wan."""

from __future__ import annotations

from typing import Final

from .. import Absent, Choice, Field, Forced, Row, Single, Unless
from .calls import ASPECT, NEGATIVE, SEED, SIZE, SOUND, TEXT, seconds, sold

CHECKER: Final = {"enable_safety_checker": "the shared model has no such switch; use extra"}
FIRST: Final = Field("first_frame", "image_url")
END: Final = Field("last_frame", "end_image_url")
FRAMED: Final = Absent(
    "aspect_ratio",
    reason="fal lists none; that the clip has the aspect ratio of its first frame is inferred",
)

# -- Veo -------------------------------------------------------------------------------------------

VEO_IGNORED: Final = {
    "auto_fix": "what rewrites a refused prompt has no shared word; use extra",
    "safety_tolerance": "how much is let through has no shared word; use extra",
}
VEO_LENGTH: Final = Field("duration", "duration", Choice({4: "4s", 6: "6s", 8: "8s"}))
VEO: Final[tuple[Row, ...]] = (TEXT, VEO_LENGTH, ASPECT, SIZE, SOUND, NEGATIVE, SEED)
VEO_FRAMES: Final = (
    Field("first_frame", "first_frame_url"),
    Field("last_frame", "last_frame_url"),
)


def only(field: str, native: str, value: int | str, word: str) -> Field:
    """A field of whose values fal's types tell the default alone."""
    return Field(field, native, Choice({value: word}), note="other values are open: use extra")


VEO_31: Final = (
    *(
        route
        for model, place in (
            ("veo-3.1", "fal-ai/veo3.1"),
            ("veo-3.1-fast", "fal-ai/veo3.1/fast"),
        )
        for workflow, action, schema, own in (
            ("text-to-video", "", "Veo31Text", ()),
            ("image-to-video", "/image-to-video", "Veo31Image", (FIRST,)),
            ("image-to-video", "/first-last-frame-to-video", "Veo31Frames", VEO_FRAMES),
        )
        for route in sold(model, workflow, place + action, schema, *own, *VEO, ignored=VEO_IGNORED)
    ),
    *sold(
        "veo-3.1",
        "reference-to-video",
        "fal-ai/veo3.1/reference-to-video",
        "Veo31Reference",
        *(TEXT, Field("reference_images", "image_urls"), only("duration", "duration", 8, "8s")),
        *(ASPECT, SIZE, SOUND),
        ignored=VEO_IGNORED,
    ),
    *(
        route
        for model, place in (("veo-3.1", "fal-ai/veo3.1"), ("veo-3.1-fast", "fal-ai/veo3.1/fast"))
        for route in sold(
            model,
            "extend-video",
            f"{place}/extend-video",
            "Veo31Extend",
            *(TEXT, Field("extend_video", "video_url"), only("duration", "duration", 7, "7s")),
            *(ASPECT, only("resolution", "resolution", "720p", "720p"), SOUND, NEGATIVE, SEED),
            ignored=VEO_IGNORED,
        )
    ),
)

# -- Seedance --------------------------------------------------------------------------------------

SEEDANCE_15_ROWS: Final[tuple[Row, ...]] = (
    *(TEXT, seconds(*range(4, 13)), ASPECT, SIZE, SOUND, SEED),
    Field("camera_fixed", "camera_fixed"),
)
SEEDANCE_15_AT: Final = "fal-ai/bytedance/seedance/v1.5/pro"
AUTO: Final = Choice({"auto": "auto", **{one: str(one) for one in range(4, 16)}})
SEEDANCE_2_ROWS: Final[tuple[Row, ...]] = (
    *(TEXT, Field("duration", "duration", AUTO), ASPECT, SIZE, SOUND),
    Field("end_user_id", "end_user_id"),
)
REFERENCES: Final = (
    Field("reference_images", "image_urls"),
    Field("reference_videos", "video_urls"),
    Field("reference_audio", "audio_urls"),
)
BITS: Final = {"bitrate_mode": "how many bits a second has, has no shared word; use extra"}
SEEDANCE: Final = (
    *sold(
        "seedance-1.5",
        "text-to-video",
        f"{SEEDANCE_15_AT}/text-to-video",
        "Seedance15Text",
        *SEEDANCE_15_ROWS,
        ignored=CHECKER,
    ),
    *sold(
        "seedance-1.5",
        "image-to-video",
        f"{SEEDANCE_15_AT}/image-to-video",
        "Seedance15Image",
        *(FIRST, END, *SEEDANCE_15_ROWS),
        ignored=CHECKER,
    ),
    *(
        route
        for model, place, name, ignored in (
            ("seedance-2.0", "bytedance/seedance-2.0", "", BITS),
            ("seedance-2.0-fast", "bytedance/seedance-2.0/fast", "Fast", BITS),
            ("seedance-2.0-mini", "bytedance/seedance-2.0/mini", "Mini", {}),
        )
        for workflow, form, own in (
            ("text-to-video", "Text", ()),
            ("image-to-video", "Image", (FIRST, END)),
            ("reference-to-video", "Reference", REFERENCES),
        )
        for route in sold(
            model,
            workflow,
            f"{place}/{workflow}",
            f"Seedance2{name}{form}",
            *(*own, *SEEDANCE_2_ROWS),
            ignored=ignored,
        )
    ),
)

# -- Hailuo ----------------------------------------------------------------------------------------

ENHANCE: Final = Field("enhance_prompt", "prompt_optimizer")
SIX_OR_TEN: Final = seconds(6, 10)
NO_LENGTH: Final = Absent("duration", reason="fal lists none for the tier pro")
NO_SHAPE: Final = Absent("aspect_ratio", reason="fal lists none for Hailuo")


def hailuo(name: str, size: str) -> Forced:
    """The size of a tier."""
    reason = f"{name} is a part of the path; that {name} is {size} is inferred"
    return Forced("resolution", value=size, reason=reason, chosen=True)


HAILUO: Final = tuple(
    route
    for model, workflow, tiers in (
        ("hailuo-2.3", "text-to-video", "Text"),
        ("hailuo-2.3", "image-to-video", "Image"),
        ("hailuo-2.3-fast", "image-to-video", "Image"),
    )
    for name, size, length in (("standard", "768p", SIX_OR_TEN), ("pro", "1080p", NO_LENGTH))
    for route in sold(
        model,
        workflow,
        f"fal-ai/minimax/{model}/{name}/{workflow}",
        f"Hailuo{name.title()}{tiers}",
        *(TEXT, *((FIRST,) if tiers == "Image" else ()), length, ENHANCE, NO_SHAPE),
        hailuo(name, size),
    )
)

# -- Vidu ------------------------------------------------------------------------------------------

VIDU_ROWS: Final[tuple[Row, ...]] = (
    *(TEXT, Field("duration", "duration", note="fal's types tell no range of it")),
    *(SIZE, Field("audio", "audio"), SEED),
)
VIDU: Final = (
    *(
        route
        for model, action in (("vidu-q3", ""), ("vidu-q3-turbo", "/turbo"))
        for workflow, schema, own in (
            ("text-to-video", "ViduQ3Text", (ASPECT,)),
            ("image-to-video", "ViduQ3Image", (FIRST, END, FRAMED)),
        )
        for route in sold(
            model, workflow, f"fal-ai/vidu/q3/{workflow}{action}", schema, *own, *VIDU_ROWS
        )
    ),
    *sold(
        "vidu-q3",
        "reference-to-video",
        "fal-ai/vidu/q3/reference-to-video/mix",
        "ViduQ3Mix",
        *(Field("reference_images", "reference_image_urls"), ASPECT, *VIDU_ROWS),
    ),
)

# -- Wan -------------------------------------------------------------------------------------------

EXPAND: Final = Field("enhance_prompt", "enable_prompt_expansion")
WAN_LENGTH: Final = Field("duration", "duration")
AUDIO: Final = Field("reference_audio", "audio_url", Single())
SEVERAL: Final = {"multi_shots": "several shots that the model plans; use extra"}
WAN_27: Final = "fal-ai/wan/v2.7"
WAN_26: Final = "wan/v2.6"
WAN: Final = (
    *sold(
        "wan-2.7",
        "text-to-video",
        f"{WAN_27}/text-to-video",
        "Wan27Text",
        *(TEXT, NEGATIVE, AUDIO, WAN_LENGTH, ASPECT, SIZE, EXPAND, SEED),
        ignored=CHECKER,
    ),
    *sold(
        "wan-2.7",
        "image-to-video",
        f"{WAN_27}/image-to-video",
        "Wan27Image",
        *(FIRST, END, TEXT, NEGATIVE, AUDIO, WAN_LENGTH, SIZE, EXPAND, SEED, FRAMED),
        ignored={**CHECKER, "video_url": "what a clip is for here is not told; use extra"},
    ),
    *sold(
        "wan-2.7",
        "reference-to-video",
        f"{WAN_27}/reference-to-video",
        "Wan27Reference",
        Field("reference_images", "reference_image_urls"),
        Field("reference_videos", "reference_video_urls"),
        *(TEXT, NEGATIVE, WAN_LENGTH, ASPECT, SIZE, SEED),
        ignored={**CHECKER, **SEVERAL},
    ),
    *sold(
        "wan-2.7",
        "edit-video",
        f"{WAN_27}/edit-video",
        "Wan27Edit",
        Field("source_video", "video_url"),
        Field("reference_images", "reference_image_url", Single()),
        Field(
            "duration",
            "duration",
            Unless(0, "asks for the length of the clip, as leaving it out"),
        ),
        *(TEXT, ASPECT, SIZE, SEED),
        ignored={
            **CHECKER,
            "audio_setting": "auto lets the model choose, origin keeps the sound; use extra",
        },
    ),
    *(
        route
        for model, action, name, own in (
            ("wan-2.6", "", "Wan26", ()),
            ("wan-2.6-flash", "/flash", "Wan26Flash", (SOUND,)),
        )
        for workflow, schema, rows, ignored in (
            (
                "image-to-video",
                f"{name}Image",
                (FIRST, seconds(5, 10, 15), AUDIO, FRAMED),
                {**CHECKER, **SEVERAL},
            ),
            (
                "reference-to-video",
                f"{name}Reference",
                (
                    *(REFERENCES[:1] if own else ()),
                    *(REFERENCES[1], seconds(5, 10), ASPECT),
                ),
                {**CHECKER, **SEVERAL},
            ),
        )
        for route in sold(
            model,
            workflow,
            f"{WAN_26}/{workflow}{action}",
            schema,
            *(TEXT, NEGATIVE, *rows, SIZE, EXPAND, SEED, *own),
            ignored=ignored,
        )
    ),
)
