"""Hints that anybody can send: however many come, a vendor is asked about a job once in a while."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from polyreel import Client, Simulator
from polyreel.gateway.hints import HINT_PAUSE, MAX_HINTS, Hints
from polyreel.gateway.receiver import WebhookReceiver
from polyreel.simulator import VirtualClock
from polyreel.simulator.http import HttpRequest
from polyreel_generated.contracts.vendors import VendorId
from support.ledgers import database
from support.waiting import until
from support.webhooks import UNSIGNED

REQUEST: Final = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}
FORGED: Final = 1_500


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    simulator = Simulator(clock=VirtualClock(time.time()), seed=1)
    with Client(simulator=simulator, ledger=tmp_path / "ledger.sqlite3") as made:
        yield made


def post(receiver: WebhookReceiver, vendor: str, task: str, number: int) -> int:
    """Forge a delivery that differs from every other one."""
    body = b'{"id": "%s", "status": "processing", "n": %d}' % (task.encode(), number)
    return receiver.handle(HttpRequest("POST", f"/{vendor}", {}, body, "http://localhost")).status


@pytest.mark.parametrize("vendor", UNSIGNED)
def test_forged_hints_are_one_query_each_pause(client: Client, vendor: VendorId) -> None:
    """Each is answered alike; the vendor is asked at once, and once more for all the others."""
    assert client.simulator
    task = client.submit(client.plan(REQUEST, vendor)).id
    calls = client.simulator.journal
    with WebhookReceiver(client, {}) as receiver:
        assert post(receiver, vendor, task, 0) == 200
        until(lambda: len(calls) == 2)
        began = client.simulator.clock.now()
        assert {post(receiver, vendor, task, number) for number in range(1, FORGED)} == {200}
        assert len(calls) == 2 + (client.simulator.clock.now() - began) // HINT_PAUSE
        client.simulator.clock.advance(HINT_PAUSE)  # type: ignore[attr-defined]
        until(lambda: len(calls) == 3)
    assert client.ledger
    count = "SELECT count(*) FROM deliveries"
    assert database(client.ledger).execute(count).fetchone()[0] == 2


@pytest.mark.parametrize("vendor", UNSIGNED)
def test_a_job_that_is_over_is_not_asked_about(client: Client, vendor: VendorId) -> None:
    """Nothing about it can change any more."""
    assert client.simulator
    job = client.wait(client.submit(client.plan(REQUEST, vendor)))
    other = client.submit(client.plan(REQUEST, vendor))
    before = len(client.simulator.journal)
    with WebhookReceiver(client, {}) as receiver:
        assert post(receiver, vendor, job.id, 0) == 200
        assert post(receiver, vendor, other.id, 0) == 200
        until(lambda: len(client.simulator.journal) > before)  # type: ignore[union-attr]
    assert len(client.simulator.journal) == before + 1


def test_a_hint_waits_for_its_pause() -> None:
    """The first is for now, those that follow are one, a pause after the query."""
    hints, job = Hints(), ("vendor", "task")
    assert (hints.take(100.0), hints.wait(100.0)) == (None, None)
    assert all(hints.add(job, 100.0) for _ in range(9))
    assert (hints.take(100.0), hints.take(100.0)) == (job, None)
    assert all(hints.add(job, 101.0) for _ in range(9))
    assert job in hints
    assert (hints.take(101.0), hints.wait(101.0)) == (None, HINT_PAUSE - 1)
    assert hints.take(100.0 + HINT_PAUSE) == job
    assert job not in hints


def test_other_jobs_do_not_wait_for_it() -> None:
    hints = Hints()
    for _ in range(2):
        hints.add(("vendor", "a"), 100.0)
        hints.take(100.0)
    hints.add(("vendor", "b"), 100.0)
    assert hints.take(100.0) == ("vendor", "b")


def test_a_clock_that_is_set_back_loses_no_hint() -> None:
    hints, job = Hints(), ("vendor", "task")
    hints.add(job, 1_000_000.0)
    hints.take(1_000_000.0)
    hints.add(job, 1_000_001.0)
    assert hints.take(500.0) == job


def test_hints_have_a_limit() -> None:
    """Those that are over it are left to polling, and what is asked about is forgotten in time."""
    hints = Hints()
    taken = [hints.add(("vendor", str(number)), 100.0) for number in range(MAX_HINTS + 1)]
    assert taken == [True] * MAX_HINTS + [False]
    while hints.take(100.0):
        pass
    hints.add(("vendor", "new"), 100.0 + HINT_PAUSE)
    assert len(hints._asked) == 0
