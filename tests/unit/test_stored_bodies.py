"""Bodies as people have them: echoes, strays, numbers as text, no model, no feature, no input."""

from collections.abc import Iterator
from itertools import product
from typing import Any, Final

import pytest
from polyreel.mapping.reports import Fate, MappingReport
from polyreel.plans.reading import UnreadableBodyError, read
from polyreel.plans.translation import Translation, translate
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from polyreel.providers.base.routes import Route
from polyreel.testing.bodies import examples_of
from support.loops import Case, in_one_test
from support.matrix import covered
from support.requests import ROUTE_IDS, ROUTES, every_route

PROVIDERS = list(all_providers().values())
IMAGE, VIDEO = "https://example.com/a.png", "https://example.com/a.mp4"


def seller(place: str, workflow: str = "") -> Provider:
    """The vendor one of whose routes has this native place."""
    return next(p for p, r in ROUTES if place in r.by_place and workflow in {"", r.workflow})


MODEL_VENDOR = seller("image_start")
"""Whose body names the model."""
FEATURE_VENDOR = seller("feature")
"""Whose body names a feature, and no model."""


def fates(done: Translation) -> dict[str, Fate]:
    """What became of each leaf."""
    return {verdict.source: verdict.verdict for verdict in done.verdicts if verdict.source}


def why(done: Translation) -> str:
    """All that is said against a translation."""
    return "\n".join(violation.message for violation in done.violations)


# --- the workflow that the body names -------------------------------------------------------------


def bare(provider: Provider, route: Route) -> dict[str, Any]:
    """A body that names its route and has nothing but a prompt."""
    names = {row.native: row.value for row in route.constants}
    if "prompt" in route.by_place or "prompt" not in route.by_name:
        return names | {"prompt": "a cat"}
    body, report = dict[str, Any](names), MappingReport()
    route.by_name["prompt"].write({"prompt": "a cat"}, body, {}, report)
    return body


@every_route
def test_a_translation_never_changes_the_workflow_that_the_body_names(
    provider: Provider, route: Route
) -> None:
    """Without its input, a body is refused, and not made into text-to-video."""
    # Where nothing names the form of a body, its inputs do: without them it is any of the call's.
    # A word can stand for several: then the inputs, and the paths, tell them apart.
    words = {row.native: row.value for row in route.constants}
    named = {
        one.workflow
        for one in provider.routes
        if one.schema == route.schema
        or (not route.constants and one.path == route.path)
        or (words and one.constants and all(row.matches(words) for row in one.constants))
    }
    for target in PROVIDERS:
        body, named_so = bare(provider, route), route.source_model
        done = translate(body, provider, target, source_model=named_so)
        if not done.refused:
            assert done.plan is not None
            assert done.plan.workflow in named


@pytest.mark.parametrize(
    ("provider", "body", "needs"),
    [
        (
            MODEL_VENDOR,
            {"model": "kling-v3-motion-control"},
            "needs motion_video and character_image and character_orientation: set video_urls "
            "and image_urls and model_params.character_orientation",
        ),
        (MODEL_VENDOR, {"model": "kling-v3-image-to-video"}, "needs first_frame: set image_start"),
        (
            FEATURE_VENDOR,
            {"feature": "motion-control"},
            "needs motion_video and character_image: set video_url and image_url",
        ),
    ],
    ids=["three", "one", "two"],
)
def test_all_inputs_that_are_needed_are_named(
    provider: Provider, body: dict[str, Any], needs: str
) -> None:
    """With "and" where they are all needed."""
    assert needs in why(translate({"prompt": "a", **body}, provider, FEATURE_VENDOR))


def test_what_is_missing_is_named() -> None:
    """With the native place of it."""
    done = translate({"prompt": "a", "model": "kling-o3-video-edit"}, MODEL_VENDOR, FEATURE_VENDOR)
    assert "kling-o3-video-edit" in why(done)
    assert "video_url" in why(done)
    done = translate({"prompt": "a", "feature": "video-to-video"}, FEATURE_VENDOR, MODEL_VENDOR)
    assert "video_url" in why(done)
    assert "generate-image" not in why(done)


# --- which model, which variant -------------------------------------------------------------------


def test_a_body_that_fits_several_models_is_asked_about() -> None:
    """The model is never guessed; the text names the candidates, and how to say it."""
    body = {"prompt": "a cat"}
    models = {
        route.model
        for route in FEATURE_VENDOR.routes
        if route.workflow in {"text-to-video", "generate-image"}
    }
    done = translate(body, FEATURE_VENDOR, MODEL_VENDOR)
    assert done.refused
    assert all(model in why(done) for model in models)
    assert "source_model" in why(done)
    assert not translate(body, FEATURE_VENDOR, MODEL_VENDOR, source_model="kling-o3").refused
    with pytest.raises(UnreadableBodyError):
        read(body, FEATURE_VENDOR)
    path = FEATURE_VENDOR.routes[0].operation.PATH
    assert path == read(body, FEATURE_VENDOR, path).route.operation.PATH


