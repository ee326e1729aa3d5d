"""Reads recordings: HAR 1.2, vcrpy's cassettes in YAML and JSON, and JSON Lines. The content tells which it is."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import frozen

from ..errors import RequestError
from .documents import MAX_BYTES, UnreadableDocumentError, from_json, from_yaml
from .exchanges import FormField, RecordedExchange, unpacked

KNOWN: Final = "a HAR file, a vcrpy cassette, or JSON Lines with a method and a url"
BOM: Final = b"\xef\xbb\xbf"


def read_recording(content: bytes, name: str) -> list[RecordedExchange]:
    """Every recorded call of a file; RequestError with one message, which names the entry, where it is not usable."""
    try:
        if len(content) > MAX_BYTES:
            raise UnreadableDocumentError(f"more than {MAX_BYTES} bytes are too many")
        found = list(_entries(content.removeprefix(BOM), name))
        if not found:
            raise UnreadableDocumentError("no call is recorded in it")
    except UnreadableDocumentError as error:
        raise RequestError([f"{name}: {error}"]) from None
    return found


def _entries(content: bytes, name: str) -> Iterator[RecordedExchange]:
    if not content.strip():
        raise UnreadableDocumentError("nothing in it")
    if content.lstrip()[:1] not in {b"{", b"["}:
        yield from _cassette(from_yaml(content), name)
        return
    lines = [line for line in content.splitlines() if line.strip()]
    if _is_call(lines[0]):
        yield from _json_lines(lines, name)
        return
    document = from_json(content)
    if isinstance(document, dict) and "log" in document:
        yield from _har(document, name)
    else:
        yield from _cassette(document, name)


def _is_call(line: bytes) -> bool:
    """Whether a line is a document of its own, and no HAR file or cassette."""
    try:
        value = from_json(line)
    except UnreadableDocumentError:
        return False
    return isinstance(value, dict) and not value.keys() & {"log", "interactions"}


# -- the three kinds -----------------------------------------------------------------------------


def _har(document: Mapping[str, Any], name: str) -> Iterator[RecordedExchange]:
    entries = _member(_object(document["log"], "log"), "entries", list, "log")
    for number, entry in enumerate(entries, 1):
        with _Entry(number):
            request = _member(_object(entry, "the entry"), "request", dict, "the entry")
            response = _object(entry.get("response") or {}, "response")
            # Browsers write 0 where no answer came.
            status = _status(response.get("status") or None)
            sent, answered = _har_request(request), _har_response(response)
            yield _exchange(
                (number, name), request.get("method"), request.get("url"), sent, status, answered
            )


def _har_request(request: Mapping[str, Any]) -> _Message:
    post = _object(request.get("postData") or {}, "postData")
    body = _encoded(post.get("text"), post.get("encoding"), "postData")
    form = _fields(post.get("params")) if not body else None
    return _Message(_har_headers(request, post), b"" if body is None and not form else body, form)


def _har_response(response: Mapping[str, Any]) -> _Message:
    content = _object(response.get("content") or {}, "content")
    body = _encoded(content.get("text"), content.get("encoding"), "content")
    return _Message(
        _har_headers(response, content), b"" if body is None and not content.get("size") else body
    )


def _har_headers(message: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, str]:
    mime = _text(content.get("mimeType"), "mimeType")
    return {**({"content-type": mime} if mime else {}), **_headers(message.get("headers"))}


def _cassette(document: Any, name: str) -> Iterator[RecordedExchange]:
    if not isinstance(document, dict) or "interactions" not in document:
        raise UnreadableDocumentError(f"not a recording: {KNOWN} is")
    for number, entry in enumerate(_member(document, "interactions", list, "the cassette"), 1):
        with _Entry(number):
            request = _member(_object(entry, "the entry"), "request", dict, "the entry")
            response = _object(entry.get("response") or {}, "response")
            code = response.get("status")
            status = _status(code.get("code") if isinstance(code, dict) else code)
            sent, answered = (
                _Message(_headers(one.get("headers")), _cassette_body(one.get("body")))
                for one in (request, response)
            )
            yield _exchange(
                (number, name), request.get("method"), request.get("uri"), sent, status, answered
            )


def _cassette_body(value: Any) -> bytes:
    if isinstance(value, dict):
        if "base64_string" in value:
            return _encoded(value["base64_string"], "base64", "body") or b""
        value = value.get("string")
    if isinstance(value, bytes):
        return value
    return _encoded(value, None, "body") or b""


def _json_lines(lines: list[bytes], name: str) -> Iterator[RecordedExchange]:
    for number, line in enumerate(lines, 1):
        with _Entry(number):
            entry = _object(from_json(line), "the line")
            request, response = (
                _object(entry.get(side) or {}, side) for side in ("request", "response")
            )
            status = _status(response.get("status"))
            sent, answered = (
                _Message(_headers(one.get("headers")), _line_body(one))
                for one in (request, response)
            )
            yield _exchange(
                (number, name), entry.get("method"), entry.get("url"), sent, status, answered
            )


def _line_body(side: Mapping[str, Any]) -> bytes:
    """Text as it is, anything else as JSON."""
    value = side.get("body")
    if value is None or isinstance(value, str):
        return _encoded(value, side.get("encoding"), "body") or b""
    return _utf8(json.dumps(value, ensure_ascii=False))


# -- their parts ---------------------------------------------------------------------------------


class _Entry:
    """Names the entry in what is wrong with it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if isinstance(error, UnreadableDocumentError):
            raise UnreadableDocumentError(f"entry {self.number}: {error}") from None


