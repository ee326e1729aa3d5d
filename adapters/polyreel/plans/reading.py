"""Reading: from a vendor's native body back to the shared request, with a report on each value."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from attrs import frozen

from ..errors import did_you_mean
from ..mapping.codecs import word
from ..mapping.reports import Fate, MappingEntry, MappingReport, Problem
from ..mapping.workflows import WORKFLOWS, Kind, kind_of, workflow_of
from ..places import JsonObject, get, is_missing, leaves, pointer
from ..providers.base.provider import Provider
from ..providers.base.routes import Route

NOT_SHARED: Final = "not in the shared model"
"""The reason of a native value that the shared model has no word for."""


@frozen
class Reading:
    """A native body in the shared words."""

    provider: Provider
    route: Route
    request: JsonObject
    entries: tuple[MappingEntry, ...]
    problems: tuple[Problem, ...]

    @property
    def kind(self) -> Kind:
        """What the body asks for."""
        return kind_of(self.route.workflow)


class UnreadableBodyError(ValueError):
    """A native body that belongs to no route of the vendor."""


def read(
    body: Mapping[str, Any], provider: Provider, path: str | None = None, model: str | None = None
) -> Reading:
    """Read a native body.

    The body chooses the route, with the path and the model family where they are known. Values that
    the shared model has no word for are kept under `extra` and reported. A body that names its
    workflow, and lacks the input of it, has a problem. Raises UnreadableBodyError where no route
    fits, or several do equally and nothing says which is meant; and ConflictError where two
    spellings of one field disagree.
    """
    candidates = list(provider.routes_of_body(body, path, model))
    if not candidates:
        raise UnreadableBodyError(_no_route(body, provider, path, model))
    if path is None:
        if model is None and _says_something_else(body, provider, candidates[0]):
            raise UnreadableBodyError(_no_route(body, provider, path, model))
        _check_one_is_meant(body, provider, candidates, model)
    # Several routes can share one body: which one is meant shows in the inputs.
    same = [other for other in candidates if other.schema == candidates[0].schema]
    route, shared, report = _read_by_the_best(body, provider, same)
    workflow = workflow_of(shared, kind_of(route.workflow))
    if all(other.workflow != workflow for other in same):
        workflows = {other.workflow: other for other in same}
        asking = [name for name in WORKFLOWS[workflow] if name in shared]
        report.problems.append(
            _missing_input(route, workflows, provider, body)
            if any(WORKFLOWS[name] for name in workflows)
            else Problem(
                asking[0],
                "",
                f"it asks for {workflow}, and {provider.id} sells {route.model} with this body "
                f"for {' or '.join(workflows)} only",
            )
        )
    route = next((other for other in same if other.workflow == workflow), route)
    return Reading(
        provider,
        route,
        {"model": route.model, **shared},
        tuple(report.entries),
        tuple(report.problems),
    )


def _read_by_the_best(
    body: Mapping[str, Any], provider: Provider, routes: list[Route]
) -> tuple[Route, JsonObject, MappingReport]:
    """What the table that fits a body best says of it: with the fewest problems and extras."""
    tables = {id(route.rows): route for route in reversed(routes)}
    found = []
    for route in reversed(tables.values()):
        report = MappingReport()
        shared: JsonObject = {}
        for row in route.rows:
            row.read(body, shared, report)
        _keep_rest(body, shared, provider, report)
        found.append((route, shared, report))
    return min(found, key=lambda one: _misfit(one[2]))


def _misfit(report: MappingReport) -> tuple[int, int]:
    extras = sum(entry.field == "extra" for entry in report.entries)
    return len(report.problems), extras


def _says_something_else(body: Mapping[str, Any], provider: Provider, route: Route) -> bool:
    """Whether a body has a word that chooses the route, and the likeliest route is not its."""
    words = {row.native for one in provider.readable_routes for row in one.constants}
    words -= route.ignored.keys()  # where the route takes any word
    chosen = any(not is_missing(get(body, native)) for native in words)
    return chosen and not any(
        row.matches(body) and not row.is_left_out(body) for row in route.constants
    )


def _check_one_is_meant(
    body: Mapping[str, Any], provider: Provider, candidates: list[Route], model: str | None
) -> None:
    """Raise UnreadableBodyError where a body fits several models or workflows equally.

    Several workflows with one body are told apart by its inputs.
    """
    best = candidates[0].strangeness(body, provider.contract)
    # A word for the workflow can be missing in a body of any model: that decides between none.
    alike = [
        one for one in candidates if one.strangeness(body, provider.contract)[:-1] == best[:-1]
    ]
    fitting = [one for one in alike if one.strangeness(body, provider.contract) == best]
    names = [f"{one.model} {one.workflow}" for one in fitting]
    models = dict.fromkeys(one.model for one in alike)
    if len(models) > 1:
        raise UnreadableBodyError(
            f"the body names no model, and fits {' and '.join(models)}; say which: "
            f"write --from {provider.id}/{fitting[0].model}, or source_model in Python"
        )
    if len({one.schema for one in fitting}) > 1 and any(
        row.is_left_out(body) for one in fitting for row in one.constants
    ):
        rows = [row for one in fitting for row in one.constants if row.is_left_out(body)]
        words = " or ".join(dict.fromkeys(json.dumps(row.value) for row in rows))
        raise UnreadableBodyError(
            f"the body fits {' and '.join(names)}; say which: set {rows[0].native} to {words}"
        )


def _no_route(
    body: Mapping[str, Any], provider: Provider, path: str | None, model: str | None
) -> str:
    """Why a body belongs to no route: the word that is not known, and the near ones that are."""
    rows = [
        row
        for route in provider.readable_routes
        if path in {None, route.path} and model in {None, route.model}
        for row in route.constants
    ]
    row = next((row for row in rows if not (row.matches(body) or row.is_left_out(body))), None)
    if row is None:
        return f"{provider.id} has no model or workflow for this body"
    known = sorted({one.value for one in rows if one.native == row.native})
    value = get(body, row.native)
    if is_missing(value):
        return f"{row.native} is missing; {provider.id} takes {', '.join(known)}"
    return f"{row.native} {word(value)!r} is not known{near_or_all(value, known)}"


def near_or_all(value: object, known: Collection[str]) -> str:
    """The known words that are near a word, to follow a text; all of them where none is near."""
    return did_you_mean(value, known) or f"; there are {', '.join(sorted(known))}"


def _missing_input(
    route: Route, workflows: Mapping[str, Route], provider: Provider, body: Mapping[str, Any]
) -> Problem:
    """The problem of a body whose model or workflow word asks for an input that it does not have.

    `workflows` are those that the word can stand for.
    """
    rows = {
        one: row
        for name in workflows
        for one in WORKFLOWS[name]
        if (row := workflows[name].by_name.get(one)) is not None and row.places
    }
    required = set(provider.contract.schema(route.schema).get("required", []))
    needed = {
        one: row
        for one, row in rows.items()
        if row.places[0].partition(".")[0] in required and is_missing(get(body, row.places[0]))
    }
    link = " and " if needed else " or "
    rows = needed or rows
    places = [row.places[0] for row in rows.values()]
    constant = next(iter(route.constants), None)
    what = f"{constant.native} {constant.value!r}" if constant else route.model
    reason = (
        f"{what} is {' or '.join(workflows)}, which needs {link.join(rows)}: "
        f"set {link.join(places)}"
    )
    return Problem(next(iter(rows)), pointer(constant.native) if constant else "", reason)


def _keep_rest(
    body: Mapping[str, Any], shared: JsonObject, provider: Provider, report: MappingReport
) -> None:
    """Keep what no row has taken as extra, lists whole."""
    taken = {entry.source for entry in report.entries}
    taken |= {problem.source for problem in report.problems}
    extra: JsonObject = {}
    for at, _ in leaves(dict(body)):
        if any(at == place or at.startswith(place + "/") for place in taken):
            continue
        if at == "":
            continue  # an empty body has nothing to keep
        node, value = extra, body
        *parents, last = _members(at, body)
        for part in parents:
            node, value = node.setdefault(part, {}), value[part]
        node[last] = value[last]
        target = f"/extra/{provider.id}{at}"
        report.entries.append(MappingEntry("extra", at, target, Fate.EXACT, NOT_SHARED))
    if extra:
        shared["extra"] = {provider.id: extra}


def _members(at: str, body: Mapping[str, Any]) -> list[str]:
    """The object members on the way to a leaf, up to the first list."""
    names: list[str] = []
    value: Any = body
    for part in at.removeprefix("/").split("/"):
        if not isinstance(value, dict):
            break
        name = part.replace("~1", "/").replace("~0", "~")
        if name not in value:
            raise UnreadableBodyError(f"{at}: the name {name} is no text, as the names in JSON are")
        names.append(name)
        value = value[name]
    return names
