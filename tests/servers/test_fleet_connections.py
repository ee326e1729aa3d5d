"""Many jobs waited for at once over real connections, with either HTTP library."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from polyreel import AsyncClient, Network, Simulator
from polyreel.drivers import Wire, wire
from polyreel.errors import MissingExtraError, StillRunningError, TransportError, VendorError
from polyreel.flows import Part, Send
from polyreel.jobs.many import Completed
from polyreel.providers.base.registry import get_provider
from polyreel.simulator import RunningClock, VirtualClock, server
from polyreel_generated.shared import Job
from support.faults import (
    CANARIES,
    VENDORS,
    FaultServer,
    accepted,
    authorization,
    encoded,
    every_vendor,
    http,
    plans,
    raw,
)
from support.fleet import BY_ID, START, ids
from support.waiting import HANGS

SPEED = 100.0


@pytest.fixture(params=["fast", "plain"])
def connections(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> str:
    """With the connections that are faster, and without them."""
    choose(str(request.param), monkeypatch, tmp_path)
    return str(request.param)


def choose(kind: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let every client use one kind of connections."""
    file = folder / "network.toml"
    file.write_text(f"fast = {'true' if kind == 'fast' else 'false'}\n", encoding="utf-8")
    monkeypatch.setenv("POLYREEL_NETWORK", str(file))


@pytest.mark.parametrize("wanted", [True, False])
def test_the_extra_is_used_where_it_is_asked_for(wanted: bool) -> None:
    """For calls that cost nothing and have no files, to the vendor's own origins."""
    free = Send("acme", "GET", "https://acme.example/v1/tasks/1")
    others = [evolve(free, paid=True), evolve(free, parts=(Part("x", "y"),))]
    others += [
        evolve(free, url=url)
        for url in ("https://other.example/v1", "https://ACME.example/v1", "https:/x", "")
    ]

    async def take() -> list[bool]:
        hosts = {"acme": frozenset({"https://acme.example"})}
        made = Wire(hosts=hosts, network=Network(fast=wanted))
        found = [made.fast_connections(step) is not None for step in (free, *others)]
        await made.aclose()
        return found

    assert asyncio.run(take()) == [wanted, *(False for _ in others)]


def test_where_the_extra_is_missing_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who asks for faster connections gets others without a word."""
    monkeypatch.setattr(wire, "_fast", wire._fast.__wrapped__)  # asks anew
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.delitem(sys.modules, "polyreel.drivers.fast", raising=False)

    async def ask() -> None:
        keys, network = {VENDORS[0]: CANARIES[VENDORS[0]]}, Network(fast=True)
        async with AsyncClient(keys=keys, network=network) as client:
            await client.get(job_of(VENDORS[0]))

    with pytest.raises(MissingExtraError, match=r"polyreel\[fast\]"):
        asyncio.run(ask())


def at(url: str, **options: Any) -> AsyncClient:
    """A client whose vendors are all served at one address."""
    urls = {vendor: url + path for vendor, path in server.mounts().items()}
    client = AsyncClient(keys=CANARIES, base_urls=urls, retries=0, **options)
    client.wire.clock = RunningClock(SPEED)
    return client


def test_many_jobs_complete_over_real_connections(
    connections: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the key of each vendor for that vendor alone, and several asked about with one call."""
    simulator = Simulator(seed=1, clock=RunningClock(SPEED))
    seen: list[tuple[str, str | None]] = []
    handle = Simulator.handle

    def received(
        own: Simulator,
        vendor: str,
        method: str,
        target: str,
        headers: Mapping[str, str],
        *rest: Any,
    ) -> Any:
        seen.append(
            (vendor, {name.lower(): value for name, value in headers.items()}.get("authorization"))
        )
        return handle(own, vendor, method, target, headers, *rest)

    monkeypatch.setattr(Simulator, "handle", received)

    async def work(url: str) -> tuple[list[Job], list[Completed]]:
        async with at(url) as client:
            made = [
                client.plan({"prompt": "a cat", "duration": 3}, get_provider(vendor))
                for vendor in VENDORS
            ]
            jobs = [await client.submit(plan) for plan in made for _ in range(10)]
            return jobs, [end async for end in client.as_completed(jobs, timeout=HANGS * SPEED)]

    with server.running(simulator) as url:
        jobs, ends = asyncio.run(work(url))
    assert ids(ends) == ids(jobs)
    assert {(end.job.status, end.error) for end in ends} == {("succeeded", None)}
    assert set(seen) == {(vendor, authorization(vendor)) for vendor in VENDORS}
    assert (
        Counter(method for vendor, method, _ in simulator.journal if vendor == BY_ID[0])["POST"]
        > 10
    )


def query(base: str, vendor: str = VENDORS[0], **options: Any) -> Callable[[], Any]:
    """One awaited status query at an address."""

    async def ask() -> Any:
        async with AsyncClient(
            keys=CANARIES, base_urls={vendor: base}, retries=0, **options
        ) as client:
            client.wire.clock = VirtualClock(START)
            return await client.get(job_of(vendor))

    return lambda: asyncio.run(ask())


def job_of(vendor: str) -> Job:
    """A live job that may be asked about."""
    fixed = {"vendor": vendor, "model": "m", "workflow": "text-to-video", "simulated": False}
    return Job.model_validate({**fixed, "id": "task-1", "status": "queued", "created_at": START})


