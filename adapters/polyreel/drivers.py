"""The drivers: they pump flows, and are the only code that touches sockets, files on arrival and clocks.

`run` blocks, `arun` awaits; both perform the same steps through the same transport settings.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Protocol, TypeVar

from attrs import Factory, define, field

from . import media
from .errors import DownloadError, KeyMissingError, PolyreelError, TransportError
from .flows import Fetch, Flow, Now, Part, Reply, Saved, Send, Sleep, Step, Tell
from .keys import Secret

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
USER_AGENT: Final = "polyreel/0.1"
MAX_REPLY_BYTES: Final = 8_000_000
MAX_FILE_BYTES: Final = 4_000_000_000
MAX_REDIRECTS: Final = 5
CONNECT_SECONDS: Final = 10.0
STALLED_SECONDS: Final = 60.0
"""How long a download may send nothing."""


class Clock(Protocol):
    """Time, as the drivers need it. The simulator's clock jumps instead of sleeping."""

    def now(self) -> float:
        """Seconds since 1970."""

    def sleep(self, seconds: float) -> None:
        """Wait, blocking."""

    async def asleep(self, seconds: float) -> None:
        """Wait, awaiting."""


class RealClock:
    """The machine's clock. Deadlines hang on it, so that setting the machine's time does not move it."""

    def __init__(self) -> None:
        self._epoch = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._epoch + time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block."""
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """Await."""
        await asyncio.sleep(seconds)


@define
class Wire:
    """What both drivers share: transports, keys and where they may go, the clock, who listens."""

    keys: Mapping[str, Secret] = Factory(dict)
    hosts: Mapping[str, frozenset[str]] = Factory(dict)
    """Per vendor, the origins its key goes to; to no others."""
    transport: Any = None
    """An httpx transport in the place of the network, such as the simulator's; it serves both drivers."""
    clock: Clock = field(factory=RealClock)
    listener: Callable[[Any], None] | None = None
    randomness: random.Random = field(factory=random.Random, repr=False)
    _client: httpx.Client | None = field(default=None, init=False, repr=False)
    _async_clients: dict[bool, httpx.AsyncClient] = field(factory=dict, init=False, repr=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False, repr=False)

    def options(self, *, keep_alive: int) -> dict[str, Any]:
        """The settings of one httpx client."""
        import httpx  # noqa: PLC0415

        limits = httpx.Limits(max_connections=16, max_keepalive_connections=keep_alive)
        # identity: a few compressed bytes could become gigabytes.
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        options: dict[str, Any] = {"limits": limits, "headers": headers, "follow_redirects": False, "trust_env": False}
        return options if self.transport is None else {**options, "transport": self.transport}

    def client(self) -> httpx.Client:
        """The blocking client: each call has a connection of its own, which a watch can cut."""
        import httpx  # noqa: PLC0415

        if self._client is None:
            self._client = httpx.Client(**self.options(keep_alive=0))
        return self._client

    def async_client(self, *, paid: bool = False) -> httpx.AsyncClient:
        """The awaiting client for one kind of call: a paid one never reuses a connection that may just have closed."""
        import httpx  # noqa: PLC0415

        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # connections belong to the loop that made them
            self._async_clients, self._loop = {}, loop
        if paid not in self._async_clients:
            self._async_clients[paid] = httpx.AsyncClient(**self.options(keep_alive=0 if paid else 16))
        return self._async_clients[paid]

    def headers(self, step: Send | Fetch) -> dict[str, str]:
        """The headers of a call; the key only for the vendor's own hosts. A Send always needs one."""
        own = dict(step.headers) if isinstance(step, Send) else {}
        if origin(step.url) in self.hosts.get(step.vendor, frozenset()):
            key = self.keys.get(step.vendor)
            if key is not None:
                return {**own, "Authorization": f"Bearer {key.reveal()}"}
        if isinstance(step, Send):
            raise KeyMissingError(f"no key for {step.vendor}", vendor=step.vendor)
        return own

    def pause(self, step: Sleep) -> float:
        """The length of a pause, spread by its jitter."""
        return max(0.0, step.seconds * (1 + step.jitter * self.randomness.random()))

    def redact(self, vendor: str, content: bytes) -> bytes:
        """An answer without the vendor's key."""
        key = self.keys.get(vendor)
        return key.redact(content) if key else content

    def close(self) -> None:
        """Close the blocking client."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def aclose(self) -> None:
        """Close the awaiting clients."""
        if self._loop is asyncio.get_running_loop():
            for client in self._async_clients.values():
                await client.aclose()
        self._async_clients = {}


def origin(url: str) -> str:
    """Scheme, host and port of a URL."""
    import httpx  # noqa: PLC0415

    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii', 'replace')}"


def run(flow: Flow[T], wire: Wire) -> T:
    """Drive a flow, blocking."""
    result: Any = None
    failure: PolyreelError | None = None
    while True:
        try:
            step = flow.throw(failure) if failure else flow.send(result)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            result, failure = _perform(step, wire), None
        except PolyreelError as error:
            failure = _bare(error)


async def arun(flow: Flow[T], wire: Wire) -> T:
    """Drive a flow, awaiting."""
    result: Any = None
    failure: PolyreelError | None = None
    while True:
        try:
            step = flow.throw(failure) if failure else flow.send(result)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            result, failure = await _aperform(step, wire), None
        except PolyreelError as error:
            failure = _bare(error)


def _bare(error: PolyreelError) -> PolyreelError:
    # What the transport raised, and the variables of its frames, hold headers, and those hold the key.
    error.__context__ = None
    return error.with_traceback(None)


def _perform(step: Step, wire: Wire) -> Any:
    if isinstance(step, Send):
        return _send(step, wire)
    if isinstance(step, Fetch):
        return _fetch(step, wire)
    if isinstance(step, Sleep):
        return wire.clock.sleep(wire.pause(step))
    return _simple(step, wire)


async def _aperform(step: Step, wire: Wire) -> Any:
    if isinstance(step, Send):
        return await _asend(step, wire)
    if isinstance(step, Fetch):
        return await _afetch(step, wire)
    if isinstance(step, Sleep):
        return await wire.clock.asleep(wire.pause(step))
    return _simple(step, wire)


def _simple(step: Now | Tell, wire: Wire) -> Any:
    if isinstance(step, Now):
        return wire.clock.now()
    return wire.listener(step.event) if wire.listener else None


# --- one HTTP call --------------------------------------------------------------------------------


class _Watch:
    """Watches one call through httpcore's events: they prove whether anything left, exception classes do not.

    Where the call blocks, the watch also cuts its connection at the deadline: a library's timeouts are per read, so
    that an answer that drips would never end.
    """

    def __init__(self, seconds: float, wire: Wire) -> None:
        self.ends = time.monotonic() + seconds
        self.may_have_left = wire.transport is not None
        """Whether a byte of the request may have left. A transport without events proves nothing."""
        self._connection: Any = None
        self._timer: threading.Timer | None = None

    @property
    def left(self) -> float:
        """Seconds to the deadline."""
        return self.ends - time.monotonic()

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
        """Hear an event of an awaited call, which asyncio's timeout ends."""
        if event.endswith(".send_request_headers.started"):
            self.may_have_left = True

    def stop(self) -> None:
        """The call is over."""
        if self._timer is not None:
            self._timer.cancel()

    def _cut(self) -> None:
        # Closing a socket does not wake the thread that reads from it, shutting it down does.
        with suppress(OSError):
            socket.socket.shutdown(self._connection.get_extra_info("socket"), socket.SHUT_RDWR)


