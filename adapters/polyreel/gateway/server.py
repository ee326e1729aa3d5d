"""An application on a socket, with uvicorn: what is under way at its end is finished."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from ..simulator.http import HOST, listen
from .application import GatewayApplication, check_installed

if TYPE_CHECKING:
    import socket

    import uvicorn
    from starlette.types import ASGIApp

HEAD_SECONDS: Final = 15.0
"""How long the head of a request may take to arrive."""
KEEP_ALIVE: Final = 15
"""Seconds that an idle connection is kept."""
GRACE: Final = 30
"""Seconds in which answers under way can be finished when the gateway ends."""
CONNECTIONS: Final = 1000
"""How many connections there are at most.

For a further one, the oldest is closed of those whose next request has not come; where all have
one, it is answered with 503.
"""
MOST_HEAD: Final = 32 * 1024
"""The longest head of a request, in bytes."""


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
    server = _server(application, tls)
    # Contracts are some hundred thousand objects, which stay: no collection has to look at them.
    gc.collect()
    gc.freeze()

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
        target=lambda: asyncio.run(server.serve(sockets=[bound])), name="polyreel-gateway"
    )
    thread.start()
    try:
        yield f"http://{HOST}:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


def _server(application: ASGIApp, tls: dict[str, str | None]) -> uvicorn.Server:
    check_installed()
    import uvicorn  # noqa: PLC0415
    from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: PLC0415

    class Protocol(H11Protocol):
        """A connection whose client has some seconds for the head of each request."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            """Begin to wait for the first head."""
            super().connection_made(transport)
            self._await_head()
            if len(self.connections) >= CONNECTIONS:
                others = (one for one in self.connections if isinstance(one, Protocol))
                waiting = [one for one in others if one is not self and one.is_waiting]
                for oldest in sorted(waiting, key=lambda one: one._head.when())[:1]:
                    oldest.transport.close()

        def on_response_complete(self) -> None:
            """Begin to wait for the next head."""
            super().on_response_complete()
            self._head.cancel()
            self._await_head()

        def _await_head(self) -> None:
            self._head = self.loop.call_later(HEAD_SECONDS, self._give_up)

        def _give_up(self) -> None:
            if self.is_waiting:
                self.transport.close()

        @property
        def is_waiting(self) -> bool:
            """Whether the head of the next request has not come."""
            is_over = self.cycle is None or self.cycle.response_complete
            return is_over and not self.transport.is_closing()

        def connection_lost(self, exc: Exception | None) -> None:
            """Wait no longer."""
            self._head.cancel()
            super().connection_lost(exc)

    class Server(uvicorn.Server):
        """A server whose end is asked for by this module."""

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
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        h11_max_incomplete_event_size=MOST_HEAD,
        **options,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_no_end)
    return Server(config)


def _is_no_end(record: logging.LogRecord) -> bool:
    """Whether a record tells of more than an answer, such as a stream, that was cut at the end."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))
