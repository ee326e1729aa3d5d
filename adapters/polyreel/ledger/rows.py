"""Rows of the ledger's table, made from records and read as records, whatever keeps the table."""

from __future__ import annotations

import secrets
from decimal import ROUND_CEILING, Decimal
from functools import cache
from typing import TYPE_CHECKING, Final

from attrs import evolve

from ..flows import Moment, Send
from ..money.amounts import sensible_number
from ..providers.base.facts import FINAL
from .database import StoredRow, Value
from .records import LedgerEntry, Submission
from .states import is_saved
from .store import ID_LENGTH, ID_LETTERS

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from .events import Intend, Settle, Take

NANODOLLARS: Final = 10**9
"""How many of them are a dollar."""
UNREADABLE: Final = (ValueError, LookupError, TypeError, AttributeError)
"""What reading a row raises that holds something else than polyreel writes."""
Columns = dict[str, Value]
"""Columns of a row by their names."""


# -- reading ---------------------------------------------------------------------------------------


def entry_of(row: StoredRow, *, owned: bool, job: Job | None = None) -> LedgerEntry:
    """Read an entry; `owned` says whether its owner is alive. `job` is its job, if that was read.

    A row that cannot be read is an entry with a `trouble`, so that it is seen, and stops no other.
    """
    trouble = None
    try:
        submission = _submission_of(row)
    except UNREADABLE:
        submission, trouble = _lost_submission(row), "its submission in the ledger cannot be read"
    try:
        job = job_of(row) if job is None else job
    except UNREADABLE:
        job, trouble = None, trouble or "its job in the ledger cannot be read"
    return LedgerEntry(
        id=row["id"],
        state=row["state"],
        submission=submission,
        job=job,
        trouble=trouble,
        reason=trouble or row["reason"],
        request_id=row["request_id"],
        attempts=row["attempts"],
        follows=row["follows"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        finished_at=row["finished_at"],
        sent=_sent(row),
        owned=owned,
    )


def _sent(row: StoredRow) -> Moment | None:
    wall, boot = row["sent_wall"], row["sent_boot"]
    return None if wall is None or boot is None else Moment(wall, boot)


def _lost_submission(row: StoredRow) -> Submission:
    """What the other columns of a row say of a submission that cannot be read."""
    return Submission(
        vendor=row["vendor"],
        model=row["model"],
        workflow=row["workflow"],
        operation="",
        send=Send(row["vendor"], "", ""),
        base_url="",
        idempotency_key=row["idempotency_key"],
        simulated=bool(row["simulated"]),
        folder=row["folder"],
        reference=row["reference"],
    )


def _submission_of(row: StoredRow) -> Submission:
    found = Submission.load(
        row["submission"],
        vendor=row["vendor"],
        model=row["model"],
        workflow=row["workflow"],
        idempotency_key=row["idempotency_key"],
        simulated=bool(row["simulated"]),
        folder=row["folder"],
        reference=row["reference"],
    )
    return found if row["limits"] is None else evolve(found, limits=row["limits"])


def job_of(row: StoredRow) -> Job | None:
    """Read the job of an entry, if it has one. It names its entry."""
    from polyreel_generated.shared import Job  # noqa: PLC0415

    if row["job"] is None:
        return None
    return named(Job.model_validate_json(row["job"]), row["id"])


def named(job: Job, entry: str) -> Job:
    """A job that names its entry."""
    return job if job.ledger_id == entry else job.model_copy(update={"ledger_id": entry})


def readable_job(row: StoredRow) -> Job | None:
    """The same; None also where it cannot be read."""
    try:
        return job_of(row)
    except UNREADABLE:
        return None


# -- writing ---------------------------------------------------------------------------------------


def new_columns(event: Intend, owner: str, now: float) -> Columns:
    """The columns of a new entry, under a new id."""
    columns: Columns = {
        **_purpose(event.submission, now),
        "state": "sending",
        "follows": event.follows,
        "owner": owner,
        **sent_columns(event),
    }
    if event.job is not None:
        job = named(event.job, str(columns["id"]))
        columns |= {"task": job.id, **job_columns(job, now)}
    return columns


def queued_columns(submission: Submission, now: float) -> Columns:
    """The columns of a new entry that nobody has tried to submit yet."""
    return {**_purpose(submission, now), "state": "queued", "attempts": 0, "queued_at": now}


def _purpose(submission: Submission, now: float) -> Columns:
    """What a new entry is for, under a new id."""
    identity = new_id()
    return {
        "id": identity,
        "vendor": submission.vendor,
        "model": submission.model,
        "workflow": submission.workflow,
        "simulated": int(submission.simulated),
        "reference": submission.reference,
        "folder": submission.folder,
        "idempotency_key": submission.idempotency_key,
        "fingerprint": submission.fingerprint,
        "submission": submission.dump(),
        "created_at": now,
        "updated_at": now,
        **limits_columns(submission),
    }


def new_id() -> str:
    """An id that no other entry has."""
    return random_text(ID_LETTERS, ID_LENGTH)


def random_text(letters: str, length: int) -> str:
    """A text of random letters, all of which are as likely as each other."""
    table, unfair = _table(letters)
    found = b""
    while len(found) < length:
        found += secrets.token_bytes(2 * length).translate(table, unfair)
    return found[:length].decode("ascii")


@cache
def _table(letters: str) -> tuple[bytes, bytes]:
    """The letter of each byte, and the bytes that would make some letters likelier than others."""
    rounds = 256 // len(letters)
    table = (letters * (rounds + 1)).encode("ascii")[:256]
    return table, bytes(range(rounds * len(letters), 256))


def limits_columns(submission: Submission) -> Columns:
    """The columns that say which limits an entry shares; none where it shares none."""
    if submission.limits is None:
        return {}
    most = submission.most_usd
    return {"limits": submission.limits, "reserved": None if most is None else nanodollars(most)}


def nanodollars(usd: Decimal) -> int:
    """Dollars as a whole number of billionths, rounded up: sums of these are exact."""
    return int((usd * NANODOLLARS).to_integral_value(ROUND_CEILING))


def sent_columns(event: Intend | Take) -> Columns:
    """The columns that say when an attempt is sent; none where nobody has read the clocks."""
    return {"sent_wall": event.sent.wall, "sent_boot": event.sent.boot} if event.sent else {}


def outcome_columns(event: Settle, now: float) -> Columns:
    """The columns that the outcome of a submit changes."""
    columns: Columns = {"state": event.state, "reason": event.reason, "updated_at": now}
    if event.state == "queued":
        columns["queued_at"] = now
    if event.request_id is not None:
        columns["request_id"] = event.request_id
    if event.job is not None:
        job = named(event.job, event.entry)
        columns |= {"task": job.id, **job_columns(job, now)}
    return columns


def job_columns(job: Job, finished: float) -> Columns:
    """The columns that follow from a job; `finished` is when it ended, if it has ended."""
    state = "saved" if is_saved(job) else job.status if job.status in FINAL else "accepted"
    columns: Columns = {"state": state, "job": job.model_dump_json(exclude_none=True)}
    if job.error is not None:
        columns["reason"] = job.error.message
    if job.status in FINAL:
        columns["finished_at"] = finished
    if (usd := sensible_number((job.charge or {}).get("usd"))) is not None:
        columns["charged"] = nanodollars(usd)
    return columns