def _failure(error: Exception, step: Send, watch: _Watch) -> TransportError:
    what = f"connection failed ({type(error).__name__})"
    if "Timeout" in type(error).__name__ or watch.left <= 0:
        what = "no complete answer in time"
    elif not watch.may_have_left:  # later errors can quote headers
        what = f"connection failed ({error})"
    return TransportError(f"{step.vendor}: {what}", sent=watch.may_have_left, vendor=step.vendor)


def _request(step: Send, wire: Wire, stack: ExitStack | AsyncExitStack) -> dict[str, Any]:
    request: dict[str, Any] = {"method": step.method, "url": step.url, "params": step.params or None}
    request |= {"headers": wire.headers(step), "timeout": _timeout(step.deadline)}
    if step.parts:
        request["files"] = [(part.name, _file(part, stack)) for part in step.parts]
    else:
        request["content"] = step.content
    return request


def _timeout(seconds: float) -> httpx.Timeout:
    import httpx  # noqa: PLC0415

    return httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))


def _file(part: Part, stack: ExitStack | AsyncExitStack) -> tuple[str, IO[bytes], str | None] | tuple[None, str]:
    if part.path is None:
        return None, part.text or ""
    try:
        file = stack.enter_context(part.path.open("rb"))
    except OSError as error:
        raise TransportError(f"{part.path} cannot be read: {error.strerror}", sent=False) from None
    # The name is ours: what somebody calls a file is nobody else's business, and could hold anything.
    return f"file{media.SUFFIXES.get(part.content_type or '', '')}", file, part.content_type


