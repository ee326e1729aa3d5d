"""The drivers: they pump flows, and are the only code that touches sockets, files on arrival and clocks.

`run` blocks, `arun` awaits; both perform the same steps through the same transport settings.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
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


class Clock(Protocol):
    """Time, as the drivers need it. The simulator's clock jumps instead of sleeping."""

    def now(self) -> float:
        """Seconds since 1970."""

    def sleep(self, seconds: float) -> None:
        """Wait, blocking."""

    async def asleep(self, seconds: float) -> None:
        """Wait, awaiting."""


class RealClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

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
    _sync: dict[bool, httpx.Client] = field(factory=dict, init=False, repr=False)
    _async: dict[bool, httpx.AsyncClient] = field(factory=dict, init=False, repr=False)

    def options(self, *, paid: bool) -> dict[str, Any]:
        """The settings of one httpx client. Paid calls never reuse a connection that may just have been closed."""
        import httpx  # noqa: PLC0415

        limits = httpx.Limits(max_connections=16, max_keepalive_connections=0 if paid else 16)
        # identity: a few compressed bytes could become gigabytes.
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        options: dict[str, Any] = {"limits": limits, "headers": headers, "follow_redirects": False, "trust_env": False}
        return options if self.transport is None else {**options, "transport": self.transport}

    def client(self, *, paid: bool) -> httpx.Client:
        """The blocking client for one kind of call."""
        import httpx  # noqa: PLC0415

        if paid not in self._sync:
            self._sync[paid] = httpx.Client(**self.options(paid=paid))
        return self._sync[paid]

    def async_client(self, *, paid: bool) -> httpx.AsyncClient:
        """The awaiting client for one kind of call."""
        import httpx  # noqa: PLC0415

        if paid not in self._async:
            self._async[paid] = httpx.AsyncClient(**self.options(paid=paid))
        return self._async[paid]

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
        return max(0.0, step.seconds * (1 + step.jitter * self.randomness.uniform(-1, 1)))

    def close(self) -> None:
        """Close the blocking clients."""
        for client in self._sync.values():
            client.close()
        self._sync.clear()

    async def aclose(self) -> None:
        """Close the awaiting clients."""
        for client in self._async.values():
            await client.aclose()
        self._async.clear()


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
            failure = error


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
            failure = error


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


@define
class _Trace:
    """Watches httpcore's events: what they show about whether a request left is proof, exception classes are not."""

    seen: bool = False
    sent: bool = False

    def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        self.seen = True
        if ".send_request_" in event:
            self.sent = True

    async def awatch(self, event: str, info: Mapping[str, Any]) -> None:
        self(event, info)

    @property
    def may_have_left(self) -> bool:
        """Whether a byte of the request may have left. A transport without events proves nothing."""
        return self.sent or not self.seen


def _failure(error: Exception, step: Send, trace: _Trace) -> TransportError:
    what = "no answer in time" if "Timeout" in type(error).__name__ else f"connection failed ({type(error).__name__})"
    # The cause is cut off on purpose: transport errors can hold headers, and those hold the key.
    return TransportError(f"{step.vendor}: {what}", sent=trace.may_have_left, vendor=step.vendor)


def _request(step: Send, stack: ExitStack) -> dict[str, Any]:
    request: dict[str, Any] = {"method": step.method, "url": step.url, "params": step.params or None}
    request["timeout"] = step.deadline
    if step.parts:
        request["files"] = [(part.name, _file(part, stack)) for part in step.parts]
    else:
        request["content"] = step.content
    return request


def _file(part: Part, stack: ExitStack) -> tuple[str | None, str | IO[bytes], str | None] | tuple[None, str]:
    if part.path is None:
        return None, part.text or ""
    try:
        return part.path.name, stack.enter_context(part.path.open("rb")), part.content_type
    except OSError as error:
        raise TransportError(f"{part.path} cannot be read: {error.strerror}", sent=False) from None


def _refuse_encoding(response: httpx.Response, vendor: str) -> None:
    # Nothing compressed was asked for, and a few compressed bytes could become gigabytes.
    if response.headers.get("content-encoding", "identity") != "identity":
        raise TransportError(f"{vendor}: a compressed answer, which was not asked for", sent=True, vendor=vendor)


def _gather(chunks: list[bytes], chunk: bytes, step: Send, deadline: float) -> None:
    chunks.append(chunk)
    if sum(map(len, chunks)) > MAX_REPLY_BYTES:
        raise TransportError(f"{step.vendor}: the answer is too large", sent=True, vendor=step.vendor)
    # Library timeouts are per read: a body that drips would never end.
    if time.monotonic() > deadline:
        raise TransportError(f"{step.vendor}: no complete answer in time", sent=True, vendor=step.vendor)


