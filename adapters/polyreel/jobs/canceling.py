"""Canceling a job, as far as its vendor offers that, and what it means for the bill.

The call is the one with the role `cancel` in the vendor's contract. Its `x-polyreel-cancel` says
what the answers mean, and what is documented about the bill.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal

from attrs import frozen

from ..errors import BadReplyError, TaskNotFoundError, VendorError
from ..flows import Flow, send
from ..ledger.events import keep
from ..providers.base.answers import first
from ..providers.base.calling import job_request
from ..providers.base.facts import FINAL
from ..providers.base.registry import get_provider
from .waiting import look

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..flows import Reply
    from ..places import JsonObject
    from ..providers.base.contract import Operation
    from ..providers.base.provider import Provider

Result = Literal["stopped", "asked", "too-late", "not-offered"]
RESULTS: Final[dict[str, Result]] = {
    "stopped": "stopped",
    "asked": "asked",
    "too-late": "too-late",
}
NO_WORD: Final = "documents nothing about the bill of a task that is canceled"


@frozen
class Cancellation:
    """What became of the wish to cancel a job."""

    result: Result
    """`stopped`: the vendor says so. `asked`: it took the call, which proves no stop. `too-late`:
    the job had ended. `not-offered`: the vendor documents no such call, and nothing was sent."""
    job: Job
    """The job after it."""
    text: str
    """What happened, in a sentence."""
    bill: str
    """What that means for the bill, as far as the vendor documents it."""


def cancel(job: Job, base_url: str | None = None) -> Flow[Cancellation]:
    """Ask a job's vendor to stop it, once, and look what became of it.

    The vendor is asked first how the job is: some vendors delete a task that has ended where they
    are told to cancel it. Where the contract says that the call `deletes`, the job is canceled with
    it, and is not asked about any more.

    Raises VendorError where the vendor refuses the call otherwise.
    """
    provider = get_provider(job.vendor)
    call = provider.contract.operation("cancel")
    if call is None:
        return _not_offered(job, provider)
    facts: JsonObject = call.spec.get("x-polyreel-cancel", {})
    bill = str(facts.get("bill") or f"{provider.id} {NO_WORD}")
    job = yield from look(job, base_url)
    if job.status in FINAL:
        return _too_late(job, bill)
    request = job_request(provider.contract, call, job.id, job.locator)
    reply = yield from send(provider.call(request, base_url))
    result = _result(provider, call, reply)
    if facts.get("deletes") and result != "too-late":
        job = yield from keep(_canceled(job))
        text = f"{job.vendor} has deleted {job.id}: nobody can ask about it, and no file will come"
        return Cancellation("stopped", job, text, bill)
    try:
        job = yield from look(job, base_url)
    except VendorError as error:
        # The vendor took the call: what became of the job can be asked later.
        if result == "stopped" and isinstance(error, TaskNotFoundError):
            job = yield from keep(_canceled(job))
    if job.status == "canceled":
        return Cancellation("stopped", job, f"{job.vendor} has stopped {job.id}", bill)
    if result == "too-late" or job.status in FINAL:
        return _too_late(job, bill)
    proof = "says that it has stopped" if result == "stopped" else "was asked to stop"
    look_again = f"Look again with: polyreel get {job.vendor} {job.id}"
    text = f"{job.vendor} {proof} {job.id}, which is {job.status} still. {look_again}"
    return Cancellation(result, job, text, bill)


def _not_offered(job: Job, provider: Provider) -> Cancellation:
    if job.status in FINAL:
        return _too_late(job, "it is billed like any other job")
    known = provider.contract.document["info"].get("x-polyreel-cancel")
    note = f" ({known})" if known else ""
    text = f"{job.vendor} documents no call that cancels a task{note}: {job.id} goes on"
    return Cancellation("not-offered", job, text, "it is billed as if nobody had asked")


def _too_late(job: Job, bill: str) -> Cancellation:
    text = f"{job.vendor} {job.id} has ended already: {job.status}"
    return Cancellation("too-late", job, text, bill)


def _result(provider: Provider, call: Operation, reply: Reply) -> Result:
    """What an answer means, by its word or its status."""
    facts: JsonObject = call.spec.get("x-polyreel-cancel", {})
    word: object = None
    with suppress(BadReplyError):  # then the status says it
        body = reply.json()
        word = first(body, (facts.get("place", ""),)) if isinstance(body, dict) else None
    words = facts.get("words", {})
    meaning = words.get(word.lower()) if isinstance(word, str) else None
    meaning = meaning or facts.get("statuses", {}).get(str(reply.status))
    if meaning is None and reply.ok:
        meaning = "asked"
    if meaning not in RESULTS:
        code, message = provider.read_error(reply)
        raise VendorError(
            f"{provider.id} answered HTTP {reply.status} to a wish to cancel: {message}",
            vendor=provider.id,
            status=reply.status,
            code=code,
            request_id=provider.request_id(reply),
        )
    return RESULTS[str(meaning)]


def _canceled(job: Job) -> Job:
    from polyreel_generated.shared import JobError  # noqa: PLC0415

    error = JobError(code="canceled", message="canceled on request; the vendor keeps no record")
    return job.model_copy(update={"status": "canceled", "error": error})
