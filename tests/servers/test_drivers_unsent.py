"""Paid calls that never leave, and the drivers themselves."""

import asyncio
import errno
import io
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from polyreel import AsyncClient, drivers
from polyreel.errors import NeverSentError, PolyreelError, TransportError
from polyreel.flows import Part, Send, Sleep, send
from polyreel.plans.planning import Plan
from polyreel.providers.base.registry import get_provider
from support.faults import (
    CANARIES,
    SILENCE,
    VENDORS,
    Answer,
    Clients,
    FaultServer,
    Kind,
    accepted,
    every_kind,
    every_vendor,
    http,
    hurry,
    plans,
    raw,
)
from support.waiting import DEADLINES, HANGS, until

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture(scope="module")
def clients(server: FaultServer) -> Iterator[Clients]:
    with Clients(keys=CANARIES, base_urls=dict.fromkeys(VENDORS, server.url)) as pair:
        yield pair


def any_plan(clients: Clients, vendor: str) -> Plan:
    base_url = clients.by_kind["blocking"].base_urls[vendor]
    return next(iter(plans(vendor, base_url).values()))


def failure(clients: Clients, kind: Kind, made: Plan) -> PolyreelError:
    """What a submit fails with."""
    with pytest.raises(PolyreelError) as caught:
        clients.do(kind, "submit", made)
    return caught.value


# --- before anything is sent ----------------------------------------------------------------------


def no_such_host(*_: Any, **__: Any) -> Any:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


UNREACHABLE = {
    "refused": "http://127.0.0.1:9",
    "no-such-host": "http://vendor.invalid",
    "label-too-long": f"http://{'a' * 64}.invalid",
    "no-tls": "https://127.0.0.1:{port}",
}