def _send(step: Send, wire: Wire) -> Reply:
    headers, trace = wire.headers(step), _Trace()
    deadline = time.monotonic() + step.deadline
    client = wire.client(paid=step.paid)
    try:
        with ExitStack() as stack:
            request = _request(step, stack) | {"headers": headers, "extensions": {"trace": trace}}
            with client.stream(**request) as response:
                _refuse_encoding(response, step.vendor)
                chunks: list[bytes] = []
                for chunk in response.iter_bytes():
                    _gather(chunks, chunk, step, deadline)
                return Reply(response.status_code, dict(response.headers), b"".join(chunks))
    except _transport_errors() as error:
        raise _failure(error, step, trace) from None


async def _asend(step: Send, wire: Wire) -> Reply:
    headers, trace = wire.headers(step), _Trace()
    deadline = time.monotonic() + step.deadline
    client = wire.async_client(paid=step.paid)
    try:
        with ExitStack() as stack:
            request = _request(step, stack) | {"headers": headers, "extensions": {"trace": trace.awatch}}
            async with asyncio.timeout(step.deadline), client.stream(**request) as response:
                _refuse_encoding(response, step.vendor)
                chunks: list[bytes] = []
                async for chunk in response.aiter_bytes():
                    _gather(chunks, chunk, step, deadline)
                return Reply(response.status_code, dict(response.headers), b"".join(chunks))
    except TimeoutError as error:
        raise _failure(error, step, trace) from None
    except _transport_errors() as error:
        raise _failure(error, step, trace) from None


def _transport_errors() -> tuple[type[Exception], ...]:
    import httpx  # noqa: PLC0415

    return (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)


# --- one download ---------------------------------------------------------------------------------


@contextmanager
def _part_file(step: Fetch) -> Iterator[tuple[Path, IO[bytes]]]:
    """A `.part` file beside the target, gone again unless the download is finished."""
    part = step.path.with_name(step.path.name + ".part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            yield part, file
    except OSError as error:
        if isinstance(error, PolyreelError):
            raise
        raise DownloadError(f"cannot save to {step.path.parent}: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


def _finish(step: Fetch, part: Path, file: IO[bytes], length: str | None) -> Saved:
    """Check what arrived, then give it its final name, which no unfinished file ever has."""
    file.flush()
    os.fsync(file.fileno())
    size = part.stat().st_size
    if length is not None and length.isdigit() and int(length) != size:
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


def _head(response: httpx.Response, step: Fetch, hops: int) -> Fetch | None:
    """None for a file to read; the next hop of a redirect; DownloadError for everything else."""
    if response.status_code == 200:
        _refuse_encoding(response, step.vendor)
        return None
    if response.has_redirect_location and hops < MAX_REDIRECTS:
        target = response.next_request
        if target is not None and target.url.scheme == response.url.scheme:
            return Fetch(step.vendor, str(target.url), step.path, step.kind, step.deadline)
    raise DownloadError(
        f"HTTP {response.status_code} instead of the file", vendor=step.vendor, status=response.status_code
    )


def _write(file: IO[bytes], chunk: bytes, step: Fetch, deadline: float) -> None:
    file.write(chunk)
    if file.tell() > MAX_FILE_BYTES or time.monotonic() > deadline:
        raise DownloadError("the download is too large or takes too long", vendor=step.vendor)


def _fetch(step: Fetch, wire: Wire, hops: int = 0) -> Saved:
    deadline = time.monotonic() + step.deadline
    try:
        with wire.client(paid=False).stream("GET", step.url, headers=wire.headers(step), timeout=60) as response:
            following = _head(response, step, hops)
            if following is None:
                with _part_file(step) as (part, file):
                    for chunk in response.iter_bytes():
                        _write(file, chunk, step, deadline)
                    return _finish(step, part, file, response.headers.get("content-length"))
    except _transport_errors() as error:
        raise DownloadError(f"the download failed ({type(error).__name__})", vendor=step.vendor) from None
    return _fetch(following, wire, hops + 1)


async def _afetch(step: Fetch, wire: Wire, hops: int = 0) -> Saved:
    deadline = time.monotonic() + step.deadline
    client = wire.async_client(paid=False)
    try:
        async with client.stream("GET", step.url, headers=wire.headers(step), timeout=60) as response:
            following = _head(response, step, hops)
            if following is None:
                with _part_file(step) as (part, file):
                    chunks: AsyncIterator[bytes] = response.aiter_bytes()
                    async for chunk in chunks:
                        _write(file, chunk, step, deadline)
                    return _finish(step, part, file, response.headers.get("content-length"))
    except _transport_errors() as error:
        raise DownloadError(f"the download failed ({type(error).__name__})", vendor=step.vendor) from None
    return await _afetch(following, wire, hops + 1)
