"""The loopback server: its limits, clients that misbehave, and how it stops."""

from __future__ import annotations

import gc
import logging
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Final

import httpx
import pytest
from attrs import evolve
from polyreel.flows import Answer
from polyreel.simulator import http
from polyreel.simulator.http import Limits, connections, plain
from polyreel.simulator.http import server as house
from polyreel.simulator.http.connections import Connection, State
from support.loopback import ENDINGS, GET, HALVES, Server, ending, received, served
from support.peers import PATIENT, watched
from support.waiting import HANGS, until


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """The clients who come from now on."""
    return watched(monkeypatch)


def quick(times: float) -> Limits:
    """Short limits, so many times as long: a client on a slow machine needs longer ones to be in
    time itself.
    """
    return Limits(head_seconds=0.4 * times, body_seconds=0.6 * times, idle_seconds=0.3 * times)


PACES: Final = (1, 8, 64)


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    """One server for all that leave it as it was."""
    with served(Limits(body=12_000_000)) as server:
        yield server


@pytest.fixture(autouse=True)
def _calm(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that clients do is logged as an error, but for handlers that fail."""
    yield
    reported = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in reported if record.name != "polyreel"] == []


# -- limits ----------------------------------------------------------------------------------------


def test_a_body_over_the_limit_is_a_413(monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is sent; a client that sends first and reads then gets to see it."""
    monkeypatch.setattr(connections, "CLOSING_SECONDS", HANGS)
    with served(Limits(body=1000)) as server, httpx.Client(timeout=HANGS) as client:
        assert client.post(server.url, content=b"x" * 1000).status_code == 200
        for size in (1001, 200_000, 30_000_000):
            for content in (b"x" * size, iter([b"x" * 1000, b"x" * (size - 1000)])):
                reply = client.post(server.url, content=content)
                assert (reply.status_code, reply.headers["connection"]) == (413, "close")
        assert len(server.seen) == 1


@pytest.mark.parametrize("half", HALVES, ids=repr)
@pytest.mark.parametrize("before", [b"", GET], ids=["first", "second"])
def test_half_a_request_is_not_waited_for(half: bytes, before: bytes) -> None:
    """It is a 408, and then the end."""
    for times in PACES:
        with served(quick(times)) as server:
            begin = time.monotonic()
            said = server.talk(before + half)
            assert time.monotonic() - begin > 0.3
        answers = (said.count(b"HTTP/1.1 408 "), said.count(b"HTTP/1.1 200 "))
        if said:  # or the server has closed before the client had said anything
            break
    assert answers == (1, bool(before))


@pytest.mark.parametrize("start", HALVES, ids=repr)
def test_a_slow_loris_is_cut_off(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is for the whole head and the whole body: a byte now and then does not help."""
    monkeypatch.setattr(connections, "CLOSING_SECONDS", HANGS)
    begin = time.monotonic()
    with served(quick(1)) as server, server.connect(start) as peer:
        peer.settimeout(0.05)
        said = b""
        while not said and time.monotonic() - begin < HANGS:
            peer.sendall(b"1")  # far more often than once within the limit
            try:
                said = peer.recv(1000)
            except TimeoutError:
                continue
        assert said.startswith(b"HTTP/1.1 40")
        assert time.monotonic() - begin > 0.01


def test_who_says_nothing_hears_nothing() -> None:
    """Before a request, and between two."""
    with served(quick(1)) as server:
        begin = time.monotonic()
        assert server.talk(b"") == b""
        assert time.monotonic() - begin > 0.35
    with served(evolve(PATIENT, idle_seconds=0.3)) as server:
        begin = time.monotonic()
        assert server.talk(GET).count(b"HTTP/1.1") == 1
        assert time.monotonic() - begin > 0.25


def test_the_oldest_idler_makes_room(inside: list[Connection]) -> None:
    """Where there are too many connections, good clients are served; only those that wait for us
    stay.
    """
    limits = evolve(PATIENT, connections=10)
    with served(limits) as server, ThreadPoolExecutor(4) as pool, ExitStack() as stack:
        stack.callback(server.free.set)
        busy = [pool.submit(httpx.get, f"{server.url}/hold", timeout=HANGS) for _ in range(4)]
        until(lambda: len(server.seen) == 4)
        silent = stack.enter_context(server.connect(ending("silence")))
        until(lambda: [peer.state for peer in inside].count(State.LINGERING) == 1)
        idle = [stack.enter_context(server.connect(HALVES[n % 4])) for n in range(40)]
        for _ in range(20):
            assert httpx.get(server.url, timeout=HANGS).status_code == 200
        assert until(lambda: closed(silent))
        until(lambda: sum(map(closed, idle)) >= 33)
        assert not closed(idle[39])
        server.free.set()
        assert [one.result().status_code for one in busy] == [200] * 4


def closed(peer: socket.socket) -> bool:
    peer.settimeout(0.01)
    try:
        return peer.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def test_where_all_are_busy_new_clients_are_not_welcome() -> None:
    """The connection is closed; afterwards all is as before."""

    def visit() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(server.url, timeout=HANGS).status_code == 200
        return False

    with served(Limits(connections=2)) as server, ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(httpx.get, f"{server.url}/hold", timeout=HANGS) for _ in range(2)]
        until(lambda: len(server.seen) == 2)
        assert not visit()
        server.free.set()
        assert [one.result().status_code for one in busy] == [200, 200]
        assert until(visit)


def test_good_clients_are_served_among_bad_ones() -> None:
    """300 half-open connections, drips, silence, crumbs, bodies of 10 MB: 50 requests do not wait
    until any is over.
    """
    crumbs = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"1\r\nx\r\n" * 20_000
    )
    limits = evolve(PATIENT, body=12_000_000)
    with served(limits) as shared, ThreadPoolExecutor(2) as pool, ExitStack() as stack:
        bad = [
            stack.enter_context(shared.connect(half))
            for half in [*HALVES * 75, *[ending("drip"), ending("silence")] * 20]
        ]
        body = b"x" * 10_000_000
        large = [pool.submit(httpx.post, shared.url, content=body, timeout=HANGS) for _ in range(2)]
        for _ in range(3):
            stack.enter_context(shared.connect(crumbs))
        for _ in range(50):
            assert httpx.get(shared.url, timeout=HANGS).status_code == 200
        assert not any(map(closed, bad))
        assert [one.result().content == body for one in large] == [True, True]


def test_clients_that_run_away_are_no_trouble(shared: Server) -> None:
    """At any time, with a goodbye or without; nothing is logged."""
    starts = [b"", *HALVES, GET, GET * 50, *map(ending, [*ENDINGS, "slow/0.05"])]
    for start in starts:
        for rude in (False, True):
            peer = shared.connect(start)
            if rude:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
    assert httpx.get(shared.url).status_code == 200
    time.sleep(0.5)


def test_a_client_that_does_not_read_is_let_go(
    monkeypatch: pytest.MonkeyPatch, inside: list[Connection]
) -> None:
    """An answer that fills all buffers is kept for a while only."""
    monkeypatch.setattr(connections, "LONGEST", 0.3)
    with served(Limits(body=20_000_000)) as server:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000000\r\n\r\n"
        with server.connect(head + b"x" * 20_000_000) as peer:
            until(inside[0].writer.transport.is_closing)
            assert len(received(peer)) < 20_000_000


# -- the end ---------------------------------------------------------------------------------------


def test_the_server_stops_with_clients_in_the_house(inside: list[Connection]) -> None:
    """Half-open, dripping and silent ones are not waited for; no thread stays, and the port is free
    again.
    """
    before = set(threading.enumerate())
    with ExitStack() as stack:
        with served(evolve(PATIENT, graceful_seconds=9 * HANGS)) as server:
            starts = [
                *HALVES,
                b"",
                GET,
                ending("drip"),
                ending("silence"),
                b"GET /\0 HTTP/1.1\r\n\r\n",
            ] * 20
            kept = [stack.enter_context(server.connect(start)) for start in starts]
            assert httpx.get(server.url, timeout=HANGS).status_code == 200
            until(
                lambda: (
                    len(inside) > len(kept)
                    and all(peer.state < State.SENDING for peer in inside[:-1])
                )
            )
            begin = time.monotonic()
        assert time.monotonic() - begin < HANGS
        for peer in kept:
            received(peer)
            assert closed(peer)
        with pytest.raises(ConnectionRefusedError):
            server.connect()
    assert set(threading.enumerate()) - before == set()


def open_when_closed(server: Server) -> None:
    """Let the handlers go on when the server takes no clients any more."""

    def stops() -> bool:
        with suppress(OSError), server.connect():
            return False
        return True

    until(stops)
    server.free.set()


def test_answers_under_way_are_finished() -> None:
    """A handler that is ready within the grace is waited for, one that takes longer is not."""
    before = set(threading.enumerate())
    with ThreadPoolExecutor(2) as pool:
        with served(Limits(graceful_seconds=HANGS)) as server:
            quick = pool.submit(httpx.get, f"{server.url}/hold", timeout=HANGS)
            until(lambda: server.seen)
            pool.submit(open_when_closed, server)
        assert quick.result().status_code == 200
        with served(Limits(graceful_seconds=0.2)) as server:
            slow = pool.submit(httpx.get, f"{server.url}/hold", timeout=HANGS)
            until(lambda: server.seen)
        with pytest.raises(httpx.TransportError):
            slow.result()  # and its handler still waits
        server.free.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(HANGS)
    assert set(threading.enumerate()) - before == set()


def test_a_server_that_nobody_visits_stops_at_once() -> None:
    """And the port can be taken again and again; a taken one is an error that leaves nothing
    behind.
    """
    with served() as server:
        port = httpx.URL(server.url).port or 0
        with (
            pytest.raises(OSError, match="in use"),
            http.running(lambda _: Answer(200, {}, b""), port),
        ):
            pass
    for _ in range(5):
        with http.running(lambda _: Answer(200, {}, b"again"), port) as url:
            assert httpx.get(url).text == "again"


def test_in_a_thread_signals_are_left_alone() -> None:
    """Only the main thread may hear them."""
    before = signal.getsignal(signal.SIGTERM)

    def inside() -> bool:
        with house._signals(lambda *_: None):
            return signal.getsignal(signal.SIGTERM) is before

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(inside).result()


@pytest.mark.parametrize("gone", [False, True])
def test_no_connection_is_left_open(gone: bool) -> None:
    """Not even one that is being accepted at the moment the server stops."""
    left: list[object] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda found: left.append(found.exc_value)
    gc.freeze()  # what other tests hold would be looked through each time
    try:
        for _ in range(8):
            with http.running(lambda _: plain(200, "x")) as url:
                peer = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
                if gone:
                    peer.close()
            peer.close()
            gc.collect()
    finally:
        sys.unraisablehook = before
    assert left == []
