"""One HTTP call: what proves that nothing left, and total deadlines."""

from __future__ import annotations

import asyncio
import io
from contextlib import AsyncExitStack, ExitStack
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any, Final

from ..errors import PolyreelError, TransportError
from ..flows import Part, Reply, Saved, Send, Transfer, TryFolder
from ..mapping import media
from .decoding import Decoder, decoder_for
from .fetching import atransfer, transfer
from .urls import abody_of, body_of, lowered, origin, transport_errors
from .watch import LATE, Trace, Watch, trouble
from .wire import Use, Wire

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    import httpx

    from .kept import KeptConnection

Stack = ExitStack | AsyncExitStack
MAX_REPLY_BYTES: Final = 8_000_000


def exchange(step: Send | Transfer | TryFolder, wire: Wire) -> Reply | Saved | None:
    """Make one call, move one file, or try a folder, blocking."""
    return _send(step, wire) if isinstance(step, Send) else transfer(step, wire)


def aexchange(
    step: Send | Transfer | TryFolder, wire: Wire
) -> Coroutine[Any, Any, Reply | Saved | None]:
    """The same, awaiting."""
    return _asend(step, wire) if isinstance(step, Send) else atransfer(step, wire)


def _send(step: Send, wire: Wire) -> Reply:
    call = HttpCall(step, wire)
    try:
        if step.method != "GET" or step.paid or wire.transport is not None:
            return _made(call, wire.connections("paid" if step.paid else "free", step.url))
        with wire.kept_connection(step.url) as kept:
            if kept is None:
                return _made(call, wire.connections("free", step.url))
            return _query(call, kept)
    except PolyreelError:
        raise
    except transport_errors() as error:
        raise call.failure(error) from None
    finally:
        call.watch.stop()


def _made(call: HttpCall, connections: httpx.BaseTransport) -> Reply:
    """Make a call, blocking."""
    if not call.step.parts:
        return _answered(call, connections.handle_request(call.request(None, call.watch.see)))
    with ExitStack() as stack:
        return _answered(call, connections.handle_request(call.request(stack, call.watch.see)))


def _answered(call: HttpCall, response: httpx.Response) -> Reply:
    try:
        headers = lowered(response.headers)
        call.begin(headers)
        for chunk in body_of(response):
            call.write(chunk)
        return call.finish(response.status_code, headers)
    finally:
        response.close()


def _query(call: HttpCall, kept: KeptConnection) -> Reply:
    """Make a query on a kept connection, and on a fresh one where that is found closed."""
    watch = call.watch
    watch.connection = before = kept.stream
    try:
        return _made(call, kept.transport)
    except transport_errors() as error:
        was_kept = before is not None and watch.connection is before
        if not was_kept or watch.answered or watch.late(error):
            raise
        watch.stop()
        return _made(call, kept.transport)
    finally:
        kept.stream = watch.connection


async def _asend(step: Send, wire: Wire) -> Reply:
    call = HttpCall(step, wire)
    try:
        if (fast := wire.fast_connections(step)) is not None:
            return await fast.make(call)
        use: Use = "paid" if step.paid else "free"
        connections = wire.async_connections(use, step.url)
        async with asyncio.timeout(call.watch.left), wire.place(use, step.url):
            return await _amade(call, connections)
    except PolyreelError:
        raise
    except transport_errors() as error:
        raise call.failure(error) from None


async def _amade(call: HttpCall, connections: httpx.AsyncBaseTransport) -> Reply:
    """Make a call, awaiting."""
    if not call.step.parts:
        request = call.awaited_request(None)
        return await _aanswered(call, await connections.handle_async_request(request))
    with ExitStack() as stack:
        request = call.awaited_request(stack)
        return await _aanswered(call, await connections.handle_async_request(request))


async def _aanswered(call: HttpCall, response: httpx.Response) -> Reply:
    try:
        headers = lowered(response.headers)
        call.begin(headers)
        async for chunk in abody_of(response):
            call.write(chunk)
        return call.finish(response.status_code, headers)
    finally:
        await response.aclose()