def _refuse_encoding(response: httpx.Response, vendor: str) -> None:
    # Nothing compressed was asked for, and a few compressed bytes could become gigabytes.
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise TransportError(f"{vendor}: a compressed answer, which was not asked for", sent=True, vendor=vendor)


def _gather(body: bytearray, chunk: bytes, step: Send) -> None:
    body += chunk
    if len(body) > MAX_REPLY_BYTES:
        raise TransportError(f"{step.vendor}: the answer is too large", sent=True, vendor=step.vendor)


def _reply(response: httpx.Response, body: bytearray, step: Send, wire: Wire, watch: _Watch) -> Reply:
    if watch.left <= 0:  # where nothing tells its length, a body that was cut off looks whole
        raise TransportError(f"{step.vendor}: no complete answer in time", sent=True, vendor=step.vendor)
    return Reply(response.status_code, dict(response.headers), wire.redact(step.vendor, bytes(body)))


def _send(step: Send, wire: Wire) -> Reply:
    watch, body = _Watch(step.deadline, wire), bytearray()
    try:
        with ExitStack() as stack:
            request = _request(step, wire, stack)
            stack.callback(watch.stop)
            response = stack.enter_context(wire.client().stream(**request, extensions={"trace": watch.see}))
            _refuse_encoding(response, step.vendor)
            for chunk in response.iter_bytes():
                _gather(body, chunk, step)
            return _reply(response, body, step, wire, watch)
    except PolyreelError:
        raise
    except _transport_errors() as error:
        raise _failure(error, step, watch) from None


async def _asend(step: Send, wire: Wire) -> Reply:
    watch, body = _Watch(step.deadline, wire), bytearray()
    client = wire.async_client(paid=step.paid)
    try:
        async with asyncio.timeout(step.deadline), AsyncExitStack() as stack:
            request = _request(step, wire, stack)
            response = await stack.enter_async_context(client.stream(**request, extensions={"trace": watch.asee}))
            _refuse_encoding(response, step.vendor)
            async for chunk in response.aiter_bytes():
                _gather(body, chunk, step)
            return _reply(response, body, step, wire, watch)
    except PolyreelError:
        raise
    except _transport_errors() as error:
        raise _failure(error, step, watch) from None


def _transport_errors() -> tuple[type[Exception], ...]:
    import httpx  # noqa: PLC0415

    # ValueError: a host name that cannot be encoded. OSError: files, and asyncio's TimeoutError.
    return (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError)


# --- one download ---------------------------------------------------------------------------------


