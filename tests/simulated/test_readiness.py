"""What a vendor's free calls say about it: which calls they are, and what their answers mean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Final

import httpx
import pytest
from attrs import evolve
from polyreel import Client, Simulator
from polyreel.drivers import run
from polyreel.errors import TransportError
from polyreel.flows import Flow, Reply, Send
from polyreel.providers.base.contract import Contract
from polyreel.providers.base.provider import Provider
from polyreel.testing.contracts import ROLES
from polyreel.verification.probing import reading_operations, recorded
from polyreel.verification.readiness import (
    OF_ACCOUNTS,
    Readiness,
    check_readiness,
    free_calls,
)
from support.odd_queue import QueueVendor
from support.odd_vendors import ListVendor
from support.server import PROVIDERS

ALL: Final = [*PROVIDERS, ListVendor(), QueueVendor()]
ROUTED: Final = [
    provider
    for provider in PROVIDERS
    for operation, _ in free_calls(provider)
    if operation.role == "get"
    and {"unknown_route"} == {n for s, _, n, _ in provider.contract.replies(operation) if s == 404}
]
"""The vendors whose 404 to a status query is about the path."""
CHANGING: Final = {"create", "stream", "cancel"}
ODD: Final = (
    *(b"", b"null", b"[]", b"1", b'"x"', b"{", b"{}", b"\xff\xfe", b"[" * 5000 + b"]" * 5000),
    *(b'{"code": []}', b'{"code": 0}', b'{"error": "x"}', b'{"error": {"code": 5}}', b'{"a": NaN}'),
)
each_vendor = pytest.mark.parametrize("provider", ALL, ids=lambda provider: provider.id)
each_own = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.id)


def changes(role: str) -> bool:
    """Whether calls with a role pay or change something."""
    return role in CHANGING or role.startswith("upload")


def answered(provider: Provider, reply: Reply | TransportError) -> Readiness:
    """What is found where a vendor answers each call so."""
    flow = check_readiness(provider)
    step = next(flow)
    try:
        while True:
            assert isinstance(step, Send)
            step = flow.throw(reply) if isinstance(reply, TransportError) else flow.send(reply)
    except StopIteration as stop:
        found: Readiness = stop.value
        return found


def examples(provider: Provider, status: int) -> Iterator[Reply]:
    """The documented answers of a status query with an HTTP status."""
    query = provider.contract.operation("get")
    assert query is not None
    for one, _, _, body in provider.contract.replies(query):
        if one == status:
            yield Reply(status, {"content-type": "application/json"}, json.dumps(body).encode())


def page(status: int) -> Reply:
    """A page of something that stands before a vendor."""
    return Reply(status, {"Content-Type": "text/html"}, b"<html>sign in</html>")


# -- which calls -----------------------------------------------------------------------------------


@each_vendor
def test_no_paid_or_changing_call_is_made(provider: Provider) -> None:
    """Each is a GET without a body of a documented call that creates, uploads, cancels nothing."""
    made = free_calls(provider)
    assert made
    for operation, step in made:
        assert (step.method, step.paid, step.stream) == ("GET", False, False)
        assert (step.content, step.parts) == (None, ())
        found = provider.contract.match("GET", httpx.URL(step.url).path)
        assert found is not None
        assert found[0] is operation
        assert step.url.startswith(operation.server)
        assert not changes(operation.role)
    assert "get" in {operation.role for operation, _ in made}


@pytest.mark.parametrize("role", [*ROLES, "", "models", "upload-base64"])
def test_no_role_that_pays_is_asked_whatever_its_method_is(role: str) -> None:
    """Any other call that needs nothing is: a new role comes in by itself."""
    call = {"operationId": "one", "x-polyreel-role": role, "responses": {}}
    needing = {"parameters": [{"name": "q", "in": "query", "required": True, "schema": {}}]}
    paths = {
        "/one": {"get": call},
        "/changed": {"post": {**call, "operationId": "two"}},
        "/needing": {"get": {**call, **needing, "operationId": "three"}},
        "/tasks/{id}": {"get": {**call, "operationId": "four"}},
    }
    found = reading_operations(Contract({"paths": paths}))
    assert [one.path for one in found] == (["/one"] if role and not changes(role) else [])


def test_a_recorded_call_has_its_query() -> None:
    """So that its parameters are compared with the spec too."""
    step = Send("list-vendor", "GET", "https://api.list.example/v9/tasks", params={"task_ids": "a"})
    url = recorded(1, step, Reply(200, {}, b"{}")).url
    assert url == "https://api.list.example/v9/tasks?task_ids=a"


@each_own
def test_the_simulator_finds_each_vendor_ready_and_bills_nothing(provider: Provider) -> None:
    """The key is accepted, nothing differs from the spec, and there is no task."""
    simulator = Simulator(seed=1)
    with Client(simulator=simulator) as client:
        found = run(check_readiness(provider), client.wire)
    assert (found.state, found.key, found.differences) == ("ready", "accepted", ())
    assert [one.outcome for one in found.calls if one.role == "get"] == ["no such task"]
    assert len(found.calls) == len(free_calls(provider))
    assert simulator.bill.count() == 0


@each_own
def test_the_simulator_refuses_another_key(provider: Provider) -> None:
    """In the vendor's own words; no further call is made with it."""
    with Client(simulator=Simulator(seed=1, keys=frozenset({"the-right-key"}))) as client:
        found = run(check_readiness(provider), client.wire)
    refused = [one for one in found.calls if one.outcome == "key refused"]
    assert (found.state, found.key, len(refused)) == ("key refused", "refused", 1)
    assert found.calls[-1] is refused[0]
    assert (refused[0].status, bool(refused[0].words), found.differences) == (401, True, ())


