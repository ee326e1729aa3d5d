"""Compares one exchange with the spec of the call that it is, in both directions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from ..places import Pointer, find, followed, parsed, written
from ..providers.base.schemas import SCHEMAS
from .addresses import Addressed
from .bodies import FORM, STREAM, events_of, form_of, form_value, is_json, kind_of_body
from .differences import ABSENT, Difference, Severity, Side
from .documents import UnreadableDocumentError, from_json
from .parameters import parameters, typed
from .patches import Patch
from .proposals import add
from .redaction import Redactor
from .undocumented import first_calls, schema_of
from .violations import nearest
from .vocabulary import words

NO_BODY: Final = frozenset({204, 205, 304})
BODY: Final = ("body",)


def compared(call: Addressed, redactor: Redactor) -> Iterator[Difference]:
    """Every difference between an exchange and the spec."""
    sent, answered = Side(call, "request", redactor), Side(call, "response", redactor)
    status = call.exchange.status
    asked = [*parameters(sent), *request_body(sent)]
    if status is None or 200 <= status < 300:
        yield from asked
    elif status in {400, 422} and "requestBody" in call.operation.spec and not _breaks(asked):
        # What the vendor refuses and the spec forbids is agreement.
        place = (*call.pointer, "requestBody")
        yield sent.tell(
            "refused", "note", BODY, place, "accepted", f"refused with HTTP {status}", plain=True
        )
    if status is not None:
        yield from response(answered, status)


def _breaks(found: Iterable[Difference]) -> bool:
    return any(one.severity != "note" for one in found)


# -- requests ------------------------------------------------------------------------------------


def request_body(side: Side) -> Iterator[Difference]:
    """How a request's body differs from the documented one."""
    pointer = followed(side.document, (*side.call.pointer, "requestBody"))
    documented = find(side.document, (*pointer, "content")) or {}
    exchange = side.exchange
    if exchange.request_body is None and exchange.form is None:
        return
    if not exchange.request_body and not exchange.form:
        if find(side.document, (*pointer, "required")):
            patch = ({"op": "replace", "path": written((*pointer, "required")), "value": False},)
            yield side.tell(
                "required",
                "breaks",
                BODY,
                (*pointer, "required"),
                "a body",
                ABSENT,
                patch,
                plain=True,
            )
        return
    kind = kind_of_body(exchange.request_headers, exchange.request_body, documented)
    media = (*pointer, "content", kind)
    if kind not in documented:
        yield _content_type(side, pointer, kind, documented, exchange.request_body or b"")
        return
    try:
        yield from _known_body(side, kind, followed(side.document, (*media, "schema")))
    except UnreadableDocumentError as error:
        yield side.tell("unreadable", "breaks", BODY, media, kind, str(error), plain=True)


def _known_body(side: Side, kind: str, schema: Pointer) -> Iterator[Difference]:
    if kind == FORM:
        value = form_value(side.document, schema, form_of(side.exchange))
        yield from side.body(value, schema)
    elif is_json(kind):
        value = from_json(side.exchange.request_body or b"")
        yield from side.body(value, _workflow(side, value) or schema)


def _workflow(side: Side, value: Any) -> Pointer | None:
    """The schema of the workflow that a body asks for: by the provider's tables, else the one it breaks least of."""
    names = side.call.operation.request_schemas
    if len(names) < 2:
        return None
    if isinstance(value, dict):
        for route in _routes(side, value):
            if route in names:
                return parsed(f"{SCHEMAS}{route}".removeprefix("#"))
    name = nearest(side.document, names, value)
    return parsed(f"{SCHEMAS}{name}".removeprefix("#"))


def _routes(side: Side, value: dict[str, Any]) -> list[str]:
    provider = side.call.provider
    try:
        return [route.schema for route in provider.routes_of_body(value)]
    except LookupError:  # another spec, without some of the provider's schemas
        return []


# -- responses -----------------------------------------------------------------------------------


