"""The server: accepts connections, makes room for new ones, and stops."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Final

from attrs import define, field

from .connections import CHUNK_BYTES, Connection, Limits, State
from .messages import (
    LOOPBACK,
    Access,
    Handler,
    HttpRequest,
    PreparedAnswer,
    plain,
    preflight,
    prepare,
    readable,
)

HOST: Final = "127.0.0.1"
LOG: Final = logging.getLogger("polyreel")
THREADS: Final = 16
DEFAULTS: Final = Limits()


def listen(port: int, host: str = HOST) -> socket.socket:
    """A listening socket, on loopback unless another host is named; port 0 takes a free one.

    Raises OSError where it cannot be had, also for a host that is none of this machine.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, address = found[0][0], found[0][4]
    # Named as TCP: else asyncio leaves Nagle's algorithm on, which delays every answer by 40 ms.
    server = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(address)
        server.listen(512)  # clients may connect before the loop runs, and many at once
    except OSError:
        server.close()
        raise
    return server


def serve(
    bound: socket.socket, handler: Handler, limits: Limits = DEFAULTS, access: Access = LOOPBACK
) -> int | None:
    """Serve until SIGINT or SIGTERM. The result is the number of the signal.

    Answers under way are finished. Afterwards `bound` is closed, and the signals have their earlier
    handlers again.
    """
    server, loop = _Server(handler, limits, access), asyncio.new_event_loop()
    received: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        received.append(number)
        if not loop.is_closed():
            loop.call_soon_threadsafe(server.stop.set)

    with _signals(stop):
        _run(server, bound, loop)
    return received[0] if received else None


@contextmanager
def running(
    handler: Handler, port: int = 0, limits: Limits = DEFAULTS, access: Access = LOOPBACK
) -> Iterator[str]:
    """Serve in a thread while the block runs. The block gets the server's URL.

    The end of the block waits for answers under way, but no longer than `limits.graceful_seconds`.
    """
    bound, server = listen(port), _Server(handler, limits, access)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=_run, args=(server, bound, loop), name="polyreel-loopback")
    url = f"http://{HOST}:{bound.getsockname()[1]}"
    thread.start()
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(server.stop.set)
        thread.join()


def _run(server: _Server, bound: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
    with bound, asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(server.run(bound))


@contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle SIGINT and SIGTERM, where that is possible: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)


@define(eq=False)
class _Server:
    """All connections of one server."""

    handler: Handler
    limits: Limits
    access: Access
    stop: asyncio.Event = field(factory=asyncio.Event, init=False)
    connections: dict[Connection, asyncio.Task[None]] = field(factory=dict, init=False)
    pool: ThreadPoolExecutor = field(
        factory=partial(ThreadPoolExecutor, THREADS, "polyreel-handler"), init=False
    )
    capacity: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.capacity = min(self.limits.connections, max_open_files() // 2)

    async def run(self, bound: socket.socket) -> None:
        """Accept connections until `stop` is set."""
        server = await asyncio.start_server(self._accept, sock=bound, limit=CHUNK_BYTES)
        try:
            await self.stop.wait()
        finally:
            self.stop.set()
            await _stop_accepting(bound)
            server.close()
            await self._close()
            await _run_pending()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_full = len(self.connections) >= self.capacity
        if self.stop.is_set() or (is_full and not self._make_room()):
            writer.transport.abort()
            return
        connection = Connection(reader, writer, self.limits, self.access, self._answer, self.stop)
        task = asyncio.get_running_loop().create_task(connection.serve())
        self.connections[connection] = task
        task.add_done_callback(lambda _: self.connections.pop(connection, None))

    def _make_room(self) -> bool:
        """Close the connection whose client is slowest; False where the server is the slow one.

        Clients that read an answer are closed last. A client that has just connected is safe, since
        it has waited for the shortest time.
        """
        slow = [one for one in self.connections if one.state < State.HANDLING]
        if slow:
            self._abort(min(slow, key=lambda one: (one.state is State.SENDING, one.since)))
        return bool(slow)

    def _abort(self, connection: Connection) -> None:
        # Also here, as a task that has not begun does not come to its own `finally`.
        connection.writer.transport.abort()
        self.connections.pop(connection).cancel()

    async def _close(self) -> None:
        for connection in [one for one in self.connections if one.state < State.SENDING]:
            self._abort(connection)
        late: set[asyncio.Task[None]] = set()
        if self.connections:
            seconds = self.limits.graceful_seconds
            _, late = await asyncio.wait(self.connections.values(), timeout=seconds)
        for connection in list(self.connections):
            self._abort(connection)
        await asyncio.gather(*late, return_exceptions=True)
        # Handlers that are still at work end later.
        self.pool.shutdown(wait=not late, cancel_futures=True)

    async def _answer(self, request: HttpRequest) -> PreparedAnswer:
        """The answer, made in a thread.

        `run_in_executor` does the same with one more future, which takes time.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[PreparedAnswer] = loop.create_future()

        def work() -> None:
            prepared = self._handled(request)
            with suppress(RuntimeError):  # the server has not waited for it
                loop.call_soon_threadsafe(_settle, answer, prepared)

        self.pool.submit(work)
        return await answer

    def _handled(self, request: HttpRequest) -> PreparedAnswer:
        """The handler's answer, ready to be sent; a 500 where it fails."""
        try:
            answer = preflight(request, self.access) or self.handler(request)
            return prepare(request.method, readable(answer, request, self.access))
        except BaseException as error:  # of any kind: the client must get an answer
            # The message of an exception may quote the request, the places in the code do not.
            place = "".join(traceback.format_tb(error.__traceback__))
            LOG.error("a request could not be answered: %s\n%s", type(error).__name__, place)
            return prepare(request.method, plain(500, "this server has failed"))


def _settle(answer: asyncio.Future[PreparedAnswer], prepared: PreparedAnswer) -> None:
    if not answer.done():  # else the connection was closed meanwhile
        answer.set_result(prepared)


async def _stop_accepting(bound: socket.socket) -> None:
    """Stop, and let connections that are just being accepted arrive, so that they are closed too.

    (CPython 3.11 and others, gh-109564: a transport made after `Server.close` is forgotten.)
    """
    with suppress(NotImplementedError):  # the other event loop of Windows has no readers
        asyncio.get_running_loop().remove_reader(bound)
    await _run_pending()


async def _run_pending() -> None:
    """Let the event loop run what is scheduled."""
    for _ in range(5):
        await asyncio.sleep(0)


def max_open_files() -> int:
    """How many files and sockets the process may have open: beyond it, all clients fail."""
    try:
        import resource  # noqa: PLC0415
    except ImportError:  # Windows
        return 2**16
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**16 if soft == resource.RLIM_INFINITY else soft
