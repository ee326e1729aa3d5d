"""Kling's own API. Stored bodies of its older generation are read here, and nothing is sent.

Facts from a typed client (vercel/ai packages/klingai, Aug 2026) and from the vendor's pages as
captured in March 2026, as marked in specs/kling.yaml.
"""

from __future__ import annotations

from typing import Final

from . import (
    ANGLE,
    Choice,
    Constant,
    Digits,
    Field,
    GeneratedClient,
    Group,
    Items,
    MultiShot,
    Pointless,
    Prompt,
    Provider,
    Route,
    Row,
    cited_inputs,
)

CLIENT: Final = GeneratedClient("kling")
SHOTS: Final = ("multi_shot", "shot_type", "multi_prompt")
ON_OFF: Final = Choice({True: "on", False: "off"})
PROMPT: Final = Field("prompt", "prompt", Prompt(ANGLE, cited_inputs))
SHOT_TEXT: Final = Prompt(ANGLE, cited_inputs)
ELEMENTS: Final = Field("elements", "element_list", Items("element_id"))
NEGATIVE: Final = Field("negative_prompt", "negative_prompt")
GUIDANCE: Final = Field("guidance_scale", "cfg_scale")
NO_GUIDANCE: Final = Field(
    "guidance_scale", "cfg_scale", Pointless("Kling's models of v2 have no prompt adherence")
)
SIZE: Final = Field("resolution", "mode", Choice({"720p": "std", "1080p": "pro"}))
DURATION: Final = Field("duration", "duration", Digits())
ASPECT: Final = Field("aspect_ratio", "aspect_ratio")
AUDIO: Final = Field("audio", "sound", ON_OFF)
CAMERA: Final = dict.fromkeys(
    (
        "camera_control.type",
        *(f"camera_control.config.{name}" for name in ("horizontal", "vertical", "pan")),
        *(f"camera_control.config.{name}" for name in ("tilt", "roll", "zoom")),
    ),
    "a movement of the camera has no shared word",
)
BRUSH: Final = dict.fromkeys(
    ("static_mask", "dynamic_masks"), "the motion brush has no shared word"
)
VOICES: Final = {"voice_list": "voices that a prompt cites have no shared word"}
OWN_ID: Final = {"external_task_id": "the caller's own id of the task has no shared word"}

TEXT_MODELS: Final = {
    "kling-v3": "kling-v3",
    "kling-v2.6": "kling-v2-6",
    "kling-v2.5-turbo": "kling-v2-5-turbo",
    "kling-v2.1-master": "kling-v2-1-master",
    "kling-v2-master": "kling-v2-master",
    "kling-v1.6": "kling-v1-6",
    "kling-v1": "kling-v1",
}
"""The model families, each with its `model_name`; see also those for images."""
IMAGE_MODELS: Final = {**TEXT_MODELS, "kling-v2.1": "kling-v2-1", "kling-v1.5": "kling-v1-5"}
MOTION_MODELS: Final = ("kling-v3", "kling-v2.6")


def rows(model: str, *own: Row) -> tuple[Row, ...]:
    """The rows that every body has, around its own."""
    return (
        # `model` is the older name of the field. A body without either is one of the model that
        # the caller names.
        Constant("model_name", model, field="model", optional=True, aliases=("model",)),
        *(NO_GUIDANCE if row is GUIDANCE and "-v2-" in model else row for row in own),
        SIZE,
        Field("watermark", "watermark_info.enabled"),
        Field("callback_url", "callback_url"),
    )


def clip(*own: Row) -> tuple[Row, ...]:
    """The rows of clips that have shots and a length of their own."""
    return (
        *own,
        Group(
            ("shots", "shot_mode"),
            SHOTS,
            MultiShot("intelligence", SHOTS),
            homes={"shots": SHOTS[2], "shot_mode": SHOTS[1]},
            texts=SHOT_TEXT,
        ),
        # After the shots: beside them the text means nothing.
        Field("prompt", "prompt", Prompt(ANGLE, cited_inputs, replaced_by="shots")),
        NEGATIVE,
        GUIDANCE,
        DURATION,
        AUDIO,
    )


TEXT: Final = clip(ASPECT)
IMAGE: Final = clip(
    Field("first_frame", "image"),
    Field("last_frame", "image_tail"),
    ELEMENTS,
    Field(
        "aspect_ratio",
        "aspect_ratio",
        Pointless("the clip has the aspect ratio of its frame, whatever the body says"),
    ),
)
IMAGES: Final = (
    Field("reference_images", "image_list", Items("image")),
    PROMPT,
    NEGATIVE,
    GUIDANCE,
    DURATION,
    ASPECT,
)
MOTION: Final = (
    Field("character_image", "image_url"),
    Field("motion_video", "video_url"),
    ELEMENTS,
    PROMPT,
    Field("character_orientation", "character_orientation"),
    Field("keep_source_audio", "keep_original_sound", Choice({True: "yes", False: "no"})),
)


class Kling(Provider):
    """Kling's own API (api-singapore.klingai.com)."""

    id = "kling"
    name = "Kling's own API"
    key_variable = "KLINGAI_API_KEY"
    routes = ()
    read_only_routes = (
        *(
            Route(
                family,
                "text-to-video",
                CLIENT.operation("storedTextToVideo"),
                CLIENT.body("StoredTextToVideo"),
                rows(name, *TEXT),
                ignored={**CAMERA, **VOICES, **OWN_ID},
            )
            for family, name in TEXT_MODELS.items()
        ),
        *(
            Route(
                family,
                "image-to-video",
                CLIENT.operation("storedImageToVideo"),
                CLIENT.body("StoredImageToVideo"),
                rows(name, *IMAGE),
                ignored={**CAMERA, **VOICES, **OWN_ID, **BRUSH},
            )
            for family, name in IMAGE_MODELS.items()
        ),
        *(
            Route(
                family,
                "reference-to-video",
                CLIENT.operation("storedMultiImageToVideo"),
                CLIENT.body("StoredMultiImageToVideo"),
                rows(name, *IMAGES),
                ignored=OWN_ID,
            )
            for family, name in IMAGE_MODELS.items()
        ),
        *(
            Route(
                family,
                "motion-control",
                CLIENT.operation("storedMotionControl"),
                CLIENT.body("StoredMotionControl"),
                rows(IMAGE_MODELS[family], *MOTION),
                ignored=OWN_ID,
            )
            for family in MOTION_MODELS
        ),
    )


PROVIDER: Final = Kling
