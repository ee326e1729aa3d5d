"""Tasks by their ids alone: those that were made elsewhere, such as on the vendor's own page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from attrs import evolve

from ..errors import BadReplyError
from ..flows import Flow, now
from ..ledger.events import track as write_down
from ..ledger.records import Submission, new_idempotency_key
from ..ledger.states import started
from ..money.charged import with_charge
from ..providers.base.registry import get_provider

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..providers.base.provider import Provider

UNKNOWN: Final = "unknown"
"""The model or the workflow of a task whose vendor does not say it."""


def track(
    vendor: str,
    task: str,
    *,
    simulated: bool,
    base_url: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> Flow[Job]:
    """Ask for a task, and write it down as a job, so that it can be waited for and downloaded.

    TaskNotFoundError is raised where the vendor does not know it.
    """
    provider = get_provider(vendor)
    facts = yield from provider.get(task, base_url)
    if facts.word is None:
        raise BadReplyError(f"{vendor} says nothing of {task}", vendor=vendor)
    name = facts.raw.get("model")
    model, workflow = _sold_as(provider, name if isinstance(name, str) else None)
    seconds = yield from now()
    job = started(
        evolve(facts, id=task),
        vendor=vendor,
        model=model,
        workflow=workflow,
        simulated=simulated,
        seconds=seconds,
        labels=labels,
    )
    # When it was submitted is not known.
    job = with_charge(job.model_copy(update={"created_at": None}))
    submission = Submission(
        vendor=vendor,
        model=model,
        workflow=workflow,
        operation="",
        send=provider.call(provider.get_request(task), base_url),
        base_url=base_url or provider.base_url,
        idempotency_key=new_idempotency_key(),
        simulated=simulated,
        labels=labels or {},
    )
    return (yield from write_down(submission, job))


def _sold_as(provider: Provider, name: str | None) -> tuple[str, str]:
    """The family and the workflow of the vendor's own name of a model, where it has just one."""
    routes = [
        route
        for route in provider.routes
        for row in route.constants
        if row.native == "model" and row.value == name
    ]
    models, workflows = {one.model for one in routes}, {one.workflow for one in routes}
    return (
        models.pop() if len(models) == 1 else name or UNKNOWN,
        workflows.pop() if len(workflows) == 1 else UNKNOWN,
    )
