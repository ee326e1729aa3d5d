"""Compares the query, path and headers of a request with the documented parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..places import Json, JsonObject, Pointer, find_value, follow_references
from .differences import ABSENT, Difference, Severity, Side
from .proposals import add_to_list, inferred_schema, replace

LITERAL: Final = re.compile(r"true|false|-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?")
TYPED: Final = frozenset({"integer", "number", "boolean"})
TRANSPORT_HEADERS: Final = re.compile(
    r":.*|accept|accept-.*|authorization|proxy-.*|cache-control|connection|content-.*|cookie|date"
    r"|dnt|expect|forwarded|from|host|if-.*|keep-alive|origin|pragma|priority|range|referer"
    r"|referrer|sec-.*|te|traceparent|tracestate|trailer|transfer-encoding|upgrade"
    r"|upgrade-insecure-requests|user-agent|via|x-forwarded-.*|x-requested-with|x-stainless-.*"
)
"""Request headers that every client sends: no vendor documents them."""


def typed(text: str, schema: Json) -> Any:
    """A text as the boolean or number that a schema asks for, where it is one."""
    options: Any = schema.get("anyOf", [schema]) if isinstance(schema, dict) else []
    kinds: set[Any] = set()
    for option in options:
        if isinstance(option, dict):
            kind = option.get("type")
            kinds.update(kind if isinstance(kind, list) else [kind])
    return json.loads(text) if kinds & TYPED and LITERAL.fullmatch(text) else text


def parameter_differences(side: Side) -> Iterator[Difference]:
    """How query, path and headers of a request differ from the documented parameters."""
    documented = dict(_documented(side))
    headers = {
        name: text
        for name, text in side.exchange.request_headers.items()
        if not TRANSPORT_HEADERS.fullmatch(name)
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
        for index in range(len(find_value(side.document, (*owner, "parameters")) or ())):
            pointer = follow_references(side.document, (*owner, "parameters", str(index)))
            parameter: JsonObject = find_value(side.document, pointer) or {}
            place, name = str(parameter.get("in")), str(parameter.get("name"))
            yield (place, name.lower() if place == "header" else name), pointer


def _parameter(
    side: Side, place: str, name: str, pointer: Pointer, given: Mapping[str, str]
) -> Iterator[Difference]:
    parameter: JsonObject = find_value(side.document, pointer) or {}
    where = (_part(place), name)
    if name not in given:
        if parameter.get("required") and place in {"query", "header"}:
            required = (*pointer, "required")
            patch = (replace(required, False),)
            yield side.difference(
                "required", "breaks", where, required, name, ABSENT, patch, described=True
            )
        return
    schema = follow_references(side.document, (*pointer, "schema"))
    value = typed(given[name], find_value(side.document, schema))
    yield from side.value_differences(value, schema, where)


def _undocumented(side: Side, place: str, name: str, text: str) -> Difference:
    value = typed(text, {"type": "integer"})
    schema = inferred_schema(value, side.redactor)
    parameter: JsonObject = {"name": name, "in": place, "required": False, "schema": schema}
    is_clean = side.redactor.is_clean(name)
    patch = (
        add_to_list(side.document, side.call.pointer, "parameters", parameter) if is_clean else ()
    )
    kind, target = f"{place} parameter", (*side.call.pointer, "parameters")
    # A header that nobody reads contradicts nothing; a query parameter is sent on purpose.
    severity: Severity = "note" if place == "header" else "news"
    where = (_part(place), name)
    return side.difference(kind, severity, where, target, "no such parameter", value, patch)


def _part(place: str) -> str:
    return "headers" if place == "header" else place
