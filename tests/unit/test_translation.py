"""Translating native bodies: what the laws do not say."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from polyreel.mapping.reports import Fate
from polyreel.places import get, leaves
from polyreel.plans import planning
from polyreel.plans.choosing import plan
from polyreel.plans.planning import Plan, plan_checked
from polyreel.plans.reading import read
from polyreel.plans.requests import CheckedRequest
from polyreel.plans.translation import translate
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from polyreel.providers.base.routes import Route
from support.matrix import drawn
from support.requests import EXAMPLES

PROVIDERS = list(all_providers().values())
PAIRS = [(one, other) for one in PROVIDERS for other in PROVIDERS if one is not other]
PAIR_IDS = [f"{one.id}-{other.id}" for one, other in PAIRS]


def vendor_with(model: str, workflow: str, **defaults: Any) -> Provider:
    """The vendor whose route has these documented defaults."""
    return next(
        provider
        for provider in PROVIDERS
        for route in provider.routes
        if (route.model, route.workflow) == (model, workflow)
        and defaults.items() <= provider.defaults(route).items()
    )


def test_other_defaults_are_asked_for_explicitly() -> None:
    """A bare body of a vendor that makes 1080p with sound asks another one for just that."""
    loud = vendor_with("kling-o3", "text-to-video", audio=True, resolution="1080p")
    quiet = vendor_with("kling-o3", "text-to-video", audio=False, resolution="720p")
    done = translate({"prompt": "a cat"}, loud, quiet, source_model="kling-o3")
    assert not done.refused
    assert done.plan is not None
    assert {"sound": "on", "quality": "1080p"}.items() <= done.plan.body.items()
    assert {v.field: v.verdict for v in done.verdicts if not v.source} == {
        "audio": Fate.DEFAULTED,
        "resolution": Fate.DEFAULTED,
    }


@pytest.mark.parametrize("target", PROVIDERS, ids=[provider.id for provider in PROVIDERS])
@pytest.mark.parametrize("model", ["kling-v3", "kling-o3"])
def test_what_a_body_says_is_not_overruled_by_its_vendors_default(
    target: Provider, model: str
) -> None:
    """Kling's own default are several shots. A body that turns them off asks nobody for them."""
    source = vendor_with(model, "text-to-video", shot_mode="automatic")
    body = plan({"prompt": "a cat", "model": model}, source).body
    assert get(body, "settings.multi_shot") is False
    done = translate(body, source, target, source_model=model)
    if done.plan is not None and not done.refused:
        again = read(done.plan.body, target, model=model)
        assert "shot_mode" not in again.request
    if target is not source:
        found = [verdict.source for verdict in done.verdicts if verdict.field == "shot_mode"]
        assert found == ["/settings/multi_shot"]


@pytest.mark.matrix("source", "target")
@pytest.mark.parametrize(("source", "target"), PAIRS, ids=PAIR_IDS)
def test_every_example_translates_or_is_refused_for_a_reason(
    source: Provider, target: Provider
) -> None:
    """Examples of each call, the seed pages' own among them, go everywhere or say why not."""
    for operation in source.contract.operations.values():
        if operation.role == "create":
            for name, body in drawn([*operation.request_examples.items()], 6):
                model = next(
                    (r.model for r in source.routes if operation.path == r.operation.PATH), None
                )
                done = translate(
                    body, source, target, source_model=model if "model" not in body else None
                )
                assert done.refused == bool(done.violations), name
                assert done.refused or (done.plan is not None and done.plan.body), name


@pytest.mark.matrix("source", "target")
@pytest.mark.parametrize(("source", "target"), PAIRS, ids=PAIR_IDS)
def test_another_model_family_is_never_chosen_silently(source: Provider, target: Provider) -> None:
    """Where the target lacks the family, the translation is refused and tells which would serve."""
    for request in drawn([*EXAMPLES.values()], 40):
        made = plan(request, source)
        if made.refused or made.model is None:
            continue
        assert made.route is not None
        said = made.route.source_model  # where it has a path, that: bodies of two can look alike
        done = translate(made.body, source, target, source_model=said)
        sold = {route.model for route in target.routes if route.workflow == made.workflow}
        if made.model not in sold:
            assert done.refused
            assert {other.model for other in done.alternatives} == sold
            for other in done.alternatives:
                again = translate(
                    made.body, source, target, source_model=said, target_model=other.model
                )
                assert again.refused == other.refused
                assert again.plan is not None
                assert again.plan.model == other.model
        else:
            assert not done.alternatives


