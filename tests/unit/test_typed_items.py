"""Objects in native lists: what is allowed of their values, and nothing in them that is lost."""

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import frozen
from polyreel import translate
from polyreel.mapping.codecs import CannotExpressError, Choice, Prompt, cited_inputs
from polyreel.mapping.items import Item, TypedItems
from polyreel.mapping.marks import AT
from polyreel.mapping.reports import Allowance, Fate, MappingReport
from polyreel.places import JsonObject, put
from polyreel.providers.base.registry import all_providers
from support.loops import in_one_test


@frozen
class Halves:
    """A codec that can write a part of a value."""

    def encode(self, value: Any, shared: Mapping[str, Any]) -> Any:
        raise CannotExpressError("only a half", without="half", leaves=("/other",))

    def decode(self, value: Any, shared: Mapping[str, Any]) -> Any:
        return value


SIZES = Choice({"720p": "HD", "1080p": "FHD"})
LIST = TypedItems(
    "contents",
    (
        Item("resolution", {"type": "size"}, "value", SIZES),
        Item("character_image", {"type": "who"}, "url", Halves()),
        Item("reference_images", {"type": "image"}, "image.url", name="image_{}"),
        Item("prompt", {"type": "prompt"}, "text", Prompt(AT, cited_inputs, frames=len)),
    ),
)


def written(
    shared: JsonObject, allow: Mapping[str, Allowance] | None = None
) -> tuple[list[JsonObject], MappingReport]:
    body: JsonObject = {}
    report = MappingReport()
    LIST.write(shared, body, allow or {}, report)
    return body.get("contents", []), report


def read(*contents: Any) -> tuple[JsonObject, MappingReport]:
    shared: JsonObject = {}
    report = MappingReport()
    LIST.read({"contents": [*contents]}, shared, report)
    return shared, report


def test_a_value_is_brought_to_the_nearest_one_where_that_is_allowed() -> None:
    """As in any other row."""
    made, report = written({"resolution": "4k"}, {"resolution": "nearest"})
    assert made == [{"type": "size", "value": "FHD"}]
    (entry,) = report.entries
    assert (entry.fate, entry.target) == (Fate.APPROXIMATED, "/contents/0/value")
    assert not report.problems
    made, report = written({"resolution": "4k"})
    assert [one.limit for one in report.problems] == ["one of 720p, 1080p"]
    assert made == []


def test_a_part_of_a_value_is_dropped_where_that_is_allowed() -> None:
    """The rest is sent, and each part has its verdict."""
    made, report = written({"character_image": {"other": 1}}, {"character_image": "drop"})
    assert made == [{"type": "who", "url": "half"}]
    assert [(one.source, one.fate) for one in report.entries] == [
        ("/character_image", Fate.CONVERTED),
        ("/character_image/other", Fate.DROPPED),
    ]
    made, report = written({"character_image": {"other": 1}})
    assert [one.source for one in report.problems] == ["/character_image/other"]
    assert made == [{"type": "who", "url": "half"}]  # the check finds no second problem


def test_what_a_prompt_numbers_otherwise_is_told() -> None:
    """In both directions, as for a prompt in a field of its own."""
    (row,) = (one for one in LIST.items if one.shared == "prompt")
    assert isinstance(row.codec, Prompt)
    codec = Prompt(AT, cited_inputs, frames=lambda _: 1, numbering="counted otherwise")
    list_ = TypedItems("contents", (*LIST.items[:3], Item("prompt", row.marks, "text", codec)))
    report, body = MappingReport(), JsonObject()
    list_.write({"reference_images": ["a"], "prompt": "@Image1"}, body, {}, report)
    assert [one.reason for one in report.entries if one.warning] == ["counted otherwise"]
    report = MappingReport()
    list_.read(body, {}, report)
    assert [one.reason for one in report.entries if one.warning] == ["counted otherwise"]


@pytest.mark.parametrize(
    "more",
    [{"strength": 0.5}, {"image": {"url": "a", "crop": True}}, {"roles": ["x"]}, {"to": {"a": 0}}],
)
def test_a_member_that_nobody_knows_is_a_problem(more: JsonObject) -> None:
    """It would be lost otherwise."""
    shared, report = read({"type": "image", "image": {"url": "a"}, **more})
    assert "no" in report.problems[0].reason
    assert report.entries == []
    assert shared == {}


@pytest.mark.parametrize("more", [{"strength": None}, {"tags": []}, {"note": ""}, {"id": "other"}])
def test_a_member_that_says_nothing_is_none(more: JsonObject) -> None:
    """Nor is a name that nothing cites."""
    shared, report = read({"type": "image", "image": {"url": "a"}, **more})
    assert shared == {"reference_images": ["a"]}
    assert not report.problems


LISTS = [
    (provider, route, place)
    for provider in all_providers().values()
    for route in provider.readable_routes
    for row in route.rows
    for place in row.places
    if "properties"
    in provider.contract.resolve(
        (provider.contract.property(route.schema, place) or {}).get("items", {})
    )
]


@in_one_test(lambda: ((f"{one[0].id} {one[1].schema} {one[2]}", one) for one in LISTS))
def test_no_list_of_objects_of_any_vendor_loses_a_member(
    provider: Any, route: Any, place: str
) -> None:
    """What a stored body has in an item is read, or it is said that it cannot be."""
    schema = provider.contract.property(route.schema, place)
    members = provider.contract.resolve(schema["items"])["properties"]
    usual = {"index": 1, "duration": "5", "prompt": "a"}
    item = {
        name: usual.get(name) or one.get("enum", ["https://example.com/1.png"])[0]
        for name, one in members.items()
    }
    body: JsonObject = {"prompt": "a cat"}
    for row in route.constants:
        put(body, row.native, row.value)
    if place.endswith("multi_prompt"):
        put(body, place.replace("multi_prompt", "multi_shot"), True)
        put(body, place.replace("multi_prompt", "shot_type"), "customize")
    put(body, place, [{**item, "riddle": 7}])
    report, shared = MappingReport(), JsonObject()
    for row in route.rows:
        row.read(body, shared, report)
    assert any("riddle" in one.reason for one in report.problems), (shared, report)


def test_a_member_that_nobody_knows_refuses_a_translation() -> None:
    """With its name."""
    for provider, route, place in LISTS:
        if place.endswith("element_list") and route.workflow == "text-to-video":
            body: JsonObject = {"prompt": "a cat"}
            for row in route.constants:
                put(body, row.native, row.value)
            put(body, place, [{"element_id": "7", "weight": 0.3}])
            done = translate(body, provider, provider)
            assert done.refused
            assert any("weight" in one.message for one in done.violations)
