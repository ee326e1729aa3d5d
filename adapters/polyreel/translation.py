"""Reading: a vendor's native body back into the shared request, with a report of what became of every value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from .codecs import Json
from .mapping import Entry, Fate, Problem, Report, leaves
from .provider import Provider, Route
from .requests import workflow_of


@frozen
class Reading:
    """A native body in the shared words."""

    provider: Provider
    route: Route
    request: Json
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]


class UnreadableError(ValueError):
    """A native body that belongs to no route of the vendor."""


def read(body: Mapping[str, Any], provider: Provider, path: str | None = None) -> Reading:
    """Read a native body. The route is chosen by the body (and the request path, where it is known).

    Values that the shared model has no word for are kept under `extra` and reported. Raises UnreadableError where
    no route fits, and ConflictError where two spellings of one field disagree.
    """
    candidates = list(provider.routes_of_body(body, path))
    if not candidates:
        raise UnreadableError(f"{provider.id} has no model or workflow for this body")
    route = candidates[0]
    report = Report()
    shared: Json = {}
    for row in route.rows:
        row.read(body, shared, report)
    _keep_rest(body, shared, provider, report)
    kind = "image" if route.workflow == "generate-image" else "video"
    workflow = workflow_of(shared, kind)
    # Several routes can share one body: which one is meant shows in the inputs.
    same = [other for other in candidates if other.schema == route.schema]
    route = next((other for other in same if other.workflow == workflow), route)
    request = {"model": route.model, **shared}
    return Reading(provider, route, request, tuple(report.entries), tuple(report.problems))


def _keep_rest(body: Mapping[str, Any], shared: Json, provider: Provider, report: Report) -> None:
    """Keep what no row has taken as extra."""
    taken = {entry.source for entry in report.entries} | {problem.source for problem in report.problems}
    extra: Json = {}
    for at, value in leaves(dict(body)):
        if any(at == place or at.startswith(place + "/") for place in taken):
            continue
        *parents, last = re.sub(r"/[0-9]+(/.*)?$", "", at).strip("/").split("/")
        node = extra
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = value if at.endswith("/" + last) else _whole(body, [*parents, last])
        report.entries.append(Entry("extra", at, f"/extra/{provider.id}{at}", Fate.EXACT, "not in the shared model"))
    if extra:
        shared["extra"] = {provider.id: extra}


def _whole(body: Mapping[str, Any], parts: list[str]) -> Any:
    value: Any = body
    for part in parts:
        value = value[part]
    return value
