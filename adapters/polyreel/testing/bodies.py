"""Native bodies for tests: Hypothesis strategies made from the vendors' own schemas."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from hypothesis import strategies as st

from ..places import JsonObject
from ..providers.base.contract import Contract
from ..providers.base.provider import Provider
from ..providers.base.routes import Route
from .requests import TEXT, URLS


@lru_cache(maxsize=256)  # laws ask for it again with each example
def bodies(provider: Provider, route: Route) -> st.SearchStrategy[JsonObject]:
    """Bodies that the vendor accepts for a route.

    They are drawn from its schema, or are its examples with drawn changes.
    """
    contract, name = provider.contract, route.schema
    drawn = _drawn(contract, name)
    examples = [
        body
        for body in examples_of(provider, route)
        if not contract.accepts(name, body) and all(row.matches(body) for row in route.constants)
    ]
    found = (
        st.builds(lambda one, other: {**one, **other}, st.sampled_from(examples), drawn)
        if examples
        else drawn
    )
    return st.one_of(drawn, found).filter(lambda body: not contract.accepts(name, body))


def examples_of(provider: Provider, route: Route) -> list[JsonObject]:
    """The example bodies of a route's call; where the path says the model, those of its body."""
    operation, contract = provider.operation(route), provider.contract
    if operation.slashed is None:
        return [*operation.request_examples.values()]
    return [
        body
        for name, body in operation.request_examples.items()
        if route.schema in contract.schemas_at(operation, operation.example_paths[name])
    ]


@lru_cache(maxsize=256)
def _drawn(contract: Contract, name: str) -> st.SearchStrategy[JsonObject]:
    return _object(contract, contract.schema(name))


def _object(contract: Contract, schema: JsonObject) -> st.SearchStrategy[JsonObject]:
    required = set(schema.get("required", ()))
    fields = {
        name: _value(contract, name, child) for name, child in schema.get("properties", {}).items()
    }
    return st.fixed_dictionaries(
        {name: value for name, value in fields.items() if name in required},
        optional={name: value for name, value in fields.items() if name not in required},
    )


def _value(contract: Contract, name: str, node: JsonObject) -> st.SearchStrategy[Any]:
    schema = {
        **contract.resolve(node),
        **{key: value for key, value in node.items() if key != "$ref"},
    }
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return st.one_of([_value(contract, name, option) for option in options])
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        return _object(contract, schema)
    if kind == "array":
        items = _value(contract, name, schema.get("items", {}))
        return st.lists(
            items, min_size=schema.get("minItems", 0), max_size=min(schema.get("maxItems", 3), 4)
        )
    return _scalar(name, schema)


def _scalar(name: str, schema: JsonObject) -> st.SearchStrategy[Any]:
    kind = schema.get("type")
    if kind == "integer":
        return st.integers(schema.get("minimum", 0), schema.get("maximum", 20))
    if kind == "number":
        return st.floats(schema.get("minimum", 0), schema.get("maximum", 1), allow_nan=False)
    if kind == "boolean":
        return st.booleans()
    if kind == "null":
        return st.none()
    if schema.get("format") == "uri":
        return st.just("https://example.com/hook") if "callback" in name else URLS
    if "pattern" in schema or "duration" in name:
        return st.integers(1, 5).map(str)
    return TEXT if kind == "string" else URLS


JSON: Final = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**30), 10**30),
        st.floats(allow_nan=False),
        st.text(max_size=12),
        st.sampled_from(["\ud800", "", "x" * 5000]),
    ),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def malformed(draw: st.DrawFn, provider: Provider, route: Route) -> Any:
    """Bodies that may be wrong: good ones with other values or more members, or any JSON value."""
    if draw(st.integers(0, 9)) == 0:
        return draw(JSON)
    body = draw(_drawn(provider.contract, route.schema))
    known = st.sampled_from([*provider.contract.schema(route.schema)["properties"]])
    wrong = {name: draw(JSON) for name in draw(st.lists(known, max_size=3))}
    if not draw(st.booleans()):
        return {**body, **wrong}
    return {**body, **wrong, **draw(st.dictionaries(st.text(max_size=8), JSON, max_size=2))}
