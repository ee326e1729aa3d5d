"""Mistakes in the models of requests, their descriptions, and copies of them."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polyreel
import pytest
from polyreel import Element, ElementRequest, ImageRequest, Job, Shot, VideoRequest
from polyreel.errors import RequestError
from polyreel.providers.base.contract import Contract
from pydantic import TypeAdapter, ValidationError
from support.loops import in_one

MODELS: list[Any] = [VideoRequest, ImageRequest, ElementRequest, Element, Shot]
SHARED = Contract.load("polyreel")


class Closed(io.BytesIO):
    """An open file that cannot be read."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError("gone")


class Image:
    """What looks like a picture, and cannot be drawn."""

    mode = "RGB"

    def save(self, file: Any, form: str) -> None:
        raise OSError("no pixels")


MISTAKES: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (VideoRequest, {"durration": 5}, "durration: no such field; did you mean duration?"),
    (VideoRequest, {"cls": 5}, "cls: no such field"),
    (VideoRequest, {"self": 5}, "self: no such field"),
    (VideoRequest, {"duration": "5"}, "duration: input should be a valid integer, not '5'"),
    (VideoRequest, {"duration": 5.0}, "duration: "),
    (VideoRequest, {"duration": 0}, "duration: "),
    (VideoRequest, {"duration": True}, "duration: "),
    (VideoRequest, {"duration": "automatic"}, "duration: "),
    (VideoRequest, {"resolution": "1080P"}, "did you mean 1080p?"),
    (VideoRequest, {"aspect_ratio": "9x16"}, "aspect_ratio: must be width:height"),
    (VideoRequest, {"prompt": ""}, "prompt: "),
    (VideoRequest, {"prompt": 5}, "prompt: "),
    (VideoRequest, {"prompt": b"a cat"}, "prompt: "),
    (VideoRequest, {"prompt": Path("a cat")}, "prompt: "),
    (VideoRequest, {"prompt": "\ud800"}, "prompt: "),
    (VideoRequest, {"callback_url": Path("a")}, "callback_url: "),
    (VideoRequest, {"audio": "on"}, "audio: "),
    (VideoRequest, {"guidance_scale": float("nan")}, "guidance_scale: "),
    (VideoRequest, {"first_frame": 5}, "first_frame: "),
    (VideoRequest, {"first_frame": ""}, "first_frame: "),
    (VideoRequest, {"first_frame": Closed()}, "first_frame: the open file cannot be read: gone"),
    (VideoRequest, {"first_frame": io.StringIO("a")}, "first_frame: the file is open as text"),
    (VideoRequest, {"last_frame": Image()}, "last_frame: the image cannot be written as PNG"),
    (VideoRequest, {"reference_images": "a.png"}, "reference_images: "),
    (VideoRequest, {"reference_images": []}, "reference_images: must not be empty"),
    (VideoRequest, {"reference_images": [Closed()]}, "reference_images.0: the open file"),
    (VideoRequest, {"reference_images": ("a.png", 5)}, "reference_images.1: "),
    (VideoRequest, {"shots": ["a cat"]}, "shots.0: must be an object"),
    (
        VideoRequest,
        {"shots": ({"prompt": "a", "promt": "a"},)},
        "shots.0.promt: no such field; did",
    ),
    (VideoRequest, {"shots": [Element(voice="a")]}, "shots.0: must be an object"),
    (VideoRequest, {"elements": [{"front_imagee": "a"}]}, "did you mean front_image?"),
    (VideoRequest, {"extra": {"a": 1}}, "extra.a: "),
    (ElementRequest, {"name": " "}, "name: must not be blank"),
    (ElementRequest, {"video": Closed()}, "video: the open file cannot be read: gone"),
    (ElementRequest, {"images": [5]}, "images.0: "),
    (ElementRequest, {"duration": 5}, "duration: no such field in a request for a subject"),
    (ImageRequest, {"count": 0}, "count: "),
    (ImageRequest, {"duration": 5}, "duration: no such field in a request for images"),
    (Element, {"imagess": ["a"]}, "imagess: no such field; did you mean images?"),
    (Element, {"front_image": Closed()}, "front_image: the open file cannot be read"),
    (Shot, {}, "prompt: is needed"),
    (Shot, {"prompt": "a", "durration": 5}, "durration: no such field; did you mean duration?"),
    (Shot, {"prompt": " "}, "prompt: must not be blank"),
]


