"""What all ledgers in databases do: each paid submit is written down before its first byte is sent.

Everything that becomes of the submit is written down too. Threads and processes may share one
ledger. It holds prompts and links, and never a key. `polyreel.ledger.store` says what each method
is for; `sqlite` and `postgres` have the ledgers that can be opened.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, assert_never

from ..errors import BudgetError, ClaimedError, LedgerError, UnknownNameError, UnusableFileError
from . import changes, uploads
from .commands import command
from .database import Database, DeadlockError, OwnerRegistry, StoredRow
from .events import (
    OUTCOMES,
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
from .gateway_rows import GatewayRows
from .limits import LimitRows, NotYetError
from .outstanding import OutstandingWork
from .reading import LedgerReader
from .records import PROVED_UNPAID, Later, LedgerEntry, State, after
from .rows import entry_of, new_columns, outcome_columns, queued_columns
from .store import TOUCHED, Delivered, Write, Written
from .together import after_deadlocks, write_alone, write_together
from .unwritten import Unwritten, UnwrittenOutcomes

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..providers.base.webhooks import Event

LOOKED: Final = 0.5
"""How old the knowledge may be, in seconds, of who owns an entry that is only looked at."""
AFTER_UNWRITTEN: Final = (Intend, Take, Keep, Claim, Find)
"""The events before which is written what could not be written when it happened."""
LOG: Final = logging.getLogger("polyreel")


class StoredLedger:
    """A ledger in a database."""

    shares_commits = False
    named: str | None = None
    """What stands after --ledger in a command about it; None where commands find it unasked."""

    def __init__(
        self, database: Database, owners: OwnerRegistry, companion_file: Callable[[str], Path]
    ) -> None:
        self.touched: deque[str] = deque(maxlen=TOUCHED)
        """The ids of the last entries that this object has written down or taken over, in order."""
        self._database = database
        self._owners = owners
        self._companion_file = companion_file
        self._read = LedgerReader(database)
        self.outstanding = OutstandingWork(database, owners)
        self.limits, self.gateway = LimitRows(database), GatewayRows(database)
        """The limits that entries share; and what clients of a gateway know."""
        self._unwritten = UnwrittenOutcomes(companion_file("unwritten"))

    def companion_file(self, name: str) -> Path:
        """Name the local file or folder for other data of this ledger."""
        return self._companion_file(name)

    def close(self) -> None:
        """Close the ledger, and free the entries that this object owns.

        In a child that was forked meanwhile nothing happens: all of it belongs to the parent.
        """
        if not self._database.is_inherited:
            self._owners.close()
            self._database.close()

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
        """List the entries, oldest first: all, or those in some states, or the `last` ones."""
        if last is None:
            return [*self.each_entry(states, simulated=simulated)]
        newest = self.each_entry(states, simulated=simulated, newest_first=True)
        return [*islice(newest, max(0, last))][::-1]

    def each_entry(
        self,
        states: Iterable[State] | None = None,
        *,
        simulated: bool | None = None,
        newest_first: bool = False,
    ) -> Iterator[LedgerEntry]:
        """The same entries one by one, read in pages: no more than a page is in memory."""
        self.recover()
        pages = self._read.pages(states, simulated=simulated, newest_first=newest_first)
        for page in pages:
            yield from map(self._entry, page)

    def entry(self, name: str) -> LedgerEntry:
        """Find one entry by its id, or by the beginning of its id.

        UnknownNameError is raised where no entry, or more than one, has such an id.
        """
        rows = self._looked_after(partial(self._read.named, name))
        if len(rows) != 1:
            found = "more than one entry" if rows else "no entry"
            raise UnknownNameError(
                f"the ledger has {found} {name[:40]!r}; {command('jobs', ledger=self.named)} "
                "lists them"
            )
        return self._entry(rows[0])

    def _looked_after(self, read: Callable[[], list[StoredRow]]) -> list[StoredRow]:
        """The rows of some entries, those marked as ambiguous whose process has died."""
        with suppress(UnusableFileError):  # who only looks is shown what the file has
            self._write_unwritten()
        rows = read()
        with suppress(UnusableFileError):
            if self._mark_dead([row for row in rows if row["state"] == "sending"]):
                rows = read()
        return rows

    def of_task(self, vendor: str, task: str, *, simulated: bool) -> LedgerEntry | None:
        """Find the entry of a vendor's task, if there is one."""
        row = self._read.of_task(vendor, task, simulated=simulated)
        return None if row is None else self._entry(row)

    def of_references(
        self, references: Iterable[str], beginnings: Iterable[str] = (), *, simulated: bool
    ) -> list[LedgerEntry]:
        """List the entries with one of these references, or one that begins so, oldest first."""
        names, starts = [*references], [*beginnings]
        read = partial(self._read.of_references, names, starts, simulated=simulated)
        return [*map(self._entry, self._looked_after(read))]

    def labelled(self, name: str, value: str) -> list[LedgerEntry]:
        """List the entries with a label, oldest first."""
        self.recover()
        return [*map(self._entry, self._read.labelled(name, value))]

    def last_simulated(self) -> float:
        """The newest moment, in simulated time, written down for simulated jobs; 0 if none."""
        return self._read.last_simulated()

    def _entry(self, row: StoredRow, job: Job | None = None) -> LedgerEntry:
        return entry_of(row, owned=self._owners.is_alive(row["owner"], within=LOOKED), job=job)

    # -- what flows write --------------------------------------------------------------------------

    def write(self, event: LedgerEvent, owner: str, now: float) -> Any:
        """Write one event of a flow durably; each event's class says what the result is."""
        if isinstance(event, AFTER_UNWRITTEN):
            self._write_unwritten()
        return write_alone((event, owner, now), self._write, self._kept)

    def _write(self, event: LedgerEvent, owner: str, now: float) -> Any:
        if isinstance(event, uploads.UploadEvent):
            with self._database.writing() as connection:
                return uploads.write(connection, event, owner, now, self._owners.is_alive)
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
                return self._keep(event.job, now)
            case Claim():
                return self._claim(event.entry, owner)
            case Look():
                return self.entry(event.entry)
            case Find():
                row = self._read.holder(event.reference, simulated=event.simulated)
                return self.entry(row["id"]) if row else None
            case Known() | Past() | ReadNews():
                return self._read.answer(event, now)
        assert_never(event)

    def write_all(self, writes: Sequence[Write]) -> list[Any]:
        """Write several events of different flows durably, at once."""
        try:
            if any(isinstance(event, AFTER_UNWRITTEN) for event, _, _ in writes):
                self._write_unwritten()
        except UnusableFileError as error:
            return [self._not_written(one, error) for one in writes]
        writing = self._database.writing
        return write_together(writes, writing, self._write, self._kept, self._write_usual)

    def _write_usual(self, writes: Sequence[Write]) -> dict[int, Any]:
        """The results of those of many writes that are quicker to make together, by their numbers.

        It is a part of their transaction, and does nothing or all that it has results of.
        """
        return {}

    def _not_written(self, write: Write, error: LedgerError) -> LedgerError:
        """What the flow of a write is told; the outcome of a submit is kept elsewhere."""
        event, _, now = write
        return self._kept(event, now, error) if isinstance(event, OUTCOMES) else error

    def begin_all(self, writes: Sequence[Write], written: Written) -> bool:
        """Begin to write without a thread; False where that is not possible, as in a file."""
        return False

    def _intend(self, event: Intend, owner: str, now: float) -> str:
        if event.entry is not None:
            return self._intend_again(event.entry, event, owner, now)
        columns = new_columns(event, owner, now)
        with self._database.writing() as connection:
            self.limits.begin(connection, event.submission)
            if event.follows is not None:
                changes.mark_resubmitted(connection, event.follows, now)
            self._read.refuse_twice(event.submission)
            identity = changes.insert_entry(connection, columns, event.submission.labels)
            if event.job is None:  # nothing is paid for a job that there is
                self.limits.admit_new(connection, event.submission)
        self.touched.append(identity)
        return identity

    def _queue(self, event: Queue, now: float) -> LedgerEntry:
        given, columns = event.connection, queued_columns(event.submission, now)
        with self._database.joining(given) if given else self._database.writing() as connection:
            self._read.refuse_twice(event.submission)
            self.limits.begin(connection, event.submission)
            identity = changes.insert_entry(connection, columns, event.submission.labels)
            if event.carry is not None:
                event.carry(identity, connection)
            (row,) = self._read.rows("id = ?", identity)
        return self._entry(row)

    def _take(self, event: Take, owner: str, now: float) -> LedgerEntry | Later | None:
        try:
            with self._database.writing() as connection:
                taken = changes.take_queued(connection, event, owner, now)
                if taken is None:
                    return None
                self.limits.admit(connection, taken)
        except NotYetError as error:
            return error.later
        except BudgetError as error:
            error.ledger_id = event.entry
            with self._database.writing() as connection:
                changes.not_taken(connection, event.entry, str(error), now)
            raise
        self.touched.append(event.entry)
        return self.entry(event.entry)

    def _intend_again(self, identity: str, event: Intend, owner: str, now: float) -> str:
        with self._database.writing() as connection:
            changes.intend_again(connection, identity, event, owner, now)
            self.limits.admit_new(connection, event.submission)
        return identity

    def _settle(self, event: Settle | Released, now: float) -> None:
        try:
            self._write_outcome(event, now)
        except DeadlockError:
            raise  # it is written again
        except UnusableFileError as error:
            raise self._kept(event, now, error) from None

    def _write_outcome(
        self, event: Settle | Released, now: float, kept: Unwritten | None = None
    ) -> None:
        with self._database.writing() as connection:
            if kept is not None and not kept.is_there():
                return
            if isinstance(event, Released):
                changes.release(connection, event)
                return
            columns = outcome_columns(event, now)
            if event.job is not None:
                changes.refuse_other_entry(connection, event.entry, event.job)
            values = (*columns.values(), event.entry, event.attempt)
            changes.change_entry(connection, changes.outcome(columns), values, event.entry)
            if event.state in PROVED_UNPAID:
                changes.move_followed(connection, event.entry, "resubmitted", "ambiguous")

    def _kept(self, event: Settle | Released, now: float, error: LedgerError) -> LedgerError:
        """Keep what cannot be written beside the file; the result is the error to be raised."""
        try:
            self._unwritten.keep(event, now)
        except OSError as trouble:
            LOG.warning("the outcome cannot be kept beside the ledger: %s", trouble.strerror)
            return error
        where = f"it is kept in {self._unwritten.folder}"
        text = f"{error}. What became of it is not lost: {where}, and is written into the ledger"
        return UnusableFileError(f"{text} before anything else, as soon as that is possible")

    def _write_unwritten(self) -> None:
        """Write what could not be written when it happened, in this process or another one."""
        for kept in self._unwritten.read():
            try:
                after_deadlocks(self._write_outcome)(kept.event, kept.now, kept)
            except UnusableFileError:
                raise
            except LedgerError as error:
                if isinstance(kept.event, Settle) and not self._is_written(kept.event):
                    kept.set_aside(str(error))
            kept.remove()

    def _is_written(self, event: Settle) -> bool:
        """Whether the ledger knows an outcome already, which another process may have written."""
        rows = self._read.rows("id = ?", event.entry)
        task = event.job and event.job.id
        return any(
            row["state"] == event.state or (task is not None and row["task"] == task)
            for row in rows
        )

    def _keep(self, job: Job, now: float) -> Job:
        with self._database.writing() as connection:
            return changes.update_job(connection, job, lambda _: job, now)

    def _claim(self, identity: str, owner: str) -> LedgerEntry:
        with self._database.writing() as connection:
            changes.claim_entry(connection, identity, owner, self._owners.is_alive)
        self.touched.append(identity)
        return self.entry(identity)

    # -- owners ------------------------------------------------------------------------------------

    def new_owner(self) -> str:
        """Make a name under which a flow owns entries. It is only valid while its process lives."""
        self._database.check()
        return self._owners.new()

    def check_owner(self, owner: str) -> None:
        """Raise LedgerError where a paid call of an owner must not begin any more."""
        self._owners.check(owner)

    def release(self, owner: str, *, sent: bool) -> None:
        """Free the entries of an owner, and end the owner: see `Released`. It ends in any case."""
        try:
            self.write(Released(owner, sent), owner, time.time())
        finally:
            self.end_owner(owner)

    def end_owner(self, owner: str) -> None:
        """End an owner, whose entries were freed."""
        self._owners.end(owner)

    def recover(self) -> None:
        """Mark the submits as ambiguous whose process has died before their outcome was known."""
        with suppress(UnusableFileError):  # who only looks is shown what the file has
            self._write_unwritten()
            self._mark_dead(self._read.sending())

    @after_deadlocks
    def _mark_dead(self, sending: Iterable[StoredRow]) -> bool:
        """Mark those of the submits whose process has died; the result is whether there are any."""
        dead = [row for row in sending if not self._owners.is_alive(row["owner"], within=LOOKED)]
        if not dead:
            return False
        with self._database.writing() as connection:
            for row in dead:
                changes.mark_dead(connection, row["id"], row["owner"])
        return True

    # -- what others write -------------------------------------------------------------------------

    def abandon(self, name: str) -> LedgerEntry:
        """Give an entry up: it is no longer resumed or reconciled. The vendor is not informed.

        ClaimedError is raised where the entry is owned, or nothing is left to do about it.
        """
        entry = self.entry(name)
        if not entry.is_open or entry.owned:
            busy = "somebody looks after it just now: ask again when that has ended"
            reason = busy if entry.owned else after(entry.state)
            raise ClaimedError(f"{entry.id} is {entry.state}: {reason}", ledger_id=entry.id)
        with self._database.writing() as connection:
            changes.give_up(connection, entry, time.time())
        return self.entry(entry.id)

    @after_deadlocks
    def deliver(self, event: Event, now: float, *, simulated: bool = False) -> Delivered:
        """Write a webhook down, once.

        The job ends in the same state in whatever order, and however often, webhooks come.
        """
        self._write_unwritten()
        entry = self.of_task(event.vendor, event.task_id, simulated=simulated)
        if entry is None or entry.job is None:
            # It is not written down: otherwise unknown senders could fill the file.
            return Delivered("unknown-job")
        with self._database.writing() as connection:
            if not changes.note_delivery(connection, event.vendor, event.id, now):
                return Delivered("duplicate", entry)
            if not event.verified:
                return Delivered("hint", entry)
            changes.note_caller(connection, self._read, event.vendor, now)
            job = changes.update_job(connection, entry.job, changes.reported(event, now), now)
        return Delivered("applied" if job != entry.job else "unchanged", self.entry(entry.id))
