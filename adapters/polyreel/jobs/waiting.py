"""Waiting for a paid job: one status query, and queries until the job is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define

from ..errors import StillRunningError, TaskNotFoundError, UnknownStatusError, VendorError
from ..flows import Flow, NextEvent, Notify, Observe, Reply, Sleep, now, until
from ..ledger.events import News, keep, past, read_news_of
from ..ledger.states import about, advance, has_result, without_output
from ..providers.base.answers import first
from ..providers.base.facts import FINAL, Facts
from ..providers.base.registry import get_provider
from .observed import JobEnded
from .timetable import Timetable, learned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from polyreel_generated.shared import Job

HOPELESS: Final = frozenset({401, 403})
"""Statuses of a status query that do not change when it is repeated."""
EMPTY_POLLS: Final = 5
"""How many queries about a job may lead to nothing before the job counts as over.

A job that is done without a result is asked about this often before that is told. A vendor may say
this often in a row that it does not know a job that it accepted.
"""
STRANGE_POLLS: Final = 3
"""How many answers in a row have an unknown status word beside a link or an error before the
waiting ends: one of them may be a mistake.
"""
JITTER: Final = 0.1
LISTEN_SECONDS: Final = 1.0
"""The pause between two looks into the ledger where a vendor calls back."""
CALLED_BACK_SECONDS: Final = 60.0
"""The shortest pause between two status queries where a vendor calls back: webhooks can be lost."""


def get(job: Job, base_url: str | None = None) -> Flow[Job]:
    """Ask the vendor once; the result is the job after its answer."""
    asking = get_provider(job.vendor).get(job.id, base_url, job.locator)
    return (yield from _advanced(job, (yield from asking)))


def look(job: Job, base_url: str | None = None) -> Flow[Job]:
    """The same for a caller who looks by himself: hooks are told where the job has ended."""
    after = yield from get(job, base_url)
    if after.status in FINAL and job.status not in FINAL:
        yield from observe_end(after)
    return after


def observe_end(job: Job) -> Flow[None]:
    """Tell hooks that a job has ended."""
    yield Observe(JobEnded(job, age_of(job, (yield from now()))))


def _advanced(job: Job, facts: Facts) -> Flow[Job]:
    """The job after an answer or an event, written down where that matters."""
    seconds = yield from now()
    after = advance(job, facts, seconds)
    if (after.status, after.outputs, after.element) == (job.status, job.outputs, job.element):
        return after  # only what matters later is worth a durable write
    return (yield from keep(after))


def wait(
    job: Job, *, timeout: float, base_url: str | None = None, stream: bool = False
) -> Flow[Job]:
    """Ask until the job is final; StillRunningError after `timeout` seconds, which harms nothing.

    `stream` says that the job's submit has opened an event stream. The stream is read first, and
    the vendor is not asked as long as the stream gives news.
    """
    over = yield from _wait(job, timeout, base_url, stream=stream)
    if job.status not in FINAL:
        yield from observe_end(over)
    return over


def _wait(job: Job, timeout: float, base_url: str | None, *, stream: bool) -> Flow[Job]:
    patience = Patience()
    if (over := patience.final(job)) is not None:
        return over
    start = yield from now()
    end = start + timeout
    if stream:
        job = yield from _read_stream(job, end, base_url)
        start = yield from now()
        if (over := patience.final(job)) is not None:
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
        if (over := patience.final(job)) is not None:
            return over
        if patience.is_strange:
            raise unclear(job)
    raise still_running(job, timeout, patience.trouble)


def _read_stream(job: Job, end: float, base_url: str | None) -> Flow[Job]:
    """Read the stream that the job's submit has opened, until the stream or the job ends."""
    while job.status not in FINAL and (left := end - (yield from now())) > 0:
        event = yield NextEvent(left)
        if event is None:
            break
        before, job = job, (yield from _after_event(job, event, end, base_url))
        if job is not before:
            yield Notify(job)
    return job


def _after_event(job: Job, event: Reply, end: float, base_url: str | None) -> Flow[Job]:
    """The job after an event. An unreadable event, or one of another job, changes nothing."""
    provider = get_provider(job.vendor)
    try:
        if not event.content:  # the stream is alive without events: one may have been lost
            return (yield from until(end, get(job, base_url)))
        facts = provider.read(event)
    except VendorError:
        return job
    return (yield from _advanced(job, facts)) if facts.id == job.id else job


