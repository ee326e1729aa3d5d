"""Hooks: everything that happens can be seen. One of them writes polyreel's log.

A hook is called with each event: a `CallEnded` for each call and download, `SubmitBegan`,
`SubmitEnded` and `JobEnded` in a job's life, and a `FlowEnded` at the end of each method of a
client. It is called in the thread, and the context, of the method. No event has a key in it, or
a link that opens anything. What a hook raises is logged, and stops no job.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from attrs import frozen

from ..errors import AmbiguousError, NeverSentError
from ..flows import Reply, Send, Transfer
from ..hosts import bare_url
from ..jobs.observed import JobEnded, SubmitBegan, SubmitEnded
from ..keys import Secret
from ..ledger.commands import command
from ..providers.base.answers import printable
from ..providers.base.registry import get_provider

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..ledger.store import LedgerStore

LOG: Final = logging.getLogger("polyreel")
LONGEST: Final = 300
"""Characters of a URL that are shown."""


@frozen
class CallEnded:
    """A call to a vendor, or a download, has ended."""

    vendor: str
    method: str
    url: str
    """Without its query, and without what may be a signature in its path."""
    seconds: float
    status: int | None = None
    """The HTTP status; None where there was no answer, and for downloads that were saved."""
    request_id: str | None = None
    """The vendor's id of the call, for its support."""
    error: str | None = None
    """The class of the error where there was no answer."""


@frozen
class FlowEnded:
    """A method of a client has ended, with an error or without one."""

    error: str | None = None
    """The class of the error."""


HookEvent = CallEnded | SubmitBegan | SubmitEnded | JobEnded | FlowEnded
Hook = Callable[[HookEvent], None]


def notify(hooks: Iterable[Hook], event: HookEvent) -> None:
    """Call each hook, and then write the log."""
    for hook in hooks:
        try:
            hook(event)
        except Exception as error:  # what is paid for goes on
            LOG.warning("a hook failed: %s", type(error).__name__)
    if LOG.isEnabledFor(logging.INFO):
        _log(event)


def call_ended(
    step: Send | Transfer, outcome: object, seconds: float, keys: Iterable[Secret]
) -> CallEnded:
    """The event of a call or a download, without keys and signatures."""

    def shown(text: str) -> str:
        for key in keys:
            text = key.redact_text(text)
        return printable(text)[:LONGEST]

    request_id = None
    if isinstance(outcome, Reply) and step.vendor:  # else it is a call to nobody of those
        request_id = get_provider(step.vendor).request_id(outcome)
    failed = outcome if isinstance(outcome, BaseException) else None
    status = outcome.status if isinstance(outcome, Reply) else getattr(failed, "status", None)
    return CallEnded(
        vendor=step.vendor,
        method=step.method,
        url=shown(bare_url(step.url, file=not isinstance(step, Send))),
        seconds=seconds,
        status=status,
        request_id=shown(request_id) if request_id else None,
        error=type(failed).__name__ if failed is not None else None,
    )


def accepted(job: Job, ledger: LedgerStore | None) -> str:
    """What the user of an interrupted call has to know about its job."""
    simulated = " (simulated)" if job.simulated else ""
    words = ("resume", job.ledger_id) if job.ledger_id else ("download", job.vendor, job.id)
    step = command(*words, ledger=ledger.named if ledger else None, live=not job.simulated)
    return f"{job.vendor} has accepted {job.id}{simulated}: it goes on there. Next: {step}"


# -- the log ---------------------------------------------------------------------------------------


def _log(event: HookEvent) -> None:
    match event:
        case CallEnded():
            _log_call(event)
        case SubmitEnded():
            LOG.info("%s", _submit_text(event))
        case JobEnded(job, seconds):
            LOG.info("%s %s: %s after %.0f s", job.vendor, job.id, job.status, seconds)


def _log_call(event: CallEnded) -> None:
    result = str(event.status) if event.status is not None else event.error or "saved"
    named = f", request id {event.request_id}" if event.request_id else ""
    LOG.debug(
        "%s %s %s: %s in %.3f s%s",
        event.vendor,
        event.method,
        event.url,
        result,
        event.seconds,
        named,
    )


def _submit_text(event: SubmitEnded) -> str:
    job, error = event.job, event.error
    if job is not None:
        simulated = ", simulated" if job.simulated else ""
        return f"{job.vendor} accepted {job.id} ({job.model}, {job.workflow}{simulated})"
    status = "" if error is None or error.status is None else f" (HTTP {error.status})"
    if isinstance(error, AmbiguousError):
        return f"{event.vendor} may have accepted and billed a submit{status}"
    if isinstance(error, NeverSentError):
        return f"a submit to {event.vendor} was never sent"
    return f"{event.vendor} refused a submit{status}"
