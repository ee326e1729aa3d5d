"""An application on a socket, with uvicorn: what is under way at its end is finished."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..serving.framing import ServerConnection
from ..simulator.http import HOST, listen, max_open_files
from .application import GatewayApplication, check_installed

if TYPE_CHECKING:
    import socket

    import uvicorn
    from starlette.types import ASGIApp

T = TypeVar("T")
HEAD_SECONDS: Final = 15.0
"""How long the head of a request may take to arrive, and how long nothing of an answer is read."""
HANDSHAKE_SECONDS: Final = 5.0
"""How long the handshake of a connection over TLS may take."""
KEEP_ALIVE: Final = 15
"""Seconds that an idle connection is kept."""
GRACE: Final = 30
"""Seconds in which answers under way can be finished when the gateway ends."""
COLLECT_AFTER: Final = 20_000
"""How many more objects there are than before when garbage is looked for.

Some hundred requests under way are as many; Python's own 700 cost some 7 % of each submit.
"""
CONNECTIONS: Final = 1000
"""How many connections there are at most: no more than half the files that the process may open.

For a further one, the oldest is closed of those whose client has to go on: to send a request, or
to read an answer. Where the gateway has to answer all of them, it gets a 503.
"""
OPEN_FILES: Final = 16 * CONNECTIONS
"""How many files the process may open, as far as the system allows: connections that are in their
handshake do not count as such yet.
"""
SWITCH_SECONDS: Final = 1e-3
"""How long a thread that writes to a ledger waits for the event loop to let it go on, after each
statement and each look at a file. With Python's 5 ms, the loop of a busy server had nothing to do
for a fifth of the time: all calls waited for what was written.
"""
MOST_HEAD: Final = 32 * 1024
"""The longest head of a request, in bytes."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program that serves: on uvloop's event loop where it is installed.

    Its sockets cost a fifth less of a submit through the gateway. There is none for Windows.
    """
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        make_loop = None
    else:
        make_loop = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(main)


async def serve(application: GatewayApplication, bound: socket.socket, **tls: str | None) -> None:
    """Serve a gateway: see `serve_app`."""
    await serve_app(application.starlette(), bound, **tls)


async def serve_app(
    application: ASGIApp,
    bound: socket.socket,
    ending: Callable[[], object] = lambda: None,
    /,
    **tls: str | None,
) -> None:
    """Serve on a bound socket until SIGTERM or SIGINT; answers under way are finished.

    `ending` is called at the signal, so that answers without an end of their own end. `tls` are the
    arguments of uvicorn for a certificate: `ssl_certfile` and `ssl_keyfile`. MissingExtraError is
    raised where uvicorn is not installed.
    """
    _allow_connections()
    server = _server(application, tls)
    # Contracts are some hundred thousand objects, which stay: no collection has to look at them.
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    sys.setswitchinterval(SWITCH_SECONDS)

    def stop() -> None:
        server.should_exit = True
        ending()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, RuntimeError):  # Windows; another thread
            loop.add_signal_handler(number, stop)
    with contextlib.suppress(KeyboardInterrupt):
        await server.serve(sockets=[bound])


@contextlib.contextmanager
def running(application: GatewayApplication) -> Iterator[str]:
    """Serve on loopback in a thread while the block runs. The block gets the gateway's URL.

    The end of the block waits for answers under way. MissingExtraError is raised where uvicorn is
    not installed.
    """
    server, bound = _server(application.starlette(), {}), listen(0)
    thread = threading.Thread(
        target=lambda: run(server.serve(sockets=[bound])), name="polyreel-gateway"
    )
    thread.start()
    try:
        yield f"http://{HOST}:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


def _allow_connections() -> None:
    """Have the process open as many files as all connections need, as far as the system allows."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows; macOS has a limit below
        import resource  # noqa: PLC0415

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _server(application: ASGIApp, tls: dict[str, str | None]) -> uvicorn.Server:
    check_installed()
    import uvicorn  # noqa: PLC0415
    from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: PLC0415

    # What answers them opens files and connections of its own.
    connections = min(CONNECTIONS, max_open_files() // 2)

    class Protocol(H11Protocol):
        """A connection whose client has some seconds for the head of each request, and does not
        stop to read an answer for longer.
        """

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            """Begin to wait for the first head; where there are too many connections, end one."""
            super().connection_made(transport)
            self.conn = ServerConnection(MOST_HEAD)
            self._unread = 0
            self._go_on()
            if len(self.connections) >= connections:
                others = (one for one in self.connections if isinstance(one, Protocol))
                waiting = [one for one in others if one is not self and one.waits_for_client]
                if waiting:
                    min(waiting, key=lambda one: one._since).transport.abort()

        def on_response_complete(self) -> None:
            """Begin to wait for the next head."""
            super().on_response_complete()
            self._timer.cancel()
            self._go_on()

        def resume_writing(self) -> None:
            """Note that the client has read on."""
            super().resume_writing()
            self._since = self.loop.time()

        def _go_on(self) -> None:
            self._since = self.loop.time()
            self._timer = self.loop.call_later(HEAD_SECONDS, self._look)

        def _look(self) -> None:
            """Close the connection where its client has not gone on; else look again later."""
            unread = self.transport.get_write_buffer_size()
            is_late = self.loop.time() >= self._since + HEAD_SECONDS
            if unread and is_late and unread >= self._unread > 0:
                self.transport.abort()  # `close` would wait until all of it is read
            elif self._is_idle and not unread:
                self.transport.close()
            else:
                self._unread = unread
                self._timer = self.loop.call_later(HEAD_SECONDS, self._look)

        @property
        def _is_idle(self) -> bool:
            """Whether the head of the next request has not come."""
            is_over = self.cycle is None or self.cycle.response_complete
            return is_over and not self.transport.is_closing()

        @property
        def waits_for_client(self) -> bool:
            """Whether it is the client's turn: to send a request, or to read an answer."""
            if self.transport.get_write_buffer_size():
                return True
            is_asking = self.cycle is not None and self.cycle.more_body
            return self._is_idle or (is_asking and not self.transport.is_closing())

        def connection_lost(self, exc: Exception | None) -> None:
            """Wait no longer."""
            self._timer.cancel()
            super().connection_lost(exc)

    class Server(uvicorn.Server):
        """A server whose end is asked for by this module."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            """Accept connections; over TLS, each has little time for its handshake."""
            if not self.config.is_ssl:
                await super().startup(sockets)
                return
            await super().startup([])
            loop = asyncio.get_running_loop()
            for one in sockets or ():
                made = await loop.create_server(
                    lambda: Protocol(self.config, self.server_state, self.lifespan.state),
                    sock=one,
                    ssl=self.config.ssl,
                    backlog=self.config.backlog,
                    ssl_handshake_timeout=HANDSHAKE_SECONDS,
                )
                self.servers.append(made)

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Leave signals alone: uvicorn would end the process with them afterwards."""
            yield

    options: dict[str, Any] = {name: value for name, value in tls.items() if value is not None}
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        lifespan="on",
        loop="asyncio",
        http=Protocol,  # h11 is strict about what two servers could read in two ways
        ws="none",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=connections,
        # So many are accepted at once, before one of them can be closed for want of room.
        backlog=max(1, connections // 4),
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        **options,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_no_end)
    return Server(config)


def _is_no_end(record: logging.LogRecord) -> bool:
    """Whether a record tells of more than an answer, such as a stream, that was cut at the end."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))
