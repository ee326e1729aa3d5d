"""Reading stored bodies kindly: numbers as text, fields of a sibling, echoes that ask for nothing.

What a body says is kept wherever somebody has a word for it, and each value has its entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from functools import cached_property, partial
from typing import Any, Final

from attrs import evolve, frozen

from ..mapping.codecs import word
from ..mapping.reports import Fate, MappingEntry
from ..mapping.rows import Absent, Field, Forced
from ..mapping.workflows import WORKFLOWS, request_of
from ..places import MISSING, JsonObject, is_missing, pointer, pointer_text, put
from ..providers.base.contract import Contract
from ..providers.base.provider import Provider
from ..providers.base.registry import all_providers
from ..providers.base.routes import Route
from ..providers.base.schemas import SchemaViolation
from .reading import Reading

COUNTS: Final = frozenset(
    [
        "n",
        "count",
        "num_images",
        "num_outputs",
        "num_results",
        "num_videos",
        "number_of_images",
        "number_of_videos",
        "numberOfVideos",
        "samples",
        "sample_count",
        "sampleCount",
        "batch_size",
    ]
)
"""Names under which vendors ask for a number of outputs. One is what is made anyway."""
ECHOES: Final[Mapping[str, tuple[object, str]]] = {
    "stream": (False, "an answer at once is what there is anyway"),
    "response_format": ("url", "a link is what there is anyway"),
}
"""Values that other APIs have, and that ask for what every vendor does."""
LARGEST: Final = 2**53
"""Below it, every whole number is exact as a JSON number."""
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
SHARED: Final = partial(Contract.load, "polyreel")
INPUTS: Final = frozenset(name for names in WORKFLOWS.values() for name in names)


# -- spellings -------------------------------------------------------------------------------------


@frozen
class Spelled:
    """A body in the spelling of its schema, and the places that were respelled or left out."""

    body: JsonObject
    places: frozenset[str] = frozenset()
    empty: tuple[str, ...] = ()


def without_empty(body: JsonObject) -> Spelled:
    """The body without fields that say nothing: null, and an empty text, list or object.

    An empty prompt stays, since some vendors demand one.
    """
    empty: list[str] = []

    def kept(node: JsonObject, at: str) -> JsonObject:
        found: JsonObject = {}
        for name, value in node.items():
            place = at + pointer_text([name])
            if isinstance(value, dict) and value:
                if inner := kept(value, place):
                    found[name] = inner
            elif name != "prompt" and (value is None or value in ("", [], {})):
                empty.append(place)
            else:
                found[name] = _plain(value)
        return found

    made = kept(body, "")
    return Spelled(made, empty=tuple(empty))


def _plain(value: Any) -> Any:
    """A value with its whole numbers as such: 5.0 is the same number as 5 in JSON."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < LARGEST
    return int(value) if is_whole else value


def spelled_out(given: Spelled, provider: Provider, route: Route) -> Spelled:
    """The body with the constants that its route needs, and with numbers and switches as such.

    Vendors' own tables write numbers as text where their schemas do not, and forms carry only text.
    """
    body = given.body
    found = provider.contract.accepts(route.schema, body)
    silent = [row for row in route.constants if row.is_left_out(body)]
    if not found:
        return given
    copy = deepcopy(body)
    for row in silent:
        with suppress(ValueError, TypeError, IndexError):  # something else in an object's place
            put(copy, row.native, row.value)
    places = {
        "".join(f"/{part}" for part in violation.path)
        for violation in found
        if _respell(copy, violation, _types(provider, route, violation))
    }
    return evolve(given, body=copy, places=frozenset(places))


def _types(provider: Provider, route: Route, violation: SchemaViolation) -> Sequence[str]:
    """The types that a value of the wrong type could have; none for other violations.

    A field can take a word beside a number, such as auto.
    """
    if violation.kind == "anyOf":
        place = ".".join(map(str, violation.path))
        node = provider.contract.property(route.schema, place) or {}
        return [one["type"] for one in node.get("anyOf", ()) if isinstance(one.get("type"), str)]
    return violation.limit or () if violation.kind == "type" else ()


def _respell(body: JsonObject, violation: SchemaViolation, kinds: Sequence[str]) -> bool:
    """Put a value of the right type in the place of one that says the same in another type."""
    if not kinds:  # nor is the place of a rule over several items one of the body
        return False
    *parents, last = violation.path or ("",)
    holder: Any = body
    for part in parents:
        holder = holder[part]
    value = holder[last] if violation.path else None
    found = next((one for kind in kinds if (one := _as(kind, value)) is not None), None)
    if found is None:
        return False
    holder[last] = found
    return True


