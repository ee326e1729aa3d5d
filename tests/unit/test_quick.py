"""The quick check of requests accepts nothing that the model refuses, and reads it alike."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from polyreel.errors import RequestError
from polyreel.mapping.workflows import REQUESTS
from polyreel.places import JsonObject
from polyreel.plans.quick import read_quickly
from polyreel.plans.requests import _read_by_model
from polyreel.providers.base.contract import Contract

SHARED = Contract.load("polyreel")
FIELDS: dict[str, JsonObject] = {
    kind: SHARED.schema(schema)["properties"] for kind, schema in REQUESTS.items()
}
NAMES = sorted({name for fields in FIELDS.values() for name in fields})
BLANKS = "\x1c\x85\xa0\u1680\u180e\u2028\u3000\ufeff "
"""Characters that some libraries take for blanks, and others do not."""
TEXTS = (
    st.text(max_size=4)
    | st.text(BLANKS, max_size=3)
    | st.sampled_from(
        ["16:9", "16:9\n", "16:\u0669", "0:1", "720p", "1K", "4k", "custom", "x" * 201]
    )
)
PLAIN = TEXTS | st.booleans() | st.integers(-2, 3) | st.floats() | st.sampled_from([2**64, 10**400])
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["prompt", "duration", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
ODD = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), VALUES, max_size=4)


def right(node: JsonObject) -> st.SearchStrategy[Any]:
    """Values that a schema of the shared spec accepts."""
    schema = SHARED.resolve(node)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([right(option) for option in schema["anyOf"]])
    if schema["type"] == "array":
        return st.lists(right(schema["items"]), min_size=1, max_size=3)
    if schema["type"] == "object":
        members = {name: right(member) for name, member in schema.get("properties", {}).items()}
        needed = {name: members.pop(name) for name in schema.get("required", ())}
        return st.fixed_dictionaries(needed, optional=members)
    texts = ["16:9", "1:2"] if "[1-9]" in schema.get("pattern", "") else ["a cat", "16:9", "ü"]
    return {
        "string": st.sampled_from(texts),
        "integer": st.integers(1, 9),
        "number": st.floats(0, 1) | st.integers(0, 1),
        "boolean": st.booleans(),
    }[schema["type"]]


@st.composite
def requests(draw: st.DrawFn, kind: str) -> JsonObject:
    """A request that is right, in any order of its fields, or with some odd values."""
    names = draw(st.lists(st.sampled_from(sorted(FIELDS[kind])), unique=True, max_size=5))
    found = {name: draw(right(FIELDS[kind][name])) for name in names}
    return {**found, **draw(ODD)} if draw(st.booleans()) else found


def agree(request: JsonObject, kind: Any) -> None:
    """What the quick check reads is what the model reads, in the same order, and a copy."""
    quick = read_quickly(request, kind)
    if quick is not None:
        model = _read_by_model(request, kind, [])
        assert repr(quick) == repr(model)
        for name, value in quick.items():
            assert not isinstance(value, list | dict) or value is not request[name]


@given(requests("video"))
@example({"prompt": "\x85"})
@example({"prompt": "\ufeff"})
@example({"guidance_scale": 1})
@example({"duration": 5.0})
@example({"shots": [{"duration": 2, "prompt": "a"}]})
@example({"prompt": "a", "extra": {"x": {"b": [{"z": 1, "a": 2.0}], "a": 1}}})
def test_videos_are_read_alike(request: JsonObject) -> None:
    """Whatever the quick check accepts, the model accepts, with the same result."""
    agree(request, "video")


@given(requests("image"))
@example({"count": 1.0})
def test_images_are_read_alike(request: JsonObject) -> None:
    """The same of images."""
    agree(request, "image")


@pytest.mark.parametrize("kind", REQUESTS)
@given(st.data())
def test_right_requests_are_read_quickly(kind: Any, data: st.DataObject) -> None:
    """The model is not needed for any field but fractions."""
    name = data.draw(st.sampled_from(sorted({*FIELDS[kind]} - {"guidance_scale"})))
    request = {name: data.draw(right(FIELDS[kind][name]))}
    assert read_quickly(request, kind) == request


def test_the_model_says_what_is_wrong() -> None:
    """A request that the quick check does not accept gets the model's message."""
    assert read_quickly({"duration": "5"}, "video") is None
    with pytest.raises(RequestError, match="duration: input should be a valid integer, not '5'"):
        _read_by_model({"duration": "5"}, "video", [])
