"""One HTTP call: what proves that nothing left, total deadlines, and files that are only kept whole."""

from __future__ import annotations

import asyncio
import io
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from attrs import evolve

from .. import media
from ..errors import DownloadError, PolyreelError, TransportError
from ..flows import Fetch, Part, Reply, Saved, Send
from .wire import Wire

if TYPE_CHECKING:
    import httpx

Stack = ExitStack | AsyncExitStack
MAX_REPLY_BYTES: Final = 8_000_000
MAX_FILE_BYTES: Final = 4_000_000_000
MAX_REDIRECTS: Final = 5
CONNECT_SECONDS: Final = 10.0
STALLED_SECONDS: Final = 60.0  # how long a download may stand still
LATE: Final = "no complete answer in time"


def exchange(step: Send | Fetch, wire: Wire) -> Reply | Saved:
    """Make one call, blocking."""
    call = _Call(step, wire)
    try:
        while True:
            with ExitStack() as stack:
                stack.callback(call.stop)
                response = stack.enter_context(call.wire.client().stream(**call.request(stack, call.see)))
                if (body := call.begin(response, stack)) is not None:
                    for chunk in response.iter_bytes():
                        call.write(body, chunk)
                    return call.finish(response, body)
    except PolyreelError:
        raise
    except _transport_errors() as error:
        raise call.failure(error) from None


async def aexchange(step: Send | Fetch, wire: Wire) -> Reply | Saved:
    """Make one call, awaiting."""
    call = _Call(step, wire)
    try:
        client = call.wire.async_client(paid=isinstance(call.step, Send) and call.step.paid)
        while True:
            async with asyncio.timeout(call.left), AsyncExitStack() as stack:
                response = await stack.enter_async_context(client.stream(**call.request(stack, call.asee)))
                if (body := call.begin(response, stack)) is not None:
                    async for chunk in response.aiter_bytes():
                        call.write(body, chunk)
                    return call.finish(response, body)
    except PolyreelError:
        raise
    except _transport_errors() as error:
        raise call.failure(error) from None


def _transport_errors() -> tuple[type[Exception], ...]:
    import httpx  # noqa: PLC0415

    # OSError: files, and asyncio's timeout. ValueError: odd host names.
    return (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError)


