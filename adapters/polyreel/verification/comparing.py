"""Compares one exchange with the spec of its call, in both directions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from ..places import (
    Json,
    JsonObject,
    PlaceError,
    Pointer,
    find_value,
    follow_references,
    pointer_parts,
)
from ..providers.base.calling import filled
from .addresses import DocumentedCall
from .bodies import FORM, STREAM, event_texts, form_fields, form_value, is_json, kind_of_body
from .differences import ABSENT, Difference, Severity, Side
from .documents import UnreadableDocumentError, from_json
from .parameters import parameter_differences, typed
from .patches import Patch
from .proposals import add, replace
from .redaction import Redactor
from .undocumented import response_as_seen, schema_of_body
from .violations import named_schema, nearest_schema
from .vocabulary import unknown_words

NO_BODY: Final = frozenset({204, 205, 304})
BODY: Final = ("body",)


def differences_of(call: DocumentedCall, redactor: Redactor) -> Iterator[Difference]:
    """Every difference between an exchange and the spec."""
    request, response = Side(call, "request", redactor), Side(call, "response", redactor)
    status = call.exchange.status
    sent = [*parameter_differences(request), *_request_body(request)]
    if status is None or 200 <= status < 300:
        yield from sent
    elif status in {400, 422} and "requestBody" in call.operation.spec and not _any_breaks(sent):
        # A request that the spec forbids and the vendor refuses is agreement.
        place = (*call.pointer, "requestBody")
        yield request.difference(
            "refused",
            "note",
            BODY,
            place,
            "accepted",
            f"refused with HTTP {status}",
            described=True,
        )
    if status is not None:
        yield from _response(response, status)


def _any_breaks(found: Iterable[Difference]) -> bool:
    return any(one.severity != "note" for one in found)


# -- requests ------------------------------------------------------------------------------------


def _request_body(side: Side) -> Iterator[Difference]:
    pointer = follow_references(side.document, (*side.call.pointer, "requestBody"))
    documented = find_value(side.document, (*pointer, "content")) or {}
    exchange = side.exchange
    if exchange.request_body is None and exchange.form is None:
        return
    if not exchange.request_body and not exchange.form:
        yield from _missing_body(side, (*pointer, "required"))
        return
    kind = kind_of_body(exchange.request_headers, exchange.request_body, documented)
    media = (*pointer, "content", kind)
    if kind not in documented:
        yield _content_type(side, pointer, kind, documented, exchange.request_body or b"")
        return
    try:
        schema = follow_references(side.document, (*media, "schema"))
        yield from _documented_body(side, kind, schema)
    except UnreadableDocumentError as error:
        yield side.difference("unreadable", "breaks", BODY, media, kind, str(error), described=True)


def _missing_body(side: Side, required: Pointer) -> Iterator[Difference]:
    if find_value(side.document, required):
        patch = (replace(required, False),)
        yield side.difference(
            "required", "breaks", BODY, required, "a body", ABSENT, patch, described=True
        )


def _documented_body(side: Side, kind: str, schema: Pointer) -> Iterator[Difference]:
    if kind == FORM:
        value = form_value(side.document, schema, form_fields(side.exchange))
        yield from side.value_differences(value, schema)
    elif is_json(kind):
        body = from_json(side.exchange.request_body or b"")
        yield from side.value_differences(body, _schema_of_workflow(side, body) or schema)


def _schema_of_workflow(side: Side, body: Json) -> Pointer | None:
    """The schema of the workflow that a body is for, where the call has several.

    The provider's tables decide; without an answer, it is the schema that the body breaks least.
    """
    names = side.call.operation.request_schemas
    if len(names) < 2:
        return None
    if isinstance(body, dict):
        for name in _schemas_by_tables(side, body):
            if name in names:
                return named_schema(name)
    return named_schema(nearest_schema(side.document, names, body))


def _schemas_by_tables(side: Side, body: dict[str, Any]) -> list[str]:
    provider, operation = side.call.provider, side.call.operation
    path = None
    if operation.slashed is not None:  # it says the model
        path = filled(operation.path, side.call.path_parameters, slashes=True)
    try:
        return [route.schema for route in provider.routes_of_body(body, path)]
    except (LookupError, PlaceError):  # another spec, without some of the provider's schemas
        return []


# -- responses -----------------------------------------------------------------------------------


def _response(side: Side, status: int) -> Iterator[Difference]:
    responses = (*side.call.pointer, "responses")
    names = find_value(side.document, responses) or {}
    spellings = (str(status), f"{status // 100}XX", "default")
    name = next((one for one in spellings if one in names), None)
    if name is None:
        seen = response_as_seen(side.exchange, side.redactor)
        patch = (add((*responses, str(status)), seen),)
        expected = _listing(names)
        yield side.difference("status", "news", ("status",), responses, expected, status, patch)
        return
    pointer = follow_references(side.document, (*responses, name))
    yield from _headers(side, pointer)
    content = side.exchange.response_body
    if content is not None and side.exchange.method != "HEAD" and status not in NO_BODY:
        yield from _response_body(side, pointer, content)


def _response_body(side: Side, pointer: Pointer, content: bytes) -> Iterator[Difference]:
    place = (*pointer, "content")
    documented = find_value(side.document, place) or {}
    if not content:
        if documented:
            refused = (side.exchange.status or 0) >= 300
            severity: Severity = "note" if refused else "breaks"
            expected = _listing(documented)
            yield side.difference("empty", severity, BODY, place, expected, ABSENT, described=True)
        return
    kind = kind_of_body(side.exchange.response_headers, content, documented)
    media = (*place, kind)
    if kind not in documented:
        yield _content_type(side, pointer, kind, documented, content)
    elif kind == STREAM:
        yield from _events(side, content, follow_references(side.document, (*media, "schema")))
    elif is_json(kind):
        schema = follow_references(side.document, (*media, "schema"))
        yield from _json(side, content, schema, BODY, media)


def _events(side: Side, content: bytes, schema: Pointer) -> Iterator[Difference]:
    """Compares a stream, event by event, where the spec has a schema of events."""
    reference = find_value(side.document, (*schema, "x-polyreel-event"))
    if not isinstance(reference, str):
        return
    event = pointer_parts(reference.removeprefix("#"))
    for index, text in enumerate(event_texts(content)):
        yield from _json(side, text, event, ("body", index), event)


def _json(
    side: Side, content: bytes | str, schema: Pointer, place: tuple[str | int, ...], media: Pointer
) -> Iterator[Difference]:
    """Compares a JSON text; `media` is the place in the spec where it is said to be JSON."""
    try:
        value = from_json(content)
    except UnreadableDocumentError as error:
        yield side.difference(
            "unreadable", "breaks", place, media, "JSON", str(error), described=True
        )
        return
    yield from side.value_differences(value, schema, place)
    yield from unknown_words(side, value, schema, place)


def _headers(side: Side, pointer: Pointer) -> Iterator[Difference]:
    for name in find_value(side.document, (*pointer, "headers")) or {}:
        header = follow_references(side.document, (*pointer, "headers", name))
        text = side.exchange.response_headers.get(name.lower())
        schema = find_value(side.document, (*header, "schema"))
        if text is not None and isinstance(schema, dict):
            place = ("headers", name.lower())
            yield from side.value_differences(typed(text, schema), (*header, "schema"), place)


# -- what both share -----------------------------------------------------------------------------


def _content_type(
    side: Side, pointer: Pointer, kind: str, documented: dict[str, Any], content: bytes
) -> Difference:
    listed = (*pointer, "content")
    patch = _content_type_patch(side, pointer, kind, documented, content)
    refused = side.direction == "response" and (side.exchange.status or 0) >= 400
    severity: Severity = "news" if refused else "breaks"
    where = ("headers", "content-type")
    expected = _listing(documented)
    return side.difference("content type", severity, where, listed, expected, kind, patch)


def _content_type_patch(
    side: Side, pointer: Pointer, kind: str, documented: dict[str, Any], content: bytes
) -> Patch:
    if not side.redactor.is_clean(kind):
        return ()
    media: JsonObject = {"schema": schema_of_body(kind, content, side.redactor)}
    if documented:
        return (add((*pointer, "content", kind), media),)
    by_kind: JsonObject = {kind: media}
    if find_value(side.document, pointer) is None:
        return (add(pointer, {"content": by_kind}),)
    return (add((*pointer, "content"), by_kind),)


def _listing(names: Iterable[object]) -> str:
    return ", ".join(map(str, names)) or ABSENT
