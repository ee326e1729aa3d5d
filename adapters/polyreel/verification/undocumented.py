"""What the spec does not have at all, written down as it was seen."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from ..places import JsonObject, find
from .addresses import Stranger
from .bodies import is_json, kind_of_body
from .differences import Difference
from .documents import UnreadableDocumentError, from_json
from .exchanges import RecordedExchange
from .patches import Patch
from .proposals import add, inferred
from .redaction import Redactor

UNKNOWN: Final = frozenset({404, 405, 501})
"""Statuses by which a vendor says that it has no such call either."""


def schema_of(kind: str, content: bytes, redactor: Redactor) -> JsonObject:
    """A schema of a body that nobody has documented."""
    if not is_json(kind):
        return {"type": "string"}
    try:
        return inferred(from_json(content), redactor)
    except UnreadableDocumentError:
        return {}


def first_calls(exchange: RecordedExchange, redactor: Redactor) -> JsonObject:
    """A response as it was seen."""
    found: JsonObject = {"description": f"Seen in recorded traffic: HTTP {exchange.status}."}
    if content := exchange.response_body:
        kind = kind_of_body(exchange.response_headers, content, {})
        if redactor.is_clean(kind):
            found["content"] = {kind: {"schema": schema_of(kind, content, redactor)}}
    return found


def unknown_call(stranger: Stranger, redactor: Redactor) -> Difference | None:
    """A call to a vendor's own host that its spec does not have, and the vendor does; None for anything else."""
    exchange, provider = stranger.exchange, stranger.provider
    if provider is None or exchange.status is None or exchange.status in UNKNOWN:
        return None
    path = redactor.text(stranger.path)
    what = f"{exchange.method} {path}, answered with HTTP {exchange.status}"
    patch = _new_call(stranger, redactor)
    facts = (exchange.recording, exchange.number, provider.id, exchange.method, path)
    return Difference(
        *facts, "request", "call", "news", "/request", "/paths", "a documented call", what, patch
    )


def _new_call(stranger: Stranger, redactor: Redactor) -> Patch:
    """The call as an operation of its own; nothing where its path holds a secret, or it did not work."""
    exchange, provider = stranger.exchange, stranger.provider
    assert provider is not None
    prefix = urlsplit(provider.base_url).path.rstrip("/")
    path = stranger.path.removeprefix(prefix)
    below = stranger.path.startswith(f"{prefix}/") and "{" not in path
    if not below or not redactor.is_clean(stranger.path) or (exchange.status or 0) >= 400:
        return ()
    method = exchange.method.lower()
    call = {
        "operationId": _name(method, path),
        "responses": {str(exchange.status): first_calls(exchange, redactor)},
    }
    known = isinstance(find(provider.contract.document, ("paths", path)), dict)
    return (add(("paths", path, method), call) if known else add(("paths", path), {method: call}),)


def _name(method: str, path: str) -> str:
    """A name such as `getV1Voices`."""
    words = "".join(letter if letter.isalnum() else " " for letter in path).split()
    return method + "".join(word[:1].upper() + word[1:] for word in words)
