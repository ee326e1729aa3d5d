"""Kling O3, V2.6 and O3 Image, by their reference pages."""

from __future__ import annotations

from typing import Final

from .. import (
    AT,
    Absent,
    Alias,
    Constant,
    Field,
    Prompt,
    Route,
    Row,
    cited_inputs,
)
from .common import (
    ASPECT,
    AUDIO,
    CLIENT,
    DURATION,
    NEGATIVE,
    NOT_OFFERED,
    QUALITY,
    TEXT_AND_IMAGE,
)
from .families import FAMILIES

CREATE_O3: Final = CLIENT.operation("createKlingO3Video")
CREATE_V26: Final = CLIENT.operation("createKlingV26Video")
CREATE_IMAGE: Final = CLIENT.operation("createKlingO3Image")

PROMPT: Final = Field("prompt", "prompt", Prompt(AT, cited_inputs))
# The pages list the fields of all workflows in one bag. Which of them a workflow takes is inferred
# where no text says it, so that such a field can be sent all the same.
NO_NEGATIVE: Final = Absent(
    "negative_prompt",
    reason="skills.video lists it for the model, and does not say that this workflow takes it",
    inferred=NEGATIVE,
)
REFERENCES: Final = Field(
    "reference_images", "image_urls", aliases=(Alias("reference_image_urls"),)
)
KEEP: Final = Field("keep_source_audio", "keep_audio")


def feature(name: str, *rows: Row, default: bool = False) -> tuple[Row, ...]:
    """The rows of one workflow word; the default one may be left out of a body."""
    return (*rows, Constant("feature", name, optional=default), *NOT_OFFERED)


TEXT_OR_IMAGE: Final = feature(
    "text-image-to-video",
    PROMPT,
    Field("first_frame", "image_url"),
    Field("last_frame", "end_image_url"),
    DURATION,
    ASPECT,
    QUALITY,
    AUDIO,
    NEGATIVE,
    default=True,
)
V26_TEXT_OR_IMAGE: Final = feature(
    "text-image-to-video",
    PROMPT,
    Field("first_frame", "image_url"),
    Field("last_frame", "end_image_url"),
    DURATION,
    ASPECT,
    AUDIO,
    NEGATIVE,
    Absent("resolution", reason="Kling V2.6 has a quality tier for motion control only"),
    default=True,
)

ROUTES: Final = (
    *(
        Route(
            "kling-o3", workflow, CREATE_O3, CLIENT.body("KlingO3TextImageToVideo"), TEXT_OR_IMAGE
        )
        for workflow in TEXT_AND_IMAGE
    ),
    Route(
        "kling-o3",
        "image-to-video",
        CREATE_O3,
        CLIENT.body("KlingO3FrameToVideo"),
        feature(
            "frame-to-video",
            PROMPT,
            Field("first_frame", "first_frame_url"),
            Field("last_frame", "last_frame_url"),
            DURATION,
            QUALITY,
            AUDIO,
            NEGATIVE,
            Absent(
                "aspect_ratio",
                reason="the clip has the aspect ratio of its first frame",
                inferred=ASPECT,
            ),
        ),
    ),
    Route(
        "kling-o3",
        "reference-to-video",
        CREATE_O3,
        CLIENT.body("KlingO3ReferenceToVideo"),
        feature(
            "reference-to-video",
            REFERENCES,
            PROMPT,
            Field("first_frame", "image_url", aliases=(Alias("start_image_url"),)),
            Field("last_frame", "end_image_url"),
            DURATION,
            ASPECT,
            QUALITY,
            AUDIO,
            NEGATIVE,
        ),
    ),
    Route(
        "kling-o3",
        "edit-video",
        CREATE_O3,
        CLIENT.body("KlingO3VideoToVideo"),
        feature(
            "video-to-video",
            Field("source_video", "video_url"),
            REFERENCES,
            PROMPT,
            KEEP,
            QUALITY,
            Absent("duration", reason="an edited clip is as long as its source", inferred=DURATION),
            Absent(
                "aspect_ratio",
                reason="an edited clip keeps the frame of its source",
                inferred=ASPECT,
            ),
            NO_NEGATIVE,
            Absent("audio", reason="editing keeps or drops the source's sound: keep_source_audio"),
        ),
    ),
    Route(
        "kling-o3",
        "reference-video",
        CREATE_O3,
        CLIENT.body("KlingO3VideoReferenceToVideo"),
        feature(
            "video-reference-to-video",
            Field("reference_video", "video_url"),
            REFERENCES,
            PROMPT,
            KEEP,
            DURATION,
            ASPECT,
            QUALITY,
            Absent(
                "audio",
                reason="whether this workflow makes sound of its own is not documented: "
                "keep_source_audio",
                inferred=AUDIO,
            ),
            NO_NEGATIVE,
        ),
    ),
    *(
        Route(
            "kling-v2.6",
            workflow,
            CREATE_V26,
            CLIENT.body("KlingV26TextImageToVideo"),
            V26_TEXT_OR_IMAGE,
        )
        for workflow in TEXT_AND_IMAGE
    ),
    Route(
        "kling-v2.6",
        "motion-control",
        CREATE_V26,
        CLIENT.body("KlingV26MotionControl"),
        feature(
            "motion-control",
            Field("character_image", "image_url"),
            Field("motion_video", "video_url"),
            PROMPT,
            Field("character_orientation", "character_orientation"),
            QUALITY,
            Field("keep_source_audio", "keep_original_sound"),
            Absent("duration", reason="the clip is as long as the motion video", inferred=DURATION),
            Absent("aspect_ratio", reason="the clip has the frame of its inputs", inferred=ASPECT),
            Absent(
                "audio",
                reason="motion control keeps or drops the source's sound: keep_source_audio",
                inferred=AUDIO,
            ),
            NO_NEGATIVE,
        ),
    ),
    Route(
        "kling-o3-image",
        "generate-image",
        CREATE_IMAGE,
        CLIENT.body("KlingO3ImageRequest"),
        (
            Field("reference_images", "image_urls"),
            PROMPT,
            ASPECT,
            Field("resolution", "resolution"),
            Field("count", "n"),
            Field("output_format", "output_format"),
            NOT_OFFERED[0],
        ),
    ),
    *FAMILIES,
)
