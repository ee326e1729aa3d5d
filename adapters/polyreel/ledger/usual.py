"""What many flows write into a file where nothing is in the way: many rows in each statement.

Whoever waits for SQLite lets the event loop run meanwhile, and then waits for its turn to go on. So
rows that are written one by one wait once for each of them, and so does the look that comes before
it. Here the indexes of the file do what those looks do: where one of them, or the state of an
entry, forbids a row, nothing is written, and each event is then written by itself.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from ..errors import ClaimedError
from .changes import insertion, labeling, outcomes
from .database import Transaction, Value
from .events import Intend, Released, Settle
from .records import PROVED_UNPAID
from .rows import new_columns, outcome_columns
from .store import Write

BEGUN: Final = (
    "SELECT owner FROM jobs WHERE owner IN (SELECT value FROM json_each(?)) AND state = 'sending'"
)
"""The owners of submits without an outcome: more has to be written as they end."""
FREE_ALL: Final = "UPDATE jobs SET owner = NULL WHERE owner IN (SELECT value FROM json_each(?))"
MOST_ROWS: Final = 64
"""How many rows a statement has at most."""
Statement = Callable[[int], str]
"""A statement that writes so many rows."""


def write_rows(
    connection: Transaction, statement: Statement, rows: Sequence[Sequence[Value]]
) -> int:
    """Run a statement with all of these rows; the result is how many were written.

    It is run with 64 rows, 32, 16 and so on, so that SQLite has planned each of these before.
    """
    written = first = 0
    while left := len(rows) - first:
        size = min(MOST_ROWS, 1 << (left.bit_length() - 1))
        values = [value for row in rows[first : first + size] for value in row]
        written += connection.execute(statement(size), values).rowcount
        first += size
    return written


def write_usual(connection: sqlite3.Connection, writes: Sequence[Write]) -> dict[int, Any]:
    """The results of those writes that are made, by their numbers; the others are left alone.

    ClaimedError is raised where one of them is forbidden: then they are all to be taken back.
    """
    results: dict[int, Any] = {}
    added: dict[tuple[str, ...], list[Sequence[Value]]] = {}
    ended: dict[tuple[str, ...], list[Sequence[Value]]] = {}
    labels: list[Sequence[Value]] = []
    freed: dict[str, int] = {}
    for number, (event, owner, now) in enumerate(writes):
        match event:
            case Intend() if event.is_new and event.submission.limits is None:
                columns = new_columns(event, owner, now)
                identity = results[number] = str(columns["id"])
                added.setdefault((*columns,), []).append([*columns.values()])
                labels += [(*label, identity) for label in event.submission.labels.items()]
            case Settle() if event.job is not None and event.state not in PROVED_UNPAID:
                columns = outcome_columns(event, now)
                chosen = (*columns.values(), event.entry, event.attempt)
                ended.setdefault((*columns,), []).append(chosen)
                results[number] = None
            case Released(sent=False):
                freed[event.owner] = number
    for names, values in added.items():
        write_rows(connection, partial(insertion, names), values)
    write_rows(connection, labeling, labels)
    for names, values in ended.items():
        if write_rows(connection, partial(outcomes, names), values) != len(values):
            raise ClaimedError("an entry is in another state")
    return results | _free(connection, freed)


def _free(connection: sqlite3.Connection, owners: Mapping[str, int]) -> dict[int, Any]:
    """Free what owners have; those with a submit without an outcome are left alone."""
    if not owners:
        return {}
    begun = {row["owner"] for row in connection.execute(BEGUN, (json.dumps([*owners]),))}
    ended = [owner for owner in owners if owner not in begun]
    connection.execute(FREE_ALL, (json.dumps(ended),))
    return dict.fromkeys([owners[owner] for owner in ended])
