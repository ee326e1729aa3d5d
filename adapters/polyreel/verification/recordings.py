"""Reads recordings: HAR 1.2, vcrpy's cassettes in YAML and JSON, and JSON Lines.

The content of a file decides which of them it is.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import frozen

from ..errors import RequestError
from .documents import MAX_BYTES, UnreadableDocumentError, from_json, from_yaml
from .exchanges import FormField, RecordedExchange, unpacked

KNOWN: Final = "a HAR file, a vcrpy cassette, or JSON Lines with a method and a url"
BOM: Final = b"\xef\xbb\xbf"


def read_recording(content: bytes, name: str) -> list[RecordedExchange]:
    """Every recorded call of a file, whose name is shown in messages.

    RequestError with one message, which names the entry, where the file is not usable.
    """
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
    """Whether a line is a JSON object of its own, and no HAR file or cassette."""
    try:
        value = from_json(line)
    except UnreadableDocumentError:
        return False
    return isinstance(value, dict) and not value.keys() & {"log", "interactions"}


# -- the three kinds -----------------------------------------------------------------------------


def _har(document: Mapping[str, Any], name: str) -> Iterator[RecordedExchange]:
    entries = _member(_object(document["log"], "log"), "entries", list, "log")
    for number, entry in enumerate(entries, 1):
        with _named_entry(number):
            sent, answer = _request_and_response(entry)
            # Browsers write 0 where no answer came.
            status = _status(answer.get("status") or None)
            method, url = sent.get("method"), sent.get("url")
            request, response = _har_request(sent), _har_response(answer)
            yield _exchange(number, name, method, url, request, status, response)


def _request_and_response(entry: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both sides of an entry of a HAR file or a cassette."""
    found = _object(entry, "the entry")
    request = _member(found, "request", dict, "the entry")
    return request, _object(found.get("response") or {}, "response")


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


def _cassette(document: object, name: str) -> Iterator[RecordedExchange]:
    if not isinstance(document, dict) or "interactions" not in document:
        raise UnreadableDocumentError(f"not a recording: {KNOWN} is")
    for number, entry in enumerate(_member(document, "interactions", list, "the cassette"), 1):
        with _named_entry(number):
            sent, answer = _request_and_response(entry)
            code = answer.get("status")
            status = _status(code.get("code") if isinstance(code, dict) else code)
            method, url = sent.get("method"), sent.get("uri")
            request, response = _cassette_message(sent), _cassette_message(answer)
            yield _exchange(number, name, method, url, request, status, response)


def _cassette_message(side: Mapping[str, Any]) -> _Message:
    return _Message(_headers(side.get("headers")), _cassette_body(side.get("body")))


def _cassette_body(value: object) -> bytes:
    if isinstance(value, dict):
        if "base64_string" in value:
            return _encoded(value["base64_string"], "base64", "body") or b""
        value = value.get("string")
    if isinstance(value, bytes):
        return value
    return _encoded(value, None, "body") or b""


def _json_lines(lines: list[bytes], name: str) -> Iterator[RecordedExchange]:
    for number, line in enumerate(lines, 1):
        with _named_entry(number):
            entry = _object(from_json(line), "the line")
            sent = _object(entry.get("request") or {}, "request")
            answer = _object(entry.get("response") or {}, "response")
            status = _status(answer.get("status"))
            method, url = entry.get("method"), entry.get("url")
            request, response = _line_message(sent), _line_message(answer)
            yield _exchange(number, name, method, url, request, status, response)


def _line_message(side: Mapping[str, Any]) -> _Message:
    return _Message(_headers(side.get("headers")), _line_body(side))


def _line_body(side: Mapping[str, Any]) -> bytes:
    """The bytes of a body: of a text as it is, of anything else as JSON."""
    value = side.get("body")
    if value is None or isinstance(value, str):
        return _encoded(value, side.get("encoding"), "body") or b""
    return _utf8(json.dumps(value, ensure_ascii=False))


# -- their parts ---------------------------------------------------------------------------------


@contextmanager
def _named_entry(number: int) -> Iterator[None]:
    """Name the entry in the message of what is wrong with it."""
    try:
        yield
    except UnreadableDocumentError as error:
        raise UnreadableDocumentError(f"entry {number}: {error}") from None


@frozen
class _Message:
    """One side of a call."""

    headers: dict[str, str]
    body: bytes | None
    form: tuple[FormField, ...] | None = None


def _exchange(
    number: int,
    recording: str,
    method: object,
    url: object,
    request: _Message,
    status: int | None,
    response: _Message,
) -> RecordedExchange:
    name, address = _text(method, "method"), _text(url, "url")
    if not name:
        raise UnreadableDocumentError("it has no method")
    if not address:
        raise UnreadableDocumentError("it has no URL")
    _check_url(address)
    return RecordedExchange(
        number=number,
        method=name.upper(),
        url=address,
        request_headers=request.headers,
        request_body=unpacked(request.body, request.headers),
        status=status,
        response_headers=response.headers,
        response_body=unpacked(response.body, response.headers),
        form=request.form,
        recording=recording,
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


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnreadableDocumentError(f"{name} is not an object")
    return value


def _member(value: Mapping[str, Any], name: str, kind: type, owner: str) -> Any:
    if name not in value:
        raise UnreadableDocumentError(f"{owner} has no {name}")
    if not isinstance(value[name], kind):
        raise UnreadableDocumentError(f"{name} is not {'a list' if kind is list else 'an object'}")
    return value[name]


def _text(value: object, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UnreadableDocumentError(f"{name} is not text")
    return value


def _status(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 100 <= value <= 599:
        raise UnreadableDocumentError("the status is not an HTTP status")
    return value


def _headers(value: object) -> dict[str, str]:
    """Headers by lower-case names.

    They are objects with a name and a value, or a mapping to texts or lists of texts.
    """
    if value is None:
        return {}
    if isinstance(value, list):
        rows = [_object(row, "a header") for row in value]
        pairs = [(row.get("name"), row.get("value")) for row in rows]
    else:
        pairs = list(_object(value, "headers").items())
    found: dict[str, str] = {}
    for name, given in pairs:
        if not isinstance(name, str):
            raise UnreadableDocumentError("a header is not text")
        texts = [_header_text(item) for item in (given if isinstance(given, list) else [given])]
        known = [found[name.lower()]] if name.lower() in found else []
        found[name.lower()] = ", ".join([*known, *texts])
    return found


def _header_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, str | int | float):
        raise UnreadableDocumentError("a header is not text")
    return str(value)


def _encoded(value: object, encoding: object, name: str) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise UnreadableDocumentError(f"the text of {name} is not text")
    if encoding is None or encoding == "":
        return _utf8(value)
    if encoding != "base64":
        raise UnreadableDocumentError(f"{name} has an encoding that is not base64")
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableDocumentError(f"{name} is not base64") from None


def _utf8(text: str) -> bytes:
    # JSON can escape lone surrogates, and no UTF-8 text can hold them.
    return text.encode("utf-8", "replace")


def _fields(value: object) -> tuple[FormField, ...] | None:
    if not value:
        return None
    if not isinstance(value, list):
        raise UnreadableDocumentError("params is not a list")
    return tuple(_field(_object(row, "a param")) for row in value)


def _field(row: Mapping[str, Any]) -> FormField:
    text = None if row.get("fileName") else _text(row.get("value"), "value")
    return FormField(_text(row.get("name"), "name"), text)
