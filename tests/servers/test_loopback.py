"""The loopback server: requests and answers, endings, and who may ask."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from typing import Final

import httpx
import pytest
from polyreel.simulator.http import Limits, connections
from polyreel.simulator.http.connections import Connection
from support.loopback import GET, TEXT, Server, ending, received, rest, served
from support.peers import never_waits, watched
from support.waiting import HANGS


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """The clients who come from now on."""
    return watched(monkeypatch)


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


# -- requests and answers --------------------------------------------------------------------------


def test_a_request_arrives_as_it_was_sent(shared: Server) -> None:
    """Method, quoted target, lower-case headers, content, and the address that the client knows."""
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


def test_many_requests_come_over_one_connection(shared: Server, inside: list[Connection]) -> None:
    """One after the other, all at once, and with bodies: answers come in order, and none waits for
    another packet.
    """
    with httpx.Client(timeout=HANGS) as client:
        assert all(client.post(shared.url, content=str(n)).text == str(n) for n in range(200))
        assert [never_waits(peer) for peer in inside] == [True]
    many = [
        f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n{n}".encode()
        for n in range(100, 200)
    ]
    with shared.connect(
        b"".join(many) + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    ) as peer:
        answers = rest(peer).split(b"HTTP/1.1 200 OK\r\n")
    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers[1:]] == [
        str(n).encode() for n in range(100, 200)
    ] + [TEXT]


def test_a_half_closed_client_gets_its_answer(shared: Server) -> None:
    """A client may say that it has said everything, and be answered, in HTTP/1.0 too."""
    for sent in (GET, b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"):
        with shared.connect(sent) as peer:
            peer.shutdown(socket.SHUT_WR)
            assert rest(peer).endswith(b"\r\n\r\n" + TEXT)


def test_chunks_and_trailers_are_taken(shared: Server) -> None:
    """A body of unknown length arrives whole, also in crumbs."""
    pieces = [b"x" * size for size in (1, 70_000, 3)]
    assert httpx.post(shared.url, content=iter(pieces)).content == b"".join(pieces)
    head = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding:"
        b" chunked\r\n\r\n"
    )
    assert shared.talk(head + b"1\r\nx\r\n" * 500 + b"0\r\nX-Sum: 1\r\n\r\n").endswith(
        b"\r\n\r\n" + b"x" * 500
    )


def test_the_body_is_asked_for(shared: Server) -> None:
    """A client that waits for 100 Continue hears it; it does not where the body will not be
    taken.
    """
    head = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nConnection:"
        b" close\r\nContent-Length: %d\r\n\r\n"
    )
    with shared.connect(head % 5) as peer:
        assert peer.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.sendall(b"hello")
        assert rest(peer).endswith(b"\r\n\r\nhello")
    with shared.connect(head % 12_000_001) as peer:
        assert peer.recv(12).endswith(b" 413")


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
    """The client learns nothing, the log the place without the request; the server goes on."""
    with httpx.Client() as client:
        reply = client.post(f"{shared.url}/{path}", content=b"canary")
        assert (reply.status_code, reply.json()) == (500, {"message": "this server has failed"})
        assert client.get(shared.url).status_code == 200
    (record,) = [record for record in caplog.records if record.name == "polyreel"]
    assert record.levelname == "ERROR"
    assert "Error" in record.getMessage()
    assert "canary" not in caplog.text


# -- endings ---------------------------------------------------------------------------------------


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
        shared.connect(ending(path.format("silence")), timeout=0.5) as peer,
        pytest.raises(TimeoutError),
    ):
        peer.recv(1)


def test_a_drip_never_ends(shared: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte after the other, and the last never comes; a client that goes away is let go."""
    monkeypatch.setattr(connections, "DRIP_SECONDS", 0.002)
    with shared.connect(ending("drip")) as peer:
        got = b""
        while not got.endswith(TEXT[:-1]):
            got += peer.recv(1000)
        peer.settimeout(0.2)
        head, _, content = (got + received(peer)).partition(b"\r\n\r\n")
    assert (content, b"content-length: 100" in head) == (TEXT[:-1], True)


def test_a_drip_is_slow(shared: Server) -> None:
    """Five bytes in a second, so that no read times out, and the whole never arrives."""
    begin, got = time.monotonic(), b""
    with httpx.stream("GET", f"{shared.url}/drip", timeout=HANGS) as reply:
        for piece in reply.iter_raw():
            got += piece
            if len(got) == 5:
                break
    assert got == TEXT[:5]
    assert time.monotonic() - begin > 0.6
    assert connections.DRIP_SECONDS < 0.5


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
    """The exceptions that the simulator's transport raises without a socket; also on a connection
    used before.
    """
    with httpx.Client(timeout=HANGS) as client:
        assert client.get(shared.url).status_code == 200
        patience = httpx.Timeout(HANGS, read=0.5 if name == "silence" else HANGS)
        with pytest.raises(error):
            client.post(f"{shared.url}/{name}", content=b"x" * 100_000, timeout=patience)
        assert client.get(shared.url).status_code == 200


@pytest.mark.parametrize("name", ["drip", "silence"])
def test_what_never_ends_ends_in_the_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that stays is shown out."""
    monkeypatch.setattr(connections, "LONGEST", 0.5)
    begin = time.monotonic()
    with served() as server, server.connect(ending(name)) as peer:
        rest(peer)  # which ends only where the server ends it
    assert time.monotonic() - begin > 0.3


# -- who may ask -----------------------------------------------------------------------------------


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
    """A page's own name that resolves to loopback gets a 400, a page from elsewhere a 403; no
    handler hears of it.
    """
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
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
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
    """What a client gets that says no more."""
    with server.connect(sent) as peer:
        peer.shutdown(socket.SHUT_WR)
        return rest(peer).partition(b"\r\n\r\n")


def test_nonsense_after_a_request_is_refused(shared: Server) -> None:
    """What came before it is answered."""
    said = shared.talk(GET + b"\x00\x01\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert said.count(b"HTTP/1.1 400 ") == 1