# -- what answers mean -----------------------------------------------------------------------------


@each_vendor
def test_a_page_says_nothing_of_the_key(provider: Provider) -> None:
    """It is no answer of the vendor's, whatever its status is, and is not quoted."""
    for status in (200, 401, 403, 404, 502):
        found = answered(provider, page(status))
        assert (found.state, found.key) == ("failing", "not proved")
        assert {one.outcome for one in found.calls} == {"foreign"}
        assert all("text/html" in one.words and "sign in" not in one.words for one in found.calls)


@each_own
def test_a_refusal_of_a_gateway_is_none_of_the_key(provider: Provider) -> None:
    """JSON in another form than the vendor's errors proves nothing."""
    for status in (401, 403):
        found = answered(provider, Reply(status, {}, b'{"gateway": "no"}'))
        assert (found.state, found.key) == ("failing", "not proved")


@each_vendor
def test_what_each_documented_error_means(provider: Provider) -> None:
    """401 and 403 refuse the key; 404 is what is asked for; others are told as failures."""
    seen = set()
    for status in (401, 402, 403, 404, 429, 500, 503):
        for reply in examples(provider, status):
            found = answered(provider, reply)
            seen.add(status)
            query = found.calls[-1]
            if status in {401, 403}:
                assert (found.state, query.outcome) == ("key refused", "key refused")
            elif status == 404 and provider not in ROUTED:
                assert (found.key, query.outcome) == ("accepted", "no such task")
            else:
                outcome = "foreign" if status == 404 else "failed"
                assert (found.state, query.outcome) == ("failing", outcome)
                assert query.words
    assert 401 in seen


@pytest.mark.parametrize("provider", ROUTED, ids=lambda provider: provider.id)
def test_an_address_without_the_call_proves_no_key(provider: Provider) -> None:
    """Where the contract says that the 404 of a status query means this."""
    (reply,) = examples(provider, 404)
    found = answered(provider, reply)
    assert (found.state, found.key) == ("failing", "not proved")
    assert found.calls[-1].words.startswith("there is no such call at this address: ")


def test_errors_with_http_200_are_read() -> None:
    """The one for an unknown task is what is asked for; another one proves no key."""
    provider = ListVendor()
    body = {"code": 1203, "message": "no such task"}
    found = answered(provider, Reply(200, {}, json.dumps(body).encode()))
    assert (found.state, found.key, found.calls[0].outcome) == ("ready", "accepted", "no such task")
    other = answered(provider, Reply(200, {}, json.dumps({**body, "code": 1200}).encode()))
    assert (other.state, other.key, other.calls[0].outcome) == ("ready", "not proved", "id refused")
    assert other.calls[0].words == "1200: no such task"


@each_vendor
def test_no_answer_breaks_it(provider: Provider) -> None:
    """Whatever comes is judged; nothing is raised, and a key is accepted by a good answer only."""
    statuses = cycle((200, 401, 302, 404, 204, 500, 200))
    for content, status in zip(ODD, islice(statuses, ALL.index(provider), None), strict=False):
        found = answered(provider, Reply(status, {}, content))
        assert found.state in {"ready", "differs", "failing", "key refused"}
        assert found.key != "accepted" or status in {200, 204, 404}


@each_own
def test_what_everybody_may_ask_proves_no_key(provider: Provider) -> None:
    """Such as the keys of webhooks: only what is about the account, or one of its tasks, does."""
    with Client() as client:
        found = run(failing(check_readiness(provider), provider), client.wire)
    public = {one.role for one in found.calls} - OF_ACCOUNTS
    assert all(one.outcome == "answered" for one in found.calls if one.role in public)
    assert (found.state, found.key) == ("failing", "not proved")


def failing(flow: Flow[Readiness], provider: Provider) -> Flow[Readiness]:
    """A flow whose calls about the account are answered with an error of the server."""
    roles = [operation.role for operation, _ in free_calls(provider)]
    step = next(flow)
    for role in roles:
        reply = yield step
        broken = next(examples(provider, 500), page(500))
        try:
            step = flow.send(broken if role in OF_ACCOUNTS else reply)
        except StopIteration as stop:
            found: Readiness = stop.value
            return found
    raise AssertionError("more calls than were told")


@each_vendor
def test_a_dead_address_is_asked_once(provider: Provider) -> None:
    """What the driver says is kept; no other call is made."""
    error = TransportError(f"{provider.id}: connection failed", sent=False, vendor=provider.id)
    found = answered(provider, error)
    assert (found.state, found.failure, found.calls) == ("not reached", error, ())


@each_own
def test_another_member_differs(provider: Provider) -> None:
    """As `verify` words it, with its place; the key is accepted all the same."""
    with Client() as client:
        found = run(with_a_member(check_readiness(provider)), client.wire)
    assert (found.state, found.key) == ("differs", "accepted")
    assert {one.traffic for one in found.differences} == {"/response/body/novel"}
    assert {one.severity for one in found.differences} == {"news"}


def with_a_member(flow: Flow[Readiness]) -> Flow[Readiness]:
    """A flow whose answers have one member more."""
    step = next(flow)
    while True:
        reply = yield step
        body = reply.json()
        if isinstance(body, dict):
            reply = evolve(reply, content=json.dumps({**body, "novel": 1}).encode())
        try:
            step = flow.send(reply)
        except StopIteration as stop:
            found: Readiness = stop.value
            return found
