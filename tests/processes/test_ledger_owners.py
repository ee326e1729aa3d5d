"""Processes that own entries of one ledger, compete for them, and are killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from polyreel.ledger.events import Claim
from polyreel.ledger.sqlite import Ledger
from support import forked
from support.ledger_cases import accepted
from support.ledgers import NOW, ROUNDS, WORKERS, compete, hold
from support.waiting import HANGS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as opened:
        yield opened


@pytest.mark.parametrize("sending", [False, True])
def test_a_killed_process_owns_nothing(ledger: Ledger, path: Path, sending: bool) -> None:
    """Its lock is the system's to free; its half-sent submit is ambiguous from then on."""
    entry = accepted(ledger)
    context = forked.context()
    ready = context.Event()
    process = context.Process(target=hold, args=(path, None if sending else entry, ready))
    process.start()
    assert ready.wait(HANGS)
    assert ledger.entries()[-1].owned
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    last = ledger.entries()[-1]
    assert (last.owned, last.state) == (False, "ambiguous" if sending else "accepted")
    assert not sending or "process ended" in (last.reason or "")
    ledger.write(Claim(last.id), ledger.new_owner(), NOW)
    assert len(list(path.with_name(f"{path.name}.owners").iterdir())) == 1


def test_many_workers_one_owner(ledger: Ledger, path: Path) -> None:
    """Threads of several processes want the same entries: never two at once."""
    entries = [accepted(ledger, f"t{number}") for number in range(3)]
    context = forked.context()
    results = context.Queue()
    processes = [
        context.Process(target=compete, args=(path, entries, results)) for _ in range(WORKERS)
    ]
    for process in processes:
        process.start()
    wins = [win for _ in processes for win in results.get(timeout=2 * HANGS)]
    for process in processes:
        process.join()
    assert len(wins) > ROUNDS
    for entry in entries:
        times = sorted(win[1:] for win in wins if win[0] == entry)
        assert all(before[1] <= after[0] for before, after in pairwise(times))