def test_unknown_native_fields_are_refused_unless_dropping_is_allowed() -> None:
    """A field the shared model has no word for is not lost silently."""
    source = vendor_with("kling-o3", "text-to-video", audio=True)
    target = next(
        p for p in PROVIDERS if p is not source and any(r.model == "kling-o3" for r in p.routes)
    )
    body = {"prompt": "x", "mystery": {"a": [1]}}
    strict = translate(body, source, target, source_model="kling-o3")
    assert [violation.field for violation in strict.violations] == ["extra"]
    loose = translate(body, source, target, source_model="kling-o3", allow={"extra": "drop"})
    assert not loose.refused
    assert {v.source: v.verdict for v in loose.verdicts}["/mystery/a/0"] is Fate.DROPPED
    home = translate(body, source, source, source_model="kling-o3")
    assert home.plan is not None
    assert home.plan.body["mystery"] == {"a": [1]} or home.refused


ODD: tuple[dict[str, Any], ...] = (
    {"": False, ".": False},
    {"": [None], ".": False},
    {"a.b": 1, "a": {"b": 2}},
    {"a/b": 1, "a~1b": 2, "~": {"": {".": 3}}},
    {"prompt.x": 1, "a": {"0": 1, "": 2}, "a.0": [3]},
    {"?a": True, "?": {"b": 1}, "?prompt": 2},
)


@pytest.mark.parametrize("odd", ODD)
def test_members_with_odd_names_are_no_fields(odd: dict[str, Any]) -> None:
    """A dot in a name leads nowhere; each is kept where it stood, and has one verdict."""
    for source, target in product(PROVIDERS, PROVIDERS):
        body = {"prompt": "x", **odd}
        done = translate(body, source, target, source_model="kling-o3")
        if done.plan is None:
            continue
        places = sorted(at for at, _ in leaves(odd))
        assert sorted(v.source for v in done.verdicts if v.source in places) == places
        if target is source:
            assert odd.items() <= done.plan.body.items()


@pytest.mark.parametrize("names", [("a.b",), ("a/b", "~"), ("zzz", "", "yyy")])
def test_each_undocumented_member_is_said_to_be_refused(names: tuple[str, ...]) -> None:
    """Whatever it is called, and however many there are."""
    provider = vendor_with("kling-o3", "text-to-video", audio=True)
    extra = {provider.id: dict.fromkeys(names, 1)}
    made = plan({"prompt": "x", "model": "kling-o3", "extra": extra}, provider)
    told = {v.source: v.verdict for v in made.verdicts if v.field == "extra"}
    assert told == dict.fromkeys([at for at, _ in leaves({"extra": extra})], Fate.REFUSED)


def test_a_parameter_of_the_query_is_one_that_the_vendor_has() -> None:
    """It is sent as text, and what is none is told of."""
    name, provider, route = next(
        (at, provider, route)
        for provider in PROVIDERS
        for route in provider.routes
        for at in route.by_place
        if at.startswith("?")
    )
    request = {"prompt": "x", "model": route.model}
    made = plan({**request, "extra": {provider.id: {name: "https://example.com"}}}, provider)
    assert not made.refused
    assert (made.query, name in made.body) == ({name[1:]: "https://example.com"}, False)
    made = plan({**request, "extra": {provider.id: {name: True}}}, provider)
    assert made.query == {name[1:]: "true"}
    made = plan({**request, "extra": {provider.id: {name: {"a": True}}}}, provider)
    assert made.refused
    assert not made.query


def test_a_name_that_is_no_text_is_told() -> None:
    """As in a body that a program made."""
    source = vendor_with("kling-o3", "text-to-video", audio=True)
    odds: tuple[dict[Any, Any], ...] = ({1: 1}, {"a": {None: 2}})
    for odd in odds:
        done = translate({"prompt": "x", **odd}, source, source, source_model="kling-o3")
        assert done.refused
        assert "is no text" in str(done.violations)


def test_a_value_that_json_has_not_is_told() -> None:
    """As in a body that a program made, also where its workflow has to be found out."""
    for source in PROVIDERS:
        for model in {route.source_model for route in source.routes}:
            for value in ({1, 2}, b"x", object()):
                done = translate({"prompt": "x", "a": value}, source, source, source_model=model)
                assert done.refused, (model, value)


