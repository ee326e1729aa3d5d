"""JSON values and the places in them.

A place has a dotted name in the table of a route (`options.guidance`, or `data.0.id` for the first
item of a list), a JSON Pointer in verdicts and reports (`/shots/0/prompt`), and a `$ref` in a
document.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

from .depth import json_is_deep

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
    node: Any = body
    *parents, last = place.split(".")
    for parent in parents:
        if isinstance(node, dict) and node.get(parent) is None:
            node[parent] = {}
        node = node[int(parent) if isinstance(node, list) else parent]
    node[int(last) if isinstance(node, list) else last] = value


def get(body: Mapping[str, Any], place: str) -> Any:
    """The value at a dotted name, or `MISSING`."""
    if "." not in place:
        return body.get(place, MISSING)
    value: Any = body
    for name in _names(place):
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return MISSING
    return value


@lru_cache(maxsize=4096)
def _names(place: str) -> tuple[str, ...]:
    return tuple(place.split("."))


def is_missing(value: object) -> bool:
    """Whether `get` found nothing."""
    return value is MISSING


# -- JSON from outside -----------------------------------------------------------------------------

MAX_JSON_DEPTH: Final = 64
"""The deepest answer of a vendor that is read."""
BLANKS: Final = " \t\n\r"
"""What may stand around JSON."""


def read_json(content: bytes) -> Any:
    """JSON in any of its encodings, as it can be written again. ValueError where it is none.

    Numbers that JSON cannot hold are null, and half a character is a question mark.
    """
    plain = content[:2].isascii() and b"\0" not in content[:2]  # no other encoding begins so
    text = content.decode("utf-8" if plain else json.detect_encoding(content), "surrogatepass")
    if json_is_deep(text, MAX_JSON_DEPTH):
        raise ValueError("nested too deeply")
    value = _decoded(text.removeprefix("\ufeff"))
    # ASCII needs one pass only.
    return value if text.isascii() and "\\u" not in text else _without_surrogates(value)


def _integer(text: str) -> int | float | None:
    # Python refuses to read integers of thousands of digits, and floats cannot hold hundreds.
    return int(text) if len(text) <= 20 else _finite(text)


def _finite(text: str) -> float | None:
    return number if math.isfinite(number := float(text)) else None


_DECODER: Final = json.JSONDecoder(
    parse_int=_integer, parse_float=_finite, parse_constant=lambda _: None
)


def _decoded(text: str) -> Any:
    if text.startswith("{"):  # quicker, as no blanks before it are looked for
        value, end = _DECODER.raw_decode(text)
        if not text[end:].strip(BLANKS):
            return value
    return _DECODER.decode(text)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(item) for k, item in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


# -- whole values ----------------------------------------------------------------------------------

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_MADE_IN_C: Final = getattr(json.encoder, "c_make_encoder", None)
_PIECES: Final = _MADE_IN_C and _MADE_IN_C(
    None, _ENCODER.default, json.encoder.encode_basestring, None, ":", ",", False, False, False
)
"""What the encoder makes anew for each text, which takes as long as most bodies; CPython has it."""


def json_text(value: Json) -> str:
    """A JSON value as text: compact, and its members in their order."""
    if _PIECES is None or type(value) is str:
        return _ENCODER.encode(value)
    return "".join(_PIECES(value, 0))


def json_bytes(value: Json) -> bytes:
    """The text of a JSON value as bytes."""
    return json_text(value).encode()


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


# -- JSON Pointers (RFC 6901) and references -------------------------------------------------------

Pointer: TypeAlias = tuple[str, ...]
"""The parts of a JSON Pointer, unescaped."""
Place: TypeAlias = tuple[str | int, ...]
"""A place in a JSON value: names of members, and numbers of items from 0."""

MOST_REFERENCES: Final = 50
"""How many references are followed one after the other: a circle of them has no end."""


class PlaceError(ValueError):
    """A document has no such place, or a pointer or a patch does not fit it."""


def pointer_text(parts: Iterable[str | int]) -> str:
    """The JSON Pointer of these parts, as text."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def pointer_parts(text: str) -> Pointer:
    """The parts of a JSON Pointer; PlaceError where the text is none."""
    if text and not text.startswith("/"):
        raise PlaceError("not a JSON Pointer")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


def value_at(document: Json, parts: Iterable[str | int]) -> Any:
    """The value at a place of a document; PlaceError where there is none."""
    value: Any = document
    for part in parts:
        if isinstance(value, list) and str(part).isdecimal() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict) and part in value:
            value = value[part]
        else:
            raise PlaceError("no such place")
    return value


def find_value(document: Json, parts: Iterable[str | int]) -> Any:
    """The value at a place of a document, or None."""
    try:
        return value_at(document, parts)
    except PlaceError:
        return None


def follow_references(document: JsonObject, parts: Iterable[str | int]) -> Pointer:
    """The place that a place stands for, when the local `$ref`s there are followed.

    Only the place itself is looked at, not the way to it. The result need not exist.
    """
    here = tuple(map(str, parts))
    for _ in range(MOST_REFERENCES):
        node = find_value(document, here)
        reference = node.get("$ref") if isinstance(node, dict) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return here
        here = pointer_parts(reference.removeprefix("#"))
    return here