def _as(kind: str, value: object) -> object:
    """A value as a JSON type, where it says the same; None elsewhere."""
    if isinstance(value, str):
        text = value.strip()
        if kind == "integer" and re.fullmatch(r"-?[0-9]{1,15}", text):
            return int(text)
        if kind == "number" and re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", text):
            return float(text)
        return {"true": True, "false": False}.get(text.lower()) if kind == "boolean" else None
    if kind == "string" and isinstance(value, int | float) and not isinstance(value, bool):
        return str(int(value) if isinstance(value, float) and value.is_integer() else value)
    return None


# -- fields beyond the route -----------------------------------------------------------------------


def settled(
    reading: Reading, spelled: Spelled, target: Provider, target_model: str | None = None
) -> Reading:
    """The reading with what its extras are: echoes, or fields that have a shared word somewhere.

    `target` is the vendor that the body is written for, `target_model` another model than its own.
    """
    entries = [
        evolve(entry, fate=Fate.CONVERTED, reason=entry.reason or "written in another type")
        if entry.fate is Fate.EXACT
        and any(_within(place, entry.source) for place in spelled.places)
        else entry
        for entry in reading.entries
    ]
    nothing = "empty says what leaving it out says"
    entries += [MappingEntry("extra", at, "", Fate.DROPPED, nothing) for at in spelled.empty]
    request = dict(reading.request)
    extra = request.pop("extra", {}).get(reading.provider.id, {})
    settling = _Settling(reading, target, request, entries, target_model or reading.route.model)
    plain = {name: value for name, value in extra.items() if NAME.fullmatch(name)}
    # No field has an odd name, and one with a dot would be put elsewhere.
    rest: JsonObject = {name: value for name, value in extra.items() if name not in plain}
    for place, value in _members(plain, ""):
        if not settling.take(place, value):
            put(rest, place, value)
    if rest:
        request["extra"] = {reading.provider.id: rest}
    settling.leave_out_idle()
    settling.leave_out_defaults()
    return evolve(reading, request=request, entries=tuple(settling.entries))


def _idle(entry: MappingEntry) -> MappingEntry:
    return evolve(entry, target="", fate=Fate.DROPPED, reason="asks for nothing without shots")


def _within(place: str, source: str) -> bool:
    return place == source or place.startswith(source + "/")


