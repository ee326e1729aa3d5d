"""The loopback server: answers that end badly on purpose, and guests that do."""

from __future__ import annotations

import gc
import json
import logging
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

import httpx
import pytest
from attrs import define
from polyreel.flows import Answer, Ending
from polyreel.simulator import http
from polyreel.simulator.http import HttpRequest, Limits, connections, plain
from polyreel.simulator.http import server as house

TEXT: Final = b"0123456789" * 10
GET: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
QUICK: Final = Limits(head_seconds=0.4, body_seconds=0.6, idle_seconds=0.3)
ENDINGS: Final[tuple[Ending, ...]] = ("cut", "drip", "close", "reset", "silence")


@define
class Server:
    """A server in a thread, which answers as its requests ask, and keeps them."""

    url: str
    seen: list[HttpRequest]

    def connect(self, sent: bytes = b"", timeout: float = 5) -> socket.socket:
        """A bare connection that has sent this."""
        guest = socket.create_connection(
            ("127.0.0.1", httpx.URL(self.url).port or 0), timeout=timeout
        )
        guest.sendall(sent)
        return guest

    def talk(self, sent: bytes, timeout: float = 5) -> bytes:
        """All that the server says to this, until it closes the connection."""
        with self.connect(sent, timeout) as guest:
            return rest(guest)


def rest(guest: socket.socket) -> bytes:
    return b"".join(iter(lambda: guest.recv(65536), b""))


def heard(guest: socket.socket) -> bytes:
    """What comes until the connection ends somehow, or nothing comes any more."""
    got = b""
    with suppress(ConnectionResetError, TimeoutError):
        while data := guest.recv(1_000_000):
            got += data
    return got


def ending(name: str, method: str = "GET") -> bytes:
    return f"{method} /{name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


@contextmanager
def served(limits: Limits | None = None) -> Iterator[Server]:
    """`/<ending>` ends so, `/empty/<ending>` has no body; `/fail`, `/bad...` and `/slow` do what they say."""
    seen: list[HttpRequest] = []

    def handler(request: HttpRequest) -> Answer:
        seen.append(request)
        first, _, second = request.target.strip("/").partition("/")
        if first == "fail":
            raise ValueError(f"secret {request.content!r}")
        if first == "slow":
            time.sleep(float(second))
        if first == "status":
            return Answer(int(second), {}, b"")
        headers = (
            {"X-Odd": "a\r\nb: c"} if first == "bad-header" else {"Content-Type": "text/plain"}
        )
        known: Any = {*ENDINGS} & {first, second}
        content = b"" if first == "empty" else request.content or TEXT
        return Answer(299 if first == "odd" else 200, headers, content, *known)

    with http.running(handler, limits=limits or Limits()) as url:
        yield Server(url, seen)


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


# -- requests and answers ----------------------------------------------------------------------------


def test_a_request_arrives_as_it_was_sent(shared: Server) -> None:
    """Method, quoted target, lower-case headers, content, and the address that the guest knows."""
    url = f"{shared.url.replace('127.0.0.1', 'localhost')}/a%2Fb/%ff?x=%20&x=2"
    reply = httpx.put(
        url, content=b"abc\0", headers=[(b"X-One", b"1"), (b"x-one", b"2"), (b"X-Two", b"caf\xe9")]
    )
    assert (reply.status_code, reply.content, reply.headers["content-type"]) == (
        200,
        b"abc\0",
        "text/plain",
    )
    assert "date" in reply.headers
    request = shared.seen[-1]
    assert (request.method, request.target) == ("PUT", "/a%2Fb/%ff?x=%20&x=2")
    assert (request.headers["x-one"], request.headers["x-two"]) == ("1, 2", "caf\xe9")
    assert (request.content, request.base) == (
        b"abc\0",
        f"http://localhost:{httpx.URL(shared.url).port}",
    )


def test_many_requests_come_over_one_connection(shared: Server) -> None:
    """One after the other, all at once, and with bodies: answers come in order, and none is late."""
    with httpx.Client() as client:
        begin = time.monotonic()
        assert all(client.post(shared.url, content=str(n)).text == str(n) for n in range(200))
        assert time.monotonic() - begin < 4
    many = [
        f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n{n}".encode()
        for n in range(100, 200)
    ]
    with shared.connect(
        b"".join(many) + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    ) as guest:
        answers = rest(guest).split(b"HTTP/1.1 200 OK\r\n")
    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers[1:]] == [
        str(n).encode() for n in range(100, 200)
    ] + [TEXT]


