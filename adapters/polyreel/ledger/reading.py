"""What is read from a ledger's database. Each question finds its rows by an index.

So an answer takes as long in a ledger with a million entries as in a new one. A test reads the
query plans of all statements.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Final, get_args

from ..errors import ClaimedError
from ..providers.base.registry import all_providers
from .database import Database, StoredRow, Value
from .events import Known, News, Past, ReadNews
from .records import State, Submission, after
from .rows import readable_job
from .schema import HAS_DURATION, HOLDS_REFERENCE, by_reference, of_kind
from .store import CALLER_SECONDS, ID_LETTERS, PAST_JOBS

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

PAGE: Final = 200
"""How many rows are read, and in memory, at a time."""
AFTER_ID: Final = "~"
"""A character that comes after all those of ids."""


class LedgerReader:
    """The questions that are asked of a ledger; the answers are rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows(self, condition: str, *values: Value) -> list[StoredRow]:
        """The rows of jobs that meet a condition."""
        return self._database.query(f"SELECT * FROM jobs WHERE {condition}", *values)  # noqa: S608

    def pages(
        self,
        states: Iterable[State] | None,
        *,
        simulated: bool | None,
        newest_first: bool = False,
    ) -> Iterator[list[StoredRow]]:
        """All rows of jobs, those in some states, or of one kind, in pages, by their age."""
        wanted = None if states is None else sorted(set(states))
        order = "DESC" if newest_first else "ASC"
        statement, values = _page(wanted, simulated, order)
        if not statement:
            return
        (newest,) = self._database.query("SELECT max(rowid) AS number FROM jobs")
        least, most = 0, (newest["number"] or 0) + 1
        while True:
            bounds = (least, most, PAGE)
            every = [value for chosen in values for value in (*chosen, *bounds)]
            page = self._database.query(statement, *every, PAGE)
            if page:
                yield page
            if len(page) < PAGE:
                return
            least, most = (
                (least, page[-1]["number"]) if newest_first else (page[-1]["number"], most)
            )

    def named(self, name: str) -> list[StoredRow]:
        """The row of an id, or one or two whose ids begin so."""
        if not name or not all(letter in ID_LETTERS for letter in name):
            return []
        beginning = "id >= ? AND id < ? LIMIT 2"
        return self.rows("id = ?", name) or self.rows(beginning, name, name + AFTER_ID)

    def of_task(self, vendor: str, task: str, *, simulated: bool) -> StoredRow | None:
        """The row of a vendor's task."""
        rows = self.rows(f"vendor = ? AND {of_kind(simulated)} AND task = ?", vendor, task)
        return next(iter(rows), None)

    def of_references(
        self, references: Iterable[str], beginnings: Iterable[str], *, simulated: bool
    ) -> list[StoredRow]:
        """The rows with one of these references, or one that begins so, oldest first."""
        select = "SELECT jobs.rowid AS number, jobs.* FROM json_each(?) AS name CROSS JOIN jobs"
        kind = of_kind(simulated)
        found = self._database.query(
            by_reference(f"{select} ON jobs.reference = name.value AND jobs.{kind}"),
            *[json.dumps(sorted(set(references)))] * 2,
        )
        select = "SELECT rowid AS number, * FROM jobs WHERE reference >= ? AND reference < ?"
        for beginning in filter(None, beginnings):
            end = beginning[:-1] + chr(ord(beginning[-1]) + 1)
            found += self._database.query(
                by_reference(f"{select} AND {kind}"), *[beginning, end] * 2
            )
        each_once = {row["number"]: row for row in found}
        return [each_once[number] for number in sorted(each_once)]

    def labelled(self, name: str, value: str) -> list[StoredRow]:
        """The rows with a label, oldest first."""
        found = self._database.query(
            "SELECT jobs.rowid AS number, jobs.* FROM labels CROSS JOIN jobs"
            " ON jobs.id = labels.job WHERE labels.name = ? AND labels.value = ?",
            name,
            value,
        )
        return sorted(found, key=lambda row: int(row["number"]))

    def holder(self, reference: str | None, *, simulated: bool) -> StoredRow | None:
        """The row that holds a reference, if any."""
        condition = f"reference = ? AND {of_kind(simulated)} AND {HOLDS_REFERENCE}"
        return next(iter(self.rows(condition, reference)), None)

    def refuse_twice(self, submission: Submission) -> None:
        """Raise ClaimedError where the reference of a submission has a job already."""
        row = self.holder(submission.reference, simulated=submission.simulated)
        if row is not None:
            raise ClaimedError(
                f"the reference {submission.reference!r} has a job already: "
                f"{row['id']}, {row['state']}; nothing was sent: {after(row['state'])}",
                vendor=submission.vendor,
                ledger_id=row["id"],
            )

    def has_called(self, vendor: str, since: float, until: float) -> bool:
        """Whether a vendor has called back between two moments, as far as that was noted."""
        chosen = "vendor = ? AND received_at >= ? AND received_at <= ?"
        select = f"SELECT vendor FROM callers WHERE {chosen}"  # noqa: S608
        return bool(self._database.query(select, vendor, since, until))

    def sending(self) -> list[StoredRow]:
        """The ids and owners of the submits whose outcome is not known yet."""
        which = "simulated IN (0, 1) AND state = 'sending'"
        return self._database.query(f"SELECT id, owner FROM jobs WHERE {which}")  # noqa: S608

    def last_simulated(self) -> float:
        """The newest moment of simulated jobs; 0 if there are none."""
        newest = "SELECT max(updated_at) AS newest FROM jobs WHERE simulated = 1"
        (row,) = self._database.query(newest)
        return float(row["newest"] or 0)

    # -- what flows ask ----------------------------------------------------------------------------

    def answer(
        self, event: Known | Past | ReadNews, now: float
    ) -> frozenset[str] | list[float] | News:
        """The answer to a question that a flow asks; each one's class says what it is."""
        match event:
            case Known():
                return self.known(event)
            case Past():
                return self.past(event.job)
            case ReadNews():
                return self.news(event, now)

    def known(self, event: Known) -> frozenset[str]:
        """Which of a vendor's tasks belong to entries."""
        chosen = f"vendor = ? AND {of_kind(event.simulated)}"
        select = f"SELECT task FROM jobs WHERE {chosen}"  # noqa: S608
        among = "task IN (SELECT value FROM json_each(?))"
        tasks = json.dumps(event.tasks)
        rows = self._database.query(f"{select} AND {among}", event.vendor, tasks)
        return frozenset(row["task"] for row in rows)

    def past(self, job: Job) -> list[float]:
        """How many seconds the newest jobs of a kind took."""
        took = "finished_at - coalesce(sent_wall, created_at)"  # some have been queued before
        select = f"""SELECT {took} AS seconds FROM jobs
            WHERE vendor = ? AND {of_kind(job.simulated)} AND workflow = ? AND model IS ?
            AND {HAS_DURATION} ORDER BY finished_at DESC LIMIT ?"""  # noqa: S608
        kind = (job.vendor, job.workflow, job.model)
        return [row["seconds"] for row in self._database.query(select, *kind, PAST_JOBS)]

    def news(self, event: ReadNews, now: float) -> News:
        """Which jobs have ended since a moment, and who calls back."""
        recent = "SELECT vendor FROM callers WHERE received_at >= ?"
        callers = self._database.query(recent, now - CALLER_SECONDS)
        found = map(readable_job, self._ended(event))
        ended = [job for job in found if job is not None]
        confirmed = frozenset(row["vendor"] for row in callers if _signs(row["vendor"]))
        return News(ended, confirmed)

    def _ended(self, event: ReadNews) -> list[StoredRow]:
        """The rows of the jobs that have ended since a moment."""
        since = f"WHERE {of_kind(event.simulated)} AND finished_at >= ?"
        if event.job is not None:
            select = f"SELECT id, job FROM jobs {since} AND vendor = ? AND task = ?"  # noqa: S608
            own = event.job
            return self._database.query(select, event.since, own.vendor, own.id)
        if event.tasks is None:
            select = f"SELECT id, job FROM jobs {since}"  # noqa: S608
            return self._database.query(select, event.since)
        # Most that end are known here already, or are another one's: their jobs are not fetched.
        tasks = "CAST(json_group_array(json_array(id, vendor, task)) AS TEXT) AS tasks"
        select = f"SELECT {tasks} FROM jobs {since}"  # noqa: S608
        (row,) = self._database.query(select, event.since)
        found = json.loads(row["tasks"] or "[]")
        ids = [name for name, vendor, task in found if (vendor, task) in event.tasks]
        select = "SELECT id, job FROM jobs WHERE id IN (SELECT value FROM json_each(?))"
        return self._database.query(select, json.dumps(ids)) if ids else []


