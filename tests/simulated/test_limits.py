"""Limits that are shared by all who work on a ledger in a file."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from polyreel import AsyncClient, Client, plan
from polyreel.engines import InlineEngine, Submit, perform, performing
from polyreel.errors import BudgetError, RequestError
from polyreel.ledger.sqlite import Ledger
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import Simulator
from support import limit_cases
from support.cli import Command

VENDOR = next(
    provider
    for provider in all_providers().values()
    if plan({"prompt": "a cat"}, provider).cost.usd
)
"""One whose prices are known."""
UNPRICED = next(
    provider
    for provider in all_providers().values()
    if plan({"prompt": "a cat"}, provider).cost.usd is None
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as opened:
        yield opened


globals().update(limit_cases.CASES)


# -- workers ---------------------------------------------------------------------------------------


def worked_off(path: Path, simulator: Simulator) -> Counter[str]:
    """How many entries are in which state, when a worker has done all that it can."""
    client = AsyncClient(ledger=path, simulator=simulator, retries=0)
    asyncio.run(InlineEngine(client).run(lambda work: perform(work, client)))
    return Counter(entry.state for entry in client.jobs())


def test_a_worker_keeps_limits(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves queued what they do not allow yet, and does the rest when places are free."""
    simulator = Simulator(seed=1)
    with Client(ledger=path, simulator=simulator) as client:
        price = client.plan("a cat", VENDOR).cost.usd
        assert price
        client.set_limits("web", max_cost=5 * price, concurrency=2)
        for _ in range(6):
            client.enqueue("a cat", VENDOR, limits="web")
        client.enqueue("a cat", VENDOR)
        ids = [entry.id for entry in client.jobs()]
    worker = AsyncClient(ledger=path, simulator=simulator, retries=0)
    monkeypatch.setattr(f"{performing.__name__}.LIMIT_SECONDS", 0.0)
    asyncio.run(perform(Submit(tuple(ids)), worker))
    assert simulator.bill.count() == 3
    assert worked_off(path, simulator) == {"succeeded": 6, "unsent": 1}
    assert simulator.bill.count() == 6
    with Client(ledger=path) as client:
        whole, own = client.shared_limits("web")
    assert (whole.spent, whole.max_cost, own.under_way) == (5 * price, 5 * price, 0)


def test_a_worker_waits_for_the_pace(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One waits after the other, so that the ledger is asked once for each who may begin."""
    simulator = Simulator(seed=1)
    pauses: list[float] = []

    async def slept(seconds: float) -> None:
        pauses.append(seconds)
        with Ledger(path) as ledger, ledger._database.writing() as connection:
            connection.execute("UPDATE limits SET next_at = 0")

    monkeypatch.setattr(f"{performing.__name__}.asyncio.sleep", slept)
    with Client(ledger=path, simulator=simulator) as client:
        client.set_limits("web", rate=20)
        ids = [client.enqueue("a cat", VENDOR, limits="web").id for _ in range(5)]
    worker = AsyncClient(ledger=path, simulator=simulator, retries=0)
    asyncio.run(perform(Submit(tuple(ids)), worker))
    assert simulator.bill.count() == 5
    assert len(pauses) >= 4
    assert all(0 < pause <= 3 for pause in pauses)


def test_a_worker_does_not_wait_long(path: Path) -> None:
    """Others have work for it: the entries stay queued."""
    simulator = Simulator(seed=1)
    with Client(ledger=path, simulator=simulator) as client:
        client.set_limits("web", rate=0.1)
        ids = [client.enqueue("a cat", VENDOR, limits="web").id for _ in range(5)]
    worker = AsyncClient(ledger=path, simulator=simulator, retries=0)
    asyncio.run(perform(Submit(tuple(ids)), worker))
    assert worked_off(path, simulator) == {"succeeded": 1, "queued": 4}


def test_limits_that_make_no_sense_are_refused(path: Path) -> None:
    """Before anything is changed."""
    with Client(ledger=path) as client:
        for changes in (
            {"max_cost": Decimal(-1)},
            {"max_cost": 1.5},
            {"max_cost": Decimal("NaN")},
            {"rate": 0},
            {"rate": float("inf")},
            {"rate": 1e-320},
            {"concurrency": 0},
            {"concurrency": 2**40},
            {"concurrency": 1.5},
            {"cost": 1},
        ):
            with pytest.raises(RequestError):
                client.set_limits("web", **changes)
        with pytest.raises(RequestError, match="for all vendors together"):
            client.set_limits("web", VENDOR, max_cost=1)
        with pytest.raises(RequestError, match="limits: it is empty"):
            client.enqueue("a cat", VENDOR, limits=" ")
        assert client.shared_limits() == []
        client.set_limits("web", max_cost=1)
        with pytest.raises(BudgetError, match="price"):
            client.enqueue("a cat", UNPRICED, limits="web")


# -- the command -----------------------------------------------------------------------------------


def test_the_command_sets_and_shows_limits(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a table, and as JSON."""
    run = Command(capsys, monkeypatch)
    place = ("--ledger", str(path))
    assert run("limits", *place).code == 2  # there is no ledger
    set_up = ("--max-cost", "20", "--rate", "30", "--concurrency", "4")
    assert run("limits", "web", *set_up, *place).code == 0
    own = ("--vendor", VENDOR.id, "--rate", "none")
    found = json.loads(run("limits", "web", *own, "--json", *place).out)
    assert [(one["vendor"], one["rate"], one["concurrency"]) for one in found] == [
        (None, 30.0, 4),
        (VENDOR.id, None, 4),
    ]
    assert (found[0]["max_cost"], found[0]["spent"]) == ("20", "0")
    shown = run("limits", *place).out
    assert "web" in shown
    assert "$20" in shown
    none = run("limits", "--live", *place)
    assert (none.out, "no limits" in none.err) == ("", True)
    for wrong in (
        ("--rate", "1"),
        ("web", "--rate", "fast"),
        ("web", "--concurrency", "1.5"),
        ("web", "--vendor", VENDOR.id),
        ("web", "--max-cost", "-1"),
        (" ", "--max-cost", "1"),
        ("\udcff", "--max-cost", "1"),
        ("web", "--rate", "1e-320"),
        ("web", "--max-cost", "1", "--vendor", VENDOR.id),
    ):
        assert run("limits", *wrong, *place).code == 2