@pytest.mark.parametrize(
    ("body", "model", "workflow"),
    [
        ({"first_frame_url": IMAGE}, "kling-o3", "image-to-video"),
        ({"first_frame_url": IMAGE, "last_frame_url": IMAGE}, "kling-o3", "image-to-video"),
        (
            {"video_url": VIDEO, "image_url": IMAGE, "character_orientation": "image"},
            "kling-v2.6",
            "motion-control",
        ),
        ({"video_url": VIDEO, "duration": 5}, "kling-o3", "reference-video"),
        ({"quality": "pro"}, "kling-o3", "text-to-video"),
        ({"output_format": "png"}, "kling-o3-image", "generate-image"),
        ({"feature": "frame-to-video", "first_frame_url": IMAGE}, "kling-o3", "image-to-video"),
    ],
)
def test_the_variant_is_found_by_fields_that_only_it_has(
    body: dict[str, Any], model: str, workflow: str
) -> None:
    """Where the feature is missing; the family is named, since several have such fields."""
    done = translate({"prompt": "a", **body}, FEATURE_VENDOR, FEATURE_VENDOR, source_model=model)
    assert not done.refused, why(done)
    assert done.reading is not None
    assert (done.reading.route.model, done.reading.route.workflow) == (model, workflow)


def test_two_variants_are_asked_about() -> None:
    """A video can be edited, or followed."""
    body = {"prompt": "a", "video_url": VIDEO}
    done = translate(body, FEATURE_VENDOR, MODEL_VENDOR, source_model="kling-o3")
    assert '"video-to-video" or "video-reference-to-video"' in why(done)


def test_an_image_is_not_guessed_where_a_video_is_sold_in_that_shape() -> None:
    """A word for the workflow can be missing; it decides between no two models."""
    done = translate({"prompt": "a", "image_urls": [IMAGE]}, FEATURE_VENDOR, MODEL_VENDOR)
    assert "fits kling-o3-image and " in why(done)
    assert "and kling-o3; say which" in why(done)
    body = {"prompt": "a", "image_urls": [IMAGE], "duration": 5, "quality": "pro"}
    done = translate(body, FEATURE_VENDOR, MODEL_VENDOR)
    assert done.reading is not None
    assert done.reading.route.model == "kling-o3"


def test_an_unknown_model_names_the_near_ones() -> None:
    """And a far one all that there are."""
    done = translate({"prompt": "a", "model": "kling-o3-txt2video"}, MODEL_VENDOR, FEATURE_VENDOR)
    assert "kling-o3-text-to-video" in why(done)
    done = translate({"prompt": "a", "model": "zzz"}, MODEL_VENDOR, FEATURE_VENDOR)
    assert "kling-v2.6-motion-control" in why(done)
    done = translate({"prompt": "a", "feature": "frames"}, FEATURE_VENDOR, MODEL_VENDOR)
    assert "frame-to-video" in why(done)
    done = translate({"prompt": "a"}, MODEL_VENDOR, FEATURE_VENDOR)
    assert "model is missing" in why(done)


def test_a_missing_choice_names_its_fields() -> None:
    """Not "anyOf is not met"."""
    text = {"prompt": "a" * 300}
    for model, fields in {
        "kling-o3-image-to-video": "image_start or image_end or image_urls",
        "kling-o3-reference-to-video": "video_url or video_urls or video",
    }.items():
        done = translate({**text, "model": model}, MODEL_VENDOR, FEATURE_VENDOR)
        assert fields in why(done)
        assert "anyOf" not in why(done)


# --- strays and echoes ----------------------------------------------------------------------------


ECHOES: Final[list[dict[str, Any]]] = [
    {"n": 1},
    {"seed": None},
    {"tags": []},
    {"meta": {}},
    {"x": ""},
    {"more": {"tags": [], "deep": {"x": None}}},
    {"stream": False},
    {"response_format": "url"},
]


def echoes() -> Iterator[Case]:
    """Every echo, and every body of every vendor."""
    named = zip(ROUTE_IDS, ROUTES, strict=True)
    for (name, (provider, route)), echo in covered(
        product(named, ECHOES), lambda one: ((one[0][1][0].id, one[0][1][1].schema), str(one[1]))
    ):
        yield f"{name} {echo}", (provider, route, echo)


