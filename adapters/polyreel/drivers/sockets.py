"""Sockets of asyncio for the awaited calls of httpx.

httpx waits with anyio, which is for several event loops: its tasks and scopes take half the time of
a call on a fresh connection, and every paid call has a fresh one. asyncio's own transports, whose
TLS is asyncio's too, take their place here. What httpcore tells of a call stays the same.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import sys
from collections.abc import Coroutine, Iterable
from functools import lru_cache
from typing import Any, Final, TypeVar, cast

import aiohappyeyeballs
import httpcore

from ..hosts import address_of

T = TypeVar("T")
NEXT_ADDRESS_SECONDS: Final = 0.25
"""After how long without an answer the next address of a host is tried too, as RFC 8305 has it."""
MOST_WAITING: Final = 256 * 1024
"""How many bytes may have arrived that nobody has read, before no more are taken."""
LEAST_SENT: Final = 64 * 1024
"""How many bytes are sent without waiting for what else is to be sent."""
ABSENT: Final = "the connection is closed"
BEFORE_TLS: Final = "the server said something, or closed, before TLS began"


async def _waited(
    work: Coroutine[Any, Any, T],
    seconds: float | None,
    late: type[Exception],
    broken: type[Exception],
) -> T:
    """The result of some work; trouble, and an end of the time, as the exceptions of httpcore."""
    try:
        if seconds is None:  # whoever calls has a deadline
            return await work
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as error:
        raise late(error) from error
    except (OSError, RuntimeError) as error:  # TLS's too; uvloop's, where a socket has ended
        raise broken(error) from error


class _Bytes(asyncio.Protocol):
    """What arrives on a connection, until it is read."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._socket: asyncio.Transport | None = None
        """What is below TLS, where there is TLS."""
        self._unsent = b""
        self.received = bytearray()
        self.is_over = False
        """Whether nothing more will arrive."""
        self.error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        """What waits for bytes to arrive or to leave."""
        self._is_full = False
        """Whether what was written last has to leave before more is written."""
        self._is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's has no such class
        self.transport = self._socket = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Keep what has arrived."""
        self.received += data
        if len(self.received) > MOST_WAITING and self._socket is not None:
            # Not TLS's: uvloop's would lose what it holds back once the other side has ended.
            self._is_paused = True
            self._socket.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """The other side sends no more, but may still read."""
        self.is_over = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing arrives or leaves any more."""
        self.is_over, self.error, self.transport = True, exc or self.error, None
        self._socket = None
        self._wake()

    def pause_writing(self) -> None:
        """Write no more for now."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Write on."""
        self._is_full = False
        self._wake()

    async def read(self, most: int) -> bytes:
        """What has arrived, once something has; nothing at the end."""
        if self._unsent and (open_ := self._open):
            open_.write(self._unsent)
        self._unsent = b""
        while not self.received and not self.is_over:
            await self._woken()
        if not self.received and self.error is not None:
            raise self.error
        taken = bytes(self.received[:most])
        del self.received[:most]
        if self._is_paused and not self.received and self._socket is not None:
            self._is_paused = False
            self._socket.resume_reading()
        return taken

    async def write(self, content: bytes) -> None:
        """Write, and wait where the other side does not read.

        A little leaves with what is written next, or when an answer is read. Between two pieces, a
        server that has refused the first may close, and then its answer is lost with the second.
        """
        if (open_ := self._open) is None:
            raise self.error or ConnectionResetError(ABSENT)
        self._unsent += content
        if len(self._unsent) < LEAST_SENT:
            return
        open_.write(self._unsent)
        self._unsent = b""
        for _ in range(2):  # what has arrived is seen before the next piece; and others have a turn
            await asyncio.sleep(0)
        while self._is_full and not self.is_over:
            await self._woken()
        if self._is_full or (self.transport is None and self.error is not None):
            raise self.error or ConnectionResetError(ABSENT)

    @property
    def _open(self) -> asyncio.Transport | None:
        """The transport, where it takes orders: uvloop's refuses them while it closes."""
        transport, socket_ = self.transport, self._socket
        if transport is None or socket_ is None:
            return None
        # TLS learns late that its socket is closed, and would go on writing.
        return None if socket_.is_closing() or transport.is_closing() else transport

    async def _woken(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._waiter = None


class AsyncioStream(httpcore.AsyncNetworkStream):
    """A connection."""

    def __init__(self, transport: asyncio.Transport, bytes_: _Bytes) -> None:
        self._transport, self._bytes = transport, bytes_

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has arrived, once something has; nothing where the other side has ended."""
        reading = self._bytes.read(max_bytes)
        return await _waited(reading, timeout, httpcore.ReadTimeout, httpcore.ReadError)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send."""
        writing = self._bytes.write(buffer)
        await _waited(writing, timeout, httpcore.WriteTimeout, httpcore.WriteError)

    async def aclose(self) -> None:
        """Close at once: what is to be read or written has been, or nobody waits for it."""
        self._transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> AsyncioStream:
        """The same connection with TLS."""
        if self._bytes.received or self._bytes.is_over:  # anybody on the way may have said it
            self._transport.abort()
            raise httpcore.ConnectError(self._bytes.error or BEFORE_TLS)
        starting = asyncio.get_running_loop().start_tls(
            self._transport, self._bytes, ssl_context, server_hostname=server_hostname
        )
        errors = httpcore.ConnectTimeout, httpcore.ConnectError
        try:
            transport = await _waited(starting, timeout, *errors)
        except BaseException:
            self._transport.abort()
            raise
        if transport is None:
            raise httpcore.ConnectError(ABSENT)
        self._bytes.transport = transport
        return AsyncioStream(transport, self._bytes)

    def get_extra_info(self, info: str) -> Any:
        """A fact of the connection, by the names that httpcore has for them."""
        if info == "is_readable":
            return self._is_readable()
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return self._transport.get_extra_info(names.get(info, info))

    def _is_readable(self) -> bool:
        """Whether bytes have arrived, or the end: nothing else than the end does without a call."""
        if self._bytes.received or self._bytes.is_over:
            return True
        found = self._transport.get_extra_info("socket")
        descriptor = -1 if found is None else found.fileno()
        if descriptor < 0:  # closed, but not yet told of
            return True
        if sys.platform == "win32":
            return bool(select.select([descriptor], [], [], 0)[0])
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))


class AsyncioBackend(httpcore.AsyncNetworkBackend):
    """Connections of asyncio."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> AsyncioStream:
        """Connect to the address of a host that answers first."""
        assert local_address is None
        assert socket_options is None
        if not 0 <= port < 1 << 16:  # resolvers would cut it down to another one
            raise httpcore.ConnectError(f"there is no port {port}")
        errors = httpcore.ConnectTimeout, httpcore.ConnectError
        return AsyncioStream(*await _waited(_connected(host, port), timeout, *errors))

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> AsyncioStream:
        """Vendors have no such sockets."""
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


@lru_cache(maxsize=256)
def _is_address(host: str) -> bool:
    return address_of(host) is not None


async def _connected(host: str, port: int) -> tuple[asyncio.Transport, _Bytes]:
    loop = asyncio.get_running_loop()
    if _is_address(host):
        return await loop.create_connection(_Bytes, host, port)
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    connected = await aiohappyeyeballs.start_connection(
        found, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS, interleave=1
    )
    return await loop.create_connection(_Bytes, sock=connected)
