"""Answers in a vendor's own shapes: the examples of its contract, with facts put in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from ..flows import Reply
from ..places import Json, JsonObject, get, is_missing, put
from ..providers.base.contract import Operation
from ..providers.base.facts import Status
from ..providers.base.provider import Provider
from ..providers.base.refusals import is_refusal
from .calls import Call

RETRY_AFTER: Final = "2"
JSON_TYPE: Final = "application/json"

USUAL_STATUS: Final = {
    "unauthorized": 401,
    "insufficient_credits": 402,
    "not_found": 404,
    "conflict": 409,
    "too_large": 413,
}
"""The HTTP status of errors that a call may document under another name."""

MESSAGE_PLACES: Final = ("error.message", "message", "msg", "detail.0.msg", "detail", "error")
"""Where the vendors' errors hold their text."""


class DocumentedReply(NamedTuple):
    """One example of an answer in a contract."""

    status: int
    content_type: str
    name: str
    body: Any


# -- replies ---------------------------------------------------------------------------------------


def dumps(value: Json) -> bytes:
    """JSON as bytes."""
    return json.dumps(value, ensure_ascii=False).encode()


def plain(status: int, value: Json, extra: Mapping[str, str] | None = None) -> Reply:
    """A JSON answer that belongs to no vendor, with `extra` headers."""
    return Reply(status, {"content-type": JSON_TYPE, **(extra or {})}, dumps(value))


def reply(call: Call, status: int, value: Json, extra: Mapping[str, str] | None = None) -> Reply:
    """An answer of a vendor, with the headers it documents, and `extra` ones."""
    headers = {**_headers(call, call.operation, status, JSON_TYPE), **(extra or {})}
    return Reply(status, headers, dumps(value))


def _documented(call: Call, operation: Operation, shown: DocumentedReply) -> Reply:
    """A documented answer, with the headers that are documented for it."""
    headers = _headers(call, operation, shown.status, shown.content_type)
    return Reply(shown.status, headers, dumps(here(call, shown.body)))


def here(call: Call, sample: Json) -> Any:
    """A copy of a documented sample whose links lead to whoever answers the call."""
    return call.request.links.here(sample, call.provider.servers)


def _headers(call: Call, operation: Operation, status: int, content_type: str) -> dict[str, str]:
    """The headers of an answer: of those that the contract lists, the ones that are known here."""
    responses = operation.spec["responses"]
    documented = call.provider.contract.resolve(responses.get(str(status), {}))
    found = {"content-type": content_type}
    for name in map(str.lower, documented.get("headers", {})):
        if name.endswith("request-id"):
            found[name] = call.request.request_id
        elif name == "retry-after":
            found[name] = RETRY_AFTER
    return found


def _replies(provider: Provider, operation: Operation) -> list[DocumentedReply]:
    return [DocumentedReply(*one) for one in provider.contract.replies(operation)]


def example(provider: Provider, operation: Operation, *names: str) -> tuple[int, Any]:
    """The first documented answer of a call with one of these names: HTTP status and body.

    Raises LookupError where the contract has none of them.
    """
    found = {shown.name: shown for shown in reversed(_replies(provider, operation))}
    for name in names:
        if name in found:
            return found[name].status, found[name].body
    raise LookupError(f"{operation.id} documents no example {' or '.join(names)}")


def first_success(call: Call) -> Reply:
    """The first documented success: for calls whose answer needs no state."""
    for shown in _replies(call.provider, call.operation):
        if not call.provider.is_error(Reply(shown.status, {}, dumps(shown.body))):
            return _documented(call, call.operation, shown)
    bare = (
        int(status)
        for status, one in call.operation.spec["responses"].items()
        if status.startswith("2") and "content" not in call.provider.contract.resolve(one)
    )
    if status := next(bare, None):
        return Reply(status, {}, b"")
    return reply(call, 200, {})


# -- errors ----------------------------------------------------------------------------------------


