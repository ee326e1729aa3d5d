"""New states of many jobs in Postgres: one statement reads what is known, another changes it."""

# ruff: noqa: S608 - all that is put together is from this file, and `at_once`
from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from .at_once import BY_ID, document
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
GIVEN: Final = (
    "json_to_recordset(CAST(? AS json)) AS given(number INTEGER, id TEXT, vendor TEXT, task TEXT,"
    " simulated INTEGER, received_at DOUBLE PRECISION)"
)
"""What is known of jobs outside, as rows with the numbers of what is written about them."""
OF_TASK: Final = (
    "jobs.vendor = given.vendor AND jobs.simulated = given.simulated AND jobs.task = given.task"
)
LOCKED: Final = (
    f"FROM jobs, {GIVEN} WHERE {OF_TASK}"
    # In this order: who locks rows in another one can wait for who waits for it.
    " ORDER BY jobs.id FOR UPDATE OF jobs"
)
KNOWN: Final = f"SELECT jobs.id, jobs.state, jobs.job, jobs.finished_at, given.number {LOCKED}"
CHANGED: Final = (
    "UPDATE jobs SET state = coalesce(given.state, jobs.state), job = given.job,"
    " reason = coalesce(given.reason, jobs.reason), updated_at = given.updated_at,"
    " finished_at = coalesce(given.finished_at, jobs.finished_at),"
    " charged = coalesce(given.charged, jobs.charged)"
    " FROM json_populate_recordset(CAST(NULL AS jobs), CAST(? AS json)) AS given"
    f" WHERE {BY_ID}"
)


Task = tuple[str, str, bool]
"""A vendor, the id of one of its tasks, and whether it is simulated."""


def first_of_each(tasks: Mapping[int, Task]) -> list[dict[str, Any]]:
    """The rows that are given to a statement: of each task one, with the first of its numbers."""
    first: dict[Task, int] = {}
    for number, task in tasks.items():
        first.setdefault(task, number)
    return [
        {"number": number, "vendor": vendor, "task": task, "simulated": int(simulated)}
        for (vendor, task, simulated), number in first.items()
    ]


def keep_at_once(keeps: Mapping[int, tuple[Keep, float]], change: Change) -> dict[int, Any]:
    """The jobs as they are known afterwards, by the numbers of what is to be kept.

    Some are left alone: those of a row that cannot be read, and all but the first of the same job.
    """
    asked = first_of_each(
        {
            n: (event.job.vendor, event.job.id, bool(event.job.simulated))
            for n, (event, _) in keeps.items()
        }
    )
    # A job that the ledger does not know stays as it is.
    found: dict[int, Job] = {one["number"]: keeps[one["number"]][0].job for one in asked}

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
