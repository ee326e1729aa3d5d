"""How the ledger's connections to Postgres send statements, and read what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest
from polyreel.ledger import postgres_connection
from polyreel.ledger.postgres_connection import LedgerConnection


@pytest.fixture
def connection(postgres: str) -> Iterator[LedgerConnection]:
    with LedgerConnection.to(postgres) as made:
        made.run("CREATE TEMPORARY TABLE things (name TEXT PRIMARY KEY, number BIGINT)")
        yield made


def names(connection: LedgerConnection) -> list[str]:
    return [row["name"] for row in connection.run("SELECT name FROM things ORDER BY 1").fetchall()]


def test_values_come_back_as_they_were(connection: LedgerConnection) -> None:
    """And each statement can be run again, with values of other types."""
    text = "it's % a ? \\ \N{SNOWMAN}"
    for number in (7, -(2**62), None):
        for part in (0.1, 1e300, None):
            answer = connection.run(
                "SELECT CAST(? AS TEXT) AS text, CAST(? AS BIGINT) AS number,"
                " CAST(? AS DOUBLE PRECISION) AS part, 7 % 4 AS rest",
                (text, number, part),
            )
            row = answer.fetchone()
            assert row == {"text": text, "number": number, "part": part, "rest": 3}
            assert answer.fetchone() is None


def test_more_is_sent_and_read_than_any_buffer_holds(connection: LedgerConnection) -> None:
    long = "x" * 3_000_000
    rows = connection.run_all([("SELECT CAST(? AS TEXT) AS text", (long,))] * 3)
    assert [len(answer.fetchall()[0]["text"]) for answer in rows] == [len(long)] * 3


def test_statements_together_are_written_all_or_none(connection: LedgerConnection) -> None:
    """What they leave behind is no trouble for those that come after them."""
    insert = "INSERT INTO things (name) VALUES (?)"
    for _ in range(2):
        with pytest.raises(psycopg.IntegrityError):
            connection.run_all([(insert, ("a",)), (insert, ("a",)), ("SELECT 2 AS x", ())])
        assert names(connection) == []
    with pytest.raises(psycopg.ProgrammingError):
        connection.run_all([("SELECT 3 AS x", ()), ("SELECT nonesuch", ()), ("SELECT 4 AS x", ())])
    found = connection.run_all([(insert, ("a",)), ("SELECT 2 AS x", ()), ("SELECT 4 AS x", ())])
    assert [answer.rowcount for answer in found] == [1, 1, 1]
    assert [answer.fetchall() for answer in found] == [[], [{"x": 2}], [{"x": 4}]]
    assert names(connection) == ["a"]


def test_a_part_of_a_transaction_is_taken_back_alone(connection: LedgerConnection) -> None:
    connection.run("BEGIN")
    connection.run("INSERT INTO things (name) VALUES ('a')")
    with pytest.raises(psycopg.DataError), postgres_connection.part(connection):
        connection.run_all([("INSERT INTO things (name) VALUES ('b')", ()), ("SELECT 1 / 0", ())])
    with pytest.raises(psycopg.IntegrityError), postgres_connection.part(connection):
        connection.run("INSERT INTO things (name) VALUES ('a')")
    connection.run("COMMIT")
    assert names(connection) == ["a"]


def test_only_so_many_statements_are_remembered(
    connection: LedgerConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connection, "MOST_PREPARED", 5)
    for _ in range(2):
        for number in range(10):
            assert connection.run(f"SELECT {number} AS x").fetchall() == [{"x": number}]
    count = "SELECT count(*) AS many FROM pg_prepared_statements"
    assert connection.run(count).fetchall() == [{"many": 5}]


def test_a_statement_is_planned_anew_as_tables_grow(connection: LedgerConnection) -> None:
    """When it has run twice as often as before; the plan of before is forgotten."""
    for number in range(3 * postgres_connection.FIRST_RUNS + 1):
        connection.run("INSERT INTO things (name) VALUES (?)", (str(number),))
    runs = "SELECT generic_plans + custom_plans AS runs FROM pg_prepared_statements"
    found = connection.run(f"{runs} WHERE statement LIKE 'INSERT%'").fetchall()
    assert found == [{"runs": 1}]
    with suppress(psycopg.IntegrityError):
        connection.run("INSERT INTO things (name) VALUES (?)", ("1",))
    assert connection.run(f"{runs} WHERE statement LIKE 'INSERT%'").fetchall() == [{"runs": 2}]


def test_a_connection_that_does_not_answer_is_not_used_again(
    connection: LedgerConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it would say later would be taken for the answer to something else."""
    monkeypatch.setattr(postgres_connection, "ANSWER_SECONDS", 0.01)
    with pytest.raises(psycopg.OperationalError):
        connection.run("SELECT pg_sleep(60)")
    assert connection.closed


def test_what_others_do_in_it_takes_no_statements_away(connection: LedgerConnection) -> None:
    """An engine runs statements of its own, and takes them back, by cursors of psycopg."""
    known = "SELECT count(*) AS many FROM pg_prepared_statements"
    (before,) = connection.run(known).fetchall()
    for _ in range(12):
        connection.execute("SELECT name FROM things")
    with suppress(psycopg.Error), connection.transaction():
        connection.execute("SELECT nonesuch")
    connection.execute("SELECT name FROM things")
    assert connection.run(known).fetchall() == [before]


def test_statements_that_the_server_has_forgotten_are_told_it_again(
    connection: LedgerConnection,
) -> None:
    """Outside of a transaction at once; in one, which is lost then, from the next one on."""
    insert = "INSERT INTO things (name) VALUES (?)"
    connection.run(insert, ("a",))
    connection.execute("DEALLOCATE ALL")
    connection.run_all([(insert, ("b",)), (insert, ("c",))])
    connection.run("BEGIN")
    connection.execute("DEALLOCATE ALL")
    with pytest.raises(psycopg.errors.InvalidSqlStatementName):
        connection.run(insert, ("d",))
    connection.run("ROLLBACK")
    connection.run(insert, ("e",))
    assert names(connection) == ["a", "b", "c", "e"]
