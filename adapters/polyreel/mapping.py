"""The lens: one table of rows per route, read in both directions. Knows no vendor.

A row names a shared field, the native place, and a codec where the value changes shape. `write` turns a shared
request into a native body, `read` turns a native body into a shared request, and both report what became of
every value. Nothing is lost without a report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, Literal, cast

from attrs import Factory, define, evolve, field, frozen

from .codecs import SAME, CannotExpressError, Codec, Default, GroupCodec, Json, MeaninglessError, word

Allowance = Literal["drop", "nearest"]


class Fate(StrEnum):
    """What became of a field."""

    EXACT = "exact"
    CONVERTED = "converted"
    DEFAULTED = "defaulted"
    APPROXIMATED = "approximated"
    DROPPED = "dropped"
    REFUSED = "refused"


@frozen
class Entry:
    """One line of a report: the value at `source` became the value at `target` (JSON pointers).

    Where only some leaves of the value have another fate, they follow as entries of their own.
    """

    field: str
    source: str
    target: str
    fate: Fate
    reason: str = ""
    others: tuple[str, ...] = ()
    """Further shared fields that the value at `source` holds as well."""


@frozen
class Problem:
    """Why one shared field cannot be written as asked. `limit` says what the vendor takes instead."""

    field: str
    source: str
    reason: str
    limit: str = ""


@define
class Report:
    """What happened on the way: entries for what was carried, problems for what was not."""

    entries: list[Entry] = Factory(list)
    problems: list[Problem] = Factory(list)


class ConflictError(ValueError):
    """Two spellings of one native field hold different values."""


# --- rows -----------------------------------------------------------------------------------------------------------

_MISSING: Final = object()


@frozen
class Alias:
    """Another spelling of a native field, which is read and never written. Its codec is the field's unless given."""

    native: str
    codec: Codec | None = None


