"""Pending jobs in queues: one for each vendor and address, ordered by when to ask next.

A pending job is an entry in a heap and its last state as bytes, about a kilobyte together. It has
no task, no timer and no connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from math import inf, sqrt
from typing import TYPE_CHECKING, Final

from attrs import Factory, define

from ..errors import BadReplyError
from ..flows import Flow, Reply
from ..providers.base.facts import Facts, Status
from ..providers.base.provider import Provider
from ..providers.base.unfinished import unfinished_status
from .timetable import Timetable
from .waiting import Patience

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

AT_ONCE: Final = 4
"""How many queries may be under way at one vendor, of all who await jobs with one client."""
LONGEST_REST: Final = 120.0
"""The longest time, in seconds, for which a vendor that does not answer is not asked again."""
ALONE_SECONDS: Final = 60.0
"""How long all jobs are asked about one by one where only that is answered."""
SPOILED: Final = 2
"""How many queries about several can fail in a row, while those about one are answered, because of
a job that spoils each: after two of them it is asked about alone.
"""
CROWD: Final = 10_000
"""How many jobs may wait at one vendor, in all processes that share them, before each of them is
asked about less often than its timetable says.
"""


def unfinished(provider: Provider, reply: Reply) -> Status | None:
    """The status in the answer to a status query, where nothing else in it matters: the job is
    queued or running. None where `Provider.read` has to say what the answer means.
    """
    if type(provider).facts is not Provider.facts or type(provider).read is not Provider.read:
        return None  # one that reads in a way of its own
    try:
        raw = None if provider.is_error(reply) else reply.json()
    except BadReplyError:
        return None
    if not isinstance(raw, dict):
        return None
    return unfinished_status(raw, provider.reads, provider.statuses)


@define(eq=False)
class PendingJob:
    """A job that is waited for."""

    queue: VendorQueue
    task: str
    status: Status
    document: bytes
    """The job as it was added, as JSON: a tenth of the size of the object."""
    started: float
    """When the vendor accepted it, in seconds since 1970."""
    ends: float
    """When nobody waits for it any longer, in seconds since 1970."""
    timeout: float
    times: Timetable
    patience: Patience | None = None
    """Made when the vendor first answers wrongly about the job."""
    locator: str | None = None
    alone: bool = False
    """Whether queries about several jobs leave it out, so that it has a query of its own."""
    failed: int | None = None
    """The vendor's `failures_alone` when a query about several, this job among them, last failed.
    None where nothing has failed since it was answered.
    """
    answer: int | None = None
    """The hash of the vendor's last answer, where the same bytes would be no news."""
    turn: int = 0
    """The number of its valid entry in the heap; entries with other numbers are skipped."""
    over: bool = False

    @property
    def job(self) -> Job:
        """The job, with the status that is known by now."""
        from polyreel_generated.shared import Job  # noqa: PLC0415

        return Job.model_validate_json(self.document).model_copy(update={"status": self.status})

    @property
    def is_alone(self) -> bool:
        """Whether a query about it is about nothing else.

        What queries about several have shown holds until one about a single job fails too: then the
        vendor was at fault.
        """
        return self.alone and self.failed in (None, self.queue.vendor.failures_alone)

    def answered(self, *, alone: bool = False) -> None:
        """Note that a query about it was answered; or that only one about it `alone` can be."""
        self.alone, self.failed = alone, None

    @property
    def trouble(self) -> str:
        """The last query about it that failed, in words."""
        own = self.patience.trouble if self.patience else ""
        return own or self.queue.vendor.trouble


