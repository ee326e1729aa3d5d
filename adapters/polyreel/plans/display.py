"""A plan as a notebook shows it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ..mapping.media import abridged_body
from ..notebook.html import block, facts, table

if TYPE_CHECKING:
    from ..flows import Part
    from ..places import JsonObject
    from .verdicts import Verdict, Violation


def plan_html(
    title: str,
    values: Mapping[str, object],
    *,
    body: JsonObject,
    files: Iterable[Part],
    verdicts: Iterable[Verdict],
    violations: Iterable[Violation],
) -> str:
    """What would be sent, what becomes of each field, what it costs, or why it is refused."""
    names = [f"{one.path or 'a file in the request'} ({one.content_type})" for one in files]
    found = facts(title, {**values, "files that are sent": "\n".join(names) or None})
    if reasons := [[one.message] for one in violations]:
        found += table(["refused"], reasons)
    elif body:
        shown = json.dumps(abridged_body(body), indent=2, ensure_ascii=False)
        found += f"<details><summary>body</summary>{block(shown)}</details>"
    rows = [[one.source, one.target, one.verdict.value, one.reason] for one in verdicts]
    return found + table(["from", "to", "verdict", "why"], rows)
