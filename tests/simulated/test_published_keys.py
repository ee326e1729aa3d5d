"""Webhooks signed under keys that the vendor publishes: from the simulator's key to the ledger."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from polyreel import Client, Ledger, Simulator, asgi
from polyreel.errors import MissingExtraError, UnknownNameError, VendorError, WebhookError
from polyreel.gateway.keys import PAUSE
from polyreel.gateway.receiver import WebhookReceiver
from polyreel.providers.base import published
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.providers.base.webhooks import parse
from polyreel.simulator import signing
from polyreel.simulator.http import HttpRequest
from polyreel.simulator.webhooks import Delivery, deliveries
from polyreel_generated.contracts.vendors import VendorId
from support.faults import Clients, Kind, every_kind
from support.vendors import vendor_ids
from support.webhooks import PUBLISHED, webhook

VENDORS: Final = vendor_ids(PUBLISHED)
every_vendor = pytest.mark.parametrize("vendor", VENDORS)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """A simulated client with a ledger, at the machine's time: signatures have an age."""
    with Ledger(tmp_path / "jobs.sqlite3") as ledger, Client(ledger=ledger) as made:
        yield made


def ended(client: Client, vendor: VendorId, end: str = "succeeded") -> Delivery:
    """What a vendor sends of a job that has ended."""
    assert client.simulator
    if end != "succeeded":
        client.simulator.script(vendor, end)
    job = client.submit(client.plan({"prompt": "a cat"}, vendor))
    return signed_now(client.simulator, vendor, job.id)


def signed_now(simulator: Simulator, vendor: str, task: str) -> Delivery:
    """The last delivery about a job, whose end the machine's clock has reached."""
    made = simulator.tasks[vendor, task]
    last = deliveries(simulator, vendor, task, None, made.ended + 1)[-1]
    keys = webhook(vendor).published
    assert keys is not None
    headers = signing.SIGNING.signed(keys, last.headers[keys.id], last.body, time.time())
    return Delivery({**last.headers, **headers}, last.body)


def posted(vendor: str, delivery: Delivery) -> HttpRequest:
    """The delivery as a server gets it."""
    return HttpRequest("POST", f"/{vendor}", delivery.headers, delivery.body, "http://127.0.0.1")


@every_vendor
@pytest.mark.parametrize("end", ["succeeded", "failed"])
def test_a_delivery_is_verified_and_applied(client: Client, vendor: VendorId, end: str) -> None:
    """By the receiver, which fetches the keys itself; the job needs no query any more."""
    delivery = ended(client, vendor, end)
    assert client.simulator
    before = len(client.simulator.journal)
    with WebhookReceiver(client, {}) as receiver:
        for _ in range(3):
            assert receiver.handle(posted(vendor, delivery)).status == 200
    asked = client.simulator.journal[before:]
    assert [method for _, method, _ in asked] == ["GET"]  # the keys, once
    (entry,) = client.jobs()
    assert entry.state == end
    assert entry.job
    if end == "succeeded":
        assert [output.url for output in entry.job.outputs or ()]
    else:
        assert entry.job.error


@every_vendor
def test_a_forged_delivery_changes_nothing(client: Client, vendor: VendorId) -> None:
    """Another body, time, header or key; and forgers cannot make us ask for keys all the time."""
    delivery = ended(client, vendor)
    keys = webhook(vendor).published
    assert keys is not None
    assert client.simulator
    before = len(client.simulator.journal)
    stranger = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"a stranger").digest())
    message = published.signed_message(keys, delivery.headers, delivery.body)
    own = stranger.sign(message).hex()
    forged = [
        Delivery(delivery.headers, delivery.body + b" "),
        Delivery({**delivery.headers, keys.signature: own}, delivery.body),
        Delivery({**delivery.headers, keys.signature: "00"}, delivery.body),
        *(Delivery({**delivery.headers, name: "x1"}, delivery.body) for name in keys.lines),
        *(
            Delivery({k: v for k, v in delivery.headers.items() if k != name}, delivery.body)
            for name in (*keys.lines, keys.signature)
        ),
    ]
    with WebhookReceiver(client, {}) as receiver:
        for one in forged:
            assert receiver.handle(posted(vendor, one)).status == 401
    assert len(client.simulator.journal) == before + 1
    (entry,) = client.jobs()
    assert entry.state == "accepted"


