"""Writing a native body: the rows of one route, preferences, and the caller's own native fields.

A `Writing` holds the body and the report about it from the first row to the last correction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from ..mapping.codecs import nearest_of
from ..mapping.reports import (
    SENT_ALL_THE_SAME,
    Allowance,
    Fate,
    MappingEntry,
    MappingReport,
    Problem,
)
from ..mapping.rows import Field
from ..places import Json, JsonObject, get, leaves, merge, pointer, put
from ..providers.base.provider import Provider
from ..providers.base.routes import Route
from ..providers.base.schemas import SchemaViolation
from .attachments import Attachments
from .courses import Course, course
from .wording import add_problems, describe, row_at


@frozen(eq=False)
class Writing:
    """The native body of one request on one route, and what became of each field on the way."""

    provider: Provider
    course: Course
    shared: Mapping[str, Any]
    """The shared request without `model` and `extra`."""
    allow: Mapping[str, Allowance]
    body: JsonObject
    report: MappingReport

    @property
    def route(self) -> Route:
        """The route whose rows write."""
        return self.course.route

    def write_rows(self, preferences: Mapping[str, Any]) -> None:
        """Write the request, and the preferences for what it leaves unset, through the rows."""
        preferred = self._preferred(preferences)
        shared, at_work = self.shared, self.course
        if preferred:
            shared = {**shared, **preferred}
            at_work = course(self.provider.id, self.route, tuple(shared))
        at_work.write(shared, self.body, self.allow, self.report)
        if preferred:
            reason = f"asked for: {self.provider.id} may make another by default"
            self.report.entries[:] = [
                evolve(entry, source="", fate=Fate.DEFAULTED, reason=reason)
                if entry.field in preferred
                else entry
                for entry in self.report.entries
            ]

    def _preferred(self, preferences: Mapping[str, Any]) -> JsonObject:
        """The preferences that need a word: unset, not the vendor's default, and possible here."""
        defaults = self.provider.defaults(self.route)
        return {
            name: value
            for name, value in preferences.items()
            if name not in self.shared
            and (defaults.get(name) != value or self._demands(name))
            and can_express(self.provider, self.route, name, value)
        }

    def _demands(self, name: str) -> bool:
        """Whether polyreel sends a value of its own where the field is unset."""
        row = self.route.by_name.get(name)
        return (
            isinstance(row, Field) and row.default is not None and row.default.applies(self.shared)
        )

    def add_extra(self, extra: Mapping[str, JsonObject], *, override: bool) -> None:
        """Merge the caller's native fields. What a row has written stays, unless `override`."""
        entries, problems = self.report.entries, self.report.problems
        for vendor, natives in extra.items():
            source = f"/extra/{vendor}"
            if vendor != self.provider.id:
                reason = f"meant for {vendor}"
                entries.append(MappingEntry("extra", source, "", Fate.DROPPED, reason))
                continue
            for at in list(merge(self.body, natives)):
                place = at.strip("/").replace("/", ".")
                if override:
                    put(self.body, place, get(natives, place))
                else:
                    reason = (
                        f"{at} is already set by the request; leave it out, or ask for overriding"
                    )
                    problems.append(Problem("extra", source + at, reason))
            for at, _ in leaves(natives):
                entries.append(MappingEntry("extra", source + at, at, Fate.EXACT, "extra"))

    def settle(
        self,
        found: list[SchemaViolation],
        files: Attachments | None,
        asked: Mapping[str, Any],
    ) -> None:
        """Do what the caller allows about what the contract has against the body, and report the
        rest as problems of the fields that were asked for.
        """
        if self.allow and self.approximate(found):
            body = files.stand_in(self.body) if files else self.body
            found = self.provider.contract.sends(self.route.schema, body)
        if "send" in self.allow.values():
            found = self.without_allowed(found)
        add_problems(found, self.route, asked, self.provider, self.report)

    def approximate(self, violations: Iterable[SchemaViolation]) -> bool:
        """Bring values to the vendor's limit, or leave them out, where the caller allows it.

        The result is whether anything changed.
        """
        changed = False
        for violation in violations:
            row, name = row_at(self.route, violation.path, shared=self.shared)
            if not isinstance(row, Field) or self.allow.get(name, "send") == "send":
                continue
            fate = self._corrected(row, violation, self.allow[name])
            if fate is None:
                continue
            reason, limit = describe(violation, row, self.shared.get(name), "")
            target = "" if fate is Fate.DROPPED else pointer(row.native)
            kept = [entry for entry in self.report.entries if entry.field != name]
            entry = MappingEntry(name, f"/{name}", target, fate, f"{reason}; {limit}")
            self.report.entries[:] = [*kept, entry]
            changed = True
        return changed

    def without_allowed(self, violations: Iterable[SchemaViolation]) -> list[SchemaViolation]:
        """The violations that are left where the caller sends what only an inferred fact forbids.

        What is sent all the same has a warning in its entry.
        """
        left = []
        for violation in self._looked_up(violations):
            row, name = row_at(self.route, violation.path, violation.marks, self.shared)
            if not violation.inferred or self.allow.get(name) != "send":
                left.append(violation)
                continue
            reason, limit = describe(violation, row, self.shared.get(name), "")
            text = "; ".join(filter(None, [reason, limit, SENT_ALL_THE_SAME]))
            self.report.entries[:] = [
                evolve(entry, reason=text, warning=True) if entry.field == name else entry
                for entry in self.report.entries
            ]
        return left

    def _looked_up(self, violations: Iterable[SchemaViolation]) -> Iterator[SchemaViolation]:
        """The violations, where an undocumented field that only seems to be missing is none.

        What the vendor documents of it for other workflows of the same call holds here too.
        """
        contract, operation = self.provider.contract, self.route.operation
        schemas = [one.schema for one in self.provider.routes if one.operation is operation]
        for violation in violations:
            if violation.kind != "additionalProperties" or violation.path:
                yield violation
                continue
            rows = {name: self.route.inferred.get(name) for name in violation.limit or ()}
            sent = [
                name for name, row in rows.items() if row and self.allow.get(row.shared) == "send"
            ]
            for name in sent:
                known = (contract.property(schema, name) for schema in schemas)
                for found in contract.fits(next(filter(None, known), {}), self.body[name]):
                    yield evolve(found, path=(name, *found.path))
            if unknown := [name for name in rows if name not in sent]:
                yield evolve(violation, limit=unknown)

    def _corrected(self, row: Field, violation: SchemaViolation, allowed: Allowance) -> Fate | None:
        """Correct one value of the body where that is possible; the result is what became of it."""
        if allowed == "drop":
            parent, _, name = row.native.rpartition(".")
            (get(self.body, parent) if parent else self.body).pop(name, None)
            return Fate.DROPPED
        is_whole_value = len(violation.path) == row.native.count(".") + 1
        if violation.kind in {"maximum", "minimum"} and is_whole_value:
            put(self.body, row.native, violation.limit)
            return Fate.APPROXIMATED
        if violation.kind == "enum" and is_whole_value:
            offered = {shared: native for native, shared in _meant(row, violation.limit)}
            value = offered.get(nearest_of(self.shared.get(row.shared), offered))
            if value is not None:
                put(self.body, row.native, value)
                return Fate.APPROXIMATED
        if violation.kind == "maxItems":
            put(self.body, row.native, get(self.body, row.native)[: violation.limit])
            return Fate.APPROXIMATED
        return None