def error(call: Call, *names: str, message: str | None = None) -> Reply:
    """The first documented error with one of these names, with its own text or `message`."""
    operation, shown = find_error(call.provider, call.operation, names)
    if message is not None and isinstance(shown.body, dict):
        body: JsonObject = json.loads(json.dumps(shown.body))
        places = (place for place in MESSAGE_PLACES if not is_missing(get(body, place)))
        put(body, next(places, "message"), message)
        shown = shown._replace(body=body)
    return _documented(call, operation, shown)


def error_with_status(call: Call, status: int) -> Reply:
    """The first documented error of a call with an HTTP status.

    Errors that prove a refusal by their code are left out. Where no other is documented, the page
    of a proxy in front of the vendor.
    """
    for shown in errors(call.provider, call.operation):
        code, _ = call.provider.read_error(Reply(shown.status, {}, dumps(shown.body)))
        proves = status >= 500 and is_refusal(call.operation, status, code)
        if shown.status == status and not proves:
            return _documented(call, call.operation, shown)
    title = f"{status} {HTTPStatus(status).phrase}"
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Reply(status, {"content-type": "text/html"}, page.encode())


def errors(provider: Provider, operation: Operation) -> list[DocumentedReply]:
    """Every documented error of a call."""
    return [
        shown
        for shown in _replies(provider, operation)
        if provider.is_error(Reply(shown.status, {}, dumps(shown.body)))
    ]


def submits(provider: Provider) -> list[Operation]:
    """The calls that cost money, plain ones before those that stream."""
    operations = provider.contract.operations.values()
    paid = [one for one in operations if one.role in {"create", "stream"}]
    return sorted(paid, key=lambda one: one.role)


def find_error(
    provider: Provider, operation: Operation, names: tuple[str, ...]
) -> tuple[Operation, DocumentedReply]:
    """The error that the call documents by name or usual status; else that of another call."""
    own = errors(provider, operation)
    for name in names:
        by_name = [shown for shown in own if shown.name == name]
        by_status = [shown for shown in own if shown.status == USUAL_STATUS.get(name)]
        if found := by_name or by_status:
            return operation, found[0]
    for other in (*submits(provider), *provider.contract.operations.values()):
        for shown in errors(provider, other):
            if shown.name in names:
                return other, shown
    last = names[-1]
    status = USUAL_STATUS.get(last, 400)
    return operation, DocumentedReply(status, JSON_TYPE, last, {"message": last})


def unknown_route(provider: Provider, method: str, path: str) -> Reply:
    """The answer to what is no call of the vendor.

    It is 405 with the methods of the path, or the 404 of the paid call where the spec has no such
    path. No vendor documents a 405 (2026-11-28), so its body is ours.
    """
    if methods := provider.contract.methods(path):
        allowed = ", ".join(methods)
        message = f"{method[:20]} is not possible here, only {allowed}"
        return plain(405, {"message": message}, {"allow": allowed})
    for operation in submits(provider):
        for shown in errors(provider, operation):
            if shown.status == 404:
                route = re.compile(r"\([A-Z]+ /[^)]*\)")
                body = _replaced(shown.body, route, f"({method} {path[:200]})")
                return Reply(404, {"content-type": shown.content_type}, dumps(body))
    return plain(404, {"message": "not found"})


def _replaced(value: Json, pattern: re.Pattern[str], text: str) -> Json:
    """A JSON value with other text in the place of a pattern."""
    if isinstance(value, dict):
        return {name: _replaced(item, pattern, text) for name, item in value.items()}
    return pattern.sub(lambda _: text, value) if isinstance(value, str) else value


# -- status queries --------------------------------------------------------------------------------


def status_query(provider: Provider) -> Operation:
    """The call that asks for a task."""
    found = provider.contract.operation("get")
    assert found is not None, f"{provider.id} has no status query"
    return found


def status_of_example(provider: Provider, value: JsonObject) -> Status:
    """What the status word of an example means."""
    return provider.facts(value).status
