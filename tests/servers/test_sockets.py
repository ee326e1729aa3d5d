"""Awaited connections of asyncio below httpx: what arrives, what breaks, and what is proved."""

import asyncio
import socket
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import httpcore
import httpx
import pytest
from polyreel.drivers.fresh import httpx_connections
from polyreel.drivers.sockets import MOST_WAITING, AsyncioBackend
from support.awaited import Asking, Place, answer, echo, take
from support.proxies import Authority

LONG = bytes(range(256)) * 12_000
RESET = b"\1\0\0\0\0\0\0\0"
"""A socket with this to linger is reset where it is closed."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who vouches for the server."""
    return Authority(tmp_path_factory.mktemp("authority")).make()


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_factory(request: pytest.FixtureRequest) -> Any:
    """How the event loop is made: what a program runs on is not ours to choose."""
    if request.param == "asyncio":
        return None
    if sys.platform == "win32":
        pytest.skip("uvloop is not made for Windows")
    import uvloop  # noqa: PLC0415

    return uvloop.new_event_loop


@pytest.fixture(params=["plain", "tls"])
def place(request: pytest.FixtureRequest, authority: Authority, loop_factory: Any) -> Place:
    """A server to connect to, with TLS or without."""
    return Place(authority, loop_factory, request.param == "tls")


def test_much_is_sent_and_arrives_whole(place: Place) -> None:
    """Also where the client reads slower than the server writes: then it takes no more."""
    assert len(LONG) > 8 * MOST_WAITING
    assert place.run(echo, lambda ask: ask(LONG, slowly=0.001)) == LONG


def test_a_body_that_nobody_reads_yet_waits(place: Place) -> None:
    """The server begins to read late; all of it arrives."""

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        await echo(reader, writer)

    assert place.run(late, lambda ask: ask(LONG)) == LONG


def test_many_calls_at_once_are_kept_apart(place: Place) -> None:
    """Each has its own answer."""
    bodies = [str(number).encode() * 500 for number in range(40)]

    async def all_at_once(ask: Asking) -> list[bytes]:
        return await asyncio.gather(*map(ask, bodies))

    assert place.run(echo, all_at_once) == bodies


@pytest.mark.parametrize("kept", [0, 4])
def test_a_connection_that_the_server_has_closed_is_not_used_again(place: Place, kept: int) -> None:
    """The next call has a new one, and finds no trouble."""
    connected = list[bytes]()

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(await take(reader))
        writer.write(answer(connected[-1]))
        await writer.drain()

    async def in_turn(ask: Asking) -> list[bytes]:
        found = []
        for body in (b"one", b"two", b"three"):
            found.append(await ask(body))
            await asyncio.sleep(0.02)
        return found

    assert place.run(once, in_turn, kept) == connected == [b"one", b"two", b"three"]


def test_a_kept_connection_is_used_again(place: Place) -> None:
    """Calls that cost nothing share one."""
    connected = list[object]()

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(writer)
        await echo(reader, writer)

    async def in_turn(ask: Asking) -> list[bytes]:
        return [await ask(body) for body in (b"one", b"two", b"three")]

    assert place.run(counted, in_turn, kept=4) == [b"one", b"two", b"three"]
    assert len(connected) == 1


@pytest.mark.parametrize("body", [b"", b"HTTP/1.1 20", answer(b"half", 8)])
def test_a_server_that_goes_away_is_told_of(place: Place, body: bytes) -> None:
    """Before its answer, within its head, and within its body."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take(reader)
        writer.write(body)
        await writer.drain()

    with pytest.raises(httpx.RemoteProtocolError):
        place.run(cut, lambda ask: ask(b"x"))


def test_a_connection_that_is_reset_is_told_of(place: Place) -> None:
    """Not taken for an end of the answer."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take(reader)
        found: Any = writer.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()

    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        place.run(reset, lambda ask: ask(b"x"))


