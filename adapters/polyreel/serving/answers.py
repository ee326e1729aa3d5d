"""Answers in a vendor's own shapes: the contract's examples, with the facts of a task or a file put in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from ..flows import Reply
from ..places import JsonObject, get, is_missing, put
from ..providers.base.contract import Operation
from ..providers.base.facts import Status
from ..providers.base.provider import Provider
from .calls import Call

RETRY_AFTER: Final = "2"


USUAL: Final = {
    "unauthorized": 401,
    "insufficient_credits": 402,
    "not_found": 404,
    "conflict": 409,
    "too_large": 413,
}
"""The HTTP status of errors that a call may document under another name."""


Example = tuple[int, str, str, Any]
"""HTTP status, content type, name, body."""


# -- plain answers -----------------------------------------------------------------------------------


def dumps(value: Any) -> bytes:
    """JSON as bytes."""
    return json.dumps(value, ensure_ascii=False).encode()


def plain(status: int, value: Any) -> Reply:
    """A JSON answer that belongs to no vendor."""
    return Reply(status, {"content-type": "application/json"}, dumps(value))


def reply(call: Call, status: int, value: Any, extra: Mapping[str, str] | None = None) -> Reply:
    """An answer of a vendor, with the headers it documents."""
    return Reply(status, {**_headers(call, call.operation, status), **(extra or {})}, dumps(value))


def _headers(
    call: Call, operation: Operation, status: int, content_type: str = "application/json"
) -> dict[str, str]:
    """The headers that the contract lists for an answer, as far as they say something here."""
    listed = call.provider.contract.resolve(operation.spec["responses"].get(str(status), {})).get(
        "headers", {}
    )
    found = {"content-type": content_type}
    for name in map(str.lower, listed):
        if name.endswith("request-id"):
            found[name] = f"simulated-{call.number}"
        elif name == "retry-after":
            found[name] = RETRY_AFTER
    return found


def example(provider: Provider, operation: Operation, *names: str) -> tuple[int, Any]:
    """The first documented answer of a call with one of these names: HTTP status and body."""
    found = {name: (status, body) for status, _, name, body in provider.contract.replies(operation)}
    for name in names:
        if name in found:
            return found[name]
    raise LookupError(f"{operation.id} documents no example {' or '.join(names)}")


def fixed(call: Call) -> Reply:
    """The first documented success: for calls whose answer needs no state."""
    replies = (one for one in call.provider.contract.replies(call.operation) if one[0] < 300)
    status, content_type, _, body = next(replies, (200, "application/json", "", {}))
    return Reply(status, _headers(call, call.operation, status, content_type), dumps(body))


# -- errors ------------------------------------------------------------------------------------------


def error(call: Call, *names: str, message: str | None = None) -> Reply:
    """A documented error, word for word or with another message."""
    operation, (status, content_type, _, body) = _find_error(call.provider, call.operation, names)
    if message is not None and isinstance(body, dict):
        body = json.loads(json.dumps(body))
        place = next(
            (p for p in ("error.message", "message", "msg") if not is_missing(get(body, p))),
            "message",
        )
        put(body, place, message)
    return Reply(status, _headers(call, operation, status, content_type), dumps(body))


def failure(call: Call, status: int) -> Reply:
    """The first documented error of a call with an HTTP status; else what a gateway in front of the vendor says."""
    for code, content_type, _, body in errors(call.provider, call.operation):
        if code == status:
            return Reply(status, _headers(call, call.operation, status, content_type), dumps(body))
    title = f"{status} {HTTPStatus(status).phrase}".encode()
    page = (
        b"<html><head><title>"
        + title
        + b"</title></head><body><h1>"
        + title
        + b"</h1></body></html>"
    )
    return Reply(status, {"content-type": "text/html"}, page)


def errors(provider: Provider, operation: Operation) -> list[Example]:
    """Every documented error of a call."""
    return [one for one in provider.contract.replies(operation) if one[0] >= 400]


def submits(provider: Provider) -> list[Operation]:
    """The calls that cost money, plain ones first."""
    operations = provider.contract.operations.values()
    return sorted(
        (one for one in operations if one.role in {"create", "stream"}), key=lambda one: one.role
    )


def _find_error(
    provider: Provider, operation: Operation, names: tuple[str, ...]
) -> tuple[Operation, Example]:
    """As the call documents it, by name or by the usual HTTP status; else as other calls of the vendor do."""
    own = errors(provider, operation)
    for name in names:
        by_name = [one for one in own if one[2] == name]
        if found := by_name or [one for one in own if one[0] == USUAL.get(name)]:
            return operation, found[0]
    for other in (*submits(provider), *provider.contract.operations.values()):
        for one in errors(provider, other):
            if one[2] in names:
                return other, one
    return operation, (
        USUAL.get(names[-1], 400),
        "application/json",
        names[-1],
        {"message": names[-1]},
    )


def unknown_route(provider: Provider, method: str, path: str) -> Reply:
    """What the vendor says where it has no such call: its paid call's 404."""
    for operation in submits(provider):
        for status, content_type, _, body in errors(provider, operation):
            if status == 404:
                told = _replaced(body, re.compile(r"\([A-Z]+ /[^)]*\)"), f"({method} {path[:200]})")
                return Reply(status, {"content-type": content_type}, dumps(told))
    return plain(404, {"message": "not found"})


def _replaced(value: Any, pattern: re.Pattern[str], text: str) -> Any:
    """A JSON value with other text in the place of a pattern."""
    if isinstance(value, dict):
        return {name: _replaced(item, pattern, text) for name, item in value.items()}
    return pattern.sub(lambda _: text, value) if isinstance(value, str) else value


def query(provider: Provider) -> Operation:
    """The status query."""
    found = provider.contract.operation("get")
    assert found is not None, f"{provider.id} has no status query"
    return found


def meaning(provider: Provider, value: JsonObject) -> Status:
    """What the status word of an example means."""
    return provider.statuses.get(str(get(value, provider.reads.status[0])).lower(), "unknown")
