"""What a gateway keeps in the database of its ledger, for all processes that serve it.

A row says which reference of the ledger belongs to an id that a client of the gateway knows. It is
written before the job is submitted. So a client that repeats a call, after whatever has happened,
finds the first job.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from attrs import frozen

from ..errors import ClaimedError
from .changes import values
from .gateway_tokens import TokenRows
from .usual import write_rows

if TYPE_CHECKING:
    from ..places import JsonObject
    from .database import Database, StoredRow, Value

MOST_IDS: Final = 500
"""How many ids one statement asks for."""


@frozen
class GatewayJob:
    """A call that a client of the gateway has made, and by which reference its job is found."""

    face: str
    """The vendor in whose words it was made."""
    id: str
    """The id that the client knows, in the shape of that vendor's."""
    simulated: bool
    token: str
    """The name of the client's token; empty where the gateway asks for none."""
    reference: str
    """The reference of the job in the ledger."""
    path: str
    """The path of the call."""
    body: JsonObject
    created_at: float
    """In seconds since 1970."""
    callback: str | None = None
    """Who wants to be called when the job has ended: JSON of the gateway's own."""
    next_call: float | None = None
    """When to call, in seconds since 1970; None where nobody is to be called any more."""
    calls: int = 0
    """How many calls have failed."""
    own_id: str | None = None
    """The client's own id of the job, where the vendor of the face has such ids."""