@frozen
class _Message:
    """One side of a call."""

    headers: dict[str, str]
    body: bytes | None
    form: tuple[FormField, ...] | None = None


def _exchange(
    where: tuple[int, str],
    method: Any,
    url: Any,
    sent: _Message,
    status: int | None,
    answered: _Message,
) -> RecordedExchange:
    name, address = _text(method, "method"), _text(url, "url")
    if not name:
        raise UnreadableDocumentError("it has no method")
    if not address:
        raise UnreadableDocumentError("it has no URL")
    _check_url(address)
    asked, answer = unpacked(sent.body, sent.headers), unpacked(answered.body, answered.headers)
    number, recording = where
    return RecordedExchange(
        number,
        name.upper(),
        address,
        sent.headers,
        asked,
        status,
        answered.headers,
        answer,
        sent.form,
        recording,
    )


def _check_url(address: str) -> None:
    try:
        parts = urlsplit(address)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        # Not shown: it may hold a key.
        raise UnreadableDocumentError("its URL is not an http(s) URL")


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnreadableDocumentError(f"{name} is not an object")
    return value


def _member(value: Mapping[str, Any], name: str, kind: type, owner: str) -> Any:
    if name not in value:
        raise UnreadableDocumentError(f"{owner} has no {name}")
    if not isinstance(value[name], kind):
        raise UnreadableDocumentError(f"{name} is not {'a list' if kind is list else 'an object'}")
    return value[name]


def _text(value: Any, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UnreadableDocumentError(f"{name} is not text")
    return value


def _status(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 100 <= value <= 599:
        raise UnreadableDocumentError("the status is not an HTTP status")
    return value


def _headers(value: Any) -> dict[str, str]:
    """By lower-case names; from objects with a name and a value, or from a mapping to text or lists of text."""
    if value is None:
        return {}
    if isinstance(value, list):
        rows = [_object(row, "a header") for row in value]
        pairs = [(row.get("name"), row.get("value")) for row in rows]
    else:
        pairs = list(_object(value, "headers").items())
    found: dict[str, str] = {}
    for name, given in pairs:
        texts = given if isinstance(given, list) else [given]
        if not isinstance(name, str) or not all(
            isinstance(text, str | int | float | bytes) for text in texts
        ):
            raise UnreadableDocumentError("a header is not text")
        joined = ", ".join(
            text.decode("latin-1") if isinstance(text, bytes) else str(text) for text in texts
        )
        found[name.lower()] = (
            f"{found[name.lower()]}, {joined}" if name.lower() in found else joined
        )
    return found


def _encoded(value: Any, encoding: Any, name: str) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise UnreadableDocumentError(f"the text of {name} is not text")
    if encoding in {None, ""}:
        return _utf8(value)
    if encoding != "base64":
        raise UnreadableDocumentError(f"{name} has an encoding that is not base64")
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableDocumentError(f"{name} is not base64") from None


def _utf8(text: str) -> bytes:
    # Halves of characters can be escaped in JSON, and no text can hold them.
    return text.encode("utf-8", "replace")


def _fields(value: Any) -> tuple[FormField, ...] | None:
    if not value:
        return None
    if not isinstance(value, list):
        raise UnreadableDocumentError("params is not a list")
    rows = [_object(row, "a param") for row in value]
    return tuple(
        FormField(
            _text(row.get("name"), "name"),
            None if row.get("fileName") else _text(row.get("value"), "value"),
        )
        for row in rows
    )
