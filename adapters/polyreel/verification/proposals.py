"""Proposes patches of a spec: the smallest change by which the spec allows what was seen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..places import Json, JsonObject, Pointer, find_value, follow_references, pointer_text
from .members import json_type
from .patches import Patch
from .redaction import Redactor
from .violations import LocatedViolation

MOST_DEPTH: Final = 12
SIZES: Final = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
WIDENED: Final = ("minimum", "maximum", *SIZES)
UNCHANGED: Final[Patch] = ()


# -- schemas ---------------------------------------------------------------------------------------


def inferred_schema(value: Json, redactor: Redactor, depth: int = 0) -> JsonObject:
    """A schema for a value; of the value it repeats only the names of members."""
    kind = json_type(value)
    if depth >= MOST_DEPTH or not value:
        return {"type": kind}
    if isinstance(value, dict) and all(redactor.is_clean(name) for name in value):
        members = {name: inferred_schema(item, redactor, depth + 1) for name, item in value.items()}
        return {"type": kind, "properties": members}
    if isinstance(value, list):
        items = [inferred_schema(item, redactor, depth + 1) for item in value]
        return {"type": kind, "items": _merged(items)}
    return {"type": kind}


def _merged(schemas: Sequence[JsonObject]) -> JsonObject:
    """One inferred schema for the values of several."""
    unique = list({json.dumps(one, sort_keys=True): one for one in schemas}.values())
    objects = [one for one in unique if one.get("type") == "object"]
    if len(objects) > 1:
        others = [one for one in unique if one.get("type") != "object"]
        unique = [*others, _merged_objects(objects)]
    return unique[0] if len(unique) == 1 else {"anyOf": unique}


def _merged_objects(objects: Sequence[JsonObject]) -> JsonObject:
    members: dict[str, list[JsonObject]] = {}
    for one in objects:
        for name, schema in one.get("properties", {}).items():
            members.setdefault(name, []).append(schema)
    merged = {name: _merged(schemas) for name, schemas in members.items()}
    return {"type": "object", "properties": merged}


# -- steps of patches ------------------------------------------------------------------------------


def add(pointer: Sequence[str | int], value: Json) -> JsonObject:
    """A step that adds a value."""
    return {"op": "add", "path": pointer_text(pointer), "value": value}


def replace(pointer: Sequence[str | int], value: Json) -> JsonObject:
    """A step that replaces a value."""
    return {"op": "replace", "path": pointer_text(pointer), "value": value}


def _remove(pointer: Sequence[str | int]) -> JsonObject:
    return {"op": "remove", "path": pointer_text(pointer)}


def add_to_list(document: JsonObject, pointer: Pointer, word: str, value: Json) -> Patch:
    """Add a value to a list below a place, such as `examples`; make the list if there is none."""
    if isinstance(find_value(document, (*pointer, word)), list):
        return (add((*pointer, word, "-"), value),)
    return (add((*pointer, word), [value]),)


def name_member(
    document: JsonObject, schema: Pointer, name: str, value: Json, redactor: Redactor
) -> Patch:
    """Name a member in an object's schema; nothing where its name holds a secret."""
    if not redactor.is_clean(name):
        return UNCHANGED
    here = follow_references(document, schema)
    return (add((*here, "properties", name), inferred_schema(value, redactor)),)


# -- patches for violations ------------------------------------------------------------------------


def patch_for(
    document: JsonObject, violation: LocatedViolation, actual: Any, redactor: Redactor
) -> Patch:
    """Let a schema take a value that breaks one of its rules; nothing where that shows a secret."""
    pointer, word = violation.pointer, violation.pointer[-1]
    node = find_value(document, pointer)
    if word == "required" and isinstance(node, list):
        return _not_required(pointer, node, violation.facts)
    if word == "type":
        return _other_type(document, pointer, node, actual)
    if word in {"enum", "const"}:
        return _another_value(pointer, node, actual, redactor)
    if word in WIDENED:
        return (replace(pointer, len(actual) if word in SIZES else actual),)
    if word == "anyOf":
        return (add((*pointer, "-"), inferred_schema(actual, redactor)),)
    if word == "oneOf":
        return _another_option(pointer, actual, violation, redactor)
    if violation.kind == "at_most":
        return (replace((*pointer, "at_most"), _count_in(violation.message)),)
    return (_remove(pointer),) if node is not None and len(pointer) > 2 else UNCHANGED


def _not_required(pointer: Pointer, names: list[Any], facts: Mapping[str, Any]) -> Patch:
    name = facts.get("property")
    if name not in names:
        return UNCHANGED
    place = (*pointer, str(names.index(name)))
    return ({"op": "test", "path": pointer_text(place), "value": name}, _remove(place))


def _other_type(document: JsonObject, pointer: Pointer, node: Json, actual: Json) -> Patch:
    kinds = node if isinstance(node, list) else [node]
    kind = "number" if json_type(actual) == "number" and "integer" in kinds else json_type(actual)
    kept = [one for one in kinds if not (kind == "number" and one == "integer")]
    wider: Json = [*kept, kind] if kept else kind
    options = find_value(document, (*pointer[:-1], "enum"))
    if isinstance(options, list) and actual is None:
        return (replace(pointer, wider), add((*pointer[:-1], "enum", "-"), None))
    return (replace(pointer, wider),)


def _another_value(pointer: Pointer, node: Json, actual: Json, redactor: Redactor) -> Patch:
    if not redactor.is_clean(actual):
        return UNCHANGED
    if pointer[-1] == "enum":
        return (add((*pointer, "-"), actual),)
    return (_remove(pointer), add((*pointer[:-1], "enum"), [node, actual]))


def _another_option(
    pointer: Pointer, actual: Json, violation: LocatedViolation, redactor: Redactor
) -> Patch:
    """One more option where the value fits none; `anyOf` where it fits several."""
    if "context" in violation.facts and all(violation.facts["context"]):
        return (add((*pointer, "-"), inferred_schema(actual, redactor)),)
    target = pointer_text((*pointer[:-1], "anyOf"))
    return ({"op": "move", "from": pointer_text(pointer), "path": target},)


def _count_in(message: str) -> int:
    """The count in the message of a rule."""
    return int(next(part for part in message.replace(",", " ").split() if part.isdigit()))
