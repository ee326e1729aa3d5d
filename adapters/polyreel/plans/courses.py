"""What is the same for all requests that set the same fields: worked out once, then looked up.

Most requests of a program set the same fields, and only the values differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from attrs import frozen

from ..mapping.groups import Group
from ..mapping.reports import Allowance, Fate, MappingEntry, MappingReport, refuse
from ..mapping.rows import Constant, Field, Forced, Row
from ..mapping.workflows import Kind, workflow_of
from ..places import JsonObject, pointer
from ..providers.base.provider import Provider
from ..providers.base.routes import Route, undocumented
from .attachments import MEDIA_FIELDS
from .requests import CheckedRequest

REMEMBERED = 1000
"""How many sets of fields are remembered."""


@frozen(eq=False)
class Course:
    """How requests that set the same fields are written on one route."""

    route: Route
    rows: tuple[Row, ...]
    """The rows that write something, in the order of the table."""
    unknown: tuple[str, ...]
    """The fields that the route has no row for."""
    model: MappingEntry
    """What is reported of the model family."""
    has_media: bool
    """Whether a field is set that can hold a file."""
    has_query: bool
    """Whether something may be written into the query."""
    undocumented: str
    """Why the fields without a row are refused."""

    def write(
        self,
        shared: Mapping[str, Any],
        body: JsonObject,
        allow: Mapping[str, Allowance],
        report: MappingReport,
    ) -> None:
        """Put a request that sets these fields, without `model` and `extra`, into a body."""
        for row in self.rows:
            row.write(shared, body, allow, report)
        for name in self.unknown:
            refuse(name, self.undocumented, allow, report)


def courses_of(
    request: CheckedRequest, provider: Provider, among: Sequence[Route] | None = None
) -> Sequence[Course]:
    """The ways to write a request on the routes, or on some of the routes, that a vendor sells for
    its workflow and model.
    """
    fields = tuple(request.fields)
    try:
        found = _courses(provider, request.kind, request.model or None, fields)
    except LookupError:
        return ()
    return found if among is None else [one for one in found if one.route in among]


@lru_cache(maxsize=REMEMBERED)
def _courses(
    provider: Provider, kind: Kind, model: str | None, fields: tuple[str, ...]
) -> Sequence[Course]:
    """Raises LookupError where nothing is sold: what nobody sells is not remembered."""
    routes = _sold(provider)[workflow_of(fields, kind), model]
    return [course(provider.id, route, fields) for route in routes]


@cache
def _sold(provider: Provider) -> Mapping[tuple[str, str | None], Sequence[Route]]:
    """The routes of each workflow, for each model family and for any."""
    found: dict[tuple[str, str | None], list[Route]] = {}
    for route in provider.routes:
        for model in (route.model, None):
            found.setdefault((route.workflow, model), []).append(route)
    return found


@lru_cache(maxsize=REMEMBERED)
def course(vendor: str, route: Route, fields: tuple[str, ...]) -> Course:
    """How requests with these fields are written on a route."""
    names = [name for name in fields if name not in {"model", "extra"}]
    rows = tuple(row for row in route.rows if has_work(row, names))
    return Course(
        route,
        rows,
        tuple(name for name in names if name not in route.by_name),
        _model_entry(vendor, route, asked="model" in fields),
        has_media=not MEDIA_FIELDS.isdisjoint(names),
        has_query="extra" in fields or any(at[:1] == "?" for row in rows for at in row.places),
        undocumented=undocumented(vendor, route),
    )


def has_work(row: Row, names: Iterable[str]) -> bool:
    """Whether a row may write or report anything for a request that sets just these fields."""
    demanded = (
        isinstance(row, Constant)
        or (isinstance(row, Field) and row.default is not None)
        or (isinstance(row, Group) and bool(row.defaults))
        or (isinstance(row, Forced) and row.chosen)
    )
    return demanded or any(name in row.names for name in names)


def _model_entry(vendor: str, route: Route, *, asked: bool) -> MappingEntry:
    constant = next((row for row in route.constants if row.field == "model"), None)
    target = pointer(constant.native) if constant else ""
    if asked:
        reason = "" if target else route.ignored.get("model", "part of the URL")
        return MappingEntry("model", "/model", target, Fate.CONVERTED, reason)
    reason = f"{route.model} is {vendor}'s first for {route.workflow}"
    return MappingEntry("model", "", target, Fate.DEFAULTED, reason)