@in_one
@pytest.mark.parametrize(("model", "fields", "needle"), MISTAKES)
def test_a_mistake_is_a_request_error(
    model: Callable[..., Any], fields: dict[str, Any], needle: str
) -> None:
    """It names the field; it is one line, says nothing of pydantic, and can be pickled."""
    with pytest.raises(RequestError) as caught:
        model(**fields)
    assert needle in str(caught.value)
    assert len(caught.value.problems) == 1
    assert not any(word in str(caught.value) for word in ("pydantic", "validation", "Value error"))
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.problems == caught.value.problems


def test_all_mistakes_are_told_at_once() -> None:
    wrong: dict[str, Any] = {"durration": 5, "resolution": "8k", "prompt": 1}
    with pytest.raises(RequestError) as caught:
        VideoRequest(**wrong)
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("given", ["a cat", {"prompt": "a cat"}, None])
def test_a_request_is_made_of_keywords(model: Any, given: object) -> None:
    with pytest.raises(RequestError, match="keywords"):
        model(given)


def test_frameworks_get_the_error_that_they_know() -> None:
    """Which has the place of every mistake, for their own answers."""
    for check in (VideoRequest.model_validate, TypeAdapter(VideoRequest).validate_python):
        with pytest.raises(ValidationError) as caught:
            check({"shots": [{"prompt": ""}]})
        assert caught.value.errors()[0]["loc"] == ("shots", 0, "prompt")


REQUEST = VideoRequest(
    prompt="@Element1 sits",
    first_frame=Path("a.png"),
    last_frame=b"\x89PNG\r\n\x1a\n",
    elements=["id-1", Element(front_image="b.png"), {"voice": "v"}],
    shots=[Shot(prompt="it sits", duration=2), {"prompt": "it goes"}],
    extra={"acme": {"x": [1]}},
)


@pytest.mark.parametrize(
    "made",
    [
        pickle.loads(pickle.dumps(REQUEST)),
        copy.copy(REQUEST),
        copy.deepcopy(REQUEST),
        REQUEST.model_copy(),
        REQUEST.model_copy(update={}),
        REQUEST.model_copy(update={"prompt": REQUEST.prompt}),
        VideoRequest.model_validate_json(REQUEST.model_dump_json(exclude_unset=True)),
        VideoRequest(**REQUEST.model_dump(exclude_unset=True)),
    ],
)
def test_copies_are_the_same_request(made: VideoRequest) -> None:
    assert made == REQUEST
    assert made.model_fields_set == REQUEST.model_fields_set
    assert made.first_frame == "a.png"
    assert [type(one) for one in made.elements or ()] == [str, Element, Element]


def test_a_copy_with_other_values_is_checked() -> None:
    """Nothing is lost in silence: an unknown field is refused, and media become texts."""
    made = REQUEST.model_copy(update={"duration": 5, "first_frame": Path("c.png")})
    assert (made.duration, made.first_frame, made.prompt) == (5, "c.png", REQUEST.prompt)
    assert REQUEST.duration is None
    for update in ({"durration": 5}, {"duration": "5"}):
        with pytest.raises(RequestError, match=next(iter(update))):
            REQUEST.model_copy(update=update)
    with pytest.raises(RequestError, match="prompt"):
        Shot(prompt="a cat").model_copy(update={"prompt": ""})


def test_what_a_caller_sees_of_the_constructor() -> None:
    """The signature has the fields."""
    for model in MODELS:
        assert [*inspect.signature(model).parameters] == [*model.model_fields]


def test_every_field_is_described_as_in_the_spec() -> None:
    """In the fields, in the JSON schemas of all models, and in those of their parts."""
    for model in (*MODELS, Job):
        described = {
            name: field["description"].strip()
            for name, field in SHARED.schema(model.__name__)["properties"].items()
        }
        fields = {name: field.description for name, field in model.model_fields.items()}
        assert fields == described
        schema = model.model_json_schema()
        shown = {name: field["description"] for name, field in schema["properties"].items()}
        assert shown == described
        for part in schema.get("$defs", {}).values():
            for name, field in part.get("properties", {}).items():
                assert field["description"], (part["title"], name)
    assert "first_frame" in polyreel.VideoRequest.model_json_schema()["properties"]
