"""What proves that a paid call was refused: the vendor's own form of an error, without a task."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from polyreel.flows import Reply
from polyreel.places import put
from polyreel.providers.base.contract import Contract, Operation
from polyreel.providers.base.facts import Reads
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.refusals import NOT_ACCEPTED, Refusal
from polyreel.providers.base.registry import all_providers
from support.faults import encoded
from support.loops import in_one

PAID = [
    (provider, operation)
    for provider in all_providers().values()
    for operation in provider.contract.operations.values()
    if operation.role in {"create", "stream"}
]
every_paid_call = pytest.mark.parametrize(
    ("provider", "operation"), PAID, ids=[operation.id for _, operation in PAID]
)
PAGES = {
    "html": b"<!doctype html><title>403 Forbidden</title>",
    "text": b"Forbidden",
    "empty": b"",
    "blank": b" \n",
    "no-object": b'["refused"]',
    "null": b"null",
    "foreign": b'{"blocked": true, "rule": 949110}',
    "nothing": b"{}",
    "cut": b'{"message": "refus',
    "half-character": rb'{"message": {"\ud800": 1}}',
    "deep": b'{"error":' * 10_000,
}


def read(provider: Provider, operation: Operation, status: int, content: bytes) -> Refusal:
    """What an answer proves."""
    return provider.read_refusal(operation, Reply(status, {}, content))


def documented(provider: Provider, operation: Operation) -> Iterator[tuple[int, str, Any]]:
    """Each documented error of a call that proves a refusal: status, code and body."""
    listed = operation.spec["x-polyreel-not-accepted"]
    pairs = operation.spec.get("x-polyreel-not-accepted-codes", {})
    for status, _, _, body in provider.contract.replies(operation):
        if status >= 400:
            code = str(provider.read_error(Reply(status, {}, encoded(body)))[0])
            if status in listed or code in pairs.get(str(status), ()):
                yield status, code, body


@in_one
@every_paid_call
def test_an_account_that_cannot_pay_is_known(provider: Provider, operation: Operation) -> None:
    """By every documented error of that kind, and by none of a wrong body or key: the next vendor
    is asked then.
    """
    for status, _, name, body in provider.contract.replies(operation):
        code, _ = provider.read_error(Reply(status, {}, encoded(body)))
        if name.startswith("insufficient_credits"):
            assert provider.says_no_money(status, code), name
        elif name in {"invalid_request", "unauthorized", "rate_limited"}:
            assert not provider.says_no_money(status, code), name


@every_paid_call
def test_documented_errors_are_proof(provider: Provider, operation: Operation) -> None:
    """Each documented error of a listed status, and no other one."""
    proofs = list(documented(provider, operation))
    assert proofs
    for status, _, body in proofs:
        assert read(provider, operation, status, encoded(body)).is_proof, body
    for status, _, _, body in provider.contract.replies(operation):
        if status >= 400 and all((status, body) != (one, other) for one, _, other in proofs):
            assert not read(provider, operation, status, encoded(body)).is_proof, body


@every_paid_call
def test_a_page_of_a_gateway_is_no_proof(provider: Provider, operation: Operation) -> None:
    """Whatever its status: the vendor behind the gateway may have accepted the job before."""
    for status in operation.spec["x-polyreel-not-accepted"]:
        for name, page in PAGES.items():
            found = read(provider, operation, status, page)
            assert not found.is_proof, name
            assert "own errors" in found.reason, name
            assert found.task is None, name


def with_task(body: dict[str, Any], provider: Provider) -> Iterator[dict[str, Any]]:
    """A body that names the task `task-1`, at each place where vendors have ids."""
    names = ("id", "task_id", "taskId", "job-id", "generation_id")
    yield from ({**body, name: "task-1"} for name in names)
    yield from ({**body, "data": {name: "task-1"}} for name in names)
    yield {**body, "data": [{"id": "task-1"}]}
    yield {**body, "data": json.dumps({"task": {"id": "task-1"}})}
    for place in provider.reads.id:
        named = {name: value for name, value in body.items() if name != place.partition(".")[0]}
        put(named, place, "task-1")
        yield named


@in_one
@every_paid_call
def test_a_refusal_that_names_a_task_is_no_proof(provider: Provider, operation: Operation) -> None:
    """Each documented refusal, with an id in it; the id is handed on, so that it can be adopted."""
    for status, _, body in documented(provider, operation):
        for named in with_task(body, provider):
            found = read(provider, operation, status, encoded(named))
            assert (found.is_proof, found.task) == (False, "task-1"), named
        number = read(provider, operation, status, encoded({**body, "id": 17}))
        assert (number.is_proof, number.task) == (False, "17")
        call = {} if "request_id" in provider.reads.id else {"request_id": "r-1"}
        empty = {**body, "id": None, "task_id": "", **call}
        assert read(provider, operation, status, encoded(empty)).is_proof


def test_pairs_of_status_and_code_are_proof() -> None:
    """Some contract has such pairs. The code without the status, or the reverse, proves nothing."""
    tried = 0
    for provider, operation in PAID:
        for status, codes in operation.spec.get("x-polyreel-not-accepted-codes", {}).items():
            for code, body in (
                (code, body)
                for code in codes
                for one, found, body in documented(provider, operation)
                if (str(one), found) == (status, code)
            ):
                content = encoded(body)
                other = content.replace(code.encode(), b"another_code")
                assert read(provider, operation, int(status), content).is_proof
                assert not read(provider, operation, int(status), other).is_proof
                assert not read(provider, operation, 500, content).is_proof
                assert not read(provider, operation, int(status), PAGES["html"]).is_proof
                tried += 1
    assert tried >= 1


class Acme(Provider):
    """A vendor with one paid call."""

    id = "acme"
    reads = Reads(id=("id",), status=("status",), outputs=())


OWN: dict[str, Any] = {
    "type": "object",
    "required": ["message"],
    "properties": {"message": {"type": "string"}},
}


def made(responses: dict[str, Any], **facts: Any) -> tuple[Provider, Operation]:
    """A vendor whose one paid call documents these answers, and the call."""
    spec = {"operationId": "create", "x-polyreel-role": "create", "responses": responses, **facts}
    document = {"servers": [{"url": "https://a.example"}], "paths": {"/a": {"post": spec}}}
    provider = Acme()
    provider.__dict__["contract"] = Contract(document)
    return provider, provider.contract.operations["create"]


def test_an_error_that_is_not_documented_has_the_form_of_the_others() -> None:
    """A listed status without a schema is read by the others' schemas; without any, it proves
    nothing. A status that is documented without a body has none.
    """
    own = {"content": {"application/json": {"schema": OWN}}}
    content = b'{"message": "no"}'
    provider, call = made({"400": own, "429": {"description": "Busy."}})
    assert all(read(provider, call, status, content).is_proof for status in NOT_ACCEPTED - {429})
    assert not read(provider, call, 409, b'{"code": 1}').is_proof
    assert read(provider, call, 429, b"").is_proof
    assert not read(provider, call, 429, content).is_proof
    assert not read(provider, call, 429, PAGES["html"]).is_proof
    provider, call = made({"200": own})
    assert not any(read(provider, call, status, content).is_proof for status in NOT_ACCEPTED)
