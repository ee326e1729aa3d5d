"""Routes that stored bodies are read by, and no request is written by."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any, Final

import polyreel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polyreel.cli.app import run
from polyreel.plans.choosing import plan
from polyreel.plans.reading import UnreadableBodyError, read
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import get_provider
from polyreel.providers.base.routes import Route
from polyreel.testing import laws
from polyreel.testing.bodies import bodies, malformed
from polyreel.verification.recordings import read_recording
from polyreel.verification.reports import verify
from support.laws import vendors
from support.loops import in_one

READ_ONLY: Final = [
    (provider, route) for provider in vendors() for route in provider.read_only_routes
]
BY_SCHEMA: Final = {(provider.id, route.schema): route for provider, route in reversed(READ_ONLY)}
EXAMPLES: Final = [
    pytest.param(provider, operation.path, body, id=f"{provider.id}-{operation.id}-{name}")
    for provider in vendors()
    for operation in provider.contract.read_only_operations.values()
    for name, body in operation.request_examples.items()
]
each_route = pytest.mark.parametrize(
    ("provider", "route"), READ_ONLY, ids=[f"{p.id}-{r.model}-{r.schema}" for p, r in READ_ONLY]
)
each_form = pytest.mark.parametrize(
    ("provider", "route"),
    [(get_provider(vendor), route) for (vendor, _), route in BY_SCHEMA.items()],
    ids=["-".join(key) for key in BY_SCHEMA],
)
each_example = pytest.mark.parametrize(("provider", "path", "body"), EXAMPLES)


@in_one
@each_route
def test_its_call_is_never_offered(provider: Provider, route: Route) -> None:
    """The contract marks the call; nobody finds it among the calls that may be made."""
    operation = provider.operation(route)
    assert operation.is_read_only
    assert operation.id not in provider.contract.operations
    assert provider.contract.match(operation.method, operation.full_path) is None
    assert route not in provider.routes


@in_one
@each_route
def test_its_table_knows_every_property(provider: Provider, route: Route) -> None:
    """Law 4, of the native side."""
    laws.totality(provider, route)


@in_one
@each_route
def test_it_is_the_same_in_every_process(provider: Provider, route: Route) -> None:
    """Vendors and routes are pickled by name."""
    assert pickle.loads(pickle.dumps(route)) is route
    assert copy.deepcopy(provider) is provider


@in_one
@each_route
def test_no_request_is_written_by_it(provider: Provider, route: Route) -> None:
    """A plan of its model and workflow is refused, or made for a call that may be made."""
    first: Any = next(case.values[2] for case in EXAMPLES if case.values[0] is provider)
    made = plan({**read(first, provider).request, "model": route.model}, provider)
    assert made.refused or made.route is not None
    assert made.route not in provider.read_only_routes


@in_one
@each_example
@pytest.mark.parametrize("target", vendors(), ids=lambda target: target.id)
def test_every_leaf_of_an_example_has_one_verdict(
    provider: Provider, path: str, body: dict[str, Any], target: Provider
) -> None:
    """Law 3, and the call where it was recorded says nothing that the body does not."""
    laws.accounted(body, provider, target)
    assert read(body, provider).route is read(body, provider, path).route


@each_form
@given(data=st.data(), target=st.sampled_from(vendors()))
def test_every_body_is_accounted_for(
    provider: Provider, route: Route, data: st.DataObject, target: Provider
) -> None:
    """Law 3, for drawn bodies, however malformed."""
    laws.accounted(data.draw(malformed(provider, route)), provider, target)
    laws.accounted(data.draw(bodies(provider, route)), provider, target)


# --- bodies as they are stored --------------------------------------------------------------------

OLDER: Final = next(provider for provider, route in READ_ONLY if "image_tail" in route.by_place)
FRAME, TAIL = "https://example.com/a.png", "https://example.com/b.png"
CLIP: Final = "https://example.com/a.mp4"
SHOTS: Final = [{"index": 1, "prompt": "a", "duration": "5"}]


def asked(body: dict[str, Any]) -> dict[str, Any]:
    """What a body asks for in shared words, beside its model."""
    return {name: value for name, value in read(body, OLDER).request.items() if name != "model"}


@pytest.mark.parametrize("name", ["model_name", "model"])
def test_the_model_has_two_names(name: str) -> None:
    """The older one is still tolerated; where both stand, they agree."""
    assert read({name: "kling-v2-6", "prompt": "a"}, OLDER).request["model"] == "kling-v2.6"
    with pytest.raises(UnreadableBodyError):
        read({"model_name": "kling-v2-6", "model": "kling-v3", "prompt": "a"}, OLDER)


def test_a_body_without_a_model_is_read_where_the_caller_names_it() -> None:
    """A guess is none: the models are told apart by nothing else."""
    with pytest.raises(UnreadableBodyError, match="the body names no model"):
        read({"prompt": "a"}, OLDER)
    assert read({"prompt": "a"}, OLDER, model="kling-v3").request["model"] == "kling-v3"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mode": "pro"}, {"resolution": "1080p"}),
        ({"mode": "std"}, {"resolution": "720p"}),
        ({"duration": "15"}, {"duration": 15}),
        ({"sound": "on"}, {"audio": True}),
        ({"cfg_scale": 0.25}, {"guidance_scale": 0.25}),
        ({"watermark_info": {"enabled": True}}, {"watermark": True}),
        ({"multi_shot": False, "shot_type": "customize", "multi_prompt": SHOTS}, {}),
        ({"image": FRAME, "aspect_ratio": "9:16"}, {"first_frame": FRAME}),
        ({"image_tail": TAIL}, {"last_frame": TAIL}),
        ({"image": FRAME, "element_list": [{"element_id": 7}]}, {"elements": ["7"]}),
    ],
)
def test_a_value_says_what_it_says(given: dict[str, Any], said: dict[str, Any]) -> None:
    """Each spelling of the older generation, and what the vendor ignores."""
    found = asked({"model_name": "kling-v3", "prompt": "a", **given})
    assert {name: found[name] for name in said} == said
    assert found.keys() - said.keys() <= {"prompt", "first_frame"}


OMNI: Final = {"model_name": "kling-v3-omni", "prompt": "<<<image_2>>> <<<video_1>>>"}


@pytest.mark.parametrize(
    ("given", "workflow", "said"),
    [
        ({}, "text-to-video", {}),
        ({"image_list": None, "video_list": []}, "text-to-video", {}),
        (
            {"image_list": [{"image_url": FRAME, "type": "first_frame"}, {"image_url": TAIL}]},
            "reference-to-video",
            {"first_frame": FRAME, "reference_images": [TAIL], "prompt": "@Image1 <<<video_1>>>"},
        ),
        (
            {"image_list": [{"image_url": TAIL, "type": "end_frame"}]},
            "image-to-video",
            {"last_frame": TAIL},
        ),
        (
            {"video_list": [{"video_url": CLIP, "keep_original_sound": "no"}]},
            "edit-video",
            {"source_video": CLIP, "keep_source_audio": False, "prompt": "<<<image_2>>> @Video1"},
        ),
        (
            {"video_list": [{"video_url": CLIP, "refer_type": "feature"}]},
            "reference-video",
            {"reference_video": CLIP},
        ),
    ],
)
def test_items_say_what_they_are_for(
    given: dict[str, Any], workflow: str, said: dict[str, Any]
) -> None:
    """Frames, references, a video to edit or to follow; marks keep what they cite."""
    body = {**OMNI, **given}
    assert read(body, OLDER).route.workflow == workflow
    assert {name: asked(body).get(name) for name in said} == said


@pytest.mark.parametrize(
    "images",
    [
        [{"image_url": TAIL}, {"image_url": FRAME, "type": "first_frame"}],
        [{"image_url": TAIL, "type": "first_frame"}, {"image_url": FRAME, "type": "first_frame"}],
        [{"image_url": TAIL, "weight": 2}],
        ["https://example.com/a.png"],
        {"image_url": TAIL},
    ],
)
def test_ambiguous_items_are_refused(images: object) -> None:
    """With the place; nothing in an item is lost silently."""
    done = polyreel.translate({**OMNI, "image_list": images}, OLDER, vendors()[0])
    assert done.refused
    assert "image_list" in " ".join(one.message for one in done.violations)


def test_empty_values_ask_for_nothing() -> None:
    """Forms store them; an image that is none makes no clip from an image."""
    empty: dict[str, Any] = {
        "negative_prompt": "",
        "image": "",
        "image_tail": None,
        "element_list": [],
    }
    body = {"model_name": "kling-v3", "prompt": "a", "duration": 7, **empty}
    target = next(one for one in vendors() for row in one.routes if row.model == "kling-v3")
    done = polyreel.translate(body, OLDER, target)
    assert not done.refused
    assert done.plan is not None
    assert done.plan.workflow == "text-to-video"
    fates = {one.source: one.verdict for one in done.verdicts}
    assert {fates[f"/{name}"] for name in empty} == {"dropped"}
    assert fates["/duration"] == "converted"


@pytest.mark.parametrize(
    ("value", "seconds"), [("5", 5), (5, 5), (5.0, 5), ("5.5", None), (5.5, None), (True, None)]
)
def test_a_length_is_text_or_a_number_that_says_the_same(
    value: object, seconds: int | None
) -> None:
    """A part of a second is no length."""
    target = next(one for one in vendors() for row in one.routes if row.model == "kling-v3")
    body = {"model_name": "kling-v3", "prompt": "a", "duration": value}
    done = polyreel.translate(body, OLDER, target)
    assert done.refused == (seconds is None)
    assert done.plan is None or done.plan.body["duration"] == seconds


@pytest.mark.parametrize("value", [0.5, "0.5"])
def test_a_default_that_the_target_has_no_field_for_is_as_good_as_left_out(value: object) -> None:
    """It has one verdict, with the reason; another value is refused."""
    target = next(
        one
        for one in vendors()
        for row in one.routes
        if row.model == "kling-v3" and not row.by_name["guidance_scale"].places
    )
    body = {"model_name": "kling-v3", "prompt": "a", "cfg_scale": value}
    done = polyreel.translate(body, OLDER, target)
    assert not done.refused
    (verdict,) = [one for one in done.verdicts if one.field == "guidance_scale"]
    assert (verdict.source, verdict.verdict) == ("/cfg_scale", "dropped")
    assert f"0.5 is {OLDER.id}'s default" in verdict.reason
    assert polyreel.translate({**body, "cfg_scale": 0.6}, OLDER, target).refused


def test_models_that_take_no_adherence_have_none() -> None:
    """What a model ignores is dropped, and its default asks for nothing."""
    reading = read({"model_name": "kling-v2-6", "prompt": "a", "cfg_scale": 0.9}, OLDER)
    assert "guidance_scale" not in {**OLDER.defaults(reading.route), **reading.request}


# --- recorded traffic -----------------------------------------------------------------------------


def recorded(path: str, body: dict[str, Any]) -> bytes:
    """A call of the older generation and its answer, as a line of a recording."""
    operation = next(
        one
        for one in OLDER.contract.read_only_operations.values()
        if one.path == path and one.method == "POST"
    )
    ((status, _, _, answer), *_) = OLDER.contract.replies(operation)
    kind = {"content-type": "application/json"}
    exchange = {
        "method": "POST",
        "url": f"{OLDER.base_url}{path}",
        "request": {"headers": kind, "body": json.dumps(body)},
        "response": {"status": status, "headers": kind, "body": json.dumps(answer)},
    }
    return json.dumps(exchange).encode()


@each_example
def test_recorded_calls_are_checked(provider: Provider, path: str, body: dict[str, Any]) -> None:
    """A call that is never made is a documented one all the same."""
    exchanges = read_recording(recorded(path, body), "traffic.jsonl")
    report = verify(exchanges, [provider])
    assert (report.matched, report.fits) == (1, True)


def test_what_differs_in_a_recorded_call_is_reported() -> None:
    """By the command, too, which finds the vendor by its host or by name."""
    example: Any = EXAMPLES[0].values
    provider, path, body = example
    exchanges = read_recording(recorded(path, {**body, "mode": "ultra"}), "traffic.jsonl")
    (found,) = verify(exchanges, [provider]).differences
    assert found.traffic.endswith("/mode")


@pytest.mark.parametrize("named", [True, False])
def test_the_command_checks_recorded_calls(
    named: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 0 where everything fits, with the vendor's name and without it."""
    example: Any = EXAMPLES[0].values
    file = tmp_path / "traffic.jsonl"
    file.write_bytes(recorded(*example[1:]))
    vendor = ["--vendor", OLDER.id] if named else []
    assert run(["verify", str(file), *vendor, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["matched"] == 1
