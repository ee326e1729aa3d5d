"""From a shared request to a plan: what would be sent to one vendor, and what becomes of every field.

Pure functions over routes. Planning sends nothing; it looks at local files only to see that they are there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final

from attrs import Factory, evolve, field, frozen

from ..errors import PlanRefusedError, UnknownNameError
from ..flows import EVENT_STREAM, Part, Send
from ..mapping.reports import Allowance, Fate, MappingEntry, MappingReport, Problem, refuse
from ..mapping.rows import Field, Row, has_work
from ..mapping.workflows import WORKFLOWS, workflow_of
from ..money.amounts import Cost
from ..money.book import PriceBook
from ..places import JsonObject, get, leaves, merge, pointer, put
from ..providers.base.contract import Operation
from ..providers.base.provider import Provider
from ..providers.base.registry import all_providers, get_provider
from ..providers.base.routes import Route
from ..providers.base.schemas import SchemaViolation
from .attachments import Attachments, Upload, replaced
from .requests import normalize
from .verdicts import Verdict, Violation, verdicts, violations
from .wording import describe, row_at, tell

if TYPE_CHECKING:
    from pydantic import BaseModel

PORTABLE: Final[Mapping[str, Any]] = {"resolution": "720p", "audio": True}
"""Preferences that make one request give the same clip at every vendor, whose own defaults disagree.
Used where the caller left a field unset and the route can express it."""


# Without slots: a plan is made for every request, and frozen classes with slots take twice as long to fill.
@frozen(eq=False, slots=False)
class Plan:
    """What would be sent to one vendor. `submit` sends `content` (or `parts`) and nothing else."""

    provider: Provider = field(repr=False)
    route: Route | None = field(repr=False)
    request: JsonObject
    kind: str
    """`video` or `image`."""
    workflow: str
    model: str | None
    base_url: str = field(repr=False)
    body: JsonObject = Factory(dict)
    entries: tuple[MappingEntry, ...] = field(factory=tuple, repr=False)
    problems: tuple[Problem, ...] = field(factory=tuple, repr=False)
    uploads: tuple[Upload, ...] = ()
    parts: tuple[Part, ...] = ()
    prices: PriceBook = field(default=PriceBook(), repr=False)
    stream: bool = False
    """Whether the paid call is the one that tells of the job as it goes on, as an event stream."""

    @property
    def vendor(self) -> str:
        """Who would be paid."""
        return self.provider.id

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
        if self.stream and self.route:
            return f"{self.base_url}{self.operation.path}"
        return f"{self.base_url}{self.route.operation.PATH}" if self.route else ""

    @property
    def operation(self) -> Operation:
        """The paid call in the vendor's contract."""
        assert self.route is not None
        plain = self.provider.operation(self.route)
        return self.provider.contract.streams.get(plain.id, plain) if self.stream else plain

    @cached_property
    def content(self) -> bytes:
        """The exact bytes of the JSON body."""
        return dumps(self.body)

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """One verdict for every leaf of the request, and one for every value the vendor demanded."""
        return tuple(verdicts(self))

    @cached_property
    def violations(self) -> tuple[Violation, ...]:
        """Every problem at once, with the vendors that do not have it."""
        return tuple(violations(self))

    @cached_property
    def cost(self) -> Cost:
        """What the job would cost, as far as it is known."""
        return self.prices.cost(self.provider, self.route, self.request, self.body)

    @cached_property
    def elsewhere(self) -> tuple[Plan, ...]:
        """The same request at every other vendor."""
        return _elsewhere(self, any_model=False)

    @cached_property
    def elsewhere_in_any_model(self) -> tuple[Plan, ...]:
        """The same request at every other vendor, whatever model family serves it there."""
        return _elsewhere(self, any_model=True)

    def check(self) -> Plan:
        """The plan itself, or PlanRefusedError."""
        if self.refused:
            raise PlanRefusedError(self, self.violations)
        return self

    def uploaded(self, links: Mapping[str, str]) -> Plan:
        """The plan with uploaded files replaced by their URLs (by target)."""
        return evolve(self, body=replaced(self.body, links), uploads=())

    def step(self, headers: Mapping[str, str] | None = None) -> Send:
        """The paid call."""
        assert self.route is not None
        fixed = {} if self.parts else {"Content-Type": "application/json"}
        asked = {"Accept": EVENT_STREAM} if self.stream else {}
        content = None if self.parts else self.content
        made = {
            "content": content,
            "parts": self.parts,
            "headers": {**fixed, **asked, **(headers or {})},
        }
        return Send(self.vendor, self.method, self.url, **made, paid=True, stream=self.stream)  # type: ignore[arg-type]


