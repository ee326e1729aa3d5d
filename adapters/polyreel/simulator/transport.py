"""The simulator as an httpx transport: every vendor at its own address, without a socket."""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import ModuleType
from typing import ClassVar, Final, TypeVar

import httpx
from attrs import frozen

from ..flows import Answer, Ending
from ..providers.base.registry import all_providers
from .engine import HOST, Simulator

SENT_EVENTS: Final = (
    "http11.send_request_headers.started",
    "http11.send_request_headers.complete",
    "http11.send_request_body.started",
    "http11.send_request_body.complete",
)
"""The events of httpcore's trace which say that a request has been sent."""
CONTENT_LENGTH: Final = b"content-length"
T = TypeVar("T")


@frozen
class _BaseAddress:
    """An address of a vendor, and the documented path that its path stands for."""

    origin: str
    path: str
    vendor: str
    documented_path: str


class SimulatedTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Gives requests for vendors' hosts to the engine, and refuses to connect to anything else.

    `base_urls` are more addresses of vendors, by vendor id, each with or without a path: they stand
    for the documented base URLs. The `trace` extension of a request gets the events that httpcore
    would send, before the vendor gets the request. Answers that do not arrive become the exceptions
    that httpx raises over a real connection. Clients of httpx2 get that library's classes.
    """

    traces: ClassVar[bool] = True
    """Whether traces are complete: a request without these events has not been sent."""

    def __init__(self, simulator: Simulator, base_urls: Mapping[str, str] | None = None) -> None:
        self.simulator = simulator
        providers = all_providers()
        documented = [
            _base_address(vendor, server, server)
            for vendor, provider in providers.items()
            for server in provider.servers
        ]
        others = [
            _base_address(vendor, url, providers[vendor].base_url)
            for vendor, url in (base_urls or {}).items()
        ]
        # Longer paths first; among equal ones, the last address given.
        addresses = reversed([*documented, *others])
        self._addresses = sorted(addresses, key=lambda one: -len(one.path))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one blocking request."""
        content = request.read()
        vendor, target = self._connected(request)
        if trace := request.extensions.get("trace"):
            for event in SENT_EVENTS:
                trace(event, {})
        return self._answer(request, vendor, target, content)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one awaited request."""
        content = await request.aread()
        vendor, target = self._connected(request)
        if trace := request.extensions.get("trace"):
            for event in SENT_EVENTS:
                pending = trace(event, {})
                if inspect.isawaitable(pending):
                    await pending
        return self._answer(request, vendor, target, content)

    def _connected(self, request: httpx.Request) -> tuple[str, str]:
        """The vendor and the target of a request; ConnectError where no vendor accepts it."""
        vendor, target = self._target(request)
        if not self.simulator.connect(vendor, request.method, target):
            raise _library(request).ConnectError("[Errno 111] Connection refused", request=request)
        return vendor, target

    def _answer(
        self, request: httpx.Request, vendor: str, target: str, content: bytes
    ) -> httpx.Response:
        headers = dict(request.headers)
        answer = self.simulator.handle(
            vendor, request.method, target, headers, content, connected=True
        )
        if answer.pieces:
            stream = _body(_TimedBody, request)(answer, request)
            return _respond(request, answer.status, headers=answer.headers, stream=stream)
        if answer.ending in {"silence", "drip"}:
            self._pass_time(request)
        if answer.ending in FAILURES:
            raise _failure(answer.ending, request)
        return _response(request, answer)

    def _pass_time(self, request: httpx.Request) -> None:
        """Move a virtual clock by the time that the client would wait."""
        seconds = request.extensions.get("timeout", {}).get("read")
        advance: Callable[[float], None] | None = getattr(self.simulator.clock, "advance", None)
        if advance is not None and seconds is not None:
            advance(seconds)

    def _target(self, request: httpx.Request) -> tuple[str, str]:
        """The vendor of a URL, and path and query below the vendor's own host."""
        raw = request.url.raw_path.decode("ascii")
        if request.url.host == HOST:
            vendor, _, path = raw.lstrip("/").partition("/")
            return vendor, f"/{path}"
        origin = _origin(request.url)
        at_origin = [address for address in self._addresses if address.origin == origin]
        for one in at_origin:
            if raw == one.path or raw.startswith((f"{one.path}/", f"{one.path}?")):
                return one.vendor, one.documented_path + raw.removeprefix(one.path)
        if at_origin:
            return at_origin[0].vendor, f"/{raw}"  # no path of the vendor's
        message = f"the simulator knows no vendor at {request.url.host}"
        raise _library(request).ConnectError(message, request=request)


