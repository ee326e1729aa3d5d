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
from polyreel.ledger.database import DeadlockError
from polyreel.ledger.events import Take
from polyreel.ledger.postgres import PostgresLedger
from polyreel.ledger.records import LedgerEntry
from polyreel.ledger.rows import NANODOLLARS
from polyreel.ledger.store import Write
from support import forked, limit_cases
from support.ledgers import NOW
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
    entries = {name: [limit_cases.enqueued(ledger, name) for _ in range(2)] for name in names}
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

    def group(number: int, order: Sequence[str]) -> list[Any]:
        writes: list[Write] = [
            (Take(entries[name][number], simulated=True), ledger.new_owner(), NOW) for name in order
        ]
        return ledger.write_all(writes)

    with ThreadPoolExecutor(2) as pool:
        made = [*pool.map(group, range(2), (names, names[::-1]))]
    assert deadlocks
    assert [type(one) for results in made for one in results] == [LedgerEntry] * 4
    for name in names:
        assert limit_cases.limits(ledger, name)[""].spent == 2
