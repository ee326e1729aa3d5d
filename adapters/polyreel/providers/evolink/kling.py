"""EvoLink's Kling: O1, O3, V3, V3 Turbo and motion control of V2.6."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve

from .. import (
    ANGLE,
    CHINESE,
    MULTI_SHOT,
    Absent,
    Alias,
    CannotExpressError,
    Choice,
    Constant,
    Default,
    Field,
    Forced,
    Group,
    Items,
    MultiShot,
    OneShotText,
    Only,
    OwnIds,
    Prompt,
    Route,
    Row,
    ShotText,
    Spells,
    TextField,
    cited_inputs,
)
from .common import (
    ASPECT,
    CLIENT,
    CREATE,
    DURATION,
    KEEP,
    ONE_IMAGE,
    REFERENCES,
    SIZE,
    START,
    family,
)

ON_OFF: Final = Choice({True: "on", False: "off"})
PROMPT: Final = Field("prompt", "prompt", Prompt(ANGLE, cited_inputs))


def frames_before(shared: Mapping[str, Any]) -> int:
    """How many frames EvoLink numbers before the reference images."""
    return int("first_frame" in shared)


# Inferred: the only published example with a first frame and references counts so.
SHOT_TEXT: Final = Prompt(
    ANGLE,
    cited_inputs,
    frames=frames_before,
    numbering="the first frame is taken for image 1, and the references for the images after it: "
    "inferred from EvoLink's only example with both",
)
SHOT_PROMPT: Final = Field(
    "prompt",
    "prompt",
    evolve(SHOT_TEXT, replaced_by="shots"),
    default=Default("", "the field is demanded, and ignored beside shots", when="shots"),
)
ELEMENTS: Final = Field("elements", "model_params.element_list", OwnIds("element_id"))
NO_NEGATIVE: Final = Absent(
    "negative_prompt", reason="EvoLink lists no negative prompt for Kling O3"
)
NO_GUIDANCE: Final = Absent("guidance_scale", reason="EvoLink lists no prompt adherence for Kling")
SILENT: Final = Forced(
    "audio", value=False, reason="sound is forced off where there is a video input"
)
NO_SHOTS: Final = Absent(
    "shots", reason="the newer page (Oct 2026) no longer lists multi-shot fields for this model"
)
NO_SHOT_MODE: Final = Absent("shot_mode", reason=NO_SHOTS.reason)


def rows(model: str, *own: Row) -> tuple[Row, ...]:
    """The rows every Kling model of this vendor has, around its own."""
    return (
        Constant("model", model, field="model"),
        *own,
        Field("resolution", "quality"),
        Field("watermark", "model_params.watermark_info.enabled"),
        Field("callback_url", "callback_url"),
        NO_GUIDANCE,
    )


def made(*own: Row, automatic: str | None = None) -> tuple[Row, ...]:
    """The rows of models whose clips have a length, sound and shots of their own."""
    return (
        *own,
        Group(
            ("shots", "shot_mode"),
            MULTI_SHOT,
            MultiShot(automatic),
            homes={"shots": MULTI_SHOT[2], "shot_mode": MULTI_SHOT[1]},
            texts=SHOT_TEXT,
        ),
        SHOT_PROMPT,  # after the shots: beside them the text means nothing
        Field("duration", "duration"),
        Field("audio", "sound", ON_OFF),
    )


class Orientation:
    """`character_orientation`, which a subject forces to `video` (page of Kling V3, Oct 2026)."""

    def encode(self, value: str, shared: Mapping[str, Any]) -> str:
        """The same word, where it is possible."""
        if "elements" in shared and value != "video":
            raise CannotExpressError(
                f"{value} is not possible beside elements", limit="only video", nearest="video"
            )
        return value

    def decode(self, value: str, shared: Mapping[str, Any]) -> str:
        """The word that counts."""
        return "video" if "elements" in shared and value == "image" else value


def motion(*own: Row) -> tuple[Row, ...]:
    """The rows of motion control models: exactly one image and one video, in lists."""
    return (
        Field("character_image", "image_urls", Only()),
        Field("motion_video", "video_urls", Only()),
        *own,
        PROMPT,
        Field(
            "character_orientation",
            "model_params.character_orientation",
            Orientation(),
            default=Default(
                "video",
                "the field is demanded; "
                "video takes motion clips of up to 30 s, image of up to 10 s",
            ),
        ),
        Field("keep_source_audio", "model_params.keep_sound"),
        SILENT,
    )


FRAMES: Final = (Field("first_frame", "image_start"), Field("last_frame", "image_end"))
O3_IMAGE: Final = rows(
    "kling-o3-image-to-video", *FRAMES, REFERENCES, ELEMENTS, *made(NO_NEGATIVE), ASPECT
)
# First frame, last frame and a reference make three images; with a last frame two are allowed.
NO_LAST_FRAME: Final = Absent(
    "last_frame", reason="a last frame is not allowed beside reference images"
)
O3_REFERENCE: Final = rows(
    "kling-o3-image-to-video",
    FRAMES[0],
    NO_LAST_FRAME,
    REFERENCES,
    ELEMENTS,
    *made(NO_NEGATIVE),
    ASPECT,
)
VIDEO_ALIASES: Final = (Alias("video_urls", Only(first=True)), Alias("video", Only(first=True)))

SECOND_IMAGE: Final = Absent(
    "last_frame", reason="EvoLink takes a second image, and does not say what it is"
)
SPELLED_SHOTS: Final = (
    TextField("shots", "prompt", ShotText(SHOT_TEXT, CHINESE), where=Spells(shots=True)),
    Absent("shot_mode", reason="the text spells the shots: give `shots` alone"),
)
TEXT_OR_SHOTS: Final = TextField(
    "prompt", "prompt", OneShotText(ANGLE, cited_inputs, replaced_by="shots")
)


def subject(word: str, *own: Row) -> tuple[Row, ...]:
    """The rows of subjects, around those of what they are made from."""
    return (
        Constant("model", "kling-custom-element", field="model"),
        Constant("model_params.reference_type", word),
        Field("name", "model_params.element_name"),
        Field("description", "model_params.element_description"),
        *own,
        Field("callback_url", "callback_url"),
    )


FRONT: Final = "model_params.element_image_list.frontal_image"
SIDES: Final = "model_params.element_image_list.refer_images"
CLIP: Final = "model_params.element_video_list.refer_videos"
VOICE: Final = "model_params.element_voice_id"
NO_VOICE: Final = Absent("voice", reason="a voice goes with a subject from a video only")
NO_IMAGES: Final = "a subject from a video has no images beside it"
NO_CLIP: Final = "a subject from images has no video beside it"
MADE_SUBJECTS: Final = (
    Route(
        "kling-element",
        "images-to-element",
        CREATE,
        CLIENT.body("KlingCustomElement"),
        subject(
            "image_refer",
            Field("front_image", FRONT),
            Field("images", SIDES, Items("image_url")),
            NO_VOICE,
        ),
        ignored={CLIP: NO_CLIP, VOICE: NO_VOICE.reason},
    ),
    Route(
        "kling-element",
        "video-to-element",
        CREATE,
        CLIENT.body("KlingCustomElement"),
        subject(
            "video_refer",
            Field("video", CLIP, Only(member="video_url")),
            Field("voice", VOICE),
            Absent("front_image", reason=NO_IMAGES),
            Absent("images", reason=NO_IMAGES),
        ),
        ignored={FRONT: NO_IMAGES, SIDES: NO_IMAGES},
    ),
)

KLING: Final = (
    Route(
        "kling-o3",
        "text-to-video",
        CREATE,
        CLIENT.body("KlingO3TextToVideo"),
        rows("kling-o3-text-to-video", ELEMENTS, *made(NO_NEGATIVE), ASPECT),
    ),
    Route("kling-o3", "image-to-video", CREATE, CLIENT.body("KlingO3ImageToVideo"), O3_IMAGE),
    Route(
        "kling-o3",
        "reference-to-video",
        CREATE,
        CLIENT.body("KlingO3ImageToVideo"),
        O3_REFERENCE,
        ignored={"image_end": NO_LAST_FRAME.reason},
    ),
    Route(
        "kling-o3",
        "reference-video",
        CREATE,
        CLIENT.body("KlingO3ReferenceToVideo"),
        rows(
            "kling-o3-reference-to-video",
            # By the page of early 2026: video_url and video_urls come before video; of a list
            # the first item counts.
            Field("reference_video", "video_url", aliases=VIDEO_ALIASES),
            REFERENCES,
            ELEMENTS,
            PROMPT,
            KEEP,
            Field("duration", "duration"),
            ASPECT,
            SILENT,
            NO_SHOTS,
            NO_SHOT_MODE,
            NO_NEGATIVE,
        ),
        ignored={
            "sound": "ignored by the vendor: forced off with a video input (page of early 2026)",
            **dict.fromkeys(MULTI_SHOT, NO_SHOTS.reason),
        },
    ),
    Route(
        "kling-o3",
        "edit-video",
        CREATE,
        CLIENT.body("KlingO3VideoEdit"),
        rows(
            "kling-o3-video-edit",
            Field("source_video", "video_url"),
            REFERENCES,
            ELEMENTS,
            PROMPT,
            KEEP,
            SILENT,
            Absent("duration", reason="an edited clip is as long as its source"),
            Absent("aspect_ratio", reason="an edited clip keeps the frame of its source"),
            NO_NEGATIVE,
        ),
    ),
    Route(
        "kling-v3",
        "text-to-video",
        CREATE,
        CLIENT.body("KlingV3TextToVideo"),
        rows(
            "kling-v3-text-to-video",
            *made(Field("negative_prompt", "negative_prompt"), automatic="intelligence"),
            ASPECT,
        ),
    ),
    Route(
        "kling-v3",
        "image-to-video",
        CREATE,
        CLIENT.body("KlingV3ImageToVideo"),
        rows(
            "kling-v3-image-to-video",
            *FRAMES,
            ELEMENTS,
            *made(Field("negative_prompt", "negative_prompt"), automatic="intelligence"),
            Absent("aspect_ratio", reason="the clip has the aspect ratio of its first frame"),
        ),
    ),
    Route(
        "kling-v3",
        "motion-control",
        CREATE,
        CLIENT.body("KlingV3MotionControl"),
        rows("kling-v3-motion-control", *motion(ELEMENTS)),
    ),
    Route(
        "kling-v2.6",
        "motion-control",
        CREATE,
        CLIENT.body("KlingV26MotionControl"),
        rows("kling-v2.6-motion-control", *motion()),
    ),
    *family(
        "kling-o1",
        "kling-o1-image-to-video",
        "KlingO1ImageToVideo",
        *(ONE_IMAGE, SECOND_IMAGE, ASPECT, DURATION),
        workflows=("image-to-video",),
    ),
    *(
        route
        for fast in ("", "-fast")
        for route in family(
            f"kling-o1{fast}",
            f"kling-o1-video-edit{fast}",
            f"KlingO1VideoEdit{fast.strip('-').title()}",
            *(Field("source_video", "video_urls", Only()), REFERENCES, KEEP),
            workflows=("edit-video",),
            prompt=PROMPT,
        )
    ),
    *family(
        "kling-v3-turbo",
        "kling-v3-turbo-text-to-video",
        "KlingV3TurboTextToVideo",
        *(SIZE, ASPECT, DURATION, *SPELLED_SHOTS),
        workflows=("text-to-video",),
        prompt=TEXT_OR_SHOTS,
    ),
    *family(
        "kling-v3-turbo",
        "kling-v3-turbo-image-to-video",
        "KlingV3TurboImageToVideo",
        *(START, SIZE, DURATION),
        workflows=("image-to-video",),
    ),
    *MADE_SUBJECTS,
)