def dumps(body: Any) -> bytes:
    """JSON bytes, compact and in the order of the table."""
    return _ENCODER.encode(body).encode()


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


# --- planning -------------------------------------------------------------------------------------


def plan(
    request: BaseModel | Mapping[str, Any],
    vendor: str | Provider,
    *,
    allow: Mapping[str, Allowance] | None = None,
    preferences: Mapping[str, Any] | None = None,
    base_url: str | None = None,
    override: bool = False,
    stream: bool = False,
) -> Plan:
    """Plan a request for one vendor. The plan may be refused: see its `violations`, or call `check()`.

    `allow` names the fields that may be dropped or brought to the nearest value; by default nothing may.
    `preferences` fill fields that the caller left unset, where the route can express them.
    `override` lets `extra` replace what the table has written.
    `stream` asks for the paid call that answers with an event stream.
    """
    provider = get_provider(vendor) if isinstance(vendor, str) else vendor
    shared, kind = normalize(request)
    made = plan_normalized(
        shared,
        kind,
        provider,
        allow=allow or {},
        preferences=preferences or {},
        base_url=base_url,
        override=override,
    )
    return _streamed(made) if stream else made


def plan_normalized(
    shared: JsonObject,
    kind: str,
    provider: Provider,
    *,
    allow: Mapping[str, Allowance],
    preferences: Mapping[str, Any],
    base_url: str | None = None,
    override: bool = False,
    routes: Sequence[Route] | None = None,
) -> Plan:
    """Plan a request that `normalize` has checked, on the vendor's routes or on just some of them."""
    workflow, model = workflow_of(shared, kind), shared.get("model")
    blank = Plan(provider, None, shared, kind, workflow, model, base_url or provider.base_url)
    routes = [
        one
        for one in routes or provider.routes
        if one.workflow == workflow and (not model or one.model == model)
    ]
    if not routes:
        return evolve(blank, problems=tuple(_unserved(shared, provider, workflow)))
    plans = (_plan_route(blank, route, allow, preferences, override=override) for route in routes)
    return _first_clean(plans)


def _first_clean(plans: Iterator[Plan]) -> Plan:
    """The first plan without problems, else the nearest miss: one with a route, and the fewest problems."""
    best = next(plans)
    if best.refused:
        for other in plans:
            if (other.route is None, len(other.problems)) < (
                best.route is None,
                len(best.problems),
            ):
                best = other
            if not best.refused:
                break
    return best


def _unserved(shared: JsonObject, provider: Provider, workflow: str) -> Iterator[Problem]:
    """Why a vendor has no route at all: the model, or the inputs that ask for the workflow."""
    model = shared.get("model")
    sold = sorted({route.model for route in provider.routes if route.workflow == workflow})
    if model and sold:
        yield Problem(
            "model",
            "/model",
            f"{provider.id} does not sell {model} for {workflow}",
            " or ".join(sold),
        )
        return
    inputs = [name for name in WORKFLOWS[workflow] if name in shared] or [
        "model" if model else "prompt"
    ]
    workflows = ", ".join(dict.fromkeys(route.workflow for route in provider.routes))
    for name in inputs:
        yield Problem(name, f"/{name}", f"{provider.id} has no {workflow}", workflows)


