"""What is wrong with a native body, told in the caller's words: shared fields and values, the vendor's limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ..mapping.codecs import word
from ..mapping.reports import MappingReport, Problem
from ..mapping.workflows import WORKFLOWS
from ..providers.base.provider import Provider
from ..providers.base.routes import Route
from ..providers.base.schemas import SchemaViolation

WHOLE: Final = {
    "not": "fields are set together that exclude each other",
    "anyOf": "one of the inputs that are needed is missing",
    "oneOf": "the fields fit none of the documented forms, or several",
}
"""Breaches of a body as a whole, without the body in the text."""


def row_at(route: Route, path: Sequence[str | int]) -> tuple[Any, str]:
    """The row that owns a native path, and the shared field it is about."""
    names = [str(part) for part in path if not isinstance(part, int)]
    while names:
        row = route.by_place.get(".".join(names))
        if row is not None:
            return row, row.names[0] if row.names else ""
        names.pop()
    return None, ""


def tell(
    breaches: Iterable[SchemaViolation],
    route: Route,
    shared: Mapping[str, Any],
    provider: Provider,
    report: MappingReport,
) -> None:
    """Add what the contract says against a body to the problems of a report."""
    told = {problem.field for problem in report.problems}
    for breach in breaches:
        problem = in_callers_words(breach, route, shared, provider)
        # A field that could not be written at all is told once, not again as missing; one of the wrong form is
        # not told again by a rule about its content.
        if problem.field not in told:
            report.problems.append(problem)
            told |= {problem.field} if breach.kind == "pattern" else set()


def in_callers_words(
    breach: SchemaViolation, route: Route, shared: Mapping[str, Any], provider: Provider
) -> Problem:
    """One breach of the contract as a problem of a shared field."""
    where = f"{route.model} {route.workflow}"
    if breach.kind == "required":
        row, name = row_at(route, [*breach.path, str(breach.limit)])
        name = name or str(breach.limit)
        if row is None and breach.path:
            row, name = row_at(route, breach.path)
        names = " or ".join(row.names) if row is not None and row.names else name
        return Problem(
            name,
            f"/{name}",
            f"needed for {where}" if names == name else f"{names} is needed for {where}",
        )
    if breach.kind == "additionalProperties":
        unknown = [".".join(map(str, [*breach.path, name])) for name in breach.limit or ()]
        source = f"/extra/{provider.id}/" + unknown[0].replace(".", "/")
        return Problem(
            "extra", source, f"{provider.id} documents no field {', '.join(unknown)} for {where}"
        )
    row, name = row_at(route, breach.path)
    natives = shared.get("extra", {}).get(provider.id, {})
    if breach.path and breach.path[0] in natives and name not in shared:
        place = ".".join(map(str, breach.path))
        return Problem(
            "extra", f"/extra/{provider.id}/{breach.path[0]}", f"{place}: {breach.message[:200]}"
        )
    if not name:
        return Problem(
            _needed_input(route), "/", f"{WHOLE.get(breach.kind, breach.message[:300])} for {where}"
        )
    index = "".join(f"/{part}" for part in breach.path if isinstance(part, int))
    source = f"/{name}{index}" if isinstance(shared.get(name), list) else f"/{name}"
    reason, limit = describe(breach, row, shared.get(name), "seconds" if name == "duration" else "")
    return Problem(name, source, reason, limit)


def _needed_input(route: Route) -> str:
    """For a breach of the whole body: the input that the workflow is about."""
    inputs = WORKFLOWS.get(route.workflow, ())
    return inputs[0] if inputs else "prompt"


def describe(breach: SchemaViolation, row: Any, value: Any, unit: str) -> tuple[str, str]:
    """What is wrong with a value, and what the vendor takes instead."""
    limit, shown, unit = breach.limit, word(value), f" {unit}" if unit else ""
    if breach.kind == "enum":
        options = [_decoded(row, option) for option in limit]
        return f"{shown} is not offered", "one of " + ", ".join(options)
    if breach.kind in {"maximum", "minimum"}:
        bound = "at most" if breach.kind == "maximum" else "at least"
        return f"{shown} is out of range", f"{bound} {limit}{unit}"
    if breach.kind in {"maxLength", "minLength"}:
        bound = "at most" if breach.kind == "maxLength" else "at least"
        length = len(value) if isinstance(value, str) else "its text"
        return f"{length} characters" if isinstance(
            length, int
        ) else length, f"{bound} {limit} characters"
    if breach.kind in {"maxItems", "minItems"}:
        bound = "at most" if breach.kind == "maxItems" else "at least"
        count = len(value) if isinstance(value, list) else "the number of items"
        return f"{count} given", f"{bound} {limit}"
    if breach.kind == "pattern":
        return (
            f"{shown} has not the form that is taken",
            "an https address" if limit == "^https://" else "",
        )
    if breach.kind == "format":
        return "not a valid URL" if limit in {"uri", "iri"} else f"not a valid {limit}", ""
    return breach.message, word(limit) if isinstance(limit, (str, int, float)) else ""


def _decoded(row: Any, option: Any) -> str:
    try:
        return word(row.codec.decode(option, {}))
    except (ValueError, TypeError, AttributeError):
        return word(option)
