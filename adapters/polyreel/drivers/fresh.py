"""A connection for each awaited call, with h11 on sockets of asyncio.

httpcore's own connections are for many calls: their locks, and what they remember of each call,
take a third of the time of a call that has its connection for itself, as every paid call has.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from types import FunctionType
from typing import Any, Final, TypeGuard, cast

import h11
import httpcore
import httpx

from .sockets import AsyncioBackend, AsyncioStream

AT_ONCE: Final = 64 * 1024
"""How many bytes of an answer are read at once, at most."""
MOST_HEAD: Final = 100 * 1024
"""The longest head of an answer, in bytes."""
SWITCHING: Final = 101
SILENT: Final = "Server disconnected without sending a response."
LOGS: Final = {name: logging.getLogger(f"httpcore.{name}") for name in ("connection", "http11")}
"""Where httpcore writes what it tells of a call."""

Told = Callable[[str, Mapping[str, object]], Awaitable[object]]
Seconds = float | None


def httpx_connections(tls: ssl.SSLContext, limits: httpx.Limits) -> httpx.AsyncHTTPTransport:
    """A transport of httpx without a proxy whose connections are asyncio's own."""
    transport = httpx.AsyncHTTPTransport(verify=tls, trust_env=False, limits=limits)
    pool: Any
    if limits.max_keepalive_connections:
        pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=AsyncioBackend(),
        )
    else:
        pool = FreshConnections(tls)
    # httpx has no argument for it; tools that stand in for a network replace this class's methods.
    transport._pool = pool
    return transport


class FreshConnections:
    """In the place of a pool of httpcore: a connection for each call, which ends with its answer.

    The caller sees to it that there are not too many at a time.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls, self._backend = tls, AsyncioBackend()
        self._tls.set_alpn_protocols(["http/1.1"])

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Make a call; its answer is to be closed."""
        if request.url.scheme not in (b"http", b"https"):
            raise httpcore.UnsupportedProtocol(request.url.scheme.decode("ascii"))
        if not _are_httpcores_own():
            # A call on a connection of our own would get past a tool that mocks calls, and be paid.
            pool = httpcore.AsyncConnectionPool(
                self._tls, max_keepalive_connections=0, network_backend=self._backend
            )
            return await pool.handle_async_request(request)
        stream = await self._connected(request)
        call = _FreshCall(request, stream)
        try:
            # Who refuses a request may close before all of it is there, and has answered.
            with suppress(httpcore.WriteError):
                await call.send()
            answer = await call.head()
        except BaseException:
            await stream.aclose()
            raise
        return httpcore.Response(
            answer.status_code,
            headers=answer.headers.raw_items(),
            content=call,
            extensions={
                "http_version": b"HTTP/" + answer.http_version,
                "reason_phrase": answer.reason,
                "network_stream": stream,
            },
        )

    async def _connected(self, request: httpcore.Request) -> AsyncioStream:
        origin, seconds = request.url.origin, _seconds(request, "connect")
        host = origin.host.decode("ascii")
        facts: dict[str, Any] = {"host": host, "port": origin.port, "timeout": seconds}
        await _tell(request, "connection.connect_tcp.started", facts)
        stream = await self._backend.connect_tcp(host, origin.port, seconds)
        await _tell(request, "connection.connect_tcp.complete", {"return_value": stream})
        if origin.scheme == b"https":
            name = request.extensions.get("sni_hostname") or host
            await _tell(request, "connection.start_tls.started", {"server_hostname": name})
            stream = await stream.start_tls(self._tls, name, seconds)
            await _tell(request, "connection.start_tls.complete", {"return_value": stream})
        return stream

    async def aclose(self) -> None:
        """Nothing is open."""


class _FreshCall:
    """A call on its connection; and the body of its answer, which closes that."""

    def __init__(self, request: httpcore.Request, stream: AsyncioStream) -> None:
        self._request, self._stream = request, stream
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD)

    async def send(self) -> None:
        """Send the request."""
        request, seconds = self._request, _seconds(self._request, "write")
        body = cast("AsyncIterable[bytes]", request.stream)
        await _tell(request, "http11.send_request_headers.started", {"request": request})
        method, target = request.method, request.url.target
        try:
            head = h11.Request(method=method, target=target, headers=request.headers)
            await self._send(head, seconds)
            async for piece in body:
                await self._send(h11.Data(piece), seconds)
            await self._send(h11.EndOfMessage(), seconds)
        except h11.LocalProtocolError as error:
            raise httpcore.LocalProtocolError(error) from error
        await _tell(request, "http11.send_request_body.complete", {})

    async def _send(self, event: h11.Event, seconds: Seconds) -> None:
        # The stream keeps what is little until more is written, or an answer is read.
        await self._stream.write(self._protocol.send(event) or b"", seconds)

    async def head(self) -> h11.Response | h11.InformationalResponse:
        """The head of the answer; those of preliminary ones are passed over."""
        seconds = _seconds(self._request, "read")
        while not _is_head(event := await self._event(seconds)):
            pass
        facts = {"return_value": event.status_code}
        await _tell(self._request, "http11.receive_response_headers.complete", facts)
        return event

    async def _event(self, seconds: Seconds) -> object:
        protocol = self._protocol
        try:
            while (event := protocol.next_event()) is h11.NEED_DATA:
                data = await self._stream.read(AT_ONCE, seconds)
                if not data and protocol.their_state is h11.SEND_RESPONSE:
                    raise httpcore.RemoteProtocolError(SILENT)
                protocol.receive_data(data)
        except h11.RemoteProtocolError as error:
            raise httpcore.RemoteProtocolError(error) from error
        return event

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seconds = _seconds(self._request, "read")
        try:
            while isinstance(event := await self._event(seconds), h11.Data):
                yield bytes(event.data)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()


def _is_head(event: object) -> TypeGuard[h11.Response | h11.InformationalResponse]:
    """Whether an event is the head of the answer. After one that switches protocols, nothing comes.

    h11 takes that one only where the request has a header Upgrade: a vendor's constant headers
    could have it. `Network` refuses it among the user's own.
    """
    if isinstance(event, h11.InformationalResponse):
        return event.status_code == SWITCHING
    return isinstance(event, h11.Response)


def _are_httpcores_own() -> bool:
    """Whether the methods are httpcore's that make its calls: tools such as respx replace them."""
    methods = (
        httpcore.AsyncConnectionPool.handle_async_request,
        httpcore.AsyncHTTPConnection.handle_async_request,
    )
    return all(
        type(one) is FunctionType and one.__globals__["__name__"].startswith("httpcore.")
        for one in methods
    )


def _seconds(request: httpcore.Request, what: str) -> Seconds:
    """How long one wait may take."""
    found: Seconds = request.extensions.get("timeout", {}).get(what)
    return found


async def _tell(request: httpcore.Request, event: str, facts: Mapping[str, object]) -> None:
    """Tell who listens to a call what happens, as httpcore does, and write it to its log."""
    log = LOGS[event.partition(".")[0]]
    if log.isEnabledFor(logging.DEBUG):
        log.debug("%s %r", event.partition(".")[2], facts)
    told: Told | None = request.extensions.get("trace")
    if told is not None:
        await told(event, facts)
