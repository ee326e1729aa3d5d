"""What each vendor can express, computed from its routes and its contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from attrs import evolve, frozen

from ..mapping.codecs import Choice, Limited, Only, Pointless, Single, word
from ..mapping.groups import Group, Names
from ..mapping.items import TypedItems
from ..mapping.rows import Absent, Field, Forced, Row
from ..mapping.sizes import FrameSize
from ..mapping.workflows import inputs_of_others, request_of
from ..places import JsonObject
from ..providers.base.contract import Contract
from ..providers.base.provider import Provider
from ..providers.base.routes import Route, undocumented

NOT_FIELDS: Final = frozenset({"model", "extra"})


@frozen
class Extent:
    """The values a field may have, as far as the contract limits them. None is no limit."""

    choices: tuple[str, ...] | None = None
    low: float | None = None
    high: float | None = None
    most_items: int | None = None
    most_characters: int | None = None

    def __str__(self) -> str:
        parts: list[str] = []
        if self.choices is not None:
            parts.append(", ".join(self.choices))
        if self.low is not None or self.high is not None:
            parts.append(f"{_bound(self.low)} to {_bound(self.high)}")
        if self.most_items is not None:
            parts.append(f"at most {self.most_items} items")
        if self.most_characters is not None:
            parts.append(f"at most {self.most_characters} characters")
        return "; ".join(parts)

    def covers(self, other: Extent) -> bool:
        """Whether every value of the other is one of this."""
        if self.choices is not None and (
            other.choices is None or not set(other.choices) <= set(self.choices)
        ):
            return False
        lows = self.low is None or (other.low is not None and other.low >= self.low)
        tops = (
            (self.high, other.high),
            (self.most_items, other.most_items),
            (self.most_characters, other.most_characters),
        )
        return lows and all(
            ours is None or (theirs is not None and theirs <= ours) for ours, theirs in tops
        )


@frozen
class Capability:
    """What one route makes of one shared field."""

    field: str
    offered: bool
    native: tuple[str, ...] = ()
    """The native places, the one that is sent first."""
    extent: Extent = Extent()
    """Values and limits in shared words."""
    spelling: str = ""
    """How values are spelled where the native ones differ."""
    default: str = ""
    """The vendor's documented default."""
    sent: str = ""
    """What polyreel sends, and why, where the vendor demands a value and the caller sets none."""
    note: str = ""


def shared_fields(route: Route) -> tuple[str, ...]:
    """Each field of the shared request that can be asked of a route.

    Inputs that make a request one of another workflow are not among them.
    """
    elsewhere = NOT_FIELDS | inputs_of_others(route.workflow)
    every = _properties(request_of(route.workflow))
    return tuple(field for field in every if field not in elsewhere)


@cache
def _properties(name: str) -> tuple[str, ...]:
    return tuple(Contract.load("polyreel").schema(name)["properties"])


def capabilities(provider: Provider, route: Route) -> Iterator[Capability]:
    """What a route makes of every shared field."""
    defaults = provider.defaults(route)
    for field in shared_fields(route):
        yield _capability(provider, route, field, route.by_name.get(field), defaults)


def _capability(
    provider: Provider, route: Route, field: str, row: Row | None, defaults: Mapping[str, Any]
) -> Capability:
    if row is None or isinstance(row, Absent):
        return Capability(
            field, False, note=row.reason if row is not None else undocumented(provider.id, route)
        )
    if isinstance(row, Field) and isinstance(row.codec, Pointless):
        return Capability(field, False, note=row.codec.reason)
    if isinstance(row, Forced):
        only = word(row.value)
        return Capability(
            field, True, extent=Extent(choices=(only,)), default=only, note=row.reason
        )
    if isinstance(row, TypedItems):
        extent = _of_items(provider, route, row, field)
        return Capability(field, True, (row.place_of(field),), extent, note=row.note)
    assert isinstance(row, (Field, Group))
    demanded = row.default if isinstance(row, Field) else row.defaults.get(field)
    sent = ""
    if demanded is not None:
        condition = f" beside {demanded.when}" if demanded.when else ""
        sent = f"{word(demanded.value) or 'empty'}{condition}: {demanded.reason}"
    default = word(defaults[field]) if field in defaults else ""
    extent, spelling = _values(provider.contract, route.schema, field, row)
    read = (one for one in route.rows if isinstance(one, FrameSize) and field in one.says)
    places = (*row.places, *(place for one in read for place in one.places))
    return Capability(field, True, places, extent, spelling, default, sent, row.note)


def _values(contract: Contract, schema: str, field: str, row: Field | Group) -> tuple[Extent, str]:
    if isinstance(row, Group):
        if isinstance(row.codec, Names):
            column = row.codec.shared.index(field)
            return Extent(
                choices=tuple(dict.fromkeys(word(key[column]) for key in row.codec.table))
            ), ""
        return Extent(), ""
    if isinstance(row.codec, Choice):
        spelling = ", ".join(
            f"{word(shared)} = {native}" for shared, native in row.codec.table.items()
        )
        return Extent(choices=tuple(word(value) for value in row.codec.table)), spelling
    if isinstance(row.codec, Single):
        return Extent(most_items=1), ""
    if isinstance(row.codec, Limited):
        return Extent(choices=tuple(map(word, row.codec.values))), ""
    native = contract.property(schema, row.native) or {}
    return extent_of(native.get("items", {}) if isinstance(row.codec, Only) else native), ""


def _of_items(provider: Provider, route: Route, row: TypedItems, field: str) -> Extent:
    """What the contract says of the items of one field: how many there can be, and of the value."""
    contract = provider.contract
    listed = contract.property(route.schema, row.native) or {}
    item = next(item for item in row.items if item.shared == field)
    forms = map(contract.resolve, contract.resolve(listed.get("items", {})).get("oneOf", ()))
    form: JsonObject = next((form for form in forms if _is_of(form, item.marks)), {})
    value = extent_of(contract.resolve(form.get("properties", {}).get(item.member, {})))
    return evolve(value, most_items=form.get("x-polyreel-most"))


def _is_of(form: JsonObject, marks: Mapping[str, str]) -> bool:
    """Whether a form of an item has these marks."""
    members = form.get("properties", {})
    return all(members.get(name, {}).get("const") == value for name, value in marks.items())


def extent_of(schema: JsonObject) -> Extent:
    """The limits of a schema; of its list or text form, where null is allowed beside it.

    A word beside a form without a list of words, such as auto for a number, is no list of them all.
    """
    options = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    for option in options:
        schema = {**schema, **option}
    if any("enum" not in one for one in options):
        schema = {name: one for name, one in schema.items() if name != "enum"}
    values = [True, False] if schema.get("type") == "boolean" else schema.get("enum")
    return Extent(
        choices=None if values is None else tuple(word(value) for value in values),
        low=schema.get("minimum"),
        high=schema.get("maximum"),
        most_items=schema.get("maxItems"),
        most_characters=schema.get("maxLength"),
    )


def _bound(value: float | None) -> str:
    if value is None:
        return "any"
    return str(value) if isinstance(value, int) else f"{value:g}"
