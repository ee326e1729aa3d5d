"""Kling's families on fal. The tier is a part of the path, and each workflow has its own body."""

from __future__ import annotations

from typing import Final

from attrs import evolve

from .. import AT, Absent, Default, Field, Group, Prompt, Row, ShotList, Subjects, cited_inputs
from .calls import ASPECT, NEGATIVE, PROMPT, SOUND, seconds, sold, sold_in_tiers, tier

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

# -- other families --------------------------------------------------------------------------------

V3: Final = "fal-ai/kling-video/v3/{}"
V26: Final = "fal-ai/kling-video/v2.6/{}"
V25: Final = "fal-ai/kling-video/v2.5-turbo/{}"
GUIDANCE: Final = Field("guidance_scale", "cfg_scale", note="fal's types tell no range of it")
START: Final = Field("first_frame", "start_image_url")
IMAGE: Final = Field("first_frame", "image_url")
END: Final = Field("last_frame", "end_image_url")
FIVE_OR_TEN: Final = seconds(5, 10)
ONLY_SHOTS: Final = Group(
    ("shots", "shot_mode"),
    PLACES[:1],
    ShotList(None, SHOT_SECONDS, PLACES[:1]),
    texts=SHOTS.texts,
)
VOICES: Final = {"voice_ids": "voices that a prompt cites have no shared word; use extra"}


def motion(*own: Row) -> tuple[Row, ...]:
    """The rows of motion control."""
    return (
        Field("character_image", "image_url"),
        Field("motion_video", "video_url"),
        *own,
        PROMPT,
        Field(
            "character_orientation",
            "character_orientation",
            default=Default("video", "the field is demanded; video follows the motion clip"),
        ),
        Field("keep_source_audio", "keep_original_sound"),
        Absent("duration", reason="fal lists none; that of the motion clip is inferred"),
        Absent("aspect_ratio", reason="fal lists none; that of the inputs is inferred"),
        NO_SOUND,
    )


KLING_V3: Final = (
    *sold_in_tiers(
        "kling-v3",
        "text-to-video",
        f"{V3}/text-to-video",
        "KlingV3Text",
        *made(ASPECT, NEGATIVE, GUIDANCE),
    ),
    *sold_in_tiers(
        "kling-v3",
        "image-to-video",
        f"{V3}/image-to-video",
        "KlingV3Image",
        *made(START, END, ELEMENTS, FRAMED, NEGATIVE, GUIDANCE),
    ),
    *sold_in_tiers(
        "kling-v3",
        "motion-control",
        f"{V3}/motion-control",
        "KlingV3Motion",
        *motion(PLAIN_ELEMENTS),
        tiers=TWO,
    ),
    *sold_in_tiers(
        "kling-v3-turbo",
        "text-to-video",
        f"{V3.format('turbo')}/{{}}/text-to-video",
        "KlingV3TurboText",
        *(ASPECT, ONLY_SHOTS, INSTEAD, LENGTH),
        tiers=TWO,
    ),
    *sold_in_tiers(
        "kling-v3-turbo",
        "image-to-video",
        f"{V3.format('turbo')}/{{}}/image-to-video",
        "KlingV3TurboImage",
        *(IMAGE, FRAMED, ONLY_SHOTS, INSTEAD, LENGTH),
        tiers=TWO,
    ),
)
KLING_V2: Final = (
    *sold(
        "kling-v2.6",
        "text-to-video",
        f"{V26.format('pro')}/text-to-video",
        "KlingV26Text",
        *(PROMPT, FIVE_OR_TEN, ASPECT, SOUND, NEGATIVE, GUIDANCE, tier("pro", only=True)),
    ),
    *sold(
        "kling-v2.6",
        "image-to-video",
        f"{V26.format('pro')}/image-to-video",
        "KlingV26Image",
        *(PROMPT, START, END, FIVE_OR_TEN, SOUND, NEGATIVE, FRAMED, tier("pro", only=True)),
        ignored=VOICES,
    ),
    *sold_in_tiers(
        "kling-v2.6",
        "motion-control",
        f"{V26}/motion-control",
        "KlingV26Motion",
        *motion(),
        tiers=TWO,
    ),
    *sold(
        "kling-v2.5-turbo",
        "text-to-video",
        f"{V25.format('pro')}/text-to-video",
        "KlingV25Text",
        *(PROMPT, FIVE_OR_TEN, ASPECT, NEGATIVE, GUIDANCE, tier("pro", only=True)),
    ),
    *sold(
        "kling-v2.5-turbo",
        "image-to-video",
        f"{V25.format('standard')}/image-to-video",
        "KlingV25Image",
        *(PROMPT, IMAGE, FIVE_OR_TEN, NEGATIVE, GUIDANCE, FRAMED, tier("standard")),
    ),
    *sold(
        "kling-v2.5-turbo",
        "image-to-video",
        f"{V25.format('pro')}/image-to-video",
        "KlingV25Frames",
        *(PROMPT, IMAGE, Field("last_frame", "tail_image_url"), FIVE_OR_TEN),
        *(NEGATIVE, GUIDANCE, FRAMED, tier("pro")),
    ),
)

O1_LENGTH: Final = seconds(*range(3, 11))
O1: Final[tuple[tuple[str, str, tuple[Row, ...]], ...]] = (
    ("image-to-video", "KlingO1Image", (PROMPT, START, END, O1_LENGTH, FRAMED)),
    (
        "reference-to-video",
        "KlingO1Reference",
        (PROMPT, REFERENCES, PLAIN_ELEMENTS, O1_LENGTH, ASPECT),
    ),
    (
        "video-to-video/edit",
        "KlingO1Edit",
        (
            Field("source_video", "video_url"),
            *(REFERENCES, PLAIN_ELEMENTS, PROMPT, KEEP, AS_LONG, AS_WIDE, NO_SOUND),
        ),
    ),
    (
        "video-to-video/reference",
        "KlingO1Video",
        (
            Field("reference_video", "video_url"),
            *(REFERENCES, PLAIN_ELEMENTS, PROMPT, KEEP, O1_LENGTH, ASPECT, NO_SOUND),
        ),
    ),
)
WORKFLOWS: Final = {
    "video-to-video/edit": "edit-video",
    "video-to-video/reference": "reference-video",
}
# The endpoints without a tier are taken for pro ones: inferred from those with standard.
KLING_O1: Final = tuple(
    route
    for action, schema, rows in O1
    for name, place in (("standard", "o1/standard"), ("pro", "o1"))
    for route in sold(
        "kling-o1",
        WORKFLOWS.get(action, action),
        f"fal-ai/kling-video/{place}/{action}",
        schema,
        *rows,
        tier(name),
    )
)
