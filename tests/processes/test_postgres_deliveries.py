"""Webhooks in Postgres: one statement writes each down, whatever happens at the same time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from attrs import evolve
from polyreel.ledger import postgres as postgres_ledger
from polyreel.ledger.events import Intend, Keep, Settle
from polyreel.ledger.postgres import PostgresLedger
from polyreel.ledger.postgres_connection import LedgerConnection, Outcome, Statement
from polyreel.ledger.postgres_database import PLANNING
from polyreel.ledger.postgres_deliveries import BETWEEN, deliver_at_once
from polyreel.ledger.store import DELIVERY_DAYS, Delivered
from polyreel.providers.base.facts import Facts
from polyreel.providers.base.webhooks import Event
from support.ledgers import NOW, VENDOR, job, submission
from support.postgres import execute, rows


@pytest.fixture
def ledger(postgres: str) -> Iterator[PostgresLedger]:
    with PostgresLedger(postgres) as opened:
        yield opened


@pytest.fixture
def entry(ledger: PostgresLedger) -> str:
    """An accepted entry, owned by nobody."""
    owner = ledger.new_owner()
    name: str = ledger.write(Intend(submission()), owner, NOW)
    ledger.write(Settle(name, "accepted", job=job()), owner, NOW)
    ledger.release(owner, sent=False)
    return name


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The statements of each message to the server."""
    found: list[list[str]] = []
    run_all = LedgerConnection.run_all

    def noted(self: LedgerConnection, statements: Sequence[Statement]) -> list[Outcome]:
        found.append([text for text, _ in statements])
        return run_all(self, statements)

    monkeypatch.setattr(LedgerConnection, "run_all", noted)
    return found


def event(identity: str, status: Any = "running", progress: float = 0.5) -> Event:
    """A signed webhook."""
    error = "no cats" if status == "failed" else None
    facts = Facts("task-1", status, None, (), progress, None, None, None, error, {})
    return Event(VENDOR, identity, "task-1", evolve(facts, status=status), verified=True)


def test_a_webhook_takes_two_messages(
    ledger: PostgresLedger, entry: str, asked: list[list[str]]
) -> None:
    """One that reads, and one that writes, which forgets old webhooks now and then."""
    effects = []
    for number in range(BETWEEN + 1):
        asked.clear()
        effects.append(ledger.deliver(event(f"n{number}", progress=0.6), NOW, simulated=True))
        assert len(asked) == 2
    found = [one.effect for one in effects]
    assert found == ["applied"] + ["unchanged"] * BETWEEN
    assert ledger.deliver(event("n0"), NOW, simulated=True).effect == "duplicate"
    assert ledger.entry(entry) == effects[0].entry == effects[-1].entry


def test_of_one_webhook_that_comes_often_one_counts(ledger: PostgresLedger, entry: str) -> None:
    """Though many threads take it in at once."""

    def deliver(number: int) -> str:
        return ledger.deliver(event(f"n{number % 5}", "failed"), NOW, simulated=True).effect

    with ThreadPoolExecutor(8) as pool:
        effects = Counter(pool.map(deliver, range(40)))
    assert effects == {"applied": 1, "unchanged": 4, "duplicate": 35}
    assert ledger.entry(entry).state == "failed"


def test_webhooks_of_many_jobs_share_messages(
    ledger: PostgresLedger, asked: list[list[str]]
) -> None:
    """Each has its own effect; one of a job that nobody knows is not written down."""
    owner = ledger.new_owner()
    names: list[str] = ledger.write_all([(Intend(submission()), owner, NOW) for _ in range(24)])
    settled = [Settle(one, "accepted", job=job(f"of-{one}")) for one in names]
    ledger.write_all([(one, owner, NOW) for one in settled])
    asked.clear()

    def deliver(task: str) -> Delivered:
        one = event(f"about {task}", "failed")
        facts = evolve(one.facts, id=task)
        return ledger.deliver(evolve(one, task_id=task, facts=facts), NOW, simulated=True)

    with ThreadPoolExecutor(12) as pool:
        found = [*pool.map(deliver, [*(f"of-{one}" for one in names), "nobody's"])]
    messages = len(asked)
    assert [one.effect for one in found] == ["applied"] * 24 + ["unknown-job"]
    assert [one.entry for one in found[:-1]] == [*map(ledger.entry, names)]
    assert {one.entry.state for one in found if one.entry} == {"failed"}
    assert messages < 2 * 24


def test_what_changes_meanwhile_is_not_lost(
    ledger: PostgresLedger, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A webhook that was worked out from an older state is worked out again."""

    def late(*given: Any, **options: Any) -> object:
        ledger.write(Keep(job(status="failed")), "", NOW + 1)
        return deliver_at_once(*given, **options)

    monkeypatch.setattr(f"{postgres_ledger.__name__}.deliver_at_once", late)
    delivered: Delivered = ledger.deliver(event("late"), NOW + 2, simulated=True)
    assert (delivered.effect, delivered.entry) == ("unchanged", ledger.entry(entry))
    assert ledger.entry(entry).state == "failed"
    assert ledger.deliver(event("late"), NOW + 2, simulated=True).effect == "duplicate"


def test_an_abandoned_entry_stays_so(ledger: PostgresLedger, entry: str) -> None:
    """On its user's word; what its job comes to is written down all the same."""
    ledger.abandon(entry)
    delivered = ledger.deliver(event("a", "failed"), NOW, simulated=True)
    assert delivered.effect == "applied"
    assert delivered.entry == ledger.entry(entry)
    found = ledger.entry(entry)
    assert (found.state, found.job and found.job.status) == ("abandoned", "failed")


def test_old_webhooks_are_forgotten(ledger: PostgresLedger, entry: str, postgres: str) -> None:
    old = NOW - DELIVERY_DAYS * 86_400 - 1
    execute(
        postgres, f"INSERT INTO deliveries SELECT 'v', n, {old} FROM generate_series(1, 3000) n"
    )
    for number in range(30):
        ledger.deliver(event(f"n{number}"), NOW, simulated=True)
    assert rows(postgres, "SELECT count(*) FROM deliveries") == ["30"]


def test_every_statement_finds_its_rows_by_an_index(
    ledger: PostgresLedger, entry: str, postgres: str, asked: list[list[str]]
) -> None:
    """Those of webhooks, by any plan."""
    ledger.deliver(event("a", "failed"), NOW, simulated=True)
    ledger.deliver(event("b", "failed"), NOW, simulated=True)
    statements = {text for texts in asked for text in texts if "?" in text and "FROM" in text}
    assert len(statements) >= 5
    for text in statements:
        given = [json.dumps([{"number": 1}]) if "json" in text else 1] * text.count("?")
        plan = rows(postgres, f"EXPLAIN {text.replace('?', '%s')}", *given, options=PLANNING)
        scans = [line for line in plan if "Seq Scan" in line]
        assert not scans, plan
