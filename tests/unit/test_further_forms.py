"""Less usual forms: one word for size and shape, marked items, a text for a list, an id alone."""

from typing import Any

import pytest
from polyreel import plan, translate
from polyreel.mapping.codecs import CannotExpressError, Choice, Default, Items
from polyreel.mapping.groups import Group, Names
from polyreel.mapping.items import Item, TypedItems
from polyreel.mapping.reports import Fate, MappingReport
from polyreel.mapping.shots import ShotList
from polyreel.places import JsonObject
from polyreel.providers.base.answers import fraction
from polyreel.providers.base.contract import Contract
from polyreel.providers.base.facts import Reads
from polyreel.providers.base.registry import all_providers
from polyreel.providers.base.specified import SpecifiedProvider
from polyreel_generated.contracts.vendors import VendorId

PIXELS = Names(
    "ratio",
    ("resolution", "aspect_ratio"),
    {
        ("720p", "16:9"): "1280:720",
        ("720p", "1:1"): "960:960",
        ("1080p", "16:9"): "1920:1080",
    },
)
BESIDE = {
    "resolution": Default("720p", "one word says both", when="aspect_ratio"),
    "aspect_ratio": Default("16:9", "one word says both", when="resolution"),
}


def group(defaults: dict[str, Default]) -> Group:
    return Group(PIXELS.shared, (PIXELS.place,), PIXELS, defaults=defaults)


def written(shared: JsonObject, defaults: dict[str, Default], **allow: Any) -> tuple[Any, Any]:
    body: JsonObject = {}
    report = MappingReport()
    group(defaults).write(shared, body, allow, report)
    return body.get("ratio"), report


def test_half_of_a_word_takes_the_other_half_with_it() -> None:
    """What the caller leaves out is chosen, and said; where both are left out, so is the word."""
    for shared, word, chosen in (
        ({"aspect_ratio": "1:1"}, "960:960", "resolution"),
        ({"resolution": "1080p"}, "1920:1080", "aspect_ratio"),
    ):
        native, report = written(shared, BESIDE)
        assert native == word
        fates = {entry.field: entry.fate for entry in report.entries}
        assert fates == {**dict.fromkeys(shared, Fate.CONVERTED), chosen: Fate.DEFAULTED}
    assert written({}, BESIDE)[0] is None
    native, report = written({"resolution": "1080p", "aspect_ratio": "16:9"}, BESIDE)
    assert (native, len(report.entries)) == ("1920:1080", 2)


def test_half_of_a_word_is_refused_where_nothing_completes_it() -> None:
    """By the name of the other half, with what that can be."""
    _, report = written({"resolution": "720p"}, {})
    (problem,) = report.problems
    assert problem.field == "resolution"
    assert problem.reason.startswith("aspect_ratio is needed beside it")
    assert problem.limit == "aspect_ratio 16:9 or 1:1"
    native, report = written({"resolution": "720p"}, {}, resolution="drop")
    assert (native, report.problems) == (None, [])


def test_what_is_offered_apart_may_not_be_offered_together() -> None:
    """Both fields are named, and dropping one of them helps."""
    square = {"resolution": "1080p", "aspect_ratio": "1:1"}
    _, report = written(square, BESIDE)
    assert {problem.field for problem in report.problems} == set(square)
    assert {problem.reason for problem in report.problems} == {"1080p with 1:1 is not offered"}
    both = {"resolution": "drop", "aspect_ratio": "drop"}
    assert written(square, BESIDE, **both)[1].problems == []
    _, report = written({"resolution": "4k", "aspect_ratio": "2:3"}, BESIDE)
    assert {problem.field for problem in report.problems} == set(square)


def test_a_word_can_have_other_spellings() -> None:
    """They are read, and never written."""
    codec = Choice({"768p": "768p", "2k": "2k"}, spellings={"768P": "768p", "2K": "2k"})
    assert [codec.decode(one, {}) for one in ("768p", "768P", "2K")] == ["768p", "768p", "2k"]
    assert codec.encode("2k", {}) == "2k"


