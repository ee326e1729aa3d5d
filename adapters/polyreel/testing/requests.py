"""Shared requests for tests: Hypothesis strategies made from the shared spec.

A field that is added to the spec is drawn at once, after its schema. Only what a schema cannot say
is written here: which values of an open type are usual enough for vendors to take them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, lru_cache
from typing import Any, Final

from hypothesis import strategies as st

from ..mapping.codecs import MeaninglessError
from ..mapping.media import FIELDS as MEDIA
from ..mapping.rows import Absent, Field
from ..mapping.workflows import WORKFLOWS, inputs_of_others, request_of
from ..plans.capabilities import NOT_FIELDS
from ..providers.base.contract import Contract
from ..providers.base.routes import Route
from ..providers.base.schemas import SCHEMAS

WORDS: Final = st.sampled_from(
    [
        "a cat",
        "@Image1 waves",
        "@Element1 and @Image2",
        "<<<image_1>>>",
        "snow, slowly",
        "日本 🌧",
        "@Image9 x",
    ]
)
ALPHABET: Final = st.characters(codec="utf-8", exclude_categories=["Cc"])
TEXT: Final = st.one_of(WORDS, st.text(ALPHABET, min_size=1, max_size=40).filter(str.strip))
URLS: Final = st.sampled_from(
    [
        f"https://example.com/{name}"
        for name in ("a.png", "b.png", "c.jpg", "in.mp4?x=1&y=2", "ü.webp")
    ]
)
USUAL: Final[Mapping[str, st.SearchStrategy[Any]]] = {
    "AspectRatio": st.sampled_from(["16:9", "9:16", "1:1", "4:3", "21:9", "auto"]),
    "CallbackUrl": st.sampled_from(
        [
            *(f"https://example.com/{path}" for path in ("hook", "hook?job=1", "a/b/hook", "ü")),
            *(
                "https://hooks.example.org/x",
                "https://hooks.example.org:8443/x",
                "https://example.net",
            ),
            *("http://example.com/hook", "https://10.0.0.1/x"),
        ]
    ),
    "seed": st.integers(0, 2**31 - 1),
    "elements": st.lists(
        st.one_of(
            st.integers(1, 999).map(str),
            st.fixed_dictionaries(
                {"front_image": URLS}, optional={"images": st.lists(URLS, min_size=1, max_size=3)}
            ),
        ),
        min_size=1,
        max_size=4,
    ),
}
"""Usual values of a named schema or of a field whose schema alone describes too much."""
SCALARS: Final = st.one_of(TEXT, st.booleans(), st.integers(-999, 999))
"""What the members of an object may be whose schema names none."""
MORE: Final = 4
"""How far the lengths of lists, and usual integers, are above their minimum at most."""
SPAN: Final = 17
"""How far integers are above their minimum at most where the schema has no maximum."""


@cache
def shared_spec() -> Contract:
    """The shared spec, as it ships with polyreel."""
    return Contract.load("polyreel")


def fields_of(spec: Contract, schema: str) -> Mapping[str, st.SearchStrategy[Any]]:
    """A strategy for each field of a request schema, such as `VideoRequest`.

    Raises ValueError where a schema uses a keyword that nothing here can draw.
    """
    properties = spec.schema(schema)["properties"]
    return {
        name: _field(spec, name, node)
        for name, node in properties.items()
        if name not in NOT_FIELDS
    }


@cache
def _shipped(schema: str) -> Mapping[str, st.SearchStrategy[Any]]:
    return fields_of(shared_spec(), schema)


def _field(spec: Contract, name: str, node: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    usual = USUAL.get(name)
    if usual is not None:
        return usual
    if name in MEDIA:
        return _list(URLS, node) if spec.resolve(node).get("type") == "array" else URLS
    return _value(spec, node)


def _value(spec: Contract, node: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    usual = USUAL.get(str(node.get("$ref", "")).removeprefix(SCHEMAS))
    if usual is not None:
        return usual
    schema = spec.resolve(node)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return st.one_of([_value(spec, option) for option in options])
    kind = schema.get("type")
    if isinstance(kind, list):
        return st.one_of([_value(spec, {**schema, "type": each}) for each in kind])
    if kind == "array":
        return _list(_value(spec, schema["items"]), schema)
    if kind == "object":
        return _object(spec, schema)
    return _scalar(kind, schema)


def _list(items: st.SearchStrategy[Any], schema: Mapping[str, Any]) -> st.SearchStrategy[list[Any]]:
    least = schema.get("minItems", 0)
    most = min(schema.get("maxItems", least + MORE), least + MORE)
    return st.lists(items, min_size=least, max_size=most, unique=schema.get("uniqueItems", False))


def _object(spec: Contract, schema: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    properties = schema.get("properties", {})
    if not properties:
        return st.dictionaries(TEXT, SCALARS, max_size=MORE)
    members = {name: _field(spec, name, node) for name, node in properties.items()}
    required = schema.get("required", ())
    return st.fixed_dictionaries(
        {name: member for name, member in members.items() if name in required},
        optional={name: member for name, member in members.items() if name not in required},
    )


def _scalar(kind: str | None, schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    if kind == "string":
        return _text(schema)
    if kind == "integer":
        least = schema.get("minimum", 0)
        most = schema.get("maximum", least + SPAN)
        return st.one_of(st.integers(least, min(least + MORE, most)), st.integers(least, most))
    if kind == "number":
        least = schema.get("minimum", 0)
        return st.floats(least, schema.get("maximum", least + 1), allow_nan=False)
    if kind == "boolean":
        return st.booleans()
    if kind == "null":
        return st.none()
    raise ValueError(f"no strategy for the schema {dict(schema)}")


def _text(schema: Mapping[str, Any]) -> st.SearchStrategy[str]:
    """Words where the pattern takes such, and else what the pattern describes."""
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    pattern = schema.get("pattern", "")

    def fits(text: str) -> bool:
        return least <= len(text) and (most is None or len(text) <= most)

    if re.search(pattern, "a cat"):
        return TEXT.filter(lambda text: fits(text) and re.search(pattern, text) is not None)
    return st.from_regex(pattern, fullmatch=True, alphabet=ALPHABET).filter(fits)


def _taken(route: Route, name: str) -> bool:
    row = route.by_name.get(name)
    return row is not None and not isinstance(row, Absent)


def requests_for(
    route: Route,
    contract: Contract | None = None,
    *,
    stray: bool = True,
    spec: Contract | None = None,
) -> st.SearchStrategy[dict[str, Any]]:
    """Shared requests that ask for the route's workflow.

    With the vendor's `contract`, half of the values of a field with a list of values are of that
    list: else a vendor that takes two lengths would hardly ever take a request. With `stray`, some
    requests have fields that the route may not take. `spec` is the shared spec to draw from, in the
    place of the one that ships with polyreel.
    """
    schema = request_of(route.workflow)
    return _requests(route, contract, fields_of(spec, schema) if spec else _shipped(schema), stray)


@lru_cache(maxsize=4096)  # asked for again with each request that is drawn
def _offered(route: Route, contract: Contract | None, name: str) -> list[Any]:
    """The shared values of the vendor's own list for a field; none where it has no list."""
    row = route.by_name.get(name)
    if contract is None or not isinstance(row, Field):
        return []
    natives = (contract.property(route.schema, row.native) or {}).get("enum", ())
    values: list[Any] = []
    for native in natives:
        with suppress(MeaninglessError):
            values.append(row.codec.decode(native, {}))
    schema = request_of(route.workflow)
    return [value for value in values if not shared_spec().accepts(schema, {name: value})]


@st.composite
def _requests(
    draw: st.DrawFn,
    route: Route,
    contract: Contract | None,
    fields: Mapping[str, st.SearchStrategy[Any]],
    stray: bool,
) -> dict[str, Any]:
    inputs = WORKFLOWS[route.workflow]
    taboo = inputs_of_others(route.workflow)
    likely = [name for name in fields if name not in taboo and _taken(route, name)]
    chosen = set(draw(st.lists(st.sampled_from(likely), unique=True)))
    if inputs and not chosen & set(inputs):
        chosen.add(next((name for name in inputs if name in likely), inputs[0]))
    if draw(st.booleans()):
        chosen |= {"prompt", *[name for name in inputs if name in likely]}
    if stray and draw(st.integers(0, 3)) == 0:
        chosen.add(draw(st.sampled_from([name for name in fields if name not in taboo])))
    request = {"model": route.model}
    for name in (name for name in fields if name in chosen):
        values = _offered(route, contract, name)
        offered = bool(values) and draw(st.booleans())
        request[name] = draw(st.sampled_from(values) if offered else fields[name])
    return request
