"""Kling's families on fal. The tier is a part of the path, and each workflow has its own body."""

from __future__ import annotations

from typing import Final

from attrs import evolve

from .. import AT, Absent, Field, Group, Prompt, Row, ShotList, Subjects, cited_inputs
from .calls import (
    ASPECT,
    PROMPT,
    SOUND,
    seconds,
    sold_in_tiers,
)

PLACES: Final = ("multi_prompt", "shot_type")
SHOT_SECONDS: Final = 5
"""The length of a shot that has none of its own."""
TWO: Final = ("standard", "pro")
LENGTH: Final = seconds(*range(3, 16))
BY_IMAGES: Final = Subjects({"front_image": "frontal_image_url", "images": "reference_image_urls"})
BY_ALL: Final = Subjects({**BY_IMAGES.members, "video": "video_url", "voice": "voice_id"})
ELEMENTS: Final = Field("elements", "elements", BY_ALL)
PLAIN_ELEMENTS: Final = Field("elements", "elements", BY_IMAGES)
REFERENCES: Final = Field("reference_images", "image_urls")
KEEP: Final = Field("keep_source_audio", "keep_audio")
FRAMED: Final = Absent(
    "aspect_ratio",
    reason="fal lists none; that the clip has the aspect ratio of its first frame is inferred",
)
AS_LONG: Final = Absent(
    "duration", reason="fal lists none; that an edited clip is as long as its source is inferred"
)
AS_WIDE: Final = Absent(
    "aspect_ratio", reason="fal lists none; that an edited clip keeps its frame is inferred"
)
NO_SOUND: Final = Absent(
    "audio", reason="fal lists no sound of the model's own beside a clip: keep_source_audio"
)
PLANS: Final = {"shot_type": "fal lists one word for it, customize, which is its default"}
SHOTS: Final = Group(
    ("shots", "shot_mode"),
    PLACES,
    ShotList("intelligent", SHOT_SECONDS, PLACES),
    homes={"shot_mode": PLACES[1]},
    texts=Prompt(AT, cited_inputs),
)
# After the shots: fal takes one of the two.
INSTEAD: Final = evolve(PROMPT, codec=Prompt(AT, cited_inputs, replaced_by="shots"))

O3: Final = "fal-ai/kling-video/o3/{}"


def made(*own: Row) -> tuple[Row, ...]:
    """The rows of clips that have shots, a length and sound of their own."""
    return (*own, SHOTS, INSTEAD, LENGTH, SOUND)


KLING_O3: Final = (
    *sold_in_tiers(
        "kling-o3", "text-to-video", f"{O3}/text-to-video", "KlingO3Text", *made(ASPECT)
    ),
    *sold_in_tiers(
        "kling-o3",
        "image-to-video",
        f"{O3}/image-to-video",
        "KlingO3Image",
        *made(Field("first_frame", "image_url"), Field("last_frame", "end_image_url"), FRAMED),
    ),
    *sold_in_tiers(
        "kling-o3",
        # Elements alone, or beside a frame, are no reference images in the shared words.
        ("reference-to-video", "image-to-video", "text-to-video"),
        f"{O3}/reference-to-video",
        "KlingO3Reference",
        *made(
            REFERENCES,
            ELEMENTS,
            Field("first_frame", "start_image_url"),
            Field("last_frame", "end_image_url"),
            ASPECT,
        ),
    ),
    *sold_in_tiers(
        "kling-o3",
        "edit-video",
        f"{O3}/video-to-video/edit",
        "KlingO3Edit",
        Field("source_video", "video_url"),
        *(REFERENCES, PLAIN_ELEMENTS, PROMPT, KEEP, AS_LONG, AS_WIDE, NO_SOUND),
        tiers=TWO,
        ignored=PLANS,
    ),
    *sold_in_tiers(
        "kling-o3",
        "reference-video",
        f"{O3}/video-to-video/reference",
        "KlingO3Video",
        Field("reference_video", "video_url"),
        *(REFERENCES, PLAIN_ELEMENTS, PROMPT, KEEP, LENGTH, ASPECT, NO_SOUND),
        tiers=TWO,
        ignored=PLANS,
    ),
)