def _base_address(vendor: str, url: str, documented_url: str) -> _BaseAddress:
    own, documented = httpx.URL(url), httpx.URL(documented_url)
    return _BaseAddress(_origin(own), own.path.rstrip("/"), vendor, documented.path.rstrip("/"))


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"


# -- answers that do not arrive whole --------------------------------------------------------------

FAILURES: Final[Mapping[Ending, tuple[str, str]]] = {
    "reset": ("ReadError", "[Errno 104] Connection reset by peer"),
    "close": ("RemoteProtocolError", "Server disconnected without sending a response."),
    "silence": ("ReadTimeout", "The read operation timed out"),
    "drip": ("ReadTimeout", "The read operation timed out"),
}
"""What httpx raises where no answer arrives."""


def _failure(ending: Ending, request: httpx.Request) -> httpx.TransportError:
    name, message = FAILURES[ending]
    return _error(name, message, request)


def _error(name: str, message: str, request: httpx.Request) -> httpx.TransportError:
    """An exception of the library that the request is of."""
    error: httpx.TransportError = getattr(_library(request), name)(message, request=request)
    return error


class _TimedBody:
    """A body whose pieces are given at their times, and that ends as its answer says."""

    def __init__(self, answer: Answer, request: httpx.Request) -> None:
        assert answer.pace is not None
        self._answer, self._request, self._pace = answer, request, answer.pace

    def __iter__(self) -> Iterator[bytes]:
        for pause, content in self._steps():
            self._pace.sleep(pause)
            yield content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for pause, content in self._steps():
            await self._pace.asleep(pause)
            yield content

    def _steps(self) -> Iterator[tuple[float, bytes]]:
        """Each piece, after the pause before it in seconds.

        Raises what httpx raises where the client waits in vain, or the body breaks off.
        """
        for piece in self._answer.pieces:
            pause, read_timeout = piece.at - self._pace.now(), self._read_timeout()
            if pause > read_timeout:
                yield read_timeout, b""
                raise _failure("silence", self._request)
            yield max(0.0, pause), piece.content
        ending = self._answer.ending
        if ending in {"silence", "drip"}:
            yield self._read_timeout(), b""
        if ending == "cut":
            raise _error("RemoteProtocolError", "incomplete chunked read", self._request)
        if ending != "whole":
            raise _failure(ending, self._request)

    def _read_timeout(self) -> float:
        """How many seconds the client waits for a byte."""
        seconds = self._request.extensions.get("timeout", {}).get("read")
        return float("inf") if seconds is None else float(seconds)


class _HalfBody:
    """A body that breaks off halfway, before the announced length is reached."""

    def __init__(self, content: bytes, request: httpx.Request) -> None:
        self._half, self._length = content[: len(content) // 2], len(content)
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        yield self._half
        raise self._failure()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._half
        raise self._failure()

    def _failure(self) -> httpx.TransportError:
        got = f"received {len(self._half)} bytes, expected {self._length}"
        text = f"peer closed connection without sending complete message body ({got})"
        return _error("RemoteProtocolError", text, self._request)


def _response(request: httpx.Request, answer: Answer) -> httpx.Response:
    # Latin-1, as servers write them: httpx would take text as ASCII only.
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in answer.headers.items()
    ]
    if answer.ending != "cut":
        return _respond(request, answer.status, headers=headers, content=answer.content)
    if not any(name == CONTENT_LENGTH for name, _ in headers):
        headers.append((CONTENT_LENGTH, str(len(answer.content)).encode()))
    body = _body(_HalfBody, request)(answer.content, request)
    return _respond(request, answer.status, headers=headers, stream=body)


# -- the library of the client ---------------------------------------------------------------------


_BODIES: Final[dict[tuple[type, str], type]] = {}


def _library(request: httpx.Request) -> ModuleType:
    """httpx, or httpx2, whose classes have the same names: the one that the request is of."""
    return sys.modules[type(request).__module__.partition(".")[0]]


def _respond(request: httpx.Request, status: int, **parts: object) -> httpx.Response:
    made: httpx.Response = _library(request).Response(status, request=request, **parts)
    return made


def _body(kind: type[T], request: httpx.Request) -> type[T]:
    """A class of bodies as one of the library's: clients take no other."""
    library = _library(request)
    known = (kind, library.__name__)
    if known not in _BODIES:
        bases = (kind, library.SyncByteStream, library.AsyncByteStream)
        _BODIES[known] = type(kind.__name__, bases, {})
    return _BODIES[known]
