"""Bodies of the older generation of Kling's API (`model_name`), which are read and never sent.

Facts from a typed client (Aug 2026) and from the vendor's pages as captured in March 2026, as
marked in specs/kling/stored.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve, frozen

from .. import (
    ANGLE,
    CannotExpressError,
    Choice,
    Constant,
    Digits,
    Field,
    GeneratedClient,
    Group,
    Items,
    JsonObject,
    MultiShot,
    Pointless,
    Prompt,
    Route,
    Row,
    check_members,
    cited_inputs,
)

CLIENT: Final = GeneratedClient("kling")
SHOTS: Final = ("multi_shot", "shot_type", "multi_prompt")
YES_NO: Final = Choice({True: "yes", False: "no"})
FRAMES: Final = {"first_frame": "first_frame", "end_frame": "last_frame"}
"""The types of images that are frames, with their shared names; other images are references."""
VIDEOS: Final = {"base": "source_video", "feature": "reference_video"}
"""What videos are for, with their shared names."""
ON_OFF: Final = Choice({True: "on", False: "off"})
TEXT: Final = Prompt(ANGLE, cited_inputs)
PROMPT: Final = Field("prompt", "prompt", TEXT)
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
OMNI_MODELS: Final = {"kling-o3": "kling-v3-omni", "kling-o1": "kling-video-o1"}
OMNI_WORKFLOWS: Final = (
    *("text-to-video", "image-to-video", "reference-to-video"),
    *("reference-video", "edit-video"),
)
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


def clip(
    *own: Row, text: Prompt = TEXT, guidance: tuple[Row, ...] = (NEGATIVE, GUIDANCE)
) -> tuple[Row, ...]:
    """The rows of clips that have shots and a length of their own."""
    return (
        *own,
        Group(
            ("shots", "shot_mode"),
            SHOTS,
            MultiShot("intelligence", SHOTS),
            homes={"shots": SHOTS[2], "shot_mode": SHOTS[1]},
            texts=text,
        ),
        # After the shots: beside them the text means nothing.
        Field("prompt", "prompt", evolve(text, replaced_by="shots")),
        *guidance,
        DURATION,
        AUDIO,
    )


FROM_TEXT: Final = clip(ASPECT)
FROM_IMAGE: Final = clip(
    Field("first_frame", "image"),
    Field("last_frame", "image_tail"),
    ELEMENTS,
    Field(
        "aspect_ratio",
        "aspect_ratio",
        Pointless("the clip has the aspect ratio of its frame, whatever the body says"),
    ),
)
FROM_IMAGES: Final = (
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
    Field("keep_source_audio", "keep_original_sound", YES_NO),
)


@frozen
class OmniInputs:
    """Images and videos of the omni call, each with a member that says what it is for."""

    def encode(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Nothing is written: these bodies are only read."""
        raise CannotExpressError("bodies of the older generation are never sent")

    def decode(self, natives: Mapping[str, Any]) -> Mapping[str, Any]:
        """The inputs, frames first: the numbers in the prompt count them so."""
        found: JsonObject = {}
        for item in natives.get("image_list") or ():
            check_members(item, "image_url", "type")
            name = FRAMES.get(item.get("type"))
            if name is None:
                found.setdefault("reference_images", []).append(item["image_url"])
            elif name in found or "reference_images" in found:
                raise ValueError("at most one image is a frame of a kind, and before the others")
            else:
                found[name] = item["image_url"]
        for item in natives.get("video_list") or ():
            check_members(item, "video_url", "refer_type", "keep_original_sound")
            found[VIDEOS[item.get("refer_type", "base")]] = item["video_url"]
            if "keep_original_sound" in item:
                found["keep_source_audio"] = YES_NO.decode(item["keep_original_sound"], {})
        return found


def frames_before(shared: Mapping[str, Any]) -> int:
    """How many frames are numbered before the reference images."""
    return sum(name in shared for name in FRAMES.values())


OMNI_TEXT: Final = Prompt(
    ANGLE,
    cited_inputs,
    frames=frames_before,
    numbering="images are numbered in their list, frames included: inferred",
)
OMNI: Final = (
    Group(
        (*FRAMES.values(), "reference_images", *VIDEOS.values(), "keep_source_audio"),
        ("image_list", "video_list"),
        OmniInputs(),
        homes=dict.fromkeys((*VIDEOS.values(), "keep_source_audio"), "video_list"),
    ),
    *clip(ELEMENTS, ASPECT, text=OMNI_TEXT, guidance=()),
)


STORED: Final = (
    *(
        Route(
            family,
            "text-to-video",
            CLIENT.operation("storedTextToVideo"),
            CLIENT.body("StoredTextToVideo"),
            rows(name, *FROM_TEXT),
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
            rows(name, *FROM_IMAGE),
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
            rows(name, *FROM_IMAGES),
            ignored=OWN_ID,
        )
        for family, name in IMAGE_MODELS.items()
    ),
    *(
        Route(
            family,
            workflow,
            CLIENT.operation("storedOmniVideo"),
            CLIENT.body("StoredOmniVideo"),
            rows(name, *OMNI),
            ignored=OWN_ID,
        )
        for family, name in OMNI_MODELS.items()
        for workflow in OMNI_WORKFLOWS
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
"""The routes that such bodies are read by."""
