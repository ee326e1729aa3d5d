"""Runway's generated client, and what the tables of all families share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from .. import (
    AT,
    Absent,
    Choice,
    Constant,
    Default,
    Field,
    Forced,
    GeneratedClient,
    Group,
    Item,
    Items,
    Names,
    Prompt,
    Route,
    Row,
    TypedItems,
)

CLIENT: Final = GeneratedClient("runway")
CALLS: Final = {
    "text": CLIENT.operation("createTextToVideo"),
    "image": CLIENT.operation("createImageToVideo"),
    "video": CLIENT.operation("createVideoToVideo"),
}
"""The paid calls, by what a clip is made from."""
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
EVERYWHERE: Final[tuple[Row, ...]] = (
    Forced("count", value=1, reason="that Runway makes one clip for each task is inferred"),
    Absent("callback_url", reason="Runway has no webhooks: ask for the task"),
)

FIRST: Final = Item("first_frame", {"position": "first"}, "uri")
LAST: Final = Item("last_frame", {"position": "last"}, "uri")
FIRST_FRAME: Final = TypedItems("promptImage", (FIRST,), alone="first_frame")
FRAMES: Final = TypedItems("promptImage", (FIRST, LAST), alone="first_frame")
ONE_IMAGE: Final = (
    Field("first_frame", "promptImage", note="that it is the first frame is inferred"),
    Absent("last_frame", reason="what the items of Runway's list hold here was not read"),
)
IMAGES: Final = Field("reference_images", "references", Items("uri"))
CLIPS: Final = Field("reference_videos", "referenceVideos", Items("uri", {"type": "video"}))
SOUNDS: Final = Field("reference_audio", "referenceAudio", Items("uri", {"type": "audio"}))
REFERENCES: Final = (IMAGES, CLIPS, SOUNDS)

TEXT: Final = Field("prompt", "promptText")
CITING: Final = Field(
    "prompt",
    "promptText",
    Prompt(
        AT,
        lambda shared: {},
        nameless="how a prompt cites inputs at Runway was not read, so that its mark stays text",
    ),
)
NEGATIVE: Final = Field("negative_prompt", "negativePrompt")
LENGTH: Final = Field("duration", "duration", note="Runway's types tell no range of it")
SOUND: Final = Field("audio", "audio")
SEED: Final = Field("seed", "seed", note="Runway's types tell no range of it")
SIZE: Final = Field("resolution", "resolution")
FRAMED: Final = Absent(
    "aspect_ratio",
    reason="Runway lists none; that the clip has the aspect ratio of its first frame is inferred",
)
AS_WIDE: Final = Absent(
    "aspect_ratio", reason="Runway lists none; that an edited clip keeps its frame is inferred"
)
AS_LONG: Final = Absent(
    "duration", reason="Runway lists none; that an edited clip is as long as its source is inferred"
)

DEMANDED: Final = "the field is demanded"
BOTH: Final = "one word says the size and the shape"
READ_OFF: Final = "the shape and the size are read off the pixels of Runway's words: inferred"


def pixels(
    sizes: Mapping[str, Mapping[str, str]], *, demanded: bool = False, shape: str | None = "16:9"
) -> Group:
    """The row of a size and a shape that one word in pixels says.

    `sizes` has the words by size and shape. Where a request has one of the two, the other is 720p,
    or `shape`; with None, the request has to say the shape.
    """
    table = {(size, ratio): word for size, words in sizes.items() for ratio, word in words.items()}
    reason = DEMANDED if demanded else BOTH
    defaults = {"resolution": Default("720p", reason, when=None if demanded else "aspect_ratio")}
    if shape is not None:
        when = None if demanded else "resolution"
        defaults["aspect_ratio"] = Default(shape, reason, when=when)
    fields = ("resolution", "aspect_ratio")
    return Group(fields, ("ratio",), Names("ratio", fields, table), defaults, note=READ_OFF)


AUTO_SIZES: Final = {"480p": "auto_480p", "720p": "auto_720p", "1080p": "auto_1080p"}


def only_auto(*sizes: str) -> tuple[Row, ...]:
    """The rows of a word that says a size, and leaves the shape to the inputs."""
    words = {size: AUTO_SIZES[size] for size in sizes}
    shape = Forced("aspect_ratio", value="auto", reason="Runway has no other word here")
    return (Field("resolution", "ratio", Choice(words)), shape)


def sold(
    model: str,
    word: str,
    kind: str,
    workflows: str | Sequence[str],
    schema: str,
    *rows: Row,
    ignored: Mapping[str, str] = NOTHING,
) -> tuple[Route, ...]:
    """The routes of a body: what Runway sells of a model under its own `word`."""
    every = (Constant("model", word, field="model"), *rows, *EVERYWHERE)
    names = [workflows] if isinstance(workflows, str) else workflows
    body = CLIENT.body(schema)
    return tuple(Route(model, name, CALLS[kind], body, every, ignored) for name in names)
