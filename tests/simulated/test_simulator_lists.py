"""Lists, batches and files of the simulated vendors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from polyreel.flows import Reply
from polyreel.places import JsonObject
from polyreel.providers.base.answers import first
from polyreel.providers.base.contract import Operation
from polyreel.providers.base.provider import Provider
from polyreel.serving.calls import full_path
from polyreel.simulator import Simulator, VirtualClock
from polyreel.simulator.scripting import scriptable
from support.server import (
    PROVIDERS,
    calls,
    check,
    download,
    each_call,
    example,
    finish,
    key_of,
    named,
    new_simulator,
    poll,
    send,
    submit,
)


def crowd(simulator: Simulator, provider: Provider) -> dict[str, str]:
    """Jobs in every state, oldest first: id and state."""
    ends = ["succeeded", *[end for end in ("failed", "canceled") if end in scriptable(provider)]]
    one, known = example(provider), {}
    for end in ends * 2:
        if end != "succeeded":
            simulator.script(provider.id, end)
        known[str(submit(simulator, one).id)] = end
    finish(simulator)
    assert isinstance(simulator.clock, VirtualClock)
    for state, seconds in (("running", 10), ("queued", 0)):
        known[str(submit(simulator, one).id)] = state
        simulator.clock.advance(seconds)
    for other in PROVIDERS:
        if other is not provider:
            submit(simulator, example(other))
    return known


def items(provider: Provider, reply: Reply) -> list[JsonObject]:
    """The items of a page."""
    page = json.loads(reply.content)
    inner = page["data"] if isinstance(page, dict) and isinstance(page.get("data"), dict) else page
    found = (
        inner
        if isinstance(inner, list)
        else next(value for value in inner.values() if isinstance(value, list))
    )
    assert all(isinstance(item, dict) for item in found)
    return list(found)


def identities(provider: Provider, listed: list[JsonObject]) -> list[str]:
    return [str(first(item, provider.reads.id)) for item in listed]


def listed_by(
    simulator: Simulator, provider: Provider, operation: Operation, **asked: Any
) -> Reply:
    """A list that is asked for in the query, or in a body where the call has one."""
    if not operation.request_schemas:
        texts = {name: str(value) for name, value in asked.items()}
        return send(simulator, provider, operation, query=texts)
    own = {name: value for name, value in asked.items() if name in {"limit", "cursor"}}
    filters = [{"key": name, "values": [asked[name]]} for name in asked.keys() - own.keys()]
    return send(
        simulator, provider, operation, {**own, **({"filters": filters} if filters else {})}
    )


def query_parameters(provider: Provider, operation: Operation) -> dict[str, JsonObject]:
    """The schemas of a call's query parameters."""
    found = [provider.contract.resolve(one) for one in operation.spec.get("parameters", ())]
    return {one["name"]: one["schema"] for one in found if one["in"] == "query"}


@pytest.mark.parametrize(("provider", "operation"), calls("list", "list-running"), ids=named)
def test_lists_hold_the_vendors_own_tasks(provider: Provider, operation: Operation) -> None:
    """Newest first, with the state each has; a list of running tasks has only what waits or
    runs.
    """
    simulator = new_simulator()
    assert items(provider, listed_by(simulator, provider, operation)) == []
    known = crowd(simulator, provider)
    listed = items(provider, listed_by(simulator, provider, operation))
    running = operation.role == "list-running"
    wanted = {
        task: state
        for task, state in known.items()
        if not running or state in {"queued", "running"}
    }
    assert identities(provider, listed) == list(wanted)[::-1]
    for item in listed:
        word = provider.statuses[item["status"].lower()]
        state = wanted[str(first(item, provider.reads.id))]
        assert word == state or (state, word) == ("queued", "running")


@pytest.mark.parametrize(("provider", "operation"), calls("list", "list-running"), ids=named)
def test_lists_come_in_pages(provider: Provider, operation: Operation) -> None:
    """Every task once, however the pages are cut; a page beyond the last one is empty."""
    simulator = new_simulator()
    known = crowd(simulator, provider)
    parameters = query_parameters(provider, operation)
    size = next((name for name in parameters if name in {"limit", "page_size"}), "limit")
    (newest,) = items(provider, listed_by(simulator, provider, operation, **{size: 1}))
    assert identities(provider, [newest]) == [list(known)[-1]]
    if operation.request_schemas:
        shown: list[str] = []
        cursor: JsonObject = {}
        for _ in range(0, len(known), 3):
            reply = listed_by(simulator, provider, operation, limit=3, **cursor)
            shown += identities(provider, items(provider, reply))
            cursor = {"cursor": json.loads(reply.content)["data"]["next_cursor"]}
        assert cursor == {"cursor": ""}
        assert shown == list(known)[::-1]
        assert listed_by(simulator, provider, operation, cursor="9" * 5000).status == 200
        return
    for bad in ("0", "-1", "x", "9" * 5000, ""):
        assert send_freely(simulator, provider, operation, f"{size}={bad}").status in {200, 400}
    if "page" not in parameters:
        return
    seen: list[str] = []
    for number in range(1, len(known) + 1):
        reply = send(simulator, provider, operation, query={"page": str(number), "page_size": "3"})
        page = json.loads(reply.content)
        assert (page["total"], page["page"], page["page_size"]) == (len(known), number, 3)
        seen += identities(provider, items(provider, reply))
    assert seen == list(known)[::-1]


