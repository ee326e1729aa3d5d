"""The events that a flow writes to the ledger, and the questions that it asks of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Container, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from attrs import evolve, field, frozen

from ..errors import ClaimedError, LedgerError, UnwritableFileError
from ..flows import READ_CLOCKS, Flow, Moment, Record, moment
from ..keys import Secret, value_without_held_keys
from ..money.charged import with_charge
from ..places import Json, JsonObject
from .database import Transaction
from .records import Later, LedgerEntry, State, Submission, claimed_elsewhere
from .uploads import TakeUpload, UploadEvent

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..providers.base.facts import Facts

LOG: Final = logging.getLogger("polyreel")


# -- events ----------------------------------------------------------------------------------------


@frozen
class Intend:
    """A paid call is about to be made. The result is the entry's id.

    `entry` is an earlier attempt that is proved unpaid: its entry is used again.
    """

    submission: Submission
    entry: str | None = None
    follows: str | None = None
    sent: Moment | None = None
    """When this attempt is sent. It is never changed; without it, the call is too old to repeat."""
    job: Job | None = None
    """The job, where its task was made elsewhere: then no call follows."""

    @property
    def is_new(self) -> bool:
        """Whether it is no more than a new entry, and its call."""
        return self.entry is None and self.follows is None and self.job is None


@frozen
class Queue:
    """A paid call is to be made later, by whoever takes its entry. The result is the entry."""

    submission: Submission
    connection: object = None
    """A connection of the caller's, in whose transaction it is written down."""
    carry: Callable[[str, Transaction], None] | None = None
    """What is told the entry's id, in the same transaction."""


@frozen
class Take:
    """A queued call is about to be made. The result is its entry; None where it is not queued.

    It is Later where its limits do not allow it yet; the entry stays queued then. BudgetError is
    raised where they never will, as their money is used up; the entry is unsent then. Only who is
    given the entry may make the call, and only once.
    """

    entry: str
    simulated: bool
    sent: Moment | None = None
    """When this attempt is sent, as for `Intend`."""


@frozen
class Settle:
    """The outcome of a paid call is known, as far as it can be."""

    entry: str
    state: State
    reason: str | None = None
    job: Job | None = None
    request_id: str | None = None
    attempt: int | None = None
    """Which attempt it is the outcome of, where the entry is queued again: it happens once."""


@frozen
class Released:
    """A flow has ended that owned entries: they are free again.

    `sent` says whether a byte may have left of a submit that was interrupted: then its entry is
    ambiguous, otherwise unsent.
    """

    owner: str
    sent: bool = False


@frozen
class Keep:
    """A job has a new state. The result is the job as the ledger now has it: see `states.newer`."""

    job: Job


@frozen
class Claim:
    """Take an entry over. The result is the entry.

    ClaimedError is raised where another living owner has it.
    """

    entry: str


@frozen
class Look:
    """Read an entry without taking it over. The result is the entry."""

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
    """Ask how long jobs like this one took. The result is the seconds of the newest such jobs."""

    job: Job


@frozen
class ReadNews:
    """Ask which jobs have ended since a moment, or whether this one has. The result is News.

    It does not matter who reported the end: a webhook, or another process.
    """

    since: float
    """Seconds since 1970."""
    simulated: bool
    job: Job | None = None
    tasks: Container[tuple[str, str]] | None = field(default=None, eq=False, repr=False)
    """The vendors and tasks that are waited for: no other job is read. None for all."""


@frozen
class News:
    """What webhooks and other processes have written to the ledger."""

    ended: Sequence[Job]
    callers: frozenset[str]
    """The vendors that have called back recently."""


NO_NEWS: Final = News((), frozenset())


LedgerEvent = (
    Intend
    | Queue
    | Take
    | Settle
    | Released
    | Keep
    | Claim
    | Look
    | Find
    | Known
    | Past
    | ReadNews
    | UploadEvent
)


OWNING: Final = (Intend, Take, Claim, TakeUpload)
"""The events that make a flow an owner of entries. The others need no owner."""
OUTCOMES: Final = (Settle, Released)
"""The events that are kept beside a ledger that cannot be written: what they tell, nobody else can.
"""


def sealed(event: LedgerEvent, keys: Iterable[Secret]) -> LedgerEvent:
    """An event without keys in what it writes down of vendors' words.

    Answers have lost the key before. This is for words that come another way.
    """
    if not isinstance(event, Settle | Keep):
        return event
    job, reason, secrets = event.job, getattr(event, "reason", None), [*keys]
    for key in secrets:
        reason = key.redact_text(reason) if reason else reason
    document = "" if job is None else job.model_dump_json(exclude_unset=True)
    if job is not None and any(key.may_be_in(document) for key in secrets):
        before: Json = job.model_dump(mode="json", exclude_unset=True)
        value = before
        for key in secrets:
            value = key.redact_value(value)
        if value != before:
            job = type(job).model_validate_json(json.dumps(value))
    if isinstance(event, Keep):
        return event if job is None else evolve(event, job=job)
    if job is event.job and reason == event.reason:
        return event
    return evolve(event, job=job, reason=reason)


