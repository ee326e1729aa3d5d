"""What the simulated vendors refuse, and how they say so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polyreel.flows import Reply
from polyreel.mapping.rows import Field
from polyreel.places import JsonObject, put
from polyreel.providers.base.contract import Contract, Operation
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from polyreel.serving import calls as call_errors
from polyreel.serving.answers import errors
from support.server import (
    BODIES,
    Submit,
    each_create,
    each_workflow,
    example,
    new_simulator,
    send,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def wrong_values(schema: JsonObject) -> Iterator[Any]:
    """Values that a schema cannot mean."""
    kinds = {option.get("type") for option in schema.get("anyOf", [schema])} - {None}
    if not kinds:
        return
    yield 5 if kinds.isdisjoint({"integer", "number"}) else "five"
    yield {} if "object" not in kinds else []
    if "null" not in kinds:
        yield None
    if "boolean" in kinds:
        yield "true"
    if "integer" in kinds:
        yield 4.5
    if "enum" in schema or "const" in schema:
        yield "no-such-word"
    for name, value in (
        ("minimum", schema.get("minimum", 0) - 1),
        ("maximum", schema.get("maximum", 0) + 1),
    ):
        if name in schema:
            yield value
    for option in schema.get("anyOf", [schema]):
        if "maxLength" in option:
            yield "x" * (option["maxLength"] + 1)
        if "maxItems" in option:
            yield ["https://example.com/a.png"] * (option["maxItems"] + 1)


def wrong_bodies(
    contract: Contract, operation: Operation, body: JsonObject, schema: str
) -> Iterator[tuple[str, JsonObject]]:
    """A good body with one thing wrong, each with what it is."""
    for place in contract.properties(schema):
        for value in wrong_values(contract.property(schema, place) or {}):
            copy = json.loads(json.dumps(body))
            put(copy, place, value)
            yield f"{place} = {str(value)[:40]!r}", copy
    for name in contract.schema(schema).get("required", ()):
        yield f"no {name}", {member: value for member, value in body.items() if member != name}


@each_workflow
def test_a_wrong_body_is_refused(one: Submit) -> None:
    """Wrong types, values out of range, unknown words, too much and too little: the vendor's own
    error, no charge.
    """
    simulator, contract = new_simulator(), one.provider.contract
    schemas, tried = contract.schemas_at(one.operation, one.path), 0
    for what, body in wrong_bodies(contract, one.operation, one.body, one.reading.route.schema):
        found = (contract.accepts(schema, body) for schema in schemas)
        if any(all(violation.inferred for violation in violations) for violations in found):
            continue  # a good body of another workflow, or one that only an inferred fact forbids
        reply = send(simulator, one.provider, one.operation, body, path=one.full_path)
        assert 400 <= reply.status < 500 or b"model_not_found" in reply.content, what
        assert 0 < len(one.provider.read_error(reply)[1]) < 400, what
        assert len(reply.content) < 1000, what
        tried += 1
    assert tried >= 7
    assert simulator.bill.count() == 0


@each_workflow
def test_an_unknown_workflow_or_model_is_refused(one: Submit) -> None:
    """A word that chooses no route is an error that names it, however odd its type."""
    simulator = new_simulator()
    places = {place for row in one.reading.route.rows for place in row.places}
    place = next((row.native for row in one.reading.route.constants), "model")
    if place not in places:
        return  # the path alone says what is made
    if any(place in route.ignored for route in one.provider.routes):
        return  # a family of the vendor's takes any word
    odd: tuple[Any, ...] = ("no-such-word", "", 5, None, [], {}, ["x"], True)
    for value in odd:
        reply = send(simulator, one.provider, one.operation, {**one.body, place: value})
        assert not reply.ok
        said = one.provider.read_error(reply)[1]
        assert place in said
        assert " is not known" not in said or "; there are " in said or "; did you mean " in said
    assert simulator.bill.count() == 0


def spellings() -> Iterator[tuple[Submit, JsonObject, JsonObject, JsonObject]]:
    """Documented bodies with another spelling of a field: alone, beside the field, and beside
    another value of it.
    """
    for one in BODIES:
        for row in (row for row in one.reading.route.rows if isinstance(row, Field)):
            for alias in row.aliases if row.shared in one.reading.request else ():
                value = one.reading.request[row.shared]
                other = (
                    ["https://example.com/other.png"]
                    if isinstance(value, list)
                    else "https://example.com/other.mp4"
                )
                codec, bare = alias.codec or row.codec, dict(one.body)
                for place in row.places:
                    bare.pop(place, None)
                both = {**bare, row.native: row.codec.encode(value, {})}
                alone, wrong = (
                    {alias.native: codec.encode(value, {})},
                    {alias.native: codec.encode(other, {})},
                )
                yield one, {**bare, **alone}, {**both, **alone}, {**both, **wrong}


def test_other_spellings_are_read() -> None:
    """An alias is accepted, also beside its field; with another value than that it is an error."""
    tried = list(spellings())
    assert {one.provider.id for one, *_ in tried}
    for one, alone, both, wrong in tried:
        simulator = new_simulator()
        for body in (alone, both):
            assert send(simulator, one.provider, one.operation, body).ok
        reply = send(simulator, one.provider, one.operation, wrong)
        assert reply.status == 400
        assert "different values" in one.provider.read_error(reply)[1]
        assert simulator.bill.count() == 2


@each_create
def test_refusals_say_what_is_wrong_as_documented(provider: Provider, operation: Operation) -> None:
    """Where a contract tells malformed bodies, missing models and unknown ones apart, so do the
    answers.
    """
    simulator, body = new_simulator(), example(provider, operation).body
    documented = {
        name: (status, reported) for status, _, name, reported in errors(provider, operation)
    }
    tries: list[tuple[tuple[str, ...], Any]] = [
        (call_errors.MALFORMED, b"{"),
        (call_errors.MALFORMED, []),
    ]
    if "model" in body:
        if not any("model" in route.ignored for route in provider.routes):  # or any id is taken
            tries.append((call_errors.UNKNOWN_MODEL, {**body, "model": "none"}))
        tries.append((call_errors.MALFORMED, {**body, "model": 5}))
        tries += [
            (call_errors.NO_MODEL, {name: value for name, value in body.items() if name != "model"})
        ]
    for names, content in tries:
        status, reported = next(documented[name] for name in names if name in documented)
        reply = send(
            simulator, provider, operation, content, headers={"content-type": "application/json"}
        )
        expected = Reply(status, {}, json.dumps(reported).encode())
        assert (reply.status, json.loads(reply.content).keys()) == (status, reported.keys())
        assert provider.read_error(reply)[0] == provider.read_error(expected)[0]
        assert provider.read_error(reply)[1] != provider.read_error(expected)[1]


def headers_with_rules() -> Iterator[tuple[Provider, Operation, str]]:
    """Every documented header of every call that may not hold just any text."""
    for provider in all_providers().values():
        for operation in provider.contract.operations.values():
            for parameter in map(provider.contract.resolve, operation.spec.get("parameters", ())):
                schema = provider.contract.resolve(parameter["schema"])
                if parameter["in"] == "header" and provider.contract.fits(schema, "!"):
                    yield provider, operation, parameter["name"]


def test_a_wrong_header_is_refused_by_every_call() -> None:
    """A header that breaks its schema is refused, whatever the call is for."""
    cases = list(headers_with_rules())
    assert len({operation.role for _, operation, _ in cases}) > 1
    for provider, operation, name in cases:
        simulator = new_simulator()
        reply = send(simulator, provider, operation, headers={name.lower(): "!"}, task="t")
        assert 400 <= reply.status < 500, operation.id
        assert name in reply.content.decode(), operation.id
        assert simulator.bill.count() == 0


NOT_JSON: Final = {
    "nothing": b"",
    "half": b"{",
    "a list": b"[]",
    "a list of bodies": b'[{"prompt": "a cat"}]',
    "a text": b'"a cat"',
    "a number": b"5",
    "null": b"null",
    "Latin-1": b'{"prompt": "caf\xe9"}',
    "HTML": b"<html></html>",
    "100,000 lists": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 100_000,
}
NOT_VALUES: Final = {
    "100,000 nested lists": b"[" * 100_000 + b"]" * 100_000,
    "100 nested objects": b'{"a":' * 100 + b"1" + b"}" * 100,
    "a lone surrogate": b'"\\ud800"',
    "a lone surrogate as a name": b'{"\\udfff": 1}',
    "not a number": b"NaN",
    "infinity": b"-Infinity",
    "beyond all numbers": b"1e999",
    "5,000 digits": b"9" * 5000,
    "5,000,000 letters": b'"' + b"x" * 5_000_000 + b'"',
}


@pytest.mark.matrix("provider.id", "kind")
@each_create
@pytest.mark.parametrize("kind", [*NOT_JSON, *NOT_VALUES])
def test_what_is_no_json_object_is_refused(
    provider: Provider, operation: Operation, kind: str
) -> None:
    """Bytes that mean nothing get the vendor's own error, also beside an otherwise good body."""
    simulator = new_simulator()
    good = json.dumps(example(provider, operation).body).encode()
    content = (
        NOT_JSON.get(kind)
        if kind in NOT_JSON
        else good[:-1] + b', "more": ' + NOT_VALUES[kind] + b"}"
    )
    assert content is not None
    reply = send(
        simulator, provider, operation, content, headers={"content-type": "application/json"}
    )
    invalid = {400, 422} & {int(one) for one in operation.spec["responses"]}
    assert reply.status in ({*invalid, 413} if "letters" in kind else invalid)
    assert len(reply.content) < 2000
    assert simulator.bill.count() == 0


