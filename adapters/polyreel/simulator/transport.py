"""The simulator as an httpx transport: every vendor at its own address, without a socket."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import ClassVar, Final

import httpx

from ..flows import Answer
from ..providers.base.registry import all_providers
from .engine import HOST, Simulator

SENT: Final = (
    "http11.send_request_headers.started",
    "http11.send_request_headers.complete",
    "http11.send_request_body.started",
    "http11.send_request_body.complete",
)
"""The events of httpcore's trace that tell that a request has left."""
LENGTH: Final = b"content-length"


class SimulatedTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Hands requests for vendors' hosts to the engine, and refuses to connect to anything else.

    `base_urls` are other addresses of vendors, with a path or without: they stand for the documented ones. A request
    with a `trace` extension is told what httpcore would tell it, before the vendor hears of anything. Answers that do
    not arrive are the exceptions that httpx raises over a real connection.
    """

    traces: ClassVar[bool] = True
    """Whether a request that has left is told of, so that one that was not told of has not left."""

    def __init__(self, simulator: Simulator, base_urls: Mapping[str, str] | None = None) -> None:
        self.simulator = simulator
        self._bases: list[tuple[str, str, str, str]] = []
        """Origin, path, vendor, and the documented path; other addresses first, longer paths first."""
        for vendor, provider in all_providers().items():
            for server in provider.servers:
                self._add(vendor, server, server)
        for vendor, url in (base_urls or {}).items():
            self._add(vendor, url, all_providers()[vendor].base_url)
        self._bases.sort(key=lambda base: len(base[1]))
        self._bases.reverse()

    def _add(self, vendor: str, url: str, documented: str) -> None:
        own, known = httpx.URL(url), httpx.URL(documented)
        self._bases.append((_origin(own), own.path.rstrip("/"), vendor, known.path.rstrip("/")))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one blocking request."""
        content = request.read()
        vendor, target = self._connected(request)
        if trace := request.extensions.get("trace"):
            for event in SENT:
                trace(event, {})
        return self._answer(request, vendor, target, content)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one awaited request."""
        content = await request.aread()
        vendor, target = self._connected(request)
        if trace := request.extensions.get("trace"):
            for event in SENT:
                told = trace(event, {})
                if inspect.isawaitable(told):
                    await told
        return self._answer(request, vendor, target, content)

    def _connected(self, request: httpx.Request) -> tuple[str, str]:
        """The vendor and the target of a request; a ConnectError where there is nobody, or who refuses."""
        vendor, target = self._target(request)
        if not self.simulator.connect(vendor, request.method, target):
            raise httpx.ConnectError("[Errno 111] Connection refused", request=request)
        return vendor, target

    def _answer(
        self, request: httpx.Request, vendor: str, target: str, content: bytes
    ) -> httpx.Response:
        headers = dict(request.headers)
        answer = self.simulator.handle(
            vendor, request.method, target, headers, content, connected=True
        )
        if answer.pieces:
            return httpx.Response(
                answer.status,
                headers=answer.headers,
                stream=_Told(answer, request),
                request=request,
            )
        if answer.ending in {"silence", "drip"}:
            self._pass_time(request)
        if failure := FAILURES.get(answer.ending):
            kind, text = failure
            raise kind(text, request=request)
        return _response(request, answer)

    def _pass_time(self, request: httpx.Request) -> None:
        """Wait as long as the client would, where time is virtual."""
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
        for own, prefix, vendor, documented in self._bases:
            if own == origin and (raw == prefix or raw.startswith((f"{prefix}/", f"{prefix}?"))):
                return vendor, documented + raw.removeprefix(prefix)
        for own, _, vendor, _ in self._bases:
            if own == origin:
                return vendor, f"/{raw}"  # no path of the vendor's
        raise httpx.ConnectError(
            f"the simulator knows no vendor at {request.url.host}", request=request
        )


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"


FAILURES: Final[Mapping[str, tuple[Callable[..., httpx.TransportError], str]]] = {
    "reset": (httpx.ReadError, "[Errno 104] Connection reset by peer"),
    "close": (httpx.RemoteProtocolError, "Server disconnected without sending a response."),
    "silence": (httpx.ReadTimeout, "The read operation timed out"),
    "drip": (httpx.ReadTimeout, "The read operation timed out"),
}
"""What httpx raises where no answer arrives."""


class _Told(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that is given as time goes by, and ends as its answer says."""

    def __init__(self, answer: Answer, request: httpx.Request) -> None:
        assert answer.pace is not None
        self._answer, self._request, self._pace = answer, request, answer.pace

    def __iter__(self) -> Iterator[bytes]:
        for pause, content in self._given():
            self._pace.sleep(pause)
            yield content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for pause, content in self._given():
            await self._pace.asleep(pause)
            yield content

    def _given(self) -> Iterator[tuple[float, bytes]]:
        """Each piece and the pause before it; raises what httpx raises where the client waits for more in vain."""
        for piece in self._answer.pieces:
            pause, patience = piece.at - self._pace.now(), self._patience()
            if pause > patience:
                yield patience, b""
                raise self._end("silence")
            yield max(0.0, pause), piece.content
        if self._answer.ending in {"silence", "drip"}:
            yield self._patience(), b""
        if self._answer.ending != "whole":
            raise self._end(self._answer.ending)

    def _patience(self) -> float:
        """How long the client waits for a byte just now."""
        seconds = self._request.extensions.get("timeout", {}).get("read")
        return float("inf") if seconds is None else float(seconds)

    def _end(self, ending: str) -> httpx.TransportError:
        kind, text = (
            FAILURES[ending]
            if ending != "cut"
            else (httpx.RemoteProtocolError, "incomplete chunked read")
        )
        return kind(text, request=self._request)


def _response(request: httpx.Request, answer: Answer) -> httpx.Response:
    # Latin-1, as servers write them: httpx would take text as ASCII only.
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in answer.headers.items()
    ]
    if answer.ending != "cut":
        return httpx.Response(
            answer.status, headers=headers, content=answer.content, request=request
        )
    if not any(name == LENGTH for name, _ in headers):
        headers.append((LENGTH, str(len(answer.content)).encode()))
    return httpx.Response(
        answer.status, headers=headers, stream=_Cut(answer.content, request), request=request
    )


class _Cut(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that ends halfway, as httpx tells it where the length was announced."""

    def __init__(self, content: bytes, request: httpx.Request) -> None:
        self._half, self._length = content[: len(content) // 2], len(content)
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        yield self._half
        raise self._end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._half
        raise self._end()

    def _end(self) -> httpx.RemoteProtocolError:
        got = f"received {len(self._half)} bytes, expected {self._length}"
        text = f"peer closed connection without sending complete message body ({got})"
        return httpx.RemoteProtocolError(text, request=self._request)
