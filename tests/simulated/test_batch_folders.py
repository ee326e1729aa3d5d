"""Two batches whose results are in one folder."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from polyreel import batch
from polyreel.batch import Batch, Result
from support.batches import CLIP, client, write


def lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a results file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def made(folder: Path, name: str, count: int) -> tuple[Result, ...]:
    """Run a batch of so many rows."""
    rows = [{**CLIP, "prompt": f"{name} {number}"} for number in range(count)]
    read = batch.read(write(folder, rows, f"{name}.jsonl"), name=name)

    async def main() -> tuple[Result, ...]:
        async with client(folder) as own:
            return await Batch(own, read, folder / "out").run()

    return asyncio.run(main())


def test_both_are_kept(tmp_path: Path) -> None:
    """results.jsonl is that of the newest run; that of the other batch has the batch's name."""
    out = tmp_path / "out"
    made(tmp_path, "one", 2)
    first = lines(out / "results.jsonl")
    made(tmp_path, "two", 1)
    assert [line["reference"] for line in lines(out / "results.jsonl")] == ["two/1"]
    assert lines(out / "results-one.jsonl") == first
    made(tmp_path, "one", 3)
    assert len(lines(out / "results.jsonl")) == 3
    assert not (out / "results-one.jsonl").exists()
    assert [line["reference"] for line in lines(out / "results-two.jsonl")] == ["two/1"]
    made(tmp_path, "one", 3)
    assert len(lines(out / "results.jsonl")) == 3


def test_both_are_kept_at_the_same_time(tmp_path: Path) -> None:
    """Whichever ends last."""

    async def main() -> None:
        async with client(tmp_path) as own:
            rows = {
                name: batch.read(
                    write(
                        tmp_path,
                        [{**CLIP, "prompt": f"{name} {number}"} for number in range(4)],
                        f"{name[:3]}.jsonl",
                    ),
                    name=name,
                )
                for name in ("one", "two/a b")
            }
            runs = (Batch(own, read, tmp_path / "out", concurrency=1) for read in rows.values())
            await asyncio.gather(*(run.run() for run in runs))

    asyncio.run(main())
    found = [lines(path) for path in (tmp_path / "out").glob("results*.jsonl")]
    assert sorted(len(rows) for rows in found) == [4, 4]
    assert {line["state"] for rows in found for line in rows} == {"saved"}
    assert not [*(tmp_path / "out").glob("*.part")]
