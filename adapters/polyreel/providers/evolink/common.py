"""What EvoLink's families have in common: the paid call, and rows that many of them have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from .. import Constant, Field, GeneratedClient, Only, Route, Row

CLIENT: Final = GeneratedClient("evolink")
CREATE: Final = CLIENT.operation("createVideo")

TEXT: Final = Field("prompt", "prompt")
AUDIO: Final = Field("audio", "generate_audio")
DURATION: Final = Field("duration", "duration")
SIZE: Final = Field("resolution", "quality")
ASPECT: Final = Field("aspect_ratio", "aspect_ratio")
SEED: Final = Field("seed", "seed")
NEGATIVE: Final = Field("negative_prompt", "negative_prompt")
KEEP: Final = Field("keep_source_audio", "keep_original_sound")
START: Final = Field("first_frame", "image_start")
ONE_IMAGE: Final = Field("first_frame", "image_urls", Only())
REFERENCES: Final = Field("reference_images", "image_urls")
CALLBACK: Final = Field("callback_url", "callback_url")
TEXT_AND_IMAGE: Final = ("text-to-video", "image-to-video")


def family(
    model: str,
    word: str,
    schema: str,
    *rows: Row,
    workflows: Sequence[str],
    prompt: Field = TEXT,
    ignored: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Route, ...]:
    """The routes of the workflows that share one model word and one table.

    The prompt comes last: it cites the inputs.
    """
    body = CLIENT.body(schema)
    every = (Constant("model", word, field="model"), *rows, prompt, CALLBACK)
    return tuple(Route(model, workflow, CREATE, body, every, ignored) for workflow in workflows)