@frozen
class Field:
    """One shared field in one native place; `path.to.member` for a nested one."""

    shared: str
    native: str
    codec: Codec = SAME
    aliases: tuple[Alias, ...] = ()
    default: Default | None = None
    note: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The shared fields of this row."""
        return (self.shared,)

    @property
    def places(self) -> tuple[str, ...]:
        """The native places of this row, aliases included."""
        return (self.native, *(alias.native for alias in self.aliases))

    def write(self, shared: Mapping[str, Any], body: Json, allow: Mapping[str, Allowance], report: Report) -> None:
        """Put the shared value, or the demanded default, into the body."""
        value = shared.get(self.shared, _MISSING)
        if value is _MISSING:
            if self.default is not None and self.default.applies(shared):
                put(body, self.native, self.codec.encode(self.default.value, {}))
                target, reason = pointer(self.native), self.default.reason
                report.entries.append(Entry(self.shared, "", target, Fate.DEFAULTED, reason))
            return
        try:
            native = self.codec.encode(value, shared)
        except CannotExpressError as error:
            source, target = "/" + self.shared, pointer(self.native)
            resolve(self.shared, source, target, error, body=body, place=self.native, allow=allow, report=report)
            return
        put(body, self.native, native)
        same = native is value or (type(native) is type(value) and native == value)
        report.entries.append(self._exact if same else self._converted)

    # Every request that sets the field has one of these two lines in its report, so they are made once.

    @cached_property
    def _exact(self) -> Entry:
        return Entry(self.shared, "/" + self.shared, pointer(self.native), Fate.EXACT, self.note)

    @cached_property
    def _converted(self) -> Entry:
        return evolve(self._exact, fate=Fate.CONVERTED)

    def read(self, body: Mapping[str, Any], shared: Json, report: Report) -> None:
        """Take the native value, under any of its spellings, into the shared request."""
        found: str | None = None
        for alias in (Alias(self.native), *self.aliases):
            raw, place = get(body, alias.native), pointer(alias.native)
            if raw is _MISSING:
                continue
            if raw is None:
                report.entries.append(Entry(self.shared, place, "", Fate.DROPPED, "null says what leaving it out says"))
                continue
            try:
                value = (alias.codec or self.codec).decode(raw, shared)
            except MeaninglessError as error:
                report.entries.append(Entry(self.shared, place, "", Fate.DROPPED, str(error)))
                continue
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                report.problems.append(Problem(self.shared, place, f"{alias.native}: {error}"))
                continue
            if found is not None and shared[self.shared] != value:
                raise ConflictError(f"{found} and {alias.native} name the same thing with different values")
            same = alias.native == self.native and type(value) is type(raw) and value == raw
            note = f"same as {found}" if found else self.note
            shared[self.shared], found = value, alias.native
            report.entries.append(
                Entry(self.shared, place, "/" + self.shared, Fate.EXACT if same else Fate.CONVERTED, note)
            )


@frozen
class Group:
    """Several shared fields and several native places that only make sense together."""

    names: tuple[str, ...]
    places: tuple[str, ...]
    codec: GroupCodec
    defaults: Mapping[str, Default] = Factory(dict)
    homes: Mapping[str, str] = Factory(dict)
    """The native place that a shared field mostly lives in, where it is not the first."""
    note: str = ""

    def write(self, shared: Mapping[str, Any], body: Json, allow: Mapping[str, Allowance], report: Report) -> None:
        """Put the joined values into the body."""
        values = {name: shared[name] for name in self.names if name in shared}
        if not values and not self.defaults:
            return
        full = {name: default.value for name, default in self.defaults.items()} | values
        try:
            natives = self.codec.encode(full)
        except CannotExpressError as error:
            self._resolve(error, values, body, allow, report)
            return
        self._carry(values, natives, body, report)

    def _carry(self, values: Mapping[str, Any], natives: Mapping[str, Any], body: Json, report: Report) -> None:
        for place, native in natives.items():
            put(body, place, native)
        for name in values:
            report.entries.append(Entry(name, "/" + name, self._home(name), Fate.CONVERTED, self.note))
        for name, default in self.defaults.items():
            if name not in values:
                report.entries.append(Entry(name, "", self._home(name), Fate.DEFAULTED, default.reason))

    def _home(self, name: str) -> str:
        return pointer(self.homes.get(name, self.places[0]))

    def _resolve(
        self,
        error: CannotExpressError,
        values: Mapping[str, Any],
        body: Json,
        allow: Mapping[str, Allowance],
        report: Report,
    ) -> None:
        """Leave out or approximate what the caller allows; refuse the rest."""
        refused = False
        for leaf in error.leaves:
            name = leaf.split("/")[1]
            allowed = allow.get(name)
            if allowed is None or (allowed == "nearest" and error.nearest is None):
                report.problems.append(Problem(name, leaf, error.reason, error.limit))
                refused = True
        if refused:
            return
        touched = {leaf.split("/")[1] for leaf in error.leaves}
        nearest = all(allow[name] == "nearest" for name in touched)
        natives = error.nearest if nearest else error.without
        fate = Fate.APPROXIMATED if nearest else Fate.DROPPED
        if natives is None:  # drop the fields themselves and try again with what is left
            self.write({name: value for name, value in values.items() if name not in touched}, body, allow, report)
            report.entries += [Entry(name, "/" + name, "", fate, error.reason) for name in sorted(touched)]
            return
        self._carry(values, natives, body, report)
        report.entries = [entry for entry in report.entries if entry.source not in error.leaves]
        report.entries += [
            Entry(leaf.split("/")[1], leaf, self._home(leaf.split("/")[1]), fate, error.reason) for leaf in error.leaves
        ]

    def read(self, body: Mapping[str, Any], shared: Json, report: Report) -> None:
        """Take the joined values apart."""
        natives = {place: get(body, place) for place in self.places}
        natives = {place: value for place, value in natives.items() if value is not _MISSING}
        if not natives:
            return
        try:
            values = self.codec.decode(natives)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            report.problems += [Problem(self.names[0], pointer(place), f"{place}: {error}") for place in natives]
            return
        shared.update(values)
        for place in natives:
            names = [name for name in values if self._home(name) == pointer(place)] or list(values)
            if not names:
                why = "says what leaving it out says"
                report.entries.append(Entry(self.names[0], pointer(place), "", Fate.DROPPED, why))
                continue
            name, *others = names
            note = f"together with {', '.join(others)}" if others else self.note
            report.entries.append(Entry(name, pointer(place), "/" + name, Fate.CONVERTED, note, tuple(others)))


@frozen
class Constant:
    """A native value that the route itself decides, such as a model name or a workflow word."""

    native: str
    value: str
    field: str = "workflow"
    optional: bool = False
    """Whether the vendor lets it be left out: then a body without it is of this route too."""
    names: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        """The native place of this row."""
        return (self.native,)

    def matches(self, body: Mapping[str, Any]) -> bool:
        """Whether a native body belongs to this route."""
        found = get(body, self.native)
        return self.optional if found is _MISSING else found == self.value

    def write(self, shared: Mapping[str, Any], body: Json, allow: Mapping[str, Allowance], report: Report) -> None:
        """Put the constant into the body."""
        put(body, self.native, self.value)

    def read(self, body: Mapping[str, Any], shared: Json, report: Report) -> None:
        """Account for the constant; it is what chose the route."""
        if get(body, self.native) is not _MISSING:
            report.entries.append(Entry(self.field, pointer(self.native), "/" + self.field, Fate.CONVERTED))


@frozen
class _Unsent:
    """A shared field without a native place."""

    shared: str
    reason: str = field(kw_only=True)
    places: tuple[str, ...] = field(default=(), init=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The shared field of this row."""
        return (self.shared,)

    def read(self, body: Mapping[str, Any], shared: Json, report: Report) -> None:
        """Nothing native to read."""


