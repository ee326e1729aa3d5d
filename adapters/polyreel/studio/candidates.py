"""Whose body a pasted one is: the vendors and models that it can be for, the likeliest first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from ..errors import RequestError, near
from ..hosts import domain_of
from ..mapping.reports import Allowance, ConflictError
from ..places import (
    JsonObject,
    PlaceError,
    find_value,
    json_bytes,
    pointer_parts,
    pointer_text,
)
from ..plans.reading import Reading, UnreadableBodyError, read
from ..plans.requests import check_request
from ..plans.strays import spelled_out, without_empty
from ..plans.translation import Translation, translate
from ..providers.base.calling import filled
from ..providers.base.provider import Provider
from ..providers.base.registry import all_providers, get_provider
from ..providers.base.routes import Route
from ..serving.calls import creating
from ..verification.addresses import DocumentedCall, UndocumentedCall, find_call
from ..verification.comparing import differences_of
from ..verification.differences import Difference
from ..verification.documents import UnreadableDocumentError
from ..verification.exchanges import RecordedExchange
from ..verification.members import undocumented_members
from ..verification.redaction import Redactor
from ..verification.reports import grouped
from ..verification.violations import named_schema

if TYPE_CHECKING:
    from ..providers.base.registry import Vendor

OF_A_VENDOR: Final = 3
"""How many models of a vendor are looked at."""
MOST: Final = 6
"""How many are shown, or as many as there are vendors."""
MOST_NEAR: Final = 20
"""For how many unknown members near ones are looked for."""
LONGEST: Final = 300
SUBMITS: Final = frozenset({"create", "stream"})
LIST: Final = re.compile(r"/\d+(?:/|$)")
CHOICES: Final = frozenset({"enum", "const", "anyOf", "oneOf"})
Fit = tuple[int, ...]


@frozen
class LeftMember:
    """A member of a body that no shared field stands for."""

    place: str
    """Its JSON Pointer."""
    is_known: bool
    """Whether the vendor's spec has it: then it is the vendor's own, and else it is unknown."""
    near: tuple[str, ...] = ()
    """Members that the spec has, and that may be meant in the place of an unknown one."""


@frozen
class PastedCandidate:
    """One vendor and model that a body can be for."""

    vendor: str
    model: str
    """The model family."""
    workflow: str
    why: str
    """Why it can be meant."""
    fits: bool
    """Whether nothing in the body speaks against it."""
    body: JsonObject = field(repr=False)
    request: JsonObject = field(factory=dict)
    """The body in the shared words."""
    problems: tuple[str, ...] = ()
    """Why the body cannot be read, or makes no shared request."""
    left: tuple[LeftMember, ...] = ()
    drift: tuple[Difference, ...] = ()
    """How the call differs from the vendor's spec."""
    source_model: str = ""
    """What says to `translate` whose body it is."""

    def translated(
        self, target: Vendor, allow: Mapping[str, Allowance] | None = None
    ) -> Translation:
        """The body for another vendor, with a verdict for every leaf."""
        source = get_provider(self.vendor)
        return translate(self.body, source, target, source_model=self.source_model, allow=allow)


@frozen
class _Possible:
    """A route that a body can belong to, and what says so."""

    provider: Provider
    route: Route
    fit: Fit
    why: str

    @property
    def names(self) -> bool:
        """Whether the body names the route."""
        return self.fit[0] < 0

    @property
    def strangeness(self) -> int:
        """How much in the body speaks against it."""
        return self.fit[1]


def candidates(
    exchange: RecordedExchange, body: JsonObject, redactor: Redactor
) -> tuple[tuple[PastedCandidate, ...], tuple[str, ...]]:
    """The vendors and models that a call can be for, and why others cannot be meant.

    A call without a host is looked at by its body alone.
    """
    calls = _calls(exchange)
    kin = _of_domain(exchange.url)
    problems = list[str]()
    found = list[_Possible]()
    for call, is_stranger in calls:
        possible = [*_at_call(call, body, is_stranger=is_stranger)]
        found += possible
        if not possible:
            problems.append(f"{call.provider.id}: {_why_none(call, body)}")
    are_strangers = any(is_stranger for _, is_stranger in calls)
    certain = kin or [one.provider for one, is_stranger in calls if not is_stranger]
    if not found or (not certain and all(one.strangeness for one in found)):
        # The path at a stranger's host proves little.
        found += _by_body(body, certain or all_providers().values())
    # Where a body fits some, what it does not fit is not meant.
    best = _likeliest([one for one in found if one.strangeness == 0] or found)
    if found and are_strangers:
        problems = []  # of vendors that a stranger's path does not mean
    if not problems and (not best or (best[0].strangeness and not best[0].names)):
        problems += _unknown_model(body)
    if not found and not problems:
        problems.append("no vendor has a body like this")
    return tuple(_candidate(one, exchange, body, redactor) for one in best), tuple(problems)


