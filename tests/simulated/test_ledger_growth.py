"""A ledger that has grown costs what a new one does: every statement finds its rows by an index,
and lists are read in pages.
"""

from __future__ import annotations

import ast
import re
import sqlite3
import tracemalloc
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args

import polyreel.ledger
import pytest
from attrs import evolve
from polyreel.errors import BudgetError, ClaimedError, UnknownNameError
from polyreel.ledger import connections, reading, schema
from polyreel.ledger.events import (
    Claim,
    Find,
    Intend,
    Keep,
    Known,
    Past,
    Queue,
    ReadNews,
    Released,
    Settle,
    Take,
)
from polyreel.ledger.limits import LimitChanges
from polyreel.ledger.records import State
from polyreel.ledger.rows import new_columns, random_text
from polyreel.ledger.sqlite import Ledger
from polyreel.ledger.store import CALLER_SECONDS, DELIVERY_DAYS, ID_LENGTH, ID_LETTERS
from polyreel.ledger.uploads import ForgetUpload, KeepUpload, TakeUpload, UploadKey
from polyreel.providers.base.facts import Facts
from polyreel.providers.base.webhooks import Event
from support.gateway_cases import keeps_calls, keeps_tokens
from support.ledgers import NOW, VENDOR, database, job, submission
from support.webhooks import SIGNED

GROWING: Final = ("jobs", "labels", "deliveries", "uploads", "gateway_jobs")
"""The tables with a row for each job, webhook or content. `callers` has one for each vendor."""
FIRST_WORDS: Final = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ")
OLD_VERSION: Final = 4
"""That of ledgers from before their queries had indexes."""


class Recorded(sqlite3.Connection):
    """A connection that writes down the plan of every statement, as it is run."""

    plans: Final[dict[str, set[str]]] = {}

    def execute(self, statement: str, values: Any = ()) -> sqlite3.Cursor:
        if statement.startswith(FIRST_WORDS):
            rows = super().execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
            self.plans.setdefault(statement, set()).update(row["detail"] for row in rows)
        return super().execute(statement, values)

    def executemany(self, statement: str, rows: Any) -> sqlite3.Cursor:
        given = [*rows]
        if given:
            found = super().execute(f"EXPLAIN QUERY PLAN {statement}", given[0]).fetchall()
            self.plans.setdefault(statement, set()).update(row["detail"] for row in found)
        return super().executemany(statement, given)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """The statements of all ledgers that are opened, and how each finds its rows."""
    Recorded.plans.clear()
    connect = partial(sqlite3.connect, factory=Recorded)
    monkeypatch.setattr(f"{connections.__name__}.sqlite3.connect", connect)
    return Recorded.plans


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


def event(identity: str, task: str = "task-1", vendor: str = VENDOR) -> Event:
    """A signed webhook: the job has failed."""
    unsaid: dict[str, Any] = dict.fromkeys(
        ("progress", "usage", "estimated_seconds", "error_code", "error_message")
    )
    facts = Facts(id=task, word="failed", status="failed", urls=(), raw={}, **unsaid)
    return Event(vendor=vendor, id=identity, task_id=task, facts=facts, verified=True)


def limited(ledger: Ledger, owner: str) -> None:
    """Do everything that can be done with limits."""
    waiting = ledger.write(Queue(submission(limits="web", estimate={})), owner, NOW)
    ledger.limits.adopt("batch", {waiting.id: waiting}, {})
    changes: LimitChanges = {"max_cost": 1, "rate": 60, "concurrency": 1}
    ledger.limits.set("web", VENDOR, simulated=True, changes=changes)
    ledger.limits.found("web")
    with pytest.raises(BudgetError):
        ledger.write(Take(waiting.id, simulated=True), owner, NOW)
    known = {"confidence": "exact", "usd": "1"}
    waiting = ledger.write(Queue(submission(limits="web", estimate=known)), owner, NOW)
    ledger.write(Take(waiting.id, simulated=True), owner, NOW)


def look_for_work(ledger: Ledger, owner: str) -> None:
    """Find out all that there is to do."""
    there_is = ledger.outstanding
    there_is.states(["batch/1"], simulated=True)
    ledger.write(Queue(submission()), owner, NOW)
    for _ in range(3):  # by turns
        there_is.queued(simulated=True, before=NOW, limit=1)
    there_is.vendors(simulated=True)
    there_is.processes()
    there_is.shards(VENDOR, 2, simulated=True)
    third = ledger.write(Intend(submission()), owner, NOW)
    ledger.write(Settle(third, "accepted", job=job("task-3")), owner, NOW)
    assert there_is.at_vendors(there_is.accepted(VENDOR, 0, 1, simulated=True))
    there_is.unsaved(simulated=True, before=NOW, limit=1)