@every_vendor
def test_a_redirect_does_not_take_the_key_along(vendor: str, connections: str) -> None:
    """A status query that is sent elsewhere is a refused one, and nobody hears of the key there."""
    with FaultServer() as own, FaultServer() as other:
        made = next(iter(plans(vendor).values()))
        other.play(http(200, accepted(vendor, made)))
        own.play(http(302, b"{}", {"Location": f"{other.url}/v1/here"}))
        with pytest.raises(VendorError) as caught:
            query(own.url, vendor)()
        assert caught.value.status == 302
        assert other.connections == 0
        assert [one.headers["authorization"] for one in own.requests] == [authorization(vendor)]
        assert not {"cookie", "proxy-authorization"} & own.requests[0].headers.keys()


def test_cookies_are_not_kept(connections: str) -> None:
    """What one answer sets is not in the next request."""
    vendor = VENDORS[0]
    made = next(iter(plans(vendor).values()))

    async def twice(url: str) -> None:
        async with AsyncClient(keys=CANARIES, base_urls={vendor: url}) as client:
            await client.get(job_of(vendor))
            await client.get(job_of(vendor))

    with FaultServer() as own:
        own.play(http(200, accepted(vendor, made), {"Set-Cookie": "a=b; Path=/"}))
        asyncio.run(twice(own.url))
        assert len(own.requests) == 2
        assert not any("cookie" in one.headers for one in own.requests)


def test_both_kinds_of_connections_send_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Target, headers and body of status queries about one job and about several."""

    async def ask(url: str, vendor: str) -> None:
        async with AsyncClient(keys=CANARIES, base_urls={vendor: url}) as client:
            client.wire.clock, client.wire.randomness = RunningClock(SPEED), random.Random(1)
            two = [job_of(vendor), job_of(vendor).model_copy(update={"id": "task-2"})]
            for jobs in (two, two[:1]):
                assert len(await _listed(client.as_completed(jobs, timeout=HANGS * SPEED))) == len(
                    jobs
                )

    def requests(vendor: str) -> list[Any]:
        with FaultServer() as own:
            own.play(http(401, b"{}"))
            asyncio.run(ask(own.url, vendor))
            host, key = own.url.removeprefix("http://"), CANARIES[vendor]
            headers = [
                {
                    name: value.replace(host, "host").replace(key, "key")
                    for name, value in one.headers.items()
                }
                for one in own.requests
            ]
            reported = [
                (one.target, one.method, one.body, found)
                for one, found in zip(own.requests, headers, strict=True)
            ]
            return sorted(
                reported, key=str
            )  # two that are under way at once may arrive in any order

    for vendor in VENDORS:
        choose("fast", monkeypatch, tmp_path)
        quick = requests(vendor)
        with monkeypatch.context() as patch:
            choose("plain", patch, tmp_path)
            assert requests(vendor) == quick
        assert {headers["accept-encoding"] for *_, headers in quick} == {"identity"}
        sent = authorization(vendor).replace(CANARIES[vendor], "key")
        assert {headers["authorization"] for *_, headers in quick} == {sent}


GARBAGE = {
    "no-http": b"hello\r\n\r\n",
    "odd-status": b"HTTP/1.1 abc OK\r\n\r\n",
    "odd-header": b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
    "odd-length": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
    "odd-chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "long-header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n{}",
    "nothing": b"",
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_not_http_is_a_transport_error(name: str, connections: str) -> None:
    """Whatever comes back is an error that says so, and one that may have been sent."""
    with FaultServer() as own:
        own.play(raw(GARBAGE[name]))
        with pytest.raises(TransportError) as caught:
            query(own.url)()
        assert "CANARY" not in str(caught.value)


def test_who_refuses_connections_is_reported_of(connections: str) -> None:
    """Not as a vendor that is slow: no time ran out."""
    with FaultServer() as own:
        url = own.url
    with pytest.raises(TransportError) as caught:
        query(url)()
    # The faster connections do not tell whether anything has left, and paid calls never take them.
    assert caught.value.sent == (connections == "fast")
    assert "connection failed" in str(caught.value)


def test_a_vendor_that_hangs_up_is_reported_of(connections: str) -> None:
    """Not as a vendor that is slow: and the request has left."""
    with FaultServer() as own:
        own.play(raw(b""))
        with pytest.raises(TransportError) as caught:
            query(own.url)()
    assert "connection failed" in str(caught.value)
    assert caught.value.sent


async def _listed(iteration: AsyncIterator[Completed]) -> list[Completed]:
    return [end async for end in iteration]


def test_garbage_from_one_vendor_stops_no_other(connections: str) -> None:
    """A vendor whose answers are no HTTP is one that is down."""
    first, second = VENDORS[0], VENDORS[1]
    provider = get_provider(second)
    status = provider.contract.operation("get")
    assert status is not None
    body = next(
        body
        for code, _, name, body in provider.contract.replies(status)
        if name == "failed" and code == 200
    )

    async def work(bad: str, good: str, seconds: float) -> list[Completed]:
        async with AsyncClient(
            keys=CANARIES, base_urls={first: bad, second: good}, retries=0
        ) as client:
            client.wire.clock = RunningClock(SPEED)
            async with asyncio.timeout(2 * HANGS):
                jobs = [job_of(first), job_of(second)]
                return await _listed(client.as_completed(jobs, timeout=seconds * SPEED))

    with FaultServer() as bad, FaultServer() as good:
        bad.play(raw(GARBAGE["no-http"]))
        good.play(http(200, encoded(body)))
        for seconds in (
            1.0,
            10.0,
            HANGS,
        ):  # the good one is answered within the first, unless the machine is slow
            errors = {
                end.job.vendor: end.error for end in asyncio.run(work(bad.url, good.url, seconds))
            }
            if errors[second] is None:
                break
    assert errors[second] is None
    assert isinstance(errors[first], StillRunningError)