def sealed_facts(facts: Facts) -> Facts:
    """What a webhook says, without any key that this process holds: it came another way, too."""
    said: JsonObject = {
        "raw": facts.raw,
        "urls": [*facts.urls],
        "usage": facts.usage,
        "texts": [facts.word, facts.error_code, facts.error_message, facts.element],
    }
    clean = value_without_held_keys(said)
    if clean == said or not isinstance(clean, dict):
        return facts
    word, code, message, element = clean["texts"]
    return evolve(
        facts,
        raw=clean["raw"],
        urls=tuple(clean["urls"]),
        usage=clean["usage"],
        word=word,
        error_code=code,
        error_message=message,
        element=element,
    )


# -- flows -----------------------------------------------------------------------------------------


def intend(
    submission: Submission, entry: str | None = None, follows: str | None = None
) -> Flow[str | None]:
    """Write down durably that a paid call is about to be made. None where no ledger is kept."""
    sent: Moment | None = yield READ_CLOCKS
    written: str | None = yield Record(Intend(submission, entry, follows, sent))
    return written


def take(entry: str, *, simulated: bool) -> Flow[LedgerEntry | Later | None]:
    """Write down durably that a queued call is about to be made; Later where it may not be yet.

    None where the entry is not queued: somebody else has taken it, or it was given up.
    """
    sent = yield from moment()
    taken: LedgerEntry | Later | None = yield Record(Take(entry, simulated, sent))
    return taken


def track(submission: Submission, job: Job) -> Flow[Job]:
    """Write down a task that was made elsewhere; the result is its job. Without a ledger, as it is.

    It is a row like any other: resumed, listed and labelled.
    """
    entry: str | None = yield Record(Intend(submission, job=job))
    return job if entry is None else job.model_copy(update={"ledger_id": entry})


def settle(
    entry: str | None,
    state: State,
    *,
    reason: str | None = None,
    job: Job | None = None,
    request_id: str | None = None,
    attempt: int | None = None,
) -> Flow[None]:
    """Write down the outcome of a paid call; nothing where no ledger is kept."""
    if entry is not None:
        yield Record(Settle(entry, state, reason, job, request_id, attempt))


def keep(job: Job) -> Flow[Job]:
    """Write down a state of a job that the ledger knows.

    The result is the job, with what its vendor has charged.
    """
    job = with_charge(job)
    if job.ledger_id is None:
        return job
    kept: Job | None = yield Record(Keep(job))
    return kept or job


def claim(entry: str) -> Flow[LedgerEntry]:
    """Take an entry over until the flow ends.

    LedgerError is raised where no ledger is kept, or the entry cannot be read.
    """
    claimed: LedgerEntry | None = yield Record(Claim(entry))
    if claimed is None:
        raise LedgerError("this client keeps no ledger: give it one with ledger=")
    return claimed.check()


def claim_or_look(entry: str) -> Flow[tuple[LedgerEntry, bool]]:
    """Take an entry over, or only read it where nothing can be written, as on a full disk.

    The result is the entry, and whether it was taken over. ClaimedError is raised where somebody
    else looks after it.
    """
    try:
        return (yield from claim(entry)), True
    except UnwritableFileError as error:
        found: LedgerEntry = yield Record(Look(entry))
        if found.owned:
            raise ClaimedError(claimed_elsewhere(entry), ledger_id=entry) from None
        LOG.warning("%s. The job is finished without it; resume it again later", error)
        return found.check(), False


def find(reference: str, *, simulated: bool) -> Flow[LedgerEntry | None]:
    """Find the entry that holds a reference, if any."""
    found: LedgerEntry | None = yield Record(Find(reference, simulated))
    return found


def known(vendor: str, tasks: tuple[str, ...], *, simulated: bool) -> Flow[frozenset[str]]:
    """Find out which of a vendor's tasks belong to entries."""
    found: frozenset[str] = yield Record(Known(vendor, tasks, simulated))
    return found


def past(job: Job) -> Flow[Sequence[float]]:
    """Find out how many seconds jobs like this one took, as far as the ledger knows."""
    if job.ledger_id is None:
        return ()
    durations: Sequence[float] | None = yield Record(Past(job))
    return durations or ()


def read_news(
    since: float, *, simulated: bool, tasks: Container[tuple[str, str]] | None = None
) -> Flow[News | None]:
    """Read what was written to the ledger since a moment, in seconds since 1970: see `ReadNews`.

    None where no ledger is kept.
    """
    news: News | None = yield Record(ReadNews(since, simulated, tasks=tasks))
    return news


def read_news_of(job: Job) -> Flow[News]:
    """Read what was written to the ledger about one job, if the ledger knows it."""
    if job.ledger_id is None:
        return NO_NEWS
    news: News | None = yield Record(ReadNews(0.0, bool(job.simulated), job))
    return news or NO_NEWS
