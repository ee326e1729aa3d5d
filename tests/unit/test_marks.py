"""Reference marks: those of shots, those that cite nothing, and their numbers beside a frame."""

from typing import Any

import pytest
from polyreel.mapping import marks as spellings
from polyreel.mapping.marks import ANGLE, AT, Marks, idle_marks
from polyreel.mapping.reports import Fate
from polyreel.plans.choosing import plan
from polyreel.plans.translation import translate
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from support.loops import in_one

KINDS = ("image", "element", "video", "audio")
PROVIDERS = list(all_providers().values())
IMAGES = ["https://example.com/a.png", "https://example.com/b.png"]
MODEL_VENDOR = next(p for p in PROVIDERS if any("image_start" in r.by_place for r in p.routes))
FEATURE_VENDOR = next(p for p in PROVIDERS if any("image_url" in r.by_place for r in p.routes))
MODEL = "kling-o3-image-to-video"


def spelled(marks: Marks, kind: str, number: int) -> str:
    """One mark."""
    return marks.write(kind, number)


def test_no_mark_is_overlooked() -> None:
    """Only texts that may have a mark in a spelling are searched for one."""
    found = [one for one in vars(spellings).values() if isinstance(one, Marks)]
    assert len(found) > 3
    for one in found:
        kinds = [kind for kind in KINDS if one.pattern.fullmatch(one.write(kind, 12))]
        assert kinds
        for kind in kinds:
            mark = one.write(kind, 12)
            assert one.may_be_in(f"a {mark}")
            assert not one.may_be_in(mark[1:])
            assert not one.pattern.search(mark[1:])


# --- marks inside shots ---------------------------------------------------------------------------


def shot_body(*prompts: str, **more: Any) -> dict[str, Any]:
    """A native body with shots of 5 seconds."""
    shots = [{"index": at, "prompt": p, "duration": "5"} for at, p in enumerate(prompts, 1)]
    params = {"multi_shot": True, "shot_type": "customize", "multi_prompt": shots}
    return {
        "model": MODEL,
        "prompt": "",
        "duration": 5 * len(prompts),
        "image_urls": IMAGES,
        "model_params": params,
        **more,
    }


def test_marks_in_shots_are_written_like_those_of_the_prompt() -> None:
    """In the vendor's own spelling."""
    shots = [{"prompt": "@Image1 walks", "duration": 5}, {"prompt": "@Image2 sits", "duration": 5}]
    request = {"model": "kling-o3", "reference_images": IMAGES, "shots": shots, "duration": 10}
    made = plan(request, MODEL_VENDOR)
    assert not made.refused
    written = [shot["prompt"] for shot in made.body["model_params"]["multi_prompt"]]
    assert written == [
        f"{spelled(ANGLE, 'image', n)} {verb}" for n, verb in ((1, "walks"), (2, "sits"))
    ]
    assert made.warnings == ()


def test_marks_in_shots_are_read_like_those_of_the_prompt() -> None:
    """And come back as they were."""
    body = shot_body("<<<image_1>>> walks", "<<<image_2>>> sits", "<<<image_3>>> runs")
    done = translate(body, MODEL_VENDOR, MODEL_VENDOR)
    assert done.reading is not None
    prompts = [shot["prompt"] for shot in done.reading.request["shots"]]
    assert prompts == ["@Image1 walks", "@Image2 sits", "<<<image_3>>> runs"]
    assert done.plan is not None
    assert done.plan.body["model_params"] == body["model_params"]
    assert any("<<<image_3>>> cites nothing" in text for text in done.warnings)


def test_foreign_marks_in_shots_are_refused_as_in_the_prompt() -> None:
    """A mark of another spelling that would cite an input elsewhere, or here."""
    done = translate(shot_body("@Image1 walks"), MODEL_VENDOR, FEATURE_VENDOR)
    assert done.refused
    shots = [{"prompt": "<<<image_1>>> walks", "duration": 5}]
    request = {"model": "kling-o3", "reference_images": IMAGES, "shots": shots, "duration": 5}
    made = plan(request, MODEL_VENDOR)
    assert [problem.source for problem in made.problems] == ["/shots/0/prompt"]
    near = plan(request, MODEL_VENDOR, allow={"shots": "nearest"})
    assert not near.refused
    assert {v.source: v.verdict for v in near.verdicts}["/shots/0/prompt"] is Fate.APPROXIMATED


