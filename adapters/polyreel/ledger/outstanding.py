"""What there is to do in a ledger, for those who carry work to workers."""

# ruff: noqa: S608 - all that is put together is from this file

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from attrs import frozen

from .database import Database, OwnerRegistry, StoredRow, Value
from .limits_schema import NOW
from .records import State
from .rows import UNREADABLE, job_of
from .schema import by_reference

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

KIND: Final = "simulated = ? AND state = ?"
AT_VENDORS: Final = "simulated = ? AND state = 'accepted'"
"""The entries that vendors work on. There is an index of them, by vendor and last change."""
VENDORS: Final = (
    # From one to the next: there are few, with many entries each.
    f"WITH RECURSIVE found(vendor) AS (SELECT min(vendor) FROM jobs WHERE {AT_VENDORS}"
    f" UNION ALL SELECT (SELECT min(vendor) FROM jobs WHERE {AT_VENDORS}"
    " AND vendor > found.vendor) FROM found WHERE found.vendor IS NOT NULL)"
    " SELECT vendor FROM found WHERE vendor IS NOT NULL"
)
SHARDS: Final = (
    # Where a shard has entries, one of them is soon found.
    "SELECT CAST(value AS INTEGER) AS shard FROM json_each(?) WHERE EXISTS (SELECT 1 FROM jobs"
    f" WHERE {AT_VENDORS} AND vendor = ? AND rowid % ? = CAST(value AS INTEGER))"
)
ACCEPTED: Final = (
    # As one text: there can be very many, and each row takes as long as a hundred ids in a text.
    f"SELECT CAST(json_group_array(id) AS TEXT) AS ids FROM jobs WHERE {AT_VENDORS}"
    " AND vendor = ? AND updated_at >= ? AND rowid % ? = ?"
)
MOST: Final = 1_000_000
"""More than are ever found at a time."""
AHEAD: Final = 10.0
"""For how many seconds, at their rate, entries are found that wait for it."""
LIMITED: Final = (
    f"SELECT name, vendor, next_at - {NOW} AS wait,"
    " at_once, under_way, interval_seconds FROM limits"
    " WHERE simulated = ? AND vendor <> '' AND EXISTS (SELECT 1 FROM jobs"
    " WHERE jobs.limits = limits.name AND jobs.simulated = limits.simulated"
    " AND jobs.vendor = limits.vendor AND jobs.state = 'queued')"
)
"""The limits with entries that wait."""


@frozen
class ProcessAtWork:
    """A process that works on entries of a ledger."""

    host: str
    """Its machine."""
    pid: int | None
    """Its number there. It is not known where the ledger is a file."""
    seen: float
    """How many seconds ago it said that it is alive."""
    entries: int
    """How many entries it works on just now."""


@frozen
class AtVendor:
    """An entry that a vendor works on."""

    id: str
    job: Job | None
    """None where the entry cannot be read."""
    base_url: str
    """Empty where the entry does not tell it."""
    has_folder: bool
    """Whether its files are to be saved."""
    updated_at: float
    """In seconds since 1970."""