def test_spellings_that_disagree_are_a_conflict() -> None:
    """Two names of one field with two values: neither is chosen."""
    found = 0
    for provider in PROVIDERS:
        for route in provider.routes:
            for row in route.rows:
                aliases = getattr(row, "aliases", ())
                if aliases:
                    body = plan(
                        {**EXAMPLES_OF[route.workflow], "model": route.model}, provider
                    ).body
                    place, other = row.places[0], row.places[1]
                    wrong = (
                        ["https://example.com/other"]
                        if isinstance(body.get(place), list)
                        else "https://example.com/o"
                    )
                    done = translate({**body, other: wrong}, provider, provider)
                    assert done.refused
                    assert place in done.violations[0].message
                    assert other in done.violations[0].message
                    found += 1
    assert found


EXAMPLES_OF = {
    "reference-to-video": EXAMPLES["reference_to_video_with_frame"],
    "edit-video": EXAMPLES["edit_video"],
    "reference-video": EXAMPLES["reference_video_images"],
}


@pytest.mark.parametrize(
    ("field", "request_", "policy", "fate"),
    [
        ("resolution", {"prompt": "x", "resolution": "4k"}, "nearest", Fate.APPROXIMATED),
        ("duration", {"prompt": "x", "duration": 90}, "nearest", Fate.APPROXIMATED),
        ("duration", {"prompt": "x", "duration": 90}, "drop", Fate.DROPPED),
        ("aspect_ratio", {"prompt": "x", "aspect_ratio": "4:3"}, "drop", Fate.DROPPED),
    ],
)
def test_policies_do_what_they_say_and_tell(
    field: str, request_: dict[str, Any], policy: Any, fate: Fate
) -> None:
    """What drop and nearest did is in the verdicts, and the body fits the contract."""
    for provider in PROVIDERS:
        made = plan(request_, provider, allow={field: policy})
        strict = plan(request_, provider)
        if strict.refused and not made.refused:
            assert {v.field: v.verdict for v in made.verdicts if v.source}[field] is fate
            assert made.route is not None
            assert provider.contract.sends(made.route.schema, made.body) == []
    assert any(
        not plan(request_, provider, allow={field: policy}).refused for provider in PROVIDERS
    )


@pytest.mark.parametrize("body", [None, 5, "x", [], [{}], True, {}, {"model": None}, {"model": {}}])
def test_what_is_no_body_is_refused_clearly(body: Any) -> None:
    """Bad input names itself; nothing is guessed."""
    for one, other in PAIRS:
        done = translate(body, one, other)
        assert done.refused
        assert done.violations[0].message


def test_a_tier_of_the_path_that_the_target_lacks_is_lost() -> None:
    """The body relies on it: what the target makes instead is no mere default."""
    request = {"model": "kling-v3", "prompt": "a cat", "resolution": "4k"}
    made = [plan(request, provider) for provider in all_providers().values()]
    tiers = [one for one in made if not one.refused and one.route and one.route.path_values]
    lacking = [one.provider for one in made if one.refused]
    done = [
        translate(one.native, one.provider, target, source_model=one.route.source_model)
        for one in tiers
        for target in lacking
        if one.route
    ]
    kept = [one for one in done if not one.refused]
    assert kept
    for one in kept:
        assert "resolution" in {verdict.field for verdict in one.losses}


def test_inputs_of_a_workflow_that_is_not_sold_are_a_problem() -> None:
    """A body of a text with a frame, at a vendor that sells the text alone with it."""
    whole, frames = next(
        (provider, route)
        for provider in PROVIDERS
        for route in provider.routes
        for other in provider.routes
        if (route.workflow, other.workflow) == ("image-to-video", "text-to-video")
        and (route.model, route.schema) == (other.model, other.schema)
        and route.constants == other.constants
    )
    request = {"model": frames.model, "prompt": "x", "first_frame": "https://example.com/a.png"}
    body = plan(request, whole).native
    routes = tuple(one for one in whole.routes if one.workflow == "text-to-video")
    less: Provider = type("Less", (type(whole),), {"routes": routes})()
    found = read(body, less, model=frames.model)
    assert [(one.field, "sells" in one.reason) for one in found.problems] == [("first_frame", True)]
    assert translate(body, less, whole, source_model=frames.model).refused


