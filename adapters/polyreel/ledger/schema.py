"""The tables of the ledger's file, and how the file of an older version is changed to have them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ..errors import LedgerError
from .gateway_schema import OWN_IDS, SQLITE_CALLS, SQLITE_GATEWAY, SQLITE_TOKENS
from .limits_schema import SQLITE_LIMITS

_SUPERSEDED: Final = "('abandoned', 'rejected', 'resubmitted', 'unsent')"
HOLDS_REFERENCE: Final = f"state NOT IN {_SUPERSEDED}"
"""Where an entry holds its reference, in the words of an index: others would not use the index."""
HELD_REFERENCE: Final = f"state IN {_SUPERSEDED}"
"""Where an entry holds its reference no longer, in the words of another index."""
HAS_DURATION: Final = (
    "state IN ('saved', 'succeeded') AND attempts = 1 AND finished_at > created_at"
)
"""Where an entry tells how long its job took: accepted at the first attempt, else nobody knows."""
BY_CHANGE: Final = (
    "CREATE INDEX by_change ON jobs(simulated, vendor, updated_at) WHERE state = 'accepted';"
)
"""Which entries vendors work on, and which of them are new: workers ask often."""
FEWER_INDEXES: Final = f"""
    DROP INDEX by_kind;
    DROP INDEX by_reference;
    CREATE INDEX by_held_reference ON jobs(reference, simulated)
        WHERE reference IS NOT NULL AND {HELD_REFERENCE};
    """
"""Entries of a kind are found by their states, and references by whether they are held: each index
costs every submit.
"""

MIGRATIONS: Final[tuple[str, ...]] = (
    f"""
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        vendor TEXT NOT NULL,
        model TEXT,
        workflow TEXT NOT NULL,
        simulated INTEGER NOT NULL,
        reference TEXT,
        folder TEXT,
        idempotency_key TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        submission TEXT NOT NULL,
        task TEXT,
        job TEXT,
        reason TEXT,
        request_id TEXT,
        attempts INTEGER NOT NULL DEFAULT 1,
        follows TEXT REFERENCES jobs(id),
        owner TEXT,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        finished_at REAL
    ) STRICT;
    CREATE UNIQUE INDEX one_row_per_task ON jobs(vendor, simulated, task) WHERE task IS NOT NULL;
    CREATE UNIQUE INDEX one_job_per_reference ON jobs(reference, simulated)
        WHERE reference IS NOT NULL AND {HOLDS_REFERENCE};
    CREATE INDEX by_state ON jobs(state, created_at);
    """,
    """
    CREATE TABLE deliveries (
        vendor TEXT NOT NULL,
        id TEXT NOT NULL,
        received_at REAL NOT NULL,
        PRIMARY KEY (vendor, id)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE INDEX by_end ON jobs(finished_at) WHERE finished_at IS NOT NULL;
    CREATE INDEX by_receipt ON deliveries(received_at);
    """,
    """
    ALTER TABLE jobs ADD COLUMN sent_wall REAL;
    ALTER TABLE jobs ADD COLUMN sent_boot REAL;
    """,
    f"""
    DROP INDEX by_state;
    CREATE INDEX by_state ON jobs(simulated, state);
    CREATE INDEX by_kind ON jobs(simulated);
    CREATE INDEX by_owner ON jobs(owner) WHERE owner IS NOT NULL;
    CREATE INDEX by_reference ON jobs(reference, simulated) WHERE reference IS NOT NULL;
    CREATE INDEX by_duration ON jobs(vendor, simulated, workflow, model, finished_at)
        WHERE {HAS_DURATION};
    CREATE INDEX by_simulated_time ON jobs(updated_at) WHERE simulated = 1;
    CREATE TABLE callers (
        vendor TEXT PRIMARY KEY,
        received_at REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO callers SELECT vendor, max(received_at) FROM deliveries GROUP BY vendor;
    """,  # noqa: S608
    """
    CREATE TABLE uploads (
        vendor TEXT NOT NULL,
        account TEXT NOT NULL,
        simulated INTEGER NOT NULL,
        content TEXT NOT NULL,
        link TEXT,
        expires_at REAL NOT NULL,
        owner TEXT,
        PRIMARY KEY (vendor, account, simulated, content)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX uploads_by_end ON uploads (expires_at);
    """,
    """
    CREATE TABLE labels (
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        job TEXT NOT NULL REFERENCES jobs(id),
        PRIMARY KEY (name, value, job)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE jobs ADD COLUMN queued_at REAL;
    """,
    SQLITE_LIMITS,
    SQLITE_GATEWAY,
    SQLITE_TOKENS,
    SQLITE_CALLS,
    BY_CHANGE,
    OWN_IDS,
    FEWER_INDEXES,
)
"""One script for each version of the file. An older file goes through the missing ones in order."""


def of_kind(simulated: object) -> str:
    """The condition for simulated jobs, or for others, with the number in the statement.

    Where the number is a value beside it, SQLite compares that with the conditions of the indexes,
    and plans the statement anew each time: that takes ten times as long as to run it.
    """
    return f"simulated = {int(bool(simulated))}"


def by_reference(select: str) -> str:
    """A SELECT that finds entries by their reference, held or not: each has an index of its own.

    It takes its values twice.
    """
    return " UNION ALL ".join(f"{select} AND {of}" for of in (HOLDS_REFERENCE, HELD_REFERENCE))


def bring_up(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables, or change those of an older version.

    LedgerError is raised where a newer version made the file.
    """
    if _version(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")  # another process may be doing the same
    with transaction(connection):
        version = _version(connection)
        if version > len(MIGRATIONS):
            raise LedgerError(
                f"{path} was written by a newer polyreel (version {version}): upgrade polyreel"
            )
        for number in range(version, len(MIGRATIONS)):
            for statement in _statements(MIGRATIONS[number]):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")


def _statements(script: str) -> Iterator[str]:
    """The statements of a script: those of triggers hold others."""
    statement = ""
    for part in script.split(";")[:-1]:
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what was begun, or take it back."""
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


@contextmanager
def part(connection: sqlite3.Connection) -> Iterator[None]:
    """Take back what happens in a part of a transaction, where it fails."""
    connection.execute("SAVEPOINT part")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK TO part")
        connection.execute("RELEASE part")
        raise
    connection.execute("RELEASE part")
