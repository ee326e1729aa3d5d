"""Takers of a ledger's queued entries that send nothing: `python -m support.takers LEDGER SEED`."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from polyreel.errors import BudgetError, ClaimedError
from polyreel.ledger.events import Settle, Take
from polyreel.ledger.postgres import PostgresLedger
from polyreel.ledger.records import LedgerEntry, State

from .ledgers import NOW, job
from .workers import LEASE

THREADS: Final = 4
FEW: Final = 4
"""How many are tried before somebody looks again."""
ENDS: Final[tuple[State, ...]] = ("accepted", "accepted", "ambiguous", "rejected", "queued")


def take_all(ledger: PostgresLedger, seed: str) -> None:
    """Take whatever is queued, in an order of one's own, until nothing is."""
    chance = random.Random(seed)
    while ids := ledger.outstanding.queued(simulated=True, before=float("inf"), limit=1_000):
        chance.shuffle(ids)
        for name in ids[:FEW]:
            owner = ledger.new_owner()
            try:
                taken = ledger.write(Take(name, simulated=True), owner, NOW)
                if isinstance(taken, LedgerEntry):
                    end = chance.choice(ENDS)
                    accepted = job(f"task {name}") if end == "accepted" else None
                    ledger.write(Settle(name, end, job=accepted), owner, NOW)
            except (BudgetError, ClaimedError):
                pass
            ledger.release(owner, sent=True)


def main(address: str, seed: str) -> None:
    """Some of them, at once."""
    with PostgresLedger(address, lease=LEASE) as ledger, ThreadPoolExecutor(THREADS) as pool:
        taking = [pool.submit(take_all, ledger, f"{seed} {number}") for number in range(THREADS)]
        for one in taking:
            one.result()


if __name__ == "__main__":
    main(*sys.argv[1:])
