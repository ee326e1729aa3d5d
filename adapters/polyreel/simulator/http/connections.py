"""One connection of a client, from its first byte to its last."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Final

import h11
from attrs import define, field, frozen

from ...serving.framing import ServerConnection
from .messages import (
    Access,
    BadRequestError,
    HttpRequest,
    PreparedAnswer,
    check_head,
    headers_by_name,
    plain,
    prepare,
)

CHUNK_BYTES: Final = 65_536
SMALL_CHUNK_BYTES: Final = 1024
DRIP_SECONDS: Final = 0.2
"""Seconds between two bytes of an answer that drips."""
LONGEST: Final = 120.0
"""Seconds until the connection of an answer that never ends is closed.

Also the seconds that a client has for reading one chunk of an answer.
"""
CLOSING_SECONDS: Final = 2.0
"""Seconds that a client has for reading the last answer before its connection is closed."""
MAX_DISCARDED_BYTES: Final = 64_000_000
"""Bytes of a refused request that are read and thrown away."""


@frozen
class Limits:
    """What clients may use: bytes of a body, seconds for each step, and connections of all."""

    body: int = 1_000_000
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    idle_seconds: float = 5.0
    """Between an answer and the next request."""
    connections: int = 1024
    """Where there are more, those that keep the server waiting longest are closed."""
    graceful_seconds: float = 1.0
    """For answers under way when the server stops."""


class State(IntEnum):
    """What a connection does.

    Where the server needs room, it closes the states before SENDING first, and HANDLING never.
    """

    WAITING = 0
    """For a whole head."""
    RECEIVING = 1
    """A body."""
    LINGERING = 2
    """The answer never ends, or the request was refused and its rest is thrown away."""
    SENDING = 3
    """The client reads an answer."""
    HANDLING = 4
    """A handler makes the answer."""


@define(eq=False)
class Connection:
    """One connection of a client."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    limits: Limits
    access: Access
    answer: Callable[[HttpRequest], Awaitable[PreparedAnswer]]
    stop: asyncio.Event
    """Set when no further request is to be answered."""
    protocol: h11.Connection = field(factory=ServerConnection, init=False)
    state: State = field(default=State.WAITING, init=False)
    since: float = field(factory=time.monotonic, init=False)
    """When it got into its state, by the monotonic clock."""
    method: str = field(default="GET", init=False)
    has_answered: bool = field(default=False, init=False)
    """Whether a request has been answered."""

    async def serve(self) -> None:
        """Serve until one side ends the connection."""
        try:
            while await self._exchange():
                self.protocol.start_next_cycle()
                self.has_answered = True
            self.writer.close()
            async with asyncio.timeout(CLOSING_SECONDS):
                await self.writer.wait_closed()
        except OSError:  # the client has gone, or does not read
            pass
        finally:
            self.writer.transport.abort()

    def _enter(self, state: State) -> None:
        self.state, self.since = state, time.monotonic()

    async def _exchange(self) -> bool:
        """Answer one request. True where another may follow."""
        try:
            request = await self._request()
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint, "this is not a request of HTTP/1.1")
        except BadRequestError as error:
            await self._refuse(error.status, str(error))
        except TimeoutError:
            if self.state is State.RECEIVING or self.protocol.trailing_data[0]:
                await self._refuse(408, "the request took too long")
        else:
            return request is not None and await self._answer(request)
        return False

    async def _request(self) -> HttpRequest | None:
        """The next request; None where there is none."""
        head = await self._head()
        if head is None:
            return None
        self.method, headers = head.method.decode("ascii"), headers_by_name(head.headers)
        check_head(head, headers, self.limits.body, self.access)
        content = await self._body()
        return HttpRequest(
            self.method, head.target.decode("ascii"), headers, content, f"http://{headers['host']}"
        )

    async def _head(self) -> h11.Request | None:
        self._enter(State.WAITING)
        self.method = "GET"
        if self.has_answered and not self.protocol.trailing_data[0]:
            await self._read(time.monotonic() + self.limits.idle_seconds)
        event = await self._event(time.monotonic() + self.limits.head_seconds)
        return event if isinstance(event, h11.Request) else None

    async def _body(self) -> bytes:
        self._enter(State.RECEIVING)
        if self.protocol.they_are_waiting_for_100_continue:
            await self._send(
                h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
            )
        content, end = bytearray(), time.monotonic() + self.limits.body_seconds
        while isinstance(event := await self._event(end), h11.Data):
            content += event.data
            if len(content) > self.limits.body:
                raise BadRequestError(413, "the body is too large")
            if len(event.data) < SMALL_CHUNK_BYTES:
                await asyncio.sleep(0)  # or one body in small chunks would delay all others
        return bytes(content)

    async def _event(self, end: float) -> object:
        while (event := self.protocol.next_event()) is h11.NEED_DATA:
            await self._read(end)
        return event

    async def _read(self, end: float) -> None:
        """Read some bytes; TimeoutError from the time `end` on, by the monotonic clock."""
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        async with asyncio.timeout(left):
            self.protocol.receive_data(await self.reader.read(CHUNK_BYTES))

    async def _send(self, *events: h11.Event) -> None:
        """Send, as fast as the client reads."""
        data = memoryview(b"".join(self.protocol.send(event) or b"" for event in events))
        for start in range(0, len(data), CHUNK_BYTES):
            self.writer.write(data[start : start + CHUNK_BYTES])
            waits = (
                self.writer.transport.get_write_buffer_size() > 0
            )  # rarely, and timers cost time
            async with asyncio.timeout(LONGEST if waits else None):
                await self.writer.drain()

    async def _refuse(self, status: int, message: str) -> None:
        """Refuse a request, and throw away its rest.

        A close before the client has sent it all would destroy the answer.
        """
        self._enter(State.LINGERING)
        answer = prepare(self.method, plain(status, message, {"connection": "close"}))
        await self._send(answer.head, h11.Data(data=answer.content), h11.EndOfMessage())
        self.writer.write_eof()
        left = MAX_DISCARDED_BYTES
        async with asyncio.timeout(CLOSING_SECONDS):
            while left > 0 and (data := await self.reader.read(CHUNK_BYTES)):
                left -= len(data)

    # -- endings ---------------------------------------------------------------------------------

    async def _answer(self, request: HttpRequest) -> bool:
        """Send the answer to a request. True where another may follow."""
        self._enter(State.HANDLING)
        answer = await self.answer(request)
        self._enter(State.LINGERING if answer.ending in {"drip", "silence"} else State.SENDING)
        if answer.pieces:
            await self._send_pieces(answer)
        match answer.ending:
            case "whole":
                rest = () if answer.pieces else (answer.head, h11.Data(data=answer.content))
                await self._send(*rest, h11.EndOfMessage())
                states = (self.protocol.our_state, self.protocol.their_state)
                return states == (h11.DONE, h11.DONE) and not self.stop.is_set()
            case "cut" if not answer.pieces:
                half = answer.content[: len(answer.content) // 2]
                await self._send(answer.head, h11.Data(data=half))
            case "drip" if not answer.pieces:
                await self._drip(answer)
            case "silence":
                await self._silence()
            case "reset":
                self._reset()
        return False

    async def _send_pieces(self, answer: PreparedAnswer) -> None:
        """Send the head, and each piece at its time."""
        assert answer.pace is not None
        await self._send(answer.head)
        for piece in answer.pieces:
            while (pause := piece.at - answer.pace.now()) > 0:
                await answer.pace.asleep(min(pause, 1.0))  # the clock may jump meanwhile
            await self._send(h11.Data(data=piece.content))

    async def _drip(self, answer: PreparedAnswer) -> None:
        """Send all bytes but the last, one by one: an answer that never ends."""
        async with asyncio.timeout(LONGEST):
            await self._send(answer.head)
            for index in range(len(answer.content) - 1):
                await self._send(h11.Data(data=answer.content[index : index + 1]))
                await asyncio.sleep(DRIP_SECONDS)
            await self._silence()

    async def _silence(self) -> None:
        """Send nothing until the client goes away."""
        async with asyncio.timeout(LONGEST):
            while await self.reader.read(CHUNK_BYTES):
                pass

    def _reset(self) -> None:
        """Reset the connection (RST), which also loses what is under way."""
        linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()
