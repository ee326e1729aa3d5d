"""What a plan says of itself: a verdict for every leaf of the request, and why it is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ..mapping.reports import Fate
from ..places import leaves

if TYPE_CHECKING:
    from .planning import Plan


@frozen
class Verdict:
    """What became of one leaf of the request (or of a value the vendor demands, where `source` is empty)."""

    source: str
    field: str
    target: str
    verdict: Fate
    reason: str = ""


@frozen
class Violation:
    """Why a plan is refused: one problem, in the caller's words. `served_by` lists vendors without that problem."""

    field: str
    source: str
    message: str
    limit: str = ""
    served_by: tuple[str, ...] = ()


def verdicts(plan: Plan) -> Iterator[Verdict]:
    """Entries spread over the leaves they cover; refused leaves last."""
    covered = {entry.source: entry for entry in plan.entries if entry.source}
    refused = {problem.source: problem for problem in plan.problems}
    for entry in plan.entries:
        if not entry.source:
            yield Verdict("", entry.field, entry.target, entry.fate, entry.reason)
    for at, _ in leaves(plan.request) if plan.request else ():
        problem = _longest(refused, at) or refused.get("/" + at.split("/")[1] if at else "")
        if problem is not None:
            yield Verdict(at, at.split("/")[1], "", Fate.REFUSED, problem.reason)
            continue
        entry_ = _longest(covered, at)
        if entry_ is None:
            # Nothing was written because the plan was refused before it came to this field.
            yield Verdict(at, at.split("/")[1], "", Fate.REFUSED, "the request was refused")
        else:
            rest = at[len(entry_.source) :]
            yield Verdict(
                at, entry_.field, entry_.target and entry_.target + rest, entry_.fate, entry_.reason
            )


def _longest(table: Mapping[str, Any], at: str) -> Any:
    while at:
        if at in table:
            return table[at]
        at = at.rpartition("/")[0]
    return None


def violations(plan: Plan) -> Iterator[Violation]:
    """Every problem once, with the vendors that do not have it."""
    told: set[str] = set()
    for problem in plan.problems:
        # Whether another vendor sells the model is asked with the model, everything else without it.
        others = plan.elsewhere if problem.field == "model" else plan.elsewhere_in_any_model
        # Every other vendor would just leave the extra out.
        others = others if problem.field != "extra" else ()
        served = tuple(
            other.vendor
            for other in others
            if other.route and problem.field not in {p.field for p in other.problems}
        )
        limit = f"; {plan.vendor} takes {problem.limit}" if problem.limit else ""
        hint = f". Served by: {', '.join(served)}" if served else ""
        message = f"{problem.field}: {problem.reason}{limit}{hint}"
        if message not in told:
            told.add(message)
            yield Violation(problem.field, problem.source, message, problem.limit, served)