class _Call:
    """One HTTP call, as both drivers make it.

    httpcore's events prove whether anything left; exception classes do not. A library's timeouts are per read, so
    that an answer that drips would never end: a timer cuts the connection of a blocking call at the deadline, and
    `asyncio.timeout` ends an awaited one.
    """

    def __init__(self, step: Send | Fetch, wire: Wire) -> None:
        self.step, self.wire = step, wire
        self.ends = time.monotonic() + step.deadline
        self.may_have_left = wire.transport is not None
        """Whether a byte of the request may have left. A transport without events proves nothing."""
        self._hops = 0
        self._connection: Any = None
        self._timer: threading.Timer | None = None

    @property
    def left(self) -> float:
        """Seconds to the deadline."""
        return self.ends - time.monotonic()

    def request(self, stack: Stack, trace: Any) -> dict[str, Any]:
        """The arguments of httpx's `stream`."""
        import httpx  # noqa: PLC0415

        step, left = self.step, max(0.0, self.left)
        stalled = left if isinstance(step, Send) else min(left, STALLED_SECONDS)
        request: dict[str, Any] = {"url": step.url, "headers": self.wire.headers(step), "extensions": {"trace": trace}}
        request["timeout"] = httpx.Timeout(stalled, connect=min(left / 2, CONNECT_SECONDS))
        if isinstance(step, Fetch):
            return request | {"method": "GET"}
        if step.parts:
            request["files"] = [(part.name, _file(part, stack)) for part in step.parts]
        return request | {"method": step.method, "params": step.params or None, "content": step.content}

    def begin(self, response: httpx.Response, stack: Stack) -> IO[bytes] | None:
        """Where the body goes, by status and headers; None where a download goes on at another address."""
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            # Nothing compressed was asked for, and a few compressed bytes could become gigabytes.
            raise self.error("a compressed answer, which was not asked for")
        if isinstance(self.step, Send):
            return io.BytesIO()
        if response.status_code == 200:
            return stack.enter_context(_part_file(self.step.path))
        target = response.next_request
        self._hops += 1
        if target is None or self._hops > MAX_REDIRECTS or target.url.scheme not in {"https", response.url.scheme}:
            raise self.error(f"HTTP {response.status_code} instead of the file", status=response.status_code)
        self.step = evolve(self.step, url=str(target.url))
        return None

    def write(self, body: IO[bytes], chunk: bytes) -> None:
        """Take a piece of the body."""
        body.write(chunk)
        if body.tell() > (MAX_REPLY_BYTES if isinstance(self.step, Send) else MAX_FILE_BYTES):
            raise self.error("the answer is too large")

    def finish(self, response: httpx.Response, body: IO[bytes]) -> Reply | Saved:
        """The result of the step."""
        if self.left <= 0 and not {"content-length", "transfer-encoding"} & response.headers.keys():
            raise self.error(LATE)  # where nothing tells its length, a body that was cut off looks whole
        if isinstance(self.step, Fetch):
            return self._keep(self.step, response, body)
        body.seek(0)
        key = self.wire.keys[self.step.vendor]
        return Reply(response.status_code, dict(response.headers), key.redact(body.read()))

    def _keep(self, step: Fetch, response: httpx.Response, file: IO[bytes]) -> Saved:
        """Check what arrived, then give it its final name, which no unfinished file ever has."""
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
        if (length := response.headers.get("content-length", str(size))) != str(size):
            raise self.error(f"it ended after {size} of {length} bytes")
        with Path(file.name).open("rb") as again:
            head = again.read(16)
        found = media.content_type(head, "image") or media.content_type(head, "video") or ""
        if not found or not found.startswith(step.kind):
            raise self.error(f"what arrived is not {step.kind or 'media'} (its first bytes say otherwise)")
        final = step.path.with_name(step.path.name + media.SUFFIXES[found])
        os.replace(file.name, final)
        return Saved(final, found, size)

    def error(self, text: str, status: int | None = None) -> PolyreelError:
        """What the step fails with."""
        vendor = self.step.vendor
        if isinstance(self.step, Fetch):
            return DownloadError(f"the download failed: {text}", vendor=vendor, status=status)
        return TransportError(f"{vendor}: {text}", sent=self.may_have_left, vendor=vendor)

    def failure(self, error: Exception) -> PolyreelError:
        """What the step fails with after an exception of the transport."""
        name = type(error).__name__
        if "Timeout" in name or self.left <= 0:
            return self.error(LATE)
        # Nothing was sent where connecting failed; the text of other errors can quote headers.
        return self.error(f"connection failed ({error if name == 'ConnectError' else name})")

    def see(self, event: str, info: Mapping[str, Any]) -> None:
        """Hear an event of a blocking call."""
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            self._connection = info["return_value"]
        elif event.endswith(".send_request_headers.started"):
            self.may_have_left = True
            self._timer = threading.Timer(max(0.0, self.left), self._cut)
            self._timer.daemon = True
            self._timer.start()

    async def asee(self, event: str, info: Mapping[str, Any]) -> None:
        """Hear an event of an awaited call."""
        self.may_have_left = self.may_have_left or event.endswith(".send_request_headers.started")

    def stop(self) -> None:
        """Let the connection be."""
        if self._timer is not None:
            self._timer.cancel()

    def _cut(self) -> None:
        # Closing a socket does not wake the thread that reads from it, shutting it down does.
        with suppress(OSError):
            socket.socket.shutdown(self._connection.get_extra_info("socket"), socket.SHUT_RDWR)


def _file(part: Part, stack: Stack) -> tuple[str, IO[bytes], str | None] | tuple[None, str]:
    if part.path is None:
        return None, part.text or ""
    try:
        file = stack.enter_context(part.path.open("rb"))
    except OSError as error:
        raise TransportError(f"{part.path} cannot be read: {error.strerror}", sent=False) from None
    # The name is ours: what somebody calls a file is nobody else's business, and could hold anything.
    return f"file{media.SUFFIXES.get(part.content_type or '', '')}", file, part.content_type


@contextmanager
def _part_file(path: Path) -> Iterator[IO[bytes]]:
    """A `.part` file of its own (two downloads must not share one) beside the target, gone again unless finished."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            yield file
    except PolyreelError:
        raise
    except (OSError, ValueError) as error:
        raise DownloadError(f"cannot save to {path.parent}: {getattr(error, 'strerror', None) or error}") from None
    finally:
        with suppress(OSError, ValueError):
            part.unlink(missing_ok=True)
