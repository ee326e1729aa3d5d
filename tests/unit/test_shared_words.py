"""The words of the shared request that not every vendor has: read alike, and never lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polyreel
import pytest
from polyreel.errors import RequestError
from polyreel.mapping import media
from polyreel.mapping.codecs import (
    SIZES,
    CannotExpressError,
    MeaninglessError,
    cited_inputs,
)
from polyreel.mapping.numbers import Seed
from polyreel.mapping.subjects import OwnId, OwnIds
from polyreel.mapping.workflows import workflow_of
from polyreel.money.book import read_prices
from polyreel.plans.requests import check_request
from polyreel.providers.base.contract import Contract
from polyreel.providers.base.registry import all_providers
from polyreel_generated.contracts.vendors import VendorId
from support.loops import in_one

SHARED = Contract.load("polyreel")
LINK = "https://example.com/a"
WORDS: dict[str, Any] = {
    "seed": 7,
    "count": 2,
    "fps": 24,
    "reference_videos": [f"{LINK}.mp4"],
    "reference_audio": [f"{LINK}.mp3"],
    "camera_fixed": True,
    "enhance_prompt": False,
    "end_user_id": "customer-1",
    "duration": "auto",
    "aspect_ratio": "auto",
    "extend_video": f"{LINK}.mp4",
    "elements": [{"front_image": f"{LINK}.png", "images": [f"{LINK}.png"], "voice": "v"}],
}


@pytest.mark.parametrize("name", WORDS)
def test_model_and_mapping_read_each_word_alike(name: str) -> None:
    """A typed request and a mapping are the same request."""
    request = {"model": "kling-o3", "prompt": "a cat", name: WORDS[name]}
    assert check_request(request).fields == request
    assert check_request(polyreel.VideoRequest(**request)).fields == request
    assert check_request(request).kind == "video"


@in_one
@pytest.mark.parametrize("vendor", all_providers())
@pytest.mark.parametrize("name", WORDS)
def test_no_vendor_loses_a_word(vendor: VendorId, name: str) -> None:
    """What a vendor cannot say refuses the plan, with a verdict for each leaf."""
    made = polyreel.plan({"prompt": "a cat", name: WORDS[name]}, vendor)
    judged = {one.field for one in made.verdicts if one.source}
    assert judged >= {"prompt", name}
    assert made.refused == any(one.verdict == "refused" for one in made.verdicts)


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ({"duration": "soon"}, "duration: input should be a valid integer, not 'soon', or"),
        ({"duration": 0}, "duration: input should be greater than or equal to 1, not 0, or"),
        ({"aspect_ratio": "wide"}, "aspect_ratio: must be width:height, such as 16:9"),
        ({"elements": [{"front": "x"}]}, "elements.0.front: no such field"),
        ({"elements": [{"front_image": 5}]}, "elements.0.front_image: input should be a valid str"),
        ({"elements": [5]}, "elements.0: input should be a valid string, not 5, or must be an obj"),
        ({"count": 0}, "count: input should be greater than or equal to 1, not 0"),
    ],
)
def test_wrong_words_are_named(request_: dict[str, Any], problem: str) -> None:
    """The place is one of the request, whatever forms its value can have."""
    with pytest.raises(RequestError) as caught:
        check_request({"prompt": "a cat", **request_}, "video")
    assert any(one.startswith(problem) for one in caught.value.problems), caught.value.problems


def test_a_number_of_outputs_is_one_of_images_unless_the_request_is_for_clips() -> None:
    """`count` alone means images, as before it was a word for clips too."""
    assert check_request({"prompt": "a", "count": 2}).kind == "image"
    assert check_request({"prompt": "a", "count": 2, "duration": 5}).kind == "video"
    assert check_request({"prompt": "a", "count": 2, "model": "kling-v3"}).kind == "video"


def read_entries_problems(data: Any) -> list[str]:
    """What is wrong with a price file."""
    try:
        read_prices(data, "prices", all_providers())
    except RequestError as error:
        return list(error.problems)
    return []


def test_a_price_can_be_for_any_length() -> None:
    """Of the two forms of a length, a condition of a price file can have either."""
    for value, fits in ((5, True), ("auto", True), ("soon", False), (True, False)):
        when = {"duration": value}
        entry = {
            "vendor": next(iter(all_providers())),
            "usd_per_second": "1",
            "as_of": "2026-11-01",
            "when": when,
        }
        problems = [*read_entries_problems({"price": [entry]})]
        assert (not any("duration" in one for one in problems)) == fits, (value, problems)


def test_inputs_decide_the_workflow() -> None:
    """Several clips to follow are references; one to continue is a workflow of its own."""
    assert workflow_of({"extend_video": LINK}, "video") == "extend-video"
    assert workflow_of({"reference_videos": [LINK]}, "video") == "reference-to-video"
    assert workflow_of({"reference_audio": [LINK]}, "video") == "text-to-video"


def test_marks_cite_every_kind_of_input() -> None:
    """Clips are counted whatever field they stand in, and sounds are counted too."""
    request = {"reference_videos": [LINK, LINK], "extend_video": LINK, "reference_audio": [LINK]}
    assert cited_inputs(request) == {"image": 0, "element": 0, "video": 3, "audio": 1}


def test_the_sizes_are_those_of_the_spec() -> None:
    """From the smallest to the largest, so that `nearest` can go down."""
    assert list(SIZES) == SHARED.schema("VideoRequest")["properties"]["resolution"]["enum"]


def test_media_in_described_elements_are_looked_at(tmp_path: Path) -> None:
    """Each file that an element names is found with its place."""
    element = {"front_image": "a.png", "images": ["b.png", "c.png"], "video": "d.mp4", "voice": "v"}
    found = [*media.inputs({"elements": ["7", element], "first_frame": "e.png"})]
    assert found == [
        ("first_frame", "/first_frame", "e.png", "image"),
        ("elements", "/elements/1/front_image", "a.png", "image"),
        ("elements", "/elements/1/images/0", "b.png", "image"),
        ("elements", "/elements/1/images/1", "c.png", "image"),
        ("elements", "/elements/1/video", "d.mp4", "video"),
    ]
    described = set(SHARED.schema("Element")["properties"])
    assert described - {"voice"} == set(media.ELEMENT)


@pytest.mark.parametrize(
    ("head", "kind", "expected"),
    [
        (b"ID3\x04" + bytes(12), "audio", "audio/mpeg"),
        (b"\xff\xfb\x90\x00" + bytes(12), "audio", "audio/mpeg"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio", "audio/wav"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "audio", None),
        (b"ID3\x04" + bytes(12), "video", None),
    ],
)
def test_sounds_are_known_by_their_first_bytes(head: bytes, kind: Any, expected: str) -> None:
    """MP3 and WAV, and nothing of another kind."""
    assert media.content_type(head, kind) == expected


def test_a_random_seed_is_no_seed() -> None:
    """The number that stands for a random seed is read as unset, and never sent as a seed."""
    assert Seed().decode(5, {}) == Seed().encode(5, {}) == 5
    with pytest.raises(MeaninglessError):
        Seed().decode(-1, {})
    with pytest.raises(CannotExpressError):
        Seed().encode(-1, {})


def test_ids_and_descriptions_are_distinguished() -> None:
    """A vendor that takes ids is never sent a description."""
    with pytest.raises(CannotExpressError) as caught:
        OwnIds("element_id").encode(["7", {"front_image": LINK}], {})
    assert caught.value.without == [{"element_id": "7"}]
    assert caught.value.leaves == ("/1",)


@pytest.mark.parametrize(
    "value", ["cat.png", "clips/CAT.JPEG", "boat.webm", LINK, "s3://bucket/cat", "data:image/png;x"]
)
def test_a_file_or_a_link_is_no_id_of_a_subject(value: str) -> None:
    """Neither is written, nor taken for one in a body; what is left is said, item by item."""
    with pytest.raises(CannotExpressError, match="not an id: make a subject of it first"):
        OwnId().encode(value, {})
    with pytest.raises(CannotExpressError) as caught:
        OwnIds("element_id").encode(["7", value, {"front_image": LINK}], {})
    assert caught.value.without == [{"element_id": "7"}]
    assert [one.leaves for one in (caught.value, *caught.value.others)] == [("/1",), ("/2",)]
    with pytest.raises(ValueError, match="not an id"):
        OwnId().decode(value, {})
    with pytest.raises(ValueError, match="not an id"):
        OwnIds("element_id").decode([{"element_id": value}], {})


@pytest.mark.parametrize("value", ["7", "u_8a.1", "el-boat.v2", "team/boat", "subject:12"])
def test_any_other_text_may_be_an_id(value: str) -> None:
    """How a vendor writes its ids is not known."""
    assert OwnId().encode(value, {}) == OwnId().decode(value, {}) == value
