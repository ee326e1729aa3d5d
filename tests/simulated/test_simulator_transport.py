"""The simulated vendors behind httpx, without a socket."""

from __future__ import annotations

import asyncio
import json
import time

import httpx
import pytest
from polyreel.flows import Reply
from polyreel.providers.base.contract import Contract
from polyreel.providers.base.provider import Provider
from polyreel.serving.calls import creating
from polyreel.simulator import RunningClock, VirtualClock
from polyreel.simulator.transport import SimulatedTransport
from support.server import (
    CREATES,
    PROVIDERS,
    START,
    STREAMS,
    Submit,
    each_vendor,
    each_workflow,
    example,
    key_of,
    new_simulator,
    path_of,
    status_query,
)


@each_workflow
def test_the_transport_serves_the_documented_addresses(one: Submit) -> None:
    """An httpx client reaches each vendor at its own base URL, blocking and awaiting, and the files
    too.
    """
    simulator = new_simulator()
    query = status_query(one.provider)
    url = one.operation.server + one.path
    key = key_of(one.provider)
    with httpx.Client(transport=SimulatedTransport(simulator), headers=key) as client:
        made = client.post(url, json=one.body)
        facts = one.provider.read(Reply(made.status_code, {}, made.content))
        host = query.server.removesuffix(httpx.URL(query.server).path)
        assert client.get(host + path_of(query, str(facts.id))).is_success

    async def again() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=SimulatedTransport(simulator), headers=key
        ) as awaiting:
            return await awaiting.post(url, json=one.body)

    assert asyncio.run(again()).status_code == made.status_code
    assert simulator.bill.count() == 2


@pytest.mark.matrix("provider", "base")
@each_vendor
@pytest.mark.parametrize(
    "base", ["https://gateway.example", "https://gateway.example:8443/some/path"]
)
def test_the_transport_serves_other_base_urls(provider: Provider, base: str) -> None:
    """Another base URL stands for the documented one; the rest of that host is nobody's."""
    simulator, one = new_simulator(), example(provider)
    transport = SimulatedTransport(simulator, {provider.id: base})
    with httpx.Client(transport=transport, headers=key_of(provider)) as client:
        for start in (base, provider.base_url):
            reply = client.post(start + one.path, json=one.body)
            assert reply.status_code == one.accepted
        assert client.get(base + "/none/none?x=%2F").status_code in {404, 405}
        if base.endswith("/path"):
            elsewhere = client.post("https://gateway.example:8443" + one.path, json=one.body)
            assert elsewhere.status_code in {404, 422}
    assert simulator.bill.count(provider.id) == 2


def test_the_transport_connects_to_nobody_else() -> None:
    """A host that is no vendor's is a connection error: nothing ever leaves."""
    simulator = new_simulator()
    with httpx.Client(transport=SimulatedTransport(simulator)) as client:
        for url in (
            "https://example.com/",
            "http://127.0.0.1:1/",
            "https://simulator.invalid.example/",
        ):
            with pytest.raises(httpx.ConnectError):
                client.post(url)
        for provider in PROVIDERS:
            plain = provider.base_url.replace("https://", "http://")
            with pytest.raises(httpx.ConnectError):
                client.post(plain + example(provider).path)
        assert client.get("https://simulator.invalid/nobody/v1").status_code == 404
        assert client.get("https://simulator.invalid/").status_code == 404
    assert simulator.bill.count() == 0


@each_vendor
def test_a_vendor_that_documents_no_errors_still_refuses(provider: Provider) -> None:
    """A sparse spec, as a third party may have, makes plain answers and no crash."""
    document = json.loads(json.dumps(provider.contract.document))
    for item in document["paths"].values():
        for operation in item.values():
            operation["responses"] = {
                code: reported for code, reported in operation["responses"].items() if code < "300"
            }
    sparse = type(provider)()
    sparse.__dict__["contract"] = Contract(document)
    simulator = new_simulator(balance=0, providers={provider.id: sparse})
    one, key = example(provider), key_of(provider)
    path, good = one.full_path, json.dumps(one.body).encode()
    seen = [
        simulator.handle(provider.id, "POST", path, headers, content).status
        for headers, content in (({}, good), (key, b""), (key, b"{}"), (key, good))
    ]
    assert seen == [401, 400, 400, 402]
    assert (
        simulator.handle(provider.id, "GET", path_of(status_query(provider), "none"), key).status
        == 404
    )
    assert simulator.handle(provider.id, "GET", "/none/none", key).status in {404, 405}
    assert simulator.bill.count() == 0


def test_every_submit_reads_back_as_its_create() -> None:
    """A stream has the bodies of one create, which is how it is read."""
    for one in STREAMS:
        assert (one.provider, creating(one.provider, one.operation)) in CREATES


def test_clocks_only_go_forward() -> None:
    """The virtual one jumps instead of sleeping, the running one runs faster than life."""
    clock = VirtualClock(START)
    for seconds in (5, -3, 0.5):
        clock.advance(seconds)
    clock.sleep(2)
    asyncio.run(clock.asleep(2.5))
    assert clock.now() == START + 10
    assert VirtualClock().now() == pytest.approx(time.time(), abs=60)
    fast = RunningClock(speed=1e6)
    before = fast.now()
    time.sleep(0.01)
    assert fast.now() - before > 1000
