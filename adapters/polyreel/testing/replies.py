"""Replies for tests: a contract's own, changed ones, and what is no reply at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args
from urllib.parse import unquote, urlsplit

from hypothesis import strategies as st

from ..errors import BadReplyError
from ..flows import Reply
from ..places import JsonObject, get, is_missing, leaves, put
from ..plans.planning import Plan
from ..providers.base.answers import first
from ..providers.base.contract import Operation
from ..providers.base.facts import Status
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


def encoded(body: Any) -> bytes:
    """A JSON body; half characters are escaped."""
    return json.dumps(body).encode()


def states(provider: Provider) -> Iterator[tuple[str, Any]]:
    """The examples of the status query that are called like a state, and the create's example of `queued`."""
    for role, wanted in (("create", STATES[:1]), ("get", STATES)):
        call = provider.contract.operation(role)
        yield from _examples(provider, call, wanted) if call else ()


def _examples(
    provider: Provider, call: Operation, wanted: tuple[str, ...]
) -> Iterator[tuple[str, Any]]:
    for status, _, name, body in provider.contract.replies(call):
        if status < 300 and name in wanted:
            yield name, body


def success(provider: Provider) -> JsonObject:
    """The example of a job that has succeeded."""
    found = next((body for name, body in states(provider) if name == "succeeded"), None)
    assert isinstance(found, dict), "the status query has no example called succeeded"
    return found


def worded(provider: Provider, word: str) -> Iterator[JsonObject]:
    """The examples of states, with another status word in every place where one is read."""
    for _, body in states(provider):
        copy: JsonObject = json.loads(encoded(body))
        for place in provider.reads.status:
            if not is_missing(get(copy, place)):
                put(copy, place, word)
        yield copy


def garbage(provider: Provider) -> st.SearchStrategy[bytes]:
    """What arrives when something else answers in a vendor's place, or when a success breaks off."""
    whole = encoded(success(provider))
    broken = st.integers(0, len(whole) - 1).map(lambda end: whole[:end])
    return st.one_of(st.sampled_from(PAGES), st.binary(max_size=60), JSON.map(encoded), broken)


def spoiled(provider: Provider) -> st.SearchStrategy[Any]:
    """The example of success with anything in the place of one of its values."""
    body = success(provider)
    places = [at for at, _ in leaves(body)] or [""]
    parents = [at.rpartition("/")[0] for at in places if at.count("/") > 1]
    return st.builds(
        lambda at, value: _replaced(body, at, value), st.sampled_from(places + parents), JSON
    )


def _replaced(body: JsonObject, at: str, value: Any) -> Any:
    copy: Any = json.loads(encoded(body))
    *parents, last = at.strip("/").split("/")
    node = copy
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node[part]
    node[int(last) if isinstance(node, list) else last] = value
    return copy


def not_a_success(provider: Provider, content: bytes) -> None:
    """Content that is no reply is refused as one, or does not say that a job has succeeded."""
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


def readable(provider: Provider, body: Any) -> None:
    """A reply with one strange value is read as far as it makes sense; nothing but BadReplyError comes out of it."""
    not_a_success(provider, encoded(body))


def _says_so(provider: Provider, raw: Mapping[str, Any]) -> bool:
    """Whether a documented word of success stands where the vendor says it."""
    word = first(dict(raw), provider.reads.status)
    return isinstance(word, str) and provider.statuses.get(word.strip().lower()) == "succeeded"


def asked_for(provider: Provider, identity: str) -> None:
    """A status query goes to the address that the contract has for it, with the id in its path."""
    send = provider.call(provider.get_request(identity))
    call = provider.contract.operation("get")
    assert call is not None
    start, _, end = call.path.partition("{")
    wanted = urlsplit(call.server).path.rstrip("/") + start + identity + end.partition("}")[2]
    assert (send.method, unquote(urlsplit(send.url).path)) == (call.method, wanted)
    assert send.url.startswith(provider.servers)


def submitted(simulator: Simulator, plan: Plan, headers: Mapping[str, str]) -> Reply:
    """The simulator's answer to a submit with these headers."""
    sent = {"authorization": "Bearer simulated", "content-type": "application/json", **headers}
    target = urlsplit(plan.url).path
    answer = simulator.handle(plan.vendor, plan.method, target, sent, plan.content)
    return Reply(answer.status, answer.headers, answer.content)