def use(path: Path) -> None:
    """Do everything that can be done with a ledger."""
    with Ledger(path) as ledger:
        owner = ledger.new_owner()
        labelled = submission(reference="batch/1", labels={"team": "ads"})
        first = ledger.write(Intend(labelled), owner, NOW)
        ledger.labelled("team", "ads")
        with pytest.raises(ClaimedError):
            ledger.write(Intend(submission(reference="batch/1")), owner, NOW)
        ledger.write(Settle(first, "unsent"), owner, NOW)
        ledger.write(Intend(submission(), entry=first), owner, NOW)
        ledger.write(Settle(first, "ambiguous"), owner, NOW)
        second = ledger.write(Intend(submission(), follows=first), owner, NOW)
        ledger.write(Settle(second, "accepted", job=job()), owner, NOW)
        with pytest.raises(ClaimedError):
            ledger.write(Settle(second, "unsent"), owner, NOW)
        ledger.write(Keep(job(status="running")), owner, NOW)
        ledger.write(Claim(second), owner, NOW)
        for name in ("batch/1", "other"):
            ledger.write(Find(name, simulated=True), owner, NOW)
        ledger.write(Known(VENDOR, ("task-1", "other"), simulated=True), owner, NOW)
        ledger.write(Past(job()), owner, NOW)
        for one in (None, job()):
            ledger.write(ReadNews(NOW, simulated=True, job=one), owner, NOW)
        ledger.write(Intend(submission()), owner, NOW)
        ledger.release(owner, sent=False)
        ledger.write(Intend(submission()), "gone/1", NOW)
        ledger.recover()
        ledger.deliver(event("a"), NOW, simulated=True)
        news = ReadNews(0.0, simulated=True, tasks={(VENDOR, "task-1")})
        assert ledger.write(news, owner, NOW).ended
        assert not ledger.write(evolve(news, tasks=()), owner, NOW).ended
        ledger.of_references(["batch/1"], ["batch/"], simulated=True)
        ledger.last_simulated()
        choices: tuple[list[State] | None, ...] = (None, ["accepted"], [*get_args(State)])
        for states in choices:
            for simulated in (None, True, False):
                ledger.entries(states, simulated=simulated)
                ledger.entries(states, simulated=simulated, last=1)
        queued = ledger.write(Queue(submission()), owner, NOW)
        ledger.write(Take(queued.id, simulated=True), owner, NOW)
        limited(ledger, owner)
        ends = Released(ledger.new_owner())
        ledger.write_all([(ends, ends.owner, NOW), (Intend(labelled), owner, NOW)])
        ledger.gateway.enter_all([])
        keeps_calls(ledger)
        keeps_tokens(ledger)
        look_for_work(ledger, owner)
        content = UploadKey(VENDOR, "hash", simulated=True)
        for upload in (
            TakeUpload(content),
            KeepUpload(content, "https://example.com/1.png", 60.0),
            ForgetUpload(content),
        ):
            ledger.write(upload, owner, NOW)
        ledger.entry(second[:3])
        ledger.abandon(ledger.entries(["ambiguous"])[0].id)


def written_statements() -> set[str]:
    """How the statements in the ledger's source begin, up to their first part that varies."""
    found = set()
    for file in Path(polyreel.ledger.__path__[0]).glob("*.py"):
        if file.stem.endswith(("at_once", "leases")) or file.stem.startswith("postgres"):
            continue  # not for a file
        tree = ast.parse(file.read_text(encoding="utf-8"))
        inner = {id(part) for node in ast.walk(tree) for part in getattr(node, "values", ())}
        for node in ast.walk(tree):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = getattr(parts[0], "value", None) if parts else None
            is_whole = isinstance(node, ast.JoinedStr) or id(node) not in inner
            if is_whole and isinstance(text, str) and text.startswith(FIRST_WORDS):
                found.add(text)
    return found


def test_every_statement_finds_its_rows_by_an_index(path: Path, plans: dict[str, set[str]]) -> None:
    """None goes through a table that grows, however old the ledger is."""
    use(path)
    scans = {
        statement: details
        for statement, details in plans.items()
        if any(re.match(rf"SCAN ({'|'.join(GROWING)})\b", detail) for detail in details)
    }
    assert scans == {}


def test_no_statement_is_left_out(path: Path, plans: dict[str, set[str]]) -> None:
    """All that the source has are among those whose plans are read."""
    use(path)
    ran = "\n".join(plans)
    assert len(plans) > 30
    assert {statement for statement in written_statements() if statement not in ran} == set()


