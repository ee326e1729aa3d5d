"""Keys, money and limits of the simulated vendors, what they do not have, and repeated calls."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Final

import pytest
from polyreel.errors import UnknownNameError
from polyreel.places import leaves, pointer_parts, value_at
from polyreel.providers.base.calling import key_scheme_of
from polyreel.providers.base.contract import Operation
from polyreel.providers.base.provider import Provider
from polyreel.serving.answers import errors
from polyreel.serving.answers import submits as paid_calls
from polyreel.serving.calls import full_path
from polyreel.simulator import Simulator
from support.server import (
    CREATES,
    KEY,
    PROVIDERS,
    calls,
    check,
    each_call,
    each_create,
    each_vendor,
    example,
    finish,
    key_of,
    named,
    new_simulator,
    path_of,
    poll,
    send,
    submit,
    submits,
)

# -- keys, money, limits ---------------------------------------------------------------------------


NO_KEYS: Final = [
    "",
    "Bearer",
    "Bearer ",
    "Bearer    ",
    "Basic dXNlcjpwYXNz",
    "any-key",
    "Bearerany-key",
    "Token x",
]


@each_call
def test_every_call_wants_a_key(provider: Provider, operation: Operation) -> None:
    """Without a bearer token, or with an unknown one where keys are listed, every call is a
    documented 401.
    """
    simulator, strict = new_simulator(), new_simulator(keys=frozenset({"good-key"}))
    content = next(iter(operation.request_examples.values()), b"")
    for value in NO_KEYS:
        assert (
            send(
                simulator,
                provider,
                operation,
                content,
                headers={"Authorization": value},
                task="none",
            ).status
            == 401
        )
    assert (
        simulator.handle(provider.id, operation.method, path_of(operation, "none"), {}).status
        == 401
    )
    assert send(strict, provider, operation, content, task="none").status == 401
    word = key_scheme_of(provider.contract).prefix.strip()
    for value in (f"{word} good-key", f"{word.lower()} good-key", f" {word}  good-key "):
        assert (
            send(
                strict, provider, operation, content, headers={"Authorization": value}, task="none"
            ).status
            != 401
        )
    assert simulator.bill.count() == 0


@pytest.mark.matrix("provider.id")
@each_create
def test_an_empty_account_is_named(provider: Provider, operation: Operation) -> None:
    """When the balance is used up, submits get the vendor's own money error, and other vendors
    still work.
    """
    one = example(provider, operation)
    submit(simulator := new_simulator(), one)
    cost = simulator.bill.total()
    balance = 150.5  # no example costs more
    simulator = new_simulator(balance=balance)
    replies = [send(simulator, provider, operation, one.body) for _ in range(152)]
    reply = replies[-1]
    assert (reply.status, json.loads(reply.content)) in [
        (status, body)
        for status, _, name, body in errors(provider, operation)
        if name == "insufficient_credits"
    ]
    assert simulator.bill.count() == balance // cost > 0
    assert simulator.bill.total() == pytest.approx(balance // cost * cost)
    for other in PROVIDERS:
        if other is not provider:
            submit(simulator, example(other))


PAID: Final = [(p, o) for p in PROVIDERS for o in paid_calls(p)]


@pytest.mark.parametrize(("provider", "operation"), PAID, ids=named)
def test_every_documented_error_can_be_scripted(provider: Provider, operation: Operation) -> None:
    """By its name, once, word for word, and with Retry-After only where that is documented."""
    simulator = new_simulator()
    documented = errors(provider, operation)
    assert len({name for _, _, name, _ in documented}) == len(documented)
    for status, content_type, name, body in documented:
        simulator.script(provider.id, name)
        reply = send(
            simulator, provider, operation, next(iter(operation.request_examples.values()))
        )
        assert (reply.status, reply.headers["content-type"]) == (status, content_type)
        assert json.loads(reply.content) == body
        answer = provider.contract.resolve(operation.spec["responses"][str(status)])
        headers = {header.lower() for header in answer.get("headers", {})}
        assert (reply.header("retry-after") is not None) == ("retry-after" in headers)
        shown = [name.replace("_", "-") for name in body if provider.request_id(reply)]
        assert (provider.request_id(reply) is not None) == any(
            header.endswith("request-id") for header in [*headers, *shown]
        )
    known = {status for status, _, _, _ in documented}
    assert known >= {401, 429, 500}
    assert known & {400, 422}
    assert simulator.bill.count() == 0
    assert send(simulator, provider, operation, next(iter(operation.request_examples.values()))).ok


@each_vendor
def test_scripts_are_checked_and_kept_apart(provider: Provider) -> None:
    """A misspelt event is an error at once; events wait in order, and for their own vendor."""
    simulator = new_simulator()
    for word in ("no_such_error", "succeeded", "queued", ""):
        with pytest.raises(UnknownNameError):
            simulator.script(provider.id, "rate_limited", word)
    with pytest.raises(UnknownNameError):
        simulator.script("no-such-vendor", "rate_limited")
    simulator.script(provider.id, "rate_limited", "server_error")
    simulator.script(provider.id, "unauthorized")
    for other in PROVIDERS:
        if other is not provider:
            submit(simulator, example(other))
    one = example(provider)
    seen = [send(simulator, provider, one.operation, one.body).status for _ in range(4)]
    assert seen == [429, 500, 401, one.accepted]


# -- what does not exist ---------------------------------------------------------------------------


STRANGE_IDS: Final = [
    "none",
    "task_0",
    "..",
    "%2F",
    "%3F",
    "a%20b",
    "%00",
    "%ff",
    "x" * 3000,
    "{id}",
    "\u00e9",
]


@pytest.mark.parametrize(
    ("provider", "operation"), calls("get", "get-fallback", "content"), ids=named
)
def test_an_unknown_task_is_named_so(provider: Provider, operation: Operation) -> None:
    """In the vendor's own way, whatever the id looks like; other vendors' tasks are unknown too."""
    simulator = new_simulator()
    strangers = [
        str(submit(simulator, example(other)).id) for other in PROVIDERS if other is not provider
    ]
    for task in [*STRANGE_IDS, *strangers]:
        reply = send(simulator, provider, operation, task=task)
        code, message = provider.read_error(reply)
        assert provider.is_not_found(reply.status, code), reply
        assert message


@each_vendor
def test_an_id_may_be_quoted(provider: Provider) -> None:
    """A path means what its characters mean, however they are written."""
    simulator = new_simulator()
    task = str(submit(simulator, example(provider)).id)
    assert poll(simulator, provider, "".join(f"%{ord(letter):02X}" for letter in task)).id == task


@each_vendor
def test_an_unknown_route_is_a_404_of_the_vendor(provider: Provider) -> None:
    """In the vendor's shape, without a key, and free of charge."""
    simulator, create = new_simulator(), example(provider).operation
    documented = "404" in create.spec["responses"]
    for method, path in [
        ("GET", "/"),
        ("GET", "/v9/none"),
        ("POST", full_path(create) + "/"),
        ("POST", full_path(create) + "/more"),
        ("POST", "//" + full_path(create)),
        ("BREW", '/coffee"(x)\\'),
        ("GET", "/outputs"),
    ]:
        reply = simulator.handle(provider.id, method, path, {})
        if provider.contract.match(method, path):  # a name of a model that nobody sells
            assert reply.status == 401
        elif provider.contract.methods(path):  # where an id could stand
            assert reply.status == 405
        else:
            assert reply.status == 404
            if documented:
                check(provider, create, reply.status, reply.content)
    assert simulator.bill.count() == 0


