"""A receiver of webhooks on a port: what it takes, what it refuses, and under attack."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from socket import create_connection
from typing import Any

import httpx
import pytest
from attrs import evolve
from polyreel import Client, Simulator
from polyreel.errors import LedgerError
from polyreel.gateway.receiver import LIMITS, WebhookReceiver
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import VirtualClock, http
from polyreel.simulator.webhooks import deliveries
from polyreel_generated.contracts.vendors import VendorId
from support.ledgers import database
from support.peers import PATIENT, closed
from support.vendors import vendor_id
from support.waiting import HANGS, until
from support.webhooks import HOOKED, OTHER_SECRET, SECRET, SIGNED, UNSIGNED, signed

REQUEST = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}
SECRETS = {vendor: [OTHER_SECRET, SECRET] for vendor in SIGNED}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    simulator = Simulator(clock=VirtualClock(time.time() - 3600), seed=1)
    with Client(simulator=simulator, ledger=tmp_path / "ledger.sqlite3") as made:
        yield made


@pytest.fixture
def received() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def url(client: Client, received: list[tuple[str, str]]) -> Iterator[str]:
    """A receiver's address."""
    with (
        WebhookReceiver(
            client, SECRETS, lambda event, done: received.append((event.task_id, done.effect))
        ) as receiver,
        http.running(receiver.handle, limits=LIMITS) as address,
    ):
        yield address


def jobs(client: Client, vendor: VendorId) -> list[tuple[str, dict[str, str], bytes]]:
    """A job's task, and everything that the vendor posts of it."""
    assert client.simulator
    task = client.submit(client.plan(REQUEST, vendor)).id
    secret = SECRET if vendor in SIGNED else None
    made = deliveries(client.simulator, vendor, task, secret, time.time())
    return [(task, dict(each.headers), each.body) for each in made]


def eventually(question: Callable[[], Any], seconds: float = 5.0) -> Any:
    """The answer, as soon as it is true."""
    end = time.monotonic() + seconds
    while not (answer := question()) and time.monotonic() < end:
        time.sleep(0.01)
    return answer


@pytest.mark.parametrize("vendor", SIGNED)
def test_signed_webhooks_are_taken(
    client: Client, url: str, received: list[tuple[str, str]], vendor: VendorId
) -> None:
    """Each once; a repetition is answered like the first, so that the vendor stops."""
    for task, headers, body in jobs(client, vendor):
        for effect in ("applied", "duplicate"):
            answer = httpx.post(f"{url}/{vendor}", headers=headers, content=body)
            assert answer.status_code == 200
            assert received.pop() in {(task, effect), (task, "unchanged")}
    assert client.jobs()[0].state == "succeeded"


@pytest.mark.parametrize("vendor", UNSIGNED)
def test_a_hint_makes_the_vendor_be_asked(client: Client, url: str, vendor: VendorId) -> None:
    """After the answer, in the background; what the hint says is not believed."""
    assert client.simulator
    (_, headers, body) = jobs(client, vendor)[-1]
    forged = body.replace(b'"completed"', b'"failed"')
    assert httpx.post(f"{url}/{vendor}", headers=headers, content=forged).status_code == 200
    until(lambda: len(client.simulator.journal) > 1)  # type: ignore[union-attr]
    assert client.jobs()[0].state == "accepted"
    client.simulator.clock.advance(600)  # type: ignore[attr-defined]
    assert httpx.post(f"{url}/{vendor}", headers=headers, content=body).status_code == 200
    until(lambda: client.jobs()[0].state == "succeeded")


BAD: dict[str, tuple[dict[str, Any], int]] = {
    "no-signature": ({"headers": {}, "content": b"{}"}, 401),
    "forged": ({"headers": signed(b"{}", SECRET), "content": b"{ }"}, 401),
    "stale": ({"headers": signed(b"{}", timestamp=int(time.time()) - 4000), "content": b"{}"}, 401),
    "no-job": ({"headers": signed(b"[]"), "content": b"[]"}, 401),
    "too-large": ({"headers": signed(b"x" * 70_000), "content": b"x" * 70_000}, 413),
    "ten-megabytes": ({"headers": {}, "content": b"x" * 10_000_000}, 413),
    "foreign-host": ({"headers": {"host": "evil.example"}, "content": b"{}"}, 400),
    "foreign-origin": ({"headers": {"origin": "https://evil.example"}, "content": b"{}"}, 403),
}


