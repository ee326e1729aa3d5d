"""Clients that are called when their jobs have ended, in the words of the face."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from polyreel.flows import Reply
from polyreel.gateway.callbacks import sample_of
from polyreel.places import JsonObject, put
from polyreel.plans.planning import Plan
from polyreel.providers.base.provider import Provider
from polyreel.simulator import ready_made
from support.gateway import HOST, GatewayStage, gateway, turn
from support.server import KEY, PROVIDERS, each_vendor
from support.swaps import asked, first_swap, id_in

URL: Final = "https://shop.example.com/hook"
REQUEST: Final[JsonObject] = {"model": "kling-v3", "prompt": "a cat", "duration": 5}


def place_of(made: Plan) -> str:
    """Where a client's body has the address to be called at; empty without one in the body."""
    row = made.route.by_name.get("callback_url") if made.route is not None else None
    place = next(iter(row.places), "") if row is not None else ""
    return "" if place.startswith("?") else place


CALLING: Final = [
    one
    for one in PROVIDERS
    if place_of(first_swap(one).made)
    and one.webhook is not None
    and (one.webhook.optional or not one.webhook.signed)
]


@pytest.fixture(autouse=True)
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the files is not what these tests are about."""
    monkeypatch.setattr(ready_made, "is_used", lambda _: True)


class Client:
    """Somebody who is called."""

    def __init__(self, stage: GatewayStage) -> None:
        self.heard: list[tuple[str, str, JsonObject]] = []
        self.status = 200
        stage.gateway.callbacks.wire.transport = httpx.MockTransport(self._hear)

    def _hear(self, request: httpx.Request) -> httpx.Response:
        assert "authorization" not in request.headers
        self.heard.append((request.method, str(request.url), json.loads(request.content)))
        return httpx.Response(self.status)


def with_address(made: Plan, url: str) -> JsonObject:
    """A client's body with an address to be called at."""
    body: JsonObject = json.loads(made.content)
    put(body, place_of(made), url)
    return body


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
        task = id_in(asked(stage, made, with_address(made, URL)), face)
        assert URL not in stage.client.jobs()[0].submission.dump()
        turn(stage, monkeypatch)
        assert client.heard == []
        stage.simulator.clock.sleep(1000)
        for later in (10.0, 20.0):
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


def test_a_call_is_tried_again_and_outlives_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it is taken, or has been tried for hours."""
    face, back, made = first_swap(CALLING[0])
    with gateway(tmp_path, back) as stage:
        client = Client(stage)
        client.status = 500
        id_in(asked(stage, made, with_address(made, URL)), face)
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
    """It is refused before anything is paid; so is what the gateway could not sign."""
    back, made = first_swap(provider)[1:]
    place = place_of(made)
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
            body: JsonObject = json.loads(made.content)
            put(body, place or "callback_url", url)
            reply = asked(stage, made, body)
            assert not reply.ok, url
        assert stage.simulator.journal == []


def test_a_name_that_leads_into_a_private_network_is_not_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it led to before: it is looked up for each call, and the call goes to that."""
    face, back, made = first_swap(CALLING[0])
    with gateway(tmp_path, back) as stage:
        id_in(asked(stage, made, with_address(made, URL)), face)
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
