"""Event streams: a paid call whose answer reports the job while it runs.

The first event is the answer to the call, and must come before the call's deadline. Later events
are only news: it harms nothing where the stream ends, breaks or is silent.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, aclosing, closing, suppress
from typing import TYPE_CHECKING, Final

from ..errors import PolyreelError
from ..flows import EVENT_STREAM, MAX_JSON_BYTES, QUIET_SECONDS, NextEvent, Reply, Send
from .calls import HttpCall
from .urls import abody_of, body_of, lowered, transport_errors
from .watch import LATE
from .wire import Wire

if TYPE_CHECKING:
    import httpx

LINE_END: Final = re.compile(rb"\r\n|\n|\r")
MARK: Final = b"\xef\xbb\xbf"
"""The byte order mark that a stream may begin with."""
USE: Final = "download"
"""The connections of streams.

The number of connections for paid calls is limited. Streams last as long as downloads, so that
other paid calls would have to wait for them.
"""


class Events:
    """The events of a stream, read from its bytes in any pieces: the `data` lines of each.

    Comments, names, ids and events without data are skipped.
    """

    def __init__(self) -> None:
        self._line, self._data = bytearray(), list[bytes]()
        self._size = 0
        self._first = True
        self._returned = False
        """Whether the last byte was a carriage return: a line feed after it ends no other line."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Give the events that a piece completes; ValueError where one is too large."""
        if self._returned and chunk[:1] == b"\n":
            chunk = chunk[1:]
            self._returned = False
        if chunk:
            self._returned = chunk.endswith(b"\r")
        *lines, rest = LINE_END.split(chunk)
        for line in lines:
            yield from self._end_line(line)
        self._add(rest)

    def rest(self) -> Iterator[bytes]:
        """Give the event that the end of the stream completes.

        Some servers leave out the empty line after it.
        """
        yield from self._end_line(b"")
        yield from self._end_line(b"")

    def _add(self, piece: bytes) -> None:
        self._line += piece
        self._size += len(piece)
        if self._size > MAX_JSON_BYTES:
            raise ValueError("an event is too large")

    def _end_line(self, piece: bytes) -> Iterator[bytes]:
        self._add(piece)
        line, self._line = bytes(self._line), bytearray()
        if self._first:
            line, self._first = line.removeprefix(MARK), False
        name, _, value = line.partition(b":")
        if not line:
            event, self._data, self._size = b"\n".join(self._data), [], 0
            yield from [event] if event else []
        elif name == b"data":
            self._data.append(value.removeprefix(b" "))
        else:
            self._size -= len(line)


class _OpenStream:
    """An open stream, as both drivers have it: the events that have arrived."""

    def __init__(self, call: HttpCall, response: httpx.Response) -> None:
        self._call, self._response = call, response
        self._headers = lowered(response.headers)
        self._events = Events()
        self._waiting: list[bytes] = []
        # httpx reads this once, before the first byte of the body. After that the watch decides.
        call.timeout["read"] = QUIET_SECONDS

    def _take(self, chunk: bytes | None) -> bool:
        """Take a piece, or None for the end of the stream; the result is whether it goes on."""
        events = (
            self._events.rest() if chunk is None else self._events.feed(self._call.decoded(chunk))
        )
        try:
            self._waiting += events
        except ValueError as error:
            if not self._waiting:  # events before it are still given
                raise self._call.error(str(error)) from None
        return chunk is not None

    def _next(self) -> Reply:
        """The next event that has arrived."""
        return self._reply(self._waiting.pop(0))

    def _reply(self, content: bytes) -> Reply:
        return self._call.reply(self._response.status_code, self._headers, content)

    def _first_of(self) -> Reply:
        """The first event; TransportError where there is none."""
        if self._waiting:
            return self._next()
        late = self._call.watch.left <= 0
        raise self._call.error(LATE if late else "the stream ended before it told of a job")