def _rest(job: Job, pause: float, left: float, news: News) -> Flow[News]:
    """Wait until it is time to ask the vendor, or until the ledger has the job's end.

    The result is the newest news. A vendor that calls back is asked seldom. The ledger is read
    often instead, which costs nothing.
    """
    # A job that is final here has no outputs yet: only the vendor can give them.
    if job.vendor not in news.callers or job.status in FINAL:
        yield Sleep(pause, jitter=JITTER) if pause < left else Sleep(left)
        return (yield from read_news_of(job))
    end = (yield from now()) + min(left, max(pause, CALLED_BACK_SECONDS))
    while not _reported_end(job, news) and (rest := end - (yield from now())) > 0:
        yield Sleep(min(rest, LISTEN_SECONDS))
        news = yield from read_news_of(job)
    return news


def ended(job: Job, news: News) -> Job | None:
    """The job as it ended, where the news report its end and its outputs."""
    reported = _reported_end(job, news)
    return reported if reported is not None and is_complete(reported) else None


def is_complete(job: Job) -> bool:
    """Whether a job that has ended comes with what it made: webhooks may leave that out."""
    return job.status != "succeeded" or has_result(job)


def _reported_end(job: Job, news: News) -> Job | None:
    return next((one for one in news.ended if (one.vendor, one.id) == (job.vendor, job.id)), None)


@define
class Patience:
    """How often one job's vendor may still answer wrongly: vendors can be wrong for a time."""

    trouble: str = ""
    """The last status query that failed, in words."""
    _empty: int = 0
    _missing: int = 0
    _strange: int = 0

    def final(self, job: Job) -> Job | None:
        """The job where the vendor's answer ends the waiting, otherwise None."""
        beside = job.outputs or job.element or job.error
        self.answered(strange=job.status == "unknown" and bool(beside))
        if is_complete(job):
            return job if job.status in FINAL else None
        self._empty += 1
        return without_output(job) if self._empty > EMPTY_POLLS else None

    def answered(self, *, strange: bool = False) -> None:
        """Note that the vendor knows the job, and whether its status is a strange one."""
        self._missing = 0
        self._strange = self._strange + 1 if strange else 0

    @property
    def is_strange(self) -> bool:
        """Whether a word that nobody knows has stood beside a link or an error for long enough."""
        return self._strange >= STRANGE_POLLS

    def is_over(self, error: VendorError) -> bool:
        """Whether a failed status query ends the waiting. Most do not: the job itself goes on."""
        self._missing = self._missing + 1 if isinstance(error, TaskNotFoundError) else 0
        self.trouble = f" (last trouble: {error})"
        return error.status in HOPELESS or self._missing > EMPTY_POLLS


def timetable(job: Job, durations: Sequence[float]) -> Timetable:
    """When to ask about jobs like this one.

    It follows from `durations`, the seconds that such jobs took, and from the vendor's estimate.
    """
    floor = get_provider(job.vendor).poll_floor
    return Timetable(learned(durations, job.estimated_seconds), floor=floor)


def age_of(job: Job, seconds: float) -> float:
    """How old a job is at `seconds` since 1970, in seconds."""
    return 0.0 if job.created_at is None else max(0.0, seconds - job.created_at)


def still_running(job: Job, timeout: float, trouble: str = "") -> StillRunningError:
    """The error where the time to wait is up before the job is over.

    After `trouble` with the last query nobody knows whether the job goes on: a vendor may say that
    it does not know the task.
    """
    text = f"{job.vendor} has not finished {job.id} after {timeout:g} s{trouble}"
    return StillRunningError(
        f"{text}. It {'may go' if trouble else 'goes'} on there: wait again any time",
        vendor=job.vendor,
        job=job,
        ledger_id=job.ledger_id,
        billed="yes",
    )


def unclear(job: Job) -> UnknownStatusError:
    """The error where a strange status word stands beside a link or an error.

    Such a job may be over, so nobody waits for it in silence.
    """
    word = first(job.raw or {}, get_provider(job.vendor).reads.status)
    count = len(job.outputs or ())
    links = f"{count} link{'s' if count > 1 else ''} to a file" if count else ""
    subject = "the id of a subject" if job.element else ""
    error = f"the error {job.error.message[:200]!r}" if job.error else ""
    text = (
        f"{job.vendor} calls {job.id} {str(word or '')[:40]!r}, which polyreel does not know, "
        f"beside {' and '.join(filter(None, (links, subject, error)))}. It was submitted and may "
        "be billed, so do not submit it again: ask for it again"
    )
    more = ", or download what there is" if count else ""
    return UnknownStatusError(
        text + more, vendor=job.vendor, job=job, ledger_id=job.ledger_id, billed="yes"
    )