def test_owners_are_released_by_an_index(path: Path, plans: dict[str, set[str]]) -> None:
    use(path)
    details = [plans[one] for one in plans if one.startswith("UPDATE") and "WHERE owner" in one]
    assert len(details) == 3
    assert all(any("by_owner" in detail for detail in found) for found in details)


def test_what_each_submit_does_is_planned_once(path: Path) -> None:
    """SQLite asks the authorizer where it plans a statement; for the second job it plans none."""
    asked = list[str | None]()

    def allow(_: int, table: str | None, *__: str | None) -> int:
        asked.append(table)
        return sqlite3.SQLITE_OK

    with Ledger(path) as ledger:

        def submit(number: int) -> None:
            owner = ledger.new_owner()
            labelled = submission(reference=f"batch/{number}", labels={"team": "ads"})
            entry = ledger.write(Intend(labelled), owner, NOW)
            ledger.write(Settle(entry, "accepted", job=job(f"task-{number}")), owner, NOW)
            ledger.write(Keep(job(f"task-{number}", "running")), owner, NOW)
            ledger.release(owner, sent=False)
            assert ledger.of_task(VENDOR, f"task-{number}", simulated=True)
            assert ledger.of_references([f"batch/{number}"], simulated=True)

        database(ledger).set_authorizer(allow)
        submit(1)
        assert asked
        asked.clear()
        submit(2)
        assert asked == []


# -- pages -----------------------------------------------------------------------------------------

FEW: Final = 3 * reading.PAGE


def filled(path: Path, rows: int, **changes: Any) -> list[str]:
    """A ledger with many entries, all written at once; their ids."""
    with Ledger(path) as ledger:
        columns = {**new_columns(Intend(submission()), "gone/1", NOW), "owner": None, **changes}
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        every = [
            {**columns, "id": new_columns(Intend(submission()), "", NOW)["id"]} for _ in range(rows)
        ]
        connection = database(ledger)
        connection.execute("BEGIN")
        connection.executemany(
            f"INSERT INTO jobs ({names}) VALUES ({marks})", [(*row.values(),) for row in every]
        )
        connection.execute("COMMIT")
    return [str(row["id"]) for row in every]


def test_pages_hold_each_entry_once(path: Path) -> None:
    """In their order, also where several states and kinds are mixed."""
    states: tuple[State, ...] = ("accepted", "saved", "failed")
    ids = [
        name
        for number in range(30)
        for name in filled(path, 19, state=states[number % 3], simulated=number % 2)
    ]
    with Ledger(path) as ledger:
        assert [entry.id for entry in ledger.each_entry()] == ids
        assert [entry.id for entry in ledger.each_entry(states)] == ids
        assert [entry.id for entry in ledger.entries(last=300)] == ids[-300:]
        assert [entry.id for entry in ledger.entries(["saved"], last=7)] == ids[-26:-19]
        live = [entry.id for entry in ledger.entries(simulated=False)]
        both = live + [entry.id for entry in ledger.entries(simulated=True)]
        assert (len(live), sorted(both)) == (15 * 19, sorted(ids))
        assert list(ledger.each_entry(["canceled"])) == list(ledger.each_entry([])) == []


def test_entries_that_are_added_meanwhile_do_not_keep_pages_going(path: Path) -> None:
    """Who works on each of them ends."""
    filled(path, reading.PAGE + 1, state="failed")
    with Ledger(path) as ledger:
        given = ledger.each_entry()
        next(given)
        ledger.write(Intend(submission()), ledger.new_owner(), NOW)
        assert sum(1 for _ in given) == reading.PAGE


def peak(ledger: Ledger) -> int:
    """The most bytes in use while all entries are looked at."""
    tracemalloc.start()
    try:
        assert sum(1 for _ in ledger.each_entry())
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_flat(path: Path) -> None:
    """Ten times as many entries take no more."""
    filled(path, FEW, state="failed")
    with Ledger(path) as ledger:
        peak(ledger)  # what is loaded once does not count
        few = peak(ledger)
    filled(path, 9 * FEW, state="failed")
    with Ledger(path) as ledger:
        assert peak(ledger) < 1.2 * few


def test_what_is_touched_is_remembered_up_to_a_limit(path: Path) -> None:
    """A service that runs for years does not grow by each job."""
    with Ledger(path) as ledger:
        assert ledger.touched.maxlen
        owner = ledger.new_owner()
        names = [ledger.write(Intend(submission()), owner, NOW) for _ in range(3)]
        assert list(ledger.touched) == names


# -- ids -------------------------------------------------------------------------------------------


def test_a_billion_ids_differ() -> None:
    """The chance that any two of a billion are equal is less than one in a million."""
    assert 1e9**2 / 2 / len(ID_LETTERS) ** ID_LENGTH < 1e-6


