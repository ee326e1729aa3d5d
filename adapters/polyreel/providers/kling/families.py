"""What Kling's own API sells: families, the calls of each, and the forms of their bodies.

Facts as marked in specs/kling/.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import evolve

from .. import (
    BY_ID,
    Absent,
    Choice,
    Default,
    Field,
    Forced,
    GeneratedClient,
    Item,
    OneShotText,
    OwnId,
    Prompt,
    Route,
    Row,
    ShotSwitch,
    ShotText,
    Spells,
    TextField,
    TypedItems,
    cited_inputs,
)

CLIENT: Final = GeneratedClient("kling")
SWITCH: Final = "settings.multi_shot"
PLAIN: Final = Spells(shots=False, switch=SWITCH)
SPELLED: Final = Spells(shots=True, switch=SWITCH)
SHOTS: Final = ShotText(Prompt(BY_ID, cited_inputs))
"""Kling's pages write the shots into the prompt."""
PROMPT_OR_SHOTS: Final = Prompt(BY_ID, cited_inputs, replaced_by="shots")
TEXT_ITEM: Final = Item("prompt", {"type": "prompt"}, "text", Prompt(BY_ID, cited_inputs))
TEXT_ITEMS: Final = (
    evolve(TEXT_ITEM, codec=PROMPT_OR_SHOTS, where=PLAIN),
    evolve(TEXT_ITEM, shared="shots", codec=SHOTS, where=SPELLED),
)
FIRST_ITEM: Final = Item("first_frame", {"type": "first_frame"}, "url")
LAST_ITEM: Final = Item("last_frame", {"type": "last_frame"}, "url")
FRAMES: Final = (FIRST_ITEM, LAST_ITEM)
IMAGE_ITEM: Final = Item("reference_images", {"type": "refer_image"}, "url", name="image_{}")
ELEMENT_ITEM: Final = Item(
    "elements", {"type": "element"}, "element_id", OwnId(), name="element_{}"
)
FOLLOW_ITEM: Final = Item("reference_video", {"type": "feature_video"}, "url", name="video_{}")
EDIT_ITEM: Final = Item("source_video", {"type": "base_video"}, "url", name="video_{}")
# The items of a motion clip and its character take no id, so a text cannot cite them.
MOTION_TEXT: Final = Item(
    "prompt",
    {"type": "prompt"},
    "text",
    Prompt(
        BY_ID,
        lambda shared: {"element": len(shared.get("elements", ()))},
        nameless="Kling gives a motion clip no name, so that its mark stays text",
    ),
)
CHARACTER_ITEM: Final = Item("character_image", {"type": "image"}, "url")
MOTION_ITEM: Final = Item("motion_video", {"type": "video"}, "url")

PROMPT: Final = Field("prompt", "prompt")
TEXTS: Final = (
    TextField("prompt", "prompt", PROMPT_OR_SHOTS, where=PLAIN),
    TextField("shots", "prompt", SHOTS, where=SPELLED),
)
SOUND: Final = Field("audio", "settings.audio", Choice({True: "native", False: "off"}))
SILENT: Final = Field("audio", "settings.audio", Choice({False: "off"}))
KEEP: Final = Field("keep_source_audio", "settings.audio", Choice({True: "original", False: "off"}))
DURATION: Final = Field("duration", "settings.duration")
SIZE: Final = Field("resolution", "settings.resolution")
RATIO: Final = Field("aspect_ratio", "settings.aspect_ratio")
TURBO_TEXTS: Final = (
    TextField("prompt", "prompt", OneShotText(BY_ID, cited_inputs, replaced_by="shots")),
    TextField("shots", "prompt", SHOTS, where=Spells(shots=True)),
    Absent("shot_mode", reason="the text spells the shots: give `shots` alone"),
)
FRAME_RATIO: Final = Absent("aspect_ratio", reason="the clip has the ratio of its first frame")
ONE_SHOT: Final = Default(
    ShotSwitch.ONE,
    "Kling would make shots of its own, or of what the text spells like shots",
    unless="shots",
)
SHOT_MODE: Final = Field("shot_mode", SWITCH, ShotSwitch(), default=ONE_SHOT)
FOLLOWED_SHOTS: Final = Field(
    "shot_mode",
    SWITCH,
    ShotSwitch(),
    default=Default(
        ShotSwitch.ONE,
        f"{ONE_SHOT.reason}; the examples with a video to follow have several shots, and whether "
        "it takes one is not told",
        unless="shots",
    ),
)
NO_SHOTS: Final = Field(
    "shot_mode",
    SWITCH,
    ShotSwitch(table={}),
    default=ONE_SHOT,
    note="an edited video has no shots",
)
NO_SWITCH: Final = Absent("shot_mode", reason="the model has no shots that can be switched on")
MUTE: Final = Forced("audio", value=False, reason="no sound is documented for the model: inferred")
LOUD: Final = Forced("audio", value=True, reason="the model always makes sound: inferred")
VIDEOS_SOUND: Final = Forced(
    "audio", value=False, reason="the clip has the sound of its video, or none"
)
NO_KEEPING: Final = Forced(
    "keep_source_audio", value=False, reason="beside a video to follow, sound is off"
)
FULL_SIZE: Final = Field(
    "resolution",
    "settings.resolution",
    default=Default("1080p", "a last frame is taken at 1080p only", when="last_frame"),
)
ORIENTATION: Final = Field(
    "character_orientation",
    "settings.character_orientation",
    default=Default(
        "video",
        "the field is demanded; video takes motion clips of up to 30 s, image of up to 10 s",
    ),
)
EVERYWHERE: Final = (
    Field("watermark", "options.watermark_info.enabled"),
    Field("callback_url", "options.callback_url"),
    Absent("negative_prompt", reason="Kling's newer calls have none: say it in the prompt"),
)
OWN_ID: Final = {"options.external_task_id": "polyreel's own id of the job"}