def _page(
    states: Sequence[State] | None, simulated: bool | None, order: str
) -> tuple[str, list[tuple[Value, ...]]]:
    """A SELECT of one page of rows, and what it chooses by; an empty text where it chooses nothing.

    Each state of each kind is a search of its own in an index. Each takes, after the values that
    it chooses by, two bounds of the rows' numbers and a limit; the whole takes a limit too.
    """
    kinds = [0, 1] if simulated is None else [int(simulated)]
    chosen: list[tuple[Value, ...]]
    if states is not None or simulated is not None:
        found = get_args(State) if states is None else states
        chosen, condition = [*product(kinds, found)], "simulated = ? AND state = ? AND "
    else:
        chosen, condition = [()], ""
    search = (
        f"SELECT number FROM (SELECT rowid AS number FROM jobs WHERE {condition}"  # noqa: S608
        f"rowid > ? AND rowid < ? ORDER BY rowid {order} LIMIT ?) AS numbers"
    )
    numbers = " UNION ALL ".join([search] * len(chosen))
    page = (
        f"SELECT rowid AS number, * FROM jobs WHERE rowid IN ({numbers})"  # noqa: S608
        f" ORDER BY rowid {order} LIMIT ?"
    )
    return (page if chosen else ""), chosen


def _signs(vendor: str) -> bool:
    """Whether a vendor signs its webhooks: only such a delivery proves that the vendor calls.

    Unsigned ones can be anybody's, and must not make polyreel ask less often. They are noted in
    older files only.
    """
    webhook = all_providers()[vendor].webhook if vendor in all_providers() else None
    return webhook is not None and webhook.signed
