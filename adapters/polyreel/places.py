"""JSON values and the places in them: the JSON type, pointers, and reading and writing at a place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

# --- rows -----------------------------------------------------------------------------------------------------------

MISSING: Final = object()


def pointer(place: str) -> str:
    """The JSON pointer of a dotted native place."""
    return "/" + place.replace(".", "/")


def put(body: JsonObject, place: str, value: Any) -> None:
    """Set a value at a dotted place, making the objects on the way."""
    if "." not in place:
        body[place] = value
        return
    *parents, last = place.split(".")
    for parent in parents:
        body = body.setdefault(parent, {})
    body[last] = value


def get(body: Mapping[str, Any], place: str) -> Any:
    """The value at a dotted place, or a private marker where there is none."""
    if "." not in place:
        return body.get(place, MISSING)
    value: Any = body
    for name in place.split("."):
        if not isinstance(value, dict) or name not in value:
            return MISSING
        value = value[name]
    return value


def is_missing(value: Any) -> bool:
    """Whether `get` found nothing."""
    return value is MISSING


def leaves(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a JSON value with its pointer; empty objects and lists are leaves."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from leaves(item, f"{at}/{str(name).replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, f"{at}/{index}")
    else:
        yield at, value


def merge(body: JsonObject, extra: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Merge native extras into a body, objects member by member. Yields the pointers that were already taken;
    what stood there is kept.
    """
    for name, value in extra.items():
        place = f"{at}/{name}"
        if name not in body:
            body[name] = value
        elif isinstance(body[name], dict) and isinstance(value, dict):
            yield from merge(cast("JsonObject", body[name]), value, place)
        else:
            yield place


Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
"""Any JSON value, as one parameter takes it: look at its type before you look into it."""
JsonObject: TypeAlias = dict[str, Any]
"""A JSON object whose members are known from a contract, or are looked at one by one."""


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
