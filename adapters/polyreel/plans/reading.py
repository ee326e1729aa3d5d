"""Reading: from a vendor's native body back to the shared request, with a report on each value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from ..mapping.reports import Fate, MappingEntry, MappingReport, Problem
from ..mapping.workflows import Kind, kind_of, workflow_of
from ..places import JsonObject, leaves
from ..providers.base.provider import Provider
from ..providers.base.routes import Route


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
    the shared model has no word for are kept under `extra` and reported. Raises UnreadableBodyError
    where no route fits, and ConflictError where two spellings of one field disagree.
    """
    candidates = list(provider.routes_of_body(body, path, model))
    if not candidates:
        raise UnreadableBodyError(f"{provider.id} has no model or workflow for this body")
    route = candidates[0]
    report = MappingReport()
    shared: JsonObject = {}
    for row in route.rows:
        row.read(body, shared, report)
    _keep_rest(body, shared, provider, report)
    workflow = workflow_of(shared, kind_of(route.workflow))
    # Several routes can share one body: which one is meant shows in the inputs.
    same = [other for other in candidates if other.schema == route.schema]
    route = next((other for other in same if other.workflow == workflow), route)
    return Reading(
        provider,
        route,
        {"model": route.model, **shared},
        tuple(report.entries),
        tuple(report.problems),
    )


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
        report.entries.append(
            MappingEntry("extra", at, target, Fate.EXACT, "not in the shared model")
        )
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
        names.append(name)
        value = value[name]
    return names