@frozen
class Forced(_Unsent):
    """A shared field whose value the vendor decides: that value is exact, others are refused; nothing is sent."""

    value: Any = field(kw_only=True)

    def write(self, shared: Mapping[str, Any], body: Json, allow: Mapping[str, Allowance], report: Report) -> None:
        """Accept the forced value, refuse others."""
        if self.shared not in shared:
            return
        source = "/" + self.shared
        if shared[self.shared] == self.value:
            report.entries.append(Entry(self.shared, source, "", Fate.EXACT, self.reason))
        elif allowed := allow.get(self.shared):
            fate = Fate.APPROXIMATED if allowed == "nearest" else Fate.DROPPED
            report.entries.append(Entry(self.shared, source, "", fate, self.reason))
        else:
            report.problems.append(Problem(self.shared, source, self.reason, f"only {word(self.value)}"))


@frozen
class Absent(_Unsent):
    """A shared field the route cannot express, with the reason where there is one to tell."""

    def write(self, shared: Mapping[str, Any], body: Json, allow: Mapping[str, Allowance], report: Report) -> None:
        """Refuse the field, or leave it out where the caller allows that."""
        if self.shared in shared:
            refuse(self.shared, self.reason, allow, report)


Row = Field | Group | Constant | Forced | Absent


def has_work(row: Row, names: Iterable[str]) -> bool:
    """Whether a row may write or report anything for a request that sets just these fields."""
    demanded = (
        isinstance(row, Constant)
        or (isinstance(row, Field) and row.default is not None)
        or (isinstance(row, Group) and bool(row.defaults))
    )
    return demanded or any(name in row.names for name in names)


# --- helpers --------------------------------------------------------------------------------------------------------


def refuse(name: str, reason: str, allow: Mapping[str, Allowance], report: Report) -> None:
    """Report a field that has no native place: a problem, or a drop where the caller allows it."""
    if allow.get(name) == "drop":
        report.entries.append(Entry(name, "/" + name, "", Fate.DROPPED, reason))
    else:
        report.problems.append(Problem(name, "/" + name, reason))


def resolve(
    name: str,
    source: str,
    target: str,
    error: CannotExpressError,
    *,
    body: Json,
    place: str,
    allow: Mapping[str, Allowance],
    report: Report,
) -> None:
    """Do what the caller allows with a value the codec could not write: approximate, leave out, or refuse."""
    allowed = allow.get(name)
    if allowed == "nearest" and error.nearest is not None:
        put(body, place, error.nearest)
        report.entries.append(Entry(name, source, target, Fate.APPROXIMATED, error.reason))
    elif allowed == "drop":
        if error.without is None:
            report.entries.append(Entry(name, source, "", Fate.DROPPED, error.reason))
        else:
            put(body, place, error.without)
            report.entries.append(Entry(name, source, target, Fate.CONVERTED, error.reason))
            report.entries += [Entry(name, source + leaf, "", Fate.DROPPED, error.reason) for leaf in error.leaves]
    else:
        # What could be sent is put there all the same, so that a refused body shows no second, false problem.
        if error.without is not None:
            put(body, place, error.without)
        report.problems += [Problem(name, source + leaf, error.reason, error.limit) for leaf in error.leaves]


def pointer(place: str) -> str:
    """The JSON pointer of a dotted native place."""
    return "/" + place.replace(".", "/")


def put(body: Json, place: str, value: Any) -> None:
    """Set a value at a dotted place, making the objects on the way."""
    if "." not in place:
        body[place] = value
        return
    *parents, last = place.split(".")
    for parent in parents:
        body = body.setdefault(parent, {})
    body[last] = value


def get(body: Mapping[str, Any], place: str) -> Any:
    """The value at a dotted place, or a private marker where there is none."""
    if "." not in place:
        return body.get(place, _MISSING)
    value: Any = body
    for name in place.split("."):
        if not isinstance(value, dict) or name not in value:
            return _MISSING
        value = value[name]
    return value


def is_missing(value: Any) -> bool:
    """Whether `get` found nothing."""
    return value is _MISSING


def leaves(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a JSON value with its pointer; empty objects and lists are leaves."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from leaves(item, f"{at}/{str(name).replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, f"{at}/{index}")
    else:
        yield at, value


def merge(body: Json, extra: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Merge native extras into a body, objects member by member. Yields the pointers that were already taken;
    what stood there is kept.
    """
    for name, value in extra.items():
        place = f"{at}/{name}"
        if name not in body:
            body[name] = value
        elif isinstance(body[name], dict) and isinstance(value, dict):
            yield from merge(cast("Json", body[name]), value, place)
        else:
            yield place
