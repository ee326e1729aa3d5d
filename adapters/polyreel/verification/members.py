"""Walks a value along its schema: which members nobody has documented, and which schemas describe a place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from ..places import JsonObject, Pointer, find, followed
from .violations import fitting

Place = tuple[str | int, ...]
CHOICES: Final = ("anyOf", "oneOf")
ALL_DEPTHS: Final = 40
OTHER: Final = ("then", "else")


def kind_of(value: Any) -> str:
    """The JSON Schema type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    kinds = {float: "number", str: "string", list: "array", dict: "object"}
    return next(name for kind, name in kinds.items() if isinstance(value, kind))


def takes(schema: Any, kind: str) -> bool:
    """Whether a schema's own `type` takes a kind of values."""
    wanted = schema.get("type") if isinstance(schema, dict) else None
    options = [wanted] if isinstance(wanted, str) else wanted
    return (
        not isinstance(options, list)
        or kind in options
        or (kind == "integer" and "number" in options)
    )


def described(document: JsonObject, pointer: Pointer, value: Any, depth: int = 0) -> list[Pointer]:
    """The schemas that describe a value, with references and choices followed."""
    here = followed(document, pointer)
    node = find(document, here)
    if not isinstance(node, dict) or depth > ALL_DEPTHS:
        return []
    parts = [(*here, "allOf", str(index)) for index in range(len(node.get("allOf", ())))]
    parts += [(*here, word) for word in OTHER if isinstance(node.get(word), dict)]
    for word in CHOICES:
        parts += _chosen(
            document, [(*here, word, str(index)) for index in range(len(node.get(word, ())))], value
        )
    below = [found for part in parts for found in described(document, part, value, depth + 1)]
    own = not parts or "properties" in node or "items" in node
    return ([here] if own else []) + below


def _chosen(document: JsonObject, options: list[Pointer], value: Any) -> list[Pointer]:
    """The options of a choice that a value can be, by its type; of several, those it fits."""
    likely = [
        one for one in options if takes(find(document, followed(document, one)), kind_of(value))
    ]
    if len(likely) < 2:
        return likely
    return [one for one in likely if fitting(document, one, value)] or likely


def strays(
    document: JsonObject, pointers: Sequence[Pointer], value: Any, place: Place = ()
) -> Iterator[tuple[Place, Pointer]]:
    """Every member that no schema names, with the schema that could. Objects of unknown members have none."""
    schemas = [found for pointer in pointers for found in described(document, pointer, value)]
    if isinstance(value, list):
        items = [
            (*one, "items") for one in schemas if isinstance(find(document, (*one, "items")), dict)
        ]
        for index, item in enumerate(value):
            yield from strays(document, items, item, (*place, index))
    if not isinstance(value, dict):
        return
    named = [one for one in schemas if find(document, (*one, "properties"))]
    free = any(_is_free(find(document, one)) for one in schemas)
    for name, member in value.items():
        homes = [
            (*one, "properties", name)
            for one in named
            if name in find(document, (*one, "properties"))
        ]
        if homes:
            yield from strays(document, homes, member, (*place, name))
        elif named and not free:
            yield (*place, name), named[0]


def _is_free(node: Any) -> bool:
    """Whether a schema takes any member without naming one; `true` beside names is no more than a vendor's caution."""
    if not isinstance(node, dict):
        return True
    only_mentions = node.keys() & {"required", "not", "if"}
    return (not node.get("properties") and not only_mentions) or isinstance(
        node.get("additionalProperties"), dict
    )


def homes(document: JsonObject, pointer: Pointer, value: Any, place: Place) -> list[Pointer]:
    """The schemas that describe one place of a value."""
    schemas = described(document, pointer, value)
    for part in place:
        key: Any = part
        value = value[key]
        step = ("items",) if isinstance(part, int) else ("properties", part)
        below = [(*one, *step) for one in schemas if find(document, (*one, *step)) is not None]
        schemas = [found for one in below for found in described(document, one, value)]
    return schemas
