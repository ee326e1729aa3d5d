"""Places in a spec: JSON Pointers (RFC 6901), followed through references, and patches of it (RFC 6902)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ..codecs import Json

MOST_REFERENCES: Final = 50
Pointer = tuple[str, ...]
Patch = tuple[Json, ...]


class PatchError(ValueError):
    """A patch that does not fit the document."""


def written(parts: Iterable[str | int]) -> str:
    """A JSON Pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def parsed(pointer: str) -> Pointer:
    """The parts of a JSON Pointer."""
    if pointer and not pointer.startswith("/"):
        raise PatchError("not a JSON Pointer")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def at(document: Any, parts: Sequence[str | int]) -> Any:
    """The value at a place; PatchError where there is none."""
    for part in parts:
        if isinstance(document, list) and str(part).isdecimal() and int(part) < len(document):
            document = document[int(part)]
        elif isinstance(document, dict) and part in document:
            document = document[part]
        else:
            raise PatchError("no such place")
    return document


def find(document: Any, parts: Sequence[str | int]) -> Any:
    """The value at a place, or None."""
    try:
        return at(document, parts)
    except PatchError:
        return None


def followed(document: Json, parts: Sequence[str | int]) -> Pointer:
    """The place that a place refers to, in the end."""
    here = tuple(map(str, parts))
    for _ in range(MOST_REFERENCES):
        node = find(document, here)
        reference = node.get("$ref") if isinstance(node, dict) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return here
        here = parsed(reference[1:])
    return here


def patched(document: Json, patch: Iterable[Mapping[str, Any]]) -> Json:
    """A copy of a document with a patch applied; PatchError where it does not fit, or asks for what is not needed."""
    copy: Json = json.loads(json.dumps(document))
    for operation in patch:
        _apply(copy, operation)
    return copy


def _apply(document: Json, operation: Mapping[str, Any]) -> None:
    parts = parsed(operation["path"])
    if not parts:
        raise PatchError("the whole document is not patched")
    kind = operation["op"]
    if kind == "test":
        if at(document, parts) != operation["value"]:
            raise PatchError("another value is there")
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
        raise PatchError(f"no operation {kind}")


def _remove(document: Json, parts: Pointer) -> Any:
    value, parent, last = at(document, parts), at(document, parts[:-1]), parts[-1]
    del parent[int(last) if isinstance(parent, list) else last]
    return value


def _add(document: Json, parts: Pointer, value: Any) -> None:
    parent, last = at(document, parts[:-1]), parts[-1]
    value = json.loads(json.dumps(value))
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list) and (last == "-" or (last.isdecimal() and int(last) <= len(parent))):
        parent.insert(len(parent) if last == "-" else int(last), value)
    else:
        raise PatchError("no such place")