@each_vendor
def test_a_method_that_a_path_lacks_is_a_405_with_the_true_ones(provider: Provider) -> None:
    """Whatever the method is, and of the path that fits best."""
    simulator, contract = new_simulator(), provider.contract
    for operation in contract.operations.values():
        path = full_path(operation).replace("{", "").replace("}", "")
        same = [one for one in contract.operations.values() if one.full_path == operation.full_path]
        allowed = sorted({one.method for one in same})
        for method in {"DELETE", "OPTIONS", "TRACE", "PATCH"}.difference(allowed):
            reply = simulator.handle(provider.id, method, path, key_of(provider))
            assert (reply.status, reply.headers["allow"]) == (405, ", ".join(allowed))
    assert simulator.bill.count() == 0


@each_vendor
def test_an_empty_url_is_refused(provider: Provider) -> None:
    """Whatever else a vendor checks of a URL, one must be there."""
    simulator, tried = new_simulator(), 0
    roles = ("create", "stream", "upload-base64", "upload-url")
    for one in (one for one in submits(*roles) if one.provider is provider):
        for place, value in leaves(one.body):
            if isinstance(value, str) and value.startswith(("https://", "data:")):
                *parents, last = pointer_parts(place)
                body = deepcopy(one.body)
                holder = value_at(body, parents)
                holder[int(last) if isinstance(holder, list) else last] = ""
                reply = send(simulator, provider, one.operation, body)
                assert 400 <= reply.status < 500, (place, reply.content)
                tried += 1
    assert tried > 3
    assert simulator.bill.count() == 0


