"""How jobs advance: one function decides, whether a poll, a webhook or the ledger reports."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

from ..errors import PolyreelError
from ..mapping.workflows import kind_of
from ..providers.base.facts import FINAL, Facts
from ..providers.base.provider import Provider
from ..providers.base.registry import get_provider

if TYPE_CHECKING:
    from polyreel_generated.shared import Job, Output

    from ..places import JsonObject

Error = TypeVar("Error", bound=PolyreelError)
LOG: Final = logging.getLogger("polyreel")
ALMOST: Final = 0.99
"""The most progress of a job that has not succeeded. Vendors say 100 % before there is a file."""


def started(
    facts: Facts,
    *,
    vendor: str,
    model: str | None,
    workflow: str,
    simulated: bool,
    seconds: float,
    estimate: Mapping[str, str | None] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Job:
    """Make the job that a vendor accepted at `seconds` (since 1970).

    `estimate` is what its plan said that it would cost.
    """
    document = {
        "vendor": vendor,
        "model": model,
        "workflow": workflow,
        "id": facts.id,
        "locator": facts.locator,
        "simulated": simulated,
        "created_at": seconds,
        "estimate": estimate,
        "labels": labels or None,
    }
    return _job_model().model_validate(document | _state(facts, get_provider(vendor), seconds))


@cache
def _job_model() -> type[Job]:
    from polyreel_generated.shared import Job  # noqa: PLC0415

    return Job


def advance(job: Job, facts: Facts, seconds: float) -> Job:
    """The job after one more answer or event, in whatever order they come: see `newer`."""
    provider = get_provider(job.vendor)
    if job.status not in {*FINAL, "unknown"}:
        warn_of_unknown(provider, job.id, facts)
    before = job.model_dump(exclude_none=True)
    if job.status not in FINAL:  # what a strange word stood beside says nothing any more
        before = {k: v for k, v in before.items() if k not in {"outputs", "element", "error"}}
    return newer(job, _job_model().model_validate(before | _state(facts, provider, seconds)))


def warn_of_unknown(provider: Provider, task: str, facts: Facts) -> None:
    """Write a warning to the log where a vendor uses a status word that polyreel does not know."""
    if facts.status == "unknown" and facts.word is not None:
        beside = " beside a link or an error" if facts.is_strange else ""
        text = "%s: unknown status %r of %s%s; waiting on"
        LOG.warning(text, provider.id, facts.word[:40], task, beside)


def newer(known: Job, reported: Job) -> Job:
    """Decide between the known state of a job and a reported one; the result is one job.

    A final state stays: a late, stale or empty report never takes anything back. Fresh links
    replace old ones, and the paths of saved files are kept.
    """
    if known.status not in FINAL:
        return _without_fall(known, reported)
    if reported.status != known.status:
        return known
    if reported.element is not None and known.element is None:
        update = {"element": reported.element, "error": None, "raw": reported.raw}
        known = known.model_copy(update=update)
    if not reported.outputs or not _says_more(known.outputs or (), reported.outputs):
        return known
    saved = {index: output for index, output in enumerate(known.outputs or ()) if output.path}
    outputs = [
        _with_path(saved.get(index), output) for index, output in enumerate(reported.outputs)
    ]
    found = {"raw": reported.raw} if not known.outputs else {}
    return known.model_copy(update={"outputs": outputs, "error": None, **found})


def _without_fall(known: Job, reported: Job) -> Job:
    """The reported job with the progress of before, where it reports less or none."""
    least = known.progress or 0.0
    if least <= (reported.progress or 0.0):
        return reported
    return reported.model_copy(update={"progress": least})


def _says_more(known: Sequence[Output], reported: Sequence[Output]) -> bool:
    """Whether a report has other links, or files that were saved since."""
    links_differ = [output.url for output in reported] != [output.url for output in known]
    return links_differ or any(output.path and output not in known for output in reported)


def _with_path(saved: Output | None, reported: Output) -> Output:
    if saved is None or reported.path:
        return reported
    update = {
        "path": saved.path,
        "content_type": saved.content_type,
        "size_bytes": saved.size_bytes,
    }
    return reported.model_copy(update=update)


NO_OUTPUT: Final = "no_output"
"""The error code of a job that its vendor calls done, and in whose answer there is no result."""


def has_result(job: Job) -> bool:
    """Whether it is known what a job has made: links to files, or the id of a subject."""
    makes_files = kind_of(job.workflow) != "element"
    return job.element is not None or (makes_files and bool(job.outputs))


def result_in_words(job: Job) -> str:
    """What a job makes, as a message can say that it is missing."""
    return "id of a subject" if kind_of(job.workflow) == "element" else "link to a file"


def without_output(job: Job) -> Job:
    """The job with a note that its vendor says done and, however often asked, gives no result.

    It has not failed: nobody may pay for it again. Its `raw` is the answer.
    """
    from polyreel_generated.shared import JobError  # noqa: PLC0415

    missing = result_in_words(job)
    text = f"the vendor says that it is done, and no {missing} is found in its answer"
    return job.model_copy(update={"error": JobError(code=NO_OUTPUT, message=text)})


def about(job: Job, error: Error) -> Error:
    """Add to an error the job it is about: whoever catches it needs the job to go on."""
    error.job, error.ledger_id, error.billed = job, job.ledger_id, "yes"
    return error


def is_saved(job: Job) -> bool:
    """Whether a job leaves nothing to do: its files are saved, or it has made a subject."""
    if not job.outputs:
        return job.status == "succeeded" and has_result(job)
    return has_result(job) and all(output.path for output in job.outputs)


def _progress(facts: Facts) -> float | None:
    """How far a job is: 1.0 only where it has succeeded, whatever the vendor says before."""
    if facts.status == "succeeded":
        return 1.0
    return None if facts.progress is None else min(facts.progress, ALMOST)


def _state(facts: Facts, provider: Provider, seconds: float) -> JsonObject:
    """The members of a job that change, without those that the reply did not give."""
    state: JsonObject = {
        "status": facts.status,
        "progress": _progress(facts),
        "estimated_seconds": facts.estimated_seconds,
        "usage": facts.usage,
        "raw": facts.raw,
    }
    if facts.status in {"succeeded", "unknown"} and (facts.urls or facts.status in FINAL):
        kept_for = provider.output_seconds
        expiry = {"expires_at": seconds + kept_for} if kept_for else {}
        state["outputs"] = [{"url": url, **expiry} for url in facts.urls]
    if facts.status in {"succeeded", "unknown"}:
        state["element"] = facts.element
    if facts.status in {"failed", "canceled"} or (facts.status == "unknown" and facts.has_error):
        error = {"message": facts.error_message or f"the vendor says {facts.word}"}
        if facts.error_code:
            error["code"] = facts.error_code
        state["error"] = error
    return {name: value for name, value in state.items() if value is not None}