def response(side: Side, status: int) -> Iterator[Difference]:
    """How a response differs from the documented ones."""
    listed = (*side.call.pointer, "responses")
    names = find(side.document, listed) or {}
    name = next(
        (one for one in (str(status), f"{status // 100}XX", "default") if one in names), None
    )
    if name is None:
        patch = (add((*listed, str(status)), first_calls(side.exchange, side.redactor)),)
        yield side.tell("status", "news", ("status",), listed, _listing(names), status, patch)
        return
    pointer = followed(side.document, (*listed, name))
    yield from _headers(side, pointer)
    if side.exchange.response_body is None or side.exchange.method == "HEAD" or status in NO_BODY:
        return
    documented = find(side.document, (*pointer, "content")) or {}
    content = side.exchange.response_body
    if not content:
        yield from _empty(side, (*pointer, "content"), documented)
        return
    kind = kind_of_body(side.exchange.response_headers, content, documented)
    if kind not in documented:
        yield _content_type(side, pointer, kind, documented, content)
        return
    yield from _answer(side, kind, content, (*pointer, "content", kind))


def _empty(side: Side, pointer: Pointer, documented: dict[str, Any]) -> Iterator[Difference]:
    if documented:
        severity: Severity = "breaks" if (side.exchange.status or 0) < 300 else "note"
        yield side.tell("empty", severity, BODY, pointer, _listing(documented), ABSENT, plain=True)


def _answer(side: Side, kind: str, content: bytes, media: Pointer) -> Iterator[Difference]:
    schema = followed(side.document, (*media, "schema"))
    if kind == STREAM:
        yield from _events(side, content, schema)
    elif is_json(kind):
        try:
            value = from_json(content)
        except UnreadableDocumentError as error:
            yield side.tell("unreadable", "breaks", BODY, media, "JSON", str(error), plain=True)
            return
        yield from side.body(value, schema)
        yield from words(side, value, schema, BODY)


def _events(side: Side, content: bytes, schema: Pointer) -> Iterator[Difference]:
    """A stream, event by event, where the spec says what an event is."""
    reference = find(side.document, (*schema, "x-polyreel-event"))
    if not isinstance(reference, str):
        return
    event = parsed(reference.removeprefix("#"))
    for index, text in enumerate(events_of(content)):
        place = ("body", index)
        try:
            value = from_json(text)
        except UnreadableDocumentError as error:
            yield side.tell("unreadable", "breaks", place, event, "JSON", str(error), plain=True)
            continue
        yield from side.body(value, event, place)
        yield from words(side, value, event, place)


def _headers(side: Side, pointer: Pointer) -> Iterator[Difference]:
    for name in find(side.document, (*pointer, "headers")) or {}:
        header = followed(side.document, (*pointer, "headers", name))
        text = side.exchange.response_headers.get(name.lower())
        schema = find(side.document, (*header, "schema"))
        if text is not None and isinstance(schema, dict):
            yield from side.body(
                typed(text, schema), (*header, "schema"), ("headers", name.lower())
            )


# -- what both share -----------------------------------------------------------------------------


def _content_type(
    side: Side, pointer: Pointer, kind: str, documented: dict[str, Any], content: bytes
) -> Difference:
    media = {"schema": schema_of(kind, content, side.redactor)}
    listed, response = (*pointer, "content"), find(side.document, pointer)
    patch: Patch = (add((*listed, kind), media),)
    if not documented:
        patch = (
            add(pointer, {"content": {kind: media}})
            if response is None
            else add(listed, {kind: media}),
        )
    refused = side.direction == "response" and (side.exchange.status or 0) >= 400
    severity: Severity = "news" if refused else "breaks"
    patch = patch if side.redactor.is_clean(kind) else ()
    where = ("headers", "content-type")
    return side.tell("content type", severity, where, listed, _listing(documented), kind, patch)


def _listing(names: Any) -> str:
    return ", ".join(map(str, names)) or ABSENT
