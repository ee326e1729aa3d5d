"""The laws of the mapping, as functions of a provider and a route.

Each raises AssertionError, or PlaceError, where its law is broken.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Any, Final
from urllib.parse import urlencode

from ..mapping.codecs import Choice, MeaninglessError
from ..mapping.groups import Group
from ..mapping.reports import Allowance, ConflictError, Fate, MappingReport
from ..mapping.rows import Absent, Field
from ..mapping.shots import TextField
from ..mapping.workflows import INPUT_VIDEOS, WORKFLOWS, kind_of, request_of
from ..places import Json, JsonObject, get, leaves, pointer_parts, value_at
from ..plans.capabilities import NOT_FIELDS, Capability, capabilities
from ..plans.choosing import plan
from ..plans.planning import Plan, plan_checked
from ..plans.reading import UnreadableBodyError, read
from ..plans.requests import CheckedRequest
from ..plans.translation import Translation, translate
from ..providers.base.calling import PLACEHOLDER, parameters
from ..providers.base.contract import Contract
from ..providers.base.provider import Provider
from ..providers.base.routes import Route
from .bodies import examples_of

CARRIED: Final = {Fate.EXACT, Fate.CONVERTED}


def planned(request: Mapping[str, Any], provider: Provider, route: Route) -> Plan:
    """A plan on just this route, where the vendor has several for one workflow."""
    checked = CheckedRequest(dict(request), kind_of(route.workflow))
    made = plan_checked(checked, provider, routes=(route,))
    assert made.route in {None, route}
    return made


@cache
def demanded(provider: Provider, route: Route) -> JsonObject:
    """The native fields that a route demands, and that no shared word says, from its example.

    Such a field is the id of a model where the family does not say it.
    """
    needed = {*provider.contract.schema(route.schema).get("required", ())} & route.ignored.keys()
    for body in examples_of(provider, route) if needed else ():
        with suppress(UnreadableBodyError, ConflictError):
            if read(body, provider, route.path).route.model == route.model:
                return {name: body[name] for name in needed}
    return {}


def completed(request: Mapping[str, Any], provider: Provider, route: Route) -> JsonObject:
    """A drawn request with what the route demands beside the shared words."""
    extra = demanded(provider, route)
    return {**request, "extra": {provider.id: extra}} if extra else dict(request)


def reads_back(request: Mapping[str, Any], provider: Provider, route: Route) -> None:
    """Law 1: a field that a plan calls exact or converted comes back as it was."""
    request = completed(request, provider, route)
    made = planned(request, provider, route)
    if made.refused or made.route is None:
        return
    reading = read(made.native, provider, route.path)
    assert not reading.problems
    again = {**provider.defaults(route), **reading.request}
    for verdict in made.verdicts:
        if verdict.source and verdict.verdict in CARRIED and verdict.field != "extra":
            place = pointer_parts(verdict.source)
            assert value_at(again, place) == value_at(dict(request), place)


def canonical(body: Mapping[str, Any], provider: Provider, route: Route) -> JsonObject | None:
    """The body as polyreel writes it; None where it cannot be read or written without a loss."""
    if provider.contract.accepts(route.schema, dict(body)):
        return None
    try:
        reading = read(body, provider, route.path, route.model)
    except (UnreadableBodyError, ConflictError):
        return None
    if reading.problems or "extra" in reading.request or reading.route.schema != route.schema:
        return None
    made = planned(reading.request, provider, reading.route)
    return None if made.refused else made.body


def writes_back(body: Mapping[str, Any], provider: Provider, route: Route) -> None:
    """Law 2: writing what was read gives the canonical body.

    Reading and writing that one again changes nothing, and it says what the body said.
    """
    first = canonical(body, provider, route)
    if first is None:
        return
    assert canonical(first, provider, route) == first
    # Nothing that the body says is gone or changed, except what its reading reports.
    reading = read(body, provider, route.path, route.model)
    reported = {
        entry.source for entry in reading.entries if entry.fate in {Fate.DROPPED, Fate.CONVERTED}
    }
    for pointer, value in leaves(dict(body)):
        if not any(pointer == place or pointer.startswith(place + "/") for place in reported):
            assert value_at(first, pointer_parts(pointer)) == value


def every_leaf_has_a_verdict(request: Mapping[str, Any], provider: Provider, route: Route) -> None:
    """Law 3: every leaf of a request has exactly one verdict; what is carried is in the body."""
    request = completed(request, provider, route)
    made = planned(request, provider, route)
    judged = sorted(verdict.source for verdict in made.verdicts if verdict.source)
    assert judged == sorted(pointer for pointer, _ in leaves(dict(request)))
    for verdict in made.verdicts if not made.refused else ():
        inside = verdict.target.rpartition("/")[0]
        if inside and verdict.verdict in CARRIED:
            value_at(made.body, pointer_parts(inside))  # raises where the body has no such place


def totality(provider: Provider, route: Route) -> None:
    """Law 4: every native property is mapped, or listed with a reason; no two rows overlap."""
    native = set(provider.contract.properties(route.schema))
    query = parameters(provider.contract, provider.operation(route), "query")
    native |= {f"?{one['name']}" for one in query}
    known = set(route.by_place) | set(route.ignored)
    assert native <= known, f"native fields that nobody speaks of: {native - known}"
    assert known <= native, (
        f"tables speak of fields that the contract does not have: {known - native}"
    )
    shared = Contract.load("polyreel").schema(request_of(route.workflow))["properties"].keys()
    shared -= NOT_FIELDS
    assert set(route.by_name) <= shared
    plain = [row for row in route.rows if isinstance(row, Field) and not isinstance(row, TextField)]
    places = [row.native for row in plain]
    places += [place for row in route.rows if isinstance(row, Group) for place in row.places]
    names = [name for row in route.rows for name in row.names]
    assert len(places) == len(set(places)), "two rows write one place"
    assert len(names) == len(set(names)), "two rows claim one shared field"
    for place in native:
        _check_documented_words(route, place, provider.contract.property(route.schema, place) or {})


def _check_documented_words(route: Route, place: str, schema: Mapping[str, Any]) -> None:
    """A documented default, and every documented word, has a shared meaning.

    One that the vendor ignores for this route, or that asks for nothing, has none.
    """
    row = route.by_place.get(place)
    if not isinstance(row, Field) or row.native != place:
        return
    default = [schema["default"]] if "default" in schema else []
    for value in [*schema.get("enum", ()), *default]:
        body: JsonObject = {}
        with suppress(MeaninglessError):
            meaning = row.codec.decode(value, {})
            row.write({row.shared: meaning}, body, {}, MappingReport())
            written = get(body, place)
            if isinstance(row.codec, Choice) and value in row.codec.spellings:
                assert row.codec.decode(written, {}) == meaning
            else:
                assert written == value


def sound(request: Mapping[str, Any], provider: Provider, route: Route) -> None:
    """Law 5: what is not refused fits the closed contract, and the generated model agrees."""
    request = completed(request, provider, route)
    made = planned(request, provider, route)
    if made.refused or made.route is None:
        assert made.violations
        return
    assert provider.contract.sends(route.schema, made.body) == []
    assert provider.contract.accepts(route.schema, made.body) == []
    values = [route.path_values[name] for name in PLACEHOLDER.findall(route.operation.PATH)]
    typed = route.body.from_dict(made.body)
    sent = route.operation.build_request(*values, body=typed, **made.query)
    assert sent["json"] == json.loads(made.content) == made.body
    url = f"{provider.base_url}{sent['url']}?{urlencode(sent.get('params', {}))}".rstrip("?")
    assert (sent["method"].upper(), made.url) == (made.method, url)


def offered_is_accepted(provider: Provider, route: Route) -> None:
    """What a vendor offers is not refused: all choices and both ends of every range can be sent."""
    rows = {name: route.by_name.get(name) for name in WORKFLOWS[route.workflow]}
    inputs = [name for name, row in rows.items() if row and not isinstance(row, Absent)]
    needed = inputs[: 2 if route.workflow == "motion-control" else 1]
    plain = {"model": route.model, **{name: VALUES[name][0] for name in needed}}
    base = completed(plain, provider, route)
    for item in capabilities(provider, route):
        for value in _values(item) if item.offered else ():
            variants = [base | extra | {item.field: value} for extra in ({}, *BESIDE)]
            if item.field == "elements":  # a vendor takes one form of them or the other
                variants += [one | {"elements": [DESCRIBED]} for one in variants]
            if item.field == "shots":  # or of shots, with lengths or without
                variants += [one | {"shots": form} for one in variants for form in VALUES["shots"]]
            if isinstance(value, list):  # or one of several
                variants += [one | {item.field: value[:1]} for one in variants]
            both = {name: VALUES[name][0] for name in inputs[:2]}  # of two inputs, or each alone
            variants += [both | one for one in variants]
            reasons: list[str] = []
            for request in variants:
                made = planned(request, provider, route)
                reasons += [problem.reason for problem in made.problems]
                if not made.refused:
                    break
            else:
                raise AssertionError(f"{item.field}={value!r} is offered and refused: {reasons}")


BESIDE: Final[tuple[JsonObject, ...]] = (
    {"prompt": "x"},
    *({**one, "shots": [{"prompt": "x", "duration": 5}]} for one in ({}, {"prompt": "x"})),
    {"first_frame": "https://example.com/a.png", "shots": [{"prompt": "x", "duration": 5}]},
    {"first_frame": "https://example.com/a.png"},
    {"prompt": "x", "first_frame": "https://example.com/a.png"},
    {"prompt": "x", "aspect_ratio": "16:9"},
    {"resolution": "1080p"},
    {"prompt": "x", "resolution": "1080p"},
    {"character_orientation": "video"},
    {"name": "x", "description": "x"},
)
"""What a vendor may need beside a value that it offers."""
VALUES: Final[Mapping[str, list[Any]]] = {
    **{
        name: ["https://example.com/a.png"]
        for name in ("first_frame", "last_frame", "character_image")
    },
    **{name: ["https://example.com/a.mp4"] for name in INPUT_VIDEOS},
    "reference_images": [["https://example.com/a.png", "https://example.com/b.png"]],
    "reference_videos": [["https://example.com/a.mp4"]],
    "reference_audio": [["https://example.com/a.mp3"]],
    "front_image": ["https://example.com/a.png"],
    "images": [["https://example.com/b.png"]],
    "video": ["https://example.com/a.mp4"],
    "elements": [["7"]],
    "shots": [[{"prompt": "x", "duration": 5}], [{"prompt": "x"}]],
    "shot_mode": ["custom"],
    **{name: ["x"] for name in ("prompt", "name", "description", "voice")},
    "negative_prompt": ["x"],
    "watermark": [True, False],
    "seed": [1],
    "end_user_id": ["x"],
    "callback_url": ["https://example.com/hook"],
}
DESCRIBED: Final = {
    "front_image": "https://example.com/a.png",
    "images": ["https://example.com/b.png"],
}
"""A subject that the request describes."""
WORDS: Final = {"on": True, "off": False}


def _values(item: Capability) -> list[Any]:
    """The values of a field that a vendor offers: all choices, or the ends of its range."""
    extent = item.extent
    if item.field == "reference_images":
        return [images[: extent.most_items] for images in VALUES[item.field]]
    if extent.choices is not None:
        words = [WORDS.get(choice, choice) for choice in extent.choices]
        return [
            int(value) if str(value).isdecimal() else value
            for value in words
            if value != "automatic"
        ]
    if extent.low is not None and extent.high is not None:
        whole = item.field != "guidance_scale"
        return [int(end) if whole else end for end in (extent.low, extent.high)]
    return VALUES.get(item.field, [])


def lenience_is_idle(
    request: Mapping[str, Any], provider: Provider, allow: Mapping[str, Allowance]
) -> None:
    """Law 6: an allowance that is not needed is not used."""
    strict = plan(request, provider)
    if not strict.refused:
        assert plan(request, provider, allow=allow).content == strict.content


def losses(done: Translation) -> set[str]:
    """The shared fields that did not arrive; everything where the translation was refused."""
    return {verdict.field for verdict in done.losses}


def triangle(
    body: Mapping[str, Any], source: Provider, route: Route, middle: Provider, target: Provider
) -> None:
    """Law 8: what is lost on the straight way is lost on the way over a third vendor too."""
    first = translate(dict(body), source, middle, source_model=route.source_model)
    if first.refused or first.plan is None:
        return
    second = _onward(first.plan, target)
    if second.refused:
        return
    straight = translate(dict(body), source, target, source_model=route.source_model)
    assert straight.reading is not None
    around = losses(first) | losses(second)
    lost = {name for name in losses(straight) if name in straight.reading.request}
    unsaid = _defaulted(first) | _defaulted(second) | _of_itself(first)
    known = around | unsaid | _timed(straight, second)
    assert not [name for name in lost if not known & {name, *_together(target, name)}]


def _together(target: Provider, name: str) -> Iterator[str]:
    """The fields that a vendor takes as one value with another, and refuses together."""
    rows = (route.by_name.get(name) for route in target.routes)
    yield from (one for row in rows if isinstance(row, Group) for one in row.names)


def _timed(straight: Translation, onward: Translation) -> set[str]:
    """The fields of shots without lengths, where the vendor between has a length for each."""
    untimed, timed = (
        bool(shots := list(done.reading.request.get("shots", ())) if done.reading else [])
        and all(("duration" in shot) is has for shot in shots)
        for done, has in ((straight, False), (onward, True))
    )
    return {"shots", "shot_mode"} if untimed and timed else set()


def _defaulted(done: Translation) -> set[str]:
    return {verdict.field for verdict in done.verdicts if verdict.verdict is Fate.DEFAULTED}


def _of_itself(done: Translation) -> set[str]:
    """The fields that a vendor fulfils whatever is asked (one clip for each job): it is told
    nothing, so that its own body asks the next vendor for nothing.
    """
    exact = (verdict for verdict in done.verdicts if verdict.verdict is Fate.EXACT)
    return {verdict.field for verdict in exact if verdict.source and not verdict.target}


def there_and_back(
    body: Mapping[str, Any], source: Provider, route: Route, target: Provider
) -> None:
    """A -> B -> A gives an equivalent body, wherever no verdict says otherwise."""
    there = translate(dict(body), source, target, source_model=route.source_model)
    if there.refused or there.plan is None or there.losses:
        return
    back = _onward(there.plan, source)
    if back.refused or back.plan is None or back.losses:
        return
    one, other = (
        meaning(dict(body), source, route),
        meaning(back.plan.native, source, back.plan.route),
    )
    assert {name: other.get(name) for name in one} == one


def _onward(made: Plan, target: Provider) -> Translation:
    """What was written for one vendor, written for another."""
    model = made.route.source_model if made.route else None
    return translate(made.native, made.provider, target, source_model=model)


def meaning(body: JsonObject, provider: Provider, route: Route | None) -> JsonObject:
    """What a body asks for, the vendor's defaults included."""
    reading = read(body, provider, model=route.source_model if route else None)
    said = {**provider.defaults(reading.route), **reading.request}
    if "shots" in said:
        said.setdefault("shot_mode", "custom")
    return said


def accounted(body: Json, source: Provider, target: Provider) -> None:
    """Every leaf of a body has exactly one verdict, whatever the body is; a refusal says why."""
    done = translate(body, source, target)
    if isinstance(body, dict):
        found = [verdict.source for verdict in done.verdicts if verdict.source]
        assert sorted(found) == sorted(pointer for pointer, _ in leaves(body) if pointer)
    assert done.violations or done.plan is not None
    refused = [verdict for verdict in done.verdicts if verdict.verdict is Fate.REFUSED]
    assert not refused or done.violations
