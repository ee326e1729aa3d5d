"""Event streams: a paid call whose answer tells of the job as it goes on.

The first event is the answer to the call, and has its deadline. What comes afterwards can only be news: a stream that
ends, breaks, or is silent harms nothing.
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
from .urls import abody_of, body_of, transport_errors
from .watch import LATE
from .wire import Wire

if TYPE_CHECKING:
    import httpx

LINE_END: Final = re.compile(rb"\r\n|\n|\r")
MARK: Final = b"\xef\xbb\xbf"
"""The byte order mark that a stream may begin with."""
USE: Final = "download"
"""The connections that streams take: as long as downloads, they must not keep other paid calls waiting for one."""


class Events:
    """The events of a stream, from its bytes in any pieces: what each says in its `data` lines.

    Comments, names, ids and events without data are passed over.
    """

    def __init__(self) -> None:
        self._line, self._data = bytearray(), list[bytes]()
        self._size = 0
        self._first = True
        self._returned = False
        """Whether the last byte was a carriage return: a line feed behind it belongs to it."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The events that a piece completes. ValueError where one is too large."""
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
        """The event that the end of the stream completes: some servers leave its empty line out."""
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


class _Told:
    """What both kinds of streams know of the one that is open."""

    def __init__(self, call: HttpCall, response: httpx.Response) -> None:
        self._call, self._response = call, response
        self._events = Events()
        self._waiting: list[bytes] = []
        # httpx looks at it once, before the first byte of the body; from then on the watch has the say.
        call.timeout["read"] = QUIET_SECONDS

    def _take(self, chunk: bytes | None) -> bool:
        """Take a piece, or the end of the stream; whether it goes on."""
        told = self._events.rest() if chunk is None else self._events.feed(chunk)
        try:
            self._waiting += told
        except ValueError as error:
            if not self._waiting:  # those before it count
                raise self._call.error(str(error)) from None
        return chunk is not None

    def _next(self) -> Reply:
        """The next event that is here."""
        return self._reply(self._waiting.pop(0))

    def _reply(self, content: bytes) -> Reply:
        return self._call.reply(self._response.status_code, self._response.headers, content)

    def _first_of(self) -> Reply:
        """The first event; TransportError where there is none."""
        if self._waiting:
            return self._next()
        late = self._call.watch.left <= 0
        raise self._call.error(LATE if late else "the stream ended before it told of a job")


class _Patience:
    """How long a stream is listened to for one event."""

    def __init__(self, step: NextEvent) -> None:
        self._began = time.monotonic()
        self._step = step

    @property
    def left(self) -> float:
        """Seconds for the next byte."""
        return min(self._step.quiet, self._began + self._step.seconds - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Whether the stream has said nothing that matters for long."""
        return time.monotonic() - self._began >= self._step.quiet


def is_stream(response: httpx.Response) -> bool:
    """Whether an answer is an event stream."""
    kind = response.headers.get("content-type", "").partition(";")[0]
    return 200 <= response.status_code < 300 and kind.strip().lower() == EVENT_STREAM


# -- blocking ----------------------------------------------------------------------------------------


class Stream(_Told):
    """A stream that is open, for the blocking driver."""

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
        """Stay open beyond the call, and its deadline."""
        self._call.watch.stop()
        self._stack = self._stack.pop_all()
        return self

    def hear(self, step: NextEvent) -> Reply | None:
        """The next event: see `Hear`."""
        patience = _Patience(step)
        with suppress(PolyreelError, *transport_errors()):
            while not self._waiting:
                self._call.watch.extend(max(0.0, patience.left))
                self._call.timeout["read"] = max(0.0, patience.left)
                if not self._take(next(self._body, None)):
                    break
                if not self._waiting and patience.is_over:
                    return self._reply(b"")
        self._call.watch.stop()
        return self._next() if self._waiting else None

    def close(self) -> None:
        """Let it go."""
        with suppress(*transport_errors()):
            self._stack.close()


def open_stream(step: Send, wire: Wire) -> tuple[Reply, Stream | None]:
    """Make a paid call and give its first event, and the stream for the others; or the ordinary answer."""
    call = HttpCall(step, wire)
    try:
        with ExitStack() as stack:
            stack.callback(call.watch.stop)
            connections = wire.connections(USE)
            response = stack.enter_context(
                closing(connections.handle_request(call.request(stack, call.watch.see)))
            )
            call.begin(response.headers)
            if is_stream(response):
                stream = Stream(call, response, stack)
                return stream.first(), stream.keep()
            for chunk in body_of(response):
                call.write(chunk)
            return call.finish(response.status_code, response.headers), None
    except PolyreelError:
        raise
    except transport_errors() as error:
        raise call.failure(error) from None


# -- awaiting ----------------------------------------------------------------------------------------


class AsyncStream(_Told):
    """A stream that is open, for the awaiting driver."""

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
        """Stay open beyond the call."""
        self._stack = self._stack.pop_all()
        return self

    async def hear(self, step: NextEvent) -> Reply | None:
        """The next event: see `Hear`."""
        patience = _Patience(step)
        with suppress(PolyreelError, *transport_errors()):
            while not self._waiting:
                self._call.timeout["read"] = max(0.0, patience.left)
                async with asyncio.timeout(patience.left):
                    chunk = await anext(self._body, None)
                if not self._take(chunk):
                    break
                if not self._waiting and patience.is_over:
                    return self._reply(b"")
        return self._next() if self._waiting else None

    async def aclose(self) -> None:
        """Let it go."""
        with suppress(*transport_errors()):
            await self._stack.aclose()


async def aopen_stream(step: Send, wire: Wire) -> tuple[Reply, AsyncStream | None]:
    """The same, awaiting."""
    call = HttpCall(step, wire)
    try:
        async with AsyncExitStack() as stack, asyncio.timeout(call.watch.left):
            connections = wire.async_connections(USE)
            response = await connections.handle_async_request(call.request(stack, call.watch.asee))
            await stack.enter_async_context(aclosing(response))
            call.begin(response.headers)
            if is_stream(response):
                stream = AsyncStream(call, response, stack)
                return await stream.first(), stream.keep()
            async for chunk in abody_of(response):
                call.write(chunk)
            return call.finish(response.status_code, response.headers), None
    except PolyreelError:
        raise
    except transport_errors() as error:
        raise call.failure(error) from None
