"""Comparisons that need no request, and the one that does.

`matrix` compares all vendors for a workflow, `difference` one vendor with another, `advise` vendors
for a request, `drift` a vendor's spec with a newer one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from ..mapping.codecs import word
from ..mapping.groups import Group
from ..mapping.reports import Fate
from ..mapping.rows import Field, Row
from ..mapping.workflows import WORKFLOWS
from ..places import JsonObject
from ..providers.base.contract import Contract, Operation
from ..providers.base.provider import Provider
from ..providers.base.registry import all_providers
from ..providers.base.routes import Route
from .capabilities import Capability, Extent, capabilities, extent_of
from .planning import Plan, plan_checked
from .requests import CheckedRequest, check_request

if TYPE_CHECKING:
    from pydantic import BaseModel

LOSSES: Final = frozenset({Fate.APPROXIMATED, Fate.DROPPED})


# --- matrix ---------------------------------------------------------------------------------------


@frozen
class Sheet:
    """One workflow: shared fields down, vendors and model families across."""

    workflow: str
    columns: tuple[tuple[str, str], ...]
    """Vendor and model."""
    rows: tuple[tuple[str, tuple[Capability, ...]], ...]
    """Field, and what each column makes of it."""


def cell(item: Capability) -> str:
    """A capability in a few words: limits and default; `-` where it is not offered."""
    if not item.offered:
        return "-"
    default = f" (default {item.default})" if item.default else ""
    return f"{item.extent}{default}" if str(item.extent) else f"yes{default}"


def matrix(
    workflow: str | None = None,
    vendors: Sequence[Provider] | None = None,
    models: Collection[str] | None = None,
) -> Iterator[Sheet]:
    """What each vendor makes of each field, a sheet per workflow, without fields nobody offers."""
    for name in reversed(list(WORKFLOWS)):
        if workflow not in {None, name}:
            continue
        columns = [
            (provider, route)
            for provider in (vendors if vendors is not None else all_providers().values())
            for route in _first_routes(provider)
            if route.workflow == name and (models is None or route.model in models)
        ]
        if columns:
            yield _sheet(name, columns)


def _first_routes(provider: Provider) -> list[Route]:
    """The routes, the first of each model and workflow: planning prefers it."""
    found: dict[tuple[str, str], Route] = {}
    for route in provider.routes:
        found.setdefault((route.model, route.workflow), route)
    return list(found.values())


def _sheet(workflow: str, columns: Sequence[tuple[Provider, Route]]) -> Sheet:
    tables = [
        {item.field: item for item in capabilities(provider, route)} for provider, route in columns
    ]
    rows = tuple(
        (field, tuple(table[field] for table in tables))
        for field in tables[0]
        if any(table[field].offered for table in tables)
    )
    return Sheet(workflow, tuple((provider.id, route.model) for provider, route in columns), rows)


# --- difference -----------------------------------------------------------------------------------


@frozen
class VendorDifference:
    """One way in which going from one vendor (or spec) to another changes a field of a route."""

    model: str
    workflow: str
    field: str
    kind: str
    """`route lost`, `field lost`, `range narrowed`, `value renamed`, `default changed`,
    `now required`, or what makes a field freer."""
    before: str
    after: str

    @property
    def breaking(self) -> bool:
        """Whether something that worked stops working, or means something else."""
        return self.kind in {
            "route lost",
            "field lost",
            "range narrowed",
            "default changed",
            "now required",
        }


def difference(
    before: Provider,
    after: Provider,
    models: Collection[str] | None = None,
    instead: str | None = None,
) -> Iterator[VendorDifference]:
    """What changes from one vendor to another, for each model and workflow of the first.

    `models` are the families that are asked for, all where it is None. `instead` is the family that
    each is compared with, where that is another one.
    """
    there = {(route.model, route.workflow): route for route in reversed(_first_routes(after))}
    for route in _first_routes(before):
        if models is not None and route.model not in models:
            continue
        twin = there.get((instead or route.model, route.workflow))
        if twin is None:
            same = (one for one in _first_routes(after) if one.workflow == route.workflow)
            others = ", ".join(one.model for one in same) or "no such workflow"
            yield _route_lost(route, route.model, others)
            continue
        new = {item.field: item for item in capabilities(after, twin)}
        for item in capabilities(before, route):
            yield from _changes(route, item, new[item.field])


def _route_lost(route: Route, before: str, after: str) -> VendorDifference:
    return VendorDifference(route.model, route.workflow, "", "route lost", before, after)


def _changes(route: Route, old: Capability, new: Capability) -> Iterator[VendorDifference]:
    def change(kind: str, before: str, after: str) -> VendorDifference:
        return VendorDifference(route.model, route.workflow, old.field, kind, before, after)

    if old.offered != new.offered:
        if old.offered:
            yield change("field lost", cell(old), new.note)
        else:
            yield change("field gained", old.note, cell(new))
        return
    if not old.offered:
        return
    if not new.extent.covers(old.extent):
        yield change("range narrowed", str(old.extent) or "any", str(new.extent) or "any")
    elif not old.extent.covers(new.extent):
        yield change("range widened", str(old.extent) or "any", str(new.extent) or "any")
    if (old.native[:1], old.spelling) != (new.native[:1], new.spelling):
        yield change("value renamed", _named(old), _named(new))
    if old.default != new.default:
        yield change(
            "default changed", old.default or "not documented", new.default or "not documented"
        )


def _named(item: Capability) -> str:
    place = item.native[0] if item.native else "(decided by the vendor)"
    return f"{place}: {item.spelling}" if item.spelling else place


# --- advice ---------------------------------------------------------------------------------------


@frozen
class Advice:
    """How well one vendor, with one model family, would serve a request."""

    vendor: str
    model: str | None
    refused: tuple[str, ...]
    """Why it would be refused, if it would."""
    converted: int
    defaulted: tuple[str, ...]
    plan: Plan


def advise(request: BaseModel | Mapping[str, Any]) -> list[Advice]:
    """Every vendor and model family for a request, the one that keeps most of it first."""
    checked = check_request(request)
    found = []
    for provider in all_providers().values():
        families = dict.fromkeys(route.model for route in provider.routes)
        plans = [plan_checked(checked.of_model(family), provider) for family in families]
        routed = [made for made in plans if made.route is not None]
        asked_for = [made for made in routed if checked.model in {None, made.model}]
        found += [_advice(made, checked) for made in asked_for or routed or plans[:1]]
    return sorted(found, key=lambda one: (len(one.refused), len(one.defaulted), one.converted))


def _advice(made: Plan, request: CheckedRequest) -> Advice:
    problems = [violation.message for violation in made.violations]
    if request.model not in {None, made.model}:
        problems.append(
            f"model: {made.vendor} would make it with {made.model}, not {request.model}"
        )
    defaulted = [verdict for verdict in made.verdicts if verdict.verdict is Fate.DEFAULTED]
    names = tuple(verdict.field for verdict in defaulted if verdict.field != "model")
    converted = sum(verdict.verdict is Fate.CONVERTED for verdict in made.verdicts)
    return Advice(made.vendor, made.model, tuple(problems), converted, names, made)


# --- drift ----------------------------------------------------------------------------------------


def drift(provider: Provider, old: Contract, new: Contract) -> Iterator[VendorDifference]:
    """What a new spec of a vendor breaks or widens, in shared fields and routes.

    Both can be documents as the vendor publishes them, whose schemas have other names than those
    of polyreel: the body of the same call that has the route's words, and most of the same fields,
    is compared then.
    """
    for route in provider.routes:
        before = _schema_in(provider, route, old)
        after = _schema_in(provider, route, new)
        if before is None:
            continue
        if _call_in(provider, route, new) is not None and after is not None:
            yield from _schema_drift(route, (old, before), (new, after))
        elif after is None:
            yield _route_lost(route, route.schema, "the body's schema is gone")
        else:
            called = f"{route.operation.METHOD} {route.operation.PATH}"
            yield _route_lost(route, called, "the call is gone")


def without_body(provider: Provider, old: Contract) -> list[Route]:
    """The routes that `drift` passes over, since the old spec has no body of theirs."""
    return [one for one in provider.routes if _schema_in(provider, one, old) is None]


def _call_in(provider: Provider, route: Route, contract: Contract) -> Operation | None:
    """The call of a route in another document of the vendor's, which can have another base URL."""
    method, path = route.operation.METHOD, route.operation.PATH
    own = [one for one in provider.contract.operations.values() if one.path == path]
    paths = {path, *(one.full_path for one in own)}
    found = [one for one in contract.operations.values() if one.method == method]
    return next((one for one in found if one.path in paths or one.full_path in paths), None)


