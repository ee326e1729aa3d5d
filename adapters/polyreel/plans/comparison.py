"""Comparing: workflows across vendors, one vendor with another, vendors for a request, one spec with its successor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from ..mapping.codecs import word
from ..mapping.reports import Fate
from ..mapping.rows import Field, Group, Row
from ..mapping.workflows import WORKFLOWS
from ..places import JsonObject
from ..providers.base.contract import Contract
from ..providers.base.provider import Provider
from ..providers.base.registry import all_providers
from ..providers.base.routes import Route
from .capabilities import Capability, Extent, capabilities, extent_of
from .planning import Plan, plan_normalized
from .requests import normalize

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
    workflow: str | None = None, vendors: Sequence[Provider] | None = None
) -> Iterator[Sheet]:
    """What every vendor makes of every field, workflow by workflow. Fields nobody offers are left out."""
    for name in reversed(list(WORKFLOWS)):
        if workflow not in {None, name}:
            continue
        columns = [
            (provider, route)
            for provider in (vendors if vendors is not None else all_providers().values())
            for route in _first_routes(provider)
            if route.workflow == name
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
    """`route lost`, `field lost`, `range narrowed`, `value renamed`, `default changed`, and their pleasant twins."""
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


def difference(before: Provider, after: Provider) -> Iterator[VendorDifference]:
    """What changes in going from one vendor to another, for every model and workflow of the first."""
    there = {(route.model, route.workflow): route for route in reversed(_first_routes(after))}
    for route in _first_routes(before):
        twin = there.get((route.model, route.workflow))
        if twin is None:
            others = ", ".join(
                other.model for other in _first_routes(after) if other.workflow == route.workflow
            )
            yield VendorDifference(
                route.model,
                route.workflow,
                "",
                "route lost",
                route.model,
                others or "no such workflow",
            )
            continue
        new = {item.field: item for item in capabilities(after, twin)}
        for item in capabilities(before, route):
            yield from _changes(route, item, new[item.field])


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


def advise(request: Any) -> list[Advice]:
    """Every vendor and model family for a request, the one that keeps most of it first."""
    shared, kind = normalize(request)
    found = []
    for provider in all_providers().values():
        families = dict.fromkeys(route.model for route in provider.routes)
        plans = [
            plan_normalized({**shared, "model": family}, kind, provider, allow={}, preferences={})
            for family in families
        ]
        routed = [made for made in plans if made.route is not None]
        wanted = (
            [made for made in routed if shared.get("model") in {None, made.model}]
            or routed
            or plans[:1]
        )
        found += [_advice(made, shared) for made in wanted]
    return sorted(
        found, key=lambda advice: (len(advice.refused), len(advice.defaulted), advice.converted)
    )


def _advice(made: Plan, shared: JsonObject) -> Advice:
    problems = [violation.message for violation in made.violations]
    if made.model != shared.get("model", made.model):
        problems.append(
            f"model: {made.vendor} would make it with {made.model}, not {shared['model']}"
        )
    defaulted = tuple(
        v.field for v in made.verdicts if v.verdict is Fate.DEFAULTED and v.field != "model"
    )
    converted = sum(v.verdict is Fate.CONVERTED for v in made.verdicts)
    return Advice(made.vendor, made.model, tuple(problems), converted, defaulted, made)


# --- drift ----------------------------------------------------------------------------------------


def drift(provider: Provider, old: Contract, new: Contract) -> Iterator[VendorDifference]:
    """What a new spec of a vendor breaks or widens, in shared fields and routes."""
    for route in provider.routes:
        if route.schema not in new.document.get("components", {}).get("schemas", {}):
            yield VendorDifference(
                route.model,
                route.workflow,
                "",
                "route lost",
                route.schema,
                "the body's schema is gone",
            )
            continue
        if not any(
            o.path == route.operation.PATH and o.method == route.operation.METHOD
            for o in new.operations.values()
        ):
            call = f"{route.operation.METHOD} {route.operation.PATH}"
            yield VendorDifference(
                route.model, route.workflow, "", "route lost", call, "the call is gone"
            )
            continue
        yield from _schema_drift(route, old, new)


def _schema_drift(route: Route, old: Contract, new: Contract) -> Iterator[VendorDifference]:
    before, after = (dict.fromkeys(contract.properties(route.schema)) for contract in (old, new))
    for place in before | after:
        field = _field_at(route, place)
        change = _Place(route, field, place)
        if place not in after:
            yield change("field lost", place, "gone")
        elif place not in before:
            yield change("field gained", "", place)
        else:
            yield from _place_drift(
                change,
                old.property(route.schema, place) or {},
                new.property(route.schema, place) or {},
            )
    olds, news = (set(contract.schema(route.schema).get("required", ())) for contract in (old, new))
    for name in sorted(news - olds):
        yield _Place(route, _field_at(route, name), name)("now required", "optional", name)
    for name in sorted(olds - news):
        yield _Place(route, _field_at(route, name), name)("no longer required", name, "optional")


@frozen
class _Place:
    """Makes the differences of one native place."""

    route: Route
    field: str
    place: str

    def __call__(self, kind: str, before: str, after: str) -> VendorDifference:
        return VendorDifference(
            self.route.model, self.route.workflow, self.field, kind, before, after
        )


def _place_drift(change: _Place, old: JsonObject, new: JsonObject) -> Iterator[VendorDifference]:
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
    if old.get("default") != new.get("default"):
        yield change("default changed", word(old.get("default")), word(new.get("default")))


def _types(schema: JsonObject) -> set[str]:
    options = schema.get("anyOf", [schema])
    return {str(option["type"]) for option in options if "type" in option}


def _field_at(route: Route, place: str) -> str:
    """The shared field a native place belongs to; empty where none is."""
    rows: Mapping[str, Row] = route.by_place
    row = rows.get(place) or next(
        (row for at, row in rows.items() if at.startswith(place + ".")), None
    )
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
