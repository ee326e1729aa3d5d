"""Walks a value along its schema.

It finds the members that are not documented, and the schemas that describe a place of the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from ..places import Json, JsonObject, Place, Pointer, find_value, follow_references
from .violations import is_valid

CHOICES: Final = ("anyOf", "oneOf")
CONDITIONAL: Final = ("then", "else")
MOST_DEPTH: Final = 40


def json_type(value: Json) -> str:
    """The JSON Schema type of a value; a float without a fraction is an `integer`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    names = {float: "number", str: "string", list: "array", dict: "object"}
    return next(name for kind, name in names.items() if isinstance(value, kind))


def _takes_type(schema: Json, name: str) -> bool:
    """Whether a schema's own `type` takes values of a JSON Schema type."""
    wanted = schema.get("type") if isinstance(schema, dict) else None
    options = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(options, list):
        return True
    return name in options or (name == "integer" and "number" in options)


def describing_schemas(
    document: JsonObject, pointer: Pointer, value: Json, depth: int = 0
) -> list[Pointer]:
    """The places of all schemas that describe a value, with references and choices followed."""
    here = follow_references(document, pointer)
    node = find_value(document, here)
    if not isinstance(node, dict) or depth > MOST_DEPTH:
        return []
    parts = _places_of_list(here, node, "allOf")
    parts += [(*here, word) for word in CONDITIONAL if isinstance(node.get(word), dict)]
    for word in CHOICES:
        parts += _chosen(document, _places_of_list(here, node, word), value)
    below = [
        found for part in parts for found in describing_schemas(document, part, value, depth + 1)
    ]
    own = not parts or "properties" in node or "items" in node
    return ([here] if own else []) + below


def _places_of_list(here: Pointer, node: JsonObject, word: str) -> list[Pointer]:
    return [(*here, word, str(index)) for index in range(len(node.get(word, ())))]


def _chosen(document: JsonObject, options: list[Pointer], value: Json) -> list[Pointer]:
    """The options of a choice whose type a value has; of several, those that the value fits."""
    name = json_type(value)
    likely = [
        one
        for one in options
        if _takes_type(find_value(document, follow_references(document, one)), name)
    ]
    if len(likely) < 2:
        return likely
    return [one for one in likely if is_valid(document, one, value)] or likely


def undocumented_members(
    document: JsonObject, pointers: Sequence[Pointer], value: Json, place: Place = ()
) -> Iterator[tuple[Place, Pointer]]:
    """Every member that no schema names, with the place of a schema that could name it.

    Objects that take any member (`additionalProperties` with a schema) have no such members.
    """
    schemas = [one for pointer in pointers for one in describing_schemas(document, pointer, value)]
    if isinstance(value, list):
        items = [
            (*one, "items")
            for one in schemas
            if isinstance(find_value(document, (*one, "items")), dict)
        ]
        for index, item in enumerate(value):
            yield from undocumented_members(document, items, item, (*place, index))
    elif isinstance(value, dict):
        yield from _undocumented_of_object(document, schemas, value, place)


def _undocumented_of_object(
    document: JsonObject, schemas: list[Pointer], value: dict[str, Json], place: Place
) -> Iterator[tuple[Place, Pointer]]:
    named = [one for one in schemas if find_value(document, (*one, "properties"))]
    free = any(_takes_any_member(find_value(document, one)) for one in schemas)
    for name, member in value.items():
        naming = [
            (*one, "properties", name)
            for one in named
            if name in find_value(document, (*one, "properties"))
        ]
        if naming:
            yield from undocumented_members(document, naming, member, (*place, name))
        elif named and not free:
            yield (*place, name), named[0]


def _takes_any_member(node: Json) -> bool:
    """Whether a schema takes any member without naming one.

    `additionalProperties: true` beside named members does not count: vendors write it as a caution.
    """
    if not isinstance(node, dict):
        return True
    only_mentions = node.keys() & {"required", "not", "if"}
    is_empty = not node.get("properties") and not only_mentions
    return is_empty or isinstance(node.get("additionalProperties"), dict)


def schemas_of_place(
    document: JsonObject, pointer: Pointer, value: Json, place: Place
) -> list[Pointer]:
    """The places of the schemas that describe one place of a value."""
    schemas = describing_schemas(document, pointer, value)
    here: Any = value
    for part in place:
        is_list = isinstance(here, list)
        here = here[int(part)] if is_list else here[part]
        step = ("items",) if is_list else ("properties", part)
        below = [
            (*one, *step) for one in schemas if find_value(document, (*one, *step)) is not None
        ]
        schemas = [found for one in below for found in describing_schemas(document, one, here)]
    return schemas
