"""Client and AsyncClient over sockets: other addresses, and no key in any text."""

import json
import logging
import re
import traceback
from collections.abc import Iterator
from copy import deepcopy

import pytest
from polyreel import Client
from polyreel.errors import AmbiguousError, NeverSentError, PolyreelError, RejectedError
from polyreel.places import put
from polyreel.plans.choosing import plan
from polyreel.providers.base.registry import get_provider
from polyreel_generated.contracts.vendors import VendorId
from support.faults import (
    CANARIES,
    RESET,
    SILENCE,
    VENDORS,
    Answer,
    Clients,
    FaultServer,
    Kind,
    accepted,
    encoded,
    every_kind,
    every_vendor,
    http,
    hurry,
    plans,
    raw,
)
from support.paths import TESTS
from support.waiting import DEADLINES, HANGS, until

# --- jobs and clients -----------------------------------------------------------------------------


def test_a_client_is_closed_and_opened_again(server: FaultServer) -> None:
    """Leaving the block closes connections; a call after that makes new ones."""
    made = plans(VENDORS[0], server.url)
    server.play(http(200, accepted(VENDORS[0], next(iter(made.values())))))
    with Client(keys=CANARIES, base_urls={VENDORS[0]: server.url}) as client:
        first = client.submit(next(iter(made.values())))
    assert client.get(first).id == first.id
    client.close()
    client.close()


@pytest.mark.matrix("vendor", "kind", "own_plan")
@every_kind
@every_vendor
@pytest.mark.parametrize("own_plan", [True, False], ids=["own-plan", "plan-from-elsewhere"])
def test_another_base_url_serves_the_whole_life(
    server: FaultServer, vendor: VendorId, kind: Kind, own_plan: bool
) -> None:
    """Submit and queries go to the host that was asked for, below its path, wherever the plan was
    made.
    """
    with Clients(keys=CANARIES, base_urls={vendor: f"{server.url}/sub/"}) as pair:
        made = (
            pair.by_kind[kind].plan({"prompt": "a cat"}, vendor)
            if own_plan
            else plan({"prompt": "a cat"}, vendor)
        )
        server.play(http(200, accepted(vendor, made)))
        job = pair.do(kind, "submit", made)
        assert pair.do(kind, "get", job).id == job.id
    paths = [request.target for request in server.requests]
    assert len(paths) == 2
    assert all(re.match(r"/sub/[a-z0-9]", path) for path in paths)


# --- keys -----------------------------------------------------------------------------------------


def exposed(value: BaseException) -> str:
    """All that a crash report could show of an exception: the chain, with the variables of every
    frame.
    """
    shown, waiting, seen = "", [value], set[int]()
    while waiting:
        error = waiting.pop()
        if id(error) in seen:
            continue
        seen.add(id(error))
        waiting += [each for each in (error.__cause__, error.__context__) if each is not None]
        parts = [repr(error), str(error), repr(error.args), repr(vars(error))]
        shown += "\n".join([*parts, *(line for line in report(error))])
    return shown


def report(error: BaseException) -> Iterator[str]:
    """A traceback with the variables of the package's and the libraries' frames; the tests' own
    hold the keys.
    """
    summary = traceback.TracebackException.from_exception(error, capture_locals=True)
    for frame in summary.stack:
        if not frame.filename.startswith(str(TESTS)):
            yield f"{frame.name} {frame.locals}"


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


TROUBLES = {
    "reset": RESET,
    "garbage": raw(b"\x00\x01\r\n\r\n"),
    "html": http(200, b"<html>"),
    "silence": SILENCE,
}
ECHOES = [200, 302, 400, 401, 403, 404, 429, 500]


def answer(trouble: str | int, vendor: str) -> Answer:
    """A fault, or a server that repeats the key it was sent."""
    if isinstance(trouble, str):
        return TROUBLES[trouble]
    provider = get_provider(vendor)
    call = next(one for one in provider.contract.operations.values() if one.role == "create")
    replies = provider.contract.replies(call)
    body = next(body for status, _, _, body in replies if status == 401)
    place = "error.message" if isinstance(body.get("error"), dict) else "message"
    body = {**deepcopy(body), "headers": [f"Bearer {CANARIES[vendor]}"]}
    put(body, place, f"bad key {CANARIES[vendor]}")
    return http(trouble, encoded(body))


@pytest.mark.matrix("vendor", "kind", "trouble")
@every_kind
@every_vendor
@pytest.mark.parametrize("trouble", [*TROUBLES, *ECHOES])
def test_no_exception_shows_a_key(
    server: FaultServer,
    vendor: VendorId,
    kind: Kind,
    trouble: str | int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not in its text, its chain, the variables of its frames, nor in any log at its most
    talkative.
    """
    caplog.set_level(logging.DEBUG)
    with Clients(keys=CANARIES, base_urls=dict.fromkeys(VENDORS, server.url)) as pair:
        client = pair.by_kind[kind]
        for deadline in DEADLINES if trouble == "silence" else [HANGS]:
            hurry(monkeypatch, deadline)
            server.play(answer(trouble, vendor))
            with pytest.raises(PolyreelError) as caught:
                pair.do(kind, "submit", client.plan({"prompt": "a cat"}, vendor))
            if not isinstance(caught.value, NeverSentError):
                break
        shown = (
            exposed(caught.value)
            + repr(client)
            + str(client)
            + repr(client.wire)
            + str(client.wire)
        )
    until(lambda: server.posts == 1)
    assert CANARIES[vendor] in server.requests[0].headers["authorization"]
    logged = "\n".join(f"{record.getMessage()} {record.args}" for record in caplog.records)
    assert {"httpcore.http11", "httpcore.connection"} <= {record.name for record in caplog.records}
    assert "CANARY" not in shown + logged + caplog.text
    if trouble in {400, 401, 403, 404}:
        provider = get_provider(vendor)
        proof = provider.operation(provider.routes[0]).spec["x-polyreel-not-accepted"]
        assert isinstance(caught.value, RejectedError if trouble in proof else AmbiguousError)
        assert "bad key ****" in str(caught.value)


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_no_job_and_no_plan_shows_a_key(server: FaultServer, vendor: VendorId, kind: Kind) -> None:
    """A vendor that repeats the key in its answers does not get it into stored jobs."""
    base_urls = dict.fromkeys(VENDORS, server.url)
    with Clients(keys=CANARIES, base_urls=base_urls) as pair:
        made = pair.by_kind[kind].plan({"prompt": "a cat"}, vendor)
        body = {
            **json.loads(accepted(vendor, made)),
            "seen": {"authorization": f"Bearer {CANARIES[vendor]}"},
        }
        server.play(http(200, encoded(body)))
        job = pair.do(kind, "get", pair.do(kind, "submit", made))
    assert job.raw["seen"] == {"authorization": "Bearer ****"}
    assert "CANARY" not in repr(job) + job.model_dump_json() + repr(made) + str(made)
