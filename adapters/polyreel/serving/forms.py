"""Reads multipart/form-data (RFC 7578), and as the JSON object that a form stands for."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from ..places import Json, JsonObject
from ..providers.base.contract import Contract, Operation

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_PARTS: Final = 1000
UPLOADS: Final = "https://uploads.simulator.invalid/"
"""What stands for a file in the JSON object of a form: this URL and the number of the part."""
_LITERAL: Final = re.compile(r"true|false|-?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,17})?")
_KINDS: Final = {"integer", "number", "boolean"}

# The parser logs a warning for every malformed form. Without a handler, Python prints it.
logging.getLogger("python_multipart").addHandler(logging.NullHandler())


@frozen
class FormPart:
    """One part of a form; a part with a file name is a file."""

    name: str
    filename: str | None
    content_type: str
    content: bytes
    """UTF-8 where the part is no file."""

    @property
    def text(self) -> str:
        """The content of a part that is no file."""
        return self.content.decode()


# -- parsing ---------------------------------------------------------------------------------------


def parse(content: bytes, content_type: str) -> list[FormPart]:
    """The parts of a form, given its body and its Content-Type header.

    Raises ValueError where the form is malformed, cut off or has more than `MAX_PARTS` parts, where
    a part has no name, and where a part that is no file is not UTF-8.
    """
    _, options = parse_options_header(content_type.encode("latin-1", "replace"))
    boundary = options.get(b"boundary")
    if not boundary:
        raise ValueError("the form has no boundary")
    form = _FormReader()
    try:
        MultipartParser(boundary, form.callbacks()).write(content)
    except FormParserError:
        raise ValueError("the form is malformed") from None
    if not form.is_complete:
        raise ValueError("the form is cut off")
    return form.parts


@define
class _FormReader:
    """Makes parts from what the parser reports."""

    parts: list[FormPart] = field(factory=list)
    is_complete: bool = False
    _headers: dict[bytes, bytes] = field(factory=dict)
    _header_name: bytes = b""
    _header_value: bytes = b""
    _chunks: list[bytes] = field(factory=list)

    def callbacks(self) -> MultipartCallbacks:
        """What the parser calls."""
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_to_header_name,
            "on_header_value": self._add_to_header_value,
            "on_header_end": self._end_header,
            "on_part_data": self._add_to_content,
            "on_part_end": self._end_part,
            "on_end": self._end_form,
        }

    def _begin_part(self) -> None:
        if len(self.parts) >= MAX_PARTS:
            raise ValueError("the form has too many parts")
        self._headers = {}
        self._chunks = []

    def _add_to_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_to_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _add_to_content(self, data: bytes, start: int, end: int) -> None:
        self._chunks.append(data[start:end])

    def _end_part(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name, filename = options.get(b"name"), options.get(b"filename")
        if name is None:
            raise ValueError("a part of the form has no name")
        content = b"".join(self._chunks)
        if filename is None:
            _check_text(content)
        kind, _ = parse_options_header(self._headers.get(b"content-type", b"text/plain"))
        self.parts.append(
            FormPart(
                _lenient(name),
                None if filename is None else _lenient(filename),
                _lenient(kind),
                content,
            )
        )

    def _end_form(self) -> None:
        self.is_complete = True


def _check_text(content: bytes) -> None:
    try:
        content.decode()
    except UnicodeDecodeError:
        raise ValueError("a text part of the form is not UTF-8") from None


def _lenient(value: bytes) -> str:
    return value.decode("utf-8", "replace")


# -- the JSON object that a form stands for --------------------------------------------------------


def as_json(parts: Iterable[FormPart], contract: Contract, operation: Operation) -> JsonObject:
    """The JSON object that the form of a call stands for; a URL takes the place of each file."""
    fields = [
        (part.name, part.text if part.filename is None else f"{UPLOADS}{number}")
        for number, part in enumerate(parts, 1)
    ]
    return object_of(fields, partial(_member_schema, contract, operation))


def object_of(
    fields: Iterable[tuple[str, str]], schema_of: Callable[[str], JsonObject]
) -> JsonObject:
    """The JSON object for the names and texts of a form's fields.

    `schema_of` gives the schema of a field by its name, or an empty one. Text becomes the number or
    boolean that the schema asks for. Repeated fields, and fields that are lists, become lists.
    """
    texts: dict[str, list[str]] = {}
    for name, text in fields:
        texts.setdefault(name, []).append(text)
    return {name: _member(found, schema_of(name)) for name, found in texts.items()}


def _member_schema(contract: Contract, operation: Operation, name: str) -> JsonObject:
    for schema in body_schemas(operation):
        if (found := contract.property(schema, name)) is not None:
            return found
    return {}


def body_schemas(operation: Operation) -> list[str]:
    """The names of the schemas of a call's bodies: first those for JSON, then that for a form."""
    form = form_schema(operation)
    return [*operation.request_schemas, *([] if form is None else [form])]


def form_schema(operation: Operation) -> str | None:
    """The name of the schema of a call's form."""
    media = operation.spec.get("requestBody", {}).get("content", {}).get("multipart/form-data", {})
    reference = media.get("schema", {}).get("$ref")
    return reference.rpartition("/")[2] if isinstance(reference, str) else None


def _member(texts: list[str], schema: JsonObject) -> Json:
    if "array" in _kinds(schema) or len(texts) > 1:
        return list[Json](texts)
    return typed(texts[0], schema)


def typed(text: str, schema: JsonObject) -> bool | int | float | str:
    """Text as the boolean or number that a schema asks for, where it is one."""
    if not _kinds(schema) & _KINDS or not _LITERAL.fullmatch(text):
        return text
    value: bool | int | float = json.loads(text)
    return value


def _kinds(schema: JsonObject) -> set[str]:
    """The JSON types that a schema allows."""
    found: set[str] = set()
    for option in schema.get("anyOf", [schema]):
        kind = option.get("type", [])
        found |= {kind} if isinstance(kind, str) else set(kind)
    return found
