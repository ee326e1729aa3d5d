"""What is wrong with a native body, in the caller's words: shared fields, the vendor's limits."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from attrs import evolve

from ..errors import did_you_mean
from ..mapping.codecs import word
from ..mapping.groups import Group
from ..mapping.items import TypedItems
from ..mapping.media import FIELDS
from ..mapping.reports import MappingReport, Problem, unless_allowed
from ..mapping.rows import Field, Row
from ..mapping.workflows import WORKFLOWS
from ..places import Json, pointer_text
from ..providers.base.provider import Provider
from ..providers.base.registry import all_providers
from ..providers.base.routes import Route
from ..providers.base.schemas import SchemaViolation
from .requests import CheckedRequest

WHOLE: Final = {
    "not": "fields are set together that exclude each other",
    "anyOf": "one of the inputs that are needed is missing",
    "oneOf": "the fields fit none of the documented forms, or several",
}
"""Texts for what is wrong with a body as a whole: the validator's own would repeat the body."""


UNFIT: Final = frozenset({"format", "anyOf", "oneOf"})
"""The kinds of violations that a bad link in a list can be."""


def row_at(
    route: Route,
    path: Sequence[str | int],
    marks: object = None,
    shared: Collection[str] = (),
) -> tuple[Row | None, str]:
    """The row that a native path belongs to, and the shared field it is about.

    `marks` tell which items are meant, where it is a list of typed items. Where two rows have the
    place, it is the one that writes a field of `shared`.
    """
    names = [str(part) for part in path if not isinstance(part, int)]
    while names:
        place = ".".join(names)
        rows = route.rows_at.get(place, ())
        row = next((row for row in rows if not set(shared).isdisjoint(row.names)), None)
        row = row or (rows[0] if rows else route.inferred.get(place))
        if row is not None:
            item = row.item_with(marks, shared) if isinstance(row, TypedItems) else None
            return row, item.shared if item else next(iter(row.names), "")
        names.pop()
    return None, ""


def add_problems(
    violations: Iterable[SchemaViolation],
    route: Route,
    shared: Mapping[str, Any],
    provider: Provider,
    report: MappingReport,
) -> None:
    """Add what the contract says against a body to the problems of a report."""
    known = {problem.field for problem in report.problems}
    for violation in chain.from_iterable(map(_apart, violations)):
        problem = _of_item(violation, route, shared, report) or in_callers_words(
            violation, route, shared, provider
        )
        # A field that could not be written at all has its problem already. It is not missing, too.
        row, _ = row_at(route, violation.path)
        # Nor is a file that is refused a bad link at the place where others of its list are.
        joined = isinstance(row, Group | TypedItems) and violation.kind in UNFIT
        told = set(row.names) if joined and row else set()
        if {problem.field, *told}.isdisjoint(known):
            report.problems.append(problem)
            if violation.kind == "pattern":
                known.add(problem.field)  # no second problem about the content of a wrong form


def _apart(violation: SchemaViolation) -> Iterator[SchemaViolation]:
    """A violation, as one for each member that the vendor does not document."""
    if violation.kind != "additionalProperties":
        yield violation
        return
    for name in violation.limit or ():
        yield evolve(violation, limit=[name])


def _of_item(
    violation: SchemaViolation, route: Route, shared: Mapping[str, Any], report: MappingReport
) -> Problem | None:
    """The problem of an item in a list of typed items; None for any other violation."""
    row, _ = row_at(route, violation.path)
    if not isinstance(row, TypedItems) or violation.kind == "required":
        return None
    if (item := row.item_with(violation.marks, shared)) is not None:
        reason, limit = describe(violation, None, None, "")
        if violation.kind == "contains":
            reason, limit = f"needed for {route.model} {route.workflow}", ""
        advice = unless_allowed(item.shared) if violation.inferred else ""
        return Problem(item.shared, f"/{item.shared}", reason + advice, limit)
    at = pointer_text(violation.path)
    for entry in report.entries:
        if entry.target.startswith(at + "/") or at == entry.target:
            reason, limit = describe(violation, None, None, "")
            return Problem(entry.field, entry.source, reason, limit)
    return None


def in_callers_words(
    violation: SchemaViolation, route: Route, shared: Mapping[str, Any], provider: Provider
) -> Problem:
    """One violation of the contract as a problem of a shared field."""
    condition = _condition(violation, route, shared)
    where = f"{route.model} {route.workflow}{condition}"
    if violation.kind == "required":
        row, name = row_at(route, [*violation.path, str(violation.limit)], shared=shared)
        name = name or str(violation.limit)
        if row is None and violation.path:
            row, name = row_at(route, violation.path)
        names = " or ".join(row.names) if row is not None and row.names else name
        reason = f"needed for {where}" if names == name else f"{names} is needed for {where}"
        if row is None and (why := route.ignored.get(name)):
            example = json.dumps({"extra": {provider.id: {name: "..."}}})
            how = f"{why}: {example}, on the command line in the file of --request"
            return Problem("extra", f"/extra/{provider.id}/{name}", f"{name} is {reason}: {how}")
        return Problem(name, f"/{name}", reason)
    if violation.kind == "additionalProperties":
        member = [*violation.path, *violation.limit]  # of one member: see `_apart`
        source = pointer_text(["extra", provider.id, *member])
        reason = f"{provider.id} documents no field {'.'.join(map(str, member))} for {where}"
        return Problem("extra", source, reason, near=_near_natives(violation, route, provider))
    row, name = row_at(route, violation.path, shared=shared)
    natives = shared.get("extra", {}).get(provider.id, {})
    if violation.path and violation.path[0] in natives and name not in shared:
        place = ".".join(map(str, violation.path))
        source = pointer_text(["extra", provider.id, violation.path[0]])
        return Problem("extra", source, f"{place}: {violation.message[:200]}")
    if not name:
        reason = whole(violation) or violation.message[:300]
        name = _needed_input(route)
        return Problem(
            name, "/", f"{reason} for {where}{unless_allowed(name) if violation.inferred else ''}"
        )
    index = "".join(f"/{part}" for part in violation.path if isinstance(part, int))
    source = f"/{name}{index}" if isinstance(shared.get(name), list) else f"/{name}"
    value = shared.get(name)
    reason, limit = describe(violation, row, value, "seconds" if name == "duration" else "")
    offered = violation.limit if violation.kind == "enum" and isinstance(value, str) else ()
    near = did_you_mean(value, [_decoded(row, one) for one in offered])
    advice = unless_allowed(name) if violation.inferred else ""
    return Problem(name, source, reason + condition + advice, limit, near)


