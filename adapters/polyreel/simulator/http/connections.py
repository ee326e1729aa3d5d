"""Guests: one connection each, from its first byte to its last."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from enum import IntEnum
from functools import partial
from typing import Any, Final

import h11
from attrs import define, field, frozen

from .messages import BadRequestError, HttpRequest, Written, check, joined, plain, written

CHUNK: Final = 65_536
CRUMB: Final = 1024
DRIP_SECONDS: Final = 0.2
LONGEST: Final = 120.0
"""Seconds that a guest is given to go away from an answer that never ends, or to read a chunk of one that does."""
FAREWELL: Final = 2.0
"""Seconds that a guest is given to read an answer after which the connection is closed."""
UNREAD: Final = 64_000_000
"""Bytes of a refused request that are taken in and thrown away."""


@frozen
class Limits:
    """What a guest may take: bytes of a body, seconds for each thing, and connections of all guests together."""

    body: int = 1_000_000
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    idle_seconds: float = 5.0
    """Between an answer and the next request."""
    connections: int = 1024
    """When more come, those that keep the server waiting longest are closed."""
    graceful_seconds: float = 1.0
    """For answers under way when the server stops."""


class State(IntEnum):
    """What a connection is about, from what can be given up to what cannot."""

    WAITING = 0
    """For a head, or half of one."""
    TAKING = 1
    """A body."""
    LINGERING = 2
    """There is an answer that never ends, or nothing to say any more."""
    ANSWERING = 3
    """The guest reads."""
    HANDLING = 4


@define(eq=False)
class Connection:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    limits: Limits
    answer: Callable[[HttpRequest], Awaitable[Written]]
    stop: asyncio.Event
    """Whether no further request is to be answered."""
    wire: h11.Connection = field(factory=partial(h11.Connection, h11.SERVER), init=False)
    state: State = field(default=State.WAITING, init=False)
    since: float = field(factory=time.monotonic, init=False)
    method: str = field(default="GET", init=False)
    known: bool = field(default=False, init=False)
    """Whether a request has been answered."""

    async def stay(self) -> None:
        """Serve until one side ends the connection."""
        try:
            while await self._exchange():
                self.wire.start_next_cycle()
                self.known = True
            self.writer.close()
            async with asyncio.timeout(FAREWELL):
                await self.writer.wait_closed()
        except OSError:  # the guest has gone, or does not read
            pass
        finally:
            self.writer.transport.abort()

    def _enter(self, state: State) -> None:
        self.state, self.since = state, time.monotonic()

    async def _exchange(self) -> bool:
        """Answer one request; whether there may be another."""
        try:
            request = await self._request()
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint, "this is not a request of HTTP/1.1")
        except BadRequestError as error:
            await self._refuse(error.status, str(error))
        except TimeoutError:
            if self.state is State.TAKING or self.wire.trailing_data[0]:
                await self._refuse(408, "the request took too long")
        else:
            return request is not None and await self._answer(request)
        return False

    async def _request(self) -> HttpRequest | None:
        """The next request; None where there is none."""
        head = await self._head()
        if head is None:
            return None
        self.method, headers = head.method.decode("ascii"), joined(head.headers)
        check(head, headers, self.limits.body)
        content = await self._body()
        return HttpRequest(
            self.method, head.target.decode("ascii"), headers, content, f"http://{headers['host']}"
        )

    async def _head(self) -> h11.Request | None:
        self._enter(State.WAITING)
        self.method = "GET"
        if self.known and not self.wire.trailing_data[0]:
            await self._read(time.monotonic() + self.limits.idle_seconds)
        event = await self._event(time.monotonic() + self.limits.head_seconds)
        return event if isinstance(event, h11.Request) else None

    async def _body(self) -> bytes:
        self._enter(State.TAKING)
        if self.wire.they_are_waiting_for_100_continue:
            await self._send(
                h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
            )
        content, end = bytearray(), time.monotonic() + self.limits.body_seconds
        while isinstance(event := await self._event(end), h11.Data):
            content += event.data
            if len(content) > self.limits.body:
                raise BadRequestError(413, "the body is too large")
            if len(event.data) < CRUMB:
                await asyncio.sleep(0)  # or one body in crumbs would keep all others waiting
        return bytes(content)

    async def _event(self, end: float) -> Any:
        while (event := self.wire.next_event()) is h11.NEED_DATA:
            await self._read(end)
        return event

    async def _read(self, end: float) -> None:
        """Take in what comes; TimeoutError where nothing has come at the end, or data still come afterwards."""
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        async with asyncio.timeout(left):
            self.wire.receive_data(await self.reader.read(CHUNK))

    async def _send(self, *events: Any) -> None:
        """Send, as fast as the guest reads."""
        data = memoryview(b"".join(self.wire.send(event) or b"" for event in events))
        for start in range(0, len(data), CHUNK):
            self.writer.write(data[start : start + CHUNK])
            waits = self.writer.transport.get_write_buffer_size() > 0  # mostly not: timers cost
            async with asyncio.timeout(LONGEST if waits else None):
                await self.writer.drain()

    async def _refuse(self, status: int, message: str) -> None:
        """Say no, and take in for a while what is still coming: a close in the face of it would destroy the answer."""
        self._enter(State.LINGERING)
        answer = written(self.method, plain(status, message, {"connection": "close"}))
        await self._send(answer.head, h11.Data(data=answer.content), h11.EndOfMessage())
        self.writer.write_eof()
        left = UNREAD
        async with asyncio.timeout(FAREWELL):
            while left > 0 and (data := await self.reader.read(CHUNK)):
                left -= len(data)

    # -- endings ---------------------------------------------------------------------------------

    async def _answer(self, request: HttpRequest) -> bool:
        """Answer a request; whether there may be another."""
        self._enter(State.HANDLING)
        answer = await self.answer(request)
        self._enter(State.LINGERING if answer.ending in {"drip", "silence"} else State.ANSWERING)
        if answer.pieces:
            await self._tell(answer)
        match answer.ending:
            case "whole":
                rest = () if answer.pieces else (answer.head, h11.Data(data=answer.content))
                await self._send(*rest, h11.EndOfMessage())
                return (
                    self.wire.our_state is self.wire.their_state is h11.DONE
                    and not self.stop.is_set()
                )
            case "cut" if not answer.pieces:
                await self._send(
                    answer.head, h11.Data(data=answer.content[: len(answer.content) // 2])
                )
            case "drip" if not answer.pieces:
                await self._drip(answer)
            case "silence":
                await self._silence()
            case "reset":
                self._reset()
        return False

    async def _tell(self, answer: Written) -> None:
        """Piece by piece, as time goes by."""
        assert answer.pace is not None
        await self._send(answer.head)
        for piece in answer.pieces:
            while (pause := piece.at - answer.pace.now()) > 0:
                await answer.pace.asleep(min(pause, 1.0))  # the clock may be moved meanwhile
            await self._send(h11.Data(data=piece.content))

    async def _drip(self, answer: Written) -> None:
        """All bytes but the last, one by one: an answer that is slow for ever."""
        async with asyncio.timeout(LONGEST):
            await self._send(answer.head)
            for index in range(len(answer.content) - 1):
                await self._send(h11.Data(data=answer.content[index : index + 1]))
                await asyncio.sleep(DRIP_SECONDS)
            await self._silence()

    async def _silence(self) -> None:
        """Nothing, until the guest goes away."""
        async with asyncio.timeout(LONGEST):
            while await self.reader.read(CHUNK):
                pass

    def _reset(self) -> None:
        """A close that loses what is under way: the guest gets an RST."""
        linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()