def _meant(row: Field, natives: Iterable[Json]) -> Iterator[tuple[Json, Any]]:
    """What native values mean, those that mean something."""
    for native in natives:
        try:
            shared = row.codec.decode(native, {})
        except (ValueError, TypeError, AttributeError):
            continue
        if type(shared) in {int, float, str}:
            yield native, shared


def can_express(provider: Provider, route: Route, name: str, value: Json) -> bool:
    """Whether a route can express a value of one field, as far as that field alone decides it."""
    row = route.by_name.get(name)
    if row is None:
        return False
    report = MappingReport()
    body: JsonObject = {}
    row.write({name: value}, body, {}, report)
    if report.problems or not isinstance(row, Field):
        return not report.problems
    schema = provider.contract.property(route.schema, row.native) or {}
    return get(body, row.native) in schema.get("enum", [get(body, row.native)])


def by_preferences(
    provider: Provider,
    courses: Sequence[Course],
    request: Mapping[str, Any],
    preferences: Mapping[str, Any],
) -> list[Course]:
    """The courses, those first that can do the most of what is preferred and not asked for."""
    wanted = {name: value for name, value in preferences.items() if name not in request}

    def missed(one: Course) -> int:
        return sum(not can_express(provider, one.route, *each) for each in wanted.items())

    return sorted(courses, key=missed)
