"""From a shared request to a plan: what one vendor would be sent, and what becomes of each field.

Planning sends nothing and reads no clock. It looks at local files only to see that they are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlencode

from attrs import Factory, evolve, field, frozen
from attrs import fields as attrs_fields

from ..errors import PolyreelError
from ..flows import EVENT_STREAM, Part, Send
from ..mapping.reports import Allowance, MappingEntry, MappingReport, Problem
from ..mapping.workflows import Kind
from ..money.amounts import Cost
from ..money.book import PriceBook
from ..places import JsonObject, json_bytes, json_text
from ..providers.base.calling import filled
from ..providers.base.contract import Operation
from ..providers.base.provider import Provider
from ..providers.base.registry import all_providers
from ..providers.base.routes import Route
from .attachments import Attachments, Upload, replaced
from .courses import Course, courses_of
from .frames import note_shape
from .marking import idle_marks_of, note_idle_marks
from .requests import CheckedRequest
from .verdicts import Served, Verdict, Violation, verdicts, violations
from .wording import unserved
from .writing import Writing, by_preferences

PORTABLE: Final[Mapping[str, Any]] = {"resolution": "720p", "audio": True}
"""Preferences with which every vendor makes the same clip, although their own defaults disagree.

They count where the caller left a field unset and the route can express it.
"""


class Elsewhere:
    """What the other vendors make of a refused request, which keeps it: each is asked once."""

    def __init__(self, refused: Plan) -> None:
        self._refused = refused
        self._others = [one for one in all_providers().values() if one is not refused.provider]
        self._plans: dict[object, Plan] = vars(refused.checked).setdefault("_elsewhere", {})

    @staticmethod
    def note(asked: CheckedRequest, plans: Iterable[Plan]) -> None:
        """Note what some vendors make of a request without any option: they are not asked again.

        Refused plans are noted, which take the longest. The others are let go with their jobs.
        """
        known = vars(asked).setdefault("_elsewhere", {})
        for one in plans:
            if one.problems:
                known[one.provider, asked.model, one.stream] = one

    def served_by(self, problem: Problem) -> Served:
        """The vendors that do not have a problem of the plan, with its model or with another."""
        if problem.field == "extra":
            return Served()  # every other vendor would only leave it out
        asked = self._refused.checked
        same = self._without(problem, asked)
        if asked.model is None or problem.field == "model":
            return Served(tuple(same))
        anyhow = self._without(problem, asked.of_model(None))
        return Served(tuple(same), {who: anyhow[who] for who in anyhow if who not in same})

    def _without(self, problem: Problem, asked: CheckedRequest) -> dict[str, str]:
        """The vendors that do not have a problem, with the model that each would take."""
        return {
            one.vendor: one.route.model
            for one in (self._plan(asked, vendor) for vendor in self._others)
            if one.route and problem.field not in {each.field for each in one.problems}
        }

    def _plan(self, asked: CheckedRequest, vendor: Provider) -> Plan:
        at = vendor, asked.model, self._refused.stream
        if at not in self._plans:
            self._plans[at] = plan_checked(asked, vendor, stream=self._refused.stream)
        return self._plans[at]


# Without slots: they double the time that a frozen class takes to fill.
@frozen(slots=False)
class Plan:
    """What would be sent to one vendor. `submit` sends `content` (or `parts`) and nothing else.

    `verdicts` says what becomes of each field, `violations` why the plan is refused, and `cost`
    what the job would cost.
    """

    provider: Provider = field(repr=False)
    route: Route | None = field(repr=False)
    checked: CheckedRequest = field(repr=False)
    model: str | None
    base_url: str = field(repr=False)
    body: JsonObject = Factory(dict)
    query: Mapping[str, str] = field(factory=dict, repr=False)
    """The parameters of the paid call's query, such as the address of a webhook."""
    entries: tuple[MappingEntry, ...] = field(factory=tuple, repr=False)
    problems: tuple[Problem, ...] = field(factory=tuple, repr=False)
    uploads: tuple[Upload, ...] = ()
    parts: tuple[Part, ...] = ()
    prices: PriceBook = field(default=PriceBook(), repr=False)
    stream: bool = False
    """Whether the paid call is the one that answers with an event stream."""

    @property
    def vendor(self) -> str:
        """Who would be paid."""
        return self.provider.id

    @property
    def request(self) -> JsonObject:
        """The shared request, without unset fields."""
        return self.checked.fields

    @property
    def kind(self) -> Kind:
        """`video`, `image` or `element`."""
        return self.checked.kind

    @property
    def workflow(self) -> str:
        """What is asked for."""
        return self.checked.workflow

    @property
    def refused(self) -> bool:
        """Whether the vendor cannot take the request."""
        return bool(self.problems)

    @property
    def method(self) -> str:
        """The HTTP method."""
        return str(self.route.operation.METHOD) if self.route else ""

    @property
    def url(self) -> str:
        """The full URL."""
        if self.route is None:
            return ""
        path = self.route.path
        if self.stream:
            path = filled(self.operation.path, self.route.path_values)
        url = self.base_url + path
        return f"{url}?{urlencode(self.query)}" if self.query else url

    @property
    def operation(self) -> Operation:
        """The paid call in the vendor's contract."""
        assert self.route is not None
        plain = self.provider.operation(self.route)
        return self.provider.contract.streams.get(plain.id, plain) if self.stream else plain

    @property
    def content(self) -> bytes:
        """The exact bytes of the JSON body."""
        # Kept by hand: the lock of a cached_property takes as long as the bytes of a small body.
        found: bytes | None = self.__dict__.get("_content")
        if found is None:
            found = self.__dict__["_content"] = json_bytes(self.body)
        return found

    @property
    def native(self) -> JsonObject:
        """All that was written: the body, and the parameters of the query as `?name`."""
        return {**self.body, **{f"?{name}": value for name, value in self.query.items()}}

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """One verdict for each leaf of the request and for each value that the vendor demands."""
        return tuple(verdicts(self.request, self.entries, self.problems))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may come out otherwise than it was meant, one text for each such verdict."""
        found = [f"{one.field}: {one.reason}" for one in self.verdicts if one.warning]
        # Of a refused plan, the verdicts say why it is refused.
        found += idle_marks_of(self.request) if self.refused else ()
        return tuple(dict.fromkeys(found))

    @cached_property
    def violations(self) -> tuple[Violation, ...]:
        """All problems at once, each with the vendors that do not have it."""
        if not self.problems:
            return ()
        return tuple(violations(self.vendor, self.problems, Elsewhere(self).served_by))

    @cached_property
    def cost(self) -> Cost:
        """What the job would cost, as far as it is known."""
        return self.prices.cost(self.provider, self.route, self.request, self.body)

    def _repr_html_(self) -> str:
        """As tables in a notebook."""
        from .display import plan_html  # noqa: PLC0415

        state = "is refused" if self.refused else "would be sent; nothing was"
        values = {
            "model": self.model,
            "workflow": self.workflow,
            "prompt": self.request.get("prompt"),
            "call": f"{self.method} {self.url}" if self.route else "not served",
            "cost": self.cost,
            "warnings": "\n".join(self.warnings) or None,
        }
        return plan_html(
            f"plan for {self.vendor}: {state}",
            values,
            body=self.body,
            files=[
                *(one.file for one in self.uploads),
                *(one for one in self.parts if one.is_file),
            ],
            verdicts=self.verdicts,
            violations=self.violations,
        )

    def check(self) -> Plan:
        """The plan itself. Raises PlanRefusedError where the vendor cannot take the request."""
        if self.refused:
            raise PlanRefusedError(self, self.violations)
        return self

    def uploaded(self, links: Mapping[str, str]) -> Plan:
        """The plan with the URLs of uploaded files, by their places in the body."""
        return evolve(self, body=replaced(self.body, links), uploads=())

    def with_values(self, fields: JsonObject, body: JsonObject, content: bytes) -> Plan:
        """The plan of a request that differs from this one's in values, and in nothing else."""
        # By hand: __init__ takes as long as all the rest of a plan of a known shape.
        made = object.__new__(Plan)
        parts = made.__dict__
        parts |= self._given
        parts["checked"] = CheckedRequest(fields, self.checked.kind)
        parts["body"], parts["query"], parts["_content"] = body, {**self.query}, content
        return made

    def priced(self, prices: PriceBook) -> Plan:
        """The same plan by other prices."""
        if prices is self.prices:
            return self
        made = object.__new__(Plan)
        parts = made.__dict__
        parts |= {
            name: one for name, one in self.__dict__.items() if name not in {"cost", "_given"}
        }
        parts["prices"] = prices
        return made

    @cached_property
    def _given(self) -> Mapping[str, Any]:
        return {one.name: getattr(self, one.name) for one in attrs_fields(Plan)}

    def step(self, headers: Mapping[str, str] | None = None) -> Send:
        """The paid call, with further headers."""
        own = {} if self.parts else {"Content-Type": "application/json"}
        if self.stream:
            own["Accept"] = EVENT_STREAM
        return Send(
            self.vendor,
            self.method,
            self.url,
            None if self.parts else self.content,
            self.parts,
            {**own, **headers} if headers else own,
            paid=True,
            stream=self.stream,
        )


