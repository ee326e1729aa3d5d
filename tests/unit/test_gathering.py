"""Threads that write to a database at the same time: what they wait for, and with whom."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from polyreel.ledger.gathering import GatheredWrites

THREADS = 8
WRITES = 40


class Database:
    """Makes writes, which takes a while, and notes how many came together."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.gathered = GatheredWrites(self.write_all, lambda _: RuntimeError("interrupted"))

    def write_all(self, writes: Sequence[int]) -> dict[int, Any]:
        time.sleep(0.001)
        self.sizes.append(len(writes))
        return {number: -one for number, one in enumerate(writes)}

    def write_many(self, first: int) -> list[int]:
        """What one thread is told, which writes again as soon as it has its answer."""
        return [self.gathered.write(first + number) for number in range(WRITES)]


def test_who_writes_again_does_so_with_the_others() -> None:
    """The first to come back waits for nobody who sleeps, and does not leave the others behind."""
    database, firsts = Database(), range(0, THREADS * WRITES, WRITES)
    with ThreadPoolExecutor(THREADS) as threads:
        told = [*threads.map(database.write_many, firsts)]
    assert told == [[-first - number for number in range(WRITES)] for first in firsts]
    assert sum(database.sizes) == THREADS * WRITES
    # Where the first one writes alone, and the others after it, the mean is a half of them.
    assert sum(database.sizes) / len(database.sizes) > 0.75 * THREADS
