"""Routes: what a vendor sells, one for each model family, workflow and form of the body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from attrs import field, frozen

from ...mapping.codecs import Limited, MeaninglessError
from ...mapping.items import TypedItems
from ...mapping.rows import Absent, Constant, Field, Forced, Row
from ...mapping.workflows import WORKFLOWS
from ...places import JsonObject
from .calling import filled
from .contract import Contract
from .generated import GeneratedModel, GeneratedOperation


def undocumented(vendor: str, route: Route) -> str:
    """Why a field without a row is refused."""
    return f"{vendor} documents no such field for {route.model} {route.workflow}"


@frozen(eq=False)
class Route:
    """A model family and a workflow that a vendor sells with one operation and one body."""

    model: str
    workflow: str
    operation: GeneratedOperation
    """The generated endpoint module, or what stands for it (see `generated` and `specified`)."""
    body: GeneratedModel
    """The generated class of the body, or what stands for it; its name is the schema's name."""
    rows: tuple[Row, ...]
    ignored: Mapping[str, str] = field(factory=dict)
    """Native places that the shared model does not cover, each with the reason."""
    path_values: Mapping[str, str] = field(factory=dict)
    """Values for the parameters of the operation's path, where the route decides them."""

    @cached_property
    def path(self) -> str:
        """The path of the paid call, with the route's own values in it."""
        return filled(self.operation.PATH, self.path_values, slashes=True)

    @property
    def source_model(self) -> str:
        """What says to `translate` that a body is of this route: where it has a path, that."""
        return self.path.removeprefix("/") if self.path_values else self.model

    @cached_property
    def schema(self) -> str:
        """The name of the body's schema in the contract."""
        return self.body.__name__

    @cached_property
    def by_name(self) -> Mapping[str, Row]:
        """The row of each shared field."""
        return {name: row for row in self.rows for name in row.names}

    @cached_property
    def by_place(self) -> Mapping[str, Row]:
        """The row of each native place."""
        return {place: row for row in self.rows for place in row.places}

    @cached_property
    def rows_at(self) -> Mapping[str, Sequence[Row]]:
        """The rows of each native place, in their order: there can be several."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            for place in dict.fromkeys(row.places):
                found.setdefault(place, []).append(row)
        return found

    @cached_property
    def places_by_name(self) -> Mapping[str, Sequence[str]]:
        """The native places by their last names."""
        found: dict[str, list[str]] = {}
        for place in self.by_place:
            found.setdefault(place.rpartition(".")[2], []).append(place)
        return found

    @cached_property
    def inferred(self) -> Mapping[str, Field]:
        """How fields are written that only seem to be missing, by native place."""
        rows = (row.inferred for row in self.rows if isinstance(row, Absent) and row.inferred)
        return {row.native: row for row in rows}

    @cached_property
    def constants(self) -> tuple[Constant, ...]:
        """The rows that tell this route from others."""
        return tuple(row for row in self.rows if isinstance(row, Constant))

    def strangeness(self, body: Mapping[str, Any], contract: Contract) -> tuple[int, int, int, int]:
        """How badly a body fits a route whose constants it does not contradict; 0 is best.

        First counts that it names the route, then how many required fields it misses, then how
        many of its fields the route does not know, then whether it leaves out what it should name.
        An item of a typed list counts as a field.
        """
        constants = {row.native for row in self.constants}
        required = set(contract.schema(self.schema).get("required", [])) - constants
        known = {place.partition(".")[0] for place in (*self.by_place, *self.ignored)}
        lists = [row for row in self.rows if isinstance(row, TypedItems)]
        named = sum(row.names_route(body) for row in self.constants)
        silent = sum(row.is_left_out(body) and not row.optional for row in self.constants)
        missing = sum(name not in body for name in required)
        missing += sum(row.lacks(body, WORKFLOWS[self.workflow]) for row in lists)
        unknown = len(body.keys() - known) + sum(row.strange(body) for row in lists)
        return -named, missing, unknown, silent

    def defaults_in(self, contract: Contract) -> JsonObject:
        """The shared values that a contract documents for fields that a body leaves out."""
        found: JsonObject = {}
        for row in self.rows:
            if isinstance(row, Forced):
                found[row.shared] = row.value
            elif isinstance(row, Field):
                if isinstance(row.codec, Limited) and len(row.codec.values) == 1:
                    found[row.shared] = row.codec.values[0]
                    continue
                schema = contract.property(self.schema, row.native) or {}
                if "default" in schema:
                    with suppress(MeaninglessError):
                        found[row.shared] = row.codec.decode(schema["default"], {})
        return found


class Routes(tuple[Route, ...]):
    """Routes in order, and those of them that a body can belong to at the first look."""

    def with_model(self, path: str | None, model: object) -> Sequence[Route]:
        """The routes at a path (None: at any) that do not contradict the `model` of a body."""
        at = self._by_model.get(path, {})
        return at.get(model if isinstance(model, str) else None, at.get(None, ()))

    @cached_property
    def _by_model(self) -> Mapping[str | None, Mapping[str | None, Sequence[Route]]]:
        found: dict[str | None, Mapping[str | None, Sequence[Route]]] = {}
        pairs = [(route, _model_of(route)) for route in self]
        for path in {None, *(route.path for route in self)}:
            at = [(route, name) for route, name in pairs if path in {None, route.path}]
            found[path] = {
                model: [route for route, name in at if name in {None, model}]
                for model in {None, *(name for _, name in at)}
            }
        return found


def _model_of(route: Route) -> str | None:
    """The `model` that every body of a route has; None where bodies can be without one."""
    rows = (row for row in route.constants if row.places == ("model",) and not row.optional)
    return next((row.value for row in rows if row.field != "workflow"), None)
