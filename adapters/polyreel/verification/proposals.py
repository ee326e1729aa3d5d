"""Proposes patches of a spec: the smallest change that would let it say what was seen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..places import JsonObject, Pointer, find, followed, written
from .members import kind_of
from .patches import Patch
from .redaction import Redactor
from .violations import LocatedViolation

DEEPEST: Final = 12
SIZES: Final = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
WIDENED: Final = ("minimum", "maximum", *SIZES)
UNCHANGED: Final[Patch] = ()


def inferred(value: Any, redactor: Redactor, depth: int = 0) -> JsonObject:
    """A schema for a value; it repeats nothing of it but the names of members."""
    kind = kind_of(value)
    if (
        isinstance(value, dict)
        and value
        and depth < DEEPEST
        and all(redactor.is_clean(name) for name in value)
    ):
        properties = {name: inferred(item, redactor, depth + 1) for name, item in value.items()}
        return {"type": kind, "properties": properties}
    if isinstance(value, list) and value and depth < DEEPEST:
        return {
            "type": kind,
            "items": merged([inferred(item, redactor, depth + 1) for item in value]),
        }
    return {"type": kind}


def merged(schemas: Sequence[JsonObject]) -> JsonObject:
    """One inferred schema for values of several."""
    unique = list({json.dumps(one, sort_keys=True): one for one in schemas}.values())
    objects = [one for one in unique if one.get("type") == "object"]
    if len(objects) > 1:
        names = dict.fromkeys(name for one in objects for name in one.get("properties", {}))
        having = {
            name: [o["properties"][name] for o in objects if name in o.get("properties", {})]
            for name in names
        }
        whole: JsonObject = {
            "type": "object",
            "properties": {name: merged(found) for name, found in having.items()},
        }
        unique = [one for one in unique if one.get("type") != "object"] + [whole]
    return unique[0] if len(unique) == 1 else {"anyOf": unique}


def add(pointer: Sequence[str | int], value: Any) -> JsonObject:
    """One operation that adds."""
    return {"op": "add", "path": written(pointer), "value": value}


def _replace(pointer: Sequence[str | int], value: Any) -> JsonObject:
    return {"op": "replace", "path": written(pointer), "value": value}


def _remove(pointer: Sequence[str | int]) -> JsonObject:
    return {"op": "remove", "path": written(pointer)}


def listed(document: JsonObject, pointer: Pointer, word: str, value: Any) -> Patch:
    """Add a value to a list below a place, such as `examples`, where it may be the first."""
    known = find(document, (*pointer, word))
    return (
        (add((*pointer, word, "-"), value),)
        if isinstance(known, list)
        else (add((*pointer, word), [value]),)
    )


def member(
    document: JsonObject, schema: Pointer, name: str, value: Any, redactor: Redactor
) -> Patch:
    """Name a member in an object's schema."""
    if not redactor.is_clean(name):
        return UNCHANGED
    here = followed(document, schema)
    return (add((*here, "properties", name), inferred(value, redactor)),)


def for_violation(
    document: JsonObject, misfit: LocatedViolation, actual: Any, redactor: Redactor
) -> Patch:
    """Let a schema take a value that breaks one of its rules; nothing where that would show a secret."""
    pointer, word = misfit.pointer, misfit.pointer[-1]
    node = find(document, pointer)
    if word == "required" and isinstance(node, list):
        return _not_required(pointer, node, misfit.facts)
    if word == "type":
        return _typed(document, pointer, node, actual)
    if word in {"enum", "const"}:
        return _allowed(document, pointer, node, actual, redactor)
    if word in WIDENED:
        return (_replace(pointer, len(actual) if word in SIZES else actual),)
    if word == "anyOf":
        return (add((*pointer, "-"), inferred(actual, redactor)),)
    if word == "oneOf":
        return _chosen(document, pointer, actual, misfit, redactor)
    if misfit.kind == "at_most":
        return (_replace((*pointer, "at_most"), _number(misfit.message)),)
    return (_remove(pointer),) if node is not None and len(pointer) > 2 else UNCHANGED


def _not_required(pointer: Pointer, node: list[Any], facts: Mapping[str, Any]) -> Patch:
    name = facts.get("property")
    if name not in node:
        return UNCHANGED
    at = (*pointer, str(node.index(name)))
    return ({"op": "test", "path": written(at), "value": name}, _remove(at))


def _typed(document: JsonObject, pointer: Pointer, node: Any, actual: Any) -> Patch:
    kinds = node if isinstance(node, list) else [node]
    kind = "number" if kind_of(actual) == "number" and "integer" in kinds else kind_of(actual)
    kept = [one for one in kinds if not (kind == "number" and one == "integer")]
    wider: Any = [*kept, kind] if kept else kind
    options = find(document, (*pointer[:-1], "enum"))
    if isinstance(options, list) and actual is None:
        return (_replace(pointer, wider), add((*pointer[:-1], "enum", "-"), None))
    return (_replace(pointer, wider),)


def _allowed(
    document: JsonObject, pointer: Pointer, node: Any, actual: Any, redactor: Redactor
) -> Patch:
    if not redactor.is_clean(actual):
        return UNCHANGED
    if pointer[-1] == "enum":
        return (add((*pointer, "-"), actual),)
    return (_remove(pointer), add((*pointer[:-1], "enum"), [node, actual]))


def _chosen(
    document: JsonObject,
    pointer: Pointer,
    actual: Any,
    misfit: LocatedViolation,
    redactor: Redactor,
) -> Patch:
    """Another option where none is right; where several are, any of them will do."""
    if "context" in misfit.facts and all(misfit.facts["context"]):
        return (add((*pointer, "-"), inferred(actual, redactor)),)
    return ({"op": "move", "from": written(pointer), "path": written((*pointer[:-1], "anyOf"))},)


def _number(message: str) -> int:
    """The count in the message of a rule."""
    return int(next(part for part in message.replace(",", " ").split() if part.isdigit()))
