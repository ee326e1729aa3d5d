"""Batches in tests: rows, prices, a client, and what the results file says."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from polyreel import AsyncClient, Simulator, batch
from polyreel.batch import Batch, Result, Row
from polyreel.money.book import PriceBook, Rate
from polyreel.plans.reading import read as read_body
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import RunningClock
from polyreel.simulator.faults import FAULTS
from polyreel.simulator.tasks import Task

from .crash import settings
from .fleet import JumpingLoop
from .prices import UNPRICED
from .waiting import HANGS

VENDORS = list(all_providers())


FIRST = VENDORS[0]


SPEED = 100.0


ROWS = 100


CLIP: dict[str, Any] = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}


BOOK = PriceBook(tuple(Rate(vendor, Decimal("0.07")) for vendor in UNPRICED))


FINAL = {"saved", "failed", "canceled", "ambiguous", "rejected", "unsent"}


def row(number: int, **more: Any) -> dict[str, Any]:
    """One line of a batch file; its prompt tells the oracle which."""
    return {**CLIP, "prompt": f"row {number}", **more}


def write(folder: Path, rows: Sequence[dict[str, Any]], name: str = "jobs.jsonl") -> Path:
    """A batch file."""
    path = folder / name
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    return path


def rows_of(folder: Path, rows: Sequence[dict[str, Any]]) -> tuple[Row, ...]:
    """The rows of such a file."""
    return batch.read(write(folder, rows))


def row_of(task: Task) -> str:
    """Which row a vendor's task was made for."""
    found = re.search(r"row (\d+)", json.dumps(task.body))
    assert found
    return found[1]


def price_of(task: Task, book: PriceBook) -> Decimal:
    """What a task costs, from what the vendor was sent and nothing else."""
    provider = all_providers()[task.vendor]
    reading = read_body(task.body, provider, task.route.path)
    usd = book.cost(provider, task.route, reading.request, task.body).usd
    assert usd is not None
    return usd


def run(
    client: AsyncClient,
    rows: Sequence[Row],
    folder: Path,
    loop: JumpingLoop | None = None,
    **options: Any,
) -> tuple[Result, ...]:
    """Run a batch to its end, in a loop of its own or in one whose time jumps."""

    async def main() -> tuple[Result, ...]:
        async with client:
            return await Batch(client, rows, folder / "out", **options).run()

    with asyncio.Runner(loop_factory=(lambda: loop) if loop else None) as runner:
        return runner.run(main())


def client(folder: Path, simulator: Simulator | None = None, **options: Any) -> AsyncClient:
    """A client of embedded vendors, with a ledger."""
    return AsyncClient(
        simulator=simulator or Simulator(seed=1), ledger=folder / "ledger.sqlite3", **options
    )


def reported(folder: Path) -> list[dict[str, Any]]:
    """The lines of results.jsonl."""
    return [
        json.loads(line) for line in (folder / "out" / "results.jsonl").read_text().splitlines()
    ]


ENDLESS = {name for name, fault in FAULTS.items() if fault.ending in {"silence", "drip"}}
"""Faults that only a client's deadline ends."""


UNDER_WAY = 4
"""How many rows are under way at one vendor where the process is killed: so many at most have an
unknown end then.
"""


# --- killed and run again -------------------------------------------------------------------------


def afflict(simulator: Simulator, share: float) -> None:
    """Submits, polls and downloads go wrong in this share of cases, each in every way that ends by
    itself.
    """
    left_out = {"file-changed", *ENDLESS}
    chosen = {
        name: fault
        for name, fault in FAULTS.items()
        if name not in left_out and fault.call != "upload"
    }
    kinds = Counter(fault.call for fault in chosen.values())
    for name, fault in chosen.items():
        simulator.inject(name, share=1 - (1 - share) ** (1 / kinds[fault.call]), times=None)


def work(url: str, folder: Path) -> None:
    """What the process that is killed does: the same batch every time."""
    made = AsyncClient(
        **{**settings(url, folder / "ledger.sqlite3"), "call_timeout": HANGS, "prices": BOOK}
    )
    made.wire.clock = RunningClock(SPEED)
    rows, timeout = batch.read(folder / "jobs.jsonl"), HANGS * SPEED
    run(made, rows, folder, timeout=timeout, max_cost=Decimal(1000), concurrency=UNDER_WAY)


def compare_with_the_bill(simulator: Simulator, lines: Sequence[dict[str, Any]]) -> None:
    """Rows with a job, task by task and vendor by vendor: as many as were billed, for as many
    credits and dollars.

    An ambiguous row may have been billed or not, so its task, if there is one, is left out on both
    sides.
    """
    jobs = {(line["vendor"], line["job"]): line for line in lines if line["job"]}
    doubtful = {str(line["row"]) for line in lines if line["state"] == "ambiguous"}
    tasks = {name: task for name, task in simulator.tasks.items() if row_of(task) not in doubtful}
    assert set(jobs) == set(tasks)
    for vendor in VENDORS:
        own = [line for (who, _), line in jobs.items() if who == vendor]
        bill = [task for (who, _), task in tasks.items() if who == vendor]
        ids = {task.id for task in bill}
        charged = sum(
            one.credits
            for one in simulator.bill.charges
            if one.vendor == vendor and one.task in ids
        )
        assert charged == pytest.approx(sum(task.credits for task in bill))
        assert len(own) == len(bill)
        assert charged > 0
        estimated = sum(Decimal(line["cost"]["usd"]) for line in own)
        assert estimated == sum(price_of(task, BOOK) for task in bill), vendor
        assert estimated > 0
