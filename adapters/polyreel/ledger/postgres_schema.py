"""The tables of a ledger in Postgres, and how those of an older version are changed.

They are in a schema of their own, `polyreel`, so that they can stand beside an application's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..errors import LedgerError
from .gateway_schema import OWN_IDS, POSTGRES_CALLS, POSTGRES_GATEWAY, POSTGRES_TOKENS
from .limits_schema import postgres_limits
from .schema import BY_CHANGE, FEWER_INDEXES, HAS_DURATION, HOLDS_REFERENCE

if TYPE_CHECKING:
    from psycopg import Connection

SCHEMA: Final = "polyreel"
ENCODINGS: Final = {"UTF8", "SQL_ASCII"}
"""Those of databases that hold every letter; the second one does not look at letters."""
MADE: Final = (
    (f"to_regnamespace('{SCHEMA}')", f"CREATE SCHEMA {SCHEMA}"),
    (f"to_regclass('{SCHEMA}.version')", "CREATE TABLE version (number INTEGER NOT NULL)"),
)
"""What finds the schema, and the table of versions; and what makes them."""
MIGRATING: Final = 7_067_089_375
"""The number of the lock under which tables are made: one process does it."""
MIGRATIONS: Final[tuple[str, ...]] = (
    f"""
    CREATE TABLE jobs (
        rowid BIGINT GENERATED ALWAYS AS IDENTITY UNIQUE,
        id TEXT COLLATE "C" PRIMARY KEY,
        state TEXT NOT NULL,
        vendor TEXT NOT NULL,
        model TEXT,
        workflow TEXT NOT NULL,
        simulated INTEGER NOT NULL,
        reference TEXT COLLATE "C",
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
        created_at DOUBLE PRECISION NOT NULL,
        updated_at DOUBLE PRECISION NOT NULL,
        finished_at DOUBLE PRECISION,
        sent_wall DOUBLE PRECISION,
        sent_boot DOUBLE PRECISION
    );
    CREATE UNIQUE INDEX one_row_per_task ON jobs(vendor, simulated, task) WHERE task IS NOT NULL;
    CREATE UNIQUE INDEX one_job_per_reference ON jobs(reference, simulated)
        WHERE reference IS NOT NULL AND {HOLDS_REFERENCE};
    CREATE INDEX by_end ON jobs(finished_at) WHERE finished_at IS NOT NULL;
    CREATE INDEX by_state ON jobs(simulated, state, rowid);
    CREATE INDEX by_kind ON jobs(simulated, rowid);
    CREATE INDEX by_owner ON jobs(owner) WHERE owner IS NOT NULL;
    CREATE INDEX by_reference ON jobs(reference, simulated) WHERE reference IS NOT NULL;
    CREATE INDEX by_duration ON jobs(vendor, simulated, workflow, model, finished_at)
        WHERE {HAS_DURATION};
    CREATE INDEX by_simulated_time ON jobs(updated_at) WHERE simulated = 1;
    CREATE TABLE deliveries (
        vendor TEXT NOT NULL,
        id TEXT NOT NULL,
        received_at DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (vendor, id)
    );
    CREATE INDEX by_receipt ON deliveries(received_at);
    CREATE TABLE callers (
        vendor TEXT PRIMARY KEY,
        received_at DOUBLE PRECISION NOT NULL
    );
    CREATE TABLE uploads (
        vendor TEXT NOT NULL,
        account TEXT NOT NULL,
        simulated INTEGER NOT NULL,
        content TEXT NOT NULL,
        link TEXT,
        expires_at DOUBLE PRECISION NOT NULL,
        owner TEXT,
        PRIMARY KEY (vendor, account, simulated, content)
    );
    CREATE INDEX uploads_by_end ON uploads (expires_at);
    CREATE TABLE labels (
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        job TEXT NOT NULL REFERENCES jobs(id),
        PRIMARY KEY (name, value, job)
    );
    CREATE TABLE owners (
        id TEXT PRIMARY KEY,
        host TEXT NOT NULL,
        seen_at TIMESTAMPTZ NOT NULL
    );
    """,
    """
    ALTER TABLE jobs ADD COLUMN queued_at DOUBLE PRECISION;
    """,
    postgres_limits(SCHEMA),
    POSTGRES_GATEWAY,
    POSTGRES_TOKENS,
    POSTGRES_CALLS,
    BY_CHANGE,
    OWN_IDS,
    FEWER_INDEXES,
)
"""One script for each version. Older tables go through the missing ones in order."""


def bring_up(connection: Connection[Any], place: str) -> None:
    """Make the tables, or change those of an older version.

    LedgerError is raised where a newer version made them, and for a database that cannot hold every
    letter: the outcome of a paid submit can have any.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in ENCODINGS:
        raise LedgerError(
            f"{place} has the encoding {encoding}, which lacks most letters, so what vendors say "
            "could not be written down: make a database with ENCODING 'UTF8'"
        )
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATING,))
        # Not IF NOT EXISTS, for which a user needs leave to make what is there.
        for find, make in MADE:
            found = connection.execute(f"SELECT {find} AS name").fetchone()
            if found is None or found["name"] is None:
                connection.execute(make)
        row = connection.execute("SELECT max(number) AS number FROM version").fetchone()
        version = (row["number"] if row else None) or 0
        if version > len(MIGRATIONS):
            raise LedgerError(
                f"{place} was written by a newer polyreel (version {version}): upgrade polyreel"
            )
        for number in range(version, len(MIGRATIONS)):
            connection.execute(MIGRATIONS[number])
            connection.execute("INSERT INTO version VALUES (%s)", (number + 1,))