class HttpCall:
    """One HTTP call to a vendor, as both drivers make it."""

    def __init__(self, step: Send, wire: Wire) -> None:
        self.step, self.wire = step, wire
        self.watch = Watch(step.deadline, blind=wire.blind)
        self.timeout: dict[str, float | None] = {}
        """How many seconds httpx may wait, each time."""
        self._body = bytearray()
        self._decoder: Decoder | None = None

    def headers(self, place: str) -> dict[str, str]:
        """The headers for a call to an origin."""
        return self.wire.headers(self.step, place)

    def request(self, stack: Stack | None, trace: Trace) -> httpx.Request:
        """Make the request. Files that it sends are closed by `stack`; others need none."""
        import httpx  # noqa: PLC0415

        step = self.step
        if step.params:
            url, place, host = _placed(str(httpx.URL(step.url, params=step.params)))
        else:
            url, place, host = _placed(step.url)
        self.timeout = self.watch.timeout(step.deadline)
        extensions = {"timeout": self.timeout, "trace": trace}
        headers = self.headers(place)
        if step.parts:
            assert stack is not None
            files: Any = [(part.name, _file(part, stack)) for part in step.parts]
            return httpx.Request(
                step.method, url, headers=headers, files=files, extensions=extensions
            )
        # To a request with a stream, httpx adds no headers.
        headers["Host"] = host
        if step.content is not None:
            headers["Content-Length"] = str(len(step.content))
        body = httpx.ByteStream(step.content or b"")
        request = httpx.Request(
            step.method, url, headers=headers, stream=body, extensions=extensions
        )
        request.read()
        return request

    def awaited_request(self, stack: Stack | None) -> httpx.Request:
        """The same, of an awaited call, whose deadline the caller keeps."""
        request = self.request(stack, self.watch.asee)
        if self.wire.transport is None:  # the simulator's has nothing else
            self.timeout.update(dict.fromkeys(("read", "write", "pool")))
        return request

    def begin(self, headers: Mapping[str, str]) -> None:
        """Read the headers of the answer, whose names are found in any case."""
        self.watch.answer_began()
        if (encoding := headers.get("content-encoding")) is None:
            return
        try:
            self._decoder = decoder_for(encoding, MAX_REPLY_BYTES)
        except ValueError as error:
            raise self.error(str(error)) from None

    def decoded(self, chunk: bytes) -> bytes:
        """A piece of the body without the compression that the answer may have."""
        if self._decoder is None:
            return chunk
        try:
            return b"".join(self._decoder.decode(chunk))
        except ValueError as error:
            raise self.error(str(error)) from None

    def write(self, chunk: bytes) -> None:
        """Add a piece of the body."""
        self._body += chunk if self._decoder is None else self.decoded(chunk)
        if len(self._body) > MAX_REPLY_BYTES:
            raise self.error("the answer is too large")

    def finish(self, status: int, headers: Mapping[str, str]) -> Reply:
        """Make the result of the step; the names of the headers are in small letters."""
        if self.watch.left <= 0 and not (
            "content-length" in headers or "transfer-encoding" in headers
        ):
            # Without a length, a body that was cut off looks whole.
            raise self.error(LATE)
        if self._decoder is not None and not self._decoder.is_whole:
            raise self.error("a compressed answer that ends too early")
        return self.reply(status, headers, bytes(self._body))

    def reply(self, status: int, headers: Mapping[str, str], content: bytes) -> Reply:
        """Make a Reply of an answer, or of a part of it, without the key.

        The names of the headers are in small letters.
        """
        text = "\n".join([*headers.values(), content.decode("latin-1")])
        for secret in self.wire.secrets(self.step.vendor):
            if secret.redact_text(text) is not text:  # seldom: all is looked through at once
                content = secret.redact(content)
                headers = {name: secret.redact_text(value) for name, value in headers.items()}
        return Reply(status, headers, content)

    def error(self, text: str) -> TransportError:
        """Make the error of the step."""
        vendor = self.step.vendor
        return TransportError(f"{vendor}: {text}", sent=self.watch.may_have_left, vendor=vendor)

    def failure(self, error: Exception) -> TransportError:
        """Make the error of the step from an exception of the transport."""
        self.watch.judge(error)
        if self.watch.late(error):
            return self.error(LATE)
        return self.error(self.wire.without_secrets(self.step.vendor, trouble(error, self.watch)))


@lru_cache(maxsize=256)
def _placed(text: str) -> tuple[httpx.URL, str, str]:
    """A URL, its origin, and its host and port."""
    import httpx  # noqa: PLC0415

    url = httpx.URL(text)
    return url, origin(url), url.netloc.decode("ascii")


def _file(part: Part, stack: Stack) -> tuple[str, IO[bytes], str | None] | tuple[None, str]:
    if not part.is_file:
        return None, part.text or ""
    try:
        opened = io.BytesIO(part.content or b"") if part.path is None else part.path.open("rb")
        file: IO[bytes] = stack.enter_context(opened)
    except OSError as error:
        raise TransportError(f"{part.path} cannot be read: {error.strerror}", sent=False) from None
    # The real name stays here: it is private, and could hold anything.
    name = part.filename or f"file{media.SUFFIXES.get(part.content_type or '', '')}"
    return name, file, part.content_type