def _members(extra: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Each value that is no object, with its dotted place. An object with an odd name is one."""
    for name, value in extra.items():
        plain = all(NAME.fullmatch(one) for one in (value if isinstance(value, dict) else ()))
        if isinstance(value, dict) and value and plain:
            yield from _members(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


class _Settling:
    """The extras of one reading, one after the other."""

    def __init__(
        self,
        reading: Reading,
        target: Provider,
        request: JsonObject,
        entries: list[MappingEntry],
        model: str,
    ) -> None:
        self.reading, self.target = reading, target
        self.request, self.entries = request, entries
        self.goals = [
            route
            for route in target.routes
            if (route.model, route.workflow) == (model, reading.route.workflow)
        ]
        self.goal = next(iter(self.goals), None)

    def take(self, place: str, value: Any) -> bool:
        """Whether a value is accounted for; then it is no extra any more."""
        if place in COUNTS and value in (1, "1") and not isinstance(value, bool):
            return self._drop(place, "one is what is made anyway")
        if place in ECHOES and value == ECHOES[place][0]:
            return self._drop(place, ECHOES[place][1])
        if place in self.reading.route.ignored or place in self.reading.route.by_place:
            return False  # the vendor documents it here, and it means something else
        found = self._shared_word(place, value)
        if found is None:
            return False
        name, own = found
        if name in self.request:
            if self.request[name] == own:
                return self._drop(place, f"says what {name} says")
            return self._refuse(place, f"{place} is {name}, which the body sets to another value")
        where = f"{self.reading.route.model} {self.reading.route.workflow}"
        if name in INPUTS:
            what = f"the body has {place}" if place == name else f"{place} is {name}"
            return self._refuse(
                place,
                f"{what}, which {self.reading.provider.id} does not take for {where}. "
                "Name the model or the workflow that takes it, or leave it out",
            )
        row = self.goal.by_name.get(name) if self.goal else None
        if isinstance(row, Forced) and row.value == own:
            return self._drop(place, row.reason)
        if isinstance(row, Absent) and self._is_idle(name, own):
            return self._drop(place, f"{word(own)} asks for nothing here: {row.reason}")
        self.request[name] = own
        reason = f"{self.reading.provider.id} documents no {place}: read as {name}"
        if any(place in route.by_place for route in self._own_routes):
            reason = f"{self.reading.provider.id} documents it elsewhere, not for {where}"
        self._enter(MappingEntry(name, pointer(place), f"/{name}", Fate.CONVERTED, reason))
        return True

    def leave_out_idle(self) -> None:
        """Take a switch as not said that asks for nothing without what it switches."""
        if self.request.get("shot_mode") == "custom" and "shots" not in self.request:
            del self.request["shot_mode"]
            self.entries = [
                _idle(entry) if entry.field == "shot_mode" else entry for entry in self.entries
            ]

    def leave_out_defaults(self) -> None:
        """Take what the source makes anyway, and the target has no field for, as not said."""
        defaults = self.reading.provider.defaults(self.reading.route)
        for name in self.request.keys() & defaults.keys():
            rows = [goal.by_name.get(name) for goal in self.goals]
            reasons = [row.reason for row in rows if isinstance(row, Absent)]
            value = self.request[name]
            if value != defaults[name] or not reasons or len(reasons) < len(rows):
                continue
            del self.request[name]
            reason = f"{word(value)} is {self.reading.provider.id}'s default; {reasons[0]}"
            self.entries = [
                evolve(one, target="", fate=Fate.DROPPED, reason=reason)
                if one.field == name and not one.others and one.target
                else one
                for one in self.entries
            ]

    def _is_idle(self, name: str, value: Any) -> bool:
        """Whether a value asks for nothing where neither vendor has the field for the workflow."""
        provider, own = self.reading.provider, self.reading.route
        siblings = [one for one in provider.readable_routes if one.model == own.model]
        defaults = [provider.defaults(one).get(name) for one in siblings]
        return value is False or (value is not None and value in defaults)

    def _shared_word(self, place: str, value: Any) -> tuple[str, Any] | None:
        """The shared field that a native place stands for, and the value there.

        The source's own words count first, then the target's, the shared ones, and those of other
        vendors, where they agree: people carry bodies from one to the other by hand.
        """
        routes = [*self._own_routes, *self.target.routes]
        if found := next(self._words(place, value, routes), None):
            return found
        name = place.rpartition(".")[2]
        if found := self._by_own_name(name, value):
            return found
        if self.target is self.reading.provider:
            return None  # what is not known stays as it is
        if found := next(self._words(name, value, self.target.routes, last=True), None):
            return found
        routes = [route for other in all_providers().values() for route in other.readable_routes]
        words = list(self._words(name, value, routes, last=True))
        return words[0] if len({word for word, _ in words}) == 1 else None

    @property
    def _own_routes(self) -> list[Route]:
        """The source's routes, those of the body's model first."""
        readable = self.reading.provider.readable_routes
        return sorted(readable, key=lambda one: one.model != self.reading.route.model)

    def _words(
        self, place: str, value: Any, routes: Iterable[Route], *, last: bool = False
    ) -> Iterator[tuple[str, Any]]:
        """The shared words that routes have for a native place; with `last`, for its last name."""
        for route in routes:
            for at in route.places_by_name.get(place, ()) if last else (place,):
                row = route.by_place.get(at)
                if isinstance(row, Field) and row.shared in self._shared.keys() - {"prompt"}:
                    read = _decoded(row, at, value)
                    if not is_missing(read):
                        yield row.shared, _typed(self._shared[row.shared], read)

    def _by_own_name(self, name: str, value: Any) -> tuple[str, Any] | None:
        """The shared field of the same name, where the value is one of its type."""
        if name not in self._shared or name in {"prompt", "extra", "model"}:
            return None
        found = _typed(self._shared[name], value)
        fits = any(type(found) in TYPES.get(kind, ()) for kind in _kinds(self._shared[name]))
        return (name, found) if fits else None

    @cached_property
    def _shared(self) -> Mapping[str, JsonObject]:
        """The schemas of the shared fields of what is asked for."""
        schema = request_of(self.reading.route.workflow)
        found: Mapping[str, JsonObject] = SHARED().schema(schema)["properties"]
        return found

    def _drop(self, place: str, reason: str) -> bool:
        self._enter(MappingEntry("extra", pointer(place), "", Fate.DROPPED, reason))
        return True

    def _refuse(self, place: str, reason: str) -> bool:
        """Say why a value stays an extra that no other vendor takes."""
        source = pointer(place)
        self.entries = [
            evolve(one, reason=reason) if _within(one.source, source) else one
            for one in self.entries
        ]
        return False

    def _enter(self, entry: MappingEntry) -> None:
        kept = [one for one in self.entries if not _within(one.source, entry.source)]
        self.entries = [*kept, entry]


def _kinds(schema: JsonObject) -> list[str]:
    """The JSON types of a shared field."""
    node = SHARED().resolve(schema)
    nodes = [node, *map(SHARED().resolve, node.get("anyOf", []))]
    return [one["type"] for one in nodes if "type" in one]


def _typed(schema: JsonObject, value: Any) -> Any:
    """A value for a shared field, with a number or switch that is written as text as such."""
    kinds = [kind for kind in _kinds(schema) if kind != "string"] if isinstance(value, str) else []
    return next((one for kind in kinds if (one := _as(kind, value)) is not None), value)


def _decoded(row: Field, place: str, value: Any) -> Any:
    """A native value in the shared words of a row; MISSING where the row never writes it."""
    codec = next((one.codec for one in row.aliases if one.native == place), None) or row.codec
    try:
        return codec.decode(value, {})
    except (ValueError, TypeError, KeyError, AttributeError):
        return MISSING
