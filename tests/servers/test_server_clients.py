"""The simulator over a port: who may ask, and clients that are rude."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest
from attrs import evolve
from polyreel.providers.base.provider import Provider
from polyreel.simulator import server
from support.peers import PATIENT, closed, never_waits, watched
from support.running import Running
from support.server import (
    KEY,
    PROVIDERS,
    example,
    key_of,
    new_simulator,
    path_of,
    send,
    status_query,
)
from support.waiting import HANGS, until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    """One server for tests that leave it as it was."""
    simulator = new_simulator()
    with server.running(simulator) as url:
        yield Running(simulator, url)


@pytest.fixture
def fresh() -> Iterator[Running]:
    """A server of one's own."""
    simulator = new_simulator()
    with server.running(simulator) as url:
        yield Running(simulator, url)


each_vendor = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.id)


# -- who may ask -----------------------------------------------------------------------------------


def test_the_index_shows_the_way(fresh: Running) -> None:
    """Every vendor with its base path, and what was billed."""
    shown = httpx.get(fresh.url + "/").json()
    assert shown["vendors"] == server.mounts()
    assert shown["billed"] == 0
    for provider in PROVIDERS:
        one = example(provider)
        url = fresh.base(provider) + one.path
        answer = httpx.post(url, json=one.body, headers=key_of(provider))
        assert answer.is_success, answer.text
    assert httpx.get(fresh.url).json()["billed"] == len(PROVIDERS)
    assert (
        httpx.get(f"{fresh.url}/nobody").status_code
        == httpx.get(f"{fresh.url}/nobody/v1").status_code
        == 404
    )


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "evil.example:{port}",
        "127.0.0.1.example",
        "localhost.example",
        "localhost@evil.example",
        "0.0.0.0",
    ],
)
def test_a_foreign_host_name_is_refused(fresh: Running, host: str) -> None:
    """A web page that points its own name at loopback gets nothing, and nothing is billed."""
    one = example(PROVIDERS[0])
    headers = {**KEY, "Host": host.format(port=fresh.port)}
    assert httpx.get(fresh.url, headers=headers).status_code == 400
    assert (
        httpx.post(fresh.base(PROVIDERS[0]) + one.path, json=one.body, headers=headers).status_code
        == 400
    )
    assert httpx.get(fresh.url, headers={"Host": f"localhost:{fresh.port}"}).status_code == 200
    assert fresh.simulator.bill.count() == 0
    assert fresh.simulator.journal == []


def test_a_web_page_gets_no_leave(fresh: Running) -> None:
    """A browser's question before a call with a key is not answered with a yes."""
    one = example(PROVIDERS[0])
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    reply = httpx.options(fresh.base(PROVIDERS[0]) + one.path, headers=headers)
    assert reply.status_code == 403
    assert httpx.options(fresh.url).status_code == httpx.post(fresh.url).status_code == 405
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_only_loopback_is_bound() -> None:
    """Other machines cannot connect, and a taken port is an error at once."""
    with server.listen(0) as bound:
        host, port = bound.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(OSError, match="in use"):
            server.listen(port)
        with socket.socket() as other, pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.2", port))


# -- clients that misbehave ------------------------------------------------------------------------


