"""What many flows write to the ledger in Postgres goes in few statements, and each flow is told
what it would be told alone.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from polyreel import Job
from polyreel.errors import ClaimedError, LedgerError
from polyreel.ledger.at_once import STATEMENTS, TAKE_LIMITED, PreparedWrite
from polyreel.ledger.events import Intend, Keep, Queue, Released, Settle, Take
from polyreel.ledger.gathering import _begin_in_a_child
from polyreel.ledger.postgres import PostgresLedger
from polyreel.ledger.postgres_database import PLANNING
from polyreel.ledger.postgres_states import CHANGED
from polyreel.ledger.records import LedgerEntry
from support.ledgers import NOW, job, submission
from support.postgres import execute, rows


@pytest.fixture
def ledger(postgres: str) -> Iterator[PostgresLedger]:
    with PostgresLedger(postgres) as opened:
        yield opened


def evolve_job(before: Job, status: str, **changes: Any) -> Job:
    """A job with another state."""
    return Job.model_validate({**before.model_dump(), "status": status, **changes})


def queued(ledger: PostgresLedger, **changes: Any) -> str:
    """An entry that waits for its submit."""
    return str(ledger.write(Queue(submission(**changes)), "", NOW).id)


def test_each_of_many_gets_its_own_answer(ledger: PostgresLedger) -> None:
    """Of every kind, at once: what is in the way of one stops no other."""
    mine, theirs = ledger.new_owner(), ledger.new_owner()
    waiting, given_up = queued(ledger, reference="c"), queued(ledger, reference="d")
    ledger.abandon(given_up)
    sent = ledger.write(Intend(submission(reference="e")), mine, NOW)
    first, second, taken, again, none, settled, labelled = ledger.write_all(
        [
            (Intend(submission(reference="a")), mine, NOW),
            (Intend(submission(reference="a")), theirs, NOW),
            (Take(waiting, simulated=True), mine, NOW),
            (Take(waiting, simulated=True), theirs, NOW),
            (Take(given_up, simulated=True), mine, NOW),
            (Settle(sent, "accepted", job=job("task-e")), mine, NOW),
            (Intend(submission(reference="b", labels={"for": "me"})), mine, NOW),
        ]
    )
    assert ledger.entry(first).state == "sending"
    assert isinstance(second, ClaimedError)
    assert isinstance(taken, LedgerEntry)
    assert (taken.id, taken.state, taken.attempts, taken.owned) == (waiting, "sending", 1, True)
    assert (again, none, settled) == (None, None, None)
    assert ledger.entry(sent).job == job("task-e").model_copy(update={"ledger_id": sent})
    assert [entry.id for entry in ledger.labelled("for", "me")] == [labelled]


def test_one_task_stops_only_its_own_outcome(ledger: PostgresLedger) -> None:
    """Though the statement that wrote them together is taken back."""
    owner = ledger.new_owner()
    entries = [ledger.write(Intend(submission()), owner, NOW) for _ in range(3)]
    ledger.write(Settle(entries[0], "accepted", job=job("same")), owner, NOW)
    outcomes = [(entries[1], "same"), (entries[2], "other")]
    results = ledger.write_all(
        [(Settle(entry, "accepted", job=job(task)), owner, NOW) for entry, task in outcomes]
    )
    assert [type(result) for result in results] == [LedgerError, type(None)]
    assert [ledger.entry(entry).state for entry in entries] == ["accepted", "sending", "accepted"]


def test_text_that_postgres_cannot_hold_stops_nobody(ledger: PostgresLedger) -> None:
    """A NUL is replaced, as where it is written alone."""
    owner = ledger.new_owner()
    names = ledger.write_all(
        [(Intend(submission(reference=text)), owner, NOW) for text in ("a\0b", "\\u0000", "plain")]
    )
    found = [ledger.entry(name).submission.reference for name in names]
    assert found == ["a\N{REPLACEMENT CHARACTER}b", "\\u0000", "plain"]


def test_states_of_many_jobs_are_kept_as_those_of_each_alone(ledger: PostgresLedger) -> None:
    """Also of one that nobody knows, of the same one twice, and of one that was given up."""
    owner = ledger.new_owner()
    entries = {name: ledger.write(Intend(submission()), owner, NOW) for name in "abcd"}
    for name, entry in entries.items():
        ledger.write(Settle(entry, "accepted", job=job(name)), owner, NOW)
    ledger.release(owner, sent=False)
    ledger.abandon(entries["c"])
    ended = {name: evolve_job(job(name), "succeeded", progress=1.0) for name in "abcx"}
    failed = evolve_job(job("d"), "failed", error={"code": "x", "message": "no\0pe"})
    early = evolve_job(job("a"), "running", progress=0.5)
    given = [ended["a"], ended["x"], early, ended["c"], failed, ended["b"]]
    kept = ledger.write_all([(Keep(one), "", NOW + n) for n, one in enumerate(given)])
    assert [one.status for one in kept] == [
        *("succeeded", "succeeded", "succeeded", "succeeded", "failed", "succeeded")
    ]
    assert kept[1] == ended["x"]
    assert [one.ledger_id for one in kept] == [
        *(entries["a"], None, entries["a"], entries["c"], entries["d"], entries["b"])
    ]
    found = {name: ledger.entry(entry) for name, entry in entries.items()}
    assert {name: entry.state for name, entry in found.items()} == {
        "a": "succeeded",
        "b": "succeeded",
        "c": "abandoned",
        "d": "failed",
    }
    assert {name: entry.finished_at for name, entry in found.items()} == {
        "a": NOW,
        "b": NOW + 5,
        "c": NOW + 3,
        "d": NOW + 4,
    }
    assert found["d"].reason == "no\N{REPLACEMENT CHARACTER}pe"


def test_a_row_that_cannot_be_read_stops_no_other(ledger: PostgresLedger, postgres: str) -> None:
    owner = ledger.new_owner()
    entries = [ledger.write(Intend(submission()), owner, NOW) for _ in range(2)]
    for entry in entries:
        ledger.write(Settle(entry, "accepted", job=job(f"of-{entry}")), owner, NOW)
    execute(postgres, f"UPDATE polyreel.jobs SET job = '{{}}' WHERE id = '{entries[0]}'")
    ended = [evolve_job(job(f"of-{entry}"), "succeeded", progress=1.0) for entry in entries]
    results = ledger.write_all([(Keep(one), "", NOW) for one in ended])
    assert [type(result) for result in results] == [LedgerError, Job]
    assert ledger.entry(entries[1]).state == "succeeded"


def test_an_attempt_that_is_over_settles_nothing(ledger: PostgresLedger) -> None:
    """The outcome of an earlier one comes late, and with others."""
    entry = queued(ledger)
    for _ in range(2):
        owner = ledger.new_owner()
        assert ledger.write(Take(entry, simulated=True), owner, NOW)
        ledger.release(owner, sent=False)
    owner = ledger.new_owner()
    assert ledger.write(Take(entry, simulated=True), owner, NOW).attempts == 3
    late = Settle(entry, "accepted", job=job("late"), attempt=2)
    (result,) = ledger.write_all([(late, owner, NOW)])
    assert isinstance(result, ClaimedError)
    assert ledger.entry(entry).state == "sending"


def test_a_connection_that_the_server_has_ended_is_not_used(
    ledger: PostgresLedger, postgres: str
) -> None:
    """Nothing is written down twice, and nobody has to try again."""
    owner = ledger.new_owner()
    ledger.write(Intend(submission(reference="a")), owner, NOW)
    execute(
        postgres,
        "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    ledger.write(Intend(submission(reference="b")), owner, NOW)
    assert [entry.submission.reference for entry in ledger.entries()] == ["a", "b"]


def test_every_statement_finds_its_rows_by_an_index(ledger: PostgresLedger, postgres: str) -> None:
    """Also by a plan that was made when the tables had nothing, or a row, and is kept."""
    for few in range(2):
        for statement in (*STATEMENTS.values(), TAKE_LIMITED, CHANGED):
            text = f"EXPLAIN {statement}".replace("?", "%s")
            plan = rows(postgres, text, json.dumps([{"id": "x"}]), options=PLANNING)
            assert not [line for line in plan if "Seq Scan" in line or "Hash Join" in line], plan
            columns = {"jobs_pkey": "id"}
            if statement is STATEMENTS[Released]:
                columns["by_owner"] = "owner"
            for line, then in pairwise(plan):
                if found := re.search(r"Scan(?: using (\w+))? on jobs", line):
                    assert found[1] in columns, plan
                    assert f"Index Cond: ({columns[found[1]]} = ANY" in then, plan
        assert few or queued(ledger)
        execute(postgres, "ANALYZE jobs")


class Held:
    """Writes of a ledger, the first of which are held up until enough others wait for them."""

    def __init__(self, ledger: PostgresLedger, every: int) -> None:
        self.groups = 0
        self._gathered, self._write, self._every = ledger._gathered, ledger._gathered._write, every
        setattr(ledger._gathered, "_write", self)  # noqa: B010

    def __call__(self, writes: Sequence[PreparedWrite]) -> Any:
        self.groups += 1
        while self.groups == 1 and len(writes) + len(self._gathered._waiting) < self._every:
            threading.Event().wait(0.01)
        self.before()
        return self._write(writes)

    def before(self) -> None:
        """What happens before they are written."""


def test_threads_share_statements(ledger: PostgresLedger) -> None:
    """Those that wait for others; each is told what it would be told alone."""
    owner, held = ledger.new_owner(), Held(ledger, 7)

    def intend(number: int) -> Any:
        try:
            return ledger.write(Intend(submission(reference=str(number // 2))), owner, NOW)
        except ClaimedError as error:
            return error

    with ThreadPoolExecutor(8) as threads:
        found = [*threads.map(intend, range(8))]
    references = {entry.id: entry.submission.reference for entry in ledger.entries()}
    assert [*map(type, found)].count(ClaimedError) == 4
    assert {one for one in found if isinstance(one, str)} == {*references}
    assert held.groups < 8


def test_a_thread_that_is_interrupted_loses_no_outcome_of_another(ledger: PostgresLedger) -> None:
    """They are kept beside the ledger, and written into it before anything else."""
    owner = ledger.new_owner()
    entries = [ledger.write(Intend(submission()), owner, NOW) for _ in range(5)]

    class Interrupted(Held):
        def before(self) -> None:
            if self.groups <= 2:
                raise SystemExit

    def settle(entry: str) -> str:
        try:
            ledger.write(Settle(entry, "accepted", job=job(f"task-{entry}")), owner, NOW)
        except SystemExit:
            return "interrupted"
        except LedgerError as error:
            return str(error)
        return "written"

    Interrupted(ledger, 4)
    with ThreadPoolExecutor(5) as threads:
        told = [*threads.map(settle, entries)]
    assert "interrupted" in told
    kept = [entry for entry, text in zip(entries, told, strict=True) if "is not lost" in text]
    assert kept
    found = {entry.id: entry.state for entry in ledger.entries()}
    assert {found[entry] for entry in kept} == {"accepted"}


def test_a_forked_process_waits_for_no_thread_of_its_parent(ledger: PostgresLedger) -> None:
    owner = ledger.new_owner()
    ledger._gathered._is_writing = True  # as where others write while it is forked
    _begin_in_a_child()
    with ThreadPoolExecutor(1) as threads:
        written = threads.submit(ledger.write, Intend(submission()), owner, NOW)
        assert ledger.entry(written.result(20)).state == "sending"
