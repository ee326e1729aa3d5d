"""Every example request at every vendor: the exact plan, compared with the one on record."""

import json
from itertools import product
from typing import Any

import pytest
from polyreel import AsyncClient, places
from polyreel.errors import RequestError
from polyreel.mapping.workflows import WORKFLOWS, kind_of
from polyreel.places import JsonObject, json_bytes
from polyreel.plans import courses, planning, quick
from polyreel.plans.choosing import plan
from polyreel.plans.planning import PORTABLE, Plan, plan_checked
from polyreel.plans.requests import CheckedRequest
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel_generated.contracts.vendors import VendorId
from support.paths import TESTS
from support.requests import EXAMPLES

RECORDS = TESTS / "plans"


def summary(request: dict[str, Any], vendor: VendorId) -> dict[str, Any]:
    """What a plan says, as it is recorded."""
    made = plan(request, vendor)
    if made.refused:
        return {
            "workflow": made.workflow,
            "refused": [violation.message for violation in made.violations],
        }
    verdicts = [f"{v.source or '-'} -> {v.target or '-'}: {v.verdict}" for v in made.verdicts]
    return {
        "model": made.model,
        "workflow": made.workflow,
        "call": f"{made.method} {made.url}",
        "body": made.body,
        "verdicts": verdicts,
    }


