"""What each vendor can express, derived from its routes and its contract: nothing here is typed twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from .codecs import Choice, Json, Names, word
from .contract import Contract
from .mapping import Absent, Field, Forced, Group, Row
from .provider import Provider, Route

NOT_FIELDS = frozenset({"model", "extra"})


@frozen
class Capability:
    """What one route makes of one shared field."""

    field: str
    offered: bool
    native: tuple[str, ...]
    """The native places, the one that is sent first."""
    values: str
    """Values and limits in shared words."""
    default: str
    """The vendor's documented default, or what polyreel sends where the vendor demands a value."""
    note: str


def shared_fields(route: Route) -> tuple[str, ...]:
    """Every field of the shared request that a route could be asked for."""
    name = "ImageRequest" if route.workflow == "generate-image" else "VideoRequest"
    properties = Contract.load("polyreel").schema(name)["properties"]
    return tuple(field for field in properties if field not in NOT_FIELDS)


def capabilities(provider: Provider, route: Route) -> Iterator[Capability]:
    """What a route makes of every shared field."""
    defaults = provider.defaults(route)
    for field in shared_fields(route):
        row = route.by_name.get(field)
        yield _capability(provider, route, field, row, defaults)


def _capability(provider: Provider, route: Route, field: str, row: Row | None, defaults: Json) -> Capability:
    if row is None or isinstance(row, Absent):
        reason = row.reason if row is not None else "the workflow has no such field"
        return Capability(field, False, (), "", "", reason)
    if isinstance(row, Forced):
        return Capability(field, True, (), f"only {word(row.value)}", word(row.value), row.reason)
    assert isinstance(row, (Field, Group))
    default = word(defaults[field]) if field in defaults else ""
    demanded = row.default if isinstance(row, Field) else row.defaults.get(field)
    if demanded is not None:
        condition = f" beside {demanded.when}" if demanded.when else ""
        default = f"{word(demanded.value) or 'empty'} sent{condition}: {demanded.reason}"
    return Capability(field, True, row.places, _values(provider, route, field, row), default, row.note)


def _values(provider: Provider, route: Route, field: str, row: Field | Group) -> str:
    if isinstance(row, Group):
        if isinstance(row.codec, Names):
            column = row.codec.shared.index(field)
            return ", ".join(dict.fromkeys(word(key[column]) for key in row.codec.table))
        return ""
    schema = provider.contract.property(route.schema, row.native) or {}
    if isinstance(row.codec, Choice):
        return ", ".join(f"{word(shared)} = {native}" for shared, native in row.codec.table.items())
    return limits(schema)


def limits(schema: Json) -> str:
    """The limits of a schema, for people."""
    parts: list[str] = []
    if "enum" in schema:
        parts.append(", ".join(word(value) for value in schema["enum"]))
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None or high is not None:
        parts.append(f"{_bound(low)} to {_bound(high)}")
    for key, text in (("maxLength", "characters"), ("maxItems", "items")):
        if key in schema:
            parts.append(f"at most {schema[key]} {text}")
    return "; ".join(parts)


def _bound(value: Any) -> str:
    return "any" if value is None else f"{value:g}"
