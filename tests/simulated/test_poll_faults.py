"""What goes wrong with queries, lists, uploads and webhooks, through a plain httpx client."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
from polyreel.errors import UnknownNameError
from polyreel.flows import Answer, Reply
from polyreel.places import JsonObject
from polyreel.providers.base.contract import Operation
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import get_provider
from polyreel.providers.base.webhooks import parse
from polyreel.serving.signing import identity_header
from polyreel.simulator import Simulator, VirtualClock
from polyreel.simulator.scripting import scriptable
from polyreel.simulator.webhooks import deliveries
from standardwebhooks import Webhook, WebhookVerificationError
from support.browser import (
    LISTS,
    POLLS,
    UPLOADS,
    Browser,
    Kind,
    address,
    each_kind,
    ended,
    status_of,
)
from support.server import (
    PROVIDERS,
    START,
    calls,
    each_vendor,
    example,
    finish,
    key_of,
    named,
    new_simulator,
    poll,
    status_query,
    submit,
)
from support.webhooks import OTHER_SECRET, SECRET, SIGNED, STANDARD, UNSIGNED, told

if TYPE_CHECKING:
    from collections.abc import Iterator


# -- polls -----------------------------------------------------------------------------------------


@pytest.mark.matrix("name", "provider", "kind")
@pytest.mark.parametrize("name", POLLS)
@each_vendor
@each_kind
def test_a_poll_can_go_wrong(name: str, provider: Provider, kind: Kind) -> None:
    """Once, in the shape that the fault says; the next one tells the truth, and nothing is billed
    for either.
    """
    simulator = new_simulator()
    browser, task = Browser(simulator, kind), ended(simulator, provider)
    url = address(status_query(provider), task.id)
    simulator.inject(name)
    seen = browser.ask("GET", url)
    assert status_of(seen) == POLLS[name]
    if (
        isinstance(seen, httpx.Response)
        and seen.headers["content-type"] == "application/json"
        and seen.is_success
    ):
        facts = provider.read(Reply(200, {}, seen.content))
        assert facts.status == {"regressing-status": "running", "no-output": "succeeded"}.get(
            name, "unknown"
        )
        assert facts.word == (None if name in {"poll-empty", "missing-status"} else facts.word)
        assert facts.id == (None if name == "poll-empty" else task.id)
        in_states = provider.contract.operation("result") is None
        assert bool(facts.urls) == (in_states and name in {"unknown-status", "missing-status"})
    assert poll(simulator, provider, task.id).status == "succeeded"
    assert simulator.fired == [(provider.id, name)]
    assert simulator.bill.count() == 1


@each_vendor
@each_kind
def test_a_task_can_be_denied(provider: Provider, kind: Kind) -> None:
    """In the words that the vendor has for tasks it does not know."""
    simulator = new_simulator()
    browser, task = Browser(simulator, kind), ended(simulator, provider)
    simulator.inject("poll-not-found")
    seen = browser.get(address(status_query(provider), task.id))
    code, _ = provider.read_error(Reply(seen.status_code, {}, seen.content))
    assert provider.is_not_found(seen.status_code, code)
    assert poll(simulator, provider, task.id).status == "succeeded"


@each_vendor
def test_faults_wait_for_the_state_they_are_about(provider: Provider) -> None:
    """Only an ended job can go back, only one that has succeeded can have no output; others happen
    meanwhile.
    """
    simulator, one = new_simulator(), example(provider)
    task = submit(simulator, one)
    for name in ("regressing-status", "no-output", "unknown-status"):
        simulator.inject(name)
    assert [poll(simulator, provider, task.id).status for _ in range(2)] == ["unknown", "queued"]
    finish(simulator)
    seen = [poll(simulator, provider, task.id) for _ in range(3)]
    assert [facts.status for facts in seen] == ["running", "succeeded", "succeeded"]
    empty = provider.contract.operation("result") is not None  # its links come by another call
    assert [bool(facts.urls) for facts in seen] == [False, empty, True]


# -- lists and uploads -----------------------------------------------------------------------------


LISTED: Final = calls("list", "list-running")


@pytest.mark.matrix("name", "operation", "kind")
@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(("provider", "operation"), LISTED, ids=named)
@each_kind
def test_a_list_can_go_wrong(
    name: str, provider: Provider, operation: Operation, kind: Kind
) -> None:
    """It fails, or shows nothing of what is there."""
    simulator = new_simulator()
    browser, task = Browser(simulator, kind), submit(simulator, example(provider))
    simulator.inject(name)
    options: JsonObject = {"json": {}} if operation.request_schemas else {}
    seen, after = (browser.ask(operation.method, address(operation), **options) for _ in range(2))
    assert isinstance(seen, httpx.Response)
    assert isinstance(after, httpx.Response)
    assert seen.status_code == LISTS[name]
    assert str(task.id) not in seen.text
    assert str(task.id) in after.text
    assert simulator.bill.count() == 1


@pytest.mark.matrix("name", "operation", "kind")
@pytest.mark.parametrize("name", UPLOADS)
@pytest.mark.parametrize(("provider", "operation"), calls("upload"), ids=named)
@each_kind
def test_an_upload_can_go_wrong(
    name: str, provider: Provider, operation: Operation, kind: Kind
) -> None:
    """Once, and free of charge."""
    simulator = new_simulator()
    browser = Browser(simulator, kind)
    bodies = [*operation.request_examples.values()]
    content: Any = (
        {"json": bodies[0]} if bodies else {"files": {"file": ("cat.png", b"\x89PNG", "image/png")}}
    )
    options = {**content, "headers": key_of(provider)}
    simulator.inject(name)
    assert status_of(browser.ask("POST", address(operation), **options)) == UPLOADS[name]
    assert status_of(browser.ask("POST", address(operation), **options)) == 200
    assert simulator.bill.count() == 0


# -- webhooks --------------------------------------------------------------------------------------


def hooked(vendor: str, end: str = "succeeded") -> Iterator[tuple[Simulator, str, float]]:
    """A job at several times of its life, by the machine's own clock, as signatures need it."""
    simulator = Simulator(clock=VirtualClock(), seed=1)
    provider = next(provider for provider in PROVIDERS if provider.id == vendor)
    if end != "succeeded":
        simulator.script(vendor, end)
    task = str(submit(simulator, example(provider)).id)
    for seconds in (0, 5, 1000):
        yield simulator, task, simulator.tasks[vendor, task].created + seconds


