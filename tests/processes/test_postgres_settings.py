"""Databases, users and connections that are not as usual: the ledger works, or says what is wrong.

Letters that a connection cannot carry would be found out after a job is paid, when its outcome is
written: so that is looked at before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from polyreel import Client
from polyreel.engines.procrastinate import ProcrastinateEngine
from polyreel.errors import LedgerError, RequestError
from polyreel.ledger.events import Intend, Settle
from polyreel.ledger.postgres import PostgresLedger
from polyreel.providers.base.registry import get_provider
from support.ledgers import NOW, VENDOR, submission
from support.postgres import database, execute, server

WORDS = "\N{LATIN SMALL LETTER E WITH ACUTE} \N{CLAPPER BOARD}"
PLAN = ("a cat", get_provider(VENDOR))


@pytest.fixture
def path(postgres: str) -> str:
    return postgres


# -- letters ---------------------------------------------------------------------------------------


def keeps_words(path: str) -> None:
    """Write a job down, and how it ended, in words of many alphabets; read them again."""
    with PostgresLedger(path) as ledger:
        owner = ledger.new_owner()
        entry = ledger.write(Intend(submission(reference=WORDS)), owner, NOW)
        ledger.write(Settle(entry, "rejected", reason=WORDS), owner, NOW)
        found = ledger.entry(entry)
        assert (found.submission.reference, found.reason, found.state) == (WORDS, WORDS, "rejected")


def test_the_encoding_of_a_process_does_not_count(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a vendor says can be in any language, whatever other programs are set to."""
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    keeps_words(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    return server(tmp_path_factory.getbasetemp().parent)


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def encoded(run: str, request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """A database with another encoding than UTF-8, and the encoding's name."""
    with database(run, f"ENCODING '{request.param}' LOCALE 'C'") as address:
        yield address, request.param


def test_a_database_that_cannot_hold_every_letter_is_refused(
    encoded: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that does not look at letters holds them all."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    address, encoding = encoded
    if encoding == "SQL_ASCII":
        keeps_words(address)
        return
    with pytest.raises(LedgerError, match=r"LATIN1.*UTF8"):
        PostgresLedger(address)


# -- users -----------------------------------------------------------------------------------------

OWN = "polyreel_weak_user"
RIGHTS = (
    f"GRANT USAGE ON SCHEMA polyreel TO {OWN}",
    f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA polyreel TO {OWN}",
    f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA polyreel TO {OWN}",
)


@pytest.fixture
def weak(path: str) -> Iterator[str]:
    """The address for a user who may make nothing."""
    execute(path, f"CREATE ROLE {OWN} LOGIN")
    try:
        parts = urlsplit(path)
        host = parts.netloc.rpartition("@")[2]
        yield urlunsplit(parts._replace(netloc=f"{OWN}@{host}"))
    finally:
        execute(path, f"DROP OWNED BY {OWN}")
        execute(path, f"DROP ROLE {OWN}")


def test_who_may_read_and_write_needs_no_leave_to_make_tables(path: str, weak: str) -> None:
    """An administrator makes the tables; request handlers have as little as they need."""
    with Client(ledger=path) as client:
        ProcrastinateEngine(client)
    for statement in RIGHTS:
        execute(path, statement)
    with Client(ledger=weak) as client:
        client.set_limits("web", max_cost=5)
        entry = client.enqueue(*PLAN, engine=ProcrastinateEngine(client))
        assert client.submit(*PLAN).status == "queued"
        assert [job.id for job in client.jobs(["queued"])] == [entry.id]


def test_a_schema_that_is_there_is_used(path: str, weak: str) -> None:
    """Its owner needs no leave to make schemas."""
    execute(path, f"CREATE SCHEMA polyreel AUTHORIZATION {OWN}")
    with Client(ledger=weak) as client:
        client.enqueue(*PLAN)
        assert len(client.jobs(["queued"])) == 1


# -- connections of callers ------------------------------------------------------------------------


def test_a_connection_that_cannot_carry_the_entry_is_refused(path: str, run: str) -> None:
    """With what is wrong with it, and nothing is written."""
    with Client(ledger=path) as client, psycopg.connect(path) as connection:

        def refusal(given: psycopg.Connection[object]) -> str:
            with pytest.raises(RequestError) as caught:
                client.enqueue(*PLAN, connection=given)
            return str(caught.value)

        with pytest.raises(psycopg.Error):
            connection.execute("SELECT nothing_of_this_name")
        assert "roll it back" in refusal(connection)
        connection.rollback()
        connection.execute("SET client_encoding TO 'LATIN1'")
        assert "client_encoding" in refusal(connection)
        connection.rollback()
        with psycopg.connect(run) as other:
            assert "another database" in refusal(other)
        connection.close()
        assert "closed" in refusal(connection)
        assert client.jobs() == []
