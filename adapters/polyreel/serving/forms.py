"""Reads multipart/form-data as servers do (RFC 7578), and as the JSON body that a form stands for."""

from __future__ import annotations

import json
import re
from email.message import Message
from typing import Any, Final

from attrs import frozen

from ..places import JsonObject
from ..providers.base.contract import Contract, Operation

MAX_PARTS: Final = 1000
_NAMES: Final = re.compile(
    r';\s*(name|filename)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))', re.IGNORECASE
)
_TYPE: Final = re.compile(r"^content-type:\s*(\S+?)\s*(?:;|$)", re.IGNORECASE | re.MULTILINE)
_LITERAL: Final = re.compile(r"true|false|-?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,17})?")
_KINDS: Final = {"integer", "number", "boolean"}


@frozen
class FormPart:
    """One part of a form; a part with a file name is a file."""

    name: str
    filename: str | None
    content_type: str
    content: bytes
    """UTF-8 where the part is no file."""


def parse(content: bytes, content_type: str) -> list[FormPart]:
    """The parts of a form; ValueError where it is malformed or cut off."""
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_boundary()
    if not boundary:
        raise ValueError("the form has no boundary")
    # The line break before a delimiter is part of the delimiter, so the content is bytes of any kind.
    data, marker = b"\r\n" + content, b"\r\n--" + boundary.encode("latin-1", "replace")
    found: list[FormPart] = []
    start: int | None = None
    at = data.find(marker)
    while at >= 0:
        line, _, _ = data[at + len(marker) : at + len(marker) + 200].partition(b"\r\n")
        kind, end = line.rstrip(b" \t"), at + len(marker) + len(line)
        if kind in {b"", b"--"} and (kind or data[end : end + 2] == b"\r\n"):
            if start is not None:
                found.append(_part(data[start:at]))
            if kind:
                return found
            if len(found) >= MAX_PARTS:
                raise ValueError("the form has too many parts")
            start, headers = end + 2, data.find(b"\r\n\r\n", end)
            if headers < 0 or marker in data[start:headers]:
                raise ValueError("a part of the form has no end of headers")
            # What looks like a delimiter right behind the headers is content.
            at = data.find(marker, headers + 4)
        else:
            at = data.find(marker, at + 1)  # only looks like the boundary
    raise ValueError("the form is cut off")


def _part(data: bytes) -> FormPart:
    head, _, content = (b"\r\n" + data).partition(b"\r\n\r\n")
    text = head.decode("utf-8", "replace")
    names = {name.lower(): quoted or plain for name, quoted, plain in _NAMES.findall(text)}
    if "name" not in names:
        raise ValueError("a part of the form has no name")
    if "filename" not in names:
        _check_text(content)
    kind = _TYPE.search(text)
    return FormPart(
        names["name"], names.get("filename"), kind[1] if kind else "text/plain", content
    )


def _check_text(content: bytes) -> None:
    try:
        content.decode()
    except UnicodeDecodeError:
        raise ValueError("a text part of the form is not UTF-8") from None


def as_json(parts: list[FormPart], contract: Contract, operation: Operation) -> JsonObject:
    """The JSON twin of a form: files become URLs, text becomes what the field's schema says, repeats become lists."""
    values: dict[str, list[Any]] = {}
    for number, part in enumerate(parts, 1):
        is_file = part.filename is not None
        value = f"https://uploads.simulator.invalid/{number}" if is_file else part.content.decode()
        values.setdefault(part.name, []).append(value)
    return {
        name: _member(found, _schema(contract, operation, name)) for name, found in values.items()
    }


def _schema(contract: Contract, operation: Operation, name: str) -> JsonObject:
    names = (*operation.request_schemas, *([form] if (form := form_schema(operation)) else []))
    return next(
        (found for schema in names if (found := contract.property(schema, name)) is not None), {}
    )


def form_schema(operation: Operation) -> str | None:
    """The name of the schema of a call's form."""
    media = operation.spec.get("requestBody", {}).get("content", {}).get("multipart/form-data", {})
    reference = media.get("schema", {}).get("$ref")
    return reference.rpartition("/")[2] if isinstance(reference, str) else None


def _member(found: list[Any], schema: JsonObject) -> Any:
    if "array" in _kinds(schema) or len(found) > 1:
        return found
    return typed(found[0], schema)


def typed(text: str, schema: JsonObject) -> Any:
    """Text as the boolean or number that a schema asks for, where it is one."""
    return json.loads(text) if _kinds(schema) & _KINDS and _LITERAL.fullmatch(text) else text


def _kinds(schema: JsonObject) -> set[Any]:
    return {option.get("type") for option in schema.get("anyOf", [schema])}
