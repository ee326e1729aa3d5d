"""Places in a spec: JSON Pointers (RFC 6901), followed through references, and patches of it (RFC 6902)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..places import JsonObject, PlaceError, Pointer, at, parsed

Patch = tuple[JsonObject, ...]


def patched(document: JsonObject, patch: Iterable[Mapping[str, Any]]) -> JsonObject:
    """A copy of a document with a patch applied; PatchError where it does not fit, or asks for what is not needed."""
    copy: JsonObject = json.loads(json.dumps(document))
    for operation in patch:
        _apply(copy, operation)
    return copy


def _apply(document: JsonObject, operation: Mapping[str, Any]) -> None:
    parts = parsed(operation["path"])
    if not parts:
        raise PlaceError("the whole document is not patched")
    kind = operation["op"]
    if kind == "test":
        if at(document, parts) != operation["value"]:
            raise PlaceError("another value is there")
    elif kind == "remove":
        _remove(document, parts)
    elif kind == "replace":
        _remove(document, parts)
        _add(document, parts, operation["value"])
    elif kind == "add":
        _add(document, parts, operation["value"])
    elif kind == "move":
        _add(document, parts, _remove(document, parsed(operation["from"])))
    else:
        raise PlaceError(f"no operation {kind}")


def _remove(document: JsonObject, parts: Pointer) -> Any:
    value, parent, last = at(document, parts), at(document, parts[:-1]), parts[-1]
    del parent[int(last) if isinstance(parent, list) else last]
    return value


def _add(document: JsonObject, parts: Pointer, value: Any) -> None:
    parent, last = at(document, parts[:-1]), parts[-1]
    value = json.loads(json.dumps(value))
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list) and (
        last == "-" or (last.isdecimal() and int(last) <= len(parent))
    ):
        parent.insert(len(parent) if last == "-" else int(last), value)
    else:
        raise PlaceError("no such place")