class PlanRefusedError(PolyreelError, ValueError):
    """The vendor cannot express the request. `violations` has all problems; nothing was sent."""

    def __init__(self, plan: Plan, violations: Sequence[Violation]) -> None:
        lines = "\n".join(f"- {violation.message}" for violation in violations)
        message = f"{plan.vendor} cannot take this request as it is:\n{lines}"
        super().__init__(message, vendor=plan.vendor)
        self.plan = plan
        self.violations = tuple(violations)


def plan_checked(
    request: CheckedRequest,
    provider: Provider,
    *,
    allow: Mapping[str, Allowance] | None = None,
    preferences: Mapping[str, Any] | None = None,
    base_url: str | None = None,
    override: bool = False,
    stream: bool = False,
    routes: Sequence[Route] | None = None,
) -> Plan:
    """Plan a checked request on the vendor's routes, or on some of them."""
    base_url = base_url or provider.base_url
    refused = []
    for course, allowed in ways(request, provider, allow or {}, preferences or {}, routes):
        made = _plan_on(
            provider, course, request, base_url, allowed, preferences or {}, override=override
        )
        if not made.problems:
            return _streamed(made) if stream else made
        refused.append(made)
    if refused:
        made = min(refused, key=badness)
    else:
        problems = tuple(unserved(request, provider))
        made = Plan(provider, None, request, request.model, base_url, problems=problems)
    return _streamed(made) if stream else made