@define(eq=False)
class AskedVendor:
    """A vendor at one address, as it is known to all who ask it with one client.

    A worker, for instance, has a queue for each of its shards.
    """

    queues: set[VendorQueue] = Factory(set)
    """Those with pending jobs."""
    rests_until: float = 0.0
    """Until when the vendor is not asked, in seconds since 1970."""
    troubles: int = 0
    """How many rests there have been since the last answer."""
    trouble: str = ""
    """The last query without an answer, in words; empty after an answer."""
    doubted_at: float = -inf
    """When a query about several jobs failed, since one was answered."""
    answers_alone: bool = False
    """Whether a query about one job was answered since then."""
    failures_together: int = 0
    """How many queries about several have failed in a row, between answers about one job."""
    failures_alone: int = 0
    """How many queries about one job have failed."""
    alone_until: float = 0.0
    """Until when jobs are asked about one by one, because asking together fails."""

    @property
    def share(self) -> int:
        """How many queries each queue may have under way: the same for all, and at least one."""
        return max(1, AT_ONCE // max(1, len(self.queues)))

    @property
    def is_doubted(self) -> bool:
        """Whether the last query about several jobs failed."""
        return self.doubted_at > -inf

    def answered(self, *, together: bool) -> None:
        """Note that the vendor has answered, to a query about several jobs or about one."""
        self.troubles, self.trouble = 0, ""
        if together:
            self.doubted_at, self.failures_together = -inf, 0
        self.answers_alone = self.is_doubted

    def failed_together(self, asked: float, seconds: float) -> bool:
        """Note that a query about several jobs, made at `asked`, has failed; say whether one of its
        jobs is to be asked about alone now.

        Any query can fail once, and while a vendor is away all do: one job tells whether queries
        about one are answered. Where they are, again and again, and those about several fail, all
        jobs are asked about one by one for a time.
        """
        if asked < self.doubted_at:
            return False  # it was under way when another one failed
        if self.answers_alone or not self.is_doubted:
            self.failures_together += 1
            if self.failures_together > SPOILED:
                self.alone_until = seconds + ALONE_SECONDS
        self.doubted_at, self.answers_alone = seconds, False
        return True

    def unanswered(self, pause: float, seconds: float) -> None:
        """Do not ask the vendor for `pause` seconds, and longer after each failure in a row."""
        if seconds >= self.rests_until:  # of several queries that fail together, the first decides
            self.troubles += 1
            rest = min(LONGEST_REST, pause * 2.0 ** min(self.troubles - 1, 10))
            self.rests_until = seconds + rest
        self.rests_until = max(self.rests_until, seconds + pause)
        self.trouble = " (last trouble: no usable answer)"


AskedVendors = dict[tuple[str, str], AskedVendor]
"""By the vendor's name and address."""


@define(eq=False)
class VendorQueue:
    """The pending jobs of one vendor at one address."""

    provider: Provider
    base_url: str | None
    vendor: AskedVendor
    shards: int = 1
    """Of how many shards of the vendor's jobs these are one."""
    due: list[tuple[float, int, PendingJob]] = Factory(list)
    """A heap of times (seconds since 1970), turns and jobs."""
    size: int = 0
    under_way: int = 0

    @property
    def stretch(self) -> float:
        """How much longer the pauses between queries are, because of all the jobs that wait.

        So ten times as many jobs have three times as many queries. Otherwise one process makes its
        queries too late, and several keep vendor and machines busy with jobs that go on.
        """
        jobs = self.size * self.shards
        return 1.0 if jobs <= CROWD else sqrt(jobs / CROWD)

    def grow(self) -> None:
        """Count one more pending job."""
        self.size += 1
        self.vendor.queues.add(self)

    def shrink(self) -> None:
        """Count one pending job less."""
        self.size -= 1
        if not self.size:
            self.leave()

    def leave(self) -> None:
        """Ask no more, and leave the vendor to the other queues."""
        self.vendor.queues.discard(self)

    def first(self) -> PendingJob | None:
        """The job that is due first."""
        due = self.due
        while due:
            _, turn, pending = due[0]
            if not pending.over and turn == pending.turn:
                return pending
            heappop(due)
        return None

    def wait(self, seconds: float) -> float:
        """Seconds from now (`seconds`) until a query can be made.

        Infinity where only an answer, or another job, can lead to one.
        """
        if self.under_way >= self.vendor.share or self.first() is None:
            return inf
        return max(self.due[0][0], self.vendor.rests_until) - seconds

    def schedule(self, pending: PendingJob, at: float, turn: int) -> None:
        """Ask about a job at a time, in the place of any earlier plan."""
        pending.turn = turn
        heappush(self.due, (at, turn, pending))

    def query(self, seconds: float) -> Query:
        """Take the jobs of the next query from the queue; at least one is due."""
        self.under_way += 1
        jobs = [heappop(self.due)[2]]
        survey = self.provider.survey
        listed = survey is not None and not (survey.running_only and self.size > survey.size)
        together = listed and seconds >= self.vendor.alone_until
        if survey is not None and together and not jobs[0].is_alone:
            # The next jobs are asked about too, though they are not due yet: here that costs
            # nothing, and later it would cost a query of their own.
            while (
                len(jobs) < survey.size
                and (first := self.first()) is not None
                and not first.is_alone
            ):
                jobs.append(heappop(self.due)[2])
        return Query(self, tuple(jobs), seconds, together=len(jobs) > 1)


@define
class Query:
    """One status query about one job, or about several of one vendor."""

    queue: VendorQueue
    jobs: tuple[PendingJob, ...]
    asked: float
    """When it was made, in seconds since 1970."""
    together: bool
    answer: int | None = None
    """The hash of the last answer, where the vendor was asked about one job."""

    def ask(self) -> Flow[Mapping[str, Facts]]:
        """Ask the vendor; the result is what it says of each task."""
        provider, base_url = self.queue.provider, self.queue.base_url
        if self.together:
            return (yield from provider.ask_about([job.task for job in self.jobs], base_url))
        job = self.jobs[0]
        return {job.task: (yield from provider.get(job.task, base_url, job.locator))}

    def goes_on(self, reply: Reply) -> Status | None:
        """The status of the one job that an answer is about, where it only says that the job goes
        on; None where there may be more to read.

        An answer with the same bytes as the last one is not read again.
        """
        if self.together:
            return None
        job, self.answer = self.jobs[0], hash((reply.status, reply.content))
        if self.answer == job.answer:
            return job.status
        return unfinished(self.queue.provider, reply)

    def answered(self) -> None:
        """Note that the vendor has answered it."""
        self.queue.vendor.answered(together=self.together)

    def failed(self, seconds: float) -> None:
        """Note that it had no usable answer. One about several says nothing about each of its jobs:
        some of them are asked about alone.

        That is its first job, if nobody tries the same already, and those that are asked about for
        the last time. Of the others, those that fail together once more, while queries about one do
        not fail, are asked about alone from then on: one of them may be what spoils each query.
        """
        vendor = self.queue.vendor
        if not self.together:
            vendor.failures_alone += 1
            return
        for pending in self.jobs:
            pending.alone = seconds >= pending.ends or pending.failed == vendor.failures_alone
            pending.failed = vendor.failures_alone
        if vendor.failed_together(self.asked, seconds):
            self.jobs[0].alone = True
