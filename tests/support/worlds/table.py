"""What a ledger in memory keeps: the rows on a disk that can fail, and who holds which lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal

from attrs import Factory, define
from polyreel.errors import ClaimedError, UnusableFileError, UnwritableFileError
from polyreel.ledger.events import Released, Settle, Take
from polyreel.ledger.records import SUPERSEDED, State, Submission
from polyreel.ledger.rows import Columns, queued_columns, sent_columns
from polyreel.ledger.store import ID_LETTERS, INTERRUPTED, NOTHING_SENT, Write, Written
from polyreel.ledger.uploads import UploadKey

Outage = Literal["locked", "full", "torn"]
"""What is wrong with the file: nobody can write it; nothing can be written to the disk, beside the
file neither; or it cannot even be read.
"""
Uploads = dict[UploadKey, tuple[str | None, float, str | None]]
"""Where each content is, when it is gone, and who uploads it just now."""
NO_COLUMNS: Final[Columns] = dict.fromkeys(
    (
        "task",
        "job",
        "reason",
        "request_id",
        "finished_at",
        "sent_wall",
        "sent_boot",
        "owner",
        "follows",
        "queued_at",
        "limits",
    )
)


@define(eq=False)
class MemoryFile:
    """What lies on the disk, for all processes of one machine."""

    rows: dict[str, Columns] = Factory(dict)
    deliveries: dict[tuple[str, str], float] = Factory(dict)
    callers: dict[str, float] = Factory(dict)
    """When each vendor has called back last."""
    uploads: Uploads = Factory(dict)
    kept: list[tuple[Settle | Released, float]] = Factory(list)
    """What is kept beside the file, and when it happened."""
    set_aside: list[Settle] = Factory(list)
    living: set[str] = Factory(set)
    """The processes that hold their lock."""
    outage: Outage | None = None
    now: Callable[[], float] = lambda: 0.0
    """The wall clock of the machine."""
    watch: Callable[[Columns | None, Columns], None] = lambda _, __: None
    """Called with each row before and after it is changed."""
    _made: int = 0

    def new_id(self) -> str:
        """A new id; with the same history always the same."""
        self._made += 1
        number, letters = self._made * 99_991, ""
        for _ in range(8):
            number, rest = divmod(number, len(ID_LETTERS))
            letters += ID_LETTERS[rest]
        return letters

    def check(self, *, writing: bool) -> None:
        """Raise UnusableFileError where an outage forbids it."""
        if self.outage == "torn" or (writing and self.outage is not None):
            kind = UnwritableFileError if self.outage == "full" else UnusableFileError
            raise kind(f"the ledger in memory: {self.outage}")

    def is_written(self, event: Settle) -> bool:
        """Whether an outcome is known already."""
        row, task = self.rows.get(event.entry), event.job and event.job.id
        return row is not None and (
            row["state"] == event.state or (task is not None and row["task"] == task)
        )

    @contextmanager
    def writing(self) -> Iterator[MemoryRows]:
        """One transaction: all of it happens, or nothing."""
        self.check(writing=True)
        changing = MemoryRows(dict(self.rows))
        yield changing
        before, self.rows = self.rows, changing.rows
        for name in changing.changed:
            self.watch(before.get(name), self.rows[name])


@define(eq=False)
class MemoryRows:
    """The rows in a transaction."""

    rows: dict[str, Columns]
    changed: list[str] = Factory(list)

    def put(self, row: Columns, **changes: Any) -> None:
        """Write a row; ClaimedError where another one has its reference, or its task."""
        row = {**row, **changes}
        for other in self.rows.values():
            if other["id"] == row["id"] or other["simulated"] != row["simulated"]:
                continue
            same_task = row["task"] is not None and task_of(other) == task_of(row)
            same_reference = row["reference"] is not None and (
                other["reference"] == row["reference"] and holds(other) and holds(row)
            )
            if same_task or same_reference:
                raise ClaimedError("another thread or process has taken the reference")
        self.rows[str(row["id"])] = row
        self.changed.append(str(row["id"]))

    def change(self, name: str, allowed: Callable[[Columns], bool], **changes: Any) -> None:
        """Change a row; ClaimedError where it is not in a state in which this is allowed."""
        row = self.rows.get(name)
        if row is None or not allowed(row):
            raise ClaimedError(f"{name} is {row['state'] if row else 'gone'}")
        self.put(row, **changes)

    def refuse_twice(self, submission: Submission) -> None:
        """Raise ClaimedError where the reference has a job already."""
        for row in self.rows.values():
            if is_holder(row, submission.reference, submission.simulated):
                raise ClaimedError(
                    f"the reference {submission.reference!r} has a job already: {row['id']}",
                    vendor=submission.vendor,
                    ledger_id=str(row["id"]),
                )

    def queue(self, submission: Submission, name: str, now: float) -> None:
        """Write a submission that is to be sent later."""
        self.refuse_twice(submission)
        self.put({**NO_COLUMNS, **queued_columns(submission, now), "id": name})

    def take(self, event: Take, owner: str, now: float) -> bool:
        """Let an owner send a queued submission; False where it is not queued."""
        row = self.rows.get(event.entry)
        if row is None or (row["state"], row["simulated"]) != ("queued", event.simulated):
            return False
        attempts = int(number(row["attempts"])) + 1
        taken = {"state": "sending", "owner": owner, "attempts": attempts, "reason": None}
        sent = {"sent_wall": None, "sent_boot": None, **sent_columns(event)}
        self.put(row, **taken, **sent, updated_at=now)
        return True

    def release(self, event: Released) -> None:
        """Free the rows of an owner; a submit that was interrupted says how far it came."""
        for row in [row for row in self.rows.values() if row["owner"] == event.owner]:
            if row["state"] != "sending":
                self.put(row, owner=None)
                continue
            before = "unsent" if row["queued_at"] is None else "queued"
            state, reason = ("ambiguous", INTERRUPTED) if event.sent else (before, NOTHING_SENT)
            self.put(row, state=state, reason=reason, owner=None)
            if not event.sent:
                self.move_followed(str(row["id"]), "resubmitted", "ambiguous")

    def move_followed(self, name: str, state: State, then: State) -> None:
        """Move the row that a row was resubmitted from out of one state into another."""
        followed = self.rows.get(str(self.rows[name]["follows"]))
        if followed is not None and followed["state"] == state:
            self.put(followed, state=then)


def task_of(row: Columns) -> tuple[Any, Any]:
    return row["vendor"], row["task"]


def is_settled_by(row: Columns, event: Settle) -> bool:
    is_open = row["state"] in {"sending", "ambiguous"}
    return is_open and event.attempt in {None, row["attempts"]}


def holds(row: Columns) -> bool:
    return row["state"] not in SUPERSEDED


@define(eq=False)
class MemoryOwners:
    """The owners of one process. A process that has died holds no lock any more."""

    file: MemoryFile
    process: str
    _own: set[str] = Factory(set)
    _made: int = 0

    def new(self) -> str:
        """Make a new owner."""
        self._made += 1
        owner = f"{self.process}/{self._made}"
        self._own.add(owner)
        self.file.living.add(self.process)
        return owner

    def end(self, owner: str) -> None:
        """End an owner of this process."""
        self._own.discard(owner)

    def is_alive(self, owner: str | None) -> bool:
        """Whether an owner is still at work, in any process."""
        if owner is None:
            return False
        process = owner.partition("/")[0]
        return owner in self._own if process == self.process else process in self.file.living

    def close(self) -> None:
        """End all owners of this process."""
        self._own.clear()
        self.file.living.discard(self.process)


def is_holder(row: Columns, reference: str | None, simulated: bool) -> bool:
    return (
        reference is not None
        and row["reference"] == reference
        and row["simulated"] == simulated
        and holds(row)
    )


def owner_of(row: Columns) -> str | None:
    return None if row["owner"] is None else str(row["owner"])


def made_at(row: Columns) -> float:
    return number(row["created_at"])


def sent_at(row: Columns) -> float:
    return number(row["created_at"] if row["sent_wall"] is None else row["sent_wall"])


def number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


class InOneProcess:
    """What a ledger does about other machines: nothing."""

    shares_commits = False

    def write_all(self, writes: Sequence[Write]) -> list[Any]:
        """Nobody shares commits."""
        raise NotImplementedError

    def begin_all(self, writes: Sequence[Write], written: Written) -> bool:
        """The same."""
        raise NotImplementedError

    def check_owner(self, owner: str) -> None:
        """Nobody is taken for dead who is not."""