def _plan_route(
    blank: Plan,
    route: Route,
    allow: Mapping[str, Allowance],
    preferences: Mapping[str, Any],
    *,
    override: bool,
) -> Plan:
    report = MappingReport()
    provider, shared = blank.provider, dict(blank.request)
    shared.pop("model", None)
    extra = shared.pop("extra", None)
    preferred = _preferred(provider, route, shared, preferences)
    body = write(route, {**shared, **preferred}, allow, report)
    if preferred:
        _tell_preferred(preferred, provider, report)
    report.entries.insert(0, _model_entry(route, provider.id, asked="model" in blank.request))
    if extra:
        _add_extra(provider, route, extra, body, report, override=override)
    files = Attachments(provider, route, shared, report)
    breaches = provider.contract.sends(route.schema, files.stand_in(body))
    if breaches and allow and _approximate(breaches, route, shared, body, allow, report):
        breaches = provider.contract.sends(route.schema, files.stand_in(body))
    if breaches:
        tell(breaches, route, blank.request, provider, report)
    return Plan(
        provider,
        route,
        blank.request,
        blank.kind,
        blank.workflow,
        route.model,
        blank.base_url,
        body,
        tuple(report.entries),
        tuple(report.problems),
        uploads=() if report.problems else files.uploads(body),
        parts=() if report.problems else files.parts(body),
    )


def _streamed(made: Plan) -> Plan:
    """The plan for the paid call that answers with an event stream; refused where there is none."""
    if made.route is None:
        return evolve(made, stream=True)
    operation = made.provider.contract.streams.get(made.provider.operation(made.route).id)
    if operation is not None and (not made.parts or operation.takes_files):
        return evolve(made, stream=True)
    if operation is None:
        reason = f"{made.vendor} offers no event stream for {made.model} {made.workflow}; leave stream out"
    else:
        reason = f"{made.vendor} documents no local files for event streams; pass URLs, or leave stream out"
    problems = (*made.problems, Problem("stream", "", reason))
    return evolve(made, stream=True, problems=problems, uploads=(), parts=())


def _tell_preferred(
    preferred: Mapping[str, Any], provider: Provider, report: MappingReport
) -> None:
    """Report preferences that were written out as such, not as what the caller set."""
    for index, entry in enumerate(report.entries):
        if entry.field in preferred:
            reason = f"asked for: {provider.id} may make another by default"
            report.entries[index] = evolve(entry, source="", fate=Fate.DEFAULTED, reason=reason)


def write(
    route: Route, shared: Mapping[str, Any], allow: Mapping[str, Allowance], report: MappingReport
) -> JsonObject:
    """The native body of a shared request (without `model` and `extra`) on one route."""
    body: JsonObject = {}
    rows, unknown = _work(route, tuple(shared))
    for row in rows:
        row.write(shared, body, allow, report)
    for name in unknown:
        refuse(name, f"{route.model} {route.workflow} has no such field", allow, report)
    return body


@lru_cache(maxsize=1000)
def _work(route: Route, names: tuple[str, ...]) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """The rows that have something to write for these fields, and the fields that the route does not know.

    Remembered, because most requests of a program set the same fields.
    """
    rows = tuple(row for row in route.rows if has_work(row, names))
    return rows, tuple(name for name in names if name not in route.by_name)


