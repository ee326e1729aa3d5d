"""Moving a file, blocking or awaiting: both pumps do the same actions."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Sequence
from contextlib import aclosing, closing, suppress
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve

from ..errors import PolyreelError
from ..flows import Fetch, Reply, Saved, Transfer, TryFolder
from .addresses import aresolve, resolve
from .downloads import Action, Download, Get, Pause
from .links import Resolve
from .puts import FilePut
from .receiving import pieces_of
from .storing import BlockingCall, FolderTrial, StoredDownload
from .urls import abody_of, transport_errors
from .watch import Trace, Watch
from .wire import Wire

if TYPE_CHECKING:
    import httpx

    Outcome = httpx.Response | Sequence[str] | Exception | object

MAX_THREADS: Final = 32
"""How many awaited downloads of a client have a thread each. More ones share the event loop."""
Moving = Download | FilePut | StoredDownload | FolderTrial


def transfer(step: Transfer | TryFolder, wire: Wire) -> Saved | Reply | None:
    """Download one file, send one to a link, or try a folder, blocking."""
    moving = _begun(step, wire)
    outcome: Outcome = None
    errors = transport_errors()
    with closing(moving.actions()) as actions:
        while True:
            try:
                action = _next(actions, outcome)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            try:
                outcome = _do(action, moving)
            except PolyreelError:
                raise
            except errors as error:
                outcome = error


async def atransfer(step: Transfer | TryFolder, wire: Wire) -> Saved | Reply | None:
    """The same, awaiting."""
    moving = _begun(step, wire)
    outcome: Outcome = None
    errors = transport_errors()
    with closing(moving.actions()) as actions:
        while True:
            try:
                action = _next(actions, outcome)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            try:
                async with asyncio.timeout(moving.watch.left):
                    outcome = await _ado(action, moving)
            except PolyreelError:
                raise
            except errors as error:
                outcome = error


def _begun(step: Transfer | TryFolder, wire: Wire) -> Moving:
    if isinstance(step, TryFolder):
        return FolderTrial(step, wire)
    if isinstance(step, Fetch):
        return StoredDownload(step, wire) if step.folder_url else Download(step, wire)
    return FilePut(step, wire)


def _next(
    actions: Generator[Action | BlockingCall, Any, Any], outcome: Outcome
) -> Action | BlockingCall:
    return actions.throw(outcome) if isinstance(outcome, Exception) else actions.send(outcome)


def _do(action: Action | BlockingCall, moving: Moving) -> Outcome:
    wire, watch = moving.wire, moving.watch
    if isinstance(action, BlockingCall):
        return _called(action)
    if isinstance(action, Pause):
        wire.clock.sleep(action.seconds)
        return None
    if isinstance(action, Resolve):
        return resolve(wire.resolver, action.host, action.port, watch.left)
    return _get(action, wire.connections("download", action.route), watch)


async def _ado(action: Action | BlockingCall, moving: Moving) -> Outcome:
    wire, watch = moving.wire, moving.watch
    if isinstance(action, BlockingCall):
        return await asyncio.to_thread(_called, action)
    if isinstance(action, Pause):
        await wire.clock.asleep(action.seconds)
        return None
    if isinstance(action, Resolve):
        return await aresolve(wire.resolver, action.host, action.port)
    getting = _GetInThread(action, wire, watch)
    if getting.begins():
        return await getting.result()
    connections = wire.async_connections("download", action.route)
    answering = connections.handle_async_request(_traced(action, watch.asee))
    async with aclosing(await answering) as response:
        if action.begin(response):
            async for chunk in abody_of(response):
                if action.write(chunk):
                    break
        return response


def _get(action: Get, connections: httpx.BaseTransport, watch: Watch) -> httpx.Response:
    try:
        request = _traced(action, watch.see)
        with closing(connections.handle_request(request)) as response:
            if action.begin(response):
                for chunk in pieces_of(request, response):
                    if action.write(chunk):
                        break
            return response
    finally:
        watch.stop()


class _GetInThread:
    """A request of an awaited download, made in a thread.

    There, the bytes go from the socket to the disk without the event loop, which takes longer for
    them, and in which nothing else could go on while the disk writes.
    """

    def __init__(self, action: Get, wire: Wire, watch: Watch) -> None:
        self._begin_own, self._write_own = action.begin, action.write
        self._action = evolve(action, begin=self._begin, write=self._write)
        self._wire, self._watch = wire, watch
        self._connections = wire.connections("download", action.route)
        self._lock = threading.Lock()
        """Held while the download does something with what has arrived."""
        self._is_given_up = False
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[httpx.Response] = self._loop.create_future()

    def begins(self) -> bool:
        """Begin, and say whether there is a thread for it. Where a test has a transport instead of
        the network, there is none.
        """
        threads = self._wire.downloading
        if self._wire.transport is not None or len(threads) >= MAX_THREADS:
            return False
        thread = threading.Thread(target=self._work, name="polyreel-download", daemon=True)
        threads.add(thread)
        try:
            thread.start()
        except RuntimeError:  # the system has no more
            threads.discard(thread)
            return False
        return True

    async def result(self) -> httpx.Response:
        """The answer. Once this has ended, the thread does nothing more with the file."""
        try:
            return await self._future
        except asyncio.CancelledError:
            with self._lock:
                self._is_given_up = True
            self._watch.cut()  # a thread that still connects ends by itself, a little later
            raise

    def _work(self) -> None:
        response: httpx.Response | None = None
        error: BaseException | None = None
        try:
            response = _get(self._action, self._connections, self._watch)
        except BaseException as failure:
            error = failure
        self._wire.downloading.discard(threading.current_thread())
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._report, response, error)

    def _report(self, response: httpx.Response | None, error: BaseException | None) -> None:
        if self._future.done():
            return  # nobody waits any more
        if error is not None:
            self._future.set_exception(error)
        elif response is not None:
            self._future.set_result(response)

    def _begin(self, response: httpx.Response) -> bool:
        with self._lock:
            return not self._is_given_up and self._begin_own(response)

    def _write(self, chunk: bytes | memoryview) -> bool:
        with self._lock:
            return self._is_given_up or self._write_own(chunk)


def _called(call: BlockingCall) -> object:
    try:
        return call.do()
    except Exception as error:  # it is thrown into the actions, whatever its class is
        return error


def _traced(action: Get, trace: Trace) -> httpx.Request:
    action.request.extensions["trace"] = trace
    return action.request
