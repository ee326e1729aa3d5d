"""Webhooks in Postgres: all that one changes is changed by one statement.

It is worked out before from what the row holds, and nothing is changed where the row holds
something else by then.
"""

# ruff: noqa: S608 - all that is put together is from this file, and from names of columns
from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .changes import assignments, changed_job, reported
from .store import CALLER_SECONDS, Effect

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..providers.base.webhooks import Event
    from .database import Database, StoredRow

FORGOTTEN: Final = 2_000
"""How many old deliveries are forgotten at a time, so that none takes long."""
BETWEEN: Final = 20
"""After how many deliveries old ones are forgotten: more than are added."""
ENTRY: Final = "SELECT id FROM jobs WHERE id = ? AND job = ? AND state = ? FOR UPDATE"
NOTED: Final = (
    "INSERT INTO deliveries (vendor, id, received_at) SELECT ?, ?, ? FROM entry"
    " ON CONFLICT DO NOTHING RETURNING id"
)
CALLED: Final = (
    "INSERT INTO callers (vendor, received_at) SELECT ?, ? FROM noted"
    # All deliveries of a vendor would wait for each other otherwise.
    " WHERE NOT EXISTS (SELECT 1 FROM callers"
    " WHERE vendor = ? AND received_at >= ? AND received_at <= ?)"
    " ON CONFLICT (vendor) DO UPDATE SET received_at = excluded.received_at"
)
COUNTS: Final = "(SELECT count(*) FROM entry) AS found, (SELECT count(*) FROM noted) AS noted"


def deliver_at_once(
    database: Database, row: StoredRow, job: Job, event: Event, now: float
) -> tuple[Effect, StoredRow] | None:
    """Write a verified webhook about the job of a row down, once.

    The result is its effect, and the row after it; None where the row was another one by then.
    """
    _, columns = changed_job(row, job, reported(event, now)(job), now)
    vendor = event.vendor
    parts = {"entry": ENTRY, "noted": NOTED, "called": CALLED}
    values = [row["id"], row["job"], row["state"], vendor, event.id, now]
    values += [vendor, now, vendor, now - CALLER_SECONDS / 60, now]
    select = f"SELECT {COUNTS}"
    if columns:
        change = f"UPDATE jobs SET {assignments(columns)}"
        parts["changed"] = f"{change} FROM noted WHERE jobs.id = ? RETURNING jobs.*"
        values += [*columns.values(), row["id"]]
        select += ", changed.* FROM (SELECT 1) AS always LEFT JOIN changed ON true"
    tables = ", ".join(f"{name} AS ({statement})" for name, statement in parts.items())
    (found,) = database.query(f"WITH {tables} {select}", *values)
    if not found["found"]:
        return None
    if not found["noted"]:
        return "duplicate", row
    return ("applied", found) if columns else ("unchanged", row)
