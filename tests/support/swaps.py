"""Bodies of one vendor's clients that another vendor can serve."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

from polyreel.flows import Reply
from polyreel.places import JsonObject
from polyreel.plans.choosing import plan
from polyreel.plans.planning import Plan
from polyreel.plans.translation import translate
from polyreel.providers.base.calling import key_scheme_of
from polyreel.providers.base.provider import Provider

from .server import PROVIDERS, Answering, send

LINK: Final = "https://files.example.com"
INPUTS: Final[dict[str, JsonObject]] = {
    "text-to-video": {},
    "image-to-video": {"first_frame": f"{LINK}/cat.png"},
    "reference-to-video": {"reference_images": [f"{LINK}/cat.png"]},
    "edit-video": {"source_video": f"{LINK}/cat.mp4"},
    "reference-video": {"reference_video": f"{LINK}/cat.mp4"},
}
"""The plainest request for a workflow."""


class Swap(NamedTuple):
    """A family that two vendors sell: one of them is spoken to, and the other makes the clip."""

    face: Provider
    back: Provider
    made: Plan
    """What a client of the first one sends."""

    def __str__(self) -> str:
        return f"{self.face.id}-by-{self.back.id}-{self.made.model}"


@cache
def swaps() -> list[Swap]:
    """Every family that two vendors sell, in both directions, with a body that both take."""
    return [
        Swap(face, back, made)
        for face in PROVIDERS
        for back in PROVIDERS
        if face is not back
        for model in sorted({r.model for r in face.routes} & {r.model for r in back.routes})
        if (made := plan_for(face, back, model)) is not None
    ]


def plan_for(face: Provider, back: Provider, model: str) -> Plan | None:
    """What a client of a face sends for a family, and the vendor behind can make."""
    for workflow in dict.fromkeys(r.workflow for r in face.routes if r.model == model):
        fields = {"model": model, "prompt": "a cat", **INPUTS.get(workflow, {})}
        if workflow not in INPUTS:
            continue
        made = plan(fields, face)
        if made.refused or made.route is None:
            continue
        path = made.route.path.removeprefix("/")
        if not translate(made.body, face, back, source_model=path).refused:
            return made
    return None


def first_swap(face: Provider) -> Swap:
    """The first way in which a face is served by another vendor."""
    return next(one for one in swaps() if one.face is face)


def asked(
    stage: Answering,
    made: Plan,
    body: JsonObject | None = None,
    *,
    key: str | None = None,
    token: str | None = None,
    query: Mapping[str, str] | None = None,
) -> Reply:
    """Send a client's body to the face of its vendor; the answer is a documented one.

    `key` is the idempotency key of the call, `token` what the client sends as the vendor's key.
    """
    assert made.route is not None
    operation = made.operation
    path = operation.full_path.removesuffix(operation.path) + made.route.path
    content = made.body if body is None else body
    headers = {} if key is None else {"Idempotency-Key": key}
    if token is not None:
        headers |= key_scheme_of(made.provider.contract).headers(token)
    return send(stage, made.provider, operation, content, headers=headers, path=path, query=query)


def id_in(reply: Reply, face: Provider) -> str:
    """The id of an accepted job."""
    assert reply.ok, reply.content
    facts = face.read(reply).of_submit(face.reads)
    assert facts.status == "queued"
    assert facts.id is not None
    return facts.id


def with_prompt(made: Plan, text: str) -> JsonObject:
    """A client's body with another prompt."""
    body: JsonObject = json.loads(made.content.decode().replace("a cat", text))
    assert body != made.body
    return body