def send_freely(
    simulator: Simulator, provider: Provider, operation: Operation, query: str
) -> Reply:
    """A call with any query; what it answers need not be documented."""
    return simulator.handle(
        provider.id, operation.method, f"{full_path(operation)}?{query}", key_of(provider)
    )


@pytest.mark.parametrize(("provider", "operation"), calls("list"), ids=named)
def test_lists_can_be_filtered(provider: Provider, operation: Operation) -> None:
    """By the documented words for states, and by what an item shows of itself."""
    simulator = new_simulator()
    known = crowd(simulator, provider)
    parameters = query_parameters(provider, operation)
    found: list[str] = []
    for word in parameters.get("status", {}).get("enum", provider.statuses):
        part = identities(
            provider, items(provider, listed_by(simulator, provider, operation, status=word))
        )
        states = {known[task] for task in part}
        assert provider.statuses[word] in states
        assert states <= {provider.statuses[word], "queued"}
        found += part
    assert sorted(found) == sorted(known)
    if operation.request_schemas:
        return
    assert send_freely(simulator, provider, operation, "status=no-such-word").status == 400
    every = items(provider, send(simulator, provider, operation))
    for name in parameters.keys() & every[0].keys() - {"status"}:
        own = {name: str(every[0][name])}
        assert items(provider, send(simulator, provider, operation, query=own)) == every
        other = next(
            (word for word in parameters[name].get("enum", ["other"]) if word != every[0][name]),
            "other",
        )
        assert items(provider, send(simulator, provider, operation, query={name: other})) == []


@pytest.mark.parametrize(("provider", "operation"), calls("batch-get"), ids=named)
def test_a_batch_holds_the_tasks_that_exist(provider: Provider, operation: Operation) -> None:
    """Each as the status query shows it; unknown ids are left out, and too many are refused."""
    simulator = new_simulator()
    known = crowd(simulator, provider)
    stranger = next(task for vendor, task in simulator.tasks if vendor != provider.id)
    (name,) = next(iter(operation.request_examples.values()))
    listed = items(
        provider, send(simulator, provider, operation, {name: ["none", stranger, *known, *known]})
    )
    assert listed == [poll(simulator, provider, task).raw for task in known]
    assert items(provider, send(simulator, provider, operation, {name: []})) == []
    wrong: tuple[Any, ...] = (
        {},
        {name: 5},
        {name: [5]},
        {name: ["x"] * 51},
        {"other": ["x"]},
        [],
        {"other": 1, name: "x"},
    )
    for bad in wrong:
        headers = {**key_of(provider), "content-type": "application/json"}
        content = json.dumps(bad).encode()
        reply = simulator.handle(
            provider.id, operation.method, full_path(operation), headers, content
        )
        assert reply.status == 400
        check(provider, example(provider).operation, 400, reply.content)


@each_call
def test_calls_without_state_answer_as_documented(provider: Provider, operation: Operation) -> None:
    """Credits and the like: a documented success."""
    if operation.role == "credits":
        assert send(new_simulator(), provider, operation).status == 200


@pytest.mark.parametrize(("provider", "operation"), calls("content"), ids=named)
def test_the_content_call_hands_out_the_file(provider: Provider, operation: Operation) -> None:
    """The output itself once the job is done, a documented error before, or when it failed."""
    simulator = new_simulator()
    simulator.script(provider.id, "failed")
    failed, good = (str(submit(simulator, example(provider)).id) for _ in range(2))
    assert send(simulator, provider, operation, task=good).status == 400
    finish(simulator)
    facts = poll(simulator, provider, good)
    assert (
        send(simulator, provider, operation, task=good).content
        == download(simulator, facts.urls[0]).content
    )
    assert send(simulator, provider, operation, task=failed).status == 400


@pytest.mark.parametrize(("provider", "operation"), calls("get-fallback"), ids=named)
def test_the_other_status_query_says_the_same(provider: Provider, operation: Operation) -> None:
    """In its own envelope."""
    simulator = new_simulator()
    for task, state in crowd(simulator, provider).items():
        facts = provider.read(send(simulator, provider, operation, task=task))
        assert (facts.id, facts.status) == (task, state)
        assert facts.urls == poll(simulator, provider, task).urls
