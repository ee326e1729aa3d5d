"""Submits as forms, with as little in them as a vendor takes."""

from __future__ import annotations

from polyreel.providers.base.contract import Operation
from polyreel.providers.base.provider import Provider
from polyreel.simulator.ready_made import CLIP, content

from .pictures import picture

FormFields = dict[str, tuple[str | None, str | bytes]]


def shortest_form(provider: Provider, operation: Operation) -> FormFields:
    """What the first body of an operation demands: a file for each link, and a text."""
    body = operation.request_schemas[0]
    schema = provider.contract.schema(body)
    return {name: _shortest(provider, body, name) for name in schema.get("required", ())}


def _shortest(provider: Provider, body: str, name: str) -> tuple[str | None, str | bytes]:
    """A file of the kind that a link leads to, or a text."""
    if not name.endswith("_url"):
        return None, "a cat"
    media = (provider.contract.property(body, name) or {}).get("x-polyreel-media", {})
    if media.get("kind") == "video":
        return "first.mp4", content(CLIP, 1)
    return "first.png", picture()
