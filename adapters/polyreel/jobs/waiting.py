"""Waiting for a paid job: one status query, and queries until the job is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define

from ..errors import StillRunningError, TaskNotFoundError, VendorError
from ..flows import Flow, NextEvent, Notify, Reply, Sleep, now, until
from ..ledger.events import News, keep, past, read_news_of
from ..ledger.states import about, advance, without_output
from ..providers.base.facts import FINAL, Facts
from ..providers.base.registry import get_provider
from .timetable import Timetable, learned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from polyreel_generated.shared import Job

HOPELESS: Final = frozenset({401, 403})
"""Statuses of a status query that asking again does not change."""
EMPTY_POLLS: Final = 5
"""How often a job that is done without a file is asked again before it counts as failed; and how often in a row the
vendor may not know a job that it accepted."""


JITTER: Final = 0.1
LISTEN_SECONDS: Final = 1.0
"""How often the ledger is looked at where a vendor calls back."""
CALLED_BACK_SECONDS: Final = 60.0
"""The shortest pause between status queries there: a webhook may be lost."""


def get(job: Job, base_url: str | None = None) -> Flow[Job]:
    """Ask the vendor once."""
    return (yield from _advanced(job, (yield from get_provider(job.vendor).get(job.id, base_url))))


def _advanced(job: Job, facts: Facts) -> Flow[Job]:
    """The job after an answer or an event, written down where that matters."""
    seconds = yield from now()
    after = advance(job, facts, seconds)
    # Only what matters later is worth a durable write.
    return (
        (yield from keep(after))
        if (after.status, after.outputs) != (job.status, job.outputs)
        else after
    )


def wait(
    job: Job, *, timeout: float, base_url: str | None = None, stream: bool = False
) -> Flow[Job]:
    """Ask until the job is final; StillRunningError after `timeout` seconds, which harms nothing.

    Where its submit has opened a `stream`, that is listened to first, and nobody is asked as long as it tells.
    """
    patience = Patience()
    if (over := patience.told(job)) is not None:
        return over
    start = yield from now()
    end = start + timeout
    if stream:
        job = yield from _listen(job, end, base_url)
        start = yield from now()
        if (over := patience.told(job)) is not None:
            return over
    times, news = timetable(job, (yield from past(job))), (yield from read_news_of(job))
    for pause in times.pauses(age_of(job, start)):
        left = end - (yield from now())
        if not left > 0:
            break
        news = yield from _rest(job, pause, left, news)
        try:
            job = ended(job, news) or (yield from until(end, get(job, base_url)))
        except VendorError as error:
            if patience.is_over(error):
                raise about(job, error) from None
            continue
        yield Notify(job)
        if (over := patience.told(job)) is not None:
            return over
    raise still_running(job, timeout, patience.trouble)


def _listen(job: Job, end: float, base_url: str | None) -> Flow[Job]:
    """The job at the end of the stream that its submit has opened, or at its own end."""
    while job.status not in FINAL and (left := end - (yield from now())) > 0:
        event = yield NextEvent(left)
        if event is None:
            break
        before, job = job, (yield from _heard(job, event, end, base_url))
        if job is not before:
            yield Notify(job)
    return job


def _heard(job: Job, event: Reply, end: float, base_url: str | None) -> Flow[Job]:
    """The job after an event; one that cannot be read, or that is about something else, tells nothing."""
    provider = get_provider(job.vendor)
    try:
        if not event.content:  # the stream is alive and has nothing to say: was an event lost?
            return (yield from until(end, get(job, base_url)))
        facts = provider.read(event)
    except VendorError:
        return job
    return (yield from _advanced(job, facts)) if facts.id == job.id else job


def _rest(job: Job, pause: float, left: float, news: News) -> Flow[News]:
    """Wait until it is time to ask the vendor, or until the ledger has heard of the job's end; the last news.

    A vendor that calls back is asked seldom, and the ledger often: that costs nobody anything.
    """
    if job.vendor not in news.callers or job.status in FINAL:  # only what it came to is missing
        yield Sleep(pause, jitter=JITTER) if pause < left else Sleep(left)
        return (yield from read_news_of(job))
    end = (yield from now()) + min(left, max(pause, CALLED_BACK_SECONDS))
    while not _told_of(job, news) and (rest := end - (yield from now())) > 0:
        yield Sleep(min(rest, LISTEN_SECONDS))
        news = yield from read_news_of(job)
    return news


def ended(job: Job, news: News) -> Job | None:
    """The job as it ended, if that is among the news and they tell what it came to."""
    told = _told_of(job, news)
    return told if told is not None and tells_all(told) else None


def tells_all(job: Job) -> bool:
    """Whether a job that has ended is told of with its outputs: webhooks may leave them out."""
    return job.status != "succeeded" or bool(job.outputs)


def _told_of(job: Job, news: News) -> Job | None:
    return next((one for one in news.ended if (one.vendor, one.id) == (job.vendor, job.id)), None)


@define
class Patience:
    """How much of it is left with one job: vendors may be wrong about it for a while."""

    trouble: str = ""
    """The last status query that failed, in words."""
    _empty: int = 0
    _missing: int = 0

    def told(self, job: Job) -> Job | None:
        """The job, where what the vendor told of it is the end."""
        self.answered()
        if job.status != "succeeded" or job.outputs:
            return job if job.status in FINAL else None
        self._empty += 1
        return without_output(job) if self._empty > EMPTY_POLLS else None

    def answered(self) -> None:
        """The vendor knows the job."""
        self._missing = 0

    def is_over(self, error: VendorError) -> bool:
        """Whether a status query that failed is the end. The job goes on whatever happens to most of them."""
        self._missing = self._missing + 1 if isinstance(error, TaskNotFoundError) else 0
        self.trouble = f" (last trouble: {error})"
        return error.status in HOPELESS or self._missing > EMPTY_POLLS


def timetable(job: Job, durations: Sequence[float]) -> Timetable:
    """When to ask about jobs like this one, by how long such jobs took and by what the vendor says of this one."""
    return Timetable(
        learned(durations, job.estimated_seconds), floor=get_provider(job.vendor).poll_floor
    )


def age_of(job: Job, seconds: float) -> float:
    """How old a job is."""
    return 0.0 if job.created_at is None else max(0.0, seconds - job.created_at)


def still_running(job: Job, timeout: float, trouble: str = "") -> StillRunningError:
    """What is told where patience runs out before the job is over."""
    text = f"{job.vendor} has not finished {job.id} after {timeout:g} s{trouble}. It goes on there: wait again any time"
    return StillRunningError(
        text, vendor=job.vendor, job=job, ledger_id=job.ledger_id, billed="yes"
    )