class OutstandingWork:
    """What there is to do about the entries of a ledger, live or simulated ones."""

    def __init__(self, database: Database, owners: OwnerRegistry) -> None:
        self._database, self._owners = database, owners
        self._turns: dict[tuple[str, bool, tuple[Value, ...]], int] = {}
        """The row after which each look begins that finds no more than a number of entries."""

    def queued(self, *, simulated: bool, before: float, limit: int) -> list[str]:
        """The ids of entries that have been queued since before a moment, oldest first, by turns.

        Of those that share limits, as many as these are likely to allow now, so that they keep
        nobody from the others. `limit` is how many at most without limits, and of each vendor's
        with the same ones.
        """
        chosen = f"{KIND} AND limits IS NULL AND queued_at <= ?"
        found = self._by_turns(chosen, simulated, "queued", before=before, limit=limit)
        chosen = f"{KIND} AND limits = ? AND vendor = ? AND queued_at <= ?"
        for row in self._database.query(LIMITED, int(simulated)):
            most, key = min(limit, _allowed(row)), ("queued", row["name"], row["vendor"])
            found += self._by_turns(chosen, simulated, *key, before=before, limit=most)
        return found

    def still_queued(self, ids: Sequence[str], *, simulated: bool) -> list[str]:
        """Those of these entries that are queued, in the same order."""
        chosen = f"{KIND} AND id IN (SELECT value FROM json_each(?))"
        found = {*self._ids(chosen, simulated, "queued", json.dumps([*ids]))}
        return [name for name in ids if name in found]

    def vendors(self, *, simulated: bool) -> list[str]:
        """The vendors that work on jobs."""
        rows = self._database.query(VENDORS, int(simulated), int(simulated))
        return [str(row["vendor"]) for row in rows]

    def shards(self, vendor: str, shards: int, *, simulated: bool) -> list[int]:
        """The shards of a vendor in which it works on jobs."""
        numbers = json.dumps([*range(shards)])
        rows = self._database.query(SHARDS, numbers, int(simulated), vendor, shards)
        return sorted(int(row["shard"]) for row in rows)

    def accepted(
        self, vendor: str, shard: int, shards: int, *, simulated: bool, since: float = 0.0
    ) -> list[str]:
        """The ids of the entries in a shard of those that a vendor works on.

        Of all, or of those that have changed since a moment.
        """
        values = int(simulated), vendor, since, shards, shard
        (row,) = self._database.query(ACCEPTED, *values)
        found: list[str] = json.loads(row["ids"] or "[]")
        return found

    def at_vendors(self, ids: Sequence[str]) -> list[AtVendor]:
        """Read what waiting for the jobs of entries needs: a whole entry takes twice as long."""
        rows = self._database.query(
            "SELECT id, job, submission, folder, updated_at FROM jobs"
            " WHERE id IN (SELECT value FROM json_each(?))",
            json.dumps([*ids]),
        )
        return [_at_vendor(row) for row in rows]

    def unsaved(self, *, simulated: bool, before: float, limit: int) -> list[str]:
        """The ids of entries that have a folder, and succeeded before a moment, without files."""
        chosen = f"{KIND} AND folder IS NOT NULL AND finished_at <= ?"
        return self._by_turns(chosen, simulated, "succeeded", before=before, limit=limit)

    def processes(self) -> list[ProcessAtWork]:
        """Who is at work, on this machine or on others."""
        owned = self._database.query("SELECT owner FROM jobs WHERE owner IS NOT NULL")
        counts = Counter(str(row["owner"]).partition("/")[0] for row in owned)
        return [
            ProcessAtWork(host, pid, seen, counts[name])
            for name, host, pid, seen in self._owners.processes()
        ]

    def show_up(self) -> None:
        """List this process among those at work, also while it works on no entry."""
        self._owners.end(self._owners.new())

    def states(self, references: Iterable[str], *, simulated: bool) -> dict[str, tuple[str, State]]:
        """The id and the state of the newest entry of each of these references, if there is one."""
        rows = self._database.query(
            by_reference(
                "SELECT jobs.rowid AS number, jobs.reference, jobs.id, jobs.state"
                " FROM json_each(?) AS name CROSS JOIN jobs"
                " ON jobs.reference = name.value AND jobs.simulated = ?"
            ),
            *(json.dumps([*references]), int(simulated)) * 2,
        )
        newest = sorted(rows, key=lambda row: int(row["number"]))
        return {row["reference"]: (row["id"], row["state"]) for row in newest}

    def _by_turns(
        self, chosen: str, simulated: bool, *key: Value, before: float, limit: int
    ) -> list[str]:
        """The ids of the first entries after those of the last look, where there were too many.

        So those of which nothing can be done, such as of a bucket that is away, hide no others.
        """
        turn = chosen, simulated, key
        after = self._turns.get(turn, 0)
        values = (int(simulated), *key, before)
        select = f"SELECT rowid, id FROM jobs WHERE {chosen}"
        then = f"{select} AND rowid > ? ORDER BY rowid LIMIT ?"
        found = [*self._database.query(then, *values, after, limit)]
        if after and len(found) < limit:
            begin = f"{select} AND rowid <= ? ORDER BY rowid LIMIT ?"
            found += self._database.query(begin, *values, after, limit - len(found))
        self._turns[turn] = int(found[-1]["rowid"]) if 0 < limit == len(found) else 0
        return [str(row["id"]) for row in found]

    def _ids(self, chosen: str, simulated: bool, *values: Value) -> list[str]:
        select = f"SELECT id FROM jobs WHERE {chosen}"
        return [str(row["id"]) for row in self._database.query(select, int(simulated), *values)]


def _allowed(row: StoredRow) -> int:
    """How many submits limits are likely to allow at a vendor within the next seconds."""
    places = row["at_once"]
    allowed = MOST if places is None else places - row["under_way"]
    if row["interval_seconds"] is not None:
        left = AHEAD - max(0.0, row["wait"] or 0.0)
        allowed = min(allowed, 1 + int(left / row["interval_seconds"]) if left >= 0 else 0)
    return max(0, allowed)


def _at_vendor(row: StoredRow) -> AtVendor:
    job, base_url = None, ""
    with suppress(*UNREADABLE):
        job = job_of(row)
    with suppress(*UNREADABLE):
        base_url = json.loads(row["submission"])["base_url"]
    return AtVendor(row["id"], job, base_url, row["folder"] is not None, row["updated_at"])
