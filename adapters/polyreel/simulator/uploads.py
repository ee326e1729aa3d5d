"""Uploads: the file is checked, measured and named, and not kept."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen

from ..flows import Reply
from ..places import JsonObject
from ..serving import answers, calls, forms
from ..serving.calls import INVALID, Call, CallRefusedError


@frozen
class UploadedFile:
    """What an answer tells of an uploaded file. `size` is None where the vendor would have to fetch it."""

    name: str
    content_type: str
    size: int | None


def upload(call: Call) -> Reply:
    """The documented answer to an upload, with the file's facts and a URL of its own."""
    parts = calls.form(call)
    asked, file = _json_upload(call) if parts is None else _form_upload(call, parts)
    name = str(asked.get("file_name") or file.name)
    link = f"{call.links.public}/uploads/{call.number}/{re.sub(r'[^A-Za-z0-9._-]', '_', name)}"
    facts = {
        "file_name": name,
        "original_name": file.name,
        "mime_type": file.content_type,
        "file_size": file.size,
    }
    known = {member: value for member, value in asked.items() if member in _documented(call)}
    told = {member: value for member, value in {**known, **facts}.items() if value is not None}
    status, sample = answers.example(call.provider, call.operation, "uploaded")
    return answers.reply(call, status, _filled(sample, told, link))


def _documented(call: Call) -> set[str]:
    """The members that a request may have: what a stranger calls a field of theirs is not told back."""
    form = forms.form_schema(call.operation)
    schemas = [*call.operation.request_schemas, *([form] if form else [])]
    return {member for schema in schemas for member in call.provider.contract.properties(schema)}


def _form_upload(call: Call, parts: list[forms.FormPart]) -> tuple[JsonObject, UploadedFile]:
    asked = forms.as_json(parts, call.provider.contract, call.operation)
    if schema := forms.form_schema(call.operation):
        calls.check(call, schema, asked)
    for part in parts:
        if part.filename is not None:
            return asked, UploadedFile(
                part.filename or "file", part.content_type, len(part.content)
            )
    raise CallRefusedError(*INVALID, message="the form has no file")


def _json_upload(call: Call) -> tuple[JsonObject, UploadedFile]:
    """A file as a data URL or bare Base64, or the address of one, in the one member that is required."""
    if not call.operation.request_schemas:
        raise CallRefusedError(*INVALID, message="this call takes multipart/form-data only")
    asked, schema = calls.body(call), call.operation.request_schemas[0]
    calls.check(call, schema, asked)
    text = str(asked[call.provider.contract.schema(schema)["required"][0]])
    return asked, _fetched(text) if _is_link(text) else _decoded(text)


def _fetched(url: str) -> UploadedFile:
    name = urlsplit(url).path.rpartition("/")[2] or "file"
    return UploadedFile(name, mimetypes.guess_type(name)[0] or "application/octet-stream", None)


def _decoded(text: str) -> UploadedFile:
    head, comma, data = text.rpartition(",")
    kind = head.removeprefix("data:").partition(";")[0] if comma else "application/octet-stream"
    try:
        size = len(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        raise CallRefusedError(*INVALID, message="neither Base64 nor a public URL") from None
    return UploadedFile(f"file{mimetypes.guess_extension(kind) or ''}", kind, size)


def _filled(value: Any, facts: JsonObject, link: str, member: str = "") -> Any:
    """A sample with the file's facts under the names that uploads commonly have; every URL becomes the link."""
    if isinstance(value, dict):
        return {name: _filled(item, facts, link, name) for name, item in value.items()}
    return link if _is_link(value) else facts.get(member, value)


def _is_link(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://"))
