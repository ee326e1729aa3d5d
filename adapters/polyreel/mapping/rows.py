"""The lens: one table of rows per route, read in both directions. Knows no vendor.

A row names a shared field, the native place, and a codec where the value changes shape. `write`
turns a shared request into a native body, `read` turns a native body into a shared request. Both
report what became of each value. Nothing is lost without a report.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from attrs import evolve, field, frozen

from ..places import MISSING, JsonObject, get, pointer, put
from .codecs import (
    SAME,
    CannotExpressError,
    Codec,
    Default,
    MeaninglessError,
    NamelessError,
    Prompt,
    word,
)
from .groups import Group
from .items import TypedItems
from .reports import (
    SENT_ALL_THE_SAME,
    Allowance,
    ConflictError,
    Fate,
    MappingEntry,
    MappingReport,
    Problem,
    refuse,
    settle,
)
from .sizes import FrameSize
from .subjects import members_of


@frozen
class Alias:
    """Another spelling of a native field: read, never written. The field's codec is the default."""

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

    def write(
        self,
        shared: Mapping[str, Any],
        body: JsonObject,
        allow: Mapping[str, Allowance],
        report: MappingReport,
    ) -> None:
        """Put the shared value, or the demanded default, into the body."""
        if self.shared not in shared:
            if self.default is not None and self.default.applies(shared):
                put(body, self.native, self.codec.encode(self.default.value, {}))
                target, reason = pointer(self.native), self.default.reason
                report.entries.append(MappingEntry(self.shared, "", target, Fate.DEFAULTED, reason))
            return
        value = shared[self.shared]
        if self.codec is SAME:
            if self._is_member:
                body[self.native] = value
            else:
                put(body, self.native, value)
            report.entries.append(self._exact)
            return
        try:
            native = self.codec.encode(value, shared)
        except CannotExpressError as error:
            source, target = "/" + self.shared, pointer(self.native)
            native = settle(self.shared, source, target, error, allow=allow, report=report)
            if native is not MISSING:
                put(body, self.native, native)
            return
        put(body, self.native, native)
        same = native is value or (type(native) is type(value) and native == value)
        entry = self._exact if same else self._converted
        if isinstance(self.codec, Prompt) and (note := self.codec.note(value, shared)):
            entry = evolve(entry, reason=note, warning=True)
        report.entries.append(entry)

    @cached_property
    def _is_member(self) -> bool:
        """Whether the native place is a member of the body itself, as most are."""
        return "." not in self.native

    # Each request that sets the field has one of these two in its report, so they are made once.

    @cached_property
    def _exact(self) -> MappingEntry:
        return MappingEntry(
            self.shared, "/" + self.shared, pointer(self.native), Fate.EXACT, self.note
        )

    @cached_property
    def _converted(self) -> MappingEntry:
        return evolve(self._exact, fate=Fate.CONVERTED, renamed=members_of(self.codec))

    def read(self, body: Mapping[str, Any], shared: JsonObject, report: MappingReport) -> None:
        """Take the native value, under any of its spellings, into the shared request."""
        found: str | None = None
        for alias in (Alias(self.native), *self.aliases):
            raw, place = get(body, alias.native), pointer(alias.native)
            if raw is MISSING:
                continue
            if raw is None:
                report.entries.append(
                    MappingEntry(
                        self.shared, place, "", Fate.DROPPED, "null says what leaving it out says"
                    )
                )
                continue
            try:
                value = (alias.codec or self.codec).decode(raw, shared)
            except NamelessError:
                continue  # kept as extra, like every value that no row takes
            except MeaninglessError as error:
                report.entries.append(
                    MappingEntry(self.shared, place, "", Fate.DROPPED, str(error))
                )
                continue
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                report.problems.append(Problem(self.shared, place, f"{alias.native}: {error}"))
                continue
            if found is not None and shared[self.shared] != value:
                raise ConflictError(
                    f"{found} and {alias.native} name the same thing with different values"
                )
            same = alias.native == self.native and type(value) is type(raw) and value == raw
            note = f"same as {found}" if found else self.note
            warning_text = self.codec.note(raw, shared) if isinstance(self.codec, Prompt) else ""
            shared[self.shared], found = value, alias.native
            report.entries.append(
                MappingEntry(
                    self.shared,
                    place,
                    "/" + self.shared,
                    Fate.EXACT if same else Fate.CONVERTED,
                    warning_text or note,
                    warning=bool(warning_text),
                    renamed=members_of(self.codec, native=True),
                )
            )


