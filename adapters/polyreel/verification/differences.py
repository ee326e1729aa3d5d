"""One way in which recorded traffic and a vendor's spec differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

from attrs import frozen

from ..places import JsonObject, Pointer, find, written
from .addresses import Addressed
from .exchanges import RecordedExchange
from .members import strays
from .patches import Patch
from .proposals import for_violation, member
from .redaction import Redactor
from .violations import LocatedViolation, Place, violations_at

Direction = Literal["request", "response"]
Severity = Literal["breaks", "news", "note"]
"""The spec forbids what happened; it does not know of it; or it is worth knowing, and no contradiction."""
ABSENT: Final = "nothing"
CLOSED: Final = "additionalProperties"


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
    """What would make the spec fit; empty where no spec can say it."""
    count: int = 1
    entries: tuple[int, ...] = ()
    """The first entries that differ so, where equal differences are counted together."""


@frozen
class Side:
    """One direction of one exchange, from which differences are told."""

    call: Addressed
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

    def tell(
        self,
        kind: str,
        severity: Severity,
        place: Sequence[str | int],
        pointer: Pointer,
        expected: str,
        actual: Any,
        patch: Patch = (),
        *,
        plain: bool = False,
    ) -> Difference:
        """A difference; `actual` is a value, or with `plain` a text about it."""
        name = next((part for part in reversed(place) if isinstance(part, str)), "")
        shown = self.redactor.text(actual) if plain else self.redactor.shown(actual, name)
        where = [self.redactor.text(part) if isinstance(part, str) else part for part in place]
        return Difference(
            self.exchange.recording,
            self.exchange.number,
            self.call.provider.id,
            self.exchange.method,
            self.call.operation.full_path,
            self.direction,
            kind,
            severity,
            written([self.direction, *where]),
            written(pointer),
            expected,
            shown,
            patch,
        )

    def body(self, value: Any, pointer: Pointer, place: Place = ("body",)) -> Iterator[Difference]:
        """How a value differs from the schema at a place of the spec."""
        found, unknown = (
            violations_at(self.document, pointer, value),
            list(strays(self.document, [pointer], value)),
        )
        # A closed object forbids what an open one does not know: that is told member by member.
        closed = {one.place for one in found if one.kind == CLOSED} & {
            where[:-1] for where, _ in unknown
        }
        told = [one for one in found if one.kind != CLOSED or one.place not in closed]
        for misfit, patch in self._joined(told, value):
            yield self._misfit(misfit, patch, value, place)
        for where, schema in unknown:
            actual = _value(value, where)
            patch = member(self.document, schema, str(where[-1]), actual, self.redactor)
            severity: Severity = "breaks" if where[:-1] in closed else "news"
            target = (*schema, "properties")
            yield self.tell(
                "member", severity, (*place, *where), target, "no such member", actual, patch
            )

    def _joined(
        self, found: list[LocatedViolation], value: Any
    ) -> Iterator[tuple[LocatedViolation, Patch]]:
        """Every misfit with its patch. A value of the wrong type is no option either: that is one difference."""
        typed = {(one.place, one.pointer[:-1]) for one in found if one.kind == "type"}
        for one in found:
            actual = _value(value, one.place)
            patch = for_violation(self.document, one, actual, self.redactor)
            if (one.place, one.pointer[:-1]) in typed and one.kind in {"enum", "const"}:
                continue
            if one.kind == "type":
                also = [x for x in found if x.kind in {"enum", "const"} and _beside(one, x)]
                extra = [for_violation(self.document, x, actual, self.redactor) for x in also]
                patch = (
                    () if not all(extra) else (*patch, *(step for steps in extra for step in steps))
                )
            yield one, patch

    def _misfit(
        self, misfit: LocatedViolation, patch: Patch, value: Any, place: Place
    ) -> Difference:
        kind, limit = misfit.kind, find(self.document, misfit.pointer)
        if kind == "required":
            name = str(misfit.facts.get("property", ""))
            where = (*place, *misfit.place, name)
            return self.tell(
                "required", "breaks", where, misfit.pointer, name, ABSENT, patch, plain=True
            )
        expected = self.redactor.shown(limit) if limit is not None else kind
        if kind in {"at_most", "total", "public_https", "json"}:
            expected = self.redactor.text(misfit.message)
        where = (*place, *misfit.place)
        return self.tell(
            kind, "breaks", where, misfit.pointer, expected, _value(value, misfit.place), patch
        )


def _beside(one: LocatedViolation, other: LocatedViolation) -> bool:
    return one.place == other.place and one.pointer[:-1] == other.pointer[:-1]


def _value(value: Any, place: Place) -> Any:
    for part in place:
        value = value[part]
    return value
