"""The life of a paid job: submit it, download its files. `waiting` is what comes in between."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from ..errors import (
    AmbiguousError,
    BadReplyError,
    DownloadError,
    JobFailedError,
    LedgerError,
    NeverSentError,
    PolyreelError,
    RejectedError,
    TransportError,
    VendorError,
)
from ..flows import (
    Fetch,
    Flow,
    NextEvent,
    Notify,
    Observe,
    Reply,
    Saved,
    Sleep,
    now,
    retry_after,
    send,
)
from ..ledger.events import intend, keep, settle
from ..ledger.records import State, Submission
from ..ledger.states import NO_OUTPUT, about, has_result, result_in_words
from ..mapping.media import shown
from ..mapping.workflows import kind_of
from ..providers.base.answers import can_be_asked_about, is_task_id
from ..providers.base.facts import Facts
from ..providers.base.refusals import Refusal
from ..providers.base.registry import get_provider
from ..providers.base.results import located
from .naming import Target
from .observed import SubmitBegan, SubmitEnded
from .retrying import can_be_made_later, pause_after
from .uploading import forget, upload_all
from .waiting import get, wait

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..plans.planning import Plan

UNREADABLE: Final[tuple[str | None, str]] = (None, "an answer that cannot be read")
T = TypeVar("T")
LOG: Final = logging.getLogger("polyreel")
GONE: Final = frozenset({404, 410})
"""Statuses of a download whose link is dead."""
BLOCKED: Final = frozenset({401, 403, 406, 451})
"""Statuses that file hosts give for a link that is too old, and to whom they block."""
DEAD_LINK: Final = GONE | BLOCKED
"""Statuses of a download where a fresh link may help."""
TOO_OLD: Final = re.compile(r"expire|time ?frame|too old|no longer valid", re.IGNORECASE)
"""What file hosts say of a link that is too old, with any of the above or with 400."""
FRESH_LINKS: Final = 2
"""How often the vendor is asked for a fresh link."""


# -- submit ----------------------------------------------------------------------------------------


def submit(
    plan: Plan,
    *,
    simulated: bool,
    idempotency_key: str,
    retries: int = 0,
    folder: str | None = None,
    reference: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> Flow[Job]:
    """Upload what the plan needs, then make its one paid call.

    The paid call is repeated at most `retries` times, and only where the call before it is proved
    unpaid: it was never sent, or it was refused because of too many requests. `folder`,
    `reference` and `labels` are for the ledger. A SubmitError is raised that says what the call
    may have cost.
    """
    plan.check()
    plan, uploaded = yield from upload_all(plan, simulated=simulated)
    submission = Submission.of(
        plan,
        idempotency_key=idempotency_key,
        simulated=simulated,
        folder=folder,
        reference=reference,
        labels=labels,
    )
    try:
        return (yield from pay(submission, retries))
    except RejectedError as error:
        if not error.is_busy:
            yield from forget(uploaded)  # a file that is gone may be the reason
        raise


def pay(submission: Submission, retries: int = 0, *, follows: str | None = None) -> Flow[Job]:
    """Make a paid call, and write it down before and after.

    `follows` is the ambiguous entry whose place the new entry takes.
    """
    entry: str | None = None
    for attempt in range(retries + 1):
        entry = yield from intend(submission, entry, follows if attempt == 0 else None)
        try:
            return (yield from make_attempt(submission, entry))
        except (NeverSentError, RejectedError) as error:
            pause = pause_after(error, attempt)
            if attempt == retries or pause is None:
                raise
            LOG.warning("%s; trying again in %g s, which costs nothing", error, pause)
            yield Sleep(pause, jitter=0.2)
    raise AssertionError("unreachable")


def make_attempt(
    submission: Submission, entry: str | None, *, queued: int | None = None
) -> Flow[Job]:
    """Make one attempt; its outcome is written down before anything else happens.

    `queued` is the number of the attempt, where the entry is queued again if it can be.
    """
    vendor = submission.vendor
    yield Observe(SubmitBegan(vendor, submission.model, submission.workflow, submission.simulated))
    try:
        job = yield from _attempt(submission)
    except PolyreelError as error:
        error.ledger_id = entry
        yield from _settle_failure(entry, error, queued)
        yield Observe(SubmitEnded(vendor, error=error))
        raise
    if entry is not None:
        job = job.model_copy(update={"ledger_id": entry})
    try:
        yield from settle(entry, "accepted", job=job)
    except LedgerError as error:
        yield Observe(SubmitEnded(vendor, job))
        text = f"{job.vendor} accepted the job as {job.id}, so keep this id: {error}"
        raise LedgerError(text, vendor=job.vendor, job=job, ledger_id=entry, billed="yes") from None
    yield Observe(SubmitEnded(vendor, job))
    return job


def _settle_failure(entry: str | None, error: PolyreelError, queued: int | None) -> Flow[None]:
    state: State = "unsent"
    if queued is not None and can_be_made_later(error):
        state = "queued"
    elif isinstance(error, AmbiguousError | RejectedError):
        state = "ambiguous" if isinstance(error, AmbiguousError) else "rejected"
    attempt = queued if state == "queued" else None
    try:
        yield from settle(
            entry, state, reason=str(error), request_id=error.request_id, attempt=attempt
        )
    except LedgerError as trouble:
        # The error says what happened to the money: it matters more than this one.
        LOG.warning("%s", trouble)


def _attempt(submission: Submission) -> Flow[Job]:
    try:
        reply = yield from (
            _streamed(submission) if submission.send.stream else send(submission.send)
        )
    except TransportError as error:
        raise _lost(submission.vendor, error) from None
    facts = outcome(submission, reply)
    seconds = yield from now()
    return submission.job(facts, seconds)


def _streamed(submission: Submission) -> Flow[Reply]:
    """Make a call that opens a stream.

    The result is the first event that names the task, or else the last event that came in time.
    """
    end = (yield from now()) + submission.send.deadline
    reply = event = yield from send(submission.send)
    while (
        event.ok and not _names_task(submission, event) and (left := end - (yield from now())) > 0
    ):
        event = yield NextEvent(left)
        if event is None:
            break
        reply = event if event.content else reply
    return reply


def _names_task(submission: Submission, reply: Reply) -> bool:
    facts = _safely(submission.provider.read, reply, None)
    return facts is not None and facts.id is not None


def _lost(vendor: str, error: TransportError) -> AmbiguousError | NeverSentError:
    if error.sent:
        text = f"{error}; {vendor} may have accepted and billed the job"
        return AmbiguousError(
            f"{text}. It was not, and will not be, sent again", vendor=vendor, billed="maybe"
        )
    text = f"{error}; nothing was sent, so nothing was billed. It is safe to try again"
    return NeverSentError(text, vendor=vendor)


def outcome(submission: Submission, reply: Reply) -> Facts:
    """Read the facts of an accepted job.

    RejectedError is raised where the answer proves that nothing was accepted, AmbiguousError where
    it proves nothing.
    """
    provider = submission.provider
    request_id = provider.request_id(reply)
    task: str | None = None
    if not provider.is_error(reply):
        _compare(submission, reply)
        facts = _safely(provider.read, reply, None)
        if facts is not None and facts.id is not None and can_be_asked_about(facts.id):
            return located(provider, facts.of_submit(provider.reads), submission.base_url)
        what = "without a task id"
        if facts is not None and facts.id is not None:
            # Nobody could ask about it: the path of a query cannot hold it.
            what = f"with a task id that is none, {shown(facts.id)!r}"
        text = f"{provider.id} answered HTTP {reply.status} {what}"
    else:
        code, message = _safely(provider.read_error, reply, UNREADABLE)
        named = f"HTTP {reply.status} ({code})" if code else f"HTTP {reply.status}"
        text = f"{provider.id} answered {named}: {message}"
        refusal = _safely(
            lambda one: provider.read_refusal(submission.contract, one),
            reply,
            Refusal(is_proof=False),
        )
        if refusal.is_proof:
            error = RejectedError(
                f"{text}. Nothing was accepted or billed",
                vendor=provider.id,
                status=reply.status,
                code=code,
                request_id=request_id,
            )
            error.retry_after = retry_after(reply)
            error.unpayable = provider.says_no_money(reply.status, code)
            raise error
        text, task = f"{text}{refusal.reason}", refusal.task
    named = f", and adopt {task} if it is there" if task and is_task_id(task) else ""
    raise AmbiguousError(
        f"{text}. The job may have been accepted and billed, so it is not sent again: "
        f"look at the vendor's dashboard{named}",
        vendor=provider.id,
        status=reply.status,
        request_id=request_id,
        billed="maybe",
    )


def _compare(submission: Submission, reply: Reply) -> None:
    """Write a warning to the log where an answer is not what the contract promises."""
    if submission.send.stream:
        return  # the generated client has no types for events
    route = next(
        one for one in submission.provider.routes if submission.contract.path == one.operation.PATH
    )
    typed = route.operation.parse_response(reply.status, reply.content, reply.headers)
    if typed.parse_error is not None:
        LOG.warning(
            "%s answered outside its contract: %s",
            submission.vendor,
            type(typed.parse_error).__name__,
        )


def _safely(read: Callable[[Reply], T], reply: Reply, otherwise: T) -> T:
    try:
        return read(reply)
    except BadReplyError:
        return otherwise
    except Exception as error:
        # No error may hide that this is the answer to a call that was paid.
        LOG.warning("an answer to a submit cannot be read: %s", type(error).__name__)
        return otherwise


# -- download --------------------------------------------------------------------------------------


def download(job: Job, folder: Path, base_url: str | None = None) -> Flow[Job]:
    """Save every output; the result is the job with the paths. `naming` says how they are called.

    A subject mostly has none. Where a link no longer works, the vendor is asked for a fresh one.
    Each file is tried, whatever became of others; DownloadError is raised where one is not saved.
    """
    if job.status == "succeeded" and not has_result(job):
        raise about(job, _without_link(job))
    if job.status != "succeeded" and not (job.status == "unknown" and job.outputs):
        text = f"{job.id} is {job.status}: it has no file"
        raise about(job, DownloadError(text, vendor=job.vendor))
    target = Target.of(folder)
    failures: dict[int, DownloadError] = {}
    count = len(job.outputs or ())
    for index in range(count):
        try:
            job = yield from _save(job, index, target, base_url)
        except DownloadError as error:
            job, failures[index] = error.job or job, error
    job = yield from keep(job)
    if failures:
        raise about(job, _not_all(job, failures, count))
    return job


def _without_link(job: Job) -> DownloadError:
    """The error of a job that is done, as its vendor says, and has no result."""
    text = (
        f"{job.vendor} says that {job.id} is done, and no {result_in_words(job)} is found in its "
        "answer, which is in `raw` of the job. It has not failed and is paid for, so do not submit "
        "it again: ask for it again with `get` or `resume`"
    )
    return DownloadError(text, vendor=job.vendor, code=NO_OUTPUT)


def _not_all(job: Job, failures: Mapping[int, DownloadError], count: int) -> DownloadError:
    """The error of a job whose files are not all saved."""
    first = next(iter(failures.values()))
    if count == 1:
        return first
    saved = [output.path for output in job.outputs or () if output.path]
    names = f" ({', '.join(saved)})" if saved else ""
    reasons = "; ".join(f"file {index + 1}: {error}" for index, error in failures.items())
    text = f"{len(saved)} of {count} saved{names}; {reasons}"
    return DownloadError(text, vendor=job.vendor, status=first.status)


def _save(job: Job, index: int, target: Target, base_url: str | None) -> Flow[Job]:
    kind: str = kind_of(job.workflow)
    kind = "" if job.workflow == "unknown" or kind == "element" else kind
    path = target.stem_of(job, index)
    for tries_left in reversed(range(FRESH_LINKS + 1)):
        outputs = list(job.outputs or ())
        if index >= len(outputs):
            break
        file = Fetch(job.vendor, outputs[index].url, path, kind, suffix=target.suffix)
        try:
            saved = yield file
        except DownloadError as error:
            if not (error.status in DEAD_LINK or _says_too_old(error)) or not tries_left:
                raise about(job, (yield from _refused(job, error))) from None
            job = yield from _with_fresh_links(job, error, base_url)
            if error.status not in GONE and [*(job.outputs or ())][index:] == outputs[index:]:
                raise about(job, (yield from _refused(job, error))) from None
            continue
        assert isinstance(saved, Saved)
        update = {
            "path": str(saved.path),
            "content_type": saved.content_type,
            "size_bytes": saved.size,
        }
        outputs[index] = outputs[index].model_copy(update=update)
        return job.model_copy(update={"outputs": outputs})
    text = f"{job.vendor} no longer lists file {index + 1} of {job.id}"
    raise about(job, DownloadError(text, vendor=job.vendor))


def _with_fresh_links(job: Job, error: DownloadError, base_url: str | None) -> Flow[Job]:
    try:
        return (yield from get(job, base_url))
    except VendorError:
        raise about(job, (yield from _refused(job, error))) from None


def _says_too_old(error: DownloadError) -> bool:
    return error.status in {400, *BLOCKED} and TOO_OLD.search(str(error)) is not None


def _refused(job: Job, error: DownloadError) -> Flow[DownloadError]:
    """The error of a file that its host does not give: for a link that is dead, or for who asks."""
    dead = error.status in GONE or _says_too_old(error)
    if not dead and error.status not in BLOCKED:
        return error
    seconds = get_provider(job.vendor).output_seconds
    age = (yield from now()) - (job.created_at or 0.0)
    if not dead and not (seconds and age > seconds):
        text = (
            f"{error}. The file's host refuses who asks, not a link that is too old: it may block "
            "this network, or programs by their User-Agent, which --user-agent and "
            f"Network(user_agent=...) set. The job {job.id} succeeded, and downloading its file "
            "again costs nothing"
        )
        return DownloadError(text, vendor=job.vendor, status=error.status)
    known = f"; {job.vendor} keeps files for {seconds / 3600:g} hours" if seconds else ""
    text = f"{error}: the link to {job.id} no longer works, and {job.vendor} gives no other{known}"
    return DownloadError(text, vendor=job.vendor, status=error.status)


# -- the whole way ---------------------------------------------------------------------------------


def generate(
    submitting: Flow[Job],
    *,
    folder: Path,
    timeout: float,
    base_urls: Mapping[str, str],
    stream: bool = False,
) -> Flow[Job]:
    """Submit, wait at most `timeout` seconds, and download.

    JobFailedError is raised where the vendor fails or cancels the job.
    """
    job = yield from submitting
    yield Notify(job)
    place = base_urls.get(job.vendor)
    return (yield from finish(job, folder=folder, timeout=timeout, base_url=place, stream=stream))


def finish(
    job: Job, *, folder: Path, timeout: float, base_url: str | None = None, stream: bool = False
) -> Flow[Job]:
    """Wait for an accepted job at most `timeout` seconds, and download its files.

    `stream` says that its submit may have opened an event stream.
    """
    job = yield from wait(job, timeout=timeout, base_url=base_url, stream=stream)
    if job.status != "succeeded":
        raise failed(job)
    return (yield from download(job, folder, base_url))


def failed(job: Job) -> JobFailedError:
    """The error of a job that the vendor failed or cancelled."""
    message = job.error.message if job.error else job.status
    return JobFailedError(
        f"{job.vendor} {job.status} the job {job.id}: {message}",
        vendor=job.vendor,
        code=job.error.code if job.error else None,
        job=job,
        ledger_id=job.ledger_id,
        billed="maybe",
    )
