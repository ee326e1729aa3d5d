"""The ledger in Postgres: it does what every ledger does, and what only many machines need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from polyreel import AsyncClient, Client
from polyreel.errors import ClaimedError, LedgerError, RequestError
from polyreel.ledger import postgres_database, postgres_schema
from polyreel.ledger.events import Intend, Settle
from polyreel.ledger.opening import open_ledger
from polyreel.ledger.postgres import PostgresLedger
from polyreel.ledger.postgres_connection import LedgerConnection
from polyreel.ledger.store import DIED, Write
from polyreel.providers.base.registry import get_provider
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row
from support import ledger_cases
from support.ledgers import NOW, VENDOR, job, submission
from support.postgres import execute, rows
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


OLD_ROW = (
    "id, state, vendor, model, workflow, simulated, reference, idempotency_key, fingerprint,"
    " submission, created_at, updated_at"
)
"""What a row of the first version has."""


def test_an_older_ledger_is_brought_up(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every version of the tables so far, with its rows; then it is like a new one."""
    made = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'polyreel' ORDER BY indexdef"
    with PostgresLedger(path) as new:
        entry = new.write(Intend(submission(reference="r")), new.new_owner(), NOW)
        before = new.entry(entry).submission
    indexes = rows(path, made)
    execute(path, f"CREATE TABLE public.old AS SELECT {OLD_ROW} FROM jobs")
    for version in range(1, len(postgres_schema.MIGRATIONS)):
        execute(path, "DROP SCHEMA polyreel CASCADE")
        with monkeypatch.context() as patch:
            patch.setattr(postgres_schema, "MIGRATIONS", postgres_schema.MIGRATIONS[:version])
            with psycopg.connect(path, row_factory=dict_row) as connection:
                connection.execute("SET search_path = polyreel")
                postgres_schema.bring_up(connection, path)
        execute(path, f"INSERT INTO jobs ({OLD_ROW}) SELECT * FROM public.old")
        with PostgresLedger(path) as ledger:
            assert ledger.entry(entry).submission == before
            (found,) = ledger.of_references(["r"], simulated=before.simulated)
            assert found.id == entry
        assert rows(path, made) == indexes


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


QUEUED = "SELECT count(*) FROM polyreel.jobs WHERE state = 'queued'"


@pytest.mark.parametrize("settings", ["default", "autocommit"])
def test_a_job_is_queued_in_a_transaction_of_the_callers(path: str, settings: str) -> None:
    """Rolled back, nobody hears of it. The caller's connection stays as it is."""
    is_auto = settings == "autocommit"
    with (
        Client(ledger=path) as client,
        psycopg.connect(path, autocommit=is_auto, row_factory=dict_row) as connection,
        psycopg.connect(path, autocommit=True) as other,
    ):

        def show() -> object:
            return connection.execute("SHOW search_path").fetchone()

        def count() -> int:
            return int((other.execute(QUEUED).fetchone() or [0])[0])

        plan, before = client.plan({"model": "kling-v3", "prompt": "a cat"}), show()
        connection.execute("CREATE TEMPORARY TABLE orders (job TEXT)")
        connection.commit()
        for undone in (True, False):
            with suppress(ZeroDivisionError), connection.transaction():
                entry = client.enqueue(plan, reference="order 17", connection=connection)
                assert (entry.state, count()) == ("queued", 0)
                assert show() == before
                connection.execute("INSERT INTO orders VALUES (%s)", (entry.id,))
                with pytest.raises(ClaimedError):
                    client.enqueue(plan, reference="order 17", connection=connection)
                connection.execute("SELECT * FROM orders")  # the transaction goes on
                _ = 1 / (0 if undone else 1)
            connection.commit()
            assert count() == (0 if undone else 1)
        assert client.jobs(["queued"])[0].id == entry.id


