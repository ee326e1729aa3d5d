"""The server: welcomes guests, makes room, and stops."""

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
from typing import Any, Final

from attrs import define, field

from .connections import CHUNK, Connection, Limits, State
from .messages import Handler, HttpRequest, Written, plain, written

HOST: Final = "127.0.0.1"
LOG: Final = logging.getLogger("polyreel")
THREADS: Final = 16
DEFAULTS: Final = Limits()


def listen(port: int) -> socket.socket:
    """A listening loopback socket; port 0 takes a free one."""
    # Named as TCP, or asyncio would not switch off Nagle's algorithm, which makes every answer 40 ms late.
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((HOST, port))
        server.listen(512)  # guests may come before the loop runs, and many at once
    except OSError:
        server.close()
        raise
    return server


def serve(bound: socket.socket, handler: Handler, limits: Limits = DEFAULTS) -> int | None:
    """Serve until SIGINT or SIGTERM; the result is which of them it was.

    Answers under way are finished, and the handlers of signals are as before. `bound` is closed.
    """
    host, loop, heard = _Host(handler, limits), asyncio.new_event_loop(), list[int]()

    def end(number: int, _: Any) -> None:
        heard.append(number)
        if not loop.is_closed():
            loop.call_soon_threadsafe(host.stop.set)

    with _signals(end):
        _run(host, bound, loop)
    return heard[0] if heard else None


@contextmanager
def running(handler: Handler, port: int = 0, limits: Limits = DEFAULTS) -> Iterator[str]:
    """Serve in a thread as long as the block runs, which gets the server's address.

    Guests are not waited for, and a handler not for longer than the limits say.
    """
    bound, host, loop = listen(port), _Host(handler, limits), asyncio.new_event_loop()
    thread = threading.Thread(target=_run, args=(host, bound, loop), name="polyreel-loopback")
    url = f"http://{HOST}:{bound.getsockname()[1]}"
    thread.start()
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(host.stop.set)
        thread.join()


def _run(host: _Host, bound: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
    with bound, asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(host.run(bound))


@contextmanager
def _signals(end: Callable[[int, Any], None]) -> Iterator[None]:
    """Hear SIGINT and SIGTERM, where that is possible: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@define(eq=False)
class _Host:
    """All guests of one server."""

    handler: Handler
    limits: Limits
    stop: asyncio.Event = field(factory=asyncio.Event, init=False)
    guests: dict[Connection, asyncio.Task[None]] = field(factory=dict, init=False)
    pool: ThreadPoolExecutor = field(
        factory=partial(ThreadPoolExecutor, THREADS, "polyreel-handler"), init=False
    )
    capacity: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.capacity = min(self.limits.connections, _open_files() // 2)

    async def run(self, bound: socket.socket) -> None:
        """Welcome guests until it is time to stop."""
        server = await asyncio.start_server(self._welcome, sock=bound, limit=CHUNK)
        try:
            await self.stop.wait()
        finally:
            self.stop.set()
            await _stop_accepting(bound)
            server.close()
            await self._close()
            await _rounds()

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.stop.is_set() or (len(self.guests) >= self.capacity and not self._make_room()):
            writer.transport.abort()
            return
        guest = Connection(reader, writer, self.limits, self._answer, self.stop)
        self.guests[guest] = task = asyncio.get_running_loop().create_task(guest.stay())
        task.add_done_callback(lambda _: self.guests.pop(guest, None))

    def _make_room(self) -> bool:
        """Show out the guest that has kept us waiting longest; False where every one waits for us.

        Those that read an answer go last. A good guest that has just come is safe: it is the youngest.
        """
        lazy = [guest for guest in self.guests if guest.state < State.HANDLING]
        if lazy:
            self._show_out(
                min(lazy, key=lambda guest: (guest.state is State.ANSWERING, guest.since))
            )
        return bool(lazy)

    def _show_out(self, guest: Connection) -> None:
        # A task that has not begun would not come to its own clearing up.
        guest.writer.transport.abort()
        self.guests.pop(guest).cancel()

    async def _close(self) -> None:
        for guest in [guest for guest in self.guests if guest.state < State.ANSWERING]:
            self._show_out(guest)
        late: set[asyncio.Task[None]] = set()
        if self.guests:
            _, late = await asyncio.wait(self.guests.values(), timeout=self.limits.graceful_seconds)
        for guest in list(self.guests):
            self._show_out(guest)
        await asyncio.gather(*late, return_exceptions=True)
        # A handler that takes its time ends after us.
        self.pool.shutdown(wait=not late, cancel_futures=True)

    async def _answer(self, request: HttpRequest) -> Written:
        """The answer, made in a thread; `run_in_executor` does the same with one more future, which takes time."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Written] = loop.create_future()

        def work() -> None:
            made = self._handled(request)
            with suppress(RuntimeError):  # the server has not waited for it
                loop.call_soon_threadsafe(_settle, answer, made)

        self.pool.submit(work)
        return await answer

    def _handled(self, request: HttpRequest) -> Written:
        """What the handler says, ready to be sent; a 500 where it fails."""
        try:
            return written(request.method, self.handler(request))
        except (
            BaseException
        ) as error:  # whatever it is, it must not leave the guest without an answer
            # The message of an exception may quote the request, the places in the code do not.
            place = "".join(traceback.format_tb(error.__traceback__))
            LOG.error("a request could not be answered: %s\n%s", type(error).__name__, place)
            return written(request.method, plain(500, "this server has failed"))


def _settle(answer: asyncio.Future[Written], made: Written) -> None:
    if not answer.done():  # else the guest has been shown out
        answer.set_result(made)


async def _stop_accepting(bound: socket.socket) -> None:
    """Let connections that are just being accepted arrive: those that meet a closed server are never closed.

    (CPython 3.11 and others, gh-109564: a transport that is made after `Server.close` is forgotten.)
    """
    with suppress(NotImplementedError):  # Windows' other loop, which cannot be told
        asyncio.get_running_loop().remove_reader(bound)
    await _rounds()


async def _rounds() -> None:
    """Let the loop do what it has been asked to do."""
    for _ in range(5):
        await asyncio.sleep(0)


def _open_files() -> int:
    """How many files and sockets the process may have open: where accepting fails, good guests fail too."""
    try:
        import resource  # noqa: PLC0415
    except ImportError:  # Windows
        return 2**16
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**16 if soft == resource.RLIM_INFINITY else soft
