"""fal's generated client, and what the tables of all families share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from .. import (
    AT,
    Choice,
    Field,
    Forced,
    GeneratedClient,
    JsonObject,
    Prompt,
    PublicUrl,
    Route,
    Row,
    cited_inputs,
)

CLIENT: Final = GeneratedClient("fal")
CREATE: Final = CLIENT.operation("submitJob")
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
CALLBACK: Final = Field("callback_url", "?fal_webhook", PublicUrl())
ONE: Final = Forced("count", value=1, reason="fal makes one clip for each job")
PROMPT: Final = Field("prompt", "prompt", Prompt(AT, cited_inputs))
TEXT: Final = Field("prompt", "prompt")
NEGATIVE: Final = Field("negative_prompt", "negative_prompt")
ASPECT: Final = Field("aspect_ratio", "aspect_ratio")
SIZE: Final = Field("resolution", "resolution")
SOUND: Final = Field("audio", "generate_audio")
SEED: Final = Field("seed", "seed")
TIERS: Final = {"standard": "720p", "pro": "1080p", "4k": "4k"}
"""The sizes of tiers that are a part of the path."""


def seconds(*values: int) -> Field:
    """A duration as text, one of a few."""
    return Field("duration", "duration", Choice({one: str(one) for one in values}))


def tier(name: str, *, only: bool = False) -> Forced:
    """The size of a tier: a part of the path, or the only one that there is."""
    size = TIERS[name]
    where = "the endpoint offers no other tier" if only else f"{name} is a part of the path"
    return Forced(
        "resolution",
        value=size,
        reason=f"{where}; that {name} is {size} is inferred",
        chosen=not only,
    )


def sold(
    model: str,
    workflows: str | Sequence[str],
    endpoint: str,
    schema: str,
    *rows: Row,
    ignored: Mapping[str, str] = NOTHING,
) -> tuple[Route, ...]:
    """The routes of one endpoint. Paths about a job have the first two parts of its id."""
    owner, app, *_ = endpoint.split("/")
    path: JsonObject = {"endpoint": endpoint, "owner": owner, "app": app}
    every: Any = (*rows, ONE, CALLBACK)
    names = [workflows] if isinstance(workflows, str) else workflows
    body = CLIENT.body(schema)
    return tuple(Route(model, name, CREATE, body, every, ignored, path) for name in names)


def sold_in_tiers(
    model: str,
    workflows: str | Sequence[str],
    endpoint: str,
    schema: str,
    *rows: Row,
    tiers: Sequence[str] = tuple(TIERS),
    ignored: Mapping[str, str] = NOTHING,
) -> tuple[Route, ...]:
    """The routes of endpoints that differ by the tier in the place of `{}`, and by nothing else."""
    return tuple(
        route
        for name in tiers
        for route in sold(
            model, workflows, endpoint.format(name), schema, *rows, tier(name), ignored=ignored
        )
    )