def test_without_a_transaction_the_caller_ends_what_it_began(path: str) -> None:
    """A connection begins a transaction with its first statement; enqueue does not end it."""
    with Client(ledger=path) as client, psycopg.connect(path) as connection:
        client.enqueue("a cat", get_provider(VENDOR), connection=connection)
        connection.rollback()
        assert client.jobs() == []
        client.enqueue("a cat", get_provider(VENDOR), connection=connection)
        connection.commit()
        assert [entry.state for entry in client.jobs()] == ["queued"]
        with pytest.raises(RequestError, match=r"psycopg\.Connection"):
            client.enqueue("a cat", get_provider(VENDOR), connection=path)


def test_an_address_that_cannot_be_used_is_an_error_without_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says what to do."""
    monkeypatch.setattr(postgres_database, "OPENING", 0.0)
    for address in ("postgresql://me:secret-word@127.0.0.1:9/x", "postgresql://[:x"):
        with pytest.raises(LedgerError) as caught:
            open_ledger(address)
        assert "secret-word" not in str(caught.value)


WRONG = {
    "user": ("somebody-else", "refuses this user"),
    "dbname": ("nonesuch", "CREATE DATABASE"),
}


@pytest.mark.parametrize("part", WRONG)
def test_what_is_wrong_with_an_address_is_said_at_once(
    path: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not tried again, since it would not pass. The user is not named."""
    value, said = WRONG[part]
    tries: list[str] = []
    connect = LedgerConnection.connect

    def counted(conninfo: str, **options: Any) -> Any:
        tries.append(conninfo)
        return connect(conninfo, **options)

    monkeypatch.setattr(LedgerConnection, "connect", counted)
    with pytest.raises(LedgerError, match=said) as caught:
        PostgresLedger(make_conninfo(path, **{part: value}))
    assert len(tries) == 1
    assert "somebody-else" not in str(caught.value)
    assert "try again" not in str(caught.value)


def test_a_user_without_leave_to_make_the_schema_is_told_so(path: str) -> None:
    execute(path, "CREATE ROLE a_stranger LOGIN")
    try:
        with pytest.raises(LedgerError, match="GRANT CREATE ON DATABASE"):
            PostgresLedger(make_conninfo(path, user="a_stranger"))
    finally:
        execute(path, "DROP ROLE a_stranger")


def test_awaited_submits_share_commits(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many at once: there are fewer transactions than writes, and none is lost or doubled."""
    groups: list[int] = []

    def counted(write: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(writes: Sequence[Write], *given: Any) -> Any:
            made = write(writes, *given)
            groups.append(0 if made is False else len(writes))
            return made

        return wrapped

    async def submit_all() -> None:
        with PostgresLedger(path) as ledger:
            for name in ("write_all", "begin_all"):
                monkeypatch.setattr(ledger, name, counted(getattr(ledger, name)))
            async with AsyncClient(ledger=ledger) as client:
                plan = client.plan({"model": "kling-v3", "prompt": "a cat"})
                jobs = await asyncio.gather(
                    *(client.submit(plan, reference=f"row {number}") for number in range(40))
                )
                assert client.simulator is not None
                assert client.simulator.bill.count() == 40
            assert len({job.id for job in jobs}) == 40
            with PostgresLedger(path) as other:
                found = {(entry.state, entry.owned) for entry in other.entries()}
            assert found == {("accepted", False)}

    asyncio.run(submit_all())
    assert sum(groups) >= 120
    assert max(groups) > 10


def test_a_canceled_submit_is_written_before_it_is_over(path: str) -> None:
    """What its flow had begun to write is in the ledger, and the entry says how far it came."""

    async def cancel_all() -> None:
        with PostgresLedger(path) as ledger:
            async with AsyncClient(ledger=ledger) as client:
                plan = client.plan({"model": "kling-v3", "prompt": "a cat"})
                for turns in range(12):
                    submit = asyncio.create_task(client.submit(plan, reference=f"row {turns}"))
                    for _ in range(turns):
                        await asyncio.sleep(0.001)
                    submit.cancel()
                    with suppress(asyncio.CancelledError):
                        await submit
                assert client.simulator is not None
                billed = client.simulator.bill.count()
            states = [entry.state for entry in ledger.entries()]
        assert set(states) <= {"unsent", "ambiguous", "accepted"}
        assert billed <= sum(state != "unsent" for state in states)

    asyncio.run(cancel_all())
