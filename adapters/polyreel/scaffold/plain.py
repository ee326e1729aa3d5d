"""Schemas as one object: with references followed, parts merged, and without `null` beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..places import JsonObject
from ..providers.base.contract import Contract


def schema_of(contract: Contract, place: Any) -> JsonObject:
    """A property's schema without the `null` beside it, and with its one part merged in."""
    node: JsonObject = dict(contract.resolve(place) or {})
    kinds = node.get("type")
    if isinstance(kinds, list) and "null" in kinds:
        left = [kind for kind in kinds if kind != "null"]
        node = {**node, "type": left[0] if len(left) == 1 else left}
    for key in ("anyOf", "oneOf", "allOf"):
        options = [contract.resolve(one) for one in node.get(key, ())]
        options = [one for one in options if one.get("type") != "null"]
        if len(options) == 1:
            return node | schema_of(contract, options[0])
    if "allOf" in node:
        return merged(contract, node)
    return node


def choices_of(contract: Contract, node: Any, depth: int = 0) -> Iterator[JsonObject]:
    """The schemas that a value of a property may have, one by one."""
    node = schema_of(contract, node)
    options = [*node.get("anyOf", ()), *node.get("oneOf", ())]
    if not options or depth > 3:
        yield node
    for option in options:
        yield from choices_of(contract, option, depth + 1)


def merged(contract: Contract, schema: JsonObject) -> JsonObject:
    """One object schema for an object schema and all parts of its `allOf`."""
    properties: JsonObject = {}
    required: list[str] = []
    own = {key: value for key, value in schema.items() if key != "allOf"}
    for part in [*schema.get("allOf", ()), own]:
        plain = contract.resolve(part)
        plain = merged(contract, plain) if "allOf" in plain else plain
        properties |= plain.get("properties", {})
        required += [name for name in plain.get("required", ()) if name not in required]
    kept = {key: own[key] for key in own if key not in {"properties", "required"}}
    whole = {**kept, "type": "object", "properties": properties}
    return {**whole, "required": required} if required else whole
