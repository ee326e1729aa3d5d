"""The loopback server in a thread, and clients that talk to it over bare connections."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import httpx
from attrs import define
from polyreel.flows import Answer, Ending
from polyreel.simulator import http
from polyreel.simulator.http import HttpRequest, Limits

from .waiting import HANGS

TEXT: Final = b"0123456789" * 10
GET: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
QUICK: Final = Limits(head_seconds=0.4, body_seconds=0.6, idle_seconds=0.3)
ENDINGS: Final[tuple[Ending, ...]] = ("cut", "drip", "close", "reset", "silence")


@define
class Server:
    """A server in a thread, which answers as its requests ask, and keeps them."""

    url: str
    seen: list[HttpRequest]
    free: threading.Event
    """What `/hold` waits for."""

    def connect(self, sent: bytes = b"", timeout: float = HANGS) -> socket.socket:
        """A bare connection that has sent this."""
        peer = socket.create_connection(
            ("127.0.0.1", httpx.URL(self.url).port or 0), timeout=timeout
        )
        try:
            peer.sendall(sent)
        except OSError:
            peer.close()
            raise
        return peer

    def talk(self, sent: bytes, timeout: float = HANGS) -> bytes:
        """All that the server says to this, until it closes the connection."""
        with self.connect(sent, timeout) as peer:
            return rest(peer)


def rest(peer: socket.socket) -> bytes:
    return b"".join(iter(lambda: peer.recv(65536), b""))


def received(peer: socket.socket) -> bytes:
    """What comes until the connection ends somehow, or nothing comes any more."""
    got = b""
    with suppress(ConnectionResetError, TimeoutError):
        while data := peer.recv(1_000_000):
            got += data
    return got


def ending(name: str, method: str = "GET") -> bytes:
    return f"{method} /{name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


@contextmanager
def served(limits: Limits | None = None) -> Iterator[Server]:
    """`/<ending>` ends so, `/empty/<ending>` has no body; `/fail`, `/bad...`, `/slow` and `/hold`
    do what they say.
    """
    seen: list[HttpRequest] = []
    free = threading.Event()

    def handler(request: HttpRequest) -> Answer:
        seen.append(request)
        first, _, second = request.target.strip("/").partition("/")
        if first == "fail":
            raise ValueError(f"secret {request.content!r}")
        if first == "slow":
            time.sleep(float(second))
        if first == "hold":
            free.wait(HANGS)
        if first == "status":
            return Answer(int(second), {}, b"")
        headers = (
            {"X-Odd": "a\r\nb: c"} if first == "bad-header" else {"Content-Type": "text/plain"}
        )
        known: Any = {*ENDINGS} & {first, second}
        content = b"" if first == "empty" else request.content or TEXT
        return Answer(299 if first == "odd" else 200, headers, content, *known)

    with http.running(handler, limits=limits or Limits()) as url:
        yield Server(url, seen, free)


HALVES: Final = [
    b"GET / HT",
    b"GET / HTTP/1.1\r\nHost: local",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
]