class _EventWait:
    """How long to wait for one event."""

    def __init__(self, step: NextEvent) -> None:
        self._began = time.monotonic()
        self._step = step

    @property
    def left(self) -> float:
        """Seconds for the next byte."""
        return min(self._step.quiet, self._began + self._step.seconds - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Whether no event has come for `quiet` seconds."""
        return time.monotonic() - self._began >= self._step.quiet


def is_stream(response: httpx.Response) -> bool:
    """Whether an answer is an event stream."""
    kind = response.headers.get("content-type", "").partition(";")[0]
    return 200 <= response.status_code < 300 and kind.strip().lower() == EVENT_STREAM


# -- blocking --------------------------------------------------------------------------------------


class Stream(_OpenStream):
    """An open stream, for the blocking driver."""

    def __init__(self, call: HttpCall, response: httpx.Response, stack: ExitStack) -> None:
        super().__init__(call, response)
        self._body = iter(body_of(response))
        if hasattr(self._body, "close"):
            stack.callback(self._body.close)
        self._stack = stack

    def first(self) -> Reply:
        """The first event, before the call's deadline."""
        while not self._waiting and self._take(next(self._body, None)):
            pass
        return self._first_of()

    def keep(self) -> Stream:
        """Stay open after the call and its deadline."""
        self._call.watch.stop()
        self._stack = self._stack.pop_all()
        return self

    def next_event(self, step: NextEvent) -> Reply | None:
        """Wait for the next event: see `NextEvent`."""
        wait = _EventWait(step)
        with suppress(PolyreelError, *transport_errors()):
            while not self._waiting:
                self._call.watch.extend(max(0.0, wait.left))
                self._call.timeout["read"] = max(0.0, wait.left)
                if not self._take(next(self._body, None)):
                    break
                if not self._waiting and wait.is_over:
                    return self._reply(b"")
        self._call.watch.stop()
        return self._next() if self._waiting else None

    def close(self) -> None:
        """Close the stream."""
        with suppress(*transport_errors()):
            self._stack.close()


def open_stream(step: Send, wire: Wire) -> tuple[Reply, Stream | None]:
    """Make a paid call; the result is its first event, and the stream for the others.

    Where the answer is no stream, it is the result, and there is no stream.
    """
    call = HttpCall(step, wire)
    try:
        with ExitStack() as stack:
            stack.callback(call.watch.stop)
            connections = wire.connections(USE, step.url)
            request = call.request(stack, call.watch.see)
            response = stack.enter_context(closing(connections.handle_request(request)))
            call.begin(response.headers)
            if is_stream(response):
                stream = Stream(call, response, stack)
                return stream.first(), stream.keep()
            for chunk in body_of(response):
                call.write(chunk)
            return call.finish(response.status_code, lowered(response.headers)), None
    except PolyreelError:
        raise
    except transport_errors() as error:
        raise call.failure(error) from None


# -- awaiting --------------------------------------------------------------------------------------


class AsyncStream(_OpenStream):
    """An open stream, for the awaiting driver."""

    def __init__(self, call: HttpCall, response: httpx.Response, stack: AsyncExitStack) -> None:
        super().__init__(call, response)
        self._body: AsyncIterator[bytes] = aiter(abody_of(response))
        if hasattr(self._body, "aclose"):
            stack.push_async_callback(self._body.aclose)
        self._stack = stack

    async def first(self) -> Reply:
        """The first event, before the call's deadline."""
        while not self._waiting and self._take(await anext(self._body, None)):
            pass
        return self._first_of()

    def keep(self) -> AsyncStream:
        """Stay open after the call."""
        self._stack = self._stack.pop_all()
        return self

    async def next_event(self, step: NextEvent) -> Reply | None:
        """Wait for the next event: see `NextEvent`."""
        wait = _EventWait(step)
        with suppress(PolyreelError, *transport_errors()):
            while not self._waiting:
                self._call.timeout["read"] = max(0.0, wait.left)
                async with asyncio.timeout(wait.left):
                    chunk = await anext(self._body, None)
                if not self._take(chunk):
                    break
                if not self._waiting and wait.is_over:
                    return self._reply(b"")
        return self._next() if self._waiting else None

    async def aclose(self) -> None:
        """Close the stream."""
        with suppress(*transport_errors()):
            await self._stack.aclose()


async def aopen_stream(step: Send, wire: Wire) -> tuple[Reply, AsyncStream | None]:
    """The same, awaiting."""
    call = HttpCall(step, wire)
    try:
        async with AsyncExitStack() as stack, asyncio.timeout(call.watch.left):
            connections = wire.async_connections(USE, step.url)
            response = await connections.handle_async_request(call.request(stack, call.watch.asee))
            await stack.enter_async_context(aclosing(response))
            call.begin(response.headers)
            if is_stream(response):
                stream = AsyncStream(call, response, stack)
                return await stream.first(), stream.keep()
            async for chunk in abody_of(response):
                call.write(chunk)
            return call.finish(response.status_code, lowered(response.headers)), None
    except PolyreelError:
        raise
    except transport_errors() as error:
        raise call.failure(error) from None
