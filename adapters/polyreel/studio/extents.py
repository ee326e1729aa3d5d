"""What each vendor takes of each field, to be drawn at the control of the field."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Final

from attrs import frozen

from ..plans.capabilities import Capability, capabilities
from ..providers.base.provider import Provider
from ..providers.base.registry import get_provider
from ..providers.base.routes import Route
from .columns import VendorColumn
from .forms import FormControl, StudioForm, controls

DIGEST: Final = 16
"""The length of a short name."""
SCALE_WIDTH: Final = 200.0
"""The width of a drawing of limits, in its own units."""


@frozen
class VendorExtent:
    """What one vendor takes of one field."""

    vendor: str
    model: str
    capability: Capability

    @property
    def numbers(self) -> tuple[float, ...]:
        """The values that it takes, where it takes only some numbers."""
        choices = self.capability.extent.choices or ()
        return tuple(float(one) for one in choices if one.replace(".", "", 1).isdecimal())

    @property
    def low(self) -> float | None:
        """The least number that it takes, if it says so."""
        return min(self.numbers) if self.numbers else self.capability.extent.low

    @property
    def high(self) -> float | None:
        """The largest number that it takes, if it says so."""
        return max(self.numbers) if self.numbers else self.capability.extent.high

    @property
    def text(self) -> str:
        """The limits in words."""
        if not self.capability.offered:
            return "not offered"
        found = str(self.capability.extent) or "no limit is documented"
        default = self.capability.default
        return f"{found}; default {default}" if default else found


@frozen
class Bar:
    """The drawing of what one vendor takes, on the scale of the field's slider."""

    vendor: str
    text: str
    offered: bool
    begin: float
    width: float
    ticks: tuple[float, ...] = ()


@frozen
class FieldExtents:
    """A control, and what the vendors of the page take there."""

    control: FormControl
    vendors: tuple[VendorExtent, ...]

    @cached_property
    def scale(self) -> tuple[float, float] | None:
        """The least and the largest number of a slider; None for what is no number."""
        if self.control.widget != "number" or self.control.name == "seed":
            return None
        lows = [one.low for one in self.vendors if one.low is not None]
        highs = [one.high for one in self.vendors if one.high is not None]
        return (min([*lows, 1.0 if self.control.is_whole else 0.0]), max(highs)) if highs else None

    @property
    def step(self) -> str:
        """The step of the slider."""
        return "1" if self.control.is_whole else "0.05"

    @cached_property
    def bars(self) -> tuple[Bar, ...]:
        """The drawings of all vendors."""
        return tuple(map(self._bar, self.vendors)) if self.scale else ()

    def _bar(self, one: VendorExtent) -> Bar:
        assert self.scale is not None
        least, most = self.scale
        low, high = (
            least if one.low is None else one.low,
            most if one.high is None else one.high,
        )
        begin, end = self._at(low), self._at(high)
        ticks = tuple(map(self._at, one.numbers))
        offered = one.capability.offered
        return Bar(one.vendor, one.text, offered, begin, max(end - begin, 2.0), ticks)

    def _at(self, number: float) -> float:
        """Where a number is on the scale."""
        assert self.scale is not None
        least, most = self.scale
        share = (number - least) / (most - least) if most > least else 0.0
        return round(SCALE_WIDTH * min(max(share, 0.0), 1.0), 1)

    @property
    def choices(self) -> Sequence[tuple[str, tuple[str, ...]]]:
        """The words that can be chosen, each with the vendors that take it."""
        by_word: dict[str, list[str]] = {word: [] for word in self.control.choices}
        for one in self.vendors:
            for word in one.capability.extent.choices or () if one.capability.offered else ():
                by_word.setdefault(word, []).append(one.vendor)
        return [(word, tuple(vendors)) for word, vendors in by_word.items()]

    @property
    def offered_by(self) -> tuple[str, ...]:
        """The vendors that take the field at all."""
        return tuple(one.vendor for one in self.vendors if one.capability.offered)


ShownRoutes = Mapping[str, Route]
"""The route of each vendor whose limits are shown."""


def shown_routes(form: StudioForm, columns: Iterable[VendorColumn]) -> ShownRoutes:
    """The routes whose limits stand at the controls: those of the plans, or the likeliest ones."""
    planned = {one.vendor: one.plan.route for one in columns}
    routes = {one: planned.get(one) or _route_for(one, form) for one in form.vendors}
    return {vendor: route for vendor, route in routes.items() if route is not None}


def name_of(routes: ShownRoutes) -> str:
    """A short name of these routes: while it is the same, so are the limits that are shown."""
    return _name_of(tuple(routes.items()))


@lru_cache(maxsize=256)
def _name_of(routes: tuple[tuple[str, Route], ...]) -> str:
    return digest("\n".join(f"{who} {one.model} {one.path} {one.schema}" for who, one in routes))


def digest(text: str) -> str:
    """A short name of a text."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:DIGEST]


def field_extents(workflow: str, routes: ShownRoutes) -> tuple[FieldExtents, ...]:
    """Each control of a workflow, with what the vendors of these routes take there."""
    tables = [
        (vendor, route.model, _table(get_provider(vendor), route))
        for vendor, route in routes.items()
    ]
    return tuple(
        FieldExtents(
            control,
            tuple(
                VendorExtent(vendor, model, table[control.name])
                for vendor, model, table in tables
                if control.name in table
            ),
        )
        for control in controls(workflow)
    )


def extent_of(vendor: str, route: Route, field: str) -> VendorExtent | None:
    """What a vendor takes of one field on a route; None where the field is not for it."""
    found = _table(get_provider(vendor), route).get(field)
    return None if found is None else VendorExtent(vendor, route.model, found)


@lru_cache(maxsize=256)
def _table(provider: Provider, route: Route) -> Mapping[str, Capability]:
    return {one.field: one for one in capabilities(provider, route)}


def _route_for(vendor: str, form: StudioForm) -> Route | None:
    """The route that a vendor would most likely take: that of the model, or its first one."""
    routes = [one for one in get_provider(vendor).routes if one.workflow == form.workflow]
    model = form.text("model")
    named = (one for one in routes if one.model == model)
    return next(named, None if model else next(iter(routes), None))


def models(workflow: str, vendors: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """The model families of a workflow, each with the vendors that sell it."""
    found: dict[str, list[str]] = {}
    for vendor in vendors:
        for route in get_provider(vendor).routes:
            if route.workflow == workflow and vendor not in found.setdefault(route.model, []):
                found[route.model].append(vendor)
    return {name: tuple(sellers) for name, sellers in sorted(found.items())}
