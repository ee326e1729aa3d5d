"""EvoLink's families of Alibaba: Wan and HappyHorse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .. import (
    CHARACTER,
    NAMED,
    SAME,
    Absent,
    Alias,
    CannotExpressError,
    Constant,
    Field,
    Group,
    Only,
    Prompt,
    Route,
    Row,
    Single,
    Unless,
    cited_inputs,
)
from .common import (
    ASPECT,
    DURATION,
    KEEP,
    NEGATIVE,
    ONE_IMAGE,
    REFERENCES,
    SEED,
    SIZE,
    START,
    family,
)

# -- Wan -------------------------------------------------------------------------------------------

# Told of the reference model of Wan 2.7; that its siblings cite alike is inferred.
CITING: Final = Field("prompt", "prompt", Prompt(NAMED, cited_inputs))
ENHANCE: Final = Field("enhance_prompt", "prompt_extend")
SOUND: Final = Field("reference_audio", "audio_urls")
CLIPS: Final = Field("reference_videos", "video_urls")
NO_SHOTS: Final = (
    Absent("shots", reason="EvoLink's shot_type asks for several shots, and takes none"),
    Absent("shot_mode", reason="EvoLink's shot_type asks for several shots; use extra"),
)
SHOT_TYPE: Final = {"model_params.shot_type": "one shot or several; use extra"}
VOICES: Final = {
    "audio_urls": "the older spelling of voice_bindings",
    "model_params.voice_bindings": "a voice for each image or clip; use extra",
}


class Modes:
    """The frames of Wan 2.7's image-to-video, and `generation_mode`, the word for them."""

    homes: Final = {"first_frame": "image_start", "last_frame": "image_end"}
    words: Final = {1: "first_frame", 2: "first_last_frame"}

    def encode(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The frames, and their word."""
        if "first_frame" not in values:
            raise CannotExpressError("a last frame needs a first frame", leaves=("/last_frame",))
        frames = {self.homes[name]: values[name] for name in self.homes if name in values}
        return {**frames, "generation_mode": self.words[len(frames)]}

    def decode(self, natives: Mapping[str, Any]) -> Mapping[str, Any]:
        """The frames; ValueError where the word is not theirs."""
        found = {name: natives[place] for name, place in self.homes.items() if place in natives}
        if natives.get("generation_mode") not in {None, self.words.get(len(found))}:
            raise ValueError("the frames are not those of generation_mode")
        return found


MODES: Final = Group(
    tuple(Modes.homes), (*Modes.homes.values(), "generation_mode"), Modes(), homes=Modes.homes
)
CONTINUED: Final = "EvoLink continues a clip without frames and without a sound file"
CONTINUATION: Final[tuple[Row, ...]] = (
    Constant("generation_mode", "video_continuation", optional=True),
    Field("extend_video", "video_urls", Only()),
    *(Absent(name, reason=CONTINUED) for name in ("first_frame", "last_frame", "reference_audio")),
)
MADE: Final = (NEGATIVE, SIZE, SEED, ENHANCE)

WAN: Final = (
    *family(
        "wan-2.6",
        "wan2.6-text-to-video",
        "Wan26Text",
        *(Field("reference_audio", "audio_url", Single()), SIZE, DURATION, ASPECT, ENHANCE),
        *NO_SHOTS,
        workflows=("text-to-video",),
        ignored=SHOT_TYPE,
    ),
    *family(
        "wan-2.6",
        "wan2.6-image-to-video",
        "Wan26Image",
        *(ONE_IMAGE, Field("reference_audio", "audio_url", Single()), SIZE, DURATION, ENHANCE),
        *NO_SHOTS,
        workflows=("image-to-video",),
        ignored=SHOT_TYPE,
    ),
    *family(
        "wan-2.6",
        "wan2.6-reference-video",
        "Wan26Reference",
        *(CLIPS, SIZE, DURATION, ASPECT),
        *NO_SHOTS,
        workflows=("reference-to-video",),
        prompt=CITING,
        ignored=SHOT_TYPE,
    ),
    *family(
        "wan-2.7",
        "wan2.7-text-to-video",
        "Wan27Text",
        *(SOUND, *MADE, ASPECT, DURATION),
        workflows=("text-to-video",),
    ),
    *family(
        "wan-2.7",
        "wan2.7-image-to-video",
        "Wan27Image",
        *(MODES, SOUND, *MADE, DURATION),
        workflows=("image-to-video",),
        ignored={"video_urls": "a clip to continue: another workflow"},
    ),
    *family(
        "wan-2.7",
        "wan2.7-image-to-video",
        "Wan27Image",
        *(*CONTINUATION, *MADE, DURATION),
        workflows=("extend-video",),
        ignored=dict.fromkeys(("image_start", "image_end", "audio_urls"), CONTINUED),
    ),
    *family(
        "wan-2.7",
        "wan2.7-reference-video",
        "Wan27Reference",
        *(START, REFERENCES, CLIPS, *MADE, ASPECT, DURATION),
        workflows=("reference-to-video",),
        prompt=CITING,
        ignored=VOICES,
    ),
    *family(
        "wan-2.7",
        "wan2.7-video-edit",
        "Wan27Edit",
        *(Field("source_video", "video_urls", Only()), REFERENCES, KEEP, *MADE, ASPECT),
        Field("duration", "duration", Unless(0, "0 keeps the length of the source")),
        workflows=("edit-video",),
        prompt=CITING,
    ),
)

# -- HappyHorse ------------------------------------------------------------------------------------

CHARACTERS: Final = Field(
    "prompt",
    "prompt",
    Prompt(CHARACTER, cited_inputs),
    note="EvoLink demands that the prompt cites the images: @Image1, @Image2",
)
EDITED: Final = Field(
    "source_video",
    "video_urls",
    Only(),
    aliases=(Alias("video_url", SAME), Alias("video", SAME)),
)


def happyhorse(version: str, schema: str) -> tuple[Route, ...]:
    """The routes of a version of HappyHorse: each workflow has a model word of its own."""
    model, made = f"happyhorse-{version}", (SIZE, DURATION, SEED)
    return (
        *family(
            model,
            f"{model}-text-to-video",
            f"{schema}Text",
            *(*made, ASPECT),
            workflows=("text-to-video",),
        ),
        *family(
            model,
            f"{model}-image-to-video",
            f"{schema}Image",
            *(ONE_IMAGE, *made),
            workflows=("image-to-video",),
        ),
        *family(
            model,
            f"{model}-reference-to-video",
            f"{schema}Reference",
            *(REFERENCES, *made, ASPECT),
            workflows=("reference-to-video",),
            prompt=CHARACTERS,
        ),
    )


ALIBABA: Final = (
    *WAN,
    *happyhorse("1.0", "HappyHorse10"),
    *family(
        "happyhorse-1.0",
        "happyhorse-1.0-video-edit",
        "HappyHorse10Edit",
        *(EDITED, REFERENCES, KEEP, SIZE, SEED),
        workflows=("edit-video",),
    ),
    *happyhorse("1.1", "HappyHorse11"),
)
