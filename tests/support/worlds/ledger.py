"""A model of the ledger in memory. It follows the protocol, and fails as a file can fail.

It keeps the same rows as the SQLite file and reads them with the same functions. A test runs the
same operations on both, so that the model stays true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, assert_never

from attrs import Factory, define, field
from polyreel.errors import ClaimedError, LedgerError, UnknownNameError, UnusableFileError
from polyreel.ledger import states
from polyreel.ledger.events import (
    Claim,
    Find,
    Intend,
    Keep,
    Known,
    LedgerEvent,
    Look,
    Past,
    Queue,
    ReadNews,
    Released,
    Settle,
    Take,
)
from polyreel.ledger.records import PROVED_UNPAID, LedgerEntry, State
from polyreel.ledger.rows import (
    UNREADABLE,
    Columns,
    entry_of,
    job_columns,
    job_of,
    new_columns,
    outcome_columns,
    sent_columns,
)
from polyreel.ledger.store import (
    DELIVERY_DAYS,
    DIED,
    ID_LETTERS,
    Delivered,
)
from polyreel.ledger.uploads import UploadEvent
from polyreel.money.charged import with_charge
from polyreel.providers.base.webhooks import Event
from polyreel_generated.shared import Job

from .answers import answer, uploaded
from .table import (
    NO_COLUMNS,
    InOneProcess,
    MemoryFile,
    MemoryOwners,
    MemoryRows,
    is_holder,
    is_settled_by,
    number,
    owner_of,
    task_of,
)


@define(eq=False)
class MemoryLedger(InOneProcess):
    """The ledger as one process has it open."""

    file: MemoryFile
    process: str
    touched: list[str] = Factory(list)
    named: str | None = None
    owners: MemoryOwners = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.owners = MemoryOwners(self.file, self.process)

    def companion_file(self, name: str) -> Path:
        """No such file is ever made."""
        return Path("memory") / name

    def close(self) -> None:
        """Free the entries that this object owns."""
        self.owners.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- entries -----------------------------------------------------------------------------------

    def entries(
        self,
        states: Iterable[State] | None = None,
        *,
        simulated: bool | None = None,
        last: int | None = None,
    ) -> list[LedgerEntry]:
        """List the entries, oldest first: all, or those in some states, or of one kind."""
        if last is not None and last <= 0:
            return []
        found = [*self.each_entry(states, simulated=simulated)]
        return found if last is None else found[-last:]

    def each_entry(
        self,
        states: Iterable[State] | None = None,
        *,
        simulated: bool | None = None,
        newest_first: bool = False,
    ) -> Iterator[LedgerEntry]:
        """The same entries one by one."""
        self.recover()
        wanted = None if states is None else {*states}
        rows = self._rows() if wanted != set() else []
        for row in reversed(rows) if newest_first else rows:
            if (wanted is None or row["state"] in wanted) and (
                simulated is None or row["simulated"] == simulated
            ):
                yield self._entry(row)

    def of_references(
        self, references: Iterable[str], beginnings: Iterable[str] = (), *, simulated: bool
    ) -> list[LedgerEntry]:
        """List the entries with one of these references, or one that begins so, oldest first."""
        self.recover()
        names, starts = {*references}, tuple(filter(None, beginnings))
        return [
            self._entry(row)
            for row in self._rows()
            if row["simulated"] == simulated
            and row["reference"] is not None
            and (row["reference"] in names or str(row["reference"]).startswith(starts))
        ]

    def entry(self, name: str) -> LedgerEntry:
        """Find one entry by its id, or by the beginning of its id."""
        with suppress(UnusableFileError):
            self._write_unwritten()
        rows = self._named(name)
        with suppress(UnusableFileError):
            if self._mark_dead([row for row in rows if row["state"] == "sending"]):
                rows = self._named(name)
        if len(rows) != 1:
            found = "more than one entry" if rows else "no entry"
            raise UnknownNameError(
                f"the ledger has {found} {name[:40]!r}; polyreel jobs lists them"
            )
        return self._entry(rows[0])

    def _named(self, name: str) -> list[Columns]:
        is_id = bool(name) and all(letter in ID_LETTERS for letter in name)
        rows = [row for row in self._rows() if is_id and str(row["id"]).startswith(name)]
        return [row for row in rows if row["id"] == name] or rows

    def of_task(self, vendor: str, task: str, *, simulated: bool) -> LedgerEntry | None:
        """Find the entry of a vendor's task, if there is one."""
        for row in self._rows():
            if task_of(row) == (vendor, task) and row["simulated"] == simulated:
                return self._entry(row)
        return None

    def labelled(self, name: str, value: str) -> list[LedgerEntry]:
        """List the entries with a label, oldest first."""
        entries = map(self._entry, self._rows())
        return [entry for entry in entries if entry.submission.labels.get(name) == value]

    def last_simulated(self) -> float:
        """The newest moment written down for simulated jobs; 0 if none."""
        return max((number(row["updated_at"]) for row in self._rows()), default=0.0)

    def _rows(self) -> list[Columns]:
        self.file.check(writing=False)
        return [*self.file.rows.values()]

    def _entry(self, row: Columns) -> LedgerEntry:
        return entry_of(row, owned=self.owners.is_alive(owner_of(row)))

    # -- what flows write --------------------------------------------------------------------------

    def write(self, event: LedgerEvent, owner: str, now: float) -> Any:
        """Write one event of a flow; each event's class says what the result is."""
        if isinstance(event, Intend | Take | Keep | Claim | Find):
            self._write_unwritten()
        if isinstance(event, UploadEvent):
            with self.file.writing():
                return uploaded(self.file.uploads, event, owner, now, self.owners.is_alive)
        match event:
            case Intend():
                return self._intend(event, owner, now)
            case Queue():
                return self._queue(event, now)
            case Take():
                return self._take(event, owner, now)
            case Settle() | Released():
                return self._settle(event, now)
            case Keep():
                return self._update_job(event.job, lambda _: event.job, now)
            case Claim():
                return self._claim(event.entry, owner)
            case Look():
                return self.entry(event.entry)
            case Find():
                row = self._holder(event.reference, event.simulated)
                return self.entry(str(row["id"])) if row else None
            case Known() | Past() | ReadNews():
                return answer(self._rows(), self.file.callers, event, now)
        assert_never(event)

    def _intend(self, event: Intend, owner: str, now: float) -> str:
        if event.entry is not None:
            return self._intend_again(event.entry, event, owner, now)
        made: Columns = {**new_columns(event, owner, now), "id": self.file.new_id()}
        with self.file.writing() as rows:
            if event.follows is not None:
                rows.change(
                    event.follows,
                    lambda row: row["state"] == "ambiguous",
                    state="resubmitted",
                    updated_at=now,
                )
            rows.refuse_twice(event.submission)
            rows.put({**NO_COLUMNS, "attempts": 1, **made})
        self.touched.append(str(made["id"]))
        return str(made["id"])

    def _intend_again(self, name: str, event: Intend, owner: str, now: float) -> str:
        sent = {"sent_wall": None, "sent_boot": None, **sent_columns(event)}
        with self.file.writing() as rows:
            if name in rows.rows:
                rows.move_followed(name, "ambiguous", "resubmitted")
            rows.change(
                name,
                lambda row: row["owner"] == owner and row["state"] in PROVED_UNPAID,
                state="sending",
                reason=None,
                attempts=int(number(rows.rows.get(name, NO_COLUMNS).get("attempts"))) + 1,
                updated_at=now,
                **sent,
            )
        return name

    def _queue(self, event: Queue, now: float) -> LedgerEntry:
        name = self.file.new_id()
        with self.file.writing() as rows:
            rows.queue(event.submission, name, now)
        return self.entry(name)

    def _take(self, event: Take, owner: str, now: float) -> LedgerEntry | None:
        with self.file.writing() as rows:
            if not rows.take(event, owner, now):
                return None
        self.touched.append(event.entry)
        return self.entry(event.entry)

    def _holder(self, reference: str | None, simulated: bool) -> Columns | None:
        return next((row for row in self._rows() if is_holder(row, reference, simulated)), None)

    def _settle(self, event: Settle | Released, now: float) -> None:
        try:
            self._write_outcome(event, now)
        except UnusableFileError as error:
            raise self._kept(event, now, error) from None

    def _write_outcome(self, event: Settle | Released, now: float) -> None:
        with self.file.writing() as rows:
            if isinstance(event, Released):
                rows.release(event)
                return
            if event.job is not None:
                self._refuse_other_entry(event.entry, event.job, rows)
            rows.change(
                event.entry,
                lambda row: is_settled_by(row, event),
                **outcome_columns(event, now),
            )
            if event.state in PROVED_UNPAID:
                rows.move_followed(event.entry, "resubmitted", "ambiguous")

    def _refuse_other_entry(self, name: str, job: Job, rows: MemoryRows) -> None:
        for row in rows.rows.values():
            same = task_of(row) == (job.vendor, job.id) and row["simulated"] == job.simulated
            if same and row["id"] != name:
                raise LedgerError(
                    f"{job.id} is the task of the entry {row['id']} already",
                    vendor=job.vendor,
                    ledger_id=name,
                    billed="maybe",
                )

    def _kept(self, event: Settle | Released, now: float, error: LedgerError) -> LedgerError:
        if self.file.outage == "full":
            return error
        self.file.kept.append((event, now))
        return UnusableFileError(f"{error}; it is kept beside the file")

    def _write_unwritten(self) -> None:
        for one in sorted(self.file.kept, key=lambda kept: isinstance(kept[0], Released)):
            event, now = one
            try:
                self._write_outcome(event, now)
            except UnusableFileError:
                raise
            except LedgerError:
                if isinstance(event, Settle) and not self.file.is_written(event):
                    self.file.set_aside.append(event)
            self.file.kept.remove(one)

    def _update_job(self, job: Job, change: Callable[[Job], Job], now: float) -> Job:
        with self.file.writing() as rows:
            row = next(
                (
                    one
                    for one in rows.rows.values()
                    if task_of(one) == (job.vendor, job.id) and one["simulated"] == job.simulated
                ),
                None,
            )
            if row is None:
                return job
            try:
                before = job_of(row)
            except UNREADABLE:
                before = None
            if before is None:
                raise LedgerError(
                    f"{row['id']}: its job in the ledger cannot be read; it is {job.id}",
                    vendor=job.vendor,
                    job=job,
                    ledger_id=str(row["id"]),
                    billed="maybe",
                )
            after = states.newer(before, change(before))
            after = after.model_copy(update={"ledger_id": row["id"]})
            if after != before:
                ended = number(row["finished_at"]) or now
                columns = {**job_columns(after, ended), "updated_at": now}
                if row["state"] == "abandoned":
                    del columns["state"]
                rows.put(row, **columns)
            return after

    def _claim(self, name: str, owner: str) -> LedgerEntry:
        with self.file.writing() as rows:
            row = rows.rows.get(name)
            if row is None:
                raise UnknownNameError(f"the ledger has no entry {name!r}")
            if row["owner"] != owner and self.owners.is_alive(owner_of(row)):
                text = f"another thread or process looks after {name} just now"
                raise ClaimedError(text, ledger_id=name)
            rows.put(row, owner=owner)
            if row["state"] == "sending" and row["owner"] != owner:
                rows.put(rows.rows[name], state="ambiguous", reason=DIED)
        self.touched.append(name)
        return self.entry(name)

    # -- owners ------------------------------------------------------------------------------------

    def new_owner(self) -> str:
        """Make a name under which a flow owns entries. It is only valid while its process lives."""
        return self.owners.new()

    def release(self, owner: str, *, sent: bool) -> None:
        """Free the entries of an owner, and end the owner."""
        try:
            self.write(Released(owner, sent), owner, self.file.now())
        finally:
            self.end_owner(owner)

    def end_owner(self, owner: str) -> None:
        """End an owner, whose entries were freed."""
        self.owners.end(owner)

    def recover(self) -> None:
        """Mark the submits as ambiguous whose process has died before their outcome was known."""
        with suppress(UnusableFileError):
            self._write_unwritten()
            self._mark_dead([row for row in self._rows() if row["state"] == "sending"])

    def _mark_dead(self, sending: Iterable[Columns]) -> bool:
        """Mark those of the submits whose process has died; the result is whether there are any."""
        dead = [row for row in sending if not self.owners.is_alive(owner_of(row))]
        if dead:
            with self.file.writing() as rows:
                for row in dead:
                    rows.put(row, state="ambiguous", reason=DIED, owner=None)
        return bool(dead)

    # -- what others write -------------------------------------------------------------------------

    def abandon(self, name: str) -> LedgerEntry:
        """Give an entry up: it is no longer resumed or reconciled."""
        entry = self.entry(name)
        if not entry.is_open or entry.owned:
            raise ClaimedError(f"{entry.id} is {entry.state}", ledger_id=entry.id)
        with self.file.writing() as rows:
            rows.change(
                entry.id,
                lambda row: row["state"] == entry.state,
                state="abandoned",
                updated_at=self.file.now(),
            )
        return self.entry(entry.id)

    def deliver(self, event: Event, now: float, *, simulated: bool = False) -> Delivered:
        """Write a webhook down, once."""
        self._write_unwritten()
        entry = self.of_task(event.vendor, event.task_id, simulated=simulated)
        if entry is None or entry.job is None:
            return Delivered("unknown-job")
        self.file.check(writing=True)
        if (event.vendor, event.id) in self.file.deliveries:
            return Delivered("duplicate", entry)
        recent = {
            delivery: at
            for delivery, at in self.file.deliveries.items()
            if at >= now - DELIVERY_DAYS * 86_400
        }
        recent[event.vendor, event.id] = now
        job = entry.job
        if event.verified:
            job = self._update_job(job, lambda known: _advanced(known, event, now), now)
        self.file.deliveries, self.file.callers[event.vendor] = recent, now
        if not event.verified:
            return Delivered("hint", entry)
        return Delivered("applied" if job != entry.job else "unchanged", self.entry(entry.id))


def _advanced(job: Job, event: Event, now: float) -> Job:
    return with_charge(states.advance(job, event.facts, now))
