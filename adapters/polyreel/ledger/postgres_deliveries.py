"""Webhooks in Postgres: one message reads what is known of the jobs of many, another changes it."""

# ruff: noqa: S608 - all that is put together is from this file
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Final

from .at_once import document
from .changes import changed_job, reported
from .postgres_states import CHANGED, GIVEN, LOCKED, OF_TASK, Change, first_of_each
from .rows import readable_job
from .store import CALLER_SECONDS, DELIVERY_DAYS, Effect

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

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
FORGET: Final = (
    "DELETE FROM deliveries WHERE ctid = ANY(ARRAY(SELECT ctid FROM deliveries"
    " WHERE received_at < ? ORDER BY received_at LIMIT ? FOR UPDATE SKIP LOCKED))"
)
"""Forgets webhooks that are too old to count, but for those that somebody else forgets."""
Delivery = tuple["Event", float, bool]
"""A webhook, when it came, and whether its job is simulated."""
Written = tuple[Effect, "StoredRow", "Job | None"]
"""What a webhook has changed, the row of its entry then, and the job there, where it was read."""


def deliver_at_once(
    deliveries: Sequence[Delivery], change: Change, callers: dict[str, float], *, forgets: bool
) -> dict[int, Written]:
    """Write verified webhooks down, each once; the results are by their numbers.

    Some are left alone: those of jobs that are not known, or cannot be read, and all but the first
    that are about the same job. `callers` are the moments at which it was noted last that a vendor
    has called. `forgets` says whether old webhooks are forgotten.
    """
    tasks = {
        n: (one.vendor, one.task_id, simulated) for n, (one, _, simulated) in enumerate(deliveries)
    }
    given = first_of_each(tasks)
    for one in given:
        event, now, _ = deliveries[one["number"]]
        one |= {"id": event.id, "received_at": now}
    found: dict[int, Written] = {}
    called: list[dict[str, Any]] = []

    def changes(answers: list[list[StoredRow]]) -> list[Statement] | None:
        rows, noted = answers
        new = {(row["vendor"], row["id"]) for row in noted}
        changed: list[Columns] = []
        for row in rows:
            event, now, _ = deliveries[row["number"]]
            known = readable_job(row)
            if (event.vendor, event.id) not in new:
                if row["job"] is not None:
                    found[row["number"]] = "duplicate", row, known
                continue
            if known is None:
                return None
            after, columns = changed_job(row, known, reported(event, now)(known), now)
            if columns:
                changed.append({"id": row["id"], **columns})
            effect: Effect = "applied" if columns else "unchanged"
            found[row["number"]] = effect, {**dict(row), **columns}, after
        fresh = [one for one in given if (one["vendor"], one["id"]) in new]
        called.extend(one for one in fresh if not _is_noted(one, callers))
        return [
            *([(CALLED, [json.dumps(called)])] if called else []),
            *([(CHANGED, [document(changed)])] if changed else []),
            *([(FORGET, [given[0]["received_at"] - DELIVERY_DAYS * 86_400, FORGOTTEN])] * forgets),
        ]

    read = json.dumps(given)
    if not change([(KNOWN, [read]), (NOTED, [read])], changes):
        return {}
    callers.update((one["vendor"], one["received_at"]) for one in called)
    return found


def _is_noted(one: Mapping[str, Any], callers: Mapping[str, float]) -> bool:
    """Whether it was noted a moment before a webhook that its vendor calls."""
    since = one["received_at"] - callers.get(one["vendor"], -inf)
    return bool(0 <= since < CALLER_SECONDS / 60)
