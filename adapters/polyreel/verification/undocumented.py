"""Describes what the spec does not have at all, as it was seen in traffic."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from ..places import JsonObject, find_value
from ..providers.base.provider import Provider
from .addresses import UndocumentedCall
from .bodies import is_json, kind_of_body
from .differences import Difference
from .documents import UnreadableDocumentError, from_json
from .exchanges import RecordedExchange
from .patches import Patch
from .proposals import add, inferred_schema
from .redaction import Redactor

NO_SUCH_CALL: Final = frozenset({404, 405, 501})
"""Statuses by which the vendor, too, says that it has no such call."""


def schema_of_body(kind: str, content: bytes, redactor: Redactor) -> JsonObject:
    """A schema of a body that is not documented."""
    if not is_json(kind):
        return {"type": "string"}
    try:
        return inferred_schema(from_json(content), redactor)
    except UnreadableDocumentError:
        return {}


def response_as_seen(exchange: RecordedExchange, redactor: Redactor) -> JsonObject:
    """An OpenAPI response object for a response that is not documented."""
    found: JsonObject = {"description": f"Seen in recorded traffic: HTTP {exchange.status}."}
    if content := exchange.response_body:
        kind = kind_of_body(exchange.response_headers, content, {})
        if redactor.is_clean(kind):
            found["content"] = {kind: {"schema": schema_of_body(kind, content, redactor)}}
    return found


def undocumented_call(call: UndocumentedCall, redactor: Redactor) -> Difference | None:
    """The difference where a vendor has a call that its spec does not have; None otherwise."""
    exchange, provider = call.exchange, call.provider
    if provider is None or exchange.status is None or exchange.status in NO_SUCH_CALL:
        return None
    path = redactor.text(call.path)
    return Difference(
        recording=exchange.recording,
        entry=exchange.number,
        vendor=provider.id,
        method=exchange.method,
        path=path,
        direction="request",
        kind="call",
        severity="news",
        traffic="/request",
        spec="/paths",
        expected="a documented call",
        actual=f"{exchange.method} {path}, answered with HTTP {exchange.status}",
        patch=_new_operation(call, provider, redactor),
    )


def _new_operation(call: UndocumentedCall, provider: Provider, redactor: Redactor) -> Patch:
    """Adds an operation; nothing where its path holds a secret, or the call did not work."""
    exchange = call.exchange
    prefix = urlsplit(provider.base_url).path.rstrip("/")
    path = call.path.removeprefix(prefix)
    below = call.path.startswith(f"{prefix}/") and "{" not in path
    if not below or not redactor.is_clean(call.path) or (exchange.status or 0) >= 400:
        return ()
    method = exchange.method.lower()
    operation: JsonObject = {
        "operationId": _operation_id(method, path),
        "responses": {str(exchange.status): response_as_seen(exchange, redactor)},
    }
    if isinstance(find_value(provider.contract.document, ("paths", path)), dict):
        return (add(("paths", path, method), operation),)
    return (add(("paths", path), {method: operation}),)


def _operation_id(method: str, path: str) -> str:
    """A name such as `getV1Voices`."""
    words = "".join(letter if letter.isalnum() else " " for letter in path).split()
    return method + "".join(word[:1].upper() + word[1:] for word in words)
