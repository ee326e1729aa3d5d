"""Submits as forms, with as little in them as a vendor takes."""

from __future__ import annotations

from polyreel.providers.base.contract import Operation
from polyreel.providers.base.provider import Provider

from .pictures import picture

FormFields = dict[str, tuple[str | None, str | bytes]]


def shortest_form(provider: Provider, operation: Operation) -> FormFields:
    """What the first body of an operation demands: a picture for each link, and a text."""
    schema = provider.contract.schema(operation.request_schemas[0])
    return {
        name: ("first.png", picture()) if name.endswith("_url") else (None, "a cat")
        for name in schema.get("required", ())
    }
