"""The body of a download, read from its socket in large pieces.

httpx hands on 64 KiB at a time, each copied several times on its way through an HTTP parser. Once
the headers are read, a body of a known length needs no parser: its bytes follow until all are here.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from .parts import length_of
from .urls import body_of

if TYPE_CHECKING:
    import httpx

BUFFER_BYTES: Final = 1 << 20
"""The largest piece. It is what a download needs of memory, whatever the file's size."""
GATHERING_SECONDS: Final = 0.05
"""For how long records of TLS, each of 16 KiB at most, are gathered into one piece."""


def pieces_of(request: httpx.Request, response: httpx.Response) -> Iterator[bytes | memoryview]:
    """The bytes of the body of the blocking answer to a request, as they arrive.

    Each piece is good until the next one is asked for: all may lie in the same memory. What breaks
    off raises the same exceptions of httpx as its own body would.
    """
    body = body_of(response)
    connection = _socket_of(request, response)
    length = length_of(response.headers)
    if connection is None or not length:
        yield from body
        return
    first = next(body, b"")  # with it, httpx has given all that it has read already
    yield first
    yield from _rest(connection, request, len(first), length)
    del body  # it holds the connection, which would be closed without it


def _socket_of(request: httpx.Request, response: httpx.Response) -> socket.socket | None:
    """The socket that the bytes of the body come from unchanged, or None where they do not.

    That is so without chunks, with HTTP/1, and with at most one layer of TLS, which the socket
    decrypts itself. A transport that is no network has none.
    """
    stream: Any = response.extensions.get("network_stream")
    if stream is None or not response.extensions.get("http_version", b"").startswith(b"HTTP/1"):
        return None
    connection = stream.get_extra_info("socket")
    if not isinstance(connection, socket.socket):
        return None
    in_tls = isinstance(stream.get_extra_info("ssl_object"), ssl.SSLObject)
    lacks_tls = request.url.scheme == "https" and not isinstance(connection, ssl.SSLSocket)
    return None if in_tls or lacks_tls else connection


def _rest(
    connection: socket.socket, request: httpx.Request, received: int, length: int
) -> Iterator[memoryview]:
    """The bytes after the first `received` ones, straight from the socket."""
    import httpx  # noqa: PLC0415

    connection.settimeout(request.extensions["timeout"]["read"])
    buffer = memoryview(bytearray(min(BUFFER_BYTES, max(1, length - received))))
    while received < length:
        room = buffer[: length - received]
        size, error = _filled(connection, room)
        if size:
            received += size
            yield room[:size]
        if isinstance(error, TimeoutError):
            raise httpx.ReadTimeout(str(error), request=request)
        if error is not None:
            raise httpx.ReadError(str(error), request=request)
        if not size:
            text = (
                "peer closed connection without sending complete message body "
                f"(received {received} bytes, expected {length})"
            )
            raise httpx.RemoteProtocolError(text, request=request)


def _filled(connection: socket.socket, room: memoryview) -> tuple[int, OSError | None]:
    """How many bytes have come, 0 at the end, and the exception after them."""
    size, gathers = 0, isinstance(connection, ssl.SSLSocket)
    ends = time.monotonic() + GATHERING_SECONDS
    try:
        while size < len(room) and (count := connection.recv_into(room[size:])):
            size += count
            if not gathers or time.monotonic() > ends:
                break
    except OSError as error:
        return size, error
    return size, None