@pytest.mark.matrix("trouble", "vendor", "kind")
@every_kind
@every_vendor
@pytest.mark.parametrize("trouble", UNREACHABLE)
def test_what_fails_before_the_first_byte_was_never_sent(
    server: FaultServer, trouble: str, vendor: str, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing left, so nothing was billed: it is safe to try again."""
    if trouble == "no-such-host":
        monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
    server.play(raw(b"no TLS here\r\n", early=True))
    with Clients(
        keys=CANARIES, base_urls={vendor: UNREACHABLE[trouble].format(port=server.port)}
    ) as pair:
        error = failure(pair, kind, any_plan(pair, vendor))
    assert type(error) is NeverSentError
    assert (error.billed, error.vendor) == ("no", vendor)
    assert server.requests == []


@every_kind
def test_a_handshake_that_never_ends_was_never_sent(
    server: FaultServer, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS is not up, so no byte of the request has left, whoever waits."""
    hurry(monkeypatch, 0.4)
    server.play(Answer(SILENCE.act, early=True))
    with Clients(keys=CANARIES, base_urls={VENDORS[0]: f"https://127.0.0.1:{server.port}"}) as pair:
        error = failure(pair, kind, any_plan(pair, VENDORS[0]))
    assert type(error) is NeverSentError
    assert "in time" in str(error)


@every_kind
def test_a_connection_that_is_never_made_was_never_sent(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that drops packets: a listener whose queue is full looks like one."""
    hurry(monkeypatch, 0.4)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        queue = [socket.socket() for _ in range(4)]
        for each in queue:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        with Clients(keys=CANARIES, base_urls={VENDORS[0]: f"http://127.0.0.1:{port}"}) as pair:
            assert type(failure(pair, kind, any_plan(pair, VENDORS[0]))) is NeverSentError
        for each in queue:
            each.close()


def test_waiting_for_a_connection_sends_nothing(clients: Clients, server: FaultServer) -> None:
    """More paid calls at once than connections: what never got one was never sent."""
    server.play(SILENCE)
    wire = clients.by_kind["awaiting"].wire

    def calls(number: int, deadline: float) -> Any:
        steps = [Send(VENDORS[0], "POST", server.url, deadline=deadline, paid=True)] * number
        return asyncio.gather(
            *(drivers.arun(send(step), wire) for step in steps), return_exceptions=True
        )

    async def crowd() -> tuple[list[Any], list[Any]]:
        first = calls(16, HANGS)
        await asyncio.to_thread(until, lambda: server.posts == 16)  # all connections are taken
        late = await calls(4, 0.2)
        assert server.posts == 16
        await asyncio.to_thread(server.play, SILENCE)  # hangs up
        return await first, late

    first, late = clients.runner.run(crowd())
    assert [error.sent for error in first + late] == [True] * 16 + [False] * 4
    assert server.posts == 0


@every_kind
def test_a_missing_key_sends_nothing(server: FaultServer, kind: Kind) -> None:
    """A live client calls only vendors whose key it has, and only at their own hosts."""
    server.play(http(200))
    vendor, other = VENDORS[0], VENDORS[-1]
    with Clients(keys={vendor: CANARIES[vendor]}, base_urls={other: server.url}) as pair:
        elsewhere = next(iter(plans(vendor, server.url).values()))
        for made, why in ((any_plan(pair, other), f"no key for {other};"), (elsewhere, "only to")):
            error = failure(pair, kind, made)
            assert type(error).__name__ == "KeyMissingError"
            assert error.billed == "no"
            assert why in str(error)
        # There is a key, but for another address: both are said, and what to do.
        for said in (f"no key for {vendor} at {server.url}", f"--base-url {vendor}=URL"):
            assert said in str(error)
    assert server.connections == 0


# --- the drivers themselves -----------------------------------------------------------------------


def perform(clients: Clients, kind: Kind, step: Send) -> TransportError:
    """What one step fails with."""
    wire = clients.by_kind[kind].wire
    with pytest.raises(TransportError) as caught:
        _ = (
            clients.runner.run(drivers.arun(send(step), wire))
            if kind == "awaiting"
            else drivers.run(send(step), wire)
        )
    return caught.value


@every_kind
def test_a_body_that_is_not_taken_ends_at_the_deadline(
    clients: Clients, server: FaultServer, kind: Kind
) -> None:
    """A server that stops reading holds a call no longer than one that stops writing."""
    server.play(Answer(SILENCE.act, early=True))
    for deadline in DEADLINES:
        step = Send(
            VENDORS[0], "POST", server.url, content=b"x" * 30_000_000, deadline=deadline, paid=True
        )
        error = perform(clients, kind, step)
        if error.sent:
            break
    assert error.sent
    assert "in time" in str(error)


class Broken(type(Path())):  # type: ignore[misc]
    """A file on a disk that fails."""

    def open(self, *_: Any, **__: Any) -> Any:
        class File(io.BytesIO):
            def read(self, *_: Any) -> bytes:
                raise OSError(errno.EIO, "Input/output error")

        return File(b"x" * 100)


@every_kind
def test_a_file_that_fails_is_reported(
    clients: Clients, server: FaultServer, tmp_path: Path, kind: Kind
) -> None:
    """A file that is gone stops a call before it; one that breaks off in the middle leaves it in
    doubt.
    """
    server.play(http(200))
    gone = Send(
        VENDORS[0],
        "POST",
        server.url,
        parts=(Part("image", path=tmp_path / "gone.png"),),
        paid=True,
    )
    error = perform(clients, kind, gone)
    assert (error.sent, server.connections) == (False, 0)
    assert "gone.png cannot be read: No such file" in str(error)
    broken = evolve(gone, parts=(Part("image", path=Broken(tmp_path / "broken.png")),))
    assert perform(clients, kind, broken).sent
    assert server.posts == 0


def test_an_async_client_outlives_its_loop(server: FaultServer) -> None:
    """Connections belong to an event loop; a client that is used in another one makes new ones."""
    vendor = VENDORS[0]
    made = next(iter(plans(vendor, server.url).values()))
    server.play(http(200, accepted(vendor, made)))
    client = AsyncClient(keys=CANARIES, base_urls={vendor: server.url})

    async def submit_and_ask() -> Any:
        async with client:
            return await client.get(await client.submit(made))

    first, second = asyncio.run(submit_and_ask()), asyncio.run(submit_and_ask())
    assert first.id == second.id


def test_pauses_are_never_shorter_than_asked() -> None:
    """Jitter spreads calls; it does not come before a vendor's floor or Retry-After."""
    wire = drivers.Wire()
    pauses = [wire.pause(Sleep(10.0, jitter=0.2)) for _ in range(200)]
    assert all(10.0 <= pause <= 12.0 for pause in pauses)
    assert len(set(pauses)) > 100
    assert wire.pause(Sleep(-1.0)) == 0.0


def test_setting_the_machines_time_moves_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock starts at the machine's time and then follows one that only goes forward."""
    clock = drivers.RealClock()
    before = clock.now()
    monkeypatch.setattr(time, "time", lambda: before + 3600)
    clock.sleep(0.01)
    asyncio.run(clock.asleep(0.01))
    assert 0.02 <= clock.now() - before < 3600


def test_vendors_own_hosts_are_their_own() -> None:
    """No two vendors share an origin, so that no key can go to another vendor."""
    origins = [drivers.origin(url) for vendor in VENDORS for url in get_provider(vendor).servers]
    assert len(origins) == len(set(origins))
