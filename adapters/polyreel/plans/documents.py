"""Plans, translations and comparisons as data, for programs and agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..places import JsonObject
    from .attachments import Upload
    from .comparison import Sheet
    from .planning import Plan
    from .translation import Translation
    from .verdicts import Verdict, Violation


def plan_document(plan: Plan) -> dict[str, Any]:
    """A plan as data."""
    return {
        "vendor": plan.vendor,
        "model": plan.model,
        "workflow": plan.workflow,
        "method": plan.method,
        "url": plan.url,
        "body": plan.body,
        "cost": plan.cost.document(),
        "multipart": bool(plan.parts),
        "stream": plan.stream,
        "uploads": [upload_document(upload) for upload in plan.uploads],
        "verdicts": [verdict_document(verdict) for verdict in plan.verdicts],
        "violations": [violation_document(violation) for violation in plan.violations],
        "warnings": list(plan.warnings),
    }


def upload_document(upload: Upload) -> dict[str, Any]:
    """A file that is uploaded first, as data. One that was given in the request has no path."""
    path = None if upload.path is None else str(upload.path)
    return {"path": path, "content_type": upload.file.content_type, "target": upload.target}


def verdict_document(verdict: Verdict) -> dict[str, Any]:
    """A verdict as data."""
    facts = {"source": verdict.source, "field": verdict.field, "target": verdict.target}
    why = {"reason": verdict.reason, "warning": verdict.warning}
    return {**facts, "verdict": verdict.verdict.value, **why}


def violation_document(violation: Violation) -> dict[str, Any]:
    """A violation as data."""
    facts = {"field": violation.field, "source": violation.source, "message": violation.message}
    served = {"served_by": list(violation.served_by), "other_models": dict(violation.other_models)}
    return {**facts, "limit": violation.limit, **served}


def translation_document(done: Translation) -> JsonObject:
    """A translation as data."""
    plan = plan_document(done.plan) if done.plan else {}
    kept = {name: plan.get(name) for name in ("body", "method", "url", "model", "workflow")}
    return {
        "from": done.source.id,
        "to": done.target.id,
        **kept,
        "verdicts": [verdict_document(verdict) for verdict in done.verdicts],
        "violations": [violation_document(violation) for violation in done.violations],
        "warnings": list(done.warnings),
        "alternatives": [
            {"model": other.model, "refused": other.refused, "losses": list(other.losses)}
            for other in done.alternatives
        ],
    }


def sheet_document(sheet: Sheet) -> JsonObject:
    """What every vendor makes of the fields of a workflow, as data."""
    columns = [
        {
            "vendor": vendor,
            "model": model,
            "fields": {
                field: {
                    "offered": cells[index].offered,
                    "native": list(cells[index].native),
                    "values": str(cells[index].extent),
                    "spelling": cells[index].spelling,
                    "default": cells[index].default,
                    "sent": cells[index].sent,
                    "note": cells[index].note,
                }
                for field, cells in sheet.rows
            },
        }
        for index, (vendor, model) in enumerate(sheet.columns)
    ]
    return {"workflow": sheet.workflow, "vendors": columns}
