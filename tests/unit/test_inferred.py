"""Refusals that rest on an inferred fact: they say so, and the caller can have it sent."""

import json
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from polyreel.mapping.reports import Fate
from polyreel.mapping.rows import Absent
from polyreel.mapping.workflows import WORKFLOWS
from polyreel.plans.capabilities import capabilities
from polyreel.plans.choosing import plan
from polyreel.plans.planning import plan_checked
from polyreel.plans.requests import check_request
from polyreel.plans.translation import translate
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import Simulator
from support.server import key_of

PROVIDERS = list(all_providers().values())


@cache
def inferred(provider: Provider) -> set[tuple[str, str]]:
    """The scalar fields of bodies that the spec marks as inferred: schema and place."""
    found = set()
    for route in provider.routes:
        for place in provider.contract.properties(route.schema):
            schema = provider.contract.property(route.schema, place) or {}
            if schema.get("x-polyreel-mark") == "inferred" and {"enum", "maximum"} & schema.keys():
                found.add((route.schema, place))
    return found


MARKED = [
    (provider, route, place)
    for provider in PROVIDERS
    for route in provider.routes
    for schema, place in sorted(inferred(provider))
    if schema == route.schema and place == "duration"
]


@pytest.mark.parametrize(
    ("provider", "route", "place"), MARKED, ids=lambda one: getattr(one, "id", None)
)
def test_a_refusal_by_an_inferred_fact_says_so(provider: Any, route: Any, place: str) -> None:
    """And the value is sent on the caller's word, with a warning; the simulator takes it."""
    schema = provider.contract.property(route.schema, place)
    beyond = schema.get("maximum", 6) + 1  # 7 is in no list of lengths
    request = {"prompt": "a", "duration": beyond, "model": route.model}
    if route.workflow == "image-to-video":
        request["first_frame"] = "https://example.com/a.png"
    if route.workflow == "reference-to-video":
        request["reference_images"] = ["https://example.com/a.png"]
    strict = plan(request, provider)
    assert strict.refused
    (violation,) = strict.violations
    assert "not documented for this workflow" in violation.message
    assert "duration=send" in violation.message
    sent = plan(request, provider, allow={"duration": "send"})
    assert not sent.refused
    assert sent.body[place] == beyond
    assert any("only inferred" in warning for warning in sent.warnings)
    headers = {**key_of(provider), "Content-Type": "application/json"}
    path = urlsplit(sent.url).path
    answer = Simulator().handle(provider.id, sent.method, path, headers, sent.content)
    assert answer.status < 300, answer.content


def test_there_are_marked_limits() -> None:
    """The test above is about some."""
    assert MARKED


def test_a_documented_limit_is_never_sent_against() -> None:
    """What a page says is refused, whatever is allowed."""
    for provider in PROVIDERS:
        request = {"prompt": "a", "duration": 99, "model": provider.routes[0].model}
        made = plan(request, provider, allow={"duration": "send"})
        extents = {one.field: one.extent for one in capabilities(provider, provider.routes[0])}
        length = extents["duration"]
        assert made.refused == (length.high is not None or length.choices is not None)
        assert all("inferred" not in one.message for one in made.violations)
        forced = plan(
            {"prompt": "a", "source_video": "https://example.com/a.mp4", "audio": True},
            provider,
            allow={"audio": "send"},
        )
        edits = [one for one in provider.routes if one.workflow == "edit-video"]
        sounds = (one for route in edits for one in capabilities(provider, route))
        takes = any(one.field == "audio" and one.extent.choices == ("on", "off") for one in sounds)
        assert forced.refused is not takes


ABSENT = [
    (provider, route, row)
    for provider in PROVIDERS
    for route in provider.routes
    for row in route.rows
    if isinstance(row, Absent) and row.inferred is not None
]
INPUTS = {
    **dict.fromkeys(("first_frame", "character_image"), "https://example.com/a.png"),
    **dict.fromkeys(
        ("source_video", "reference_video", "motion_video"), "https://example.com/a.mp4"
    ),
}
VALUES = {"duration": 5, "aspect_ratio": "9:16", "audio": True, "negative_prompt": "blur"}


@pytest.mark.parametrize(
    ("provider", "route", "row"),
    ABSENT,
    ids=[f"{one.schema}-{row.shared}" for _, one, row in ABSENT],
)
def test_a_field_that_is_inferred_to_be_missing_can_be_sent(
    provider: Any, route: Any, row: Any
) -> None:
    """A page that lists the fields of all workflows at once does not say which takes which."""
    inputs = {name: INPUTS[name] for name in WORKFLOWS[route.workflow] if name in INPUTS}
    inputs.pop("last_frame", None)
    request = {"prompt": "a", "model": route.model, **inputs, row.shared: VALUES[row.shared]}
    checked = check_request(request)
    strict = plan_checked(checked, provider, routes=[route])
    assert [one.field for one in strict.violations] == [row.shared]
    assert f"Allow {row.shared}=send" in strict.violations[0].message
    sent = plan_checked(checked, provider, routes=[route], allow={row.shared: "send"})
    assert not sent.refused
    assert sent.body[row.inferred.native] == VALUES[row.shared]
    assert any("only inferred" in warning for warning in sent.warnings)
    dropped = plan_checked(checked, provider, routes=[route], allow={row.shared: "drop"})
    assert row.inferred.native not in dropped.body
    assert all("Allow" not in one.reason for one in dropped.verdicts)
    headers = {**key_of(provider), "Content-Type": "application/json"}
    path = urlsplit(sent.url).path
    answer = Simulator().handle(provider.id, sent.method, path, headers, sent.content)
    assert answer.status < 300, answer.content