def _schema_in(provider: Provider, route: Route, contract: Contract) -> str | None:
    """The schema of a route's body in another document of the vendor's; None where none is."""
    named = contract.document.get("components", {}).get("schemas", {})
    if route.schema in named:
        return route.schema
    call = _call_in(provider, route, contract)
    ours = _names(provider.contract, route.schema)
    found = [one for one in call.request_schemas if one in named] if call else []
    alike = {one: _likeness(ours, _names(contract, one)) for one in found}
    words = _words(provider.contract, route.schema)
    best = max(
        found,
        default=None,
        key=lambda one: (
            _says(contract, one, route),
            alike[one],
            len(words & _words(contract, one)),
        ),
    )
    return best if best and alike[best] else None


def _says(contract: Contract, schema: str, route: Route) -> int:
    """How many of the words that choose a route a schema has, such as that of its model."""
    nodes = [(row, contract.property(schema, row.native) or {}) for row in route.constants]
    return sum(row.value in (node.get("const"), *node.get("enum", ())) for row, node in nodes)


def _words(contract: Contract, schema: str) -> set[tuple[str, str]]:
    """The words that each place of a schema takes, all together."""
    nodes = {place: contract.property(schema, place) or {} for place in contract.properties(schema)}
    return {(place, str(node.get("enum"))) for place, node in nodes.items()}


