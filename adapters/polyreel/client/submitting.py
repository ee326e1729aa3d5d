"""What clients do to submit a job."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..jobs import recovery, routing, submitting
from ..jobs.naming import named
from ..ledger.records import new_idempotency_key
from ..plans.planning import Plan
from .checks import check_labels, check_reference, checked_output, level_of_caller

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..flows import Flow


def submission(
    plans: Plan | Sequence[Plan],
    *,
    simulated: bool,
    retries: int,
    health: routing.Health | None,
    reference: str | None,
    output: str | Path | None,
    labels: Mapping[str, str] | None,
    limits: str | None,
) -> Flow[Job]:
    """The flow that submits a plan, or the first of several that a vendor takes.

    `health` is that of the vendors, where there are several plans.
    """
    check_reference(reference)
    check_reference(limits, "limits")
    check_labels(labels)
    chosen = [plans] if isinstance(plans, Plan) else plans
    folder = None
    if output is not None:
        folder = str(named(checked_output(output, chosen), reference))
    if simulated:
        _warn_of_ready_made_files(chosen)
    options: submitting.SubmitOptions = {
        "simulated": simulated,
        "idempotency_key": new_idempotency_key(),
        "reference": reference,
        "folder": folder,
        "labels": labels,
        "limits": limits,
    }
    if isinstance(plans, Plan):
        flow = submitting.submit(plans, retries=retries, **options)
    else:
        known = health or routing.Health()
        flow = routing.submit_somewhere(plans, known, retries=retries, **options)
    if reference is None:
        return flow
    return recovery.submit_once(flow, chosen, reference, simulated=simulated)


def _warn_of_ready_made_files(plans: Sequence[Plan]) -> None:
    """Warn before a simulated submit whose file will not be as it was asked for."""
    from ..simulator import ready_made

    plan = next((plan for plan in plans if not plan.refused), None)
    if plan is not None and (text := ready_made.shortcoming(plan)):
        warnings.warn(text, ready_made.ReadyMadeWarning, stacklevel=level_of_caller())
