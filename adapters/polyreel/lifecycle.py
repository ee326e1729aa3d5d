"""The life of a paid job, as flows: submit, get, wait, download, generate."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .errors import (
    AmbiguousError,
    BadReplyError,
    DownloadError,
    JobFailedError,
    NeverSentError,
    RejectedError,
    StillRunningError,
    TaskNotFoundError,
    TransportError,
    VendorError,
)
from .flows import Fetch, Flow, Reply, Saved, Sleep, Tell, now, poll_pauses, send, until
from .provider import FINAL, Facts, Provider
from .registry import get_provider

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from .planning import Plan

UNREADABLE: Final[tuple[str | None, str]] = (None, "an answer that cannot be read")
T = TypeVar("T")
Error = TypeVar("Error", VendorError, DownloadError)
LOG: Final = logging.getLogger("polyreel")
NOT_ACCEPTED: Final = frozenset({400, 401, 402, 403, 404, 409, 413, 422, 429})
"""HTTP statuses that prove a refusal, where a contract does not list its own."""
HOPELESS: Final = frozenset({401, 403})
"""Statuses of a status query that asking again does not change."""
EMPTY_POLLS: Final = 5
"""How often a job that is done without a file is asked again before it counts as failed; and how often in a row the
vendor may not know a job that it accepted."""


def submit(plan: Plan, *, simulated: bool, idempotency_key: str) -> Flow[Job]:
    """Upload what the plan needs, then make its one paid call. Raises a SubmitError that tells what it may have cost.

    The paid call is made once. Nothing here, and nothing above, repeats it.
    """
    plan.check()
    plan = yield from _upload(plan)
    try:
        reply = yield from send(plan.step(_idempotency(plan, idempotency_key)))
    except TransportError as error:
        raise _lost(plan, error) from None
    facts = _accepted(plan, reply)
    seconds = yield from now()
    return _job(plan, facts, simulated=simulated, created_at=seconds)


def _upload(plan: Plan) -> Flow[Plan]:
    """The plan with its local files uploaded, for vendors that want that."""
    links: dict[str, str] = {}
    for upload in plan.uploads:
        try:
            links[upload.target] = yield from plan.provider.upload(upload.path, upload.content_type)
        except VendorError as error:
            text = f"{error}; the job was not submitted, so nothing was billed"
            raise NeverSentError(text, vendor=plan.vendor, status=error.status, code=error.code) from None
    return plan.uploaded(links) if links else plan


def _idempotency(plan: Plan, key: str) -> dict[str, str]:
    """The header by which a vendor recognises a repeated submit, where it has one."""
    assert plan.route is not None
    header = plan.provider.operation(plan.route).spec.get("x-polyreel-idempotency", {}).get("header")
    return {header: key} if header else {}


def _lost(plan: Plan, error: TransportError) -> AmbiguousError | NeverSentError:
    if error.sent:
        text = f"{error}; {plan.vendor} may have accepted and billed the job. It was not, and will not be, sent again"
        return AmbiguousError(text, vendor=plan.vendor, billed="maybe")
    return NeverSentError(
        f"{error}; nothing was sent, so nothing was billed. It is safe to try again", vendor=plan.vendor
    )


def _accepted(plan: Plan, reply: Reply) -> Facts:
    """The facts of an accepted job; everything else is told by what it proves."""
    assert plan.route is not None
    provider, operation = plan.provider, plan.provider.operation(plan.route)
    request_id = provider.request_id(reply)
    if reply.ok:
        typed = plan.route.operation.parse_response(reply.status, reply.content, reply.headers)
        if typed.parse_error is not None:
            LOG.warning("%s answered outside its contract: %s", provider.id, type(typed.parse_error).__name__)
        facts = _safely(provider.read, reply, None)
        if facts is not None and facts.id is not None:
            return facts
        text = f"{provider.id} answered HTTP {reply.status} without a task id"
    else:
        code, message = _safely(provider.read_error, reply, UNREADABLE)
        text = f"{provider.id} answered HTTP {reply.status}{f' ({code})' if code else ''}: {message}"
        if reply.status in operation.spec.get("x-polyreel-not-accepted", NOT_ACCEPTED):
            text = f"{text}. Nothing was accepted or billed"
            raise RejectedError(text, vendor=provider.id, status=reply.status, code=code, request_id=request_id)
    text = f"{text}. The job may have been accepted and billed, so it is not sent again: look at the vendor's dashboard"
    raise AmbiguousError(text, vendor=provider.id, status=reply.status, request_id=request_id, billed="maybe")


def _safely(read: Callable[[Reply], T], reply: Reply, otherwise: T) -> T:
    try:
        return read(reply)
    except BadReplyError:
        return otherwise
    except Exception as error:
        # Whatever goes wrong with reading it: this is the answer to a call that was paid.
        LOG.warning("an answer to a submit cannot be read: %s", type(error).__name__)
        return otherwise


def _job(plan: Plan, facts: Facts, *, simulated: bool, created_at: float) -> Job:
    from polyreel_generated.shared import Job  # noqa: PLC0415

    assert facts.id is not None
    first = {"vendor": plan.vendor, "model": plan.model, "workflow": plan.workflow, "id": facts.id}
    return Job.model_validate(
        {**first, "simulated": simulated, "created_at": created_at, **_state(facts, plan.provider, created_at)}
    )


def _state(facts: Facts, provider: Provider, seconds: float) -> dict[str, Any]:
    """The changing part of a job, without what the reply did not say."""
    expires = {"expires_at": seconds + provider.output_seconds} if provider.output_seconds else {}
    state: dict[str, Any] = {
        "status": facts.status,
        "progress": 1.0 if facts.status == "succeeded" else facts.progress,
        "estimated_seconds": facts.estimated_seconds,
        "usage": facts.usage,
        "raw": facts.raw,
    }
    if facts.status == "succeeded":
        state["outputs"] = [{"url": url, **expires} for url in facts.urls]
    elif facts.status in FINAL:
        message = facts.error_message or f"the vendor says {facts.word}"
        state["error"] = {"message": message} | ({"code": facts.error_code} if facts.error_code else {})
    return {name: value for name, value in state.items() if value is not None}


def advance(job: Job, facts: Facts, seconds: float) -> Job:
    """The job after one more answer. Final states absorb: a late, stale or empty answer never takes anything back."""
    from polyreel_generated.shared import Job  # noqa: PLC0415

    known = tuple(output.url for output in job.outputs or ())
    if job.status in FINAL and (job.status != facts.status or facts.urls in {known, ()}):
        return job
    if facts.status == "unknown" and facts.word is not None and job.status != "unknown":
        LOG.warning("%s: unknown status %r of %s; waiting on", job.vendor, facts.word[:40], job.id)
    return Job.model_validate({**job.model_dump(exclude_none=True), **_state(facts, get_provider(job.vendor), seconds)})


def get(job: Job, base_url: str | None = None) -> Flow[Job]:
    """Ask the vendor once."""
    facts = yield from get_provider(job.vendor).get(job.id, base_url)
    seconds = yield from now()
    return advance(job, facts, seconds)


def wait(job: Job, *, timeout: float, base_url: str | None = None) -> Flow[Job]:
    """Ask until the job is final; StillRunningError after `timeout` seconds, which harms nothing."""
    end = (yield from now()) + timeout
    empty, missing, trouble = 0, 0, ""
    for pause in _pauses(job):
        if job.status in FINAL and (job.outputs or job.status != "succeeded"):
            return job
        if job.status == "succeeded":
            empty += 1
            if empty > EMPTY_POLLS:
                return _without_output(job)
        left = end - (yield from now())
        if not left > 0:
            break
        yield Sleep(pause, jitter=0.1) if pause < left else Sleep(left)
        try:
            job = yield from until(end, get(job, base_url))
        except VendorError as error:
            missing = missing + 1 if isinstance(error, TaskNotFoundError) else 0
            if error.status in HOPELESS or missing > EMPTY_POLLS:
                raise _about(job, error) from None
            # The job goes on whatever happens to a status query: ask again.
            trouble = f" (last trouble: {error})"
            continue
        missing = 0
        yield Tell(job)
    text = f"{job.vendor} has not finished {job.id} after {timeout:g} s{trouble}. It goes on there: wait again any time"
    raise StillRunningError(text, vendor=job.vendor, job=job, billed="yes")


def _about(job: Job, error: Error) -> Error:
    """The error with the job it is about: whoever catches it needs the handle to go on."""
    error.job, error.billed = job, "yes"
    return error


def _pauses(job: Job) -> Iterator[float]:
    return poll_pauses(job.estimated_seconds, floor=get_provider(job.vendor).poll_floor)


def _without_output(job: Job) -> Job:
    from polyreel_generated.shared import JobError  # noqa: PLC0415

    error = JobError(code="no_output", message="the vendor says it is done and gives no file")
    return job.model_copy(update={"status": "failed", "error": error})


def download(job: Job, folder: Path) -> Flow[Job]:
    """Save every output as `<vendor>-<id>-<n>.<suffix>`; returns the job with the paths."""
    if job.status != "succeeded":
        raise _about(job, DownloadError(f"{job.id} is {job.status}: it has no file", vendor=job.vendor))
    kind = "image" if job.workflow == "generate-image" else "video"
    name = re.sub(r"[^A-Za-z0-9_-]", "_", f"{job.vendor}-{job.id}")[:200]
    for index, output in enumerate(job.outputs or ()):
        try:
            saved = yield Fetch(job.vendor, output.url, folder / f"{name}-{index + 1}", kind)
        except DownloadError as error:
            raise _about(job, error) from None
        assert isinstance(saved, Saved)
        facts = {"path": str(saved.path), "content_type": saved.content_type, "size_bytes": saved.size}
        outputs = list(job.outputs or ())
        outputs[index] = output.model_copy(update=facts)
        job = job.model_copy(update={"outputs": outputs})
    return job


def generate(plan: Plan, *, folder: Path, timeout: float, simulated: bool, idempotency_key: str) -> Flow[Job]:
    """The whole way: submit, wait, download. Raises JobFailedError where the vendor fails the job."""
    job = yield from submit(plan, simulated=simulated, idempotency_key=idempotency_key)
    yield Tell(job)
    job = yield from wait(job, timeout=timeout, base_url=plan.base_url)
    if job.status != "succeeded":
        message = job.error.message if job.error else job.status
        code = job.error.code if job.error else None
        text = f"{job.vendor} {job.status} the job {job.id}: {message}"
        raise JobFailedError(text, vendor=job.vendor, code=code, job=job, billed="maybe")
    return (yield from download(job, folder))