class GatewayRows:
    """The jobs that clients of a gateway know, and its secrets."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.tokens = TokenRows(database)
        """The tokens of its clients."""

    def ping(self) -> None:
        """Read something; LedgerError is raised where that is not possible."""
        self._database.query("SELECT name FROM gateway_secrets LIMIT 1")

    def under_way(self, *, simulated: bool) -> list[tuple[str, str, int]]:
        """Vendor, state and number of the jobs that have not ended."""
        select = (
            "SELECT vendor, state, count(*) AS jobs FROM jobs WHERE simulated = ?"
            " AND state IN ('accepted', 'ambiguous', 'queued', 'sending') GROUP BY vendor, state"
        )
        rows = self._database.query(select, int(simulated))
        return [(row["vendor"], row["state"], row["jobs"]) for row in rows]

    def enter(
        self, job: GatewayJob, repeats: str | None = None, since: float | None = None
    ) -> GatewayJob:
        """Write a call down; the result is the earlier one that it repeats, or the call itself.

        `repeats` is what a call has in common with its repetitions. One that was made before
        `since`, in seconds since 1970, does not count.
        """
        with suppress(ClaimedError):
            return self._entered(job, repeats, since)
        return self._entered(job, repeats, since)  # another process has been faster

    def repeated(self, repeats: str | None, since: float | None = None) -> GatewayJob | None:
        """The earlier call that `enter` would find, where there is one; nothing is written."""
        select = "SELECT * FROM gateway_jobs WHERE repeats = ? AND created_at >= ?"
        rows = self._database.query(select, repeats, since or 0.0) if repeats is not None else []
        return next(map(_read, rows), None)

    def enter_all(
        self, calls: Sequence[tuple[GatewayJob, str | None, float | None]]
    ) -> list[GatewayJob]:
        """Write several calls down with one commit, each as `enter` does."""
        select = (
            "SELECT repeats FROM gateway_jobs WHERE repeats IN (SELECT value FROM json_each(?))"
        )
        with self._database.writing() as connection:
            named = json.dumps([repeats for _, repeats, _ in calls])
            known = {row["repeats"] for row in self._database.query(select, named)}
            entered: list[GatewayJob] = []
            new: list[Sequence[Value]] = []
            for job, repeats, since in calls:
                if repeats in known:
                    write_rows(connection, _insertion, new)  # it may be one of these
                    new.clear()
                    entered.append(self.enter(job, repeats, since))
                    continue
                new.append(_columns(job, repeats))
                entered.append(job)
                if repeats is not None:
                    known.add(repeats)
            write_rows(connection, _insertion, new)
        return entered

    def _entered(self, job: GatewayJob, repeats: str | None, since: float | None) -> GatewayJob:
        with self._database.writing() as connection:
            if repeats is not None:
                select = "SELECT * FROM gateway_jobs WHERE repeats = ?"
                for row in self._database.query(select, repeats):
                    if since is None or row["created_at"] >= since:
                        return _read(row)
                    # This row and no other: another process may have entered the call meanwhile,
                    # and then the index refuses a second one.
                    update = "UPDATE gateway_jobs SET repeats = NULL WHERE face = ? AND id = ?"
                    connection.execute(update, (row["face"], row["id"]))
            connection.execute(_insertion(1), _columns(job, repeats))
        return job

    def found(
        self, face: str, ids: Sequence[str], token: str | None, *, simulated: bool
    ) -> list[GatewayJob]:
        """The jobs of a token with these ids, as far as there are such; None: of any token."""
        select = "SELECT * FROM gateway_jobs WHERE face = ? AND simulated = ?"
        rows: list[StoredRow] = []
        for start in range(0, len(ids), MOST_IDS):
            wanted = ids[start : start + MOST_IDS]
            statement = f"{select} AND id IN ({', '.join('?' * len(wanted))})"
            rows += self._database.query(statement, face, int(simulated), *wanted)
        return [_read(row) for row in rows if token in {None, row["token"]}]

    def of_own_id(self, face: str, own_id: str, token: str, *, simulated: bool) -> list[GatewayJob]:
        """The jobs of a token that its client has given this id, oldest first."""
        select = "SELECT * FROM gateway_jobs WHERE own_id = ? AND face = ? AND token = ?"
        statement = f"{select} AND simulated = ? ORDER BY created_at DESC, id LIMIT ?"
        values = (own_id, face, token, int(simulated), MOST_IDS)
        return [*map(_read, self._database.query(statement, *values))][::-1]

    def newest(self, face: str, token: str, last: int, *, simulated: bool) -> list[GatewayJob]:
        """The newest jobs of a token, oldest first."""
        select = "SELECT * FROM gateway_jobs WHERE token = ? AND face = ? AND simulated = ?"
        order = "ORDER BY created_at DESC, id LIMIT ?"
        rows = self._database.query(f"{select} {order}", token, face, int(simulated), last)
        return [*map(_read, rows)][::-1]

    def due_calls(self, now: float, most: int, *, simulated: bool) -> list[GatewayJob]:
        """The jobs of which somebody is to hear, or that are to be asked about, by now."""
        select = "SELECT * FROM gateway_jobs WHERE next_call IS NOT NULL AND next_call <= ?"
        statement = f"{select} AND simulated = ? ORDER BY next_call LIMIT ?"
        return [*map(_read, self._database.query(statement, now, int(simulated), most))]

    def claim_call(self, job: GatewayJob, until: float) -> bool:
        """Take a job that is due for this process; False where another one has been faster."""
        update = "UPDATE gateway_jobs SET next_call = ? WHERE face = ? AND id = ? AND next_call = ?"
        with self._database.writing() as connection:
            done = connection.execute(update, (until, job.face, job.id, job.next_call))
            return done.rowcount == 1

    def set_call(self, job: GatewayJob, at: float | None, calls: int) -> None:
        """Say when the job is due again, or that it is not, and how many calls have failed."""
        update = "UPDATE gateway_jobs SET next_call = ?, calls = ? WHERE face = ? AND id = ?"
        with self._database.writing() as connection:
            connection.execute(update, (at, calls, job.face, job.id))

    def note_called(self, job: GatewayJob) -> None:
        """Note that the client of a job was called, and wants to hear no more."""
        update = "UPDATE gateway_jobs SET callback = NULL WHERE face = ? AND id = ?"
        with self._database.writing() as connection:
            connection.execute(update, (job.face, job.id))

    def secret(self, name: str) -> bytes:
        """A random secret of this ledger's gateways, which is made where it is asked for first."""
        insert = "INSERT INTO gateway_secrets VALUES (?, ?) ON CONFLICT DO NOTHING"
        select = "SELECT value FROM gateway_secrets WHERE name = ?"
        if not (rows := self._database.query(select, name)):
            with self._database.writing() as connection:
                connection.execute(insert, (name, secrets.token_hex(32)))
            rows = self._database.query(select, name)
        return bytes.fromhex(rows[0]["value"])


def _insertion(rows: int) -> str:
    """The statement that writes so many calls down."""
    return (
        "INSERT INTO gateway_jobs (face, id, simulated, token, reference, repeats, path,"
        f" body, callback, created_at, next_call, own_id) {values(12, rows)}"
    )


def _columns(job: GatewayJob, repeats: str | None) -> Sequence[Value]:
    return (
        job.face,
        job.id,
        int(job.simulated),
        job.token,
        job.reference,
        repeats,
        job.path,
        json.dumps(job.body, ensure_ascii=False),
        job.callback,
        job.created_at,
        job.next_call,
        job.own_id,
    )


def _read(row: StoredRow) -> GatewayJob:
    return GatewayJob(
        face=row["face"],
        id=row["id"],
        simulated=bool(row["simulated"]),
        token=row["token"],
        reference=row["reference"],
        path=row["path"],
        body=json.loads(row["body"]),
        created_at=row["created_at"],
        callback=row["callback"],
        next_call=row["next_call"],
        calls=row["calls"],
        own_id=row["own_id"],
    )