def _names(contract: Contract, schema: str) -> tuple[set[str], set[str]]:
    """The places of a schema with the kinds of their items, and the members that it demands."""
    places = {*contract.properties(schema)}
    for place in [*places]:
        items = contract.resolve((contract.property(schema, place) or {}).get("items", {}))
        for form in map(contract.resolve, items.get("oneOf", ())):
            kinds = (one.get("const") for one in form.get("properties", {}).values())
            places |= {f"{place} {kind}" for kind in kinds if kind is not None}
    return places, {*contract.schema(schema).get("required", ())}


def _likeness(one: tuple[set[str], set[str]], other: tuple[set[str], set[str]]) -> float:
    """How alike two schemas are, by the names in them; 0 where they have no place in common."""
    if not one[0] & other[0]:
        return 0
    pairs = zip(one, other, strict=True)
    return sum(len(a & b) / len(a | b) if a | b else 1 for a, b in pairs)


def _schema_drift(
    route: Route, old: tuple[Contract, str], new: tuple[Contract, str]
) -> Iterator[VendorDifference]:
    before, after = (dict.fromkeys(contract.properties(name)) for contract, name in (old, new))
    for place in before | after:
        field = _field_at(route, place)
        change = _PlaceDifferences(route, field, place)
        if place not in after:
            yield change("field lost", place, "gone")
        elif place not in before:
            yield change("field gained", "", place)
        else:
            nodes = [contract.property(name, place) or {} for contract, name in (old, new)]
            if "x-polyreel-vendor" not in new[0].document:  # the vendor's own, without our facts
                nodes[0] = {key: nodes[0][key] for key in nodes[0] if key != "x-polyreel-media"}
            yield from _place_drift(change, *nodes)
    olds, news = ({*contract.required(name)} for contract, name in (old, new))
    for name in sorted(news - olds):
        yield _PlaceDifferences(route, _field_at(route, name), name)(
            "now required", "optional", name
        )
    for name in sorted(one for one in olds - news if "." not in one):
        yield _PlaceDifferences(route, _field_at(route, name), name)(
            "no longer required", name, "optional"
        )


@frozen
class _PlaceDifferences:
    """Makes the differences of one native place."""

    route: Route
    field: str
    place: str

    def __call__(self, kind: str, before: str, after: str) -> VendorDifference:
        return VendorDifference(
            self.route.model, self.route.workflow, self.field, kind, before, after
        )


def _place_drift(
    change: _PlaceDifferences, old: JsonObject, new: JsonObject
) -> Iterator[VendorDifference]:
    one, other = extent_of(old), extent_of(new)
    kinds = (_types(old), _types(new))
    if not kinds[0] <= kinds[1]:
        yield change(
            "range narrowed", " or ".join(sorted(kinds[0])), " or ".join(sorted(kinds[1])) or "any"
        )
    elif kinds[0] != kinds[1]:
        yield change("range widened", " or ".join(sorted(kinds[0])), " or ".join(sorted(kinds[1])))
    if not other.covers(one):
        yield change("range narrowed", f"{change.place}: {one or 'any'}", f"{other or 'any'}")
    elif not one.covers(other):
        yield change("range widened", f"{change.place}: {one or 'any'}", f"{other or 'any'}")
    media = [schema.get("x-polyreel-media", {}) for schema in (old, new)]
    if media[0] != media[1]:
        kind = "range widened" if media[1].items() <= media[0].items() else "range narrowed"
        yield change(kind, *(_media_text(one) for one in media))
    if old.get("default") != new.get("default"):
        yield change("default changed", word(old.get("default")), word(new.get("default")))


def _media_text(facts: JsonObject) -> str:
    """What a vendor takes of files, as text."""
    words = (
        f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in facts.items()
    )
    return ", ".join(words) or "any"


def _types(schema: JsonObject) -> set[str]:
    options = schema.get("anyOf", [schema])
    return {str(option["type"]) for option in options if "type" in option}


def _field_at(route: Route, place: str) -> str:
    """The shared field that a native place belongs to, or an empty text."""
    rows: Mapping[str, Row] = route.by_place
    below = (row for at, row in rows.items() if at.startswith(place + "."))
    row = rows.get(place) or next(below, None)
    return ", ".join(row.names) if isinstance(row, (Field, Group)) else ""


__all__ = [
    "Advice",
    "Extent",
    "Sheet",
    "VendorDifference",
    "advise",
    "cell",
    "difference",
    "drift",
    "matrix",
]
