"""Shots that are written in the text of a clip."""

from typing import Any

import pytest
from polyreel import VideoRequest
from polyreel.mapping.shots import MultiShot
from polyreel.mapping.shottexts import ShotText, spelled_shots
from polyreel.plans.choosing import plan
from polyreel.plans.planning import Plan
from polyreel.plans.translation import translate
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers

SHOTS = [{"prompt": "a door opens", "duration": 3}, {"prompt": "a cat enters", "duration": 4}]


def _seller(codec: type) -> Provider:
    """The first vendor that takes the shots of a text of Kling V3 so."""
    return next(
        provider
        for provider in all_providers().values()
        for route in provider.routes
        if (route.model, route.workflow) == ("kling-v3", "text-to-video")
        and isinstance(getattr(route.by_name.get("shots"), "codec", None), codec)
    )


SPELLING, LISTING = _seller(ShotText), _seller(MultiShot)
TEXT = "shot 1, 3, a door opens; shot 2, 4, a cat enters;"


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "Shot 1,3,a door opens;\nshot 2,4,a cat enters",
        "镜头 1, 3, a door opens; 镜头 2, 4, a cat enters;",
        "镜头1\uff0c3\uff0ca door opens\uff1b镜头2\uff0c4\uff0ca cat enters\uff1b",
    ],
)
def test_both_spellings_are_read(text: str) -> None:
    assert spelled_shots(text) == SHOTS


@pytest.mark.parametrize(
    "text", ["", "A shot of a door.", f"At dusk. {TEXT}", "shot 2, 3, a door opens;", 7]
)
def test_other_texts_are_no_shots(text: object) -> None:
    assert spelled_shots(text) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"duration": 8}, "shots: shots that last 7 s; takes 8 together"),
        ({"duration": None}, "shots: shots that last 7 s; takes 5 together"),
        ({"prompt": "At dusk."}, "prompt: the vendor does not use it beside shots"),
        ({"shot_mode": "automatic"}, "shot_mode: automatic planning takes no shots of its own"),
        ({"shots": None, "shot_mode": "custom"}, "shot_mode: custom planning needs shots"),
        (
            {"shots": None, "shot_mode": "automatic", "prompt": TEXT},
            "shot_mode: the text is written like shots, and is made as such",
        ),
        ({"shots": [{"prompt": "a; b", "duration": 7}]}, "a semicolon would end its words"),
        ({"shots": [{"prompt": "x" * 513, "duration": 7}]}, "a shot of 513 characters"),
        ({"shots": [{"prompt": "x", "duration": 1}] * 7}, "7 shots; takes at most 6"),
        ({"shots": [{"prompt": "x"}]}, "every shot needs a duration"),
        (
            {"model": "kling-v3-turbo", "shots": None, "prompt": TEXT},
            "prompt: the text is written like shots, and is made as such: give them as `shots`",
        ),
    ],
)
@pytest.mark.parametrize("frame", [None, "https://example.com/a.png"])
def test_what_cannot_be_written_is_refused(
    changes: dict[str, Any], reason: str, frame: str | None
) -> None:
    asked: dict[str, Any] = {"model": "kling-v3", "shots": SHOTS, "duration": 7}
    asked |= {"first_frame": frame} | changes
    if asked["model"] == "kling-v3-turbo":
        asked["first_frame"] = None
    request: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    made = plan(VideoRequest(**request), SPELLING)
    told = " ".join(problem.message for problem in made.violations)
    assert reason in told.replace(f"; {SPELLING.id} takes", "; takes")


def _fates(made: Plan) -> dict[str, str]:
    return {one.source: one.reason for one in made.verdicts if one.source.startswith("/shots")}


def test_each_shot_has_the_reason_of_its_own() -> None:
    shots = [
        {"prompt": "a; b", "duration": 3},
        {"prompt": "Shot 2: a cat", "duration": 2},
        {"prompt": "a dog", "duration": 2},
    ]
    made = plan({"model": "kling-o3", "shots": shots, "duration": 7}, SPELLING)
    fates = _fates(made)
    assert "semicolon" in fates["/shots/0/prompt"]
    assert "'Shot 2:' would begin another shot" in fates["/shots/1/prompt"]
    others = [text for at, text in fates.items() if at[7:] not in {"0/prompt", "1/prompt"}]
    assert not any("semicolon" in text or "Shot 2" in text for text in others)
    # The prompt is not needed as well: the shots would stand in its place.
    assert {problem.field for problem in made.problems} == {"shots"}


@pytest.mark.parametrize("words", ["shot 2, 3, a dog", "镜头2\uff0c a dog", "x. SHOT 12. a dog"])
def test_words_that_begin_another_shot_are_refused(words: str) -> None:
    made = plan({"model": "kling-v3", "shots": [{"prompt": words, "duration": 5}]}, SPELLING)
    assert "would begin another shot" in made.violations[0].message


@pytest.mark.parametrize("words", ["a shot of 2 cats", "a moonshot 2, seen", "one shot, then 2"])
def test_the_word_shot_itself_is_no_shot(words: str) -> None:
    assert not plan(
        {"model": "kling-v3", "shots": [{"prompt": words, "duration": 5}]}, SPELLING
    ).refused


@pytest.mark.parametrize("vendor", [SPELLING, LISTING], ids=["spelled", "listed"])
@pytest.mark.parametrize("model", ["kling-o3", "kling-v3"])
def test_shots_without_times_are_the_only_problem(vendor: Provider, model: str) -> None:
    made = plan({"model": model, "shots": [{"prompt": "a"}, {"prompt": "b"}]}, vendor)
    assert [one.field for one in made.violations] == ["shots"]
    assert '"duration": 3' in made.violations[0].message


@pytest.mark.parametrize("vendor", [SPELLING, LISTING], ids=["spelled", "listed"])
def test_a_wrong_total_says_what_must_agree(vendor: Provider) -> None:
    made = plan({"model": "kling-v3", "shots": SHOTS}, vendor)
    assert "5 together: set the `duration` of the request, or" in made.violations[0].message


def test_a_plain_text_stays_plain_where_nobody_asks_for_shots() -> None:
    made = plan(VideoRequest(model="kling-v3", prompt=TEXT), SPELLING)
    assert not made.refused
    assert made.native["settings"]["multi_shot"] is False


def test_shots_go_there_and_back() -> None:
    body = {"prompt": TEXT, "settings": {"duration": 7, "multi_shot": True}}
    there = translate(body, SPELLING, LISTING, source_model="text-to-video/kling-3.0")
    assert there.plan is not None
    shots = there.plan.native["model_params"]["multi_prompt"]
    assert [one["duration"] for one in shots] == ["3", "4"]
    back = translate(there.plan.native, LISTING, SPELLING)
    assert back.plan is not None
    assert back.plan.native["prompt"] == TEXT