# --- marks that cite nothing ----------------------------------------------------------------------

IDLE = [
    "@Image3",
    "@image1",
    "@image_1",
    "@Image 1",
    "[Image 1]",
    "[image_1]",
    "<image_1>",
    "<<<image_3>>>",
    "{{image1}}",
    "@Element1",
    "<<<element_1>>>",
    "@video1",
    "[Video 1]",
    "<<<voice_1>>>",
    "@\u56fe1",
    "@\u56fe\u72471",
]


@in_one
@pytest.mark.parametrize("mark", IDLE)
@pytest.mark.parametrize("provider", PROVIDERS, ids=[one.id for one in PROVIDERS])
def test_a_mark_that_cites_nothing_is_a_warning_in_every_plan(
    provider: Provider, mark: str
) -> None:
    """In every spelling, near ones too, whatever the inputs are, also where the plan is refused."""
    text = f"a cat as in {mark}, please"
    found = 0
    several: list[dict[str, Any]] = [
        {},
        {"reference_images": IMAGES},
        {"first_frame": IMAGES[0]},
        {"duration": 900},
    ]
    for inputs in several:
        made = plan({"prompt": text, **inputs}, provider)
        assert [warning for warning in made.warnings if mark in warning], made.warnings
        found += not made.refused
    assert found


@pytest.mark.parametrize("mark", IDLE)
def test_a_mark_that_cites_nothing_is_a_warning_in_every_translation(mark: str) -> None:
    """Also in a translation that is refused."""
    for target in PROVIDERS:
        body = {"model": "kling-o3-text-to-video", "prompt": f"a {mark}"}
        done = translate(body, MODEL_VENDOR, target)
        assert [warning for warning in done.warnings if mark in warning], done.warnings


@pytest.mark.parametrize(
    "text",
    [
        "me@image1.com",
        "an image 1 metre wide",
        "[imagine 1]",
        "(image 1)",
        "image_1",
        "@Imagery2",
        "<b>image 1</b>",
        "@Image123",
    ],
)
def test_plain_text_is_no_mark(text: str) -> None:
    """No false alarm."""
    assert list(idle_marks(text, {})) == []


def test_marks_that_cite_are_no_warning() -> None:
    """The shared spelling, with an input of this number."""
    assert list(idle_marks("@Image1 and @Image2, @Video1", {"image": 2, "video": 1})) == []
    assert AT.write("image", 1) == "@Image1"


# --- numbers beside a first frame -----------------------------------------------------------------


def test_references_beside_a_first_frame_are_numbered_after_it() -> None:
    """As in the vendor's only published example with both; the verdict says that it is inferred."""
    frame = {"first_frame": "https://example.com/f.png"}
    request = {"prompt": "@Image1 meets @Image2", "reference_images": IMAGES, "model": "kling-o3"}
    made = plan({**request, **frame}, MODEL_VENDOR)
    assert made.body["prompt"] == "<<<image_2>>> meets <<<image_3>>>"
    (verdict,) = [one for one in made.verdicts if one.source == "/prompt"]
    assert "inferred" in verdict.reason
    assert verdict.warning
    plain = plan(request, MODEL_VENDOR)
    assert plain.body["prompt"] == "<<<image_1>>> meets <<<image_2>>>"
    assert plain.warnings == ()


def test_a_mark_of_the_first_frame_is_read_as_words() -> None:
    """No other vendor has a mark for it."""
    body = {
        "model": MODEL,
        "prompt": "<<<image_1>>> turns into <<<image_2>>>",
        "image_start": "https://example.com/f.png",
        "image_urls": IMAGES[:1],
    }
    done = translate(body, MODEL_VENDOR, FEATURE_VENDOR)
    assert done.plan is not None
    assert done.plan.body["prompt"] == "the first frame turns into @Image1"
    assert any("inferred" in warning for warning in done.warnings)
    alone = translate({**body, "image_urls": []}, MODEL_VENDOR, FEATURE_VENDOR)
    assert alone.plan is not None
    assert alone.plan.body["prompt"] == "the first frame turns into <<<image_2>>>"
