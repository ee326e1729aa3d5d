"""Changes of the ledger's rows, inside of a transaction that the caller has begun."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ..errors import ClaimedError, LedgerError, UnknownNameError
from ..money.charged import with_charge
from .database import StoredRow, Transaction, Value
from .events import sealed_facts
from .records import PROVED_UNPAID, State, claimed_elsewhere
from .rows import Columns, job_columns, sent_columns
from .schema import of_kind
from .states import advance, newer
from .store import CALLER_SECONDS, DELIVERY_DAYS, DIED, INTERRUPTED, NOTHING_SENT

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..providers.base.webhooks import Event
    from .events import Intend, Released, Take
    from .reading import LedgerReader
    from .records import LedgerEntry

AS_BEFORE: Final = "CASE WHEN queued_at IS NULL THEN 'unsent' ELSE 'queued' END"
"""The state of an entry whose submit was begun, and has not left."""
FREE: Final = "UPDATE jobs SET owner = NULL WHERE owner = ?"
FORGOTTEN: Final = 100
"""How many old deliveries are forgotten with each new one, so that none takes long."""


def change_entry(
    connection: Transaction, update: str, values: Sequence[Value], identity: str
) -> None:
    """Change one entry; ClaimedError where the entry is not in a state in which this is allowed."""
    if connection.execute(update, values).rowcount != 1:
        row = connection.execute("SELECT state FROM jobs WHERE id = ?", (identity,)).fetchone()
        state = row["state"] if row else "gone"
        raise ClaimedError(
            f"{identity} is {state}: somebody else was here first; polyreel jobs, or jobs() of a "
            "client, tells how it is now"
        )


def assignments(columns: Columns) -> str:
    """The text of an UPDATE that sets these columns."""
    return ", ".join(f"{name} = ?" for name in columns)


def insert_entry(connection: Transaction, columns: Columns, labels: Mapping[str, str]) -> str:
    """Write a new entry, and its labels where they are looked for; the result is its id."""
    identity = str(columns["id"])
    connection.execute(insertion(columns), [*columns.values()])
    for name, value in labels.items():
        connection.execute(labeling(), (name, value, identity))
    return identity


def insertion(columns: Collection[str], rows: int = 1) -> str:
    """The statement that writes so many new entries with these columns."""
    return f"INSERT INTO jobs ({', '.join(columns)}) {values(len(columns), rows)}"


def labeling(rows: int = 1) -> str:
    """The statement that writes so many labels: for each its name, its value and its entry."""
    return f"INSERT INTO labels (name, value, job) {values(3, rows)}"


def values(columns: int, rows: int) -> str:
    """The values of so many rows, in a statement."""
    row = f"({', '.join('?' * columns)})"
    return f"VALUES {', '.join([row] * rows)}"


def outcome(columns: Columns) -> str:
    """The statement that writes the outcome of a submit into these columns.

    Its further values are the entry's id, and the number of the attempt where it happens once.
    """
    return (
        f"UPDATE jobs SET {assignments(columns)}"  # noqa: S608
        " WHERE id = ? AND state IN ('sending', 'ambiguous') AND attempts = coalesce(?, attempts)"
    )


def outcomes(columns: Collection[str], rows: int) -> str:
    """The statement that writes so many outcomes into these columns.

    The values of each are those of `outcome`.
    """
    given = [f"given.column{number}" for number in range(1, len(columns) + 3)]
    *found, entry, attempt = given
    changed = ", ".join(f"{name} = {value}" for name, value in zip(columns, found, strict=True))
    return (
        f"UPDATE jobs SET {changed} FROM ({values(len(given), rows)}) AS given"  # noqa: S608
        f" WHERE jobs.id = {entry} AND jobs.state || '' IN ('sending', 'ambiguous')"
        f" AND jobs.attempts = coalesce({attempt}, jobs.attempts)"
    )


def take_queued(connection: Transaction, event: Take, owner: str, now: float) -> StoredRow | None:
    """Let an owner submit a queued entry; None where it is not queued any more.

    Of all who try, one is given it: each attempt to pay begins here, and is begun once.
    """
    sent = {"sent_wall": None, "sent_boot": None, **sent_columns(event)}
    change = "state = 'sending', owner = ?, reason = NULL, attempts = attempts + 1, updated_at = ?"
    taken = connection.execute(
        f"UPDATE jobs SET {change}, {assignments(sent)}"  # noqa: S608
        # Not by other indexes than that of ids: a plan that was made with few entries is kept.
        " WHERE id = ? AND simulated + 0 = ? AND state || '' = 'queued'"
        " RETURNING limits, vendor, simulated, reserved",
        (owner, now, *sent.values(), event.entry, int(event.simulated)),
    )
    return next(iter(taken.fetchall()), None)


def not_taken(connection: Transaction, identity: str, reason: str, now: float) -> None:
    """Mark a queued entry as unsent: nobody is to submit it any more."""
    connection.execute(
        "UPDATE jobs SET state = 'unsent', reason = ?, updated_at = ?"
        " WHERE id = ? AND state = 'queued'",
        (reason, now, identity),
    )


def intend_again(
    connection: Transaction, identity: str, event: Intend, owner: str, now: float
) -> None:
    """Let the owner of an entry that is proved unpaid make another attempt."""
    sent = {"sent_wall": None, "sent_boot": None, **sent_columns(event)}
    # The entry that this one follows goes first: only one of them can hold the reference.
    move_followed(connection, identity, "ambiguous", "resubmitted")
    change = "state = 'sending', reason = NULL, attempts = attempts + 1, updated_at = ?"
    chosen = "id = ? AND owner = ? AND state IN (SELECT value FROM json_each(?))"
    change_entry(
        connection,
        f"UPDATE jobs SET {change}, {assignments(sent)} WHERE {chosen}",  # noqa: S608
        (now, *sent.values(), identity, owner, json.dumps(sorted(PROVED_UNPAID))),
        identity,
    )


def refuse_other_entry(connection: Transaction, identity: str, job: Job) -> None:
    """Raise LedgerError where a task belongs to another entry already."""
    chosen = f"vendor = ? AND task = ? AND {of_kind(job.simulated)} AND id != ?"
    select = f"SELECT id FROM jobs WHERE {chosen}"  # noqa: S608
    row = connection.execute(select, (job.vendor, job.id, identity)).fetchone()
    if row is not None:
        raise LedgerError(
            f"{job.id} is the task of the entry {row['id']} already, "
            f"so it cannot be that of {identity}",
            vendor=job.vendor,
            ledger_id=identity,
            billed="maybe",
        )


def update_job(connection: Transaction, job: Job, change: Callable[[Job], Job], now: float) -> Job:
    """Apply a change to the stored job, by the rule of `newer`; the result is the job after it.

    A job that the ledger does not know is the result as it is. An abandoned entry stays abandoned.
    """
    from polyreel_generated.shared import Job  # noqa: PLC0415

    select = "SELECT id, state, job, finished_at FROM jobs"
    chosen = f"vendor = ? AND task = ? AND {of_kind(job.simulated)}"
    values = (job.vendor, job.id)
    row = connection.execute(f"{select} WHERE {chosen}", values).fetchone()
    if row is None:
        return job
    try:
        known = Job.model_validate_json(row["job"])
    except (ValueError, TypeError):
        raise LedgerError(
            f"{row['id']}: its job in the ledger cannot be read; it is {job.id} at {job.vendor}",
            vendor=job.vendor,
            job=job,
            ledger_id=row["id"],
            billed="maybe",
        ) from None
    after, columns = changed_job(row, known, change(known), now)
    if columns:
        update = f"UPDATE jobs SET {assignments(columns)} WHERE id = ?"  # noqa: S608
        connection.execute(update, (*columns.values(), row["id"]))
    return after


def changed_job(row: StoredRow, known: Job, job: Job, now: float) -> tuple[Job, Columns]:
    """The job of a row after it is said to be so, and the columns that are others then."""
    after = newer(known, job).model_copy(update={"ledger_id": row["id"]})
    if after == known:
        return after, {}
    columns = {**job_columns(after, row["finished_at"] or now), "updated_at": now}
    if row["state"] == "abandoned":  # on the user's word, and another may have its reference
        del columns["state"]
    return after, columns


def claim_entry(
    connection: Transaction, identity: str, owner: str, is_alive: Callable[[str | None], bool]
) -> None:
    """Let an owner take an entry over; ClaimedError where another one that is alive has it."""
    select = "SELECT owner FROM jobs WHERE id = ?"
    row = connection.execute(select, (identity,)).fetchone()
    if row is None:
        raise UnknownNameError(f"the ledger has no entry {identity!r}")
    if row["owner"] != owner and is_alive(row["owner"]):
        raise ClaimedError(claimed_elsewhere(identity), ledger_id=identity)
    if row["owner"] != owner:  # it may have died since somebody looked
        mark_dead(connection, identity, row["owner"])
    connection.execute("UPDATE jobs SET owner = ? WHERE id = ?", (owner, identity))


def mark_resubmitted(connection: Transaction, identity: str, now: float) -> None:
    """Let another entry take the place of an ambiguous one."""
    change_entry(
        connection,
        "UPDATE jobs SET state = 'resubmitted', updated_at = ?"
        " WHERE id = ? AND state = 'ambiguous'",
        (now, identity),
        identity,
    )


def give_up(connection: Transaction, entry: LedgerEntry, now: float) -> None:
    """Mark an entry as abandoned, unless it has changed. One that is queued has cost nothing."""
    reserved = 0 if entry.state == "queued" else None
    change_entry(
        connection,
        "UPDATE jobs SET state = 'abandoned', updated_at = ?, reserved = coalesce(?, reserved)"
        " WHERE id = ? AND state = ?",
        (now, reserved, entry.id, entry.state),
        entry.id,
    )


def release(connection: Transaction, event: Released) -> None:
    """Free the entries of an owner; a submit that was interrupted says how far it came."""
    state, reason = ("'ambiguous'", INTERRUPTED) if event.sent else (AS_BEFORE, NOTHING_SENT)
    interrupted = connection.execute(
        f"UPDATE jobs SET state = {state}, reason = ?"  # noqa: S608
        " WHERE owner = ? AND state = 'sending' RETURNING id",
        (reason, event.owner),
    ).fetchall()
    if not event.sent:
        for row in interrupted:
            move_followed(connection, row["id"], "resubmitted", "ambiguous")
    connection.execute(FREE, (event.owner,))


def mark_dead(connection: Transaction, identity: str, owner: str | None) -> None:
    """Mark a submit as ambiguous whose owner has died before its outcome was known."""
    connection.execute(
        "UPDATE jobs SET state = 'ambiguous', reason = ?, owner = NULL"
        " WHERE id = ? AND owner IS ? AND state = 'sending'",
        (DIED, identity, owner),
    )


def move_followed(connection: Transaction, identity: str, state: State, then: State) -> None:
    """Move the entry that `identity` was resubmitted from out of one state into another.

    That entry is `resubmitted` only as long as the new attempt may have been paid.
    """
    connection.execute(
        "UPDATE jobs SET state = ?"
        " WHERE id = (SELECT follows FROM jobs WHERE id = ?) AND state = ?",
        (then, identity, state),
    )


def note_caller(connection: Transaction, reader: LedgerReader, vendor: str, now: float) -> None:
    """Note that a vendor has called back, unless that was noted a moment ago.

    All deliveries of a vendor would wait for each other otherwise, as each changes the same row.
    """
    if reader.has_called(vendor, now - CALLER_SECONDS / 60, now):
        return
    connection.execute(
        "INSERT INTO callers (vendor, received_at) VALUES (?, ?)"
        " ON CONFLICT (vendor) DO UPDATE SET received_at = excluded.received_at",
        (vendor, now),
    )


def note_delivery(connection: Transaction, vendor: str, identity: str, now: float) -> bool:
    """Note a webhook, and forget some that are too old to count; False where it is known."""
    found = connection.execute(
        "INSERT INTO deliveries (vendor, id, received_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (vendor, identity, now),
    )
    if found.rowcount == 0:
        return False
    forget_deliveries(connection, now)
    return True


def forget_deliveries(connection: Transaction, now: float) -> None:
    """Forget some of the webhooks that are too old to count."""
    connection.execute(
        "DELETE FROM deliveries WHERE (vendor, id) IN"
        " (SELECT vendor, id FROM deliveries WHERE received_at < ? ORDER BY received_at LIMIT ?)",
        (now - DELIVERY_DAYS * 86_400, FORGOTTEN),
    )


def reported(event: Event, now: float) -> Callable[[Job], Job]:
    """What a webhook changes of a job."""

    def change(job: Job) -> Job:
        return with_charge(advance(job, sealed_facts(event.facts), now))

    return change