def ways(
    request: CheckedRequest,
    provider: Provider,
    allow: Mapping[str, Allowance],
    preferences: Mapping[str, Any],
    routes: Sequence[Route] | None = None,
) -> Iterator[tuple[Course, Mapping[str, Allowance]]]:
    """The courses that are tried one after the other, each with what is allowed there."""
    courses = courses_of(request, provider, routes)
    if preferences and len(courses) > 1:
        courses = by_preferences(provider, courses, request.fields, preferences)
    # Of several routes, one that needs no allowance comes before one that uses some.
    for allowed in [{}, allow] if allow and len(courses) > 1 else [allow]:
        for course in courses:
            yield course, allowed


def badness(made: Plan) -> tuple[bool, int, int]:
    """How far a refused plan is from one that can be sent: without a route, with many problems,
    without a row for many of the fields.
    """
    unknown = made.checked.fields.keys() - (made.route.by_name.keys() if made.route else ())
    return made.route is None, len(made.problems), len(unknown)


def _plan_on(
    provider: Provider,
    course: Course,
    request: CheckedRequest,
    base_url: str,
    allow: Mapping[str, Allowance],
    preferences: Mapping[str, Any],
    *,
    override: bool,
) -> Plan:
    """What one route makes of a request: what the fields alone decide is in its course."""
    route, shared = course.route, request.written
    body, query, report = written(provider, course, request, allow, preferences, override=override)
    note_idle_marks(shared, report)
    files = None
    if course.has_media:
        files = Attachments(provider, route, shared, report, base_url, allow)
    if files and files.local:
        note_shape(provider, route, shared, body, files.local, report)
    found = provider.contract.sends(route.schema, files.stand_in(body) if files else body)
    if found:
        writing = Writing(provider, course, shared, allow, body, report)
        writing.settle(found, files, request.fields)
    problems = tuple(report.problems)
    return Plan(
        provider,
        route,
        request,
        route.model,
        base_url,
        body,
        query,
        tuple(report.entries),
        problems,
        uploads=files.uploads(body) if files and not problems else (),
        parts=files.parts(body) if files and not problems else (),
    )


def written(
    provider: Provider,
    course: Course,
    request: CheckedRequest,
    allow: Mapping[str, Allowance],
    preferences: Mapping[str, Any],
    *,
    override: bool,
) -> tuple[JsonObject, Mapping[str, str], MappingReport]:
    """The body and the query that the rows of a route make of a request, and what they report.

    What they make of a value they find out of the value itself and of the others in the request,
    and of nothing else.
    """
    route, shared = course.route, request.written
    body: JsonObject = {}
    report = MappingReport([course.model], [])
    if preferences or "extra" in request.fields:
        writing = Writing(provider, course, shared, allow, body, report)
        writing.write_rows(preferences)
        writing.add_extra(request.extra, override=override)
    else:
        course.write(shared, body, allow, report)
    query: dict[str, str] = {}
    if course.has_query or preferences:  # which can be for any row
        # What no row could write there stays in the body, and the contract has its say.
        for name in [name for name in body if name[:1] == "?" and name in route.by_place]:
            if not isinstance(body[name], dict | list):
                value = body.pop(name)
                query[name[1:]] = value if isinstance(value, str) else json_text(value)
    return body, query, report


def _streamed(made: Plan) -> Plan:
    """The plan for the call that answers with an event stream. Refused where there is none."""
    if made.route is None:
        return evolve(made, stream=True)
    operation = made.provider.contract.streams.get(made.provider.operation(made.route).id)
    if operation is None:
        reason = f"offers no event stream for {made.model} {made.workflow}; leave stream out"
    elif made.parts and not operation.takes_files:
        reason = "documents no local files for event streams; pass URLs, or leave stream out"
    else:
        return evolve(made, stream=True)
    problem = Problem("stream", "", f"{made.vendor} {reason}")
    return evolve(made, stream=True, problems=(*made.problems, problem), uploads=(), parts=())