@pytest.mark.matrix
@in_one_test(echoes)
def test_echoes_that_ask_for_nothing_are_read_as_such(
    provider: Provider, route: Route, echo: dict[str, Any]
) -> None:
    """They refuse nothing, and have their verdict."""
    (name,) = echo
    if name in {place.partition(".")[0] for place in route.by_place}:
        return
    for body in examples_of(provider, route):
        if not all(row.matches(body) for row in route.constants):
            continue
        target, named = provider, route.source_model
        plain = translate(body, provider, target, source_model=named)
        if not plain.refused:
            done = translate({**body, **echo}, provider, target, source_model=named)
            assert not done.refused, why(done)
            assert plain.plan is not None
            assert done.plan is not None
            assert done.plan.body == plain.plan.body
            fate = {fate for at, fate in fates(done).items() if at.split("/")[1] == name}
            assert fate == {Fate.DROPPED}


def test_more_than_one_is_no_echo() -> None:
    """Two outputs cost twice."""
    body = {"prompt": "a", "n": 2}
    assert translate(body, FEATURE_VENDOR, MODEL_VENDOR, source_model="kling-o3").refused


@pytest.mark.parametrize(
    ("body", "native", "value"),
    [
        ({"model": "kling-o3-text-to-video", "negative_prompt": "blur"}, "negative_prompt", "blur"),
        ({"model": "kling-o3-text-to-video", "generate_audio": True}, "generate_audio", True),
    ],
)
def test_a_stray_name_is_looked_up_among_the_shared_words(
    body: dict[str, Any], native: str, value: Any
) -> None:
    """The target has a field for it, whatever the source's own page lists."""
    done = translate({"prompt": "a", **body}, MODEL_VENDOR, FEATURE_VENDOR)
    assert not done.refused, why(done)
    assert done.plan is not None
    assert done.plan.body[native] == value
    assert fates(done)[f"/{native}"] is Fate.CONVERTED


@pytest.mark.parametrize(
    ("stray", "name"),
    [
        ({"mode": "pro"}, "resolution"),
        ({"seconds": "5"}, "duration"),
        ({"shot_type": "customize"}, None),
        ({"metadata": {"negative_prompt": "blur"}}, "negative_prompt"),
    ],
    ids=str,
)
def test_words_of_any_vendor_are_known(stray: dict[str, Any], name: str | None) -> None:
    """People carry bodies from one vendor to the other by hand; the value is read as its type."""
    body = {"model": "kling-o3-text-to-video", "prompt": "a", **stray}
    done = translate(body, MODEL_VENDOR, FEATURE_VENDOR)
    assert not done.refused, why(done)
    said = {one.field: one for one in done.verdicts if one.source and one.source != "/prompt"}
    if name is None:
        assert "asks for nothing without shots" in {one.reason for one in done.verdicts}
    else:
        assert said[name].verdict is Fate.CONVERTED


@pytest.mark.parametrize("stray", ["image_tail", "image", "last_image"])
def test_an_input_by_another_vendors_name_is_named(stray: str) -> None:
    """It is not said that nobody has a word for it."""
    body = {"model": "kling-o3-text-to-video", "prompt": "a", stray: IMAGE}
    done = translate(body, MODEL_VENDOR, FEATURE_VENDOR)
    assert f"{stray} is {'first' if stray == 'image' else 'last'}_frame, which" in why(done)


@pytest.mark.parametrize("value", ["5", 5.0, " 5 "])
def test_a_number_is_read_as_one_in_a_stray_field_too(value: Any) -> None:
    """As text, and with a point."""
    edit = {"feature": "video-to-video", "prompt": "a", "video_url": VIDEO, "duration": value}
    assert not translate(edit, FEATURE_VENDOR, MODEL_VENDOR).refused
    clip = {"model": "kling-o3-text-to-video", "prompt": "a", "duration": value}
    done = translate(clip, MODEL_VENDOR, FEATURE_VENDOR)
    assert done.plan is not None
    assert repr(done.plan.body["duration"]) == "5"


def test_what_is_wrong_is_said_once_and_whole() -> None:
    """By the words that are known, not by the first two and a number of others."""
    seller_of_groups = seller("extra_body.shot_type")
    done = translate({"model": "kling-v3-std", "prompt": "a"}, seller_of_groups, MODEL_VENDOR)
    (violation,) = done.violations
    models = [
        f"kling-v3-{tier}-{sound}" for tier in ("std", "pro") for sound in ("silent", "audio")
    ]
    assert violation.message.endswith(f"is not one of {', '.join(models)}")
    body = {"model": "kling-o3-text-to-video", "prompt": "a", "sound": True}
    (violation,) = translate(body, MODEL_VENDOR, FEATURE_VENDOR).violations
    assert violation.message.endswith("sound: true is not one of on, off")


