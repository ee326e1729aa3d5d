"""Ledgers and those who compete for them; other processes import this too."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, Final

from attrs import evolve
from polyreel import Job
from polyreel.errors import ClaimedError
from polyreel.ledger.events import Claim, Intend
from polyreel.ledger.records import Submission
from polyreel.ledger.sqlite import Ledger
from polyreel.ledger.store import LedgerStore

from .faults import VENDORS, plans
from .waiting import HANGS

VENDOR: Final = VENDORS[0]
NOW: Final = 1_800_000_000.0
WORKERS: Final = 4
ROUNDS: Final = 60


def submission(**changes: Any) -> Submission:
    """A submission of one of the vendors."""
    plan = next(iter(plans(VENDOR).values()))
    made = Submission.of(plan, idempotency_key="0123456789abcdef", simulated=True)
    return evolve(made, **changes)


def database(ledger: LedgerStore) -> sqlite3.Connection:
    """The connection of a ledger that is kept in a file."""
    assert isinstance(ledger, Ledger)
    return ledger._file.connection


def job(task: str = "task-1", status: str = "queued", **more: Any) -> Job:
    """A job as a flow would write it down."""
    fixed = {"vendor": VENDOR, "model": "m", "workflow": "text-to-video", "simulated": True}
    return Job.model_validate({**fixed, "id": task, "status": status, **more})


def hold(path: Path, entry: str | None, ready: Any) -> None:
    """Own an entry, or be in the middle of a submit, until killed."""
    ledger = Ledger(path)
    owner = ledger.new_owner()
    ledger.write(Claim(entry) if entry else Intend(submission()), owner, NOW)
    ready.set()
    time.sleep(9 * HANGS)


def compete(path: Path, entries: list[str], results: Any) -> None:
    """Threads that take entries over, look, and let go."""
    wins: list[tuple[str, float, float]] = []

    def work(offset: int) -> None:
        for number in range(ROUNDS):
            entry, owner = entries[(number + offset) % len(entries)], ledger.new_owner()
            try:
                ledger.write(Claim(entry), owner, NOW)
            except ClaimedError:
                continue
            start = time.monotonic()
            time.sleep(0.0005)
            wins.append((entry, start, time.monotonic()))
            ledger.release(owner, sent=False)

    with Ledger(path) as ledger:
        threads = [threading.Thread(target=work, args=(offset,)) for offset in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    results.put(wins)
