"""Replies for tests: examples of a contract, changed examples, and content that is no reply."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args
from urllib.parse import unquote, urlsplit

from hypothesis import strategies as st

from ..errors import BadReplyError
from ..flows import Reply
from ..places import (
    Json,
    JsonObject,
    Pointer,
    get,
    is_missing,
    leaves,
    pointer_parts,
    put,
    value_at,
)
from ..plans.planning import Plan
from ..providers.base.answers import first
from ..providers.base.calling import filled, key_scheme_of, locator_of, task_place
from ..providers.base.contract import Operation
from ..providers.base.facts import Status, status_of
from ..providers.base.provider import Provider
from ..simulator import Simulator
from .bodies import JSON

STATES: Final = tuple(state for state in get_args(Status) if state != "unknown")
PAGES: Final = (
    b"",
    b"{}",
    b"[]",
    b"null",
    b"<html>502</html>",
    b"\xff\xfe\x00",
    b'{"status":',
    b"ok",
    b"7",
)


def encoded(body: Json) -> bytes:
    """A JSON body; lone surrogates are escaped."""
    return json.dumps(body).encode()


def states(provider: Provider) -> Iterator[tuple[str, Any]]:
    """The examples of states: those of the status query, and that of `queued` of the create.

    A create may answer with an id alone: that it is queued is then said by no word.
    """
    for role, wanted in (("create", STATES[:1]), ("get", STATES)):
        call = provider.contract.operation(role)
        for name, body in _examples(provider, call, wanted) if call else ():
            if role == "get" or provider.facts(body).word is not None:
                yield name, body


def results(provider: Provider) -> list[JsonObject]:
    """The examples of results, where the vendor has a call of its own for them."""
    call = provider.contract.operation("result")
    return [body for _, body in _examples(provider, call, ("succeeded",))] if call else []


def _examples(
    provider: Provider, call: Operation, wanted: tuple[str, ...]
) -> Iterator[tuple[str, Any]]:
    for status, _, name, body in provider.contract.replies(call):
        if status < 300 and name in wanted:
            yield name, body


def succeeded(provider: Provider) -> Iterator[tuple[str, JsonObject]]:
    """Every object in an example that tells of a job that has succeeded, whatever its name."""
    for call in provider.contract.operations.values():
        for status, _, name, body in provider.contract.replies(call):
            if status < 300:
                for task in _objects(body):
                    if provider.facts(task).status == "succeeded":
                        yield f"{call.id}-{name}", task


def _objects(value: Json) -> Iterator[JsonObject]:
    """The objects in an example: itself, and those of its lists."""
    if isinstance(value, dict):
        yield value
        value = value.get("data")
    yield from (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def success(provider: Provider) -> JsonObject:
    """The example of a job that has succeeded."""
    found = next((body for name, body in states(provider) if name == "succeeded"), None)
    assert isinstance(found, dict), "the status query has no example called succeeded"
    return found


def with_status_word(provider: Provider, word: str) -> Iterator[JsonObject]:
    """The examples of states, with this word in every place where a status word is read."""
    for _, body in states(provider):
        copy: JsonObject = json.loads(encoded(body))
        for place in provider.reads.status:
            if not is_missing(get(copy, place)):
                put(copy, place, word)
        yield copy


def garbage(provider: Provider) -> st.SearchStrategy[bytes]:
    """Contents that a vendor does not send: other servers' pages, JSON, and cut-off replies."""
    whole = encoded(success(provider))
    broken = st.integers(0, len(whole) - 1).map(lambda end: whole[:end])
    return st.one_of(st.sampled_from(PAGES), st.binary(max_size=60), JSON.map(encoded), broken)


def with_wrong_value(provider: Provider) -> st.SearchStrategy[Any]:
    """The example of success with any JSON value in one of its places."""
    body = success(provider)
    places = [pointer_parts(pointer or "/") for pointer, _ in leaves(body)]
    parents = [place[:-1] for place in places if len(place) > 1]
    place = st.sampled_from([*places, *parents])
    return st.builds(lambda place, value: _replaced(body, place, value), place, JSON)


def _replaced(body: JsonObject, place: Pointer, value: Json) -> JsonObject:
    copy: JsonObject = json.loads(encoded(body))
    parent, last = value_at(copy, place[:-1]), place[-1]
    parent[int(last) if isinstance(parent, list) else last] = value
    return copy


def not_a_success(provider: Provider, content: bytes) -> None:
    """Content that is no reply is refused, or is not read as a success."""
    reply = Reply(200, {}, content)
    try:
        facts = provider.read(reply)
    except BadReplyError:
        facts = None
    assert facts is None or facts.status != "succeeded" or _says_so(provider, facts.raw)
    code, message = provider.read_error(Reply(500, {}, content))
    assert code is None or isinstance(code, str)
    assert isinstance(message, str)
    provider.is_not_found(400, code)
    provider.request_id(reply)


def readable(provider: Provider, body: Json) -> None:
    """A reply with one wrong value is read as far as possible, and raises only BadReplyError."""
    not_a_success(provider, encoded(body))


def _says_so(provider: Provider, raw: Mapping[str, Any]) -> bool:
    """Whether a documented word of success is in a place of the status word."""
    word = first(dict(raw), provider.reads.status)
    return status_of(word, provider.statuses) == "succeeded"


def asked_for(provider: Provider, identity: str) -> None:
    """A status query goes to the address in the contract, with the id where that says."""
    call = provider.contract.operation("get")
    assert call is not None
    locator = locator_of(provider.contract, provider.routes[0].path_values, identity)
    request = {"method": "get", "url": locator} if locator else provider.get_request(identity)
    send = provider.call(request)
    where = task_place(provider.contract, call)
    assert where is not None
    values = {**provider.routes[0].path_values, where.name: identity}
    wanted = urlsplit(call.server).path.rstrip("/") + unquote(filled(call.path, values))
    assert (send.method, unquote(urlsplit(send.url).path)) == (call.method, wanted)
    assert send.url.startswith(provider.servers)
    assert where.place == "path" or send.params == {where.name: identity}


def submitted(simulator: Simulator, plan: Plan, headers: Mapping[str, str]) -> Reply:
    """The simulator's answer to a submit with these headers."""
    keys = key_scheme_of(plan.provider.contract).headers("simulated")
    sent = {**keys, "content-type": "application/json", **headers}
    target = urlsplit(plan.url).path
    answer = simulator.handle(plan.vendor, plan.method, target, sent, plan.content)
    return Reply(answer.status, answer.headers, answer.content)