def test_one_clip_is_no_default_that_is_lost() -> None:
    """Every call makes one where nothing says otherwise."""
    seen = 0
    for source, target in PAIRS:
        made = plan({"prompt": "x", "model": "kling-o3"}, source)
        if made.refused or made.route is None:
            continue
        done = translate(made.body, source, target, source_model=made.route.source_model)
        seen += "count" in source.defaults(made.route)
        assert "count" not in {verdict.field for verdict in done.verdicts}
    assert seen


def test_shots_of_a_body_are_not_planned_by_the_model() -> None:
    """Whatever a vendor does where a body has none."""
    shots = [{"prompt": "one", "duration": 3}, {"prompt": "two", "duration": 4}]
    seen = 0
    for source, target in PAIRS:
        made = plan({"model": "kling-o3", "shots": shots, "duration": 7}, source)
        if made.refused or made.route is None:
            continue
        done = translate(made.body, source, target, source_model=made.route.source_model)
        seen += source.defaults(made.route).get("shot_mode") == "automatic"
        assert not [one for one in done.violations if "automatic planning" in one.message]
    assert seen


def ruled_items() -> Iterator[tuple[Provider, Route, str, str, int]]:
    """The members of items of a list of which there can be so many in all items together."""
    for provider in PROVIDERS:
        for route in provider.routes:
            for rule in provider.contract.schema(route.schema).get("x-polyreel-rules", ()):
                for place in rule.get("of", ()):
                    parts = place.strip("/").split("/")
                    if len(parts) == 3 and parts[1] == "*":
                        yield provider, route, parts[0], parts[2], rule["at_most"]


def test_too_many_members_of_items_are_a_refusal() -> None:
    """Their rule is about a place that no body has: it goes through a list."""
    cases = list(ruled_items())
    assert cases
    for source, route, listed, member, most in cases:
        target = next(one for one in PROVIDERS if one is not source)
        items = [{member: "https://example.com/a.mp4"}] * (most + 1)
        body = {"prompt": "x", listed: items, **{row.native: row.value for row in route.constants}}
        assert translate(body, source, target, source_model=route.source_model).refused


def test_alternatives_ask_no_other_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    """They say what the target makes of the body, however many families it sells."""
    asked = Counter[str]()

    def counted(request: CheckedRequest, provider: Provider, **options: Any) -> Plan:
        asked[provider.id] += 1
        return plan_checked(request, provider, **options)

    monkeypatch.setattr(planning, "plan_checked", counted)
    target = max(PROVIDERS, key=lambda provider: len({route.model for route in provider.routes}))
    sold = {route.model for route in target.routes}
    source, route = next(
        (provider, route)
        for provider in PROVIDERS
        for route in provider.routes
        if route.workflow == "text-to-video" and route.model not in sold
    )
    request = {"prompt": "a cat", "model": route.model, "duration": 5}
    body = plan(request, source, allow={"duration": "drop"}).body
    done = translate(body, source, target, source_model=route.source_model)
    assert sum(other.refused for other in done.alternatives) > 4
    assert not any("Served by" in text for other in done.alternatives for text in other.losses)
    # The refusal itself asks once for the family that the target does not sell, once for any.
    assert max(count for vendor, count in asked.items() if vendor != target.id) <= 2


def test_a_number_is_brought_to_the_nearest_of_a_list() -> None:
    """As to the limit of a range: of two that are as near, to the lower one."""
    lengths = set[int]()
    for provider in PROVIDERS:
        for model in dict.fromkeys(
            one.model for one in provider.routes if one.workflow == "text-to-video"
        ):
            asked = {"model": model, "prompt": "x", "duration": 7}
            refused = plan(asked, provider)
            offered = [one.limit for one in refused.problems if one.limit.startswith("one of ")]
            if [one.field for one in refused.problems] == ["duration"] and offered:
                made = plan(asked, provider, allow={"duration": "nearest"})
                assert not made.refused, (provider.id, model)
                assert made.route is not None
                found = read(made.body, provider, made.route.path, model)
                numbers = [int(one) for one in re.findall("[0-9]+", offered[0])]
                nearest = min(numbers, key=lambda one: (abs(one - 7), one))
                assert found.request["duration"] == nearest
                lengths.add(nearest)
    assert len(lengths) > 1