@every_vendor
def test_new_keys_are_fetched_after_a_pause(
    client: Client, vendor: VendorId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vendor may replace its key: a signature that no known key has made asks for the set."""
    delivery = ended(client, vendor)
    other = base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")
    with WebhookReceiver(client, {}) as receiver:
        monkeypatch.setitem(signing.KEY, "x", other)
        assert receiver.handle(posted(vendor, delivery)).status == 401
        monkeypatch.setitem(signing.KEY, "x", signing.PUBLIC)
        assert receiver.handle(posted(vendor, delivery)).status == 401  # asked a moment ago
        client.wire.clock.sleep(PAUSE)
        assert receiver.handle(posted(vendor, delivery)).status == 200


@every_vendor
def test_without_keys_the_vendor_is_to_come_again(client: Client, vendor: VendorId) -> None:
    """Nothing is proved, and the vendor delivers later once more."""
    delivery = ended(client, vendor)
    assert client.simulator
    client.simulator.keys = frozenset()
    with WebhookReceiver(client, {}) as receiver:
        assert receiver.handle(posted(vendor, delivery)).status == 503
        client.simulator.keys = None
        client.wire.clock.sleep(PAUSE)
        assert receiver.handle(posted(vendor, delivery)).status == 200


@every_vendor
@pytest.mark.parametrize(("shift", "good"), [(-200, True), (-301, False), (400, False)])
def test_an_old_or_early_signature_is_refused(
    client: Client, vendor: VendorId, shift: int, good: bool
) -> None:
    """More than 300 seconds off proves nothing."""
    delivery, keys = ended(client, vendor), webhook(vendor).published
    assert keys is not None
    moment = time.time() + shift
    headers = signing.SIGNING.signed(keys, delivery.headers[keys.id], delivery.body, moment)
    if good:
        event = parse(vendor, headers, delivery.body, signing.key_set())
        assert (event.verified, event.id) == (True, delivery.headers[keys.id])
    else:
        with pytest.raises(WebhookError, match="300 s old or early"):
            parse(vendor, headers, delivery.body, signing.key_set())


@every_vendor
def test_without_the_library_the_extra_is_named(
    client: Client, vendor: VendorId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the vendor is asked to come again, so that nothing is lost."""
    delivery = ended(client, vendor)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    with pytest.raises(MissingExtraError, match=r"polyreel\[webhooks\]"):
        parse(vendor, delivery.headers, delivery.body, signing.key_set())
    with WebhookReceiver(client, {}) as receiver:
        assert receiver.handle(posted(vendor, delivery)).status == 503


@every_kind
@every_vendor
def test_clients_hand_out_the_keys(vendor: VendorId, kind: Kind) -> None:
    """For receivers of one's own: `parse_webhook` takes the text."""
    with Clients(simulator=Simulator()) as pair:
        text = pair.do(kind, "webhook_keys", vendor)
        assert list(published.public_keys(text)) == list(published.public_keys(signing.key_set()))
    with Clients(simulator=Simulator(keys=frozenset())) as pair, pytest.raises(VendorError):
        pair.do(kind, "webhook_keys", vendor)
    other = next(one for one in vendor_ids(all_providers()) if one not in VENDORS)
    with Clients() as pair, pytest.raises(UnknownNameError, match="publishes no keys"):
        pair.do(kind, "webhook_keys", other)


@every_vendor
def test_a_route_of_an_application_fetches_them_too(client: Client, vendor: VendorId) -> None:
    """As the receiver does."""
    delivery = ended(client, vendor)
    route, sent = asgi.webhooks(client, {}), []
    messages = iter([{"type": "http.request", "body": delivery.body}])
    headers = [(name.encode(), value.encode()) for name, value in delivery.headers.items()]
    scope = {"type": "http", "method": "POST", "path": f"/{vendor}", "headers": headers}

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(route(scope, receive, send))
    assert sent[0]["status"] == 200
    assert client.jobs()[0].state == "succeeded"


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "[]", "{}", '{"keys": 5}', '{"keys": [5, {}]}']
    + [
        json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]})
        for x in (None, 5, "", "!!", "AAAA", "A" * 44)
    ]
    + [json.dumps({"keys": [{**signing.KEY, "crv": "X25519"}]})],
)
def test_what_is_no_key_is_left_out(text: str) -> None:
    """A key set of the world holds anything."""
    assert list(published.public_keys(text)) == []


def test_the_simulators_key_set_has_its_key() -> None:
    """The public key is written down, so that no library is needed to publish it."""
    own = Ed25519PrivateKey.from_private_bytes(signing.SEED).public_key().public_bytes_raw()
    assert list(published.public_keys(signing.key_set())) == [own]
    assert all(get_provider(vendor).contract.operation("webhook-keys") for vendor in VENDORS)
