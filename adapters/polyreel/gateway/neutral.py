"""Answers without a word that nobody said: what is not known of them is left out, or is neutral.

Answers are made from the examples of a contract. An example says more than is known of a job: what
it cost, or how many jobs wait before it. Such members are left out. Where the contract demands
them, they have the neutral value of their schema, such as 0 or an empty text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from attrs import Factory, define

from ..places import Json, JsonObject, Place
from ..providers.base.contract import Contract

NOTHING: Final[tuple[Any, ...]] = (None, "", [], {})
"""Values that say nothing of a job, wherever they come from."""
LEFT_OUT: Final = object()
DEEPEST: Final = 20
"""How deep schemas are followed: one can hold itself."""


def neutral(contract: Contract, schema: Json, depth: int = 0) -> Any:
    """The value of a schema that says least: null, else nothing, zero or false."""
    options = [*_options(contract, schema)]
    kinds = [_kind(one) for one in options]
    if "null" in kinds or depth > DEEPEST:
        return None
    chosen = next((one for one, kind in zip(options, kinds, strict=True) if kind), {})
    kind = _kind(chosen)
    if "const" in chosen:
        return chosen["const"]
    if chosen.get("enum"):
        return chosen["enum"][0]
    if kind == "object":
        members = chosen.get("properties", {})
        wanted = chosen.get("required", ())
        return {one: neutral(contract, members.get(one, {}), depth + 1) for one in wanted}
    if kind in {"integer", "number"}:
        return max(0, chosen.get("minimum", 0))
    return {"array": [], "boolean": False, "string": ""}.get(str(kind))


def _options(contract: Contract, schema: Json, depth: int = 0) -> Iterator[JsonObject]:
    """A schema in each of its forms."""
    node = contract.resolve(schema)
    if not isinstance(node, dict) or depth > DEEPEST:
        return
    inner = [one for key in ("anyOf", "oneOf", "allOf") for one in node.get(key, ())]
    for one in inner:
        yield from _options(contract, one, depth + 1)
    kinds = node.get("type")
    if isinstance(kinds, list):
        yield from ({**node, "type": kind} for kind in kinds)
    elif not inner or "properties" in node:
        yield node


def _kind(schema: JsonObject) -> Any:
    return schema.get("type") or ("object" if "properties" in schema else None)


@define
class Cleaning:
    """Takes out of an answer what is not known; `untold` are the members that are neutral then."""

    contract: Contract
    is_kept: Callable[[Place, Json], bool]
    """Whether the value at a place is known."""
    untold: list[str] = Factory(list)

    def of(self, value: JsonObject, schema: Json) -> JsonObject:
        """A copy of an answer with what is known of it."""
        found: JsonObject = self._object(value, schema, ())
        return found

    def _value(self, value: Json, schema: Json, at: Place) -> Any:
        if self.is_kept(at, value) or any(value is one or value == one for one in NOTHING):
            return value
        if isinstance(value, dict):
            found = self._object(value, schema, at)
            return found if any(self._holds(value, at)) else LEFT_OUT
        if isinstance(value, list):
            options = (one.get("items", {}) for one in _options(self.contract, schema))
            items: Json = next((one for one in options if one), {})
            found_items = [
                self._value(item, items, (*at, index)) for index, item in enumerate(value)
            ]
            kept = [one for one in found_items if one is not LEFT_OUT]
            return kept or LEFT_OUT
        return LEFT_OUT

    def _holds(self, value: JsonObject | list[Json], at: Place) -> Iterator[bool]:
        """Whether anything within a value is known, one value after the other."""
        yield self.is_kept(at, value)
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in inner:
            if isinstance(item, dict | list):
                yield from self._holds(item, (*at, name))
            else:
                yield self.is_kept((*at, name), item)

    def _object(self, value: JsonObject, schema: Json, at: Place) -> JsonObject:
        described = self._described(value, schema)
        members, wanted = described.get("properties", {}), described.get("required", ())
        found: JsonObject = {}
        for name, item in value.items():
            before = len(self.untold)
            inner = self._value(item, members.get(name, {}), (*at, name))
            if inner is not LEFT_OUT:
                found[name] = inner
                continue
            del self.untold[before:]
            if name in wanted:
                found[name] = neutral(self.contract, members.get(name, {}))
                self.untold.append(".".join(map(str, (*at, name))))
        return found

    def _described(self, value: JsonObject, schema: Json) -> JsonObject:
        """The form of a schema that has most of an object's members."""
        forms = [one for one in _options(self.contract, schema) if "properties" in one]
        return max(
            forms,
            key=lambda one: len(one["properties"].keys() & value.keys()),
            default={},
        )