@pytest.mark.matrix("name", "vendor")
@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("vendor", SIGNED)
def test_forgeries_do_nothing(
    client: Client, url: str, received: list[Any], vendor: VendorId, name: str
) -> None:
    """Refused, and nothing is changed or remembered."""
    request, status = BAD[name]
    client.submit(client.plan(REQUEST, vendor))
    before = client.jobs()
    assert httpx.post(f"{url}/{vendor}", **request).status_code == status
    assert (client.jobs(), received) == (before, [])


def test_there_is_nothing_else_here(client: Client, url: str) -> None:
    """Not for vendors without webhooks, not for strangers, not to be read."""
    silent = next(
        vendor for vendor, provider in all_providers().items() if provider.webhook is None
    )
    for path in ("", silent, "nonesuch", "a/b", "%2e%2e", "x" * 3000):
        assert httpx.post(f"{url}/{path}", content=b"{}").status_code == 404
    assert httpx.get(f"{url}/{HOOKED[0]}").status_code == 405


@pytest.mark.parametrize("vendor", SIGNED)
def test_unknown_jobs_are_answered_like_known_ones(
    client: Client, url: str, vendor: VendorId
) -> None:
    """A stranger with the secret of one workspace learns nothing about another's jobs."""
    assert client.simulator
    with Client(simulator=client.simulator) as other:
        (_, headers, body) = jobs(other, vendor)[-1]
    unknown = httpx.post(f"{url}/{vendor}", headers=headers, content=body)
    (_, headers, body) = jobs(client, vendor)[-1]
    known = httpx.post(f"{url}/{vendor}", headers=headers, content=body)
    assert (unknown.status_code, unknown.content) == (known.status_code, known.content)


@pytest.mark.parametrize("vendor", SIGNED)
def test_a_ledger_in_trouble_asks_to_come_again(client: Client, url: str, vendor: VendorId) -> None:
    """The vendor repeats what was not answered with a 2xx."""
    assert client.ledger
    (_, headers, body) = jobs(client, vendor)[-1]
    database(client.ledger).execute("PRAGMA query_only = 1")
    assert httpx.post(f"{url}/{vendor}", headers=headers, content=body).status_code == 503
    database(client.ledger).execute("PRAGMA query_only = 0")
    assert httpx.post(f"{url}/{vendor}", headers=headers, content=body).status_code == 200
    assert client.jobs()[0].state == "succeeded"


def test_a_receiver_needs_a_ledger() -> None:
    with Client() as client, pytest.raises(LedgerError):
        WebhookReceiver(client, {})


HALVES = [b"", b"POST / HT", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx"]


def test_it_stays_responsive_under_attack(client: Client) -> None:
    """300 half-open connections and 10 MB bodies: a good delivery does not wait until any of them
    is over.
    """
    vendor = SIGNED[0]
    good = [job for _ in range(10) for job in jobs(client, vendor_id(vendor))]
    limits = evolve(PATIENT, body=LIMITS.body)
    with (
        WebhookReceiver(client, SECRETS) as receiver,
        http.running(receiver.handle, limits=limits) as url,
        ExitStack() as stack,
        ThreadPoolExecutor(4) as pool,
    ):
        port = int(url.rpartition(":")[2])
        bad = [stack.enter_context(create_connection(("127.0.0.1", port))) for _ in range(300)]
        for number, peer in enumerate(bad):
            peer.sendall(
                [
                    b"",
                    b"POST / HT",
                    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx",
                ][number % 3]
            )
        options: dict[str, Any] = {"content": b"x" * 10_000_000, "timeout": HANGS}
        big = [pool.submit(httpx.post, f"{url}/{vendor}", **options) for _ in range(4)]
        for _, headers, body in good:
            answer = httpx.post(f"{url}/{vendor}", headers=headers, content=body, timeout=HANGS)
            assert answer.status_code == 200
        assert not any(map(closed, bad))
        assert {each.result().status_code for each in big} == {413}