@frozen
class Constant:
    """A native value that the route itself decides, such as a model name or a workflow word."""

    native: str
    value: str
    field: str = "workflow"
    optional: bool = False
    """Whether the vendor lets it be left out: then a body without it is of this route too."""
    names: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    """Other places of it: read, never written."""

    @property
    def places(self) -> tuple[str, ...]:
        """The native places of this row, aliases included."""
        return (self.native, *self.aliases)

    def matches(self, body: Mapping[str, Any]) -> bool:
        """Whether a native body belongs to this route."""
        found = [value for place in self.places if (value := get(body, place)) is not MISSING]
        return all(value == self.value for value in found) if found else self.optional

    def names_route(self, body: Mapping[str, Any]) -> bool:
        """Whether a native body says that it belongs to this route, or means it by its silence.

        A model that is left out is not meant.
        """
        if self.field != "workflow" and all(get(body, one) is MISSING for one in self.places):
            return False
        return self.matches(body) and not self.is_left_out(body)

    def is_left_out(self, body: Mapping[str, Any]) -> bool:
        """Whether a native body leaves the workflow to be told from its other fields."""
        return self.field == "workflow" and get(body, self.native) is MISSING

    def write(
        self,
        shared: Mapping[str, Any],
        body: JsonObject,
        allow: Mapping[str, Allowance],
        report: MappingReport,
    ) -> None:
        """Put the constant into the body."""
        put(body, self.native, self.value)

    def read(self, body: Mapping[str, Any], shared: JsonObject, report: MappingReport) -> None:
        """Account for the constant; it is what chose the route."""
        report.entries += [
            MappingEntry(self.field, pointer(place), "/" + self.field, Fate.CONVERTED)
            for place in self.places
            if get(body, place) is not MISSING
        ]


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

    def read(self, body: Mapping[str, Any], shared: JsonObject, report: MappingReport) -> None:
        """Nothing native to read."""


@frozen
class Forced(_Unsent):
    """A shared field whose value the vendor decides. Nothing is sent; other values are refused."""

    value: Any = field(kw_only=True)
    chosen: bool = field(default=False, kw_only=True)
    """Whether another route has another value, so that a plan says which one it has chosen."""

    def write(
        self,
        shared: Mapping[str, Any],
        body: JsonObject,
        allow: Mapping[str, Allowance],
        report: MappingReport,
    ) -> None:
        """Accept the forced value, refuse others."""
        if self.shared not in shared:
            if self.chosen:
                reason = f"{word(self.value)}: {self.reason}"
                report.entries.append(MappingEntry(self.shared, "", "", Fate.DEFAULTED, reason))
            return
        source = "/" + self.shared
        if shared[self.shared] == self.value:
            report.entries.append(MappingEntry(self.shared, source, "", Fate.EXACT, self.reason))
        elif (allowed := allow.get(self.shared)) in {"drop", "nearest"}:
            fate = Fate.APPROXIMATED if allowed == "nearest" else Fate.DROPPED
            report.entries.append(MappingEntry(self.shared, source, "", fate, self.reason))
        else:
            report.problems.append(
                Problem(self.shared, source, self.reason, f"only {word(self.value)}")
            )


@frozen
class Absent(_Unsent):
    """A shared field the route cannot express, with the reason where there is one to tell."""

    inferred: Field | None = field(default=None, kw_only=True)
    """How it is written where the caller sends it all the same, as the reason is only inferred."""

    def write(
        self,
        shared: Mapping[str, Any],
        body: JsonObject,
        allow: Mapping[str, Allowance],
        report: MappingReport,
    ) -> None:
        """Refuse the field, or leave it out where the caller allows that."""
        if self.shared not in shared:
            return
        if self.inferred is None or allow.get(self.shared) != "send":
            inferred = self.inferred is not None
            refuse(self.shared, self.reason, allow, report, inferred=inferred)
            return
        written = MappingReport()
        self.inferred.write(shared, body, allow, written)
        reason = f"{self.reason}; {SENT_ALL_THE_SAME}"
        report.entries += [evolve(one, reason=reason, warning=True) for one in written.entries]
        report.problems += written.problems


Row = Field | Group | TypedItems | FrameSize | Constant | Forced | Absent