@pytest.mark.parametrize("vendor", list(all_providers()))
def test_plans_are_as_recorded(vendor: VendorId, pytestconfig: pytest.Config) -> None:
    """A change in any plan is seen, and wanted."""
    found = {name: summary(request, vendor) for name, request in EXAMPLES.items()}
    path = RECORDS / f"{vendor}.json"
    if pytestconfig.getoption("--update-plans"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert found == json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("vendor", list(all_providers()))
def test_what_is_remembered_of_the_set_fields_changes_no_plan(vendor: VendorId) -> None:
    """A plan is the same before and after others whose requests set the same fields."""
    for remembered in (courses._courses, courses.course, quick._in_order):
        remembered.cache_clear()
    fresh = {name: plan(request, vendor) for name, request in EXAMPLES.items()}
    for name, request in reversed(EXAMPLES.items()):
        again = plan(dict(reversed(request.items())), vendor)
        assert again == fresh[name]
        assert again.content == fresh[name].content


def test_fields_that_nobody_knows_are_not_remembered() -> None:
    """Names and models that come from anywhere take no memory."""
    vendor = next(iter(all_providers().values()))
    before = [one.cache_info().currsize for one in (courses._courses, quick._in_order)]
    for odd in ("x" * 99, "é"):
        with pytest.raises(RequestError):
            plan({"prompt": "a cat", odd: 1}, vendor)
        assert plan({"prompt": "a cat", "model": odd}, vendor).refused
    after = [one.cache_info().currsize for one in (courses._courses, quick._in_order)]
    assert after[0] == before[0]
    assert after[1] <= before[1] + 1  # the names `prompt` and `model`


def test_bodies_are_written_as_the_encoder_writes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compact and in order, with letters as they are; a number that JSON has not is refused."""
    values: list[Any] = [
        'ü\n"',
        1,
        True,
        None,
        2.5,
        [],
        {},
        {"b": [1, {"é": None}], "a": {"x": ""}},
    ]
    for pieces in (places._PIECES, None):
        monkeypatch.setattr(places, "_PIECES", pieces)
        for value in values:
            expected = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            assert json_bytes(value) == expected.encode()
        with pytest.raises(ValueError, match="not JSON compliant"):
            json_bytes({"a": float("nan")})


def test_examples_cover_every_workflow_at_every_vendor_that_serves_it() -> None:
    """For each vendor and workflow there is an example that it accepts."""
    served = {
        (vendor, route.workflow)
        for vendor, provider in all_providers().items()
        for route in provider.routes
    }
    shown = set()
    for request in EXAMPLES.values():
        for vendor in all_providers():
            made = plan(request, get_provider(vendor))
            if not made.refused:
                shown.add((vendor, made.workflow))
    assert shown == served


def test_every_video_workflow_has_two_vendors() -> None:
    """Nobody is married to one vendor."""
    for workflow in WORKFLOWS:
        vendors = {
            vendor
            for vendor, p in all_providers().items()
            for route in p.routes
            if route.workflow == workflow
        }
        fewest = {"extend-video": 0}.get(workflow, 2 if kind_of(workflow) == "video" else 1)
        assert len(vendors) >= fewest


@pytest.mark.parametrize("vendor", list(all_providers()))
def test_what_nobody_asked_for_refuses_no_plan(vendor: VendorId) -> None:
    """A model without one of the preferences, or without both together, is asked for less."""
    routes = {(route.model, route.workflow) for route in all_providers()[vendor].routes}
    for request, (model, workflow) in product(EXAMPLES.values(), sorted(routes)):
        fits = kind_of(workflow) != "element" or "prompt" not in request
        if fits and request.keys() <= {"prompt", *WORKFLOWS[workflow]}:
            named = {**request, "model": model}
            made = plan(named, vendor, preferences=PORTABLE)
            assert made.refused <= plan(named, vendor).refused, (model, request)


@pytest.mark.parametrize("model", ["kling-v3", "kling-v2.6"])
@pytest.mark.parametrize("vendor", list(all_providers()))
def test_motion_control_needs_no_more_than_its_inputs(vendor: VendorId, model: str) -> None:
    """Where an orientation is demanded it is that of the motion clip, and the plan says so."""
    made = plan({**EXAMPLES["motion_control_bare"], "model": model}, vendor)
    if made.route is not None:
        assert not made.refused
        found = [v.verdict for v in made.verdicts if v.field == "character_orientation"]
        assert found in ([], ["defaulted"])


OWN: Any = next(
    vendor
    for vendor, provider in all_providers().items()
    if any(route.schema == "KlingO1Follow" for route in provider.routes)
)
"""The vendor that makes these models."""
FIRST, LAST = (f"https://example.com/{name}.png" for name in ("first", "last"))


@pytest.mark.parametrize("model", ["kling-v3", "kling-v2.6"])
def test_an_item_without_a_name_is_not_cited(model: str) -> None:
    """Kling's motion clip has no id: its mark stays text, with a warning."""
    made = plan({**EXAMPLES["motion_control_bare"], "model": model, "prompt": "as @Video1"}, OWN)
    assert made.body["contents"][0] == {"type": "prompt", "text": "as @Video1"}
    assert any("no name" in one for one in made.warnings)


@pytest.mark.parametrize(
    ("more", "refused"),
    [({}, True), ({"last_frame": LAST}, False), ({"reference_images": [LAST]}, False)],
)
def test_a_first_frame_alone_has_two_lengths_at_kling_o1(more: Any, refused: bool) -> None:
    """5 and 10 seconds; beside another image it is any of 3 to 10."""
    request = {"model": "kling-o1", "prompt": "a", "first_frame": FIRST, **more}
    assert plan({**request, "duration": 7}, OWN).refused is refused
    assert not plan({**request, "duration": 10}, OWN).refused


@pytest.mark.parametrize(("model", "refused"), [("kling-o3", True), ("kling-o1", False)])
def test_only_kling_o3_silences_a_video_to_follow(model: str, refused: bool) -> None:
    """O1's table has the sound of the video, and no such sentence."""
    video = "https://example.com/a.mp4"
    request = {"model": model, "prompt": "a", "reference_video": video, "keep_source_audio": True}
    assert plan(request, OWN).refused is refused


def test_frames_leave_room_for_three_subjects_beside_a_video_too() -> None:
    """Inferred at Kling O3: so the caller can have a fourth sent."""
    request = {"model": "kling-o3", "prompt": "a", "reference_video": "https://example.com/a.mp4"}
    many = {**request, "elements": ["1", "2", "3", "4"]}
    assert not plan(many, OWN).refused
    framed = {**many, "first_frame": FIRST}
    assert plan(framed, OWN).refused
    sent = plan(framed, OWN, allow={"elements": "send"})
    assert not sent.refused
    assert any("only inferred" in warning for warning in sent.warnings)


@pytest.mark.parametrize("settings", [None, {"resolution": "1080p"}, {"audio": "off"}])
def test_a_voice_needs_sound(settings: Any) -> None:
    """Kling 2.6 takes voices with native sound alone."""
    contract = get_provider(OWN).contract
    named = [
        {"type": "first_frame", "url": FIRST},
        {"type": "voice", "voice_id": "1", "id": "ann"},
    ]
    body: JsonObject = {"contents": named, "settings": settings}
    assert contract.accepts("KlingV26Frames", body if settings else {"contents": named})
    body["settings"] = {"audio": "native", "resolution": "1080p"}
    assert not contract.accepts("KlingV26Frames", body)


def test_what_brings_a_limit_about_is_told() -> None:
    """Where a field is needed, or limited, only beside another one: with both their names."""
    frames = {name: f"https://example.com/{name}.png" for name in ("first_frame", "last_frame")}
    told = [
        str(violation.message)
        for provider in all_providers().values()
        for model in {one.model for one in provider.routes if kind_of(one.workflow) == "video"}
        for request in (
            {"model": model, "prompt": "x", "audio": True},
            {"model": model, "prompt": "x", "audio": True, "resolution": "720p"},
            {"model": model, **frames, "resolution": "720p"},
        )
        for violation in plan(request, provider).violations
        if violation.field == "resolution"
    ]
    needed, limited = (
        [one for one in told if one.startswith(start) and " with audio" in one]
        for start in ("resolution: needed for ", 'resolution: "1080p" was expected')
    )
    assert needed
    assert limited
    assert [one for one in told if " with last_frame." in one or " with last_frame;" in one]
    assert not [one for one in told if "https://" in one]


def test_who_serves_a_request_sells_its_model() -> None:
    """A vendor that would take another model is named with that model."""
    seen = 0
    sold = {
        (vendor, route.model)
        for vendor, provider in all_providers().items()
        for route in provider.routes
        if route.workflow == "text-to-video"
    }
    for vendor, model in sorted(sold):
        request: JsonObject = {"prompt": "a cat", "model": model, "duration": 601, "seed": 7}
        for violation in plan(request, get_provider(vendor)).violations:
            others = dict.fromkeys(violation.served_by, model) | dict(violation.other_models)
            assert vendor not in others
            for other, theirs in others.items():
                made = plan({**request, "model": theirs}, get_provider(other))
                assert made.route is not None
                assert violation.field not in {one.field for one in made.problems}
            for other, theirs in violation.other_models.items():
                assert f"{other} ({theirs})" in violation.message
                seen += 1
    assert seen


def test_plans_made_together_say_what_each_says_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom a refusal names is the same, and no vendor that refuses is asked again for it."""
    request: JsonObject = {"prompt": "a cat", "duration": 601, "seed": 7}
    alone = {one: plan(request, get_provider(one)) for one in all_providers()}
    expected = {one: made.violations for one, made in alone.items()}
    made = AsyncClient().plans(request)
    asked: list[str] = []

    def counted(request: CheckedRequest, provider: Provider, *, stream: bool) -> Plan:
        asked.append(provider.id)
        return plan_checked(request, provider, stream=stream)

    monkeypatch.setattr(planning, "plan_checked", counted)
    assert {one.vendor: one.violations for one in made} == expected
    assert {name for name in asked if alone[name].refused} == set()