def _condition(violation: SchemaViolation, route: Route, shared: Mapping[str, Any]) -> str:
    """What of the request brings a violation about, as ` with audio and resolution 4k`."""
    named = (row_at(route, place.split("."), marks, shared) for place, marks in violation.given)
    fields = dict.fromkeys(name for _, name in named)
    told = [
        name
        if value is True or name in FIELDS or isinstance(value, list)
        else f"{name} {word(value)}"
        for name, value in ((name, shared.get(name)) for name in fields)
        if value is not None
    ]
    return f" with {' and '.join(told)}" if told else ""


def _near_natives(violation: SchemaViolation, route: Route, provider: Provider) -> str:
    """The documented fields beside an undocumented one that are near it."""
    parents = [str(part) for part in violation.path if isinstance(part, str)]
    places = list(provider.contract.properties(route.schema))
    depth, known = len(parents), [place.split(".") for place in places]
    beside = {place[depth] for place in known if place[:depth] == parents and len(place) > depth}
    return did_you_mean(next(iter(violation.limit or ()), ""), sorted(beside))


def whole(violation: SchemaViolation) -> str | None:
    """What is wrong with a body as a whole, in words; None for other violations."""
    text = WHOLE.get(violation.kind)
    if text and isinstance(violation.limit, list) and violation.limit:
        return f"{text}: {' or '.join(dict.fromkeys(map(str, violation.limit)))}"
    return text


def _needed_input(route: Route) -> str:
    """The input that a workflow is about: the field to name where the whole body is wrong."""
    inputs = WORKFLOWS.get(route.workflow, ())
    return inputs[0] if inputs else "prompt"


TYPES: Final[Mapping[str, str]] = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}
"""The types of JSON Schema, in words."""


def describe(
    violation: SchemaViolation, row: Row | None, value: Json, unit: str
) -> tuple[str, str]:
    """What is wrong with a value, and what the vendor takes instead."""
    limit, shown, unit = violation.limit, word(value), f" {unit}" if unit else ""
    bound = "at most" if violation.kind.startswith("max") else "at least"
    match violation.kind:
        case "enum":
            return f"{shown} is not offered", "one of " + ", ".join(_decoded(row, o) for o in limit)
        case "type":
            taken = (TYPES.get(one, one) for one in limit if one != "null")
            return f"{shown} is not offered", " or ".join(taken)
        case "maximum" | "minimum":
            return f"{shown} is out of range", f"{bound} {limit}{unit}"
        case "maxLength" | "minLength":
            reason = f"{len(value)} characters" if isinstance(value, str) else "its text"
            return reason, f"{bound} {limit} characters"
        case "maxItems" | "minItems":
            count = len(value) if isinstance(value, list) else "the number of items"
            return f"{count} given", f"{bound} {limit}"
        case "oneOf" | "anyOf":
            return "it has not a form that is taken", ""
        case "pattern":
            form = "an https address" if limit == "^https://" else ""
            return f"{shown} has not the form that is taken", form
        case "total":
            advice = "set the `duration` of the request, or those of the shots, so that they agree"
            return violation.message, f"{limit} together: {advice}"
        case "format":
            name = "URL" if limit in {"uri", "iri"} else limit
            return f"not a valid {name}", ""
        case _:
            known = isinstance(limit, (str, int, float))
            return violation.message, word(limit) if known else ""


def _decoded(row: Row | None, option: Json) -> str:
    """A value that the vendor offers, in the shared word where there is one."""
    try:
        return word(row.codec.decode(option, {}) if isinstance(row, Field) else option)
    except (ValueError, TypeError, AttributeError):
        return word(option)


def unserved(request: CheckedRequest, provider: Provider) -> Iterator[Problem]:
    """Why a vendor has no route at all: because of the model, or of the inputs."""
    model, workflow = request.model, request.workflow
    sold = sorted({route.model for route in provider.routes if route.workflow == workflow})
    if model and sold:
        reason = f"{provider.id} does not sell {model} for {workflow}"
        real = any(one.model == model for each in all_providers().values() for one in each.routes)
        near = "" if real else did_you_mean(model, sold)
        yield Problem("model", "/model", reason, " or ".join(sold), near)
        return
    inputs = [name for name in WORKFLOWS[workflow] if name in request.fields]
    workflows = ", ".join(dict.fromkeys(route.workflow for route in provider.routes))
    for name in inputs or ["model" if model else "name" if request.kind == "element" else "prompt"]:
        yield Problem(name, f"/{name}", f"{provider.id} has no {workflow}", workflows)