@contextmanager
def _part_file(step: Fetch) -> Iterator[IO[bytes]]:
    """A `.part` file beside the target, gone again unless the download is finished."""
    # A name of its own: two downloads of one job must not write into each other's file.
    part = step.path.with_name(f"{step.path.name}.{secrets.token_hex(4)}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            yield file
    except PolyreelError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DownloadError(f"cannot save to {step.path.parent}: {reason}", vendor=step.vendor) from None
    finally:
        with suppress(OSError, ValueError):
            part.unlink(missing_ok=True)


def _finish(step: Fetch, file: IO[bytes], response: httpx.Response, watch: _Watch) -> Saved:
    """Check what arrived, then give it its final name, which no unfinished file ever has."""
    file.flush()
    os.fsync(file.fileno())
    part, size, length = Path(file.name), file.tell(), response.headers.get("content-length", "")
    _check_time(step, watch)
    if length.isascii() and length.isdigit() and int(length) != size:
        raise DownloadError(f"the download ended after {size} of {length} bytes", vendor=step.vendor)
    with part.open("rb") as again:
        head = again.read(16)
    suffix = media.file_suffix(head)
    found = media.content_type(head, "image") or media.content_type(head, "video")
    if suffix is None or found is None or not found.startswith(step.kind):
        raise DownloadError(
            f"what arrived is not {step.kind or 'media'} (its first bytes say otherwise)", vendor=step.vendor
        )
    final = step.path.with_name(step.path.name + suffix)
    os.replace(part, final)
    return Saved(final, found, size)


def _head(response: httpx.Response, step: Fetch, watch: _Watch, hops: int) -> Fetch | None:
    """None for a file to read; the next hop of a redirect; DownloadError for everything else."""
    if response.status_code == 200:
        _refuse_encoding(response, step.vendor)
        return None
    target = response.next_request
    if target is not None and hops < MAX_REDIRECTS and target.url.scheme in {"https", response.url.scheme}:
        return Fetch(step.vendor, str(target.url), step.path, step.kind, watch.left)
    raise DownloadError(
        f"HTTP {response.status_code} instead of the file", vendor=step.vendor, status=response.status_code
    )


def _write(file: IO[bytes], chunk: bytes, step: Fetch, watch: _Watch) -> None:
    file.write(chunk)
    _check_time(step, watch)
    if file.tell() > MAX_FILE_BYTES:
        raise DownloadError("the download is too large", vendor=step.vendor)


def _check_time(step: Fetch, watch: _Watch) -> None:
    if watch.left <= 0:
        raise DownloadError("the download takes too long", vendor=step.vendor)


def _download(step: Fetch, wire: Wire, trace: Any) -> dict[str, Any]:
    request = {"method": "GET", "url": step.url, "headers": wire.headers(step)}
    return {**request, "timeout": _timeout(min(step.deadline, STALLED_SECONDS)), "extensions": {"trace": trace}}


def _broken(error: Exception, step: Fetch) -> DownloadError:
    text = str(error) if isinstance(error, TransportError) else f"the download failed ({type(error).__name__})"
    return DownloadError(text, vendor=step.vendor)


def _fetch(step: Fetch, wire: Wire, hops: int = 0) -> Saved:
    watch = _Watch(step.deadline, wire)
    try:
        with ExitStack() as stack:
            stack.callback(watch.stop)
            response = stack.enter_context(wire.client().stream(**_download(step, wire, watch.see)))
            following = _head(response, step, watch, hops)
            if following is None:
                file = stack.enter_context(_part_file(step))
                for chunk in response.iter_bytes():
                    _write(file, chunk, step, watch)
                return _finish(step, file, response, watch)
    except DownloadError:
        raise
    except _transport_errors() as error:
        raise _broken(error, step) from None
    return _fetch(following, wire, hops + 1)


async def _afetch(step: Fetch, wire: Wire, hops: int = 0) -> Saved:
    watch, client = _Watch(step.deadline, wire), wire.async_client()
    try:
        async with asyncio.timeout(step.deadline), AsyncExitStack() as stack:
            response = await stack.enter_async_context(client.stream(**_download(step, wire, watch.asee)))
            following = _head(response, step, watch, hops)
            if following is None:
                file = stack.enter_context(_part_file(step))
                async for chunk in response.aiter_bytes():
                    _write(file, chunk, step, watch)
                return _finish(step, file, response, watch)
    except DownloadError:
        raise
    except _transport_errors() as error:
        raise _broken(error, step) from None
    return await _afetch(following, wire, hops + 1)