def _likeliest(found: Iterable[_Possible]) -> list[_Possible]:
    """The best that fit; of those that fit alike one of each vendor first, so none is left out."""
    numbers = Counter[tuple[str, Fit]]()
    ranked = list[tuple[Fit, int, _Possible]]()
    for one in found:
        of_its_kind = (one.provider.id, one.fit)
        ranked.append((one.fit, numbers[of_its_kind], one))
        numbers[of_its_kind] += 1
    ranked.sort(key=itemgetter(0, 1))
    vendors = {one.provider.id for *_, one in ranked}
    return [one for *_, one in ranked[: max(MOST, len(vendors))]]


# -- by the address --------------------------------------------------------------------------------


def _calls(exchange: RecordedExchange) -> list[tuple[DocumentedCall, bool]]:
    """The submits that a call can be by its address, and whether the host is a stranger's."""
    if not exchange.url:
        return []
    providers = [*all_providers().values()]
    found = find_call(exchange, providers, {}, any_host=False)
    if isinstance(found, DocumentedCall):
        return [(found, False)] if found.operation.role in SUBMITS else []
    if found.provider is not None:
        return []
    calls = [
        call
        for one in _of_domain(exchange.url) or providers
        if isinstance(call := find_call(exchange, [one], {}, any_host=True), DocumentedCall)
        and call.operation.role in SUBMITS
    ]
    # A path that is written down says more than one with a parameter that takes any path.
    exact = [call for call in calls if call.operation.slashed is None]
    return [(call, True) for call in exact or calls]


def _of_domain(url: str) -> list[Provider]:
    """The vendors that have a host with the same domain, such as that of another region."""
    domain = domain_of(url)
    return [
        one
        for one in all_providers().values()
        if domain is not None and domain in map(domain_of, one.servers)
    ]


NO_HOST: Final = "host.invalid"
"""The host of an address that has none, or a variable for it."""


def stranger_of(url: str) -> str | None:
    """The host of a call that is no vendor's; None where it is one's, or there is none."""
    host = urlsplit(url).hostname
    if host is None or host == NO_HOST or _of_domain(url):
        return None
    return host[:100]


def owner_of(exchange: RecordedExchange) -> tuple[Provider | None, bool]:
    """The vendor whose host is called, and whether the call is one that makes a job."""
    found = find_call(exchange, [*all_providers().values()], {}, any_host=False)
    is_submit = isinstance(found, DocumentedCall) and found.operation.role in SUBMITS
    return found.provider, is_submit or (
        isinstance(found, UndocumentedCall) and found.provider is None
    )


def _path(call: DocumentedCall) -> str:
    plain = creating(call.provider, call.operation)
    return filled(plain.path, call.path_parameters, slashes=True)


def _at_call(call: DocumentedCall, body: JsonObject, *, is_stranger: bool) -> Iterator[_Possible]:
    why = "the path is that of a submit, at another host" if is_stranger else "by its address"
    for route in islice(
        _of_each_model(call.provider.routes_of_body(body, _path(call))), OF_A_VENDOR
    ):
        yield _Possible(call.provider, route, _fit(call.provider, route, body), why)


def _why_none(call: DocumentedCall, body: JsonObject) -> str:
    try:
        read(body, call.provider, _path(call))
    except (UnreadableBodyError, ConflictError, PlaceError) as error:
        return _short(str(error))
    return "it sells no model for this body"


