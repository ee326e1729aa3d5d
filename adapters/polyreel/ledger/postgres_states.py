"""New states of many jobs in Postgres: one statement reads what is known, another changes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from .at_once import document
from .changes import changed_job
from .rows import readable_job

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from .database import StoredRow
    from .events import Keep
    from .postgres_connection import Statement
    from .rows import Columns

Rows = list["StoredRow"]
Change = Callable[
    [Sequence["Statement"], Callable[[list[Rows]], "Sequence[Statement] | None"]], bool
]
"""Reads rows, and runs the statements that are made of them, in one transaction.

False where a row, or another transaction, was in the way, or nothing was made: then nothing is
changed.
"""
KNOWN: Final = (
    "SELECT jobs.id, jobs.state, jobs.job, jobs.finished_at, given.number FROM jobs,"
    " json_to_recordset(CAST(? AS json))"
    " AS given(number INTEGER, vendor TEXT, task TEXT, simulated INTEGER)"
    " WHERE jobs.vendor = given.vendor AND jobs.simulated = given.simulated"
    # In this order: who locks rows in another one can wait for who waits for it.
    " AND jobs.task = given.task ORDER BY jobs.id FOR UPDATE OF jobs"
)
CHANGED: Final = (
    "UPDATE jobs SET state = coalesce(given.state, jobs.state), job = given.job,"
    " reason = coalesce(given.reason, jobs.reason), updated_at = given.updated_at,"
    " finished_at = coalesce(given.finished_at, jobs.finished_at),"
    " charged = coalesce(given.charged, jobs.charged)"
    " FROM json_populate_recordset(CAST(NULL AS jobs), CAST(? AS json)) AS given"
    " WHERE jobs.id = given.id"
)


def keep_at_once(keeps: Mapping[int, tuple[Keep, float]], change: Change) -> dict[int, Any]:
    """The jobs as they are known afterwards, by the numbers of what is to be kept.

    Some are left alone: those of a row that cannot be read, and all but the first of the same job.
    """
    first: dict[tuple[str, str, bool], int] = {}
    for number, (event, _) in keeps.items():
        job = event.job
        first.setdefault((job.vendor, job.id, bool(job.simulated)), number)
    asked = [
        {"number": number, "vendor": vendor, "task": task, "simulated": int(simulated)}
        for (vendor, task, simulated), number in first.items()
    ]
    # A job that the ledger does not know stays as it is.
    found: dict[int, Job] = {number: keeps[number][0].job for number in first.values()}

    def changes(answers: list[Rows]) -> Sequence[Statement]:
        changed: list[Columns] = []
        for row in answers[0]:
            number = row["number"]
            event, now = keeps[number]
            known = readable_job(row)
            if known is None:
                del found[number]
                continue
            found[number], columns = changed_job(row, known, event.job, now)
            if columns:
                changed.append({"id": row["id"], **columns})
        return [(CHANGED, [document(changed)])] if changed else []

    return {**found} if change([(KNOWN, [json.dumps(asked)])], changes) else {}
