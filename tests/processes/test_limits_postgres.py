"""Limits that are shared by all who work on a ledger in Postgres, however they end."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from polyreel.errors import BudgetError
from polyreel.ledger.database import DeadlockError
from polyreel.ledger.events import Intend, Take
from polyreel.ledger.limits import LimitChanges
from polyreel.ledger.postgres import PostgresLedger
from polyreel.ledger.records import Later, LedgerEntry
from polyreel.ledger.rows import NANODOLLARS
from polyreel.ledger.store import Write
from support import forked, limit_cases
from support.ledgers import NOW, submission
from support.limit_cases import price
from support.paths import TESTS
from support.waiting import HANGS, until


@pytest.fixture
def path(postgres: str) -> str:
    return postgres


@pytest.fixture
def ledger(path: str) -> Iterator[PostgresLedger]:
    with PostgresLedger(path) as opened:
        yield opened


globals().update(limit_cases.CASES)


# -- many at once ----------------------------------------------------------------------------------

ENTRIES = 120
PROCESSES = 4
MOST = 45
COUNTED = """SELECT
    (SELECT spent FROM limits WHERE name = 'web' AND vendor = ''),
    (SELECT coalesce(sum(reserved), 0) FROM jobs
        WHERE state IN ('sending', 'ambiguous', 'accepted')),
    (SELECT under_way FROM limits WHERE name = 'web' AND vendor <> ''),
    (SELECT count(*) FROM jobs WHERE state IN ('sending', 'accepted')),
    (SELECT count(*) FROM jobs WHERE state = 'queued')"""


def test_takers_that_are_killed_never_exceed_the_limit(path: str, ledger: PostgresLedger) -> None:
    """Sixteen at once, of four processes, of which two are killed amid it."""
    limit_cases.setting(ledger, "web", max_cost=MOST)
    for _ in range(ENTRIES):
        limit_cases.enqueued(ledger, "web")
    options = "-c search_path=polyreel"
    with (
        ExitStack() as stack,
        psycopg.connect(path, autocommit=True, options=options) as connection,
    ):
        takers = [
            stack.enter_context(
                forked.Program("-m", "support.takers", path, str(number), cwd=TESTS)
            )
            for number in range(PROCESSES)
        ]

        def spent() -> int:
            row = connection.execute(COUNTED.encode()).fetchone()
            assert row is not None
            assert row[0] == row[1] <= MOST * NANODOLLARS
            assert row[2] == row[3]
            return int(row[0]) // NANODOLLARS

        until(lambda: spent() > MOST / 4)
        takers[0].kill()
        until(lambda: spent() > MOST / 2)
        takers[1].kill()
        until(lambda: spent() and all(taker.poll() is not None for taker in takers))
        assert [taker.returncode for taker in takers[2:]] == [0, 0]
        assert spent() == MOST
    states = Counter(entry.state for entry in ledger.entries())
    assert states["queued"] == 0
    assert states["unsent"] > 0


def test_groups_that_wait_for_each_other_are_written_one_by_one(
    path: str, ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two groups count under the same names in another order: the database ends one of them."""
    names = ("one", "other")
    meeting, deadlocks = threading.Barrier(2), []
    write = PostgresLedger._write

    def watched(self: PostgresLedger, *one: Any) -> Any:
        try:
            result = write(self, *one)
        except DeadlockError as error:
            deadlocks.append(error)
            raise
        if not deadlocks and not meeting.broken and not getattr(met, "done", False):
            met.done = True
            meeting.wait(HANGS)
        return result

    met = threading.local()
    monkeypatch.setattr(PostgresLedger, "_write", watched)

    def group(order: Sequence[str]) -> list[Any]:
        writes: list[Write] = [
            (Intend(submission(limits=name, **price("1"))), ledger.new_owner(), NOW)
            for name in order
        ]
        return ledger.write_all(writes)

    with ThreadPoolExecutor(2) as pool:
        made = [*pool.map(group, (names, names[::-1]))]
    assert deadlocks
    assert [type(one) for results in made for one in results] == [str] * 4
    for name in names:
        assert limit_cases.limits(ledger, name)[""].spent == 2


# -- in one statement ------------------------------------------------------------------------------

ALLOWED: dict[str, tuple[LimitChanges, Sequence[str], Sequence[type]]] = {
    "money": ({"max_cost": 3}, "1111", [LedgerEntry] * 3 + [BudgetError]),
    "one is too dear": ({"max_cost": 2}, "151", [LedgerEntry, BudgetError, LedgerEntry]),
    "places": ({"concurrency": 2}, "111", [LedgerEntry] * 2 + [Later]),
    "pace": ({"rate": 1}, "11", [LedgerEntry, Later]),
    "all": ({"max_cost": 9, "rate": 1, "concurrency": 3}, "11", [LedgerEntry, Later]),
    "none": ({}, "111", [LedgerEntry] * 3),
}
"""What is set, what entries cost, and what comes of taking them in their order."""


@pytest.mark.parametrize("name", ALLOWED)
def test_a_group_is_taken_as_its_entries_would_be(
    ledger: PostgresLedger, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its order, beside those with other limits, or none; alone are only those left over."""
    changes, prices, kinds = ALLOWED[name]
    limit_cases.setting(ledger, "web", **changes)
    limit_cases.setting(ledger, "other", max_cost=1)
    entries = [limit_cases.enqueued(ledger, "web", usd) for usd in prices]
    others = [limit_cases.enqueued(ledger, name) for name in ("other", None)]
    alone, take = [], PostgresLedger._take

    def noted(self: PostgresLedger, event: Take, *rest: Any) -> Any:
        alone.append(event.entry)
        return take(self, event, *rest)

    monkeypatch.setattr(PostgresLedger, "_take", noted)
    owner = ledger.new_owner()
    taken = [others[0], *entries, others[1]]
    found = ledger.write_all([(Take(one, simulated=True), owner, NOW) for one in taken])
    assert [type(one) for one in found] == [LedgerEntry, *kinds, LedgerEntry]
    assert set(alone) <= set(entries[1:])
    begun = [entry for entry in ledger.entries(["sending"]) if entry.submission.limits == "web"]
    whole = limit_cases.limits(ledger, "web")
    assert whole[""].spent == sum(entry.submission.most_usd or 0 for entry in begun)
    assert whole[begun[0].vendor].under_way == len(begun) == kinds.count(LedgerEntry)