def test_all_letters_of_ids_are_as_likely() -> None:
    """Of those that an id has, none is rarer by more than chance; and each id has its length."""
    letters = Counter(random_text(ID_LETTERS, 31_000))
    assert set(letters) == set(ID_LETTERS)
    assert all(800 < number < 1200 for number in letters.values())
    assert [len(random_text("ab", length)) for length in range(9)] == [*range(9)]


def test_an_old_short_id_is_found_beside_one_that_begins_with_it(path: Path) -> None:
    (new,) = filled(path, 1, state="failed")
    with Ledger(path) as ledger:
        change = "UPDATE jobs SET id = ? WHERE id = ?"
        database(ledger).execute(change, ("abcdefgh", new))
    (new,) = filled(path, 1, state="failed")
    with Ledger(path) as ledger:
        database(ledger).execute(change, ("abcdefghjkmnpqrs", new))
        assert ledger.entry("abcdefgh").id == "abcdefgh"
        assert ledger.entry("abcdefghj").id == "abcdefghjkmnpqrs"
        with pytest.raises(UnknownNameError, match="more than one"):
            ledger.entry("abc")


# -- webhooks --------------------------------------------------------------------------------------


def test_deliveries_do_not_make_waiters_dearer(path: Path) -> None:
    """A look into the ledger reads as much after 40,000 deliveries in an hour as after one."""
    vendor = SIGNED[0]
    with Ledger(path) as ledger:
        owner, connection = ledger.new_owner(), database(ledger)
        known = job(vendor=vendor)
        entry = ledger.write(Intend(submission(vendor=vendor)), owner, NOW)
        ledger.write(Settle(entry, "accepted", job=known), owner, NOW)

        def steps() -> int:
            """How much SQLite does for a look."""
            counted = 0

            def count() -> None:
                nonlocal counted
                counted += 1

            connection.set_progress_handler(count, 1)
            news = ledger.write(ReadNews(NOW - 1, simulated=True, job=known), owner, NOW)
            connection.set_progress_handler(None, 0)
            assert news.callers == {vendor}
            return counted

        ledger.deliver(event("0", vendor=vendor), NOW, simulated=True)
        before = steps()
        connection.execute("BEGIN")  # or each would be a transaction of its own
        connection.executemany(
            "INSERT INTO deliveries VALUES (?, ?, ?)",
            [(vendor, f"d{number}", NOW - number * 0.09) for number in range(40_000)],
        )
        connection.execute("COMMIT")
        assert steps() == before
        later = NOW + CALLER_SECONDS + 1
        found = ledger.write(ReadNews(later, simulated=True), owner, later)
        assert found.callers == frozenset()


def test_old_deliveries_are_forgotten_a_few_at_a_time(path: Path) -> None:
    """No webhook has to wait until a million others are deleted; each forgets more than it adds."""
    vendor = SIGNED[0]
    with Ledger(path) as ledger:
        owner, connection = ledger.new_owner(), database(ledger)
        entry = ledger.write(Intend(submission(vendor=vendor)), owner, NOW)
        ledger.write(Settle(entry, "accepted", job=job(vendor=vendor)), owner, NOW)
        old = NOW - DELIVERY_DAYS * 86_400 - 1
        connection.executemany(
            "INSERT INTO deliveries VALUES (?, ?, ?)",
            [(vendor, f"d{number}", old) for number in range(1_000)],
        )
        count = "SELECT count(*) FROM deliveries"
        ledger.deliver(event("new", vendor=vendor), NOW, simulated=True)
        assert 500 < connection.execute(count).fetchone()[0] < 1_000
        for number in range(20):
            ledger.deliver(event(f"n{number}", vendor=vendor), NOW, simulated=True)
        assert connection.execute(count).fetchone()[0] == 21


# -- files of before -------------------------------------------------------------------------------


def test_an_older_file_gets_its_indexes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it has in it; who has called back is known."""
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:OLD_VERSION])
        ids = filled(path, 5, state="accepted")
    with sqlite3.connect(path) as old:
        old.execute("INSERT INTO deliveries VALUES (?, 'x', ?)", (SIGNED[0], NOW))
    old.close()
    with Ledger(path) as ledger:
        assert [entry.id for entry in ledger.entries(["accepted"])] == ids
        news = ledger.write(ReadNews(NOW, simulated=True), "", NOW)
        assert news.callers == {SIGNED[0]}
        names = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
        migrated = {row["name"] for row in database(ledger).execute(names)}
        with Ledger(path.with_name("new")) as new:
            assert migrated == {row["name"] for row in database(new).execute(names)}
