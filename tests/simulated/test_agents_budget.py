"""What agents may spend: a budget over all calls, servers and restarts."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from polyreel import AsyncClient, Simulator
from polyreel.agents.service import AgentService
from polyreel.errors import BudgetError
from polyreel.places import JsonObject
from support.agents import (
    CLIP,
    billed,
    call,
    estimate,
    served,
)
from support.prices import SELLER, UNPRICED
from support.server import new_simulator


def test_live_is_refused_without_a_budget(tmp_path: Path) -> None:
    """Nothing is begun: not even the ledger is looked at for jobs."""
    client = AsyncClient(keys={SELLER.id: "a-key-that-is-never-used"}, ledger=tmp_path / "ledger")
    with pytest.raises(BudgetError, match="--max-cost USD"):
        AgentService(client, tmp_path / "clips")
    client._close_ledger()


def test_the_budget_is_never_exceeded(tmp_path: Path) -> None:
    """By calls one after the other, calls at once, two servers at once, and after a restart."""
    simulator, answers = new_simulator(), list[JsonObject]()
    limit = Decimal("1.00")

    async def run(start: int) -> None:
        async with (
            served(tmp_path, simulator, max_cost=limit) as (one, _),
            served(tmp_path, simulator, max_cost=limit) as (two, _),
        ):
            answers.extend(
                await asyncio.gather(
                    *(
                        call(
                            [one, two][number % 2],
                            "generate",
                            request={**CLIP, "prompt": f"cat {start + number}"},
                            vendors=[SELLER.id],
                        )
                        for number in range(8)
                    )
                )
            )

    for start in (0, 8):
        asyncio.run(run(start))
    made = [answer for answer in answers if "error" not in answer]
    spent = sum(map(estimate, made))
    assert 0 < spent <= limit < spent + estimate(made[0])
    assert len(made) == billed(simulator)
    refused = [answer["error"]["type"] for answer in answers if "error" in answer]
    assert refused == ["BudgetError"] * (16 - len(made))
    assert Decimal(answers[-1]["budget"]["spent_at_most_usd"]) == spent


def test_what_may_have_been_billed_counts_as_spent(tmp_path: Path) -> None:
    """An ambiguous job uses the budget up as one that was paid does."""

    async def run(simulator: Simulator) -> list[JsonObject]:
        async with served(tmp_path, simulator, max_cost=Decimal("0.40")) as (client, _):
            vendors = [SELLER.id]
            lost = await call(client, "generate", request=CLIP, vendors=vendors)
            return [lost, await call(client, "generate", request=CLIP, job_name="b")]

    simulator = new_simulator()
    simulator.inject("lost-reset", SELLER.id)
    first, second = asyncio.run(run(simulator))
    assert first["error"]["type"] == "AmbiguousError"
    assert second["error"]["type"] == "BudgetError"
    assert "is left" in second["error"]["message"]
    assert billed(simulator) == 1


@pytest.mark.parametrize("vendor", UNPRICED)
def test_a_job_of_unknown_price_has_no_place_in_a_budget(tmp_path: Path, vendor: str) -> None:
    """Nobody could tell whether the limit holds."""

    async def run(simulator: Simulator) -> JsonObject:
        async with served(tmp_path, simulator, max_cost=Decimal(1000)) as (client, _):
            return await call(client, "generate", request=CLIP, vendors=[vendor])

    simulator = new_simulator()
    answer = asyncio.run(run(simulator))
    assert answer["error"]["type"] == "BudgetError"
    assert "unknown" in answer["error"]["message"]
    assert billed(simulator) == 0