@pytest.mark.matrix("provider.id", "kind")
@each_create
@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "multipart/form-data; boundary=x",
        "json",
    ],
)
def test_another_content_type_is_refused(
    provider: Provider, operation: Operation, kind: str
) -> None:
    """JSON under another name is not read."""
    simulator = new_simulator()
    content = json.dumps(example(provider, operation).body).encode()
    refused = send(simulator, provider, operation, content, headers={"content-type": kind})
    assert refused.status in {400, 422}
    for good in ("application/json", "application/json; charset=utf-8", "Application/JSON"):
        assert send(simulator, provider, operation, content, headers={"content-type": good}).ok
    assert simulator.bill.count() == 3


JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(
        [
            "9" * 5000,
            "\ud800",
            "https://example.com/a.png",
            "https://[",
            "http://10.0.0.1/",
            "-1",
            "0",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def corrupt(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with one part of any depth removed or replaced."""
    inner = (
        list(value)
        if isinstance(value, dict)
        else list(range(len(value)))
        if isinstance(value, list)
        else []
    )
    if not inner or draw(st.integers(0, 3)) == 0:
        return draw(JSON)
    key = draw(st.sampled_from(inner))
    if isinstance(value, list):
        return [corrupt(draw, item) if index == key else item for index, item in enumerate(value)]
    rest = {name: item for name, item in value.items() if name != key}
    return rest if draw(st.booleans()) else {**rest, key: corrupt(draw, value[key])}


@st.composite
def bodies(draw: st.DrawFn, provider: Provider, operation: Operation) -> Any:
    """Documented bodies, spoiled ones, ones with strange members, and anything else."""
    body = draw(st.sampled_from(list(operation.request_examples.values())))
    names = [
        name
        for schema in operation.request_schemas
        for name in provider.contract.schema(schema)["properties"]
    ]
    members = st.dictionaries(st.sampled_from(names) | st.text(max_size=5), JSON, max_size=3)
    kind = draw(st.integers(0, 4))
    if kind <= 1:
        return corrupt(draw, body)
    return {**body, **draw(members)} if kind <= 3 else draw(JSON)


FORM_PIECES: Final = [
    b"\r\n--a\r\n",
    b"\r\n--a--",
    b"--a\r\n",
    b"\r\n",
    b'Content-Disposition: form-data; name="prompt"\r\n\r\nwaves',
    b'Content-Disposition: form-data; name="duration"\r\n\r\n5',
    b'Content-Disposition: form-data; name="image_url"; filename="a"\r\n\r\n\xff',
    b'Content-Disposition: form-data; name=""\r\n\r\n',
]


@pytest.mark.slow
@pytest.mark.matrix("provider.id")
@each_create
def test_any_body_gets_a_documented_answer(provider: Provider, operation: Operation) -> None:
    """Whatever arrives: a status and a body that the contract documents, and the bill holds what
    was accepted.
    """
    types = st.sampled_from(
        ["application/json", "application/json", "text/plain", "multipart/form-data; boundary=a"]
    )
    pieces = st.lists(st.sampled_from(FORM_PIECES), max_size=12).map(b"".join)
    contents = (
        bodies(provider, operation).map(lambda body: json.dumps(body).encode())
        | st.binary()
        | pieces
    )
    simulator = new_simulator()
    accepted = 0

    @settings(max_examples=200, deadline=None, database=None)
    @given(contents, types)
    def attempt(content: bytes, kind: str) -> None:
        nonlocal accepted
        reply = send(simulator, provider, operation, content, headers={"content-type": kind})
        accepted += reply.ok
        assert simulator.bill.count() == accepted == len(simulator.tasks)

    attempt()
    assert accepted > 0
