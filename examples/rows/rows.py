"""A clip of each row of a CSV file. Each row is paid once, however often the program runs."""

import asyncio
import csv
import sys
from decimal import Decimal
from pathlib import Path

from polyreel import AsyncClient, batch

ROWS = 100


def write_rows(path: Path) -> None:
    """The table: `scene` is no field of a request, and comes back with the results."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["reference", "prompt", "duration", "scene"])
        for n in range(1, ROWS + 1):
            table.writerow([f"cat-{n:03}", f"cat number {n} crosses a street", 3, f"street {n}"])


async def main(path: Path) -> None:
    async with AsyncClient.from_env() as client:
        work = batch.Batch(
            client,
            batch.read(path, name="cats"),
            "clips",
            filename="{name}.{ext}",
            concurrency=50,
            max_cost=Decimal(100),
            labels={"team": "cats"},
        )
        print(work.plan(), file=sys.stderr)
        results = await work.run()
    for state, count in batch.tally(results).items():
        print(state, count)


if __name__ == "__main__":
    rows = Path("rows.csv")
    if not rows.exists():
        write_rows(rows)
    asyncio.run(main(rows))
