"""A request in keywords: a text is its prompt. What is typed agrees with the spec."""

from __future__ import annotations

import asyncio
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import polyreel
import pytest
from polyreel.client.fields import OPTIONS, RequestFields
from polyreel.errors import RequestError
from polyreel.mapping.media import FIELDS as MEDIA
from polyreel.providers.base.registry import get_provider
from support.cli import FIRST
from support.vendors import vendor_id

MODELS = (polyreel.VideoRequest, polyreel.ImageRequest)
WIDER = {*MEDIA, "elements", "shots", "extra"}
"""Fields that take more than their model does: what becomes text, and mappings."""


def kinds(annotation: Any) -> set[Any]:
    """The types that an annotation is made of, without None and strictness; literals as values."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return kinds(get_args(annotation)[0])
    if origin is Literal:
        return {*get_args(annotation)}
    if origin in {Union, types.UnionType}:
        return {kind for one in get_args(annotation) for kind in kinds(one)}
    if value := getattr(annotation, "__value__", None):
        return kinds(value)
    return set() if annotation is types.NoneType else {annotation}


def test_the_keywords_are_the_fields() -> None:
    """Each field is a keyword of the type that its model has, and no keyword is another."""
    names = {name for model in MODELS for name in model.model_fields}
    hints = get_type_hints(
        RequestFields, localns={"Element": polyreel.Element, "Shot": polyreel.Shot}
    )
    assert {*hints} == names - {"prompt"}
    assert not {*hints} & {*OPTIONS}
    for name in names - WIDER - {"prompt"}:
        fields = [model.model_fields[name] for model in MODELS if name in model.model_fields]
        assert kinds(hints[name]) == set().union(*(kinds(one.annotation) for one in fields)), name


def test_a_text_is_a_prompt(tmp_path: Path) -> None:
    """In plan, plans, submit and generate, of both clients, with the same bytes as a request."""
    request = polyreel.VideoRequest(prompt="a cat", duration=5, aspect_ratio="9:16")
    with polyreel.Client() as client:
        expected = client.plan(request, get_provider(FIRST)).content
        made = client.plan("a cat", get_provider(FIRST), duration=5, aspect_ratio="9:16")
        assert made.content == expected
        (only,) = client.plans("a cat", [vendor_id(FIRST)], duration=5, aspect_ratio="9:16")
        assert only.content == expected
        job = client.submit("a cat", get_provider(FIRST), duration=5, aspect_ratio="9:16")
        assert client.wait(job).status == "succeeded"
        done = client.generate(
            "a cat",
            get_provider(FIRST),
            duration=3,
            output=tmp_path,
            preferences={"resolution": "720p"},
        )
        assert done.outputs
        assert client.simulator is not None
        assert client.simulator.bill.count() == 2

    async def awaited() -> None:
        async with polyreel.AsyncClient() as client:
            job = await client.submit("a cat", get_provider(FIRST), duration=5)
            assert (await client.wait(job)).status == "succeeded"
            done = await client.generate("a cat", get_provider(FIRST), duration=3, output=tmp_path)
            assert done.outputs

    asyncio.run(awaited())


@pytest.mark.parametrize(
    ("given", "fields", "needle"),
    [
        ("a cat", {"durration": 5}, "durration: no such field or option; did you mean duration?"),
        ("a cat", {"outptu": "clips"}, "did you mean output?"),
        ("a cat", {"prompt": "a dog"}, "prompt: "),
        ("a cat", {"duration": "5"}, "duration: "),
        ("a cat", {"duration": None}, "duration: null is no value"),
        ("a cat", {"resolution": "1080P"}, "did you mean 1080p?"),
        ("", {}, "prompt: "),
        (
            "a cat",
            {"allow": {"durration": "drop"}},
            "durration: no such field; did you",
        ),
        (
            "a cat",
            {"allow": {"fps": "nearst"}},
            "nearest, send; did you mean nearest?",
        ),
        (
            "a cat",
            {"allow": "fps=drop"},
            "allow: a mapping, such as",
        ),
        ({"prompt": "a cat"}, {"duration": 5}, "duration: "),
        (polyreel.VideoRequest(prompt="a cat"), {"duration": 5}, "duration: "),
    ],
)
def test_what_cannot_be_meant(given: Any, fields: dict[str, Any], needle: str) -> None:
    """It is a RequestError that says what is near, and nothing is billed."""
    with polyreel.Client() as client:
        calls: list[Any] = [client.plan, client.plans, client.generate]
        for call in calls:
            with pytest.raises(RequestError) as caught:
                call(given, **fields)
            assert needle in str(caught.value)
        assert client.simulator is not None
        assert client.simulator.bill.count() == 0


def test_fields_beside_a_plan_are_refused() -> None:
    """The plan has its bytes already: to leave the field out in silence would be a surprise."""
    with polyreel.Client() as client:
        made = client.plan("a cat", get_provider(FIRST))
        options: dict[str, Any] = {"duration": 5}
        with pytest.raises(RequestError, match="duration"):
            client.submit(made, **options)
        with pytest.raises(RequestError, match="duration"):
            client.generate([made], **options)
        assert client.simulator is not None
        assert client.simulator.bill.count() == 0
