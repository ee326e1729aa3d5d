"""The ledger: every paid submit is written down before its first byte, and everything that becomes of it.

An SQLite file (WAL, synchronous=FULL), so that neither a killed process nor a power cut loses what was paid for.
Threads and processes may share one. It holds prompts and links, and never a key.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from attrs import frozen

from ..errors import ClaimedError, LedgerError, UnknownNameError
from ..money.charged import with_charge
from ..providers.base.facts import FINAL
from .events import Claim, Event, Find, Intend, Keep, Known, News, Past, ReadNews, Settle
from .owners import Owners
from .records import PROVED_UNPAID, SUPERSEDED, LedgerEntry, State, Submission
from .schema import bring_up, transaction
from .states import advance, is_saved, newer

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..providers.base.webhooks import Event as WebhookEvent

BUSY_SECONDS: Final = 30.0
PAST_JOBS: Final = 50
"""How many past jobs teach when to ask."""
CALLER_SECONDS: Final = 3600.0
"""How long ago a vendor's last webhook may be for it to be expected to call back again."""
DELIVERY_DAYS: Final = 7
"""How long webhook ids are remembered: far longer than any signature stays valid."""
LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Of entry ids: without those that look like others."""
DIED: Final = "the process ended while the submit was on its way"
INTERRUPTED: Final = "interrupted while the submit was on its way"

Effect = Literal["applied", "unchanged", "duplicate", "unknown-job", "hint"]


@frozen
class Delivered:
    """What a webhook did to the ledger. After a `hint` the vendor is to be asked."""

    effect: Effect
    entry: LedgerEntry | None = None


class Ledger:
    """The ledger in one file, made where it is missing, readable by its user only."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self.touched: list[str] = []
        """The entries that this object has written down or taken over, in order."""
        self._lock = threading.RLock()
        self._owners = Owners(self.path.with_name(f"{self.path.name}.owners"))
        with self._guarded():
            self._connection = self._open()

    # -- the file --------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made by us first: SQLite would give it the usual permissions, and its side files take over the file's.
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        options: dict[str, Any] = {"isolation_level": None, "check_same_thread": False}
        connection: sqlite3.Connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, **options)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            bring_up(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise ClaimedError(
                "another thread or process has taken the reference in the meantime"
            ) from None
        except sqlite3.DatabaseError as error:
            advice = (
                "move the file away to start a new one"
                if "not a database" in str(error)
                else "nothing is lost"
            )
            raise LedgerError(f"the ledger {self.path}: {error}; {advice}") from None
        except OSError as error:
            raise LedgerError(f"the ledger {self.path}: {error.strerror or error}") from None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One durable transaction."""
        with self._lock, self._guarded():
            self._connection.execute("BEGIN IMMEDIATE")
            with transaction(self._connection):
                yield self._connection

    def _select(self, condition: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock, self._guarded():
            return self._connection.execute(
                f"SELECT * FROM jobs WHERE {condition}",
                values,  # noqa: S608
            ).fetchall()

    def close(self) -> None:
        """Close the file; entries that this object owns are free again."""
        with self._lock:
            self._connection.close()
            self._owners.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- reading ---------------------------------------------------------------------------------

    def entries(
        self, states: Iterable[State] | None = None, *, simulated: bool | None = None
    ) -> list[LedgerEntry]:
        """The entries, oldest first: all, or those in some states."""
        self.recover()
        wanted = json.dumps(sorted(states)) if states is not None else None
        chosen = "(?1 IS NULL OR state IN (SELECT value FROM json_each(?1))) AND (?2 IS NULL OR simulated = ?2)"
        return [
            self._entry(row)
            for row in self._select(f"{chosen} ORDER BY created_at, rowid", wanted, simulated)
        ]

    def entry(self, name: str) -> LedgerEntry:
        """One entry, by its id or the beginning of it; UnknownNameError where there is none, or more than one."""
        self.recover()
        pattern = "".join(letter for letter in name if letter in LETTERS) + "*"
        rows = self._select("id GLOB ?", pattern) if len(pattern) == len(name) + 1 > 1 else []
        if len(rows) != 1:
            raise UnknownNameError(
                f"the ledger has {'no entry' if not rows else 'more than one entry'} {name[:40]!r}"
            )
        return self._entry(rows[0])

    def of_task(self, vendor: str, task: str, *, simulated: bool) -> LedgerEntry | None:
        """The entry of a vendor's task, if the ledger knows it."""
        rows = self._select("vendor = ? AND task = ? AND simulated = ?", vendor, task, simulated)
        return self._entry(rows[0]) if rows else None

    def last_simulated(self) -> float:
        """When, in their own time, something was last written down of simulated jobs; 0 where there are none."""
        with self._lock, self._guarded():
            return float(
                self._connection.execute(
                    "SELECT max(updated_at) FROM jobs WHERE simulated"
                ).fetchone()[0]
                or 0
            )

    def _entry(self, row: sqlite3.Row) -> LedgerEntry:
        names = ("vendor", "model", "workflow", "idempotency_key", "folder", "reference")
        columns = {name: row[name] for name in names} | {"simulated": bool(row["simulated"])}
        return LedgerEntry(
            submission=Submission.load(row["submission"], **columns),
            job=_job(row),
            owned=self._owners.is_alive(row["owner"]),
            **{
                name: row[name]
                for name in ("id", "state", "reason", "request_id", "attempts", "follows")
            },
            **{name: row[name] for name in ("created_at", "updated_at", "finished_at")},
        )

    # -- writing ---------------------------------------------------------------------------------

    def write(self, event: Event, owner: str, now: float) -> Any:
        """Write one event of a flow; see `polyreel.ledger.records` for what each gives back."""
        writes: dict[type[Event], Callable[..., Any]] = {
            Intend: self._intend,
            Settle: self._settle,
            Keep: self._keep,
            Claim: self._claim,
            Find: self._find,
            Known: self._known,
            Past: self._past,
            ReadNews: self._heard,
        }
        return writes[type(event)](event, owner, now)

    def new_owner(self) -> str:
        """A name under which a flow owns entries; it dies with the process."""
        with self._guarded():
            return self._owners.new()

    def _intend(self, event: Intend, owner: str, now: float) -> str:
        if event.entry is not None:
            return self._intend_again(event.entry, owner, now)
        submission = event.submission
        facts = {
            "id": "".join(secrets.choice(LETTERS) for _ in range(8)),
            "state": "sending",
            "vendor": submission.vendor,
            "model": submission.model,
            "workflow": submission.workflow,
            "simulated": int(submission.simulated),
            "reference": submission.reference,
            "folder": submission.folder,
            "idempotency_key": submission.idempotency_key,
            "fingerprint": submission.fingerprint,
            "submission": submission.dump(),
            "follows": event.follows,
            "owner": owner,
            "created_at": now,
            "updated_at": now,
        }
        with self._writing() as connection:
            if event.follows is not None:
                change = "UPDATE jobs SET state = 'resubmitted', updated_at = ? WHERE id = ? AND state = 'ambiguous'"
                self._changed(connection, change, (now, event.follows), event.follows)
            self._refuse_twice(submission)
            names, marks = ", ".join(facts), ", ".join("?" * len(facts))
            connection.execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", [*facts.values()])  # noqa: S608
        self.touched.append(str(facts["id"]))
        return str(facts["id"])

    def _holder(self, reference: str | None, simulated: bool) -> sqlite3.Row | None:
        """The row that a reference stands for, if any."""
        chosen = "reference = ? AND simulated = ? AND state NOT IN (SELECT value FROM json_each(?))"
        return next(
            iter(self._select(chosen, reference, simulated, json.dumps(sorted(SUPERSEDED)))), None
        )

    def _refuse_twice(self, submission: Submission) -> None:
        row = self._holder(submission.reference, submission.simulated)
        if row is not None:
            known = f"the reference {submission.reference!r} has a job already: {row['id']}, {row['state']}"
            raise ClaimedError(
                f"{known}; nothing was sent", vendor=submission.vendor, ledger_id=row["id"]
            )

    def _intend_again(self, identity: str, owner: str, now: float) -> str:
        chosen = "id = ? AND owner = ? AND state IN (SELECT value FROM json_each(?))"
        change = "state = 'sending', reason = NULL, attempts = attempts + 1, updated_at = ?"
        with self._writing() as connection:
            values = (now, identity, owner, json.dumps(sorted(PROVED_UNPAID)))
            _follow(
                connection, identity, "ambiguous", "resubmitted"
            )  # first: only one of them holds the reference
            self._changed(connection, f"UPDATE jobs SET {change} WHERE {chosen}", values, identity)  # noqa: S608
        return identity

    def _settle(self, event: Settle, owner: str, now: float) -> None:
        facts: dict[str, Any] = {"state": event.state, "reason": event.reason, "updated_at": now}
        if event.request_id is not None:
            facts["request_id"] = event.request_id
        if event.job is not None:
            job = event.job.model_copy(update={"ledger_id": event.entry})
            facts |= {"task": job.id, **_job_columns(job, now)}
        change = ", ".join(f"{name} = ?" for name in facts)
        chosen = "id = ? AND state IN ('sending', 'ambiguous')"
        with self._writing() as connection:
            if event.job is not None:
                self._refuse_twin(connection, event.entry, event.job)
            values = (*facts.values(), event.entry)
            self._changed(
                connection,
                f"UPDATE jobs SET {change} WHERE {chosen}",
                values,
                event.entry,  # noqa: S608
            )
            if event.state in PROVED_UNPAID:
                _follow(connection, event.entry, "resubmitted", "ambiguous")

    def _refuse_twin(self, connection: sqlite3.Connection, identity: str, job: Job) -> None:
        chosen = "SELECT id FROM jobs WHERE vendor = ? AND task = ? AND simulated = ? AND id != ?"
        row = connection.execute(chosen, (job.vendor, job.id, job.simulated, identity)).fetchone()
        if row is not None:
            text = f"{job.id} is the task of the entry {row['id']} already, so it cannot be that of {identity}"
            raise LedgerError(text, vendor=job.vendor, ledger_id=identity, billed="maybe")

    def _keep(self, event: Keep, owner: str, now: float) -> Job:
        with self._writing() as connection:
            return _advance(connection, event.job, lambda _: event.job, now)

    def _changed(
        self, connection: sqlite3.Connection, change: str, values: Sequence[Any], identity: str
    ) -> None:
        if connection.execute(change, values).rowcount != 1:
            row = connection.execute("SELECT state FROM jobs WHERE id = ?", (identity,)).fetchone()
            raise ClaimedError(
                f"{identity} is {row['state'] if row else 'gone'}: somebody else was here first"
            )

    # -- ownership -------------------------------------------------------------------------------

    def _claim(self, event: Claim, owner: str, now: float) -> LedgerEntry:
        with self._writing() as connection:
            row = connection.execute(
                "SELECT owner FROM jobs WHERE id = ?", (event.entry,)
            ).fetchone()
            if row is None:
                raise UnknownNameError(f"the ledger has no entry {event.entry!r}")
            if row["owner"] != owner and self._owners.is_alive(row["owner"]):
                text = f"another thread or process looks after {event.entry} just now"
                raise ClaimedError(text, ledger_id=event.entry)
            connection.execute("UPDATE jobs SET owner = ? WHERE id = ?", (owner, event.entry))
        self.touched.append(event.entry)
        return self.entry(event.entry)

    def _known(self, event: Known, owner: str, now: float) -> frozenset[str]:
        chosen = "vendor = ? AND simulated = ? AND task IN (SELECT value FROM json_each(?))"
        rows = self._select(chosen, event.vendor, event.simulated, json.dumps(event.tasks))
        return frozenset(row["task"] for row in rows)

    def _past(self, event: Past, owner: str, now: float) -> list[float]:
        job = event.job
        chosen = "vendor = ? AND simulated = ? AND model IS ? AND workflow = ? AND state IN ('succeeded', 'saved')"
        # Only those that were accepted at once: of the others nobody noted when.
        newest = f"{chosen} AND attempts = 1 AND finished_at > created_at ORDER BY finished_at DESC LIMIT {PAST_JOBS}"
        rows = self._select(newest, job.vendor, job.simulated, job.model, job.workflow)
        return [row["finished_at"] - row["created_at"] for row in rows]

    def _heard(self, event: ReadNews, owner: str, now: float) -> News:
        values: list[Any] = [event.since, event.simulated]
        chosen = "finished_at >= ? AND simulated = ? AND job IS NOT NULL"
        if event.job is not None:
            chosen += " AND vendor = ? AND task = ?"
            values += [event.job.vendor, event.job.id]
        rows = self._select(chosen, *values)
        with self._lock, self._guarded():
            calls = "SELECT DISTINCT vendor FROM deliveries WHERE received_at >= ?"
            callers = self._connection.execute(calls, (now - CALLER_SECONDS,)).fetchall()
        jobs = [
            job.model_copy(update={"ledger_id": row["id"]})
            for row in rows
            if (job := _job(row)) is not None
        ]
        return News(jobs, frozenset(row["vendor"] for row in callers))

    def _find(self, event: Find, owner: str, now: float) -> LedgerEntry | None:
        row = self._holder(event.reference, event.simulated)
        return self.entry(row["id"]) if row else None

    def release(self, owner: str, *, sent: bool) -> None:
        """Let an owner's entries go. A submit that was cut short is ambiguous where any of it was `sent`."""
        state, reason = (
            ("ambiguous", INTERRUPTED)
            if sent
            else ("unsent", "interrupted before anything was sent")
        )
        with self._writing() as connection:
            change = "UPDATE jobs SET state = ?, reason = ? WHERE owner = ? AND state = 'sending'"
            cut = connection.execute(
                "SELECT id FROM jobs WHERE owner = ? AND state = 'sending'", (owner,)
            ).fetchall()
            connection.execute(change, (state, reason, owner))
            if not sent:
                for row in cut:
                    _follow(connection, row["id"], "resubmitted", "ambiguous")
            connection.execute("UPDATE jobs SET owner = NULL WHERE owner = ?", (owner,))
        self._owners.end(owner)

    def recover(self) -> None:
        """Call submits ambiguous whose process has died in between."""
        for row in self._select("state = 'sending'"):
            if not self._owners.is_alive(row["owner"]):
                with self._writing() as connection:
                    change = "UPDATE jobs SET state = 'ambiguous', reason = ?, owner = NULL WHERE id = ? AND owner IS ?"
                    connection.execute(
                        f"{change} AND state = 'sending'", (DIED, row["id"], row["owner"])
                    )

    # -- on the user's word ----------------------------------------------------------------------

    def abandon(self, name: str) -> LedgerEntry:
        """Stop caring about an entry: it is neither resumed nor reconciled any more. The vendor is not told."""
        entry = self.entry(name)
        if not entry.is_open or entry.owned:
            why = (
                "somebody looks after it just now"
                if entry.owned
                else "there is nothing left to do about it"
            )
            raise ClaimedError(f"{entry.id} is {entry.state}: {why}", ledger_id=entry.id)
        with self._writing() as connection:
            change = (
                "UPDATE jobs SET state = 'abandoned', updated_at = ? WHERE id = ? AND state = ?"
            )
            self._changed(connection, change, (time.time(), entry.id, entry.state), entry.id)
        return self.entry(entry.id)

    # -- webhooks --------------------------------------------------------------------------------

    def deliver(self, event: WebhookEvent, now: float, *, simulated: bool = False) -> Delivered:
        """Take a webhook in, once: whatever the order and however often it comes, the job ends in the same state."""
        entry = self.of_task(event.vendor, event.task_id, simulated=simulated)
        if entry is None or entry.job is None:
            return Delivered("unknown-job")  # not remembered: strangers must not fill the file
        with self._writing() as connection:
            seen = "INSERT OR IGNORE INTO deliveries (vendor, id, received_at) VALUES (?, ?, ?)"
            if connection.execute(seen, (event.vendor, event.id, now)).rowcount == 0:
                return Delivered("duplicate", entry)
            connection.execute(
                "DELETE FROM deliveries WHERE received_at < ?", (now - DELIVERY_DAYS * 86_400,)
            )
            if not event.verified:
                return Delivered("hint", entry)
            job = _advance(
                connection, entry.job, lambda job: with_charge(advance(job, event.facts, now)), now
            )
        return Delivered("applied" if job != entry.job else "unchanged", self.entry(entry.id))


def _advance(
    connection: sqlite3.Connection, job: Job, change: Callable[[Job], Job], now: float
) -> Job:
    """The stored job after a change, by the one reducer; the job itself where the ledger does not know it."""
    from polyreel_generated.shared import Job  # noqa: PLC0415

    chosen = "SELECT id, job, finished_at FROM jobs WHERE vendor = ? AND task = ? AND simulated = ?"
    row = connection.execute(chosen, (job.vendor, job.id, job.simulated)).fetchone()
    if row is None:
        return job
    known = Job.model_validate_json(row["job"])
    after = newer(known, change(known)).model_copy(update={"ledger_id": row["id"]})
    if after != known:
        facts = {**_job_columns(after, row["finished_at"] or now), "updated_at": now}
        names = ", ".join(f"{name} = ?" for name in facts)
        connection.execute(f"UPDATE jobs SET {names} WHERE id = ?", (*facts.values(), row["id"]))  # noqa: S608
    return after


def _job_columns(job: Job, finished: float) -> dict[str, Any]:
    """What the job's columns are in a state of it; `finished` is when it ended, if it has."""
    state = "saved" if is_saved(job) else job.status if job.status in FINAL else "accepted"
    facts: dict[str, Any] = {"state": state, "job": job.model_dump_json(exclude_none=True)}
    if job.error is not None:
        facts["reason"] = job.error.message
    return facts | ({"finished_at": finished} if job.status in FINAL else {})


def _follow(connection: sqlite3.Connection, identity: str, state: State, then: State) -> None:
    """The entry that was resubmitted is so only as long as its new attempt may have been paid."""
    chosen = "id = (SELECT follows FROM jobs WHERE id = ?) AND state = ?"
    connection.execute(f"UPDATE jobs SET state = ? WHERE {chosen}", (then, identity, state))  # noqa: S608


def _job(row: sqlite3.Row) -> Job | None:
    from polyreel_generated.shared import Job  # noqa: PLC0415

    return Job.model_validate_json(row["job"]) if row["job"] else None
