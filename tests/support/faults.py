"""A vendor that misbehaves: a loopback server that answers with scripted faults and counts what
reached it.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

import pytest
from attrs import Factory, define, evolve, frozen
from polyreel import AsyncClient, Client
from polyreel.drivers import RealClock
from polyreel.flows import Reply, Send
from polyreel.mapping.media import SUFFIXES
from polyreel.plans.choosing import plan
from polyreel.plans.planning import Plan
from polyreel.providers.base.calling import key_scheme_of
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel_generated.contracts.vendors import VendorId

from . import files
from .requests import EXAMPLES
from .waiting import HANGS

Kind = Literal["blocking", "awaiting"]
KINDS: Final[tuple[Kind, ...]] = ("blocking", "awaiting")
VENDORS: Final = list(all_providers())
every_vendor = pytest.mark.parametrize("vendor", VENDORS)
every_kind = pytest.mark.parametrize("kind", KINDS)
CANARIES: Final = {
    vendor: f"sk-CANARY-{number:04}-0123456789abcdef" for number, vendor in enumerate(VENDORS)
}
"""A key for each vendor, to be found nowhere."""


def authorization(vendor: str) -> str:
    """What a call with the vendor's key says of it."""
    scheme = key_scheme_of(get_provider(vendor).contract)
    return scheme.headers(CANARIES[vendor])[scheme.header]


# --- both clients ---------------------------------------------------------------------------------


class Clients:
    """A Client and an AsyncClient with the same settings; `do` calls either by name.

    Submits are tried once.
    """

    def __init__(self, **options: Any) -> None:
        options = {"retries": 0, **options}
        self.runner = asyncio.Runner()
        self.by_kind: dict[Kind, Client | AsyncClient] = {
            "blocking": Client(**options),
            "awaiting": AsyncClient(**options),
        }

    def hurry(self) -> Self:
        """Let no pause last."""
        for client in self.by_kind.values():
            client.wire.clock = Hasty()
        return self

    def do(self, kind: Kind, action: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of one of the two and give its result."""
        result = getattr(self.by_kind[kind], action)(*arguments, **options)
        return self.runner.run(result) if asyncio.iscoroutine(result) else result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for kind in KINDS:
            self.do(kind, "close")
        self.runner.close()


class Hasty(RealClock):
    """A clock whose pauses are over at once."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def asleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


@cache
def plans(vendor: VendorId, base_url: str | None = None) -> dict[str, Plan]:
    """The plans of a vendor for the example requests it serves."""
    made = {name: plan(request, vendor, base_url=base_url) for name, request in EXAMPLES.items()}
    return {name: each for name, each in made.items() if not each.refused}


def accepted(vendor: str, made: Plan, status: str = "queued") -> bytes:
    """The vendor's documented answer to an accepted submit."""
    assert made.route is not None
    contract = made.provider.contract
    replies = contract.replies(made.provider.operation(made.route))
    return next(encoded(body) for code, _, name, body in replies if code < 300 and name == status)


PACKED: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}
"""The compressions that an answer may have, by the word of Content-Encoding."""


def encoded(body: Any) -> bytes:
    """A JSON body."""
    return json.dumps(body).encode()


