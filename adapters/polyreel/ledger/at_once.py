"""What many flows write, in one statement for each kind of event: in the words of Postgres.

A statement alone needs no BEGIN and no COMMIT, and many rows in it cost little more than one. It
changes the rows that are as usual. Whatever it leaves alone is written by itself afterwards, which
tells what was in its way.
"""

# ruff: noqa: S608 - all that is put together is from this file
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from .database import StoredRow, Value
from .events import OUTCOMES, Intend, LedgerEvent, Released, Settle, Take
from .limits_at_once import taking
from .records import json_text
from .rows import Columns, entry_of, new_columns, outcome_columns, sent_columns
from .store import Write

Run = Callable[[Sequence[tuple[str, Sequence[Value]]]], list[list[StoredRow]] | None]
"""Runs statements, with their values, in one transaction; the result is the rows that each gives.

None where a row, or another transaction, was in the way.
"""
NEW: Final = (
    "id, state, vendor, model, workflow, simulated, reference, folder, idempotency_key,"
    " fingerprint, submission, follows, owner, created_at, updated_at, sent_wall, sent_boot"
)
ROWS: Final = "json_populate_recordset(CAST(NULL AS jobs), CAST(? AS json))"
"""Rows that are given as one JSON document."""
GIVEN: Final = f"(SELECT * FROM {ROWS} ORDER BY id) AS given"
"""The same in their order: who locks rows in another order can wait for who waits for it."""
BY_ID: Final = "jobs.id = ANY(ARRAY[given.id])"
"""Finds the entries that are meant, each by its index. Where an equality alone joins tables, and
there are few entries yet, all entries are read in the order of the index, and that plan is kept.
"""
STATE: Final = "jobs.state || ''"
SIMULATED: Final = "jobs.simulated + 0"
"""Columns of an entry by which it is not looked for: a plan that goes by another index than that of
ids, made when there were few entries, is kept.
"""
TAKEN: Final = (
    "state = 'sending', owner = given.owner, reason = NULL, attempts = jobs.attempts + 1,"
    " updated_at = given.updated_at, sent_wall = given.sent_wall, sent_boot = given.sent_boot"
)
TAKE_LIMITED: Final = taking(ROWS, TAKEN)
"""What takes those that have limits: as many as these allow together."""
STATEMENTS: Final[Mapping[type[LedgerEvent], str]] = {
    Intend: f"INSERT INTO jobs ({NEW}) SELECT {NEW} FROM {ROWS} AS given"
    " ORDER BY reference ON CONFLICT DO NOTHING RETURNING id, owner",
    Take: f"UPDATE jobs SET {TAKEN} FROM {GIVEN}"
    f" WHERE {BY_ID} AND {SIMULATED} = given.simulated AND {STATE} = 'queued'"
    " AND jobs.limits IS NULL RETURNING jobs.*",
    Settle: "UPDATE jobs SET state = given.state, reason = given.reason,"
    " updated_at = given.updated_at, task = given.task, job = given.job,"
    " request_id = coalesce(given.request_id, jobs.request_id),"
    " charged = coalesce(given.charged, jobs.charged),"
    f" finished_at = coalesce(given.finished_at, jobs.finished_at) FROM {GIVEN}"
    f" WHERE {BY_ID} AND {STATE} IN ('sending', 'ambiguous')"
    # Never on the word of an attempt before this one.
    " AND jobs.attempts = coalesce(given.attempts, jobs.attempts)"
    " RETURNING jobs.id, jobs.owner",
    # With an owner of a submit without an outcome, more has to be written: all of its are left.
    Released: "UPDATE jobs SET owner = NULL FROM (SELECT own.id, own.owner"
    f" FROM {ROWS} AS given, LATERAL (SELECT id, owner FROM jobs"
    " WHERE owner = ANY(ARRAY[given.owner]) AND NOT EXISTS (SELECT 1 FROM jobs AS begun"
    " WHERE begun.owner = ANY(ARRAY[given.owner]) AND begun.state || '' = 'sending')"
    " OFFSET 0) AS own"
    " ORDER BY own.id FOR UPDATE OF own) AS freed"
    " WHERE jobs.id = ANY(ARRAY[freed.id]) RETURNING freed.owner AS id",
}
"""For each kind of event, what writes many of them."""