def test_a_body_over_the_limit_is_a_413(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read to its end, and nothing is billed."""
    monkeypatch.setattr(server, "MAX_BODY_BYTES", 100_000)
    one, simulator = example(PROVIDERS[0]), new_simulator()
    with server.running(simulator) as address:
        own = Running(simulator, address)
        url = own.base(PROVIDERS[0]) + one.path
        with own.connect() as peer:
            line = f"POST {httpx.URL(url).path} HTTP/1.1"
            head = f"{line}\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
            peer.sendall(head.encode() + b"x" * 200_000)
            assert peer.recv(4096).startswith(b"HTTP/1.1 413 ")
        assert (
            httpx.post(url, json={**one.body, "more": "x" * 200_000}, headers=KEY).status_code
            == 413
        )
        assert (
            httpx.post(url, json={**one.body, "more": "x" * 50_000}, headers=KEY).status_code == 200
        )
    assert simulator.bill.count() == 1


def test_slow_and_silent_clients_do_not_block_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten that say nothing, half a head or half a body: others are served meanwhile, and no error
    is logged.
    """
    monkeypatch.setattr(server, "Limits", partial(evolve, PATIENT))
    one, simulator = example(PROVIDERS[0]), new_simulator()
    path = server.mounts()[PROVIDERS[0].id] + one.path
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k\r\n"
    body = f"{head}Content-Length: 500\r\n\r\n{{"
    starts = [
        b"",
        b"POST ",
        f"POST {path} HTTP/1.1\r\nHost: loc".encode(),
        body.encode(),
        b"\x16\x03\x01\x02",
    ]
    with server.running(simulator) as url, ExitStack() as stack:
        peers = [stack.enter_context(Running(simulator, url).connect()) for _ in starts * 2]
        for peer, start in zip(peers, starts * 2, strict=True):
            peer.sendall(start)
        reply = httpx.post(url + path, json=one.body, headers=KEY, timeout=HANGS)
        assert reply.status_code == 200
        assert [closed(peer) for peer in peers[:4]] == [False] * 4  # the fifth was refused
        assert httpx.get(url).json()["billed"] == 1
    assert [
        record.getMessage()
        for record in caplog.records
        if record.levelname in {"ERROR", "CRITICAL"}
    ] == []


def test_answers_come_at_once(shared: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing on the way waits for the other side."""
    peers = watched(monkeypatch)
    with httpx.Client() as client:
        assert [client.get(shared.url).status_code for _ in range(25)] == [200] * 25
        assert [never_waits(peer) for peer in peers] == [True]


def test_the_server_stops_quickly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Clients that never finish are not waited for; afterwards the port is closed and no thread is
    left.
    """
    monkeypatch.setattr(server, "Limits", partial(evolve, PATIENT, graceful_seconds=9 * HANGS))
    before = set(threading.enumerate())
    with ExitStack() as stack:
        simulator = new_simulator()
        with server.running(simulator) as url:
            running = Running(simulator, url)
            for start in (
                b"",
                b"GET / HTTP/1.1\r\n",
                b"POST /x/y HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n",
            ):
                stack.enter_context(running.connect()).sendall(start)
            assert httpx.get(url).status_code == 200
            begin = time.monotonic()
        assert time.monotonic() - begin < HANGS
        with pytest.raises(ConnectionRefusedError):
            running.connect()
    assert set(threading.enumerate()) - before == set()
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(
    ("fault", "error", "billed"),
    [
        ("lost-reset", httpx.ReadError, 1),
        ("lost-close", httpx.RemoteProtocolError, 1),
        ("lost-cut", httpx.RemoteProtocolError, 1),
        ("lost-silence", httpx.ReadTimeout, 1),
        ("unheard-reset", httpx.ReadError, 0),
        ("unheard-close", httpx.RemoteProtocolError, 0),
    ],
)
def test_answers_get_lost_over_a_port_too(
    fresh: Running, fault: str, error: type[Exception], billed: int
) -> None:
    """What is injected ends connections for real; the next submit arrives."""
    one = example(PROVIDERS[0])
    url = fresh.base(PROVIDERS[0]) + one.path
    fresh.simulator.inject(fault)
    with httpx.Client(headers=KEY, timeout=HANGS) as client:
        patience = httpx.Timeout(HANGS, read=0.5 if fault == "lost-silence" else HANGS)
        with pytest.raises(error):
            client.post(url, json=one.body, timeout=patience)
        until(lambda: fresh.simulator.fired)
        assert fresh.simulator.bill.count() == billed
        assert client.post(url, json=one.body).status_code == 200
    assert [name for _, name in fresh.simulator.fired] == [fault]


@each_vendor
def test_quoted_paths_stay_quoted(fresh: Running, provider: Provider) -> None:
    """A quoted slash or question mark belongs to the task's id, not to the path."""
    query = status_query(provider)
    expected = send(fresh.simulator, provider, query, task="none")
    headers = "".join(f"{name}: {value}\r\n" for name, value in key_of(provider).items())
    for task in ("a%2Fb", "a%3Fb=1", "%2e%2e", "%00", "caf%C3%A9", "%ff"):
        with fresh.connect() as peer:
            line = f"GET /{provider.id}{path_of(query, task)} HTTP/1.1"
            peer.sendall(
                f"{line}\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n".encode()
            )
            answer = b"".join(iter(lambda: peer.recv(65536), b""))
        head, _, content = answer.partition(b"\r\n\r\n")
        assert (int(head.split()[1]), content) == (expected.status, expected.content)
