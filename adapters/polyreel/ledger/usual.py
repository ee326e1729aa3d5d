"""What many flows write into a file where nothing is in the way: all rows of a statement at once.

Each statement that runs by itself takes a turn of Python's, and the look that comes before it is
another. Here the indexes of the file do what those looks do: where one of them, or the state of an
entry, forbids a row, nothing is written, and each event is then written by itself.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..errors import ClaimedError
from .changes import ADD_LABEL, FREE, insertion, outcome
from .database import Value
from .events import Intend, Released, Settle
from .records import PROVED_UNPAID
from .rows import new_columns, outcome_columns
from .store import Write

BEGUN: Final = (
    "SELECT owner FROM jobs WHERE owner IN (SELECT value FROM json_each(?)) AND state = 'sending'"
)
"""The owners of submits without an outcome: more has to be written as they end."""


def write_usual(connection: sqlite3.Connection, writes: Sequence[Write]) -> dict[int, Any]:
    """The results of those writes that are made, by their numbers; the others are left alone.

    ClaimedError is raised where one of them is forbidden: then they are all to be taken back.
    """
    results: dict[int, Any] = {}
    rows: dict[str, list[Sequence[Value]]] = {}
    labels: list[Sequence[Value]] = []
    freed: dict[str, int] = {}
    for number, (event, owner, now) in enumerate(writes):
        match event:
            case Intend() if event.is_new and event.submission.limits is None:
                columns = new_columns(event, owner, now)
                identity = results[number] = str(columns["id"])
                rows.setdefault(insertion(columns), []).append([*columns.values()])
                labels += [(*label, identity) for label in event.submission.labels.items()]
            case Settle() if event.job is not None and event.state not in PROVED_UNPAID:
                columns = outcome_columns(event, now)
                chosen = (*columns.values(), event.entry, event.attempt)
                rows.setdefault(outcome(columns), []).append(chosen)
                results[number] = None
            case Released(sent=False):
                freed[event.owner] = number
    for statement, values in rows.items():
        if connection.executemany(statement, values).rowcount != len(values):
            raise ClaimedError("an entry is in another state")
    if labels:
        connection.executemany(ADD_LABEL, labels)
    return results | _free(connection, freed)


def _free(connection: sqlite3.Connection, owners: Mapping[str, int]) -> dict[int, Any]:
    """Free what owners have; those with a submit without an outcome are left alone."""
    if not owners:
        return {}
    begun = {row["owner"] for row in connection.execute(BEGUN, (json.dumps([*owners]),))}
    ended = [owner for owner in owners if owner not in begun]
    connection.executemany(FREE, [(owner,) for owner in ended])
    return dict.fromkeys([owners[owner] for owner in ended])
