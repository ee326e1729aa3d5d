"""A plan as a notebook shows it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..mapping.media import abridged_body
from ..notebook.html import block, facts, table

if TYPE_CHECKING:
    from .planning import Plan


def plan_html(plan: Plan) -> str:
    """What would be sent, what becomes of each field, what it costs, or why it is refused."""
    state = "is refused" if plan.refused else "would be sent; nothing was"
    files = [*(one.file for one in plan.uploads), *(one for one in plan.parts if one.is_file)]
    names = [f"{one.path or 'a file in the request'} ({one.content_type})" for one in files]
    values = {
        "model": plan.model,
        "workflow": plan.workflow,
        "prompt": plan.request.get("prompt"),
        "call": f"{plan.method} {plan.url}" if plan.route else "not served",
        "cost": plan.cost,
        "warnings": "\n".join(plan.warnings) or None,
        "files that are sent": "\n".join(names) or None,
    }
    found = facts(f"plan for {plan.vendor}: {state}", values)
    if reasons := [[one.message] for one in plan.violations]:
        found += table(["refused"], reasons)
    elif plan.body:
        shown = json.dumps(abridged_body(plan.body), indent=2, ensure_ascii=False)
        found += f"<details><summary>body</summary>{block(shown)}</details>"
    rows = [[one.source, one.target, one.verdict.value, one.reason] for one in plan.verdicts]
    return found + table(["from", "to", "verdict", "why"], rows)
