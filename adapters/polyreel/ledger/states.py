"""Jobs and how they advance: one reducer for whatever tells of a job, be it a poll, a webhook or the ledger."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..errors import PolyreelError
from ..providers.base.facts import FINAL, Facts
from ..providers.base.provider import Provider
from ..providers.base.registry import get_provider

if TYPE_CHECKING:
    from polyreel_generated.shared import Job, Output

Error = TypeVar("Error", bound=PolyreelError)
LOG: Final = logging.getLogger("polyreel")


def started(
    facts: Facts,
    *,
    vendor: str,
    model: str | None,
    workflow: str,
    simulated: bool,
    seconds: float,
    estimate: Mapping[str, str | None] | None = None,
) -> Job:
    """The job that a vendor has just accepted. `estimate` is what its plan said that it would cost."""
    from polyreel_generated.shared import Job  # noqa: PLC0415

    fixed = {
        "vendor": vendor,
        "model": model,
        "workflow": workflow,
        "id": facts.id,
        "simulated": simulated,
    }
    noted = {"created_at": seconds, "estimate": estimate}
    return Job.model_validate({**fixed, **noted, **_state(facts, get_provider(vendor), seconds)})


def advance(job: Job, facts: Facts, seconds: float) -> Job:
    """The job after one more answer or event, whatever its order: see `newer`."""
    from polyreel_generated.shared import Job  # noqa: PLC0415

    if job.status not in {*FINAL, "unknown"}:
        warn_of_unknown(get_provider(job.vendor), job.id, facts)
    told = {**job.model_dump(exclude_none=True), **_state(facts, get_provider(job.vendor), seconds)}
    return newer(job, Job.model_validate(told))


def warn_of_unknown(provider: Provider, task: str, facts: Facts) -> None:
    """Say in the log where a vendor uses a status word that nobody has told of."""
    if facts.status == "unknown" and facts.word is not None:
        LOG.warning("%s: unknown status %r of %s; waiting on", provider.id, facts.word[:40], task)


def newer(known: Job, told: Job) -> Job:
    """Which of two accounts of one job holds, as one job.

    Final states absorb: a late, stale or empty account never takes anything back. Fresh links replace old ones, and
    what was saved stays known.
    """
    if known.status not in FINAL:
        return told
    if (
        told.status != known.status
        or not told.outputs
        or not _says_more(known.outputs or (), told.outputs)
    ):
        return known
    saved = {index: output for index, output in enumerate(known.outputs or ()) if output.path}
    return told.model_copy(
        update={"outputs": [_kept(saved.get(n), output) for n, output in enumerate(told.outputs)]}
    )


def _says_more(known: Sequence[Output], told: Sequence[Output]) -> bool:
    """Whether an account has other links, or tells of files that were saved since."""
    links = [output.url for output in told] != [output.url for output in known]
    return links or any(output.path and output not in known for output in told)


def _kept(saved: Output | None, told: Output) -> Output:
    if saved is None or told.path:
        return told
    facts = {"path": saved.path, "content_type": saved.content_type, "size_bytes": saved.size_bytes}
    return told.model_copy(update=facts)


def without_output(job: Job) -> Job:
    """A job that is done without a file, however often it was asked for one: failed."""
    from polyreel_generated.shared import JobError  # noqa: PLC0415

    error = JobError(code="no_output", message="the vendor says it is done and gives no file")
    return job.model_copy(update={"status": "failed", "error": error})


def about(job: Job, error: Error) -> Error:
    """The error with the job it is about: whoever catches it needs the handle to go on."""
    error.job, error.ledger_id, error.billed = job, job.ledger_id, "yes"
    return error


def is_saved(job: Job) -> bool:
    """Whether every file of the job was brought home."""
    return bool(job.outputs) and all(output.path for output in job.outputs or ())


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
        state["error"] = {"message": message} | (
            {"code": facts.error_code} if facts.error_code else {}
        )
    return {name: value for name, value in state.items() if value is not None}
