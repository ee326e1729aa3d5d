"""JSON values and the places in them.

A place has a dotted name in the table of a route (`options.guidance`), a JSON Pointer in verdicts
and reports (`/shots/0/prompt`), and a `$ref` in a document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""Any JSON value, as a parameter takes it. Check for `dict` or `list` before you look into it."""
JsonObject: TypeAlias = dict[str, Any]
"""A JSON object whose members a contract describes, or that is read member by member."""

MISSING: Final = object()
"""What `get` returns where nothing stands."""


# -- dotted names ----------------------------------------------------------------------------------


def pointer(place: str) -> str:
    """The JSON Pointer of a dotted name."""
    return "/" + place.replace(".", "/")


def put(body: JsonObject, place: str, value: object) -> None:
    """Set the value at a dotted name. Objects on the way are made."""
    if "." not in place:
        body[place] = value
        return
    *parents, last = place.split(".")
    for parent in parents:
        body = body.setdefault(parent, {})
    body[last] = value


def get(body: Mapping[str, Any], place: str) -> Any:
    """The value at a dotted name, or `MISSING`."""
    if "." not in place:
        return body.get(place, MISSING)
    value: Any = body
    for name in place.split("."):
        if not isinstance(value, dict) or name not in value:
            return MISSING
        value = value[name]
    return value


def is_missing(value: object) -> bool:
    """Whether `get` found nothing."""
    return value is MISSING


# -- whole values ----------------------------------------------------------------------------------


def leaves(value: Json, at: str = "") -> Iterator[tuple[str, Any]]:
    """Each leaf of a JSON value with its JSON Pointer. Empty objects and empty lists are leaves."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from leaves(item, f"{at}/{str(name).replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, f"{at}/{index}")
    else:
        yield at, value


def merge(body: JsonObject, extra: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Add the members of `extra` to a body, object by object. A value that is there stays.

    Yields the JSON Pointer of each value of `extra` that found its place taken.
    """
    for name, value in extra.items():
        place = f"{at}/{name}"
        if name not in body:
            body[name] = value
        elif isinstance(body[name], dict) and isinstance(value, dict):
            yield from merge(body[name], value, place)
        else:
            yield place


# -- JSON Pointers and references ------------------------------------------------------------------

MOST_REFERENCES: Final = 50


Pointer = tuple[str, ...]


class PlaceError(ValueError):
    """A patch that does not fit the document."""


def written(parts: Iterable[str | int]) -> str:
    """A JSON Pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def parsed(pointer: str) -> Pointer:
    """The parts of a JSON Pointer."""
    if pointer and not pointer.startswith("/"):
        raise PlaceError("not a JSON Pointer")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def at(document: Any, parts: Sequence[str | int]) -> Any:
    """The value at a place; PatchError where there is none."""
    for part in parts:
        if isinstance(document, list) and str(part).isdecimal() and int(part) < len(document):
            document = document[int(part)]
        elif isinstance(document, dict) and part in document:
            document = document[part]
        else:
            raise PlaceError("no such place")
    return document


def find(document: Any, parts: Sequence[str | int]) -> Any:
    """The value at a place, or None."""
    try:
        return at(document, parts)
    except PlaceError:
        return None


def followed(document: JsonObject, parts: Sequence[str | int]) -> Pointer:
    """The place that a place refers to, in the end."""
    here = tuple(map(str, parts))
    for _ in range(MOST_REFERENCES):
        node = find(document, here)
        reference = node.get("$ref") if isinstance(node, dict) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return here
        here = parsed(reference[1:])
    return here
