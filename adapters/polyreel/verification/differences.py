"""Differences between recorded traffic and a vendor's spec."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from attrs import frozen

from ..places import Json, JsonObject, Place, Pointer, find_value, pointer_text, value_at
from .addresses import DocumentedCall
from .exchanges import RecordedExchange
from .members import undocumented_members
from .patches import Patch
from .proposals import name_member, patch_for
from .redaction import Redactor
from .violations import LocatedViolation, violations_at

Direction = Literal["request", "response"]
Severity = Literal["breaks", "news", "note"]
"""`breaks`: the spec forbids it. `news`: the spec does not know it. `note`: no contradiction."""
ABSENT: Final = "nothing"
CLOSED: Final = "additionalProperties"
DESCRIBED_BY_MESSAGE: Final = frozenset({"at_most", "total", "public_https", "json"})
"""The kinds of violations whose message says more than their limit."""


@frozen
class Difference:
    """One way in which an exchange and the spec differ. Nothing in it is a secret."""

    recording: str
    entry: int
    vendor: str
    method: str
    path: str
    direction: Direction
    kind: str
    severity: Severity
    traffic: str
    """A JSON Pointer into the exchange."""
    spec: str
    """A JSON Pointer into the spec."""
    expected: str
    actual: str
    patch: Patch = ()
    """What would make the spec fit; empty where no spec can express it."""
    count: int = 1
    entries: tuple[int, ...] = ()
    """The first entries with this difference, where equal differences are counted together."""


@frozen
class Side:
    """One direction of one exchange; makes its differences."""

    call: DocumentedCall
    direction: Direction
    redactor: Redactor

    @property
    def document(self) -> JsonObject:
        """The spec."""
        return self.call.provider.contract.document

    @property
    def exchange(self) -> RecordedExchange:
        """What was recorded."""
        return self.call.exchange

    def difference(
        self,
        kind: str,
        severity: Severity,
        place: Place,
        pointer: Pointer,
        expected: str,
        actual: Json,
        patch: Patch = (),
        *,
        described: bool = False,
    ) -> Difference:
        """A difference; `actual` is a value, or with `described` a text about it."""
        name = next((part for part in reversed(place) if isinstance(part, str)), "")
        redactor = self.redactor
        shown = redactor.text(str(actual)) if described else redactor.shown(actual, name)
        where = [redactor.text(part) if isinstance(part, str) else part for part in place]
        return Difference(
            recording=self.exchange.recording,
            entry=self.exchange.number,
            vendor=self.call.provider.id,
            method=self.exchange.method,
            path=self.call.operation.full_path,
            direction=self.direction,
            kind=kind,
            severity=severity,
            traffic=pointer_text([self.direction, *where]),
            spec=pointer_text(pointer),
            expected=expected,
            actual=shown,
            patch=patch,
        )

    def value_differences(
        self, value: Json, pointer: Pointer, place: Place = ("body",)
    ) -> Iterator[Difference]:
        """How a value differs from the schema at a place of the spec."""
        found = violations_at(self.document, pointer, value)
        unknown = list(undocumented_members(self.document, [pointer], value))
        # A closed object forbids the members that an open one does not know. They are reported
        # member by member, and not once more as one violation of the object.
        closed = {one.place for one in found if one.kind == CLOSED}
        closed &= {where[:-1] for where, _ in unknown}
        kept = [one for one in found if one.kind != CLOSED or one.place not in closed]
        for violation, patch in self._with_patches(kept, value):
            yield self._violation(violation, patch, value, place)
        for where, schema in unknown:
            actual = value_at(value, where)
            patch = name_member(self.document, schema, str(where[-1]), actual, self.redactor)
            severity: Severity = "breaks" if where[:-1] in closed else "news"
            target = (*schema, "properties")
            yield self.difference(
                "member", severity, (*place, *where), target, "no such member", actual, patch
            )

    def _with_patches(
        self, found: Sequence[LocatedViolation], value: Json
    ) -> Iterator[tuple[LocatedViolation, Patch]]:
        """Every violation with its patch.

        A value of the wrong type is not in the `enum` beside the type either: both are one
        difference, whose patch allows both.
        """
        mistyped = {(one.place, one.pointer[:-1]) for one in found if one.kind == "type"}
        for one in found:
            actual = value_at(value, one.place)
            patch = patch_for(self.document, one, actual, self.redactor)
            if (one.place, one.pointer[:-1]) in mistyped and one.kind in {"enum", "const"}:
                continue
            if one.kind == "type":
                also = [x for x in found if x.kind in {"enum", "const"} and _are_beside(one, x)]
                extra = [patch_for(self.document, x, actual, self.redactor) for x in also]
                steps = tuple(step for steps in extra for step in steps)
                patch = (*patch, *steps) if all(extra) else ()
            yield one, patch

    def _violation(
        self, violation: LocatedViolation, patch: Patch, value: Json, place: Place
    ) -> Difference:
        kind, pointer = violation.kind, violation.pointer
        where = (*place, *violation.place)
        if kind == "required":
            name = str(violation.facts.get("property", ""))
            return self.difference(
                kind, "breaks", (*where, name), pointer, name, ABSENT, patch, described=True
            )
        limit = find_value(self.document, pointer)
        expected = self.redactor.shown(limit) if limit is not None else kind
        if kind in DESCRIBED_BY_MESSAGE:
            expected = self.redactor.text(violation.message)
        actual = value_at(value, violation.place)
        return self.difference(kind, "breaks", where, pointer, expected, actual, patch)


def _are_beside(one: LocatedViolation, other: LocatedViolation) -> bool:
    return one.place == other.place and one.pointer[:-1] == other.pointer[:-1]