@pytest.mark.parametrize(
    ("vendor", "end"),
    [
        (vendor, end)
        for vendor in SIGNED
        for end in ("succeeded", "failed", "canceled")
        if end == "succeeded" or end in scriptable(get_provider(vendor))
    ],
)
def test_webhooks_tell_every_state_and_are_signed(vendor: str, end: str) -> None:
    """One delivery for each state so far, about this job, verified with its secret only; a repeat
    has the same id.
    """
    provider = next(provider for provider in PROVIDERS if provider.id == vendor)
    name = identity_header(provider)
    for count, (simulator, task, now) in enumerate(hooked(vendor, end), 1):
        reached = [one for one in told(vendor, end) if one in ("queued", "running", end)[:count]]
        made = deliveries(simulator, vendor, task, SECRET, now)
        facts = [provider.read(Reply(200, {}, one.body), provider.webhook) for one in made]
        assert [fact.status for fact in facts] == reached
        assert {fact.id for fact in facts} <= {task}
        again = deliveries(simulator, vendor, task, SECRET, now + 1)
        assert [one.headers[name] for one in again] == [one.headers[name] for one in made]
        assert len({one.headers[name] for one in made}) == len(reached)
    assert made
    for one in deliveries(simulator, vendor, task, SECRET, time.time()):
        headers = dict(one.headers)
        if vendor not in STANDARD:  # no library knows its kind
            assert parse(vendor, headers, one.body, SECRET).verified
            continue
        assert Webhook(SECRET).verify(one.body, headers) == json.loads(one.body)
        for secret, body in ((OTHER_SECRET, one.body), (SECRET, one.body + b" ")):
            with pytest.raises(WebhookVerificationError):
                Webhook(secret).verify(body, headers)
    if provider.webhook and provider.webhook.optional:
        unsigned = deliveries(simulator, vendor, task, None, now)
        assert all(name not in one.headers for one in unsigned)
        return
    with pytest.raises(ValueError, match="secret"):
        deliveries(simulator, vendor, task, None, now)


@pytest.mark.parametrize("vendor", UNSIGNED)
def test_callbacks_tell_the_end_and_prove_nothing(vendor: str) -> None:
    """The ended job once, in the shape of the status query, without a signature."""
    provider = next(provider for provider in PROVIDERS if provider.id == vendor)
    seen = [
        deliveries(simulator, vendor, task, None, now) for simulator, task, now in hooked(vendor)
    ]
    assert [len(made) for made in seen] == [0, 0, 1]
    facts = provider.read(Reply(200, {}, seen[-1][0].body))
    assert (facts.status, bool(facts.urls)) == ("succeeded", True)
    assert set(seen[-1][0].headers) == {"content-type"}
    schema = provider.contract.reply_schema(status_query(provider), 200)
    assert schema is not None
    body: JsonObject = json.loads(seen[-1][0].body)
    assert provider.contract.fits(schema, body) == []


@each_vendor
def test_vendors_that_do_not_call_deliver_nothing(provider: Provider) -> None:
    """And nobody delivers anything of a job that there is not."""
    simulator = new_simulator()
    with pytest.raises(UnknownNameError):
        deliveries(simulator, provider.id, "none", SECRET, START)
    if provider.webhook is None:
        assert (
            deliveries(simulator, provider.id, ended(simulator, provider).id, SECRET, START + 5000)
            == []
        )


def test_every_answer_is_one_that_a_server_can_give() -> None:
    """With its ending, also where nothing goes wrong."""
    answer = Simulator().handle("nobody", "GET", "/", {})
    assert isinstance(answer, Answer)
    assert answer.ending == "whole"
