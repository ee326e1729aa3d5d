"""Checks what stands around a request's body: query, path and headers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..places import JsonObject, Pointer, find, followed, written
from .differences import ABSENT, Difference, Severity, Side
from .proposals import inferred, listed

LITERAL: Final = re.compile(r"true|false|-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?")
TYPED: Final = frozenset({"integer", "number", "boolean"})
PLUMBING: Final = re.compile(
    r":.*|accept|accept-.*|authorization|proxy-.*|cache-control|connection|content-.*|cookie|date|dnt|expect|forwarded"
    r"|from|host|if-.*|keep-alive|origin|pragma|priority|range|referer|referrer|sec-.*|te|traceparent|tracestate|trailer"
    r"|transfer-encoding|upgrade|upgrade-insecure-requests|user-agent|via|x-forwarded-.*|x-requested-with|x-stainless-.*"
)
"""Request headers that every client sends: no vendor documents them."""


def typed(text: str, schema: Any) -> Any:
    """Text as the boolean or number that a schema asks for, where it is one."""
    options = schema.get("anyOf", [schema]) if isinstance(schema, dict) else []
    kinds = {
        kind
        for option in options
        if isinstance(option, dict)
        for kind in _kinds(option.get("type"))
    }
    return json.loads(text) if kinds & TYPED and LITERAL.fullmatch(text) else text


def _kinds(word: Any) -> list[Any]:
    return word if isinstance(word, list) else [word]


def parameters(side: Side) -> Iterator[Difference]:
    """How query, path and headers of a request differ from the documented parameters."""
    documented = dict(_documented(side))
    headers = {
        name: text
        for name, text in side.exchange.request_headers.items()
        if not PLUMBING.fullmatch(name)
    }
    given: Mapping[str, Mapping[str, str]] = {
        "query": side.call.query,
        "path": side.call.path_parameters,
        "header": headers,
    }
    for (place, name), pointer in documented.items():
        yield from _parameter(side, place, name, pointer, given.get(place, {}))
    for place, texts in given.items():
        for name, text in texts.items():
            if (place, name) not in documented and place != "path":
                yield _undocumented(side, place, name, text)


def _documented(side: Side) -> Iterator[tuple[tuple[str, str], Pointer]]:
    """Every documented parameter, by place and name; names of headers in lower case."""
    for owner in (side.call.pointer[:2], side.call.pointer):
        for index in range(len(find(side.document, (*owner, "parameters")) or ())):
            pointer = followed(side.document, (*owner, "parameters", str(index)))
            parameter: JsonObject = find(side.document, pointer) or {}
            place, name = str(parameter.get("in")), str(parameter.get("name"))
            yield (place, name.lower() if place == "header" else name), pointer


def _parameter(
    side: Side, place: str, name: str, pointer: Pointer, given: Mapping[str, str]
) -> Iterator[Difference]:
    parameter: JsonObject = find(side.document, pointer) or {}
    where = (_part(place), name)
    if name not in given:
        if parameter.get("required") and place in {"query", "header"}:
            patch = ({"op": "replace", "path": written((*pointer, "required")), "value": False},)
            yield side.tell(
                "required", "breaks", where, (*pointer, "required"), name, ABSENT, patch, plain=True
            )
        return
    schema = followed(side.document, (*pointer, "schema"))
    yield from side.body(typed(given[name], find(side.document, schema)), schema, where)


def _undocumented(side: Side, place: str, name: str, text: str) -> Difference:
    value = typed(text, {"type": "integer"})
    fresh = {"name": name, "in": place, "required": False, "schema": inferred(value, side.redactor)}
    patch = (
        listed(side.document, side.call.pointer, "parameters", fresh)
        if side.redactor.is_clean(name)
        else ()
    )
    kind, target = f"{place} parameter", (*side.call.pointer, "parameters")
    # A header that nobody reads contradicts nothing; a query parameter is asked for on purpose.
    severity: Severity = "note" if place == "header" else "news"
    return side.tell(
        kind, severity, (_part(place), name), target, "no such parameter", value, patch
    )


def _part(place: str) -> str:
    return "headers" if place == "header" else place