def test_an_unknown_vendor_is_a_404() -> None:
    """Of nobody in particular."""
    assert Simulator().handle("nobody", "POST", "/v1", KEY).status == 404


# -- idempotency -----------------------------------------------------------------------------------


def replaying() -> list[tuple[Provider, Operation]]:
    return [(p, o) for p, o in CREATES if o.spec["x-polyreel-idempotency"]["mode"] == "replay"]


@pytest.mark.parametrize(("provider", "operation"), replaying(), ids=named)
def test_a_repeated_key_makes_no_second_job(provider: Provider, operation: Operation) -> None:
    """Same key and body: the same task, one charge, a header that says so; another body: the
    documented conflict.
    """
    policy = operation.spec["x-polyreel-idempotency"]
    simulator, one = new_simulator(), example(provider, operation)
    key = {policy["header"]: "0123456789abcdef"}
    first = send(simulator, provider, operation, one.body, headers=key)
    assert first.header(policy["replayed-header"]) is None
    finish(simulator)
    again = send(
        simulator,
        provider,
        operation,
        one.body,
        headers={policy["header"].upper(): "0123456789abcdef"},
    )
    assert (again.status, again.content) == (first.status, first.content)
    assert again.header(policy["replayed-header"]) == "true"
    other = send(
        simulator, provider, operation, {**one.body, "prompt": "something else"}, headers=key
    )
    (conflict,) = [
        body for status, _, name, body in errors(provider, operation) if name == "conflict"
    ]
    assert (other.status, json.loads(other.content)) == (409, conflict)
    assert simulator.bill.count() == len(simulator.tasks) == 1
    assert send(
        simulator, provider, operation, one.body, headers={policy["header"]: "fedcba9876543210"}
    ).ok
    assert send(simulator, provider, operation, one.body).ok
    assert simulator.bill.count() == 3
    for bad in ("short", "x" * 97, "0123456789abcde f"):
        assert (
            send(simulator, provider, operation, one.body, headers={policy["header"]: bad}).status
            == 400
        )


@each_create
def test_without_such_keys_every_submit_is_a_job(provider: Provider, operation: Operation) -> None:
    """A header that the vendor does not know changes nothing: a repeated submit is billed again."""
    simulator, one = new_simulator(), example(provider, operation)
    if operation.spec["x-polyreel-idempotency"]["mode"] == "none":
        tasks = {
            submit(simulator, one, **{"Idempotency-Key": "0123456789abcdef"}).id for _ in range(3)
        }
        assert len(tasks) == simulator.bill.count() == 3