def test_a_half_closed_guest_gets_its_answer(shared: Server) -> None:
    """A guest may say that it has said everything, and be answered, in HTTP/1.0 too."""
    for sent in (GET, b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"):
        with shared.connect(sent) as guest:
            guest.shutdown(socket.SHUT_WR)
            assert rest(guest).endswith(b"\r\n\r\n" + TEXT)


def test_chunks_and_trailers_are_taken(shared: Server) -> None:
    """A body of unknown length arrives whole, also in crumbs."""
    pieces = [b"x" * size for size in (1, 70_000, 3)]
    assert httpx.post(shared.url, content=iter(pieces)).content == b"".join(pieces)
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert shared.talk(head + b"1\r\nx\r\n" * 500 + b"0\r\nX-Sum: 1\r\n\r\n").endswith(
        b"\r\n\r\n" + b"x" * 500
    )


def test_the_body_is_asked_for(shared: Server) -> None:
    """A guest that waits for 100 Continue hears it; it does not where the body will not be taken."""
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    with shared.connect(head % 5) as guest:
        assert guest.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        guest.sendall(b"hello")
        assert rest(guest).endswith(b"\r\n\r\nhello")
    with shared.connect(head % 12_000_001) as guest:
        assert guest.recv(12).endswith(b" 413")


def test_head_and_empty_answers_have_no_body(shared: Server) -> None:
    """HEAD tells the length that GET would have; the connection goes on."""
    with httpx.Client() as client:
        for _ in range(3):
            assert client.head(shared.url).headers["content-length"] == str(len(TEXT))
            for status in (204, 304):
                reply = client.get(f"{shared.url}/status/{status}")
                assert (reply.status_code, reply.content) == (status, b"")
                assert "content-length" not in reply.headers
            assert client.get(f"{shared.url}/odd").status_code == 299
    assert shared.talk(ending("cut", "HEAD")) == b""
    assert b"\r\n\r\n{" not in shared.talk(b"HEAD / HTTP/1.1\r\nHost: evil.example\r\n\r\n")


@pytest.mark.parametrize("path", ["fail", "bad-header", "status/99", "status/100", "status/x"])
def test_a_handler_that_fails_is_a_500(
    shared: Server, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The guest learns nothing, the log the place without the request; the server goes on."""
    with httpx.Client() as client:
        reply = client.post(f"{shared.url}/{path}", content=b"canary")
        assert (reply.status_code, reply.json()) == (500, {"message": "this server has failed"})
        assert client.get(shared.url).status_code == 200
    (record,) = [record for record in caplog.records if record.name == "polyreel"]
    assert record.levelname == "ERROR"
    assert "Error" in record.getMessage()
    assert "canary" not in caplog.text


# -- endings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["{}", "empty/{}"])
def test_endings_as_a_socket_sees_them(shared: Server, path: str) -> None:
    """Half a body, nothing, a reset; an answer of no byte cannot arrive whole either."""
    head, _, content = shared.talk(ending(path.format("cut"))).partition(b"\r\n\r\n")
    half, length = (b"", 1) if "empty" in path else (TEXT[:50], 100)
    assert (content, f"content-length: {length}".encode() in head) == (half, True)
    assert shared.talk(ending(path.format("close"))) == b""
    with pytest.raises(ConnectionResetError):
        shared.talk(ending(path.format("reset")))
    with (
        shared.connect(ending(path.format("silence")), timeout=0.5) as guest,
        pytest.raises(TimeoutError),
    ):
        guest.recv(1)


def test_a_drip_never_ends(shared: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte after the other, and the last never comes; a guest that goes away is let go."""
    monkeypatch.setattr(connections, "DRIP_SECONDS", 0.002)
    with shared.connect(ending("drip"), timeout=1) as guest:
        head, _, content = heard(guest).partition(b"\r\n\r\n")
    assert (content, b"content-length: 100" in head) == (TEXT[:-1], True)


def test_a_drip_is_slow(shared: Server) -> None:
    """Five bytes in a second, so that no read times out, and the whole never arrives."""
    begin, got = time.monotonic(), b""
    with httpx.stream("GET", f"{shared.url}/drip", timeout=0.5) as reply:
        for piece in reply.iter_raw():
            got += piece
            if len(got) == 5:
                break
    assert got == TEXT[:5]
    assert 0.6 < time.monotonic() - begin < 2


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("cut", httpx.RemoteProtocolError),
        ("close", httpx.RemoteProtocolError),
        ("reset", httpx.ReadError),
        ("silence", httpx.ReadTimeout),
    ],
)
def test_endings_as_httpx_sees_them(shared: Server, name: str, error: type[Exception]) -> None:
    """The exceptions that the simulator's transport raises without a socket; also on a connection used before."""
    with httpx.Client(timeout=0.5) as client:
        assert client.get(shared.url).status_code == 200
        with pytest.raises(error):
            client.post(f"{shared.url}/{name}", content=b"x" * 100_000)
        assert client.get(shared.url).status_code == 200


