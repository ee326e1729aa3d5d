"""A server that does what a test says, and awaited calls to it below httpx."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx
from attrs import frozen
from polyreel.drivers.fresh import httpx_connections

from .proxies import Authority

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@frozen
class Place:
    """Where calls go in one test."""

    authority: Authority
    loop_factory: Any
    is_tls: bool

    def run(
        self,
        handler: Handler,
        asking: Callable[["Asking"], Awaitable[Any]],
        kept: int = 0,
        host: str = "127.0.0.1",
    ) -> Any:
        """The result of calls to a server, which handles each connection so."""

        handled = set[asyncio.Task[None]]()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            handled.add(task)
            with suppress(asyncio.IncompleteReadError, OSError):
                await handler(reader, writer)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

        async def main() -> Any:
            server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=self._of_server())
            port = server.sockets[0].getsockname()[1]
            tls = ssl.create_default_context(cafile=str(self.authority.ca))
            transport = httpx_connections(tls, httpx.Limits(max_keepalive_connections=kept))
            url = f"http{'s' * self.is_tls}://{host}:{port}/"
            try:
                return await asyncio.wait_for(asking(Asking(transport, url)), 20)
            finally:
                await transport.aclose()
                server.close()
                if handled:
                    await asyncio.wait(handled, timeout=10)

        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            return runner.run(main())

    def run_blocking(
        self, serve: Callable[[socket.socket], object], asking: Callable[["Asking"], Awaitable[Any]]
    ) -> Any:
        """The same with a server in a thread, which does just what it says, whatever the loop does.

        It sees one connection, which it closes without an end of TLS.
        """
        listener = socket.create_server(("127.0.0.1", 0))
        context = self._of_server()

        def work() -> None:
            with suppress(OSError), listener.accept()[0] as plain:
                if context is None:
                    serve(plain)
                    return
                with context.wrap_socket(plain, server_side=True) as secured:
                    serve(secured)

        thread = threading.Thread(target=work)
        thread.start()

        async def elsewhere(ask: Asking) -> Any:
            port = listener.getsockname()[1]
            return await asking(Asking(ask.transport, f"{ask.url.rpartition(':')[0]}:{port}/"))

        try:
            return self.run(echo, elsewhere)
        finally:
            with listener, suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _of_server(self) -> ssl.SSLContext | None:
        if not self.is_tls:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.authority.leaf)
        return context


@frozen
class Asking:
    """Who makes calls."""

    transport: httpx.AsyncHTTPTransport
    url: str

    async def __call__(
        self, content: bytes | AsyncIterator[bytes] = b"", seconds: float = 10, slowly: float = 0
    ) -> bytes:
        """The body of the answer to a call."""
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), seconds)
        request = httpx.Request("POST", self.url, content=content, extensions={"timeout": timeout})
        response = await self.transport.handle_async_request(request)
        try:
            pieces = list[bytes]()
            async for piece in response.aiter_raw():
                pieces.append(piece)
                await asyncio.sleep(slowly)
            return b"".join(pieces)
        finally:
            await response.aclose()


async def take(reader: asyncio.StreamReader) -> bytes:
    """Read one request; its body is the result."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].split()[0]
    return await reader.readexactly(int(length))


def answer(body: bytes, length: int | None = None) -> bytes:
    """An answer with a body, and the length that its head names."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (length or len(body)) + body


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Give each request its own body back, as long as the client asks."""
    while True:
        writer.write(answer(await take(reader)))
        await writer.drain()