def test_an_answer_that_switches_protocols_is_one(place: Place) -> None:
    """Where somebody has set a header Upgrade: nothing of HTTP comes after it."""

    async def switching(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take(reader)
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\n"
        writer.write(head + b"other words")

    async def asking(ask: Asking) -> tuple[int, bytes]:
        headers = {"Upgrade": "other", "Connection": "upgrade"}
        request = httpx.Request("POST", ask.url, headers=headers, content=b"x")
        response = await ask.transport.handle_async_request(request)
        return response.status_code, await response.aread()

    assert place.run(switching, asking) == (101, b"")


@pytest.mark.parametrize("name", ["AsyncConnectionPool", "AsyncHTTPConnection"])
@pytest.mark.parametrize("kept", [0, 1])
def test_tools_that_replace_connections_of_httpcore_get_the_calls(
    place: Place, kept: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As respx does: a test that mocks a paid call must not pay."""

    async def instead(_: object, request: httpcore.Request) -> httpcore.Response:
        return httpcore.Response(200, content=b"mocked")

    async def asking(ask: Asking) -> bytes:
        return await ask(b"real")

    with monkeypatch.context() as patched:
        patched.setattr(getattr(httpcore, name), "handle_async_request", instead)
        assert place.run(echo, asking, kept) == b"mocked"
    assert place.run(echo, asking, kept) == b"real"


def test_what_is_not_read_yet_when_the_server_goes_is_read(place: Place) -> None:
    """Also what the client has not wanted yet, and without a word of TLS that it ends there."""

    def leave(server: socket.socket) -> None:
        received = b""
        while not received.endswith(b"\r\n\r\nx"):
            received += server.recv(65536)
        server.sendall(answer(long))

    long = LONG[: MOST_WAITING * 3 // 2]
    assert place.run_blocking(leave, lambda ask: ask(b"x", slowly=0.05)) == long


def test_a_refusal_is_read_where_the_server_closes_before_it_has_all(place: Place) -> None:
    """What is sent next meets a closed connection, and would end it before the answer is read."""
    refused = threading.Event()

    def refuse(server: socket.socket) -> None:
        server.recv(100)
        server.sendall(answer(b"refused"))
        server.close()
        refused.set()

    async def in_pieces() -> AsyncIterator[bytes]:
        yield b"one"
        refused.wait(0.2)  # as if the process were busy with something else
        time.sleep(0.01)  # noqa: ASYNC251
        yield b"two"

    assert place.run_blocking(refuse, lambda ask: ask(in_pieces())) == b"refused"


def test_a_connection_that_breaks_is_found_out_while_much_is_sent(place: Place) -> None:
    """The rest is neither read from its file nor written nowhere."""
    gone = threading.Event()
    taken = list[int]()

    def reset(server: socket.socket) -> None:
        server.recv(100)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        server.close()
        gone.set()

    async def in_pieces() -> AsyncIterator[bytes]:
        for number in range(60):
            taken.append(number)
            yield LONG[:70_000]
            gone.wait(0.2 if number == 1 else 0)

    with pytest.raises(httpx.ReadError):
        place.run_blocking(reset, lambda ask: ask(in_pieces()))
    assert len(taken) < 10


def test_a_connection_that_ends_is_asked_whether_it_can_be_read(place: Place) -> None:
    """At any time of its end: a pool asks before it takes a connection for the next call."""

    def reset(server: socket.socket) -> None:
        server.recv(1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    async def all_the_time(ask: Asking) -> None:
        url = httpx.URL(ask.url)
        stream = await AsyncioBackend().connect_tcp(url.host, url.port or 0)
        if place.is_tls:
            tls = ssl.create_default_context(cafile=str(place.authority.ca))
            stream = await stream.start_tls(tls, "localhost")
        await stream.write(b"x")
        reading = asyncio.create_task(stream.read(1))
        while not reading.done():
            stream.get_extra_info("is_readable")
            await asyncio.sleep(0)
        assert isinstance(reading.exception(), httpcore.ReadError)
        assert stream.get_extra_info("is_readable")
        await stream.aclose()

    place.run_blocking(reset, all_the_time)


def test_who_has_said_all_is_sent_no_more(authority: Authority, loop_factory: Any) -> None:
    """Where a server answers before it has read a long body, and reads no more of it."""

    over = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(answer(b"too large"))
        writer.write_eof()
        await over.wait()

    async def one(ask: Asking) -> bytes:
        try:
            return await ask(LONG * 4, seconds=1)
        finally:
            over.set()

    place = Place(authority, loop_factory, is_tls=False)
    assert place.run(refuse, one) == b"too large"


def test_what_is_said_before_tls_is_not_taken_for_what_is_said_within(
    authority: Authority, loop_factory: Any
) -> None:
    """Anybody on the way could put an answer there."""

    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"a lie"))
        await writer.drain()

    async def one(ask: Asking) -> None:
        stream = await AsyncioBackend().connect_tcp("127.0.0.1", int(ask.url[:-1].split(":")[2]))
        await asyncio.sleep(0.05)
        with pytest.raises(httpcore.ConnectError, match="before TLS"):
            await stream.start_tls(ssl.create_default_context(), "localhost")

    Place(authority, loop_factory, is_tls=False).run(speak, one)


def test_who_does_not_answer_is_waited_for_so_long(place: Place) -> None:
    """And the connection is closed: the server hears of it."""
    ended = list[bytes]()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take(reader)
        ended.append(await reader.read())

    async def one(ask: Asking) -> None:
        with pytest.raises(httpx.ReadTimeout):
            await ask(b"x", seconds=0.2)

    place.run(silent, one)
    assert ended == [b""]


def test_a_host_is_reached_at_the_address_that_answers(place: Place) -> None:
    """The name has others too, such as one of IPv6, at which nobody listens."""
    assert place.run(echo, lambda ask: ask(b"x"), host="localhost") == b"x"


def test_nobody_listens(place: Place) -> None:
    """Nothing has left then."""

    async def elsewhere(ask: Asking) -> None:
        with socket.create_server(("127.0.0.1", 0)) as bound:
            port = bound.getsockname()[1]
        there = Asking(ask.transport, f"{ask.url.rpartition(':')[0]}:{port}/")
        with pytest.raises(httpx.ConnectError):
            await there(b"x")

    place.run(echo, elsewhere)


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "http://127.0.0.1:65616/", "http://localhost:65616/"]
)
def test_a_url_that_leads_nowhere(authority: Authority, loop_factory: Any, url: str) -> None:
    """It is no fault in the program, and no port is taken for another one."""

    async def one(ask: Asking) -> None:
        with pytest.raises((httpx.UnsupportedProtocol, httpx.ConnectError), match=r"port|ftp"):
            await Asking(ask.transport, url)(b"x")

    Place(authority, loop_factory, is_tls=False).run(echo, one)


def test_a_stranger_without_a_good_certificate_hears_nothing(
    authority: Authority, loop_factory: Any, tmp_path: Any
) -> None:
    """The text says so."""
    heard = list[bytes]()

    async def listening(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())

    place = Place(authority, loop_factory, is_tls=True)

    async def one(ask: Asking) -> None:
        other = httpx_connections(ssl.create_default_context(), httpx.Limits())
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await Asking(other, ask.url)(b"x")
        await other.aclose()

    place.run(listening, one)
    assert heard in ([], [b""])


def test_a_handshake_that_does_not_end_is_given_up(authority: Authority, loop_factory: Any) -> None:
    """It belongs to connecting, so that nothing has left."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def one(ask: Asking) -> None:
        with pytest.raises(httpx.ConnectTimeout):
            await Asking(ask.transport, ask.url.replace("http:", "https:"))(b"x", seconds=0.2)

    Place(authority, loop_factory, is_tls=False).run(silent, one)
