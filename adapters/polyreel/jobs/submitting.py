"""The life of a paid job: submit it, download its files. `waiting` is what comes in between."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Required, TypedDict, TypeVar, Unpack

from ..errors import (
    AmbiguousError,
    BadReplyError,
    LedgerError,
    NeverSentError,
    PolyreelError,
    RejectedError,
    TransportError,
)
from ..flows import (
    NOW,
    Flow,
    NextEvent,
    Observe,
    Reply,
    Sleep,
    now,
    retry_after,
    send,
)
from ..ledger.events import intend, settle
from ..ledger.records import State, Submission
from ..ledger.uploads import UploadKey
from ..mapping.media import shown
from ..money.charged import with_charge
from ..providers.base.answers import can_be_asked_about, is_task_id
from ..providers.base.facts import Facts
from ..providers.base.refusals import Refusal
from ..providers.base.results import located
from .finishing import try_output
from .observed import SubmitBegan, SubmitEnded
from .retrying import can_be_made_later, pause_after
from .uploading import forget, upload_all

if TYPE_CHECKING:
    from polyreel_generated.shared import Job, RoutingStep

    from ..plans.planning import Plan
    from ..providers.base.provider import Provider

UNREADABLE: Final[tuple[str | None, str]] = (None, "an answer that cannot be read")
T = TypeVar("T")
LOG: Final = logging.getLogger("polyreel")


class SubmitOptions(TypedDict, total=False):
    """What `submit` takes beside a plan, and how often it is tried again."""

    simulated: Required[bool]
    idempotency_key: Required[str]
    folder: str | None
    reference: str | None
    labels: Mapping[str, str] | None
    limits: str | None


# -- submit ----------------------------------------------------------------------------------------


def submit(
    plan: Plan,
    *,
    retries: int = 0,
    routing: Sequence[RoutingStep] = (),
    **options: Unpack[SubmitOptions],
) -> Flow[Job]:
    """Upload what the plan needs, then make its one paid call.

    The paid call is repeated at most `retries` times, and only where the call before it is proved
    unpaid: it was never sent, or it was refused because of too many requests. `folder`,
    `reference`, `labels` and `limits` are for the ledger; `routing` is what an accepted job says of
    other vendors. A SubmitError is raised that says what the call may have cost.
    """
    plan.check()
    uploaded: tuple[UploadKey, ...] = ()
    if plan.uploads:
        plan, uploaded = yield from upload_all(plan, simulated=options["simulated"])
    submission = Submission.of(
        plan,
        idempotency_key=options["idempotency_key"],
        simulated=options["simulated"],
        folder=options.get("folder"),
        reference=options.get("reference"),
        labels=options.get("labels"),
        limits=options.get("limits"),
    )
    try:
        return (yield from pay(submission, retries, routing=routing))
    except RejectedError as error:
        if not error.is_busy:
            yield from forget(uploaded)  # a file that is gone may be the reason
        raise


def pay(
    submission: Submission,
    retries: int = 0,
    *,
    follows: str | None = None,
    routing: Sequence[RoutingStep] = (),
) -> Flow[Job]:
    """Make a paid call, and write it down before and after.

    `follows` is the ambiguous entry whose place the new entry takes; see `submit` for the others.
    """
    yield from try_output(submission.folder)
    entry: str | None = None
    for attempt in range(retries + 1):
        entry = yield from intend(submission, entry, follows if attempt == 0 else None)
        try:
            return (yield from make_attempt(submission, entry, routing=routing))
        except (NeverSentError, RejectedError) as error:
            pause = pause_after(error, attempt)
            if attempt == retries or pause is None:
                raise
            LOG.warning("%s; trying again in %g s, which costs nothing", error, pause)
            yield Sleep(pause, jitter=0.2)
    raise AssertionError("unreachable")


def make_attempt(
    submission: Submission,
    entry: str | None,
    *,
    queued: int | None = None,
    routing: Sequence[RoutingStep] = (),
) -> Flow[Job]:
    """Make one attempt; its outcome is written down before anything else happens.

    `queued` is the number of the attempt, where the entry is queued again if it can be; see
    `submit` for the others.
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
    if routing:
        job = with_charge(job.model_copy(update={"routing": [*routing]}))
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
        if submission.send.stream:
            reply = yield from _streamed(submission)
        else:
            reply = yield submission.send
    except TransportError as error:
        raise _lost(submission.vendor, error) from None
    facts = outcome(submission, reply)
    seconds: float = yield NOW
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
        facts = _safely(provider.read, reply, None)
        _compare(submission, provider, reply, facts)
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


def _compare(submission: Submission, provider: Provider, reply: Reply, facts: Facts | None) -> None:
    """Write a warning to the log where an answer is not what the contract promises.

    The generated client says why. The contract's schema tells sooner that nothing is wrong.
    """
    if submission.send.stream:
        return  # the generated client has no types for events
    contract, operation = provider.contract, provider.contract.operations[submission.operation]
    is_described = contract.reply_schema(operation, reply.status) is not None
    if facts and is_described and contract.is_reply(operation, reply.status, facts.raw):
        return
    route = next(one for one in provider.routes if operation.path == one.operation.PATH)
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
