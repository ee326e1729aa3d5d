"""Bodies as values: JSON, forms and event streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email import policy
from email.parser import BytesParser
from typing import Any, Final

from ..places import JsonObject, Pointer, find
from .documents import UnreadableDocumentError, from_json
from .exchanges import FormField, RecordedExchange, content_type
from .members import described
from .parameters import typed

FORM: Final = "multipart/form-data"
STREAM: Final = "text/event-stream"
FILE: Final = "https://file.invalid/"
"""What stands for a file in the value of a form."""


def is_json(kind: str) -> bool:
    """Whether a content type is JSON's."""
    return kind == "application/json" or kind.endswith("+json")


def looks_like_json(content: bytes) -> bool:
    """Whether a body is JSON, whatever it is said to be."""
    try:
        return isinstance(from_json(content), (dict, list))
    except UnreadableDocumentError:
        return False


def kind_of_body(
    headers: Mapping[str, str], content: bytes | None, documented: Mapping[str, Any]
) -> str:
    """The content type of a body; where none is told, the documented one that it can be."""
    if kind := content_type(headers):
        return next((one for one in documented if one.lower() == kind), kind)
    if content and looks_like_json(content):
        return "application/json"
    return next(iter(documented), "application/octet-stream")


def form_of(exchange: RecordedExchange) -> list[FormField]:
    """The fields of a form; UnreadableError where it is none."""
    if exchange.form is not None:
        return list(exchange.form)
    head = (
        exchange.request_headers.get("content-type", "")
        .encode("latin-1", "replace")
        .replace(b"\n", b" ")
    )
    message = BytesParser(policy=policy.compat32).parsebytes(
        b"Content-Type: " + head + b"\r\n\r\n" + (exchange.request_body or b"")
    )
    if not message.is_multipart():
        raise UnreadableDocumentError("the form cannot be read")
    fields = []
    for part in message.get_payload():
        assert not isinstance(part, str)
        name = part.get_param("name", header="content-disposition")
        if not isinstance(name, str):
            raise UnreadableDocumentError("a part of the form has no name")
        content = part.get_payload(decode=True)
        text = content.decode("utf-8", "replace") if isinstance(content, bytes) else ""
        fields.append(FormField(name, None if part.get_filename() is not None else text))
    return fields


def form_value(document: JsonObject, pointer: Pointer, fields: Sequence[FormField]) -> JsonObject:
    """The value a form stands for, by its schema: text as what it should be, repeated fields as lists."""
    found: dict[str, list[Any]] = {}
    for number, field in enumerate(fields, 1):
        found.setdefault(field.name, []).append(
            f"{FILE}{number}" if field.text is None else field.text
        )
    value: JsonObject = {}
    for name, items in found.items():
        schema = _member(document, pointer, name)
        listed = len(items) > 1 or _wants_list(schema)
        value[name] = items if listed else typed(items[0], schema)
    return value


def _member(document: JsonObject, pointer: Pointer, name: str) -> JsonObject:
    for place in described(document, pointer, {}):
        if isinstance(found := find(document, (*place, "properties", name)), dict):
            return found
    return {}


def _wants_list(schema: JsonObject) -> bool:
    options = schema.get("anyOf", [schema])
    return any(isinstance(one, dict) and one.get("type") == "array" for one in options)


def events_of(content: bytes) -> list[str]:
    """The data of every event of a stream."""
    found: list[str] = []
    lines: list[str] = []
    for line in [*content.decode("utf-8", "replace").splitlines(), ""]:
        if not line and lines:
            found.append("\n".join(lines))
            lines = []
        elif line.startswith("data:"):
            lines.append(line.removeprefix("data:").removeprefix(" "))
    return found