def _short(text: str) -> str:
    """A text that may repeat a part of the body."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."


# -- by the body -----------------------------------------------------------------------------------


def _by_body(body: JsonObject, providers: Iterable[Provider]) -> Iterator[_Possible]:
    for provider in providers:
        for route in islice(_of_each_model(provider.routes_of_body(body)), OF_A_VENDOR):
            known = provider.contract.schema(route.schema).get("properties", {})
            shared = len(body.keys() & known.keys())
            if shared:
                yield _Possible(
                    provider, route, _fit(provider, route, body), _why(route, body, shared)
                )


def _of_each_model(routes: Iterable[Route]) -> Iterator[Route]:
    seen = set[str]()
    for route in routes:
        if route.model not in seen:
            seen.add(route.model)
            yield route


def _fit(provider: Provider, route: Route, body: JsonObject) -> Fit:
    """How well a body fits a route; the least is the best.

    First that it names the route, then whether the vendor would refuse it, and how much is missing
    or not known. A route of models that the vendor takes by any name is meant last.
    """
    contract = provider.contract
    named, missing, unknown, silent = route.strangeness(body, contract)
    try:
        broken = len(contract.accepts(route.schema, body))
    except (ValueError, RecursionError):
        broken = 1
    model = contract.property(route.schema, "model")
    strange = missing + unknown + silent + broken
    if "model" in body and model is None:
        strange += 1  # beside being unknown: it is what bodies are told apart by
    takes_any = "model" in body and model is not None and not model.keys() & CHOICES
    return named, strange, int(takes_any)


def _why(route: Route, body: JsonObject, shared: int) -> str:
    names = [str(row.value) for row in route.constants if row.names_route(body)]
    said = f"it says {' and '.join(names)}; " if names else ""
    count = "all its members are" if shared == len(body) else f"{shared} of {len(body)} members are"
    return f"{said}{count} in the spec of this body"


def _unknown_model(body: JsonObject) -> Iterator[str]:
    """What to say of a model that no body is for: the nearest names that there are."""
    model = body.get("model")
    if isinstance(model, str) and (found := near(model, _models())):
        yield f"no vendor knows this model in such a body; did you mean {' or '.join(found)}?"


@cache
def _models() -> frozenset[str]:
    """The words by which bodies name their models."""
    return frozenset(
        str(row.value)
        for provider in all_providers().values()
        for route in provider.routes
        for row in route.constants
        if row.field == "model"
    )


# -- what is said of each --------------------------------------------------------------------------


def _candidate(
    one: _Possible, exchange: RecordedExchange, body: JsonObject, redactor: Redactor
) -> PastedCandidate:
    provider, route = one.provider, one.route
    drift = _drift(provider, route, exchange, body, redactor)
    made = PastedCandidate(
        provider.id,
        route.model,
        route.workflow,
        one.why,
        fits=one.strangeness == 0,
        body=body,
        drift=drift,
        source_model=route.source_model,
    )
    try:
        spelled = without_empty(body)
        if provider.contract.accepts(route.schema, spelled.body):
            spelled = spelled_out(spelled, provider, route)
        reading = read(spelled.body, provider, route.path, route.model)
    except (ValueError, PlaceError, TypeError, LookupError) as error:
        return evolve(made, problems=(_short(str(error)),), fits=False)
    problems = [problem.reason for problem in reading.problems]
    try:
        check_request(reading.request, reading.kind)
    except RequestError as error:
        problems += error.problems
    return evolve(
        made,
        workflow=reading.route.workflow,
        request=reading.request,
        problems=tuple(map(_short, dict.fromkeys(problems))),
        left=tuple(_left(reading, spelled.body)),
        fits=made.fits and not problems,
    )


def _left(reading: Reading, body: JsonObject) -> Iterator[LeftMember]:
    """What no shared field stands for: unknown members, and the vendor's own up to a list."""
    document, schema = reading.provider.contract.document, named_schema(reading.route.schema)
    unknown = {
        pointer_text(place): find_value(document, (*where, "properties")) or {}
        for place, where in undocumented_members(document, [schema], body)
    }
    dotted = {
        one.rpartition(".")[2]: one
        for one in reading.provider.contract.properties(reading.route.schema)
    }
    known = dict[str, None]()
    for entry in reading.entries:
        is_below = any(f"{entry.source}/".startswith(f"{place}/") for place in unknown)
        if entry.field == "extra" and entry.source and not is_below:
            known[LIST.split(entry.source)[0]] = None
    for number, (place, beside) in enumerate(unknown.items()):
        name, known_names = pointer_parts(place)[-1], {**beside, **dotted}
        alike = near(name, known_names) if number < MOST_NEAR else []
        meant = [one if one in beside else dotted[one] for one in alike]
        yield LeftMember(place, False, tuple(meant))
    for place in known:
        yield LeftMember(place, True)


def _drift(
    provider: Provider,
    route: Route,
    exchange: RecordedExchange,
    body: JsonObject,
    redactor: Redactor,
) -> tuple[Difference, ...]:
    """How the call differs from the spec; of a body alone, how that differs."""
    by_address = bool(exchange.url)
    operation = provider.operation(route)
    url = exchange.url or provider.base_url + route.path
    sent = evolve(
        exchange,
        method=exchange.method if by_address else operation.method,
        url=url,
        request_body=exchange.request_body if exchange.form is None else None,
        status=None,
    )
    if not by_address:
        sent = evolve(sent, request_body=json_bytes(body))
    call = find_call(sent, [provider], {}, any_host=True)
    if isinstance(call, UndocumentedCall):
        return ()
    try:
        found: Sequence[Difference] = grouped([*differences_of(call, redactor)])
    except (UnreadableDocumentError, PlaceError):
        return ()
    return tuple(one for one in found if by_address or one.traffic.startswith("/request/body"))
