"""Bodies of messages as JSON values: JSON, forms and event streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..places import JsonObject, Pointer, find_value
from ..serving import forms
from .documents import UnreadableDocumentError, from_json
from .exchanges import FormField, RecordedExchange, content_type
from .members import describing_schemas
from .parameters import typed

FORM: Final = "multipart/form-data"
STREAM: Final = "text/event-stream"
FILE: Final = "https://file.invalid/"
"""The value of a file in a form is this, with a number."""


def is_json(kind: str) -> bool:
    """Whether a content type is JSON's."""
    return kind == "application/json" or kind.endswith("+json")


def _looks_like_json(content: bytes) -> bool:
    try:
        return isinstance(from_json(content), (dict, list))
    except UnreadableDocumentError:
        return False


def kind_of_body(
    headers: Mapping[str, str], content: bytes | None, documented: Mapping[str, Any]
) -> str:
    """The content type of a body; without a header, the documented one that it can be."""
    if kind := content_type(headers):
        return next((one for one in documented if one.lower() == kind), kind)
    if content and _looks_like_json(content):
        return "application/json"
    return next(iter(documented), "application/octet-stream")


def form_fields(exchange: RecordedExchange) -> Sequence[FormField]:
    """The fields of a form; UnreadableDocumentError where the body is none."""
    if exchange.form is not None:
        return exchange.form
    content = exchange.request_body or b""
    if b"\r\n" not in content:
        content = content.replace(b"\n", b"\r\n")  # some recorders rewrite the ends of lines
    header = exchange.request_headers.get("content-type", "").replace("\n", " ")
    try:
        parts = forms.parse(content, header)
    except ValueError as error:
        raise UnreadableDocumentError(str(error)) from None
    return [
        FormField(part.name, None if part.filename is not None else part.content.decode())
        for part in parts
    ]


def form_value(document: JsonObject, pointer: Pointer, fields: Sequence[FormField]) -> JsonObject:
    """The value that a form stands for, by its schema.

    Texts become numbers and booleans where the schema asks for them. Repeated fields become lists.
    """
    found: dict[str, list[str]] = {}
    for number, field in enumerate(fields, 1):
        text = f"{FILE}{number}" if field.text is None else field.text
        found.setdefault(field.name, []).append(text)
    value: JsonObject = {}
    for name, texts in found.items():
        schema = _schema_of_field(document, pointer, name)
        is_list = len(texts) > 1 or _takes_list(schema)
        value[name] = texts if is_list else typed(texts[0], schema)
    return value


def _schema_of_field(document: JsonObject, pointer: Pointer, name: str) -> JsonObject:
    for place in describing_schemas(document, pointer, {}):
        found = find_value(document, (*place, "properties", name))
        if isinstance(found, dict):
            return found
    return {}


def _takes_list(schema: JsonObject) -> bool:
    options = schema.get("anyOf", [schema])
    return any(isinstance(one, dict) and one.get("type") == "array" for one in options)


def event_texts(content: bytes) -> list[str]:
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
