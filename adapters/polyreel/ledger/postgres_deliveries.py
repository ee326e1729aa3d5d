"""Webhooks in Postgres: one message reads what is known of the jobs of many, another changes it."""

# ruff: noqa: S608 - all that is put together is from this file
from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from .at_once import document
from .changes import changed_job, reported
from .postgres_states import CHANGED, GIVEN, LOCKED, OF_TASK, Change, first_of_each
from .rows import readable_job
from .store import CALLER_SECONDS, Effect

if TYPE_CHECKING:
    from ..providers.base.webhooks import Event
    from .database import StoredRow
    from .postgres_connection import Statement
    from .rows import Columns

FORGOTTEN: Final = 2_000
"""How many old deliveries are forgotten at a time, so that none takes long."""
BETWEEN: Final = 20
"""After how many deliveries old ones are forgotten: more than are added."""
KNOWN: Final = f"SELECT jobs.*, given.number {LOCKED}"
NOTED: Final = (
    "INSERT INTO deliveries (vendor, id, received_at)"
    f" SELECT given.vendor, given.id, given.received_at FROM {GIVEN}"
    # Otherwise unknown senders could fill the table.
    f" WHERE EXISTS (SELECT 1 FROM jobs WHERE {OF_TASK} AND jobs.job IS NOT NULL)"
    " ORDER BY given.vendor, given.id ON CONFLICT DO NOTHING RETURNING vendor, id"
)
CALLED: Final = (
    "INSERT INTO callers (vendor, received_at) SELECT given.vendor, max(given.received_at)"
    f" FROM {GIVEN}"
    # All deliveries of a vendor would wait for each other otherwise.
    " WHERE NOT EXISTS (SELECT 1 FROM callers WHERE callers.vendor = given.vendor AND"
    f" callers.received_at BETWEEN given.received_at - {CALLER_SECONDS / 60} AND given.received_at)"
    " GROUP BY given.vendor ORDER BY given.vendor"
    " ON CONFLICT (vendor) DO UPDATE SET received_at = excluded.received_at"
)
Delivery = tuple["Event", float, bool]
"""A webhook, when it came, and whether its job is simulated."""


def deliver_at_once(
    deliveries: Sequence[Delivery], change: Change
) -> dict[int, tuple[Effect, StoredRow]]:
    """Write verified webhooks down, each once; the result is their effects, and the rows then.

    They are by the numbers of the webhooks. Some are left alone: those of jobs that are not known,
    or cannot be read, and all but the first that are about the same job.
    """
    tasks = {
        n: (one.vendor, one.task_id, simulated) for n, (one, _, simulated) in enumerate(deliveries)
    }
    given = first_of_each(tasks)
    for one in given:
        event, now, _ = deliveries[one["number"]]
        one |= {"id": event.id, "received_at": now}
    found: dict[int, tuple[Effect, StoredRow]] = {}

    def changes(answers: list[list[StoredRow]]) -> list[Statement] | None:
        rows, noted = answers
        new = {(row["vendor"], row["id"]) for row in noted}
        changed: list[Columns] = []
        for row in rows:
            event, now, _ = deliveries[row["number"]]
            known = readable_job(row)
            if (event.vendor, event.id) not in new:
                if row["job"] is not None:
                    found[row["number"]] = "duplicate", row
                continue
            if known is None:
                return None
            _, columns = changed_job(row, known, reported(event, now)(known), now)
            if columns:
                changed.append({"id": row["id"], **columns})
            effect: Effect = "applied" if columns else "unchanged"
            found[row["number"]] = effect, {**dict(row), **columns}
        called = [one for one in given if (one["vendor"], one["id"]) in new]
        return [
            *([(CALLED, [json.dumps(called)])] if called else []),
            *([(CHANGED, [document(changed)])] if changed else []),
        ]

    read = json.dumps(given)
    return found if change([(KNOWN, [read]), (NOTED, [read])], changes) else {}
