"""What a plan says of itself: a verdict for each leaf of the request, and why it is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from attrs import Factory, frozen

from ..mapping.reports import Fate, MappingEntry, Problem
from ..places import JsonObject, leaves

Found = TypeVar("Found")


@frozen
class Verdict:
    """What became of one leaf of the request.

    `source` is the leaf's JSON Pointer. It is empty for a value that the vendor demands and the
    caller left unset. `target` is the JSON Pointer in the native body.
    """

    source: str
    field: str
    target: str
    verdict: Fate
    reason: str = ""
    warning: bool = False
    """Whether it may be something else than was meant, and should be told before anything is paid.
    """


@frozen
class Served:
    """Who does not have a problem: as in `Violation`."""

    vendors: tuple[str, ...] = ()
    other_models: Mapping[str, str] = Factory(dict)


@frozen
class Violation:
    """Why a plan is refused: one problem in the caller's words."""

    field: str
    source: str
    message: str
    limit: str = ""
    served_by: tuple[str, ...] = ()
    """The vendors that do not have this problem, with the model that is asked for."""
    other_models: Mapping[str, str] = Factory(dict)
    """Further vendors that do not have it, and the model family of each that would do."""


def verdicts(
    request: JsonObject, entries: Sequence[MappingEntry], problems: Sequence[Problem]
) -> Iterator[Verdict]:
    """One verdict for each leaf of a request, after those of the values that the vendor demands."""
    carried = {entry.source: entry for entry in entries if entry.source}
    refused = {problem.source: problem for problem in problems}
    for entry in entries:
        if not entry.source:
            yield Verdict("", entry.field, entry.target, entry.fate, entry.reason, entry.warning)
    for at, _ in leaves(request) if request else ():
        name = at.split("/")[1] if at else ""
        problem = _covering(refused, at) or refused.get(f"/{name}" if at else "")
        found = _covering(carried, at)
        if problem is not None:
            yield Verdict(at, name, "", Fate.REFUSED, problem.reason)
        elif found is None:
            # Nothing was written: the plan was refused before it came to this field.
            yield Verdict(at, name, "", Fate.REFUSED, "the request was refused")
        else:
            target = found.target and found.target_of(at)
            yield Verdict(at, found.field, target, found.fate, found.reason, found.warning)


def _covering(by_source: Mapping[str, Found], at: str) -> Found | None:
    """What there is for a JSON Pointer, or for the nearest place above it."""
    while at:
        if at in by_source:
            return by_source[at]
        at = at.rpartition("/")[0]
    return None


def violations(
    vendor: str, problems: Sequence[Problem], served_by: Callable[[Problem], Served]
) -> Iterator[Violation]:
    """Each problem once. `served_by` names the vendors that do not have a problem."""
    messages: set[str] = set()
    for problem in problems:
        served = served_by(problem)
        limit = f"; {vendor} takes {problem.limit}" if problem.limit else ""
        hint = f". Served by: {', '.join(served.vendors)}" if served.vendors else ""
        if others := ", ".join(f"{who} ({what})" for who, what in served.other_models.items()):
            hint += f". With another model: {others}"
        message = f"{problem.field}: {problem.reason}{limit}{hint}{problem.near}"
        if message not in messages:
            messages.add(message)
            yield Violation(
                problem.field,
                problem.source,
                message,
                problem.limit,
                served.vendors,
                served.other_models,
            )
