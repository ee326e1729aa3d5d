"""Clients that are called when their jobs have ended, in the words of the face."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from polyreel.errors import WebhookError
from polyreel.flows import Reply
from polyreel.gateway.behind import webhook_addresses
from polyreel.gateway.callbacks import sample_of
from polyreel.gateway.jobs import ledger_of
from polyreel.places import JsonObject, get, put
from polyreel.plans.planning import Plan
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.webhooks import parse
from polyreel.simulator import ready_made
from polyreel.simulator.signing import key_set
from standardwebhooks import Webhook, WebhookVerificationError
from support.gateway import HOST, GatewayStage, gateway, turn
from support.server import KEY, PROVIDERS, each_vendor, send
from support.swaps import asked, first_swap, id_in, swaps

URL: Final = "https://shop.example.com/hook"
REQUEST: Final[JsonObject] = {"model": "kling-v3", "prompt": "a cat", "duration": 5}


def place_of(made: Plan) -> str:
    """Where a client has the address to be called at; empty where its vendor takes none."""
    row = made.route.by_name.get("callback_url") if made.route is not None else None
    return next(iter(row.places), "") if row is not None else ""


CALLING: Final = [one for one in PROVIDERS if place_of(first_swap(one).made)]


@pytest.fixture(autouse=True)
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the files is not what these tests are about."""
    monkeypatch.setattr(ready_made, "is_used", lambda _: True)


class Client:
    """Somebody who is called."""

    def __init__(self, stage: GatewayStage) -> None:
        self.heard: list[tuple[str, str, JsonObject]] = []
        self.requests: list[httpx.Request] = []
        self.status = 200
        stage.gateway.callbacks.wire.transport = httpx.MockTransport(self._hear)

    def _hear(self, request: httpx.Request) -> httpx.Response:
        assert "authorization" not in request.headers
        self.requests.append(request)
        self.heard.append((request.method, str(request.url), json.loads(request.content)))
        return httpx.Response(self.status)


def asked_to_call(stage: GatewayStage, made: Plan, url: str) -> Reply:
    """Ask for a job, and to be called at its end."""
    place = place_of(made) or "callback_url"
    if place.startswith("?"):
        return asked(stage, made, query={place[1:]: url})
    body: JsonObject = json.loads(made.content)
    put(body, place, url)
    return asked(stage, made, body)