def is_usual(event: LedgerEvent) -> bool:
    """Whether an event is one of those that can be written together."""
    match event:
        case Intend():
            has_more = event.submission.labels or event.submission.limits is not None
            return event.is_new and not has_more
        case Settle():
            return event.job is not None
        case Released():
            return not event.sent
    return isinstance(event, Take)


@frozen
class PreparedWrite:
    """A write, and what is given to its statement."""

    write: Write
    id: Value = None
    """The id of its entry, or its owner, where it is as usual."""
    row: str = ""
    """The columns that it changes, as JSON; empty where it is not as usual."""


def prepared(write: Write) -> PreparedWrite:
    """A write with its row, which takes more time than all else that is done here for it.

    Threads do that for their own writes, while those of others are written.
    """
    if not is_usual(write[0]):
        return PreparedWrite(write)
    columns = _columns(write)
    return PreparedWrite(write, columns["id"], _row(columns))


def write_at_once(writes: Sequence[PreparedWrite], run: Run) -> dict[int, Any]:
    """Write those events that are as usual.

    The result is theirs, by their numbers; the others are left alone.
    """
    usual = {number: one for number, one in enumerate(writes) if one.row}
    results = _written(usual, run, STATEMENTS)
    left = {n: one for n, one in usual.items() if n not in results and type(one.write[0]) is Take}
    return results | _written(left, run, {Take: TAKE_LIMITED})


def _written(
    writes: Mapping[int, PreparedWrite], run: Run, texts: Mapping[type[LedgerEvent], str]
) -> dict[int, Any]:
    """The results of those writes that statements have written; `texts` are those of each kind."""
    made = GroupedStatements(writes, texts)
    found = run(made.statements) if writes else None
    return made.results(found) if found else {}


class GroupedStatements:
    """The statements that are made of writes, by their numbers; `texts` are those of each kind."""

    def __init__(
        self,
        writes: Mapping[int, PreparedWrite],
        texts: Mapping[type[LedgerEvent], str] = STATEMENTS,
    ) -> None:
        self._writes = writes
        self._kinds: dict[type[LedgerEvent], dict[Value, int]] = {}
        for number, one in writes.items():
            of_kind = self._kinds.setdefault(type(one.write[0]), {})
            of_kind.setdefault(one.id, number)
        self.statements = [
            (texts[kind], [f"[{','.join([writes[number].row for number in numbers.values()])}]"])
            for kind, numbers in self._kinds.items()
        ]

    def results(self, found: Sequence[Sequence[StoredRow]]) -> dict[int, Any]:
        """The results of those writes that were made, by the rows that each statement gives."""
        results: dict[int, Any] = {}
        for (kind, numbers), rows in zip(self._kinds.items(), found, strict=True):
            for changed in rows:
                number = numbers[changed["id"]]
                if kind in OUTCOMES or changed["owner"] == self._writes[number].write[1]:
                    results[number] = _result(kind, changed)
        return results


def _result(kind: type[LedgerEvent], row: StoredRow) -> Any:
    if kind in OUTCOMES:
        return None
    return row["id"] if kind is Intend else entry_of(row, owned=True)


def _columns(write: Write) -> Columns:
    """The columns that an event changes, and the id of its entry."""
    event, owner, now = write
    columns: Columns
    match event:
        case Intend():
            columns = new_columns(event, owner, now)
        case Settle():
            known: Columns = {"id": event.entry, "attempts": event.attempt}
            columns = {**outcome_columns(event, now), **known}
        case Take():
            columns = {"id": event.entry, "owner": owner, "updated_at": now}
            columns |= {"simulated": int(event.simulated), **sent_columns(event)}
        case Released():
            columns = {"id": event.owner, "owner": event.owner}
        case _:
            raise AssertionError(f"{type(event).__name__} is not written so")
    return columns


def document(rows: Sequence[Columns]) -> str:
    """Rows as one JSON document."""
    return f"[{','.join(map(_row, rows))}]"


def _row(columns: Columns) -> str:
    """A row as JSON."""
    text = json_text(columns)
    if "\\u0000" not in text:  # how a NUL is written; a text that says so is looked at in vain
        return text
    return json_text({name: without_nul(value) for name, value in columns.items()})


def without_nul(value: Any) -> Any:
    """A value as Postgres takes it, which stores no text with a NUL."""
    if not isinstance(value, str) or "\0" not in value:
        return value
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
