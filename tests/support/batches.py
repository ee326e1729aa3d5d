"""Batches in tests: rows, prices, a client, and what the results file says."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from polyreel import AsyncClient, Simulator, batch
from polyreel.batch import Batch, Result, Row
from polyreel.money.book import PriceBook, Rate
from polyreel.plans.reading import read as read_body
from polyreel.providers.base.registry import all_providers
from polyreel.simulator.tasks import Task

from support.fleet import JumpingLoop

VENDORS = list(all_providers())


FIRST = VENDORS[0]


PRICED = [
    vendor
    for vendor, provider in all_providers().items()
    if any(
        "x-polyreel-price" in provider.contract.schema(route.schema) for route in provider.routes
    )
]


UNPRICED = [vendor for vendor in VENDORS if vendor not in PRICED]


SPEED = 100.0


ROWS = 200


CLIP: dict[str, Any] = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}


BOOK = PriceBook(tuple(Rate(vendor, Decimal("0.07")) for vendor in UNPRICED))


FINAL = {"saved", "failed", "canceled", "ambiguous", "rejected", "unsent"}


def row(number: int, **more: Any) -> dict[str, Any]:
    """One line of a batch file; its negative prompt tells the oracle which."""
    return {**CLIP, "negative_prompt": f"row {number}", **more}


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
    reading = read_body(task.body, provider, task.route.operation.PATH)
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


def told(folder: Path) -> list[dict[str, Any]]:
    """The lines of results.jsonl."""
    return [
        json.loads(line) for line in (folder / "out" / "results.jsonl").read_text().splitlines()
    ]
