"""The loopback server: its limits, guests that misbehave, and how it stops."""

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
from contextlib import ExitStack

import httpx
import pytest
from polyreel.flows import Answer
from polyreel.simulator import http
from polyreel.simulator.http import Limits, connections, plain
from polyreel.simulator.http import server as house
from support.loopback import ENDINGS, GET, HALVES, QUICK, Server, ending, heard, served


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    """One server for all that leave it as it was."""
    with served(Limits(body=12_000_000)) as server:
        yield server


@pytest.fixture(autouse=True)
def _calm(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that guests do is logged as an error, but for handlers that fail."""
    yield
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in told if record.name != "polyreel"] == []


# -- limits ----------------------------------------------------------------------------------------


def test_a_body_over_the_limit_is_a_413() -> None:
    """However it is sent; a guest that sends first and reads then gets to see it."""
    with served(Limits(body=1000)) as server, httpx.Client() as client:
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
    with served(QUICK) as server:
        begin = time.monotonic()
        said = server.talk(before + half)
        assert 0.3 < time.monotonic() - begin < 2
        assert (said.count(b"HTTP/1.1 408 "), said.count(b"HTTP/1.1 200 ")) == (1, bool(before))


@pytest.mark.parametrize("start", HALVES, ids=repr)
def test_a_slow_loris_is_cut_off(start: bytes) -> None:
    """The limit is for the whole head and the whole body: a byte now and then does not help."""
    with served(QUICK) as server, server.connect(start) as guest:
        begin = time.monotonic()
        guest.settimeout(0.05)
        said = b""
        while not said and time.monotonic() - begin < 5:
            guest.sendall(b"1")
            try:
                said = guest.recv(1000)
            except TimeoutError:
                continue
        assert said.startswith(b"HTTP/1.1 40")
        assert 0.01 < time.monotonic() - begin < 2


def test_who_says_nothing_hears_nothing() -> None:
    """Before a request, and between two."""
    with served(QUICK) as server:
        begin = time.monotonic()
        assert server.talk(b"") == b""
        assert time.monotonic() - begin > 0.35
        begin = time.monotonic()
        assert server.talk(GET).count(b"HTTP/1.1") == 1
        assert 0.25 < time.monotonic() - begin < 1


def test_the_oldest_idler_makes_room() -> None:
    """Where there are too many connections, good guests are served; only those that wait for us
    stay.
    """
    with (
        served(Limits(connections=10)) as server,
        ThreadPoolExecutor(4) as pool,
        ExitStack() as stack,
    ):
        busy = [pool.submit(httpx.get, f"{server.url}/slow/1") for _ in range(4)]
        time.sleep(0.3)
        silent = stack.enter_context(server.connect(ending("silence")))
        time.sleep(0.1)
        idle = [stack.enter_context(server.connect(HALVES[n % 4])) for n in range(40)]
        for _ in range(20):
            assert httpx.get(server.url).status_code == 200
        gone = [closed(guest) for guest in idle]
        assert closed(silent)
        assert gone.count(True) >= 33
        assert not gone[39]
        assert [one.result().status_code for one in busy] == [200] * 4


def closed(guest: socket.socket) -> bool:
    guest.settimeout(0.01)
    try:
        return guest.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def test_where_all_are_busy_new_guests_are_not_welcome() -> None:
    """The connection is closed; afterwards all is as before."""
    with served(Limits(connections=2)) as server, ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(httpx.get, f"{server.url}/slow/0.6") for _ in range(2)]
        time.sleep(0.3)
        with pytest.raises(httpx.TransportError):
            httpx.get(server.url)
        assert [one.result().status_code for one in busy] == [200, 200]
        assert httpx.get(server.url).status_code == 200


def test_good_guests_are_served_among_bad_ones(shared: Server) -> None:
    """300 half-open connections, drips, silence, crumbs, bodies of 10 MB, and 50 requests of less
    than a second.
    """
    crumbs = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"1\r\nx\r\n" * 20_000
    )
    seconds = []
    with ThreadPoolExecutor(2) as pool, ExitStack() as stack:
        for half in [*HALVES * 75, *[ending("drip"), ending("silence")] * 20]:
            stack.enter_context(shared.connect(half))
        body = b"x" * 10_000_000
        large = [pool.submit(httpx.post, shared.url, content=body, timeout=30) for _ in range(2)]
        for _ in range(3):
            stack.enter_context(shared.connect(crumbs))
        for _ in range(50):
            begin = time.monotonic()
            assert httpx.get(shared.url).status_code == 200
            seconds.append(time.monotonic() - begin)
        assert [one.result().content == body for one in large] == [True, True]
    print(f"slowest {max(seconds):.3f} s")
    assert max(seconds) < 1


def test_guests_that_run_away_are_no_trouble(shared: Server) -> None:
    """At any time, with a goodbye or without; nothing is logged."""
    starts = [b"", *HALVES, GET, GET * 50, *map(ending, [*ENDINGS, "slow/0.05"])]
    for start in starts:
        for rude in (False, True):
            guest = shared.connect(start)
            if rude:
                guest.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            guest.close()
    assert httpx.get(shared.url).status_code == 200
    time.sleep(0.5)


def test_a_guest_that_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that fills all buffers is kept for a while only."""
    monkeypatch.setattr(connections, "LONGEST", 0.3)
    with served(Limits(body=20_000_000)) as server:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000000\r\n\r\n"
        with server.connect(head + b"x" * 20_000_000) as guest:
            time.sleep(1)
            assert len(heard(guest)) < 20_000_000


# -- the end ---------------------------------------------------------------------------------------


def test_the_server_stops_with_guests_in_the_house() -> None:
    """Half-open, dripping and silent ones are shown out at once; no thread stays, and the port is
    free again.
    """
    before = set(threading.enumerate())
    with ExitStack() as stack:
        with served() as server:
            inside = [
                *HALVES,
                b"",
                GET,
                ending("drip"),
                ending("silence"),
                b"GET /\0 HTTP/1.1\r\n\r\n",
            ] * 20
            kept = [stack.enter_context(server.connect(start)) for start in inside]
            assert httpx.get(server.url).status_code == 200
            begin = time.monotonic()
        assert time.monotonic() - begin < 1
        for guest in kept:
            heard(guest)
            assert closed(guest)
        with pytest.raises(ConnectionRefusedError):
            server.connect()
    assert set(threading.enumerate()) - before == set()


def test_answers_under_way_are_finished() -> None:
    """A handler that is soon ready is waited for, one that takes long is not."""
    before = set(threading.enumerate())
    with ThreadPoolExecutor(2) as pool:
        with served() as server:
            quick, slow = (
                pool.submit(httpx.get, f"{server.url}/slow/{seconds}") for seconds in (0.5, 2.5)
            )
            time.sleep(0.3)
            begin = time.monotonic()
        assert time.monotonic() - begin < 2
        assert quick.result().status_code == 200
        with pytest.raises(httpx.TransportError):
            slow.result()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
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
    try:
        for _ in range(8):
            with http.running(lambda _: plain(200, "x")) as url:
                guest = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
                if gone:
                    guest.close()
            guest.close()
            gc.collect()
    finally:
        sys.unraisablehook = before
    assert left == []