def hurry(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Give paid calls less time than they have in life."""
    step = Plan.step
    monkeypatch.setattr(Plan, "step", lambda *arguments: evolve(step(*arguments), deadline=seconds))


# --- local files ----------------------------------------------------------------------------------

FILES: Final[Mapping[str, bytes]] = {
    "image/png": files.png(bytes(range(256)) * 4),
    "image/jpeg": files.jpeg(b"\r\n--boundary--\r\n" * 9),
    "image/webp": files.webp(b"\x00\xff" * 300),
    "video/mp4": files.mp4(b"mdat" * 200),
    "video/quicktime": files.mp4(b"moov" * 50, brand=b"qt  "),
}
"""One file of every type polyreel knows; their bytes would not survive a careless transport."""


def save(folder: Path, content_type: str, name: str = "in put") -> Path:
    """One of the files, in a folder."""
    path = folder / f"{name}{SUFFIXES[content_type]}"
    path.write_bytes(FILES[content_type])
    return path


# --- what a server can do -------------------------------------------------------------------------


@frozen
class Answer:
    """What happens to one request. `early` ones happen before anything is read."""

    act: Callable[[socket.socket, threading.Event], None]
    early: bool = False


def raw(
    content: bytes, *, then: Literal["close", "reset", "stay"] = "close", early: bool = False
) -> Answer:
    """These very bytes."""

    def act(connection: socket.socket, stop: threading.Event) -> None:
        with suppress(OSError):
            connection.sendall(content)
        if then == "close":
            hang_up(connection)
        elif then == "reset":
            reset(connection)

    return Answer(act, early)


def http(status: int, body: bytes = b"{}", headers: Mapping[str, str] | None = None) -> Answer:
    """A well-formed answer; the connection stays open for more."""
    lines = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **(headers or {}),
    }
    head = f"HTTP/1.1 {status} Word\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in lines.items()
    )
    return raw(head.encode("latin-1") + b"\r\n" + body, then="stay")


def drip(start: bytes, piece: bytes = b"x", pause: float = 0.02) -> Answer:
    """Bytes that never end, each in time."""

    def act(connection: socket.socket, stop: threading.Event) -> None:
        with suppress(OSError):
            connection.sendall(start)
            while not stop.wait(pause):
                connection.sendall(piece)

    return Answer(act)


def hang_up(connection: socket.socket) -> None:
    """End a connection politely."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def reset(connection: socket.socket) -> None:
    """End a connection with RST."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def be_silent(connection: socket.socket, stop: threading.Event) -> None:
    """Say nothing until the scene is over."""
    stop.wait()


def first_byte(connection: socket.socket) -> socket.socket:
    """The connection, when something has arrived."""
    connection.recv(1, socket.MSG_PEEK)
    return connection


SILENCE: Final = Answer(be_silent)
RESET: Final = Answer(lambda connection, _: reset(connection))
CLOSE: Final = Answer(lambda connection, _: hang_up(connection))
RESET_AT_ONCE: Final = Answer(lambda connection, _: reset(connection), early=True)
CLOSE_AT_ONCE: Final = Answer(lambda connection, _: hang_up(connection), early=True)
RESET_EARLY: Final = Answer(lambda connection, _: reset(first_byte(connection)), early=True)
CLOSE_EARLY: Final = Answer(lambda connection, _: hang_up(first_byte(connection)), early=True)


# --- the server -----------------------------------------------------------------------------------


@frozen
class Request:
    """One request that arrived whole."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@define
class FaultServer:
    """Answers each request with the next of `answers`, and with the last one from then on."""

    answers: Sequence[Answer] = ()
    connections: int = 0
    requests: list[Request] = Factory(list)
    port: int = 0
    _stop: threading.Event = Factory(threading.Event)
    _listener: threading.Thread | None = None
    _served: list[tuple[socket.socket, threading.Thread]] = Factory(list)
    _lock: Any = Factory(threading.Lock)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def posts(self) -> int:
        """How many whole POSTs have arrived."""
        return sum(request.method == "POST" for request in self.requests)

    def play(self, *answers: Answer) -> None:
        """Begin a new scene: these answers, nothing counted yet, and no old connection."""
        self._hang_up()
        with self._lock:
            self.answers, self.connections, self.requests = answers, 0, []

    def __enter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        listener.settimeout(0.05)
        self.port = listener.getsockname()[1]
        self._listener = threading.Thread(target=self._listen, args=(listener,), daemon=True)
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._listener
        self._listener.join(HANGS)
        self._hang_up()

    def _hang_up(self) -> None:
        with self._lock:
            stop, self._stop = self._stop, self._stop if self._stop.is_set() else threading.Event()
            served, self._served = self._served, []
        stop.set()
        for connection, thread in served:
            hang_up(connection)
            thread.join(HANGS)

    def _listen(self, listener: socket.socket) -> None:
        with listener:
            while not self._stop.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    continue
                connection.settimeout(HANGS)
                with self._lock:
                    thread = threading.Thread(
                        target=self._serve, args=(connection, self._stop), daemon=True
                    )
                    thread.start()
                    self._served.append((connection, thread))

    def _serve(self, connection: socket.socket, stop: threading.Event) -> None:
        buffer = bytearray()
        with suppress(OSError, ValueError):
            if not self.answers[0].early:
                # A client of an earlier scene that has gone by now does not count.
                _receive(connection, buffer)
            with self._lock:
                self.connections += 1
            if self.answers[0].early:
                self._next().act(connection, stop)
            while not stop.is_set():
                self._read(connection, buffer)
                self._next().act(connection, stop)

    def _next(self) -> Answer:
        with self._lock:
            answer, *rest = self.answers
            self.answers = rest or [answer]
            return answer

    def _read(self, connection: socket.socket, buffer: bytearray) -> None:
        head = _until(connection, buffer, b"\r\n\r\n").decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = _exactly(connection, buffer, int(headers.get("content-length", "0")))
        with self._lock:
            self.requests.append(Request(method, target, headers, body))


def _until(connection: socket.socket, buffer: bytearray, mark: bytes) -> bytes:
    while mark not in buffer:
        _receive(connection, buffer)
    found = bytes(buffer[: buffer.index(mark) + len(mark)])
    del buffer[: len(found)]
    return found


def _exactly(connection: socket.socket, buffer: bytearray, size: int) -> bytes:
    while len(buffer) < size:
        _receive(connection, buffer)
    found = bytes(buffer[:size])
    del buffer[:size]
    return found


def _receive(connection: socket.socket, buffer: bytearray) -> None:
    chunk = connection.recv(65536)
    if not chunk:
        raise ConnectionError("the client hung up")
    buffer += chunk


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """How many seconds have passed."""
    start = time.monotonic()
    yield lambda: time.monotonic() - start


def result_of(step: Send) -> Reply | None:
    """The documented result, where a call asks for one after the status has said that it is done.

    A test answers the status queries; that a result comes then, too, is the vendor's way.
    """
    contract = get_provider(step.vendor).contract
    found = contract.match(step.method, urlsplit(step.url).path)
    if found is None or found[0].role != "result":
        return None
    body = next(body for *_, name, body in contract.replies(found[0]) if name == "succeeded")
    return Reply(200, {}, encoded(body))
