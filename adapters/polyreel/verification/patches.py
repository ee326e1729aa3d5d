"""Patches of a spec (JSON Patch, RFC 6902)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..places import Json, JsonObject, PlaceError, Pointer, pointer_parts, value_at

Patch = tuple[JsonObject, ...]


def patched(document: JsonObject, patch: Iterable[Mapping[str, Any]]) -> JsonObject:
    """A copy of a document with a patch applied.

    PlaceError where the patch does not fit, or has an operation that polyreel does not use.
    """
    copy: JsonObject = json.loads(json.dumps(document))
    for operation in patch:
        _apply(copy, operation)
    return copy


def _apply(document: JsonObject, operation: Mapping[str, Any]) -> None:
    parts = pointer_parts(operation["path"])
    if not parts:
        raise PlaceError("the whole document is not patched")
    kind = operation["op"]
    if kind == "test":
        if value_at(document, parts) != operation["value"]:
            raise PlaceError("another value is there")
    elif kind == "remove":
        _remove(document, parts)
    elif kind == "replace":
        _remove(document, parts)
        _add(document, parts, operation["value"])
    elif kind == "add":
        _add(document, parts, operation["value"])
    elif kind == "move":
        _add(document, parts, _remove(document, pointer_parts(operation["from"])))
    else:
        raise PlaceError(f"no operation {kind}")


def _remove(document: JsonObject, parts: Pointer) -> Any:
    value, parent, last = value_at(document, parts), value_at(document, parts[:-1]), parts[-1]
    del parent[int(last) if isinstance(parent, list) else last]
    return value


def _add(document: JsonObject, parts: Pointer, value: Json) -> None:
    parent, last = value_at(document, parts[:-1]), parts[-1]
    value = json.loads(json.dumps(value))
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list) and (
        last == "-" or (last.isdecimal() and int(last) <= len(parent))
    ):
        parent.insert(len(parent) if last == "-" else int(last), value)
    else:
        raise PlaceError("no such place")
