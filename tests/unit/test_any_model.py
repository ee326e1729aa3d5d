"""Families that take any model by its id: requests name it in extra, and bodies are read."""

from __future__ import annotations

from typing import Final

import pytest
from polyreel.mapping.codecs import Choice
from polyreel.mapping.rows import Field
from polyreel.mapping.sizes import FrameSize
from polyreel.places import JsonObject
from polyreel.plans.choosing import plan
from polyreel.plans.reading import read
from polyreel.plans.translation import translate
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from polyreel.providers.base.routes import Route
from polyreel.testing.bodies import examples_of
from polyreel.testing.laws import demanded

OPEN: Final = [
    (provider, route)
    for provider in all_providers().values()
    for route in provider.routes
    if demanded(provider, route)
]
every_open = pytest.mark.parametrize(
    ("provider", "route"), OPEN, ids=[f"{one.id}-{route.workflow}" for one, route in OPEN]
)


@every_open
def test_a_body_of_any_model_is_read(provider: Provider, route: Route) -> None:
    """Without a word about its family, and written again as it was; the id is kept in extra."""
    bodies = [one for one in examples_of(provider, route) if read(one, provider).route is route]
    assert bodies
    for body in bodies:
        found = read(body, provider)
        assert found.request["extra"][provider.id].items() >= demanded(provider, route).items()
        done = translate(body, provider, provider)
        assert (done.refused, list(done.losses)) == (False, [])
        assert done.plan
        assert done.plan.body == body


@every_open
def test_its_id_is_lost_on_the_way_to_others(provider: Provider, route: Route) -> None:
    """That is said, and the target's family has to be named."""
    body = next(one for one in examples_of(provider, route) if read(one, provider).route is route)
    other, family = next(
        (one, sold.model)
        for one in all_providers().values()
        for sold in one.routes
        if one is not provider and sold.workflow == route.workflow
    )
    assert translate(body, provider, other).refused
    done = translate(body, provider, other, target_model=family, allow={"extra": "drop"})
    for place in demanded(provider, route):
        (verdict,) = [one for one in done.verdicts if one.source == f"/{place}"]
        assert verdict.verdict in {"dropped", "converted", "refused"}


@every_open
def test_without_an_id_it_says_where_to_put_one(provider: Provider, route: Route) -> None:
    """In the words of the field that is missing."""
    (violation,) = plan({"model": route.model, "prompt": "a cat"}, provider).violations[:1]
    assert violation.field == "extra"
    assert all(place in violation.message for place in demanded(provider, route))


def test_there_are_such_families() -> None:
    """The tests above are about some."""
    assert OPEN


NAMELESS: Final = [
    (provider, route, row.native, sorted(row.codec.nameless)[0])
    for provider in all_providers().values()
    for route in provider.routes
    for row in route.rows
    if isinstance(row, Field) and isinstance(row.codec, Choice) and row.codec.nameless
] + [
    (provider, route, row.native, "1000x1000")
    for provider in all_providers().values()
    for route in provider.routes
    for row in route.rows
    if isinstance(row, FrameSize)
]


@pytest.mark.parametrize(("provider", "route", "place", "word"), NAMELESS)
def test_a_word_without_a_shared_one_is_kept(
    provider: Provider, route: Route, place: str, word: str
) -> None:
    """At the same vendor nothing is lost; on the way to another one it is refused, and said so."""
    body = next(one for one in examples_of(provider, route) if read(one, provider).route is route)
    body = {name: value for name, value in body.items() if name not in {"size", "resolution"}}
    body[place] = word
    found = read(body, provider)
    assert not found.problems
    assert found.request["extra"][provider.id][place] == word
    other, family = next(
        (one, sold.model)
        for one in all_providers().values()
        for sold in one.routes
        if one is not provider and sold.workflow == route.workflow
    )
    done = translate(body, provider, other, target_model=family)
    assert done.refused
    (verdict,) = [one for one in done.verdicts if one.source == f"/{place}"]
    assert verdict.verdict == "refused"
    assert provider.id in verdict.reason


@every_open
def test_a_request_without_it_is_told_how_to_give_it(provider: Provider, route: Route) -> None:
    """As it stands in a request, and where that is on the command line."""
    link = "https://example.com/a.png"
    inputs: dict[str, JsonObject] = {
        "text-to-video": {},
        "image-to-video": {"first_frame": link},
        "reference-to-video": {"reference_images": [link]},
    }
    request = {"model": route.model, "prompt": "a cat", **inputs[route.workflow]}
    told = [one.message for one in plan(request, provider).violations if one.field == "extra"]
    for place in demanded(provider, route):
        example = f'{{"extra": {{"{provider.id}": {{"{place}": "..."}}}}}}'
        assert any(example in one and "--request" in one for one in told)
