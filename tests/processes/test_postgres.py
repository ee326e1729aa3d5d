"""The ledger in Postgres: it does what every ledger does, and what only many machines need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from polyreel import Client
from polyreel.errors import LedgerError
from polyreel.ledger import postgres as postgres_ledger
from polyreel.ledger.events import Intend, Settle
from polyreel.ledger.opening import open_ledger
from polyreel.ledger.postgres import PostgresLedger
from polyreel.ledger.store import DIED
from support import ledger_cases
from support.ledgers import NOW, job, submission
from support.postgres import execute
from support.waiting import until


@pytest.fixture
def path(postgres: str) -> str:
    return postgres


@pytest.fixture
def ledger(path: str) -> Iterator[PostgresLedger]:
    with PostgresLedger(path) as opened:
        yield opened


globals().update(ledger_cases.CASES)


def test_a_client_keeps_its_jobs_in_a_database(path: str, tmp_path: Path) -> None:
    """By the address alone; another client goes on with them."""
    with Client(ledger=path) as client:
        plan = client.plan({"model": "kling-v3", "prompt": "a cat"})
        started = client.submit(plan, reference="order 17")
    with Client(ledger=path) as client:
        (found,) = client.jobs(reference="order 17")
        assert found.id == started.ledger_id
        assert found.job is not None
        assert client.wait(found.job).status == "succeeded"


def refusal(ledger: PostgresLedger, owner: str) -> str:
    """Why an owner must not pay; nothing if it may."""
    try:
        ledger.check_owner(owner)
    except LedgerError as error:
        return str(error)
    return ""


SHORT: float = 0.6
"""A lease, in seconds."""


def test_a_submit_of_a_process_that_was_not_seen_is_ambiguous(path: str) -> None:
    """Its late outcome is settled all the same."""
    with (
        PostgresLedger(path, lease=SHORT) as dying,
        PostgresLedger(path, lease=SHORT) as ledger,
    ):
        owner = dying.new_owner()
        entry = dying.write(Intend(submission(reference="r")), owner, NOW)
        assert (ledger.entry(entry).state, ledger.entry(entry).owned) == ("sending", True)
        execute(path, "UPDATE owners SET seen_at = '-infinity'")
        # After the start of the server nobody is taken for dead within a lease.
        until(lambda: ledger.entry(entry).state != "sending")
        found = ledger.entry(entry)
        assert (found.state, found.reason, found.owned) == ("ambiguous", DIED, False)
        dying.write(Settle(entry, "accepted", job=job()), owner, NOW)
        assert ledger.entry(entry).state == "accepted"
        assert "nothing was sent" in until(lambda: refusal(dying, owner))
        dying.check_owner(dying.new_owner())  # a new life


def test_nobody_who_is_seen_is_taken_for_dead(path: str) -> None:
    """A lease is renewed."""
    with (
        PostgresLedger(path, lease=SHORT) as one,
        PostgresLedger(path, lease=SHORT) as other,
    ):
        owner = one.new_owner()
        entry = one.write(Intend(submission()), owner, NOW)
        read = "SELECT seen_at FROM owners"
        with psycopg.connect(path, autocommit=True, options="-c search_path=polyreel") as direct:
            first = direct.execute(read.encode()).fetchall()
            until(lambda: len({*first, *direct.execute(read.encode()).fetchall()}) > 1)
        assert other.entry(entry).state == "sending"
        one.check_owner(owner)


def test_an_address_that_cannot_be_used_is_an_error_without_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says what to do."""
    monkeypatch.setattr(postgres_ledger, "OPENING", 0.0)
    for address in ("postgresql://me:secret-word@127.0.0.1:9/x", "postgresql://[:x"):
        with pytest.raises(LedgerError) as caught:
            open_ledger(address)
        assert "secret-word" not in str(caught.value)
