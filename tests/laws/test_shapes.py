"""What is remembered of a request's shape changes no plan: not a byte, not a word of a refusal."""

from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from polyreel.errors import RequestError
from polyreel.places import JsonObject, json_bytes
from polyreel.plans import choosing
from polyreel.plans.planning import PORTABLE, Plan
from polyreel.plans.shapes import FREE
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.routes import Route
from polyreel.testing.requests import requests_for
from support.requests import every_table

ODD_TEXTS = [
    *("a cat", "@Image1 waves", "Image 1 and character1", "<<<image_1>>>", "{x", "[Image 2]"),
    *("shot 1, 3, a door opens; shot 2, 2, a cat;", "shot 1, 5, it rains", "Shot 1\uff0c5, x"),
    *("\u65e5\u672c", "half \ud800", "", " ", "\x1c", "\x85", "\ufeff", "\u3000", "\0", 'a\n"b\\'),
]
ODD_LINKS = [
    *("https://example.com/a.png", "https://example.com/b.png?x=@Image1#y", "https://example.com"),
    *("https://example.com/\u00fc.png", "https://example.com/a b.png", "https://example.com/a\\b"),
    *("https://10.0.0.1/a.png", "http://localhost/a.png", "https://example.com:99999/a.png"),
    *(
        "ftp://example.com/a.png",
        "https://[x/a.png",
        "nowhere.png",
        "data:image/png;base64,AAAA",
        "",
    ),
]
ODD_SEEDS = [0, 1, True, 1.0, -1, 2**31 - 1, 2**31, 2**53 - 1, 2**53, 2**64, 10**400, None]


def lengths(provider: Provider, route: Route) -> list[int]:
    """How many characters the contract allows somewhere in a body, and one less and one more."""
    schemas = provider.contract.schema(route.schema).get("properties", {}).values()
    found = {one.get("maxLength") for one in map(provider.contract.resolve, schemas)} - {None}
    return [length + more for length in sorted(found) for more in (-1, 0, 1)] or [100]


def other(draw: Callable[..., Any], name: str, value: Any, limits: list[int]) -> Any:
    """Another value for a field that may differ in the requests of a shape."""
    if isinstance(value, list):
        return [other(draw, name, one, limits) for one in value]
    if name == "seed":
        return draw(st.sampled_from(ODD_SEEDS))
    if value.startswith("http"):
        return draw(st.sampled_from(ODD_LINKS))
    long = st.builds(str.__mul__, st.sampled_from("a\u00fc\U0001f327"), st.sampled_from(limits))
    return draw(st.sampled_from(ODD_TEXTS) | st.text(max_size=9) | long)


def said(make: Callable[[], Plan]) -> Iterator[Any]:
    """All that a plan says, or the error that there is no plan for."""
    try:
        made = make()
    except RequestError as error:
        yield str(error)
        return
    yield made
    yield json_bytes(made.request), made.checked, type(made.checked.fields)
    yield made.verdicts, made.warnings, made.cost
    yield made.url, made.method, made.stream, made.native
    yield repr(made)
    try:
        yield made.content
    except ValueError as error:  # of a refused plan, it can be half a character
        yield str(error)
    yield vars(made).keys()


@every_table
@given(data=st.data())
def test_a_known_shape_changes_no_plan(
    provider: Provider, route: Route, data: st.DataObject
) -> None:
    """Planned by what is remembered or anew, with any texts, links and seeds."""
    request = data.draw(requests_for(route, provider.contract))
    limits = lengths(provider, route)
    allow: Any = data.draw(st.sampled_from([None, dict.fromkeys(request, "nearest")]))
    preferences = data.draw(st.sampled_from([None, PORTABLE]))
    options: Any = {"override": False, "stream": data.draw(st.booleans())}

    def remembering(asked: JsonObject) -> Iterator[Any]:
        return said(
            lambda: choosing.plan(asked, provider, allow=allow, preferences=preferences, **options)
        )

    def anew(asked: JsonObject) -> Iterator[Any]:
        return said(
            lambda: choosing._planned(asked, [provider], None, allow, preferences, {}, **options)
        )

    for _ in range(2):
        made = list(remembering(request))
    assert list(remembering(request)) == made == list(anew(request))
    for _ in range(3):
        asked = {
            name: other(data.draw, name, value, limits) if name in FREE else value
            for name, value in request.items()
        }
        assert list(remembering(asked)) == list(anew(asked))