def _preferred(
    provider: Provider, route: Route, shared: Mapping[str, Any], preferences: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The preferences that have to be spelled out: unset, not the vendor's default anyway, and possible."""
    if not preferences:
        return preferences
    defaults = provider.defaults(route)
    return {
        name: value
        for name, value in preferences.items()
        if name not in shared
        and defaults.get(name) != value
        and can_express(provider, route, name, value)
    }


def can_express(provider: Provider, route: Route, name: str, value: Any) -> bool:
    """Whether a route can express a value of one field, as far as the field alone decides it."""
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


@lru_cache(maxsize=1000)
def _model_entry(route: Route, vendor: str, *, asked: bool) -> MappingEntry:
    constant = next((row for row in route.constants if row.field == "model"), None)
    target = pointer(constant.native) if constant else ""
    if asked:
        return MappingEntry(
            "model", "/model", target, Fate.CONVERTED, "" if target else "part of the URL"
        )
    reason = f"{route.model} is {vendor}'s first for {route.workflow}"
    return MappingEntry("model", "", target, Fate.DEFAULTED, reason)


def _add_extra(
    provider: Provider,
    route: Route,
    extra: Mapping[str, Any],
    body: JsonObject,
    report: MappingReport,
    *,
    override: bool,
) -> None:
    for vendor, natives in extra.items():
        source = f"/extra/{vendor}"
        if vendor != provider.id:
            report.entries.append(
                MappingEntry("extra", source, "", Fate.DROPPED, f"meant for {vendor}")
            )
            continue
        for at in list(merge(body, natives)):
            if override:
                put(
                    body,
                    at.strip("/").replace("/", "."),
                    get(natives, at.strip("/").replace("/", ".")),
                )
            else:
                reason = f"{at} is already set by the request; leave it out, or ask for overriding"
                report.problems.append(Problem("extra", source + at, reason))
        for at, _ in leaves(natives):
            report.entries.append(MappingEntry("extra", source + at, at, Fate.EXACT, "extra"))


def _approximate(
    breaches: Iterable[SchemaViolation],
    route: Route,
    shared: Mapping[str, Any],
    body: JsonObject,
    allow: Mapping[str, Allowance],
    report: MappingReport,
) -> bool:
    """Bring values over a limit to the limit, or leave them out, where the caller allows it."""
    changed = False
    for breach in breaches:
        row, name = row_at(route, breach.path)
        if not isinstance(row, Field) or name not in allow:
            continue
        reason, limit = describe(breach, row, shared.get(name), "")
        if allow[name] == "drop":
            parent = body if "." not in row.native else get(body, row.native.rpartition(".")[0])
            parent.pop(row.native.rpartition(".")[2], None)
            fate = Fate.DROPPED
        elif (
            breach.kind in {"maximum", "minimum"} and len(breach.path) == row.native.count(".") + 1
        ):
            put(body, row.native, breach.limit)
            fate = Fate.APPROXIMATED
        elif breach.kind == "maxItems":
            put(body, row.native, get(body, row.native)[: breach.limit])
            fate = Fate.APPROXIMATED
        else:
            continue
        report.entries = [entry for entry in report.entries if entry.field != name]
        target = "" if fate is Fate.DROPPED else pointer(row.native)
        report.entries.append(MappingEntry(name, f"/{name}", target, fate, f"{reason}; {limit}"))
        changed = True
    return changed


def _elsewhere(plan_: Plan, *, any_model: bool) -> tuple[Plan, ...]:
    """The same request at every other vendor."""
    shared = {
        name: value for name, value in plan_.request.items() if not (any_model and name == "model")
    }
    others = (provider for provider in all_providers().values() if provider is not plan_.provider)
    plans = (
        plan_normalized(shared, plan_.kind, provider, allow={}, preferences={})
        for provider in others
    )
    return tuple(_streamed(made) if plan_.stream else made for made in plans)


def choose(
    request: BaseModel | Mapping[str, Any],
    providers: Sequence[Provider],
    *,
    allow: Mapping[str, Allowance] | None = None,
    preferences: Mapping[str, Any] | None = None,
    base_urls: Mapping[str, str] | None = None,
    override: bool = False,
    stream: bool = False,
) -> Plan:
    """The plan of the first vendor that can serve the request, else the refused plan with the fewest problems."""
    if not providers:
        raise UnknownNameError("no vendor to choose from")
    shared, kind = normalize(request)
    plans = (
        plan_normalized(
            shared,
            kind,
            provider,
            allow=allow or {},
            preferences=preferences or {},
            base_url=(base_urls or {}).get(provider.id),
            override=override,
        )
        for provider in providers
    )
    return _first_clean(map(_streamed, plans) if stream else plans)


__all__ = [
    "PORTABLE",
    "Plan",
    "Upload",
    "Verdict",
    "Violation",
    "choose",
    "normalize",
    "plan",
    "write",
]
