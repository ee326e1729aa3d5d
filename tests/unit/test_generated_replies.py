"""The generated clients lose no reply, however odd."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.endpoints import (
    CLIENTS,
    ENDPOINTS,
    Endpoint,
    each_client,
    each_endpoint,
    endpoint_for,
    parsed,
    plain,
    shipped,
)
from support.loops import in_one
from support.matrix import shared


@in_one
@each_endpoint
def test_documented_replies_are_understood(endpoint: Endpoint) -> None:
    """Each JSON example becomes its model and comes back whole; the others keep their bytes."""
    for status, content_type, name, body in endpoint.replies:
        if content_type != "application/json":
            parsed(endpoint, status, body.encode())
            continue
        result = parsed(endpoint, status, json.dumps(body).encode())
        assert result.parse_error is None, (status, name)
        assert result.parsed is not None, (status, name)
        assert plain(result.parsed) == body, (status, name)


HOSTILE: Final = {
    "html": b"<html><title>502 Bad Gateway</title></html>",
    "empty": b"",
    "truncated": b'{"id": "task-1", "sta',
    "null": b"null",
    "no-members": b"{}",
    "no-items": b"[]",
    "pairs": b'[["id", "task-1"]]',
    "number": b"7",
    "text": b'"task-1"',
    "no-text": b'""',
    "latin-1": b'{"id": "\xe9"}',
    "nested": b"[" * 100_000,
    "long-number": b"1" * 5_000,
}
FITTING: Final = {"no-members": "object", "no-items": "array", "pairs": "array"}
"""The documented type that a hostile body has, if any."""


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_body_of_another_type_is_kept_and_named(kind: str) -> None:
    """Where an object or array is documented, anything else has no typed reading, a reason, and its
    bytes.
    """
    accepted = []
    for endpoint in ENDPOINTS:
        for status in map(int, endpoint.operation.spec["responses"]):
            if endpoint.documented_type(status) not in {None, FITTING.get(kind)}:
                result = parsed(endpoint, status, HOSTILE[kind])
                if result.parsed is not None or result.parse_error is None:
                    accepted.append((endpoint.name, status))
    assert accepted == []


@in_one
@each_endpoint
def test_an_undocumented_status_is_kept(endpoint: Endpoint) -> None:
    """A status outside the contract, even outside HTTP, has no typed reading and is no error."""
    for status in (0, 100, 204, 302, 418, 520, 599, 999):
        if str(status) in endpoint.operation.spec["responses"]:
            continue
        for content in HOSTILE.values():
            result = parsed(endpoint, status, content)
            assert (result.parsed, result.parse_error) == (None, None), status


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
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
    if not inner or draw(st.booleans()):
        return draw(JSON)
    key = draw(st.sampled_from(inner))
    if isinstance(value, list):
        return [corrupt(draw, item) if index == key else item for index, item in enumerate(value)]
    rest = {name: item for name, item in value.items() if name != key}
    return rest if draw(st.booleans()) else {**rest, key: corrupt(draw, value[key])}


@st.composite
def corrupted_replies(draw: st.DrawFn, endpoint: Endpoint) -> tuple[int, bytes]:
    """A documented reply that went wrong, whole or cut off."""
    status, _, _, body = draw(st.sampled_from(endpoint.replies))
    content = json.dumps(corrupt(draw, body)).encode()
    return status, content if draw(st.booleans()) else content[: draw(st.integers(0, len(content)))]


def hostile_replies(endpoint: Endpoint) -> st.SearchStrategy[tuple[int, bytes]]:
    """Any bytes under any status, documented ones often."""
    documented = [int(status) for status in endpoint.operation.spec["responses"]]
    statuses = st.sampled_from(documented) | st.integers(0, 999)
    contents = (
        st.binary()
        | st.sampled_from(list(HOSTILE.values()))
        | JSON.map(lambda value: json.dumps(value).encode())
    )
    return st.tuples(statuses, contents) | corrupted_replies(endpoint)


@pytest.mark.slow
@pytest.mark.matrix
@each_endpoint
def test_no_reply_is_ever_lost(endpoint: Endpoint) -> None:
    """Whatever a server sends, parsing does not raise and keeps status, headers and bytes."""

    @settings(max_examples=shared(100, len(CLIENTS)), deadline=None, database=None)
    @given(hostile_replies(endpoint))
    def check(reply: tuple[int, bytes]) -> None:
        parsed(endpoint, *reply)

    check()


def with_status(value: Any, word: str) -> Any:
    """A body in which every `status` is another word."""
    if isinstance(value, dict):
        return {
            key: word if key == "status" else with_status(item, word) for key, item in value.items()
        }
    return [with_status(item, word) for item in value] if isinstance(value, list) else value


@each_client
@pytest.mark.parametrize("role", ["create", "get"])
def test_an_unknown_status_word_keeps_the_typed_reply(client: str, role: str) -> None:
    """A word that the vendor never documented costs nothing: model, id and bytes are there."""
    endpoint = endpoint_for(client, role)
    status, body = endpoint.reply("queued")
    strange = with_status(body, "moonlighting")
    assert strange != body or role == "create"  # which may have no word
    result = parsed(endpoint, status, json.dumps(strange).encode())
    assert result.parsed.to_dict() == strange


@each_client
@pytest.mark.parametrize("role", ["create", "get"])
def test_a_missing_field_keeps_the_raw_reply(client: str, role: str) -> None:
    """A success without what the spec requires says which field is missing, and keeps the bytes."""
    endpoint = endpoint_for(client, role)
    status, body = endpoint.reply("queued")
    reader = shipped(client)
    schema = reader.resolve(reader.reply_schema(endpoint.operation, status))
    forms = map(reader.resolve, schema.get("anyOf", [schema]))
    required = set.intersection(*(set(one.get("required", ())) for one in forms))
    for name in body:
        less = {key: value for key, value in body.items() if key != name}
        result = parsed(endpoint, status, json.dumps(less).encode())
        assert json.loads(result.content) == less
        if name in required:
            assert result.parsed is None
            assert name in str(result.parse_error)
        else:
            assert result.parsed.to_dict() == less
