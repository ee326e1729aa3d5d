"""Tools for agents with keys and real calls: the vendors are simulated behind a port."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from mcp import Client
from polyreel import AsyncClient
from polyreel.agents.server import build
from polyreel.agents.service import AgentService
from polyreel.agents.tools import AgentTools
from polyreel.ledger.sqlite import Ledger
from polyreel.simulator import RunningClock, Simulator, server
from support.cli import CANARY
from support.prices import SELLER
from support.running import Running

CLIP: Final = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}
LIMIT: Final = Decimal("1.00")


@pytest.fixture
def vendors() -> Iterator[Running]:
    """The simulated vendors behind a port."""
    simulator = Simulator(clock=RunningClock(1.0), seed=1)
    with server.running(simulator) as url:
        yield Running(simulator, url)


def called(folder: Path, vendors: Running, requests: list[dict[str, Any]]) -> list[Any]:
    """The answers of a server that is started for these calls of `generate`, three times each."""

    async def run() -> list[Any]:
        with Ledger(folder / "ledger.sqlite3") as ledger:
            made = AsyncClient(
                keys={SELLER.id: CANARY},
                base_urls={SELLER.id: vendors.base(SELLER)},
                ledger=ledger,
            )
            service = AgentService(made, folder / "clips", max_cost=LIMIT)
            async with made, service, Client(build(AgentTools(service))) as client:
                assert "costs real money, at most $1.00" in (client.instructions or "")
                for wanted in [*requests, *requests]:
                    result = await client.call_tool(
                        "generate", {"request": wanted, "wait_seconds": 0}
                    )
                    assert CANARY not in result.model_dump_json()
                return [
                    await client.call_tool("generate", {"request": one, "wait_seconds": 0})
                    for one in requests
                ]

    return [result.structured_content for result in asyncio.run(run())]


def test_real_calls_are_billed_once_and_within_the_budget(tmp_path: Path, vendors: Running) -> None:
    """Over two servers on one ledger; the prompt with the key in it shows no key."""
    requests = [{**CLIP, "prompt": f"cat {number} {CANARY}"} for number in range(6)]
    first = called(tmp_path, vendors, requests[:4])
    assert first[0]["job"]["state"] == "accepted"
    assert "`generate` with the same arguments" in first[0]["next"]
    second = called(tmp_path, vendors, requests)
    jobs = {answer["job"]["id"]: answer["job"] for answer in first + second if "job" in answer}
    spent = sum(Decimal(job["estimate"]["usd"]) for job in jobs.values())
    assert 0 < spent <= LIMIT
    assert len(jobs) == len(vendors.simulator.tasks)
    assert {answer["error"]["type"] for answer in second if "job" not in answer} == {"BudgetError"}
    assert not any(job["simulated"] for job in jobs.values())


def test_a_lost_answer_of_the_vendor_is_billed_once(tmp_path: Path, vendors: Running) -> None:
    """The job is ambiguous, for every later call and server."""
    vendors.simulator.inject("lost-reset", SELLER.id)
    for _ in range(2):
        (answer,) = called(tmp_path, vendors, [CLIP])
        assert answer["job"]["state"] == "ambiguous"
        assert "Do not generate it anew" in answer["next"]
    assert len(vendors.simulator.tasks) == 1
