"""Awaited writes to a ledger in Postgres need no thread, and are told what threads are told.

Nothing is lost where the database, or its answer, does not come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from polyreel.drivers import GroupedWrites
from polyreel.errors import ClaimedError, LedgerError
from polyreel.ledger import postgres_awaited
from polyreel.ledger.events import Intend, LedgerEvent, Queue, Settle, Take
from polyreel.ledger.postgres import PostgresLedger
from polyreel.ledger.records import LedgerEntry
from polyreel.ledger.store import Write
from support.ledgers import NOW, job, submission


@pytest.fixture
def ledger(postgres: str) -> Iterator[PostgresLedger]:
    with PostgresLedger(postgres) as opened:
        opened.entries()  # one connection is open
        yield opened


def written(ledger: PostgresLedger, *writes: Write) -> list[Any]:
    """The results of writes that wait at the same time, or their errors."""

    async def write() -> list[Any]:
        grouped = GroupedWrites[Write](ledger.write_all, ledger.begin_all)
        return await asyncio.gather(*map(grouped.write, writes), return_exceptions=True)

    return asyncio.run(write())


def without_threads(ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(writes: object) -> list[Any]:
        raise AssertionError("a thread writes")

    monkeypatch.setattr(ledger, "write_all", refuse)


@contextmanager
def locked(postgres: str) -> Iterator[Callable[[], None]]:
    """All entries are locked by somebody; ends all other connections, when called."""
    with psycopg.connect(postgres, options="-c search_path=polyreel") as other:
        other.execute("SELECT id FROM jobs FOR UPDATE")

        def end() -> None:
            other.execute(
                "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

        yield end


def test_what_is_usual_needs_no_thread(
    ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its size: more than a connection takes at once."""
    owner, waiting = ledger.new_owner(), ledger.write(Queue(submission(reference="q")), "", NOW).id
    without_threads(ledger, monkeypatch)
    large = submission(reference="large", folder="x" * 3_000_000)
    intends = [Intend(one) for one in (large, submission(reference="small"))]
    events: list[LedgerEvent] = [*intends, Take(waiting, simulated=True)]
    first, second, taken = written(ledger, *((one, owner, NOW) for one in events))
    assert isinstance(taken, LedgerEntry)
    assert list(ledger.touched) == [first, second, waiting]
    settles = [Settle(one, "accepted", job=job(f"of-{one}")) for one in (first, second, waiting)]
    assert written(ledger, *((one, owner, NOW) for one in settles)) == [None] * 3
    assert {entry.state for entry in ledger.entries()} == {"accepted"}
    assert ledger.entry(first).submission.folder == "x" * 3_000_000


def test_what_is_in_the_way_of_one_stops_no_other(ledger: PostgresLedger) -> None:
    """A reference twice, a task twice, and an outcome that comes late."""
    mine, theirs = ledger.new_owner(), ledger.new_owner()
    first, second, third = written(
        ledger,
        *(
            (Intend(submission(reference=reference)), owner, NOW)
            for reference, owner in (("a", mine), ("a", theirs), ("b", mine))
        ),
    )
    assert isinstance(second, ClaimedError)
    outcomes = [(first, "same"), (third, "same"), (first, "late")]
    told = written(
        ledger, *((Settle(one, "accepted", job=job(task)), mine, NOW) for one, task in outcomes)
    )
    assert [type(one) for one in told] == [type(None), LedgerError, ClaimedError]
    assert [entry.state for entry in ledger.entries()] == ["accepted", "sending"]


@pytest.mark.parametrize("how", ["ended", "silent"])
def test_no_outcome_is_lost_with_a_connection(
    ledger: PostgresLedger, postgres: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It is kept beside the ledger, and written into it before anything else."""
    owner = ledger.new_owner()
    entry = ledger.write(Intend(submission()), owner, NOW)
    without_threads(ledger, monkeypatch)
    if how == "silent":
        monkeypatch.setattr(postgres_awaited, "ANSWER_SECONDS", 0.1)

    async def settle(end: Callable[[], None]) -> None:
        grouped = GroupedWrites[Write](ledger.write_all, ledger.begin_all)
        outcome = (Settle(entry, "accepted", job=job("task")), owner, NOW)
        settling = asyncio.create_task(grouped.write(outcome))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # it has been sent
        if how == "ended":
            await asyncio.to_thread(end)
        with pytest.raises(LedgerError, match="is not lost"):
            await settling

    with locked(postgres) as end:
        asyncio.run(settle(end))
    assert ledger.entry(entry).state == "accepted"