def contents(*items: Item, texts: tuple[Item, ...] = (TEXT_ITEM,)) -> TypedItems:
    """The row of the inputs, the text first."""
    return TypedItems("contents", (*texts, *items))


def motion(*items: Item) -> tuple[Row, ...]:
    """The rows of motion control."""
    inputs = contents(CHARACTER_ITEM, MOTION_ITEM, *items, texts=(MOTION_TEXT,))
    return (inputs, KEEP, VIDEOS_SOUND, SIZE, ORIENTATION)


def route(
    family: str,
    workflow: str,
    operation: str,
    body: str,
    *rows: Row,
    ignored: Mapping[str, str] = MappingProxyType({}),
) -> Route:
    """What is sold with one call."""
    call, form, every = CLIENT.operation(operation), CLIENT.body(body), (*rows, *EVERYWHERE)
    return Route(family, workflow, call, form, every, {**OWN_ID, **ignored})


def omni(family: str, operation: str, form: str, sound: Field, *shots: Field) -> tuple[Route, ...]:
    """The five workflows of an omni model, each with a form of its own."""
    switch, followed, single = shots or (NO_SWITCH, NO_SWITCH, NO_SWITCH)
    last, texts = ((LAST_ITEM,), TEXT_ITEMS) if shots else ((), (TEXT_ITEM,))
    # Omni's page has sound off beside a video to follow; that of O1 says nothing of the kind.
    followed_sound = (SILENT, NO_KEEPING) if shots else (KEEP, VIDEOS_SOUND)
    each: tuple[tuple[str, str, tuple[Row, ...]], ...] = (
        ("text-to-video", "Text", (contents(ELEMENT_ITEM, texts=texts), sound, switch)),
        (
            "image-to-video",
            "Frames",
            (contents(*FRAMES, ELEMENT_ITEM, texts=texts), sound, switch),
        ),
        (
            "reference-to-video",
            "References",
            (contents(FIRST_ITEM, *last, IMAGE_ITEM, ELEMENT_ITEM, texts=texts), sound, switch),
        ),
        (
            "reference-video",
            "Follow",
            (
                contents(FOLLOW_ITEM, FIRST_ITEM, *last, IMAGE_ITEM, ELEMENT_ITEM, texts=texts),
                *(*followed_sound, followed),
            ),
        ),
        (
            "edit-video",
            "Edit",
            (contents(EDIT_ITEM, IMAGE_ITEM, ELEMENT_ITEM), KEEP, VIDEOS_SOUND, single),
        ),
    )
    return tuple(
        route(family, workflow, operation, f"{form}{name}", *rows, DURATION, RATIO, SIZE)
        for workflow, name, rows in each
    )


SOLD: Final = (
    *omni("kling-o3", "createOmniVideoV3", "KlingOmni", SOUND, SHOT_MODE, FOLLOWED_SHOTS, NO_SHOTS),
    route(
        *("kling-v3", "text-to-video", "createTextToVideoV3", "KlingV3Text"),
        *(*TEXTS, SOUND, SHOT_MODE, DURATION, RATIO, SIZE),
    ),
    route(
        *("kling-v3", "image-to-video", "createImageToVideoV3", "KlingV3Frames"),
        *(contents(*FRAMES, ELEMENT_ITEM, texts=TEXT_ITEMS), SOUND, SHOT_MODE),
        *(DURATION, FRAME_RATIO, SIZE),
    ),
    route(
        *("kling-v3", "motion-control", "createMotionControlV3", "KlingV3Motion"),
        *motion(ELEMENT_ITEM),
    ),
    route(
        *("kling-v3-turbo", "text-to-video", "createTextToVideoV3Turbo", "KlingV3TurboText"),
        *(*TURBO_TEXTS, LOUD, DURATION, RATIO, SIZE),
    ),
    route(
        *("kling-v3-turbo", "image-to-video", "createImageToVideoV3Turbo", "KlingV3TurboFrames"),
        *(contents(FIRST_ITEM), LOUD, NO_SWITCH, DURATION, FRAME_RATIO, SIZE),
    ),
    *omni("kling-o1", "createOmniVideoO1", "KlingO1", SILENT),
    route(
        *("kling-v2.6", "text-to-video", "createTextToVideoV26", "KlingV26Text"),
        *(PROMPT, SOUND, NO_SWITCH, DURATION, RATIO, SIZE),
    ),
    route(
        *("kling-v2.6", "image-to-video", "createImageToVideoV26", "KlingV26Frames"),
        *(contents(*FRAMES), SOUND, NO_SWITCH, DURATION, FRAME_RATIO, FULL_SIZE),
    ),
    route(
        *("kling-v2.6", "motion-control", "createMotionControlV26", "KlingV26Motion"),
        *motion(),
    ),
    route(
        *("kling-v2.5-turbo", "text-to-video", "createTextToVideoV25Turbo", "KlingV25TurboText"),
        *(PROMPT, MUTE, NO_SWITCH, DURATION, RATIO, SIZE),
    ),
    route(
        *("kling-v2.5-turbo", "image-to-video", "createImageToVideoV25Turbo"),
        *("KlingV25TurboFrames", contents(*FRAMES)),
        *(MUTE, NO_SWITCH, DURATION, FRAME_RATIO, FULL_SIZE),
    ),
)
"""What is sold: model families, the ones that do most first."""