@pytest.mark.parametrize("provider", CALLING, ids=lambda one: one.id)
@pytest.mark.parametrize("end", ["succeeded", "failed"])
def test_a_client_hears_of_the_end_once(
    provider: Provider, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the vendor of the face would call it, and no vendor behind gets its address."""
    face, back, made = first_swap(provider)
    with gateway(tmp_path, back) as stage:
        client = Client(stage)
        if end == "failed":
            stage.simulator.script(back.id, "failed")
        task = id_in(asked_to_call(stage, made, URL), face)
        assert URL not in stage.client.jobs()[0].submission.dump()
        turn(stage, monkeypatch)
        assert client.heard == []
        stage.simulator.clock.sleep(1000)
        stage.simulator.inject("no-output", back.id)  # at first it says no more than the end
        for later in (10.0, 20.0, 40.0):
            turn(stage, monkeypatch, later)
        ((method, url, body),) = client.heard
        assert (method, url) == ("POST", URL)
        sample = sample_of(face, end)
        webhook = face.webhook if sample is not None else None
        if sample is not None and isinstance(sample[1], dict):
            assert face.contract.fits(sample[1], body) == []
        facts = face.facts(body, webhook)
        assert (facts.id, facts.status) == (task, end)
        assert bool(facts.urls) is (end == "succeeded")
        if end == "failed":
            assert str(facts.error_message).startswith(back.id)


@pytest.mark.parametrize("provider", CALLING, ids=lambda one: one.id)
def test_a_call_is_signed_as_the_vendor_signs(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the secret of the token, or under a key that the gateway publishes; another is wrong."""
    face, back, made = first_swap(provider)
    with gateway(tmp_path, back) as stage:
        client = Client(stage)
        asked_to_call(stage, made, URL)
        stage.simulator.clock.sleep(1000)
        turn(stage, monkeypatch)
        (request,) = client.requests
        signatures = stage.gateway.faces.signatures
        right, wrong = signatures.secret_of(""), signatures.secret_of("other")
        if face.webhook is not None and face.webhook.published is not None:
            operation = face.contract.operation("webhook-keys")
            assert operation is not None
            right, wrong = send(stage, face, operation).content.decode(), key_set()
    if face.webhook is not None and face.webhook.signed:
        event = parse(face.id, dict(request.headers), request.content, right)
        assert event.verified
        with pytest.raises(WebhookError, match="not verified"):
            parse(face.id, dict(request.headers), request.content, wrong)
    else:
        Webhook(right).verify(request.content, dict(request.headers))
        with pytest.raises(WebhookVerificationError):
            Webhook(wrong).verify(request.content, dict(request.headers))


def test_a_call_is_tried_again_and_outlives_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it is taken, or has been tried for hours."""
    face, back, made = first_swap(CALLING[0])
    with gateway(tmp_path, back) as stage:
        client = Client(stage)
        client.status = 500
        id_in(asked_to_call(stage, made, URL), face)
        stage.simulator.clock.sleep(1000)
        turn(stage, monkeypatch)
        turn(stage, monkeypatch)  # not yet
        assert len(client.heard) == 1
        stage.stop()
        stage.start()
        client = Client(stage)
        for _ in range(2):
            turn(stage, monkeypatch, 6.0)
        assert len(client.heard) == 1


@each_vendor
def test_no_private_address_is_called(provider: Provider, tmp_path: Path) -> None:
    """It is refused before anything is paid."""
    back, made = first_swap(provider)[1:]
    with gateway(tmp_path, back) as stage:
        for url in (
            "http://shop.example.com/",
            "https://127.0.0.1/",
            "https://localhost/",
            "https://169.254.169.254/latest",
            "https://[::1]/",
            "https://user:password@shop.example.com/",
            "https://10.0.0.1.example.internal/",
            "file:///etc/passwd",
        ):
            assert not asked_to_call(stage, made, url).ok, url
        assert stage.simulator.journal == []


def test_a_name_that_leads_into_a_private_network_is_not_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it led to before: it is looked up for each call, and the call goes to that."""
    face, back, made = first_swap(CALLING[0])
    with gateway(tmp_path, back) as stage:
        id_in(asked_to_call(stage, made, URL), face)
        stage.simulator.clock.sleep(1000)
        asked_for: list[str] = []

        def resolver(host: str, _: int) -> list[str]:
            asked_for.append(host)
            return ["10.0.0.1"]

        stage.gateway.callbacks.wire.resolver = resolver
        stage.run(stage.gateway.callbacks.turn())
        assert asked_for == ["shop.example.com"]
        (row,) = stage.gateway.faces.jobs.kept.due_calls(1e12, 9, simulated=True)
        assert row.calls == 1


def test_a_shared_request_is_answered_by_a_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the job as `/v1/jobs` shows it."""
    back = first_swap(PROVIDERS[0]).back
    with gateway(tmp_path, back) as stage:
        client = Client(stage)
        body: Any = {"request": {**REQUEST, "callback_url": URL}}
        headers = {**KEY, "Content-Type": "application/json"}
        reply = stage.call("POST", f"{HOST}/v1/jobs", headers, json.dumps(body).encode())
        assert reply.status == 201, reply.content
        stage.simulator.clock.sleep(1000)
        turn(stage, monkeypatch)
        ((_, _, told),) = client.heard
        task = told["id"]
        shown: Reply = stage.call("GET", f"{HOST}/v1/jobs/{task}", KEY)
        assert told == json.loads(shown.content)
        assert told["status"] == "succeeded"


def test_what_is_no_address_is_refused(tmp_path: Path) -> None:
    """Also in a body where the vendor takes it in the query: a job would end, and nobody hear."""
    _, back, made = next(
        first_swap(one) for one in CALLING if place_of(first_swap(one).made).startswith("?")
    )
    with gateway(tmp_path, back) as stage:
        for wrong in (5, True, [URL], {"url": URL}):
            body: JsonObject = json.loads(made.content)
            put(body, place_of(made), wrong)
            reply = asked(stage, made, body)
            assert reply.status in {400, 422}, (wrong, reply.content)
        assert not ledger_of(stage.client).entries()


@pytest.mark.parametrize("provider", CALLING, ids=lambda one: one.id)
def test_vendors_are_told_to_call_the_gateway(provider: Provider, tmp_path: Path) -> None:
    """Where it has a public URL; in the place that each has for it, and no client hears of that."""
    face, back, made = next(one for one in swaps() if one.back is provider)
    told = webhook_addresses([back], "https://gateway.example.com", [back.id])
    address, place = told[back.id], place_of(first_swap(back).made)
    assert address == f"https://gateway.example.com/webhooks/{back.id}"
    with gateway(tmp_path, back, options={"webhooks": told}) as stage:
        id_in(asked(stage, made), face)
        headers = {**KEY, "Content-Type": "application/json"}
        assert "callback" not in stage.header.get("x-polyreel-verdicts", "")
        body = {"request": {**made.request}}
        shared = stage.call("POST", f"{HOST}/v1/jobs", headers, json.dumps(body).encode())
        assert shared.status == 201, shared.content
        for entry in stage.client.jobs():
            sent = entry.submission.send
            in_query = parse_qs(urlsplit(sent.url).query).get(place[1:], [""])
            assert address in {*in_query, get(json.loads(sent.content or b""), place)}


def test_nobody_is_told_an_address_that_leads_nowhere() -> None:
    """Vendors cannot reach a private address; what an unknown secret signs is not believed."""
    for url in (None, "http://127.0.0.1:8770", "http://gateway.example.com", "https://10.0.0.1"):
        assert webhook_addresses(PROVIDERS, url, []) == {}
    signed = [one for one in PROVIDERS if one.webhook and one.webhook.signed]
    strict = [one.id for one in signed if one.webhook and one.webhook.secret_variable]
    believed = webhook_addresses(PROVIDERS, "https://gateway.example.com", [])
    optional = {one.id for one in signed if one.webhook and one.webhook.optional}
    assert not believed.keys() & ({*strict} - optional)
