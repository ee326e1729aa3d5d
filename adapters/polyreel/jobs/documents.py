"""Jobs, entries of the ledger and findings about them as data, for programs and agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..money.charged import charged
from ..plans.documents import plan_document
from ..plans.planning import PlanRefusedError

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..errors import PolyreelError
    from ..ledger.records import LedgerEntry
    from ..places import JsonObject
    from .recovery import Finding


def job_document(job: Job) -> dict[str, Any]:
    """A job as data."""
    found: dict[str, Any] = job.model_dump(mode="json", exclude_none=True)
    # Jobs that were written down by an older polyreel have no charge of their own.
    charge = charged(job) if job.charge is None else None
    return found if charge is None else {**found, "charge": charge.document()}


def entry_document(entry: LedgerEntry) -> JsonObject:
    """An entry as data."""
    own = entry.submission
    facts: JsonObject = {
        "id": entry.id,
        "state": entry.state,
        "vendor": own.vendor,
        "model": own.model,
        "workflow": own.workflow,
        "simulated": own.simulated,
        "reference": own.reference,
        "labels": dict(own.labels) or None,
        "reason": entry.reason,
        "request_id": entry.request_id,
        "attempts": entry.attempts,
        "follows": entry.follows,
        "created_at": entry.created_at,
        "updated_at": entry.updated_at,
        "finished_at": entry.finished_at,
        "in_use": entry.owned,
        "estimate": own.estimate,
        "job": job_document(entry.job) if entry.job else None,
    }
    return {name: value for name, value in facts.items() if value is not None}


def finding_document(finding: Finding) -> JsonObject:
    """What was found out about an ambiguous entry, as data."""
    facts: JsonObject = {
        "id": finding.entry,
        "vendor": finding.vendor,
        "result": finding.result,
        "text": finding.text,
    }
    if finding.job is not None:
        facts["job"] = job_document(finding.job)
    return {**facts, "candidates": list(finding.candidates)}


def error_facts(error: PolyreelError) -> JsonObject:
    """What an error knows beside its message: what it may have cost, and which job it is about."""
    optional = ("billed", "vendor", "status", "code", "request_id", "ledger_id")
    facts: JsonObject = {
        name: value for name in optional if (value := getattr(error, name)) is not None
    }
    if error.job is not None:
        facts["job"] = job_document(error.job)
    if isinstance(error, PlanRefusedError):
        facts["plan"] = plan_document(error.plan)
    return facts