@pytest.mark.parametrize("name", ["drip", "silence"])
def test_what_never_ends_ends_in_the_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest that stays is shown out."""
    monkeypatch.setattr(connections, "LONGEST", 0.5)
    with served() as server, server.connect(ending(name)) as guest:
        begin = time.monotonic()
        rest(guest)
        assert 0.3 < time.monotonic() - begin < 2


# -- who may ask -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:1", "localhost", "LocalHost:65535", "[::1]", "[::1]:80"]
)
def test_loopback_has_three_names(shared: Server, host: str) -> None:
    """With any port, and pages from there may ask too."""
    for scheme in ("http", "https"):
        assert (
            httpx.get(
                shared.url, headers={"Host": host, "Origin": f"{scheme}://{host}"}
            ).status_code
            == 200
        )
    assert shared.seen[-1].base == f"http://{host}"


STRANGERS: Final = [
    *(
        "",
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "localhost@evil.example",
        "127.0.0.2",
    ),
    *(
        "0.0.0.0",
        "[::]",
        "::1",
        "127.1",
        "2130706433",
        "localhost.",
        "localhost:",
        "localhost:80:80",
        "localhost:8e1",
    ),
    *("localhost, evil.example", "localhost/x", "xlocalhost", "[::1]x", "localhost:999999"),
]


@pytest.mark.parametrize("host", STRANGERS)
def test_other_names_are_refused(shared: Server, host: str) -> None:
    """A page's own name that resolves to loopback gets a 400, a page from elsewhere a 403; no handler hears of it."""
    before = len(shared.seen)
    assert httpx.get(shared.url, headers={"Host": host}).status_code == 400
    assert (
        httpx.post(
            shared.url, headers={"Origin": f"http://{host}"}, content=b"x" * 200_000
        ).status_code
        == 403
    )
    assert httpx.get(shared.url, headers={"Origin": host or "null"}).status_code == 403
    assert len(shared.seen) == before


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nbad header: x\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000, 431),
    ],
    ids=lambda value: repr(value)[:70],
)
def test_nonsense_is_refused(shared: Server, sent: bytes, status: int) -> None:
    """With a status that fits, in JSON, and the connection is closed."""
    before = len(shared.seen)
    head, _, content = (
        shared.talk(sent).partition(b"\r\n\r\n") if status != 405 else refused(shared, sent)
    )
    assert int(head.split()[1]) == status
    assert b"connection: close" in head.lower()
    assert list(json.loads(content)) == ["message"]
    assert len(shared.seen) == before


def refused(server: Server, sent: bytes) -> tuple[bytes, bytes, bytes]:
    """What a guest gets that says no more."""
    with server.connect(sent) as guest:
        guest.shutdown(socket.SHUT_WR)
        return rest(guest).partition(b"\r\n\r\n")


def test_nonsense_after_a_request_is_refused(shared: Server) -> None:
    """What came before it is answered."""
    said = shared.talk(GET + b"\x00\x01\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert said.count(b"HTTP/1.1 400 ") == 1


# -- limits ------------------------------------------------------------------------------------------


def test_a_body_over_the_limit_is_a_413() -> None:
    """However it is sent; a guest that sends first and reads then gets to see it."""
    with served(Limits(body=1000)) as server, httpx.Client() as client:
        assert client.post(server.url, content=b"x" * 1000).status_code == 200
        for size in (1001, 200_000, 30_000_000):
            for content in (b"x" * size, iter([b"x" * 1000, b"x" * (size - 1000)])):
                reply = client.post(server.url, content=content)
                assert (reply.status_code, reply.headers["connection"]) == (413, "close")
        assert len(server.seen) == 1


HALVES: Final = [
    b"GET / HT",
    b"GET / HTTP/1.1\r\nHost: local",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
]


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
    """Where there are too many connections, good guests are served; only those that wait for us stay."""
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
    """300 half-open connections, drips, silence, crumbs, bodies of 10 MB, and 50 requests of less than a second."""
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


# -- the end -----------------------------------------------------------------------------------------


def test_the_server_stops_with_guests_in_the_house() -> None:
    """Half-open, dripping and silent ones are shown out at once; no thread stays, and the port is free again."""
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
    """And the port can be taken again and again; a taken one is an error that leaves nothing behind."""
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


SERVE: Final = """
import signal, sys, time
sys.path[:0] = {path!r}
from polyreel.simulator import http as loopback
from polyreel.flows import Answer

def handler(request):
    time.sleep(0.5 if request.target == "/slow" else 0)
    return Answer(200, {{}}, b"done", "drip" if request.target == "/drip" else "whole")

mine = lambda *_: None
signal.signal(signal.SIGTERM, mine)
before = signal.getsignal(signal.SIGINT)
bound = loopback.listen(0)
print(bound.getsockname()[1], flush=True)
number = loopback.serve(bound, handler)
print(number, signal.getsignal(signal.SIGTERM) is mine, signal.getsignal(signal.SIGINT) is before, bound.fileno())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_ends_when_it_is_told(number: signal.Signals) -> None:
    """The answer under way is finished, other guests are not waited for, and not a word is said."""
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", SERVE.format(path=sys.path)]
    with (
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
        ThreadPoolExecutor(1) as pool,
        ExitStack() as stack,
    ):
        assert process.stdout is not None
        server = Server(f"http://127.0.0.1:{process.stdout.readline().strip()}", [])
        assert httpx.get(server.url).text == "done"
        for start in (*HALVES, ending("drip"), GET):
            stack.enter_context(server.connect(start))
        slow = pool.submit(httpx.get, f"{server.url}/slow")
        time.sleep(0.3)
        process.send_signal(number)
        out, said = process.communicate(timeout=5)
        assert slow.result().text == "done"
    assert (process.returncode, out, said) == (0, f"{int(number)} True True -1\n", "")


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