def test_objects_of_one_member_can_have_marks() -> None:
    """All of them have the same; one with another mark is something else."""
    codec = Items("uri", {"type": "video"})
    native = [{"type": "video", "uri": "https://example.com/a.mp4"}]
    assert codec.encode(["https://example.com/a.mp4"], {}) == native
    assert codec.decode(native, {}) == ["https://example.com/a.mp4"]
    for wrong in ({"type": "audio", "uri": "x"}, {"uri": "x"}):
        with pytest.raises(ValueError, match="is not one with"):
            codec.decode([wrong], {})


def test_shots_can_have_numbers_and_need_them() -> None:
    """Whole seconds, in both directions."""
    codec = ShotList("intelligence", None, ("shots", "kind"), numbers=True)
    shots = [{"prompt": "a", "duration": 3}, {"prompt": "b", "duration": 4}]
    natives = codec.encode({"shots": shots, "shot_mode": "custom"})
    assert natives == {"shots": shots, "kind": "customize"}
    assert codec.decode(natives) == {"shots": shots, "shot_mode": "custom"}
    with pytest.raises(CannotExpressError, match="needs a duration"):
        codec.encode({"shots": [{"prompt": "a"}]})
    for duration in ({}, {"duration": None}, {"duration": True}, {"duration": 2.5}):
        with pytest.raises(ValueError, match="has no duration"):
            codec.decode({"shots": [{"prompt": "a", **duration}]})


def test_a_text_can_stand_for_a_list_of_one() -> None:
    """It is read as the one field that it means; what is written is the list."""
    frames = TypedItems(
        "image",
        tuple(Item(f"{one}_frame", {"at": one}, "uri") for one in ("first", "last")),
        alone="first_frame",
    )
    for native in (
        "https://example.com/1.png",
        [{"at": "first", "uri": "https://example.com/1.png"}],
    ):
        shared: JsonObject = {}
        report = MappingReport()
        frames.read({"image": native}, shared, report)
        assert (shared, report.problems) == ({"first_frame": "https://example.com/1.png"}, [])
        assert not frames.lacks({"image": native}, ("first_frame", "last_frame"))
        body: JsonObject = {}
        frames.write(shared, body, {}, MappingReport())
        assert body["image"] == [{"at": "first", "uri": "https://example.com/1.png"}]
    assert frames.lacks({"image": "x"}, ("last_frame",))


def test_progress_is_counted_to_its_end() -> None:
    """By most vendors in percent, by some from 0 to 1."""
    assert (fraction(50), fraction(0.5, 1), fraction(1, 1)) == (0.5, 0.5, 1.0)
    assert Reads(id=("id",), status=("status",), outputs=("output",)).progress_end == 100


def test_an_id_alone_is_a_job_that_waits() -> None:
    """A word that nobody knows, or something that is no word, is not."""
    reads = Reads(id=("id",), status=("state",), outputs=("output",))
    provider = type("Vendor", (SpecifiedProvider,), {"reads": reads, "statuses": {}, "id": "v"})()
    provider.document = Contract({"servers": [{"url": "https://v.example"}], "paths": {}})
    for raw, status in (
        ({}, "queued"),
        ({"state": None}, "queued"),
        ({"state": "odd"}, "unknown"),
        ({"state": 7}, "unknown"),
        ({"output": "https://example.com/a.mp4"}, "unknown"),
    ):
        facts = provider.facts({"id": "1", **raw})
        assert (facts.status, facts.of_submit(reads).status) == ("unknown", status), raw


@pytest.mark.parametrize("vendor", list(all_providers()))
def test_a_link_of_a_vendors_own_is_for_that_vendor(vendor: VendorId) -> None:
    """It goes where it was made, and is refused anywhere else."""
    for owner, provider in all_providers().items():
        for start in provider.own_links:
            request = {"prompt": "x", "first_frame": f"{start}abc123", "model": "kling-o3"}
            made = plan(request, vendor)
            if vendor == owner:
                assert not made.refused
                assert f"{start}abc123" in made.content.decode()
                again = translate(made.body, provider, provider)
                assert again.plan is not None
                assert again.plan.body == made.body
            else:
                assert made.refused
    assert any(provider.own_links for provider in all_providers().values())
