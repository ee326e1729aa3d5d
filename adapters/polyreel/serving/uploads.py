"""Uploads: the file is checked, measured and named. Whoever answers may keep it."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from attrs import field, frozen

from ..flows import Reply
from ..mapping import media
from ..mapping.limits import LimitViolation, MeasuredFile, limit_violations
from ..places import Json, JsonObject, leaves
from ..providers.base.routes import Route
from . import answers, calls, forms
from .calls import INVALID, Call, CallRefusedError, IncomingRequest


@frozen
class UploadedFile:
    """What an answer says about an uploaded file."""

    name: str
    content_type: str
    size: int | None
    """In bytes; None where the vendor would have to download it first."""
    content: bytes | None = field(default=None, repr=False)


@frozen
class Uploads:
    """What is known of the files that were sent. A subclass may keep them."""

    _known: dict[str, MeasuredFile] = field(factory=dict)
    """What counts of each file, by its link without the scheme."""

    def upload(self, call: Call) -> Reply:
        """The documented answer to an upload, with the file's facts and a URL of its own.

        A file that the vendor does not take, by its documents, is refused.
        """
        if "to" in call.operation.spec.get("x-polyreel-upload", {}):
            return self._begun(call)
        parts = calls.form(call)
        asked, file = _json_upload(call) if parts is None else _form_upload(call, parts)
        measured = _measured(file.content)
        if measured is not None:
            for violation in limit_violations(call.provider.contract.upload_facts, measured):
                if not violation.inferred:
                    raise _refused(violation)
        name = str(asked.get("file_name") or file.name)
        link = self.kept(call.request, name, file.content)
        if measured is not None:
            self._known[bare(link)] = measured
        facts = {
            "file_name": name,
            "original_name": file.name,
            "mime_type": file.content_type,
            "file_size": file.size,
        }
        documented = _documented_members(call)
        known = {member: value for member, value in asked.items() if member in documented}
        shown = {member: value for member, value in {**known, **facts}.items() if value is not None}
        return self.answer(call, shown, link)

    def _begun(self, call: Call) -> Reply:
        """The answer to an upload whose file comes later: the link that takes it."""
        calls.query_parameters(call)
        asked = calls.body(call)
        calls.check_body(call, call.operation.request_schemas[0], asked)
        name = str(asked[call.operation.spec["x-polyreel-upload"]["name"]])
        return self.answer(call, {}, self.kept(call.request, name, None))

    def kept(self, request: IncomingRequest, name: str, content: bytes | None) -> str:
        """The link to a file that was sent, or that is to be put there. It is not kept here."""
        return new_link(request, name, request.number)

    def answer(self, call: Call, facts: JsonObject, link: str) -> Reply:
        """The documented answer to an upload, with the facts of the file and its link."""
        status, sample = answers.example(call.provider, call.operation, "uploaded")
        return answers.reply(call, status, _filled(answers.here(call, sample), facts, link))

    def put(self, request: IncomingRequest) -> Reply:
        """Take a file at a link that an upload has given."""
        measured = _measured(request.content)
        if measured is not None:
            self._known[bare(request.links.public + request.path)] = measured
        return Reply(200, {}, b"")

    def check(self, call: Call, route: Route, body: JsonObject) -> None:
        """Refuse a submit with a file that its field does not take: uploaded, or in the form."""
        contract, sent = call.provider.contract, self._sent(call)
        for at, value in leaves(body):
            if not isinstance(value, str) or bare(value) not in sent:
                continue
            place = ".".join(part for part in at.strip("/").split("/") if not part.isdigit())
            field_facts = (contract.property(route.schema, place) or {}).get("x-polyreel-media", {})
            for violation in limit_violations(field_facts, sent[bare(value)]):
                if not violation.inferred:
                    raise _refused(violation, f"{place}: ")

    def _sent(self, call: Call) -> Mapping[str, MeasuredFile]:
        """The files that a body can mean, by what stands for them there."""
        files = {
            bare(f"{forms.UPLOADS}{number}"): measured
            for number, part in enumerate(calls.form(call) or (), 1)
            if part.filename is not None and (measured := _measured(part.content)) is not None
        }
        return {**self._known, **files}


def _measured(content: bytes | None) -> MeasuredFile | None:
    """What counts of a file; None where its bytes are of no known type."""
    head = (content or b"")[:16]
    kind = media.content_type(head, "image") or media.content_type(head, "video")
    return media.LocalFile(kind, content=content).measured if kind else None


def new_link(request: IncomingRequest, name: str, number: int) -> str:
    """A link to a file below whoever answers."""
    quoted = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return f"{request.links.public}/uploads/{number}/{quoted}"


def _refused(violation: LimitViolation, place: str = "") -> CallRefusedError:
    named = {"formats": "type_not_allowed", "max_bytes": "too_large"}.get(violation.fact)
    message = f"{place}{violation.reason}; {violation.limit} is taken"
    return CallRefusedError(*([named] if named else []), *INVALID, message=message)


def _documented_members(call: Call) -> set[str]:
    """The members that a request may have. Others are not repeated in the answer."""
    contract = call.provider.contract
    schemas = forms.body_schemas(call.operation)
    return {member for schema in schemas for member in contract.properties(schema)}


def _form_upload(call: Call, parts: list[forms.FormPart]) -> tuple[JsonObject, UploadedFile]:
    asked = calls.form_body(call, parts)
    for part in parts:
        if part.filename is not None:
            name = part.filename or "file"
            return asked, UploadedFile(name, part.content_type, len(part.content), part.content)
    raise CallRefusedError(*INVALID, message="the form has no file")


def _json_upload(call: Call) -> tuple[JsonObject, UploadedFile]:
    """The body, and the file in its one required member: a data URL, bare Base64, or an address."""
    if not call.operation.request_schemas:
        raise CallRefusedError(*INVALID, message="this call takes multipart/form-data only")
    asked, schema = calls.body(call), call.operation.request_schemas[0]
    calls.check_body(call, schema, asked)
    text = str(asked[call.provider.contract.schema(schema)["required"][0]])
    if not text:
        raise CallRefusedError(*INVALID, message="the file is empty")
    return asked, _file_at(text) if _is_link(text) else _file_of_base64(text)


def _file_at(url: str) -> UploadedFile:
    name = urlsplit(url).path.rpartition("/")[2] or "file"
    return UploadedFile(name, mimetypes.guess_type(name)[0] or "application/octet-stream", None)


def _file_of_base64(text: str) -> UploadedFile:
    head, comma, data = text.rpartition(",")
    kind = head.removeprefix("data:").partition(";")[0] if comma else "application/octet-stream"
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise CallRefusedError(*INVALID, message="neither Base64 nor a public URL") from None
    return UploadedFile(f"file{mimetypes.guess_extension(kind) or ''}", kind, len(content), content)


def _filled(value: Json, facts: JsonObject, link: str, member: str = "") -> Json:
    """A sample with facts in the place of members with their names; every URL becomes the link.

    One of another scheme, by which only the vendor finds the file, keeps that.
    """
    if isinstance(value, dict):
        return {name: _filled(item, facts, link, name) for name, item in value.items()}
    if isinstance(value, str) and "://" in value:
        return link if _is_link(value) else f"{value.partition('://')[0]}://{bare(link)}"
    found: Json = facts.get(member, value)
    return found


def bare(link: str) -> str:
    """A link without its scheme."""
    return link.partition("://")[2]


def _is_link(value: Json) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://"))