def test_what_is_documented_of_such_a_field_holds() -> None:
    """The page has one field for all workflows, with one range."""
    for provider, route, row in ABSENT:
        wrong = {"duration": 99, "aspect_ratio": "21:9"}.get(row.shared)
        if wrong is None:
            continue
        inputs = {name: INPUTS[name] for name in WORKFLOWS[route.workflow] if name in INPUTS}
        checked = check_request({"prompt": "a", "model": route.model, **inputs, row.shared: wrong})
        made = plan_checked(checked, provider, routes=[route], allow={row.shared: "send"})
        (violation,) = made.violations
        assert violation.field == row.shared
        assert "Allow" not in violation.message


def test_there_are_such_fields() -> None:
    """The test above is about some."""
    assert {row.shared for _, _, row in ABSENT} == {*VALUES}


def test_a_rule_can_be_inferred() -> None:
    """Frames and references together: at most 7, which no page says so."""
    provider = next(p for p in PROVIDERS if any("image_start" in r.by_place for r in p.routes))
    images = [f"https://example.com/{number}.png" for number in range(8)]
    request = {"prompt": "a", "reference_images": images, "model": "kling-o3"}
    assert "not documented" in plan(request, provider).violations[0].message
    assert not plan(request, provider, allow={"reference_images": "send"}).refused


# --- facts that were compared with what the vendor publishes --------------------------------------

MODEL_VENDOR = next(p for p in PROVIDERS if any("image_start" in r.by_place for r in p.routes))
MOTION = {
    "prompt": "a",
    "model": "kling-v3",
    "motion_video": "https://example.com/a.mp4",
    "character_image": "https://example.com/a.png",
    "elements": ["7"],
}


def test_motion_control_with_a_subject_has_one_orientation() -> None:
    """A subject forces the orientation of the video."""
    wrong = plan({**MOTION, "character_orientation": "image"}, MODEL_VENDOR)
    assert "only video" in wrong.violations[0].message
    near = plan(
        {**MOTION, "character_orientation": "image"},
        MODEL_VENDOR,
        allow={"character_orientation": "nearest"},
    )
    assert near.body["model_params"]["character_orientation"] == "video"
    assert not plan({**MOTION, "character_orientation": "video"}, MODEL_VENDOR).refused
    assert plan(MOTION, MODEL_VENDOR).body["model_params"]["character_orientation"] == "video"
    alone = {name: value for name, value in MOTION.items() if name != "elements"}
    assert not plan({**alone, "character_orientation": "image"}, MODEL_VENDOR).refused


def test_a_body_with_the_forced_orientation_is_read_as_what_it_makes() -> None:
    """Whatever it says."""
    body = plan(MOTION, MODEL_VENDOR).body
    said = json.loads(json.dumps(body))
    said["model_params"]["character_orientation"] = "image"
    done = translate(said, MODEL_VENDOR, MODEL_VENDOR)
    assert done.plan is not None
    assert done.plan.body == body
    fates = {verdict.source: verdict.verdict for verdict in done.verdicts}
    assert fates["/model_params/character_orientation"] is Fate.CONVERTED


def test_every_schema_with_elements_requires_the_id() -> None:
    """An item without it names no subject."""
    tried = 0
    for route in MODEL_VENDOR.routes:
        if MODEL_VENDOR.contract.property(route.schema, "model_params.element_list") is None:
            continue
        for items, wrong in (([{}], True), ([{"element_id": "7"}], False)):
            body: dict[str, Any] = {"model_params": {"element_list": items}}
            found = MODEL_VENDOR.contract.accepts(route.schema, body)
            about = [one for one in found if "element_list" in one.path]
            assert bool(about) == wrong
        tried += 1
    assert tried >= 3


def test_a_local_video_is_uploaded_with_a_doubt_that_is_reported(tmp_path: Path) -> None:
    """The vendor's pages disagree on whether its upload takes video."""
    file = tmp_path / "a.mp4"
    file.write_bytes(b"\0\0\0\x18ftypmp42" + b"\0" * 40)
    made = plan({"prompt": "a", "source_video": str(file), "model": "kling-o3"}, MODEL_VENDOR)
    doubt = MODEL_VENDOR.file_doubts["video"]
    assert any(doubt in warning for warning in made.warnings) or made.refused
    assert all("images only" not in one.message for one in made.violations)
