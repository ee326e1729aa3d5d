"""Webhooks through an ASGI application, as a framework calls it: the same as the server of ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from polyreel import AsyncClient, Client, Simulator, asgi
from polyreel.errors import LedgerError
from polyreel.providers.base.registry import all_providers
from polyreel.providers.base.webhooks import MAX_BODY
from polyreel.simulator import VirtualClock
from polyreel.simulator.webhooks import Delivery, deliveries
from polyreel_generated.contracts.vendors import VendorId
from support.webhooks import HOOKED, OTHER_SECRET, SECRET, SIGNED, UNSIGNED

REQUEST = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}
SECRETS = {vendor: [OTHER_SECRET, SECRET] for vendor in SIGNED}


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(clock=VirtualClock(time.time() - 3600), seed=1)


@pytest.fixture(params=[Client, AsyncClient], ids=["blocking", "awaiting"])
def client(
    request: pytest.FixtureRequest, simulator: Simulator, tmp_path: Path
) -> Iterator[Client | AsyncClient]:
    made = request.param(simulator=simulator, ledger=tmp_path / "ledger.sqlite3")
    yield made
    made.ledger.close()


def posted(client: Client | AsyncClient, simulator: Simulator, vendor: VendorId) -> list[Delivery]:
    """Everything that a vendor posts of a job."""
    with Client(simulator=simulator, ledger=client.ledger) as own:
        job = own.submit(own.plan(REQUEST, vendor))
    secret = SECRET if vendor in SIGNED else None
    return deliveries(simulator, vendor, job.id, secret, time.time())


def caller(route: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=route), base_url="http://shop.example/webhooks"
    )


@pytest.mark.parametrize("vendor", HOOKED)
def test_the_ledger_has_the_end(
    client: Client | AsyncClient, simulator: Simulator, vendor: VendorId
) -> None:
    """By a signed delivery at once, counted once; by an unsigned one as soon as one has asked."""
    effects: list[str] = []

    async def received(event: Any, delivered: Any) -> None:
        effects.append(delivered.effect)

    async def deliver() -> None:
        route = asgi.webhooks(client, SECRETS, received)
        delivery = posted(client, simulator, vendor)[-1]
        simulator.clock.sleep(3600)
        async with caller(route) as web:
            for _ in range(2):
                answer = await web.post(
                    f"/{vendor}", headers=dict(delivery.headers), content=delivery.body
                )
                assert (answer.status_code, answer.json()) == (200, {"message": "received"})
        if route._asker is not None:
            await route._asker

    asyncio.run(deliver())
    assert effects[0] == ("applied" if vendor in SIGNED else "hint")
    assert client.jobs()[0].state == "succeeded"


@pytest.mark.parametrize("vendor", UNSIGNED)
def test_many_hints_are_one_query(
    client: Client | AsyncClient, simulator: Simulator, vendor: VendorId
) -> None:
    async def deliver() -> None:
        route = asgi.webhooks(client, SECRETS)
        delivery = posted(client, simulator, vendor)[-1]
        async with caller(route) as web:
            await asyncio.gather(
                *(
                    web.post(f"/{vendor}", headers=dict(delivery.headers), content=delivery.body)
                    for _ in range(20)
                )
            )
            before = len(simulator.journal)
        assert before <= 3

    asyncio.run(deliver())


def test_what_is_no_delivery_is_refused(client: Client | AsyncClient) -> None:
    """In the words of the server of ours; another method is told which one is taken."""

    async def ask() -> None:
        async with caller(asgi.webhooks(client, SECRETS)) as web:
            for vendor in SIGNED:
                assert (await web.post(f"/{vendor}", content=b"{}")).status_code == 401
                answer = await web.get(f"/{vendor}")
                assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
                big = await web.post(f"/{vendor}", content=b"x" * (MAX_BODY + 1))
                assert big.status_code == 413
            assert (await web.post("/nonesuch", content=b"{}")).status_code == 404
            assert (await web.post("/", content=b"{}")).status_code == 404
            silent = [name for name, one in all_providers().items() if one.webhook is None]
            for vendor in silent:
                assert (await web.post(f"/{vendor}", content=b"{}")).status_code == 404

    asyncio.run(ask())
    assert client.jobs() == []


def test_it_can_be_a_whole_application(client: Client | AsyncClient) -> None:
    """A server starts and stops it; a socket is closed; who goes away gets no answer."""
    route, sent = asgi.webhooks(client), []

    async def play(scope: dict[str, Any], *messages: dict[str, Any]) -> None:
        waiting = iter(messages)

        async def receive() -> dict[str, Any]:
            return next(waiting)

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await route(scope, receive, send)

    asyncio.run(
        play({"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    )
    asyncio.run(play({"type": "websocket", "path": "/"}, {"type": "websocket.connect"}))
    asyncio.run(play({"type": "http"}, {"type": "http.disconnect"}))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]


def test_it_needs_a_ledger() -> None:
    with Client() as client, pytest.raises(LedgerError, match="ledger="):
        asgi.webhooks(client)
