"""Events: what a flow writes to the ledger, and what it asks of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from ..errors import LedgerError
from ..flows import Flow, Record
from ..money.charged import with_charge
from .records import LedgerEntry, State, Submission

if TYPE_CHECKING:
    from polyreel_generated.shared import Job


# -- events ------------------------------------------------------------------------------------------


@frozen
class Intend:
    """A paid call is about to be made. The result is the entry's id; `entry` is an earlier, proved unpaid attempt."""

    submission: Submission
    entry: str | None = None
    follows: str | None = None


@frozen
class Settle:
    """The outcome of a paid call is known, as far as it can be."""

    entry: str
    state: State
    reason: str | None = None
    job: Job | None = None
    request_id: str | None = None


@frozen
class Keep:
    """A job has a new state. The result is the job as the ledger has it after that: see `jobs.newer`."""

    job: Job


@frozen
class Claim:
    """Take an entry over. The result is the entry; ClaimedError where somebody living has it."""

    entry: str


@frozen
class Find:
    """Look for the entry that holds a reference. The result is the entry, or None."""

    reference: str
    simulated: bool


@frozen
class Known:
    """Ask which of a vendor's tasks belong to entries. The result is their ids."""

    vendor: str
    tasks: tuple[str, ...]
    simulated: bool


@frozen
class Past:
    """Ask how long jobs of a kind took. The result is seconds, those of the newest jobs."""

    job: Job


@frozen
class ReadNews:
    """Ask which jobs have ended since a moment, whoever told of it; or whether one has. The result is News."""

    since: float
    simulated: bool
    job: Job | None = None


@frozen
class News:
    """What the ledger has heard, of webhooks or of other processes."""

    ended: Sequence[Job]
    callers: frozenset[str]
    """The vendors that have called back of late."""


NO_NEWS: Final = News((), frozenset())


Event = Intend | Settle | Keep | Claim | Find | Known | Past | ReadNews


OWNING: Final = (Intend, Claim)
"""Events that make the flow an owner; the others need none."""


def intend(
    submission: Submission, entry: str | None = None, follows: str | None = None
) -> Flow[str | None]:
    """Write down, durably, that a paid call is about to be made; None where no ledger is kept."""
    found = yield Record(Intend(submission, entry, follows))
    return found  # type: ignore[no-any-return]


def settle(entry: str | None, state: State, **facts: Any) -> Flow[None]:
    """Write down what became of it."""
    if entry is not None:
        yield Record(Settle(entry, state, **facts))


def keep(job: Job) -> Flow[Job]:
    """Write down a state of a job that the ledger knows. The result is the job, with what its vendor has charged."""
    job = with_charge(job)
    if job.ledger_id is None:
        return job
    found = yield Record(Keep(job))
    return found or job


def claim(entry: str) -> Flow[LedgerEntry]:
    """Take an entry over until the flow ends; LedgerError where no ledger is kept."""
    found = yield Record(Claim(entry))
    if found is None:
        raise LedgerError("this client keeps no ledger: give it one with ledger=")
    return found  # type: ignore[no-any-return]


def find(reference: str, *, simulated: bool) -> Flow[LedgerEntry | None]:
    """The entry that holds a reference, if any."""
    found = yield Record(Find(reference, simulated))
    return found  # type: ignore[no-any-return]


def known(vendor: str, tasks: tuple[str, ...], *, simulated: bool) -> Flow[frozenset[str]]:
    """Which of a vendor's tasks belong to entries."""
    found = yield Record(Known(vendor, tasks, simulated))
    return found  # type: ignore[no-any-return]


def past(job: Job) -> Flow[Sequence[float]]:
    """How long jobs like this one took, as far as the ledger knows."""
    if job.ledger_id is None:
        return ()
    found = yield Record(Past(job))
    return found or ()


def read_news(since: float, *, simulated: bool) -> Flow[News | None]:
    """What the ledger has heard since a moment; None where none is kept."""
    found = yield Record(ReadNews(since, simulated))
    return found  # type: ignore[no-any-return]


def read_news_of(job: Job) -> Flow[News]:
    """What the ledger has heard of one job, if it knows the job."""
    found = (
        (yield Record(ReadNews(0.0, bool(job.simulated), job)))
        if job.ledger_id is not None
        else None
    )
    return found or NO_NEWS
