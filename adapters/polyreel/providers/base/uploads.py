"""Uploads as a contract describes them: `x-polyreel-upload` at its call with the role `upload`.

In two steps the vendor gives a link, and the file is sent there: it says where the body takes the
`name` and the `type` of the file, and where the answer has the link that the file is sent `to`, and
the `link` by which jobs name it. In one step it says which part of a form is the `file`, and where
the answer has the `link`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from attrs import evolve

from ...errors import VendorError
from ...flows import Flow, Part, Put, Reply, Send, send_patiently
from .answers import first
from .calling import parameters

if TYPE_CHECKING:
    from .provider import Provider


def upload_by_link(provider: Provider, file: Part, name: str) -> Flow[str]:
    """Upload a file; the result is the link by which jobs name it. Raises VendorError."""
    operation = provider.contract.operation("upload")
    assert operation is not None, f"{provider.id} has no upload"
    facts: dict[str, str] = operation.spec["x-polyreel-upload"]
    kind = file.content_type or "application/octet-stream"
    fixed = {
        one["name"]: one["schema"]["const"]
        for one in parameters(provider.contract, operation, "query")
        if "const" in one["schema"]
    }
    begin = Send(
        provider.id,
        operation.method,
        operation.server + operation.path,
        content=json.dumps({facts["name"]: name, facts["type"]: kind}).encode(),
        headers={"Content-Type": "application/json"},
        params=fixed,
    )
    reply = yield from send_patiently(begin)
    body = reply.json() if reply.ok else {}
    target, link = (
        first(body, (facts[one],)) if isinstance(body, dict) else None for one in ("to", "link")
    )
    if not isinstance(target, str) or not isinstance(link, str):
        _, message = provider.read_error(reply)
        text = f"{provider.id} gave no link for a file: {message}"
        raise VendorError(text, vendor=provider.id, status=reply.status)
    done = yield Put(provider.id, target, file)
    assert isinstance(done, Reply)
    if not done.ok:
        text = f"{provider.id} did not take a file: HTTP {done.status}"
        raise VendorError(text, vendor=provider.id, status=done.status)
    return link


def upload_by_form(provider: Provider, file: Part, name: str) -> Flow[str]:
    """Upload a file as a form; the result is the link by which jobs name it. Raises VendorError."""
    operation = provider.contract.operation("upload")
    assert operation is not None, f"{provider.id} has no upload"
    facts: dict[str, str] = operation.spec["x-polyreel-upload"]
    part = evolve(file, name=facts["file"], filename=name)
    url = operation.server + operation.path
    asked = Send(provider.id, operation.method, url, parts=(part,), deadline=300.0)
    reply = yield from send_patiently(asked)
    body = reply.json() if reply.ok else {}
    link = first(body, (facts["link"],)) if isinstance(body, dict) else None
    if not isinstance(link, str):
        _, message = provider.read_error(reply)
        text = f"{provider.id} gave no link for a file: {message}"
        raise VendorError(text, vendor=provider.id, status=reply.status)
    return link
