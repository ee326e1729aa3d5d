"""Reads a multipart body back into the JSON body it stands for."""

from __future__ import annotations

import json
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from ..codecs import Json
from ..contract import Contract, Operation


def read(content: bytes, content_type: str, contract: Contract, operation: Operation) -> Json:
    """The JSON twin of a form: files become URLs, text becomes what the field's schema says, repeats become lists."""
    head = b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n"
    message = BytesParser(policy=HTTP).parsebytes(head + content)
    values: dict[str, list[Any]] = {}
    for number, part in enumerate(message.iter_parts() if message.is_multipart() else (), 1):
        name = part.get_param("name", header="content-disposition")
        if not isinstance(name, str):
            continue
        if part.get_filename() is not None:
            values.setdefault(name, []).append(f"https://uploads.simulator.invalid/{number}")
        else:
            payload = part.get_payload(decode=True)
            text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
            values.setdefault(name, []).append(text)
    return {name: _typed(found, _schema(contract, operation, name)) for name, found in values.items()}


def _schema(contract: Contract, operation: Operation, name: str) -> Json:
    for schema in operation.request_schemas:
        if (found := contract.property(schema, name)) is not None:
            return found
    return {}


def _typed(found: list[Any], schema: Json) -> Any:
    kinds = {option.get("type") for option in schema.get("anyOf", [schema])}
    if "array" in kinds or len(found) > 1:
        return found
    if kinds & {"integer", "number", "boolean"}:
        try:
            return json.loads(found[0])
        except ValueError:
            return found[0]
    return found[0]