def test_a_stray_input_does_not_change_the_workflow() -> None:
    """Nor is it said that nobody has a word for it, or that nothing would be lost."""
    body = {"model": "kling-v3-text-to-video", "prompt": "a", "image_start": IMAGE}
    for target in PROVIDERS:
        done = translate(body, MODEL_VENDOR, target)
        if target is MODEL_VENDOR:
            continue
        assert done.refused
        assert "image_start is first_frame" in why(done)
        assert "no word for it" not in why(done)
        for other in done.alternatives:
            assert other.refused
            assert any("image_start" in loss for loss in other.losses)


@pytest.mark.parametrize(
    "stray", [{"generate_audio": False}, {"aspect_ratio": "16:9"}, {"duration": 5}]
)
def test_a_field_of_the_flat_page_that_asks_for_nothing_is_dropped(stray: dict[str, Any]) -> None:
    """An edit makes no sound of its own, and has the length and frame of its source."""
    body = {"feature": "video-to-video", "prompt": "a", "video_url": VIDEO, **stray}
    for target in (MODEL_VENDOR, FEATURE_VENDOR):
        done = translate(body, FEATURE_VENDOR, target)
        assert not done.refused, why(done)
        assert fates(done)["/" + next(iter(stray))] is Fate.DROPPED


@pytest.mark.parametrize("stray", [{"generate_audio": True}, {"aspect_ratio": "9:16"}])
def test_a_field_of_the_flat_page_that_asks_for_something_is_refused(stray: dict[str, Any]) -> None:
    """In the target's words."""
    body = {"feature": "video-to-video", "prompt": "a", "video_url": VIDEO, **stray}
    assert translate(body, FEATURE_VENDOR, MODEL_VENDOR).refused


def test_a_switch_without_its_effect_is_dropped() -> None:
    """`shot_type` without shots asks for nothing."""
    params = {"model_params": {"shot_type": "customize"}}
    body = {"model": "kling-o3-text-to-video", "prompt": "a", **params}
    done = translate(body, MODEL_VENDOR, FEATURE_VENDOR)
    assert not done.refused, why(done)
    assert fates(done)["/model_params/shot_type"] is Fate.DROPPED
    source = seller("extra_body.shot_type")
    body = {"model": "kling-v3-std-audio", "prompt": "a", "extra_body": {"shot_type": "customize"}}
    done = translate(body, source, MODEL_VENDOR)
    assert not done.refused, why(done)
    assert fates(done)["/extra_body/shot_type"] is Fate.DROPPED


# --- spellings ------------------------------------------------------------------------------------


@every_route
def test_a_number_as_text_is_read_as_converted(provider: Provider, route: Route) -> None:
    """Vendors' own tables write it so."""
    schema = provider.contract.property(route.schema, "duration")
    if schema is None:
        return
    for body in examples_of(provider, route):
        if provider.contract.accepts(route.schema, body) or not all(
            row.matches(body) for row in route.constants
        ):
            continue
        one, other = ({**body, "duration": value} for value in (5, "5"))
        plain, done = (
            translate(given, provider, provider, source_model=route.source_model)
            for given in (one, other)
        )
        if plain.refused:
            continue
        assert not done.refused, why(done)
        assert plain.plan is not None
        assert done.plan is not None
        assert done.plan.body == plain.plan.body
        assert fates(done)["/duration"] is Fate.CONVERTED


def test_a_length_of_a_shot_as_a_number_is_read() -> None:
    """Where the vendor wants text."""
    shots = [{"index": 1, "prompt": "one", "duration": 5}]
    params = {"multi_shot": True, "shot_type": "customize", "multi_prompt": shots}
    body = {"model": "kling-o3-text-to-video", "duration": 5, "model_params": params}
    done = translate(body, MODEL_VENDOR, MODEL_VENDOR)
    assert not done.refused, why(done)
    assert done.plan is not None
    assert done.plan.body["model_params"]["multi_prompt"][0]["duration"] == "5"


def test_a_published_example_that_the_vendor_contradicts_is_read_and_never_sent() -> None:
    """Its page's schema demands a prompt; the example with shots has none."""
    examples = MODEL_VENDOR.operation(MODEL_VENDOR.routes[0]).request_examples
    body = examples["published_kling_o3_multi_shot"]
    done = translate(body, MODEL_VENDOR, MODEL_VENDOR)
    assert "prompt" not in body
    assert not done.refused, why(done)
    assert done.plan is not None
    assert done.plan.body["prompt"] == ""
    assert done.reading is not None
    assert MODEL_VENDOR.contract.sends(done.reading.route.schema, body)
