"""Downloads: from public addresses only, continued where they break off, and kept only whole.

What is to be done is a generator of actions; a blocking and an awaiting pump do them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from ..errors import DownloadError, PolyreelError
from ..flows import Fetch, Reply, Saved, Sleep, retry_after
from ..mapping import media
from .addresses import Refused, aresolve, check_addresses, check_form, check_port, resolve
from .parts import HEAD_BYTES, Partial, length_of, validator_of
from .urls import abody_of, body_of, origin, transport_errors
from .watch import LATE, Watch, trouble
from .wire import Wire

if TYPE_CHECKING:
    import httpx

MAX_FILE_BYTES: Final = 4_000_000_000
MAX_REDIRECTS: Final = 5
STALLED_SECONDS: Final = 60.0  # how long a download may stand still
IDLE_TRIES: Final = 5
"""How many tries in a row may bring nothing new."""
MAX_TRIES: Final = 100
WRONG_PARTS: Final = 2
"""How many wrong answers to the question for the rest there may be before it is not asked any more."""
PASSING: Final = frozenset({408, 425, 429})
"""Statuses below 500 that go away by themselves."""


@frozen
class Pause:
    """Wait."""

    seconds: float


@frozen
class Resolve:
    """Look up a host; the result is its addresses."""

    host: str
    port: int


@frozen
class Get:
    """Make one request; the result is its answer. Its body goes to `write`, where `begin` wants it."""

    request: httpx.Request
    begin: Callable[[httpx.Response], bool]
    write: Callable[[bytes], None]


Action = Pause | Resolve | Get


class Broken(Exception):  # noqa: N818 - it ends a try, not the download
    """A try broke off in a way that another one may mend."""

    def __init__(self, error: DownloadError, pause: float | None = None) -> None:
        super().__init__()
        self.error, self.pause = error, pause


def fetch(step: Fetch, wire: Wire) -> Saved:
    """Download one file, blocking."""
    download, outcome = Download(step, wire), None
    errors = transport_errors()
    with closing(download.actions()) as actions:
        while True:
            try:
                action = (
                    actions.throw(outcome)
                    if isinstance(outcome, Exception)
                    else actions.send(outcome)
                )
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            try:
                outcome = _do(action, download)
            except PolyreelError:
                raise
            except errors as error:
                outcome = error


async def afetch(step: Fetch, wire: Wire) -> Saved:
    """Download one file, awaiting."""
    download, outcome = Download(step, wire), None
    errors = transport_errors()
    with closing(download.actions()) as actions:
        while True:
            try:
                action = (
                    actions.throw(outcome)
                    if isinstance(outcome, Exception)
                    else actions.send(outcome)
                )
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            try:
                async with asyncio.timeout(download.watch.left):
                    outcome = await _ado(action, download)
            except PolyreelError:
                raise
            except errors as error:
                outcome = error


def _do(action: Action, download: Download) -> Any:
    wire, watch = download.wire, download.watch
    if isinstance(action, Pause):
        return wire.clock.sleep(action.seconds)
    if isinstance(action, Resolve):
        return resolve(wire.resolver, action.host, action.port, watch.left)
    try:
        with closing(
            wire.connections("download").handle_request(_traced(action, watch.see))
        ) as response:
            if action.begin(response):
                for chunk in body_of(response):
                    action.write(chunk)
            return response
    finally:
        watch.stop()


async def _ado(action: Action, download: Download) -> Any:
    wire, watch = download.wire, download.watch
    if isinstance(action, Pause):
        return await wire.clock.asleep(action.seconds)
    if isinstance(action, Resolve):
        return await aresolve(wire.resolver, action.host, action.port)
    async with aclosing(
        await wire.async_connections("download").handle_async_request(_traced(action, watch.asee))
    ) as response:
        if action.begin(response):
            async for chunk in abody_of(response):
                action.write(chunk)
        return response


def _traced(action: Get, trace: Any) -> httpx.Request:
    action.request.extensions["trace"] = trace
    return action.request


class Download:
    """One file on its way home, over as many tries as it takes."""

    def __init__(self, step: Fetch, wire: Wire) -> None:
        self.step, self.wire = step, wire
        self.watch = Watch(step.deadline, blind=wire.blind)
        self.part: Partial | None = None
        self._length: int | None = None
        self._from = 0
        """From which byte on the file was asked for; 0 where it was asked for whole."""
        self._receiving = False
        self._wrong_parts = 0
        self._tries, self._idle, self._furthest = 0, 0, 0

    def actions(self) -> Generator[Action, Any, Saved]:
        """What is to be done, one thing after the other."""
        try:
            while True:
                try:
                    if (yield from self._try()):
                        return self._keep()
                except Broken as broken:
                    yield from self._rest(broken)
        finally:
            if self.part is not None:
                self.part.let_go()

    # -- tries -----------------------------------------------------------------------------------

    def _try(self) -> Generator[Action, Any, bool]:
        """Ask once, through redirects; whether the file is whole now."""
        import httpx  # noqa: PLC0415

        if self.part is not None and self.part.whole:
            return True
        try:
            url = httpx.URL(self.step.url)
        except (httpx.InvalidURL, ValueError):
            raise self.error("the link is not a URL") from None
        for _ in range(MAX_REDIRECTS + 1):
            response = yield from self._ask(url)
            if self._receiving or not response.has_redirect_location:
                return self._outcome(response)
            url = self._onward(url, response)
        raise self._status(response)

    def _rest(self, broken: Broken) -> Generator[Action, Any, None]:
        """Wait before the next try; raises what broke the last one where there is to be none."""
        size = self.part.size if self.part is not None else 0
        self._idle = 0 if size > self._furthest else self._idle + 1
        self._furthest, self._tries = max(size, self._furthest), self._tries + 1
        pause = self.wire.pause(Sleep(broken.pause or min(8.0, 0.25 * 2.0**self._idle), jitter=0.2))
        if self._idle >= IDLE_TRIES or self._tries >= MAX_TRIES or pause >= self.watch.left:
            raise broken.error
        try:
            yield Pause(pause)
        except OSError:  # asyncio's timeout
            raise broken.error from None

    def _outcome(self, response: httpx.Response) -> bool:
        """What an answer comes to: the whole file, none yet, or a reason to try again or to give up."""
        if self._receiving:
            return self._received(response)
        status = response.status_code
        if status == 200:
            return False  # the first bytes are here already: ask for the rest
        if self._from and status in {206, 416}:
            self._wrong_parts += 1
            self._part.restart()
            raise Broken(self.error("the server does not go on where it broke off", status))
        if status in PASSING or status >= 500:
            raise Broken(
                self._status(response), retry_after(Reply(status, dict(response.headers), b""))
            )
        raise self._status(response)

    def _received(self, response: httpx.Response) -> bool:
        size = self._part.size
        if (
            self._length is None
            and self.watch.left <= 0
            and "transfer-encoding" not in response.headers
        ):
            raise self.error(
                LATE
            )  # where nothing tells its length, a body that was cut off looks whole
        if self._length is not None and size != self._length:
            if size > self._length:
                self._part.restart()
            raise Broken(self.error(f"it ended after {size} of {self._length} bytes"))
        return True

    # -- one request -----------------------------------------------------------------------------

    def _ask(self, url: httpx.URL) -> Generator[Action, Any, httpx.Response]:
        """Ask one hop for the file, at the first of its addresses that can be connected to."""
        import httpx  # noqa: PLC0415

        addresses = yield from self._addresses(url)
        for address in addresses:
            try:
                response: httpx.Response = yield self._get(url, address)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if address == addresses[-1] or self.watch.left <= 0:
                    raise self._broken(error) from None
            except transport_errors() as error:
                raise self._broken(error) from None
            else:
                return response
        raise AssertionError("unreachable")

    def _addresses(self, url: httpx.URL) -> Generator[Action, Any, Sequence[str | None]]:
        """The addresses to connect to, checked; None for whatever the host's name leads to."""
        if self.wire.transport is not None:
            return (None,)
        host = url.raw_host.decode("ascii")
        try:
            check_form(url.scheme, host, url.userinfo)
            if self.wire.private_downloads or origin(url) in self.wire.hosts.get(
                self.step.vendor, ()
            ):
                return (None,)
            port = url.port if url.port is not None else {"http": 80, "https": 443}[url.scheme]
            check_port(port)
            return check_addresses((yield Resolve(host, port)))
        except Refused as refused:
            raise self.error(f"{refused} ({media.shown(host)})") from None
        except (OSError, ValueError) as error:
            raise self._unknown_host(error, host) from None

    def _unknown_host(self, error: Exception, host: str) -> Exception:
        if self.watch.late(error):
            return self.error(LATE)
        failure = self.error(f"the host is not known ({media.shown(host)})")
        passing = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
        return Broken(failure) if passing else failure

    def _get(self, url: httpx.URL, address: str | None) -> Get:
        """The request for what is missing, to a checked address; its name, its key and TLS go by the link."""
        import httpx  # noqa: PLC0415

        headers = self.wire.headers(self.step, origin(url)) | self._range()
        extensions: dict[str, Any] = {"timeout": self.watch.timeout(STALLED_SECONDS)}
        if address is not None:
            headers["Host"] = url.netloc.decode("ascii")
            extensions["sni_hostname"] = url.raw_host.decode("ascii").rstrip(".")
            url = url.copy_with(host=address)
        self._receiving = False
        return Get(
            httpx.Request("GET", url, headers=headers, extensions=extensions),
            self._begin,
            self._write,
        )

    def _range(self) -> dict[str, str]:
        """The headers that ask for the missing bytes of the very file whose first ones are here."""
        part, self._from = self.part, 0
        if (
            part is None
            or not part.size
            or part.validator is None
            or self._wrong_parts >= WRONG_PARTS
        ):
            return {}
        self._from = part.size
        return {"Range": f"bytes={part.size}-", "If-Range": part.validator}

    def _onward(self, url: httpx.URL, response: httpx.Response) -> httpx.URL:
        """Where a redirect leads: to http(s) only, and never out of TLS."""
        import httpx  # noqa: PLC0415

        try:
            target = url.join(response.headers["location"])
        except (httpx.InvalidURL, ValueError):
            raise self._status(response) from None
        if target.scheme not in {"https", url.scheme} or not target.host:
            raise self._status(response)
        return target

    # -- the body --------------------------------------------------------------------------------

    def _begin(self, response: httpx.Response) -> bool:
        """Whether the body is wanted, by status and headers; `_write` has a part to write it to then."""
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            # Nothing compressed was asked for, and a few compressed bytes could become gigabytes.
            raise self.error("a compressed answer, which was not asked for")
        if response.status_code == 200:
            self._receiving = self._begin_whole(response.headers)
        elif response.status_code == 206 and self._from:
            self._receiving = self._is_rest(response.headers)
        return self._receiving

    def _begin_whole(self, headers: httpx.Headers) -> bool:
        self._length = length_of(headers)
        if (self._length or 0) > MAX_FILE_BYTES:
            raise self.error("the answer is too large")
        validator = validator_of(headers) if self._length is not None else None
        if self.part is None or not self.part.is_of(validator, self._length):
            if self.part is not None:
                self.part.lasting = False
                self.part.let_go()
            self.part = Partial(self.step.path, self.step.vendor, validator, self._length)
        if (
            not self._from
            and 0 < self._part.size <= (self._length or 0)
            and self._wrong_parts < WRONG_PARTS
        ):
            return False  # the rest is asked for instead
        self._part.restart()
        return True

    def _is_rest(self, headers: httpx.Headers) -> bool:
        """Whether an answer is exactly the missing bytes, of the same version of the file."""
        length, validator = self._part.length, self._part.validator
        assert length is not None
        same = validator in {headers.get("etag"), headers.get("last-modified")}
        exact = headers.get("content-range") == f"bytes {self._from}-{length - 1}/{length}"
        return same and exact and length_of(headers) in {None, length - self._from}

    def _write(self, chunk: bytes) -> None:
        """Take a piece of the body; what is no media by its first bytes is not taken any further."""
        part = self._part
        before = part.size
        part.write(chunk)
        if part.size > MAX_FILE_BYTES:
            part.lasting = False
            raise self.error("the answer is too large")
        if before < HEAD_BYTES <= part.size:
            self._found()

    def _keep(self) -> Saved:
        """Check what arrived, then give it its final name, which no unfinished file ever has."""
        found = self._found()
        final = self.step.path.with_name(self.step.path.name + media.SUFFIXES[found])
        self._part.finish(final)
        return Saved(final, found, self._part.size)

    def _found(self) -> str:
        """The media type that the first bytes show."""
        head, kind = self._part.head(), self.step.kind
        found = media.content_type(head, "image") or media.content_type(head, "video") or ""
        if not found or not found.startswith(kind):
            self._part.lasting = False
            raise self.error(
                f"what arrived is not {kind or 'media'} (its first bytes say otherwise)"
            )
        return found

    # -- errors ----------------------------------------------------------------------------------

    @property
    def _part(self) -> Partial:
        assert self.part is not None
        return self.part

    def error(self, text: str, status: int | None = None) -> DownloadError:
        """What the step fails with."""
        return DownloadError(f"the download failed: {text}", vendor=self.step.vendor, status=status)

    def _status(self, response: httpx.Response) -> DownloadError:
        return self.error(f"HTTP {response.status_code} instead of the file", response.status_code)

    def _broken(self, error: Exception) -> Exception:
        """What an exception of the transport means: no time is left, another try may help, or none will."""
        import httpx  # noqa: PLC0415

        if self.watch.left <= 0:
            return self.error(LATE)
        text = self.wire.without_key(self.step.vendor, trouble(error))
        failure = self.error(LATE if self.watch.late(error) else text)
        hopeless = isinstance(
            error, httpx.UnsupportedProtocol
        ) or "CERTIFICATE_VERIFY_FAILED" in str(error)
        passing = isinstance(error, httpx.TransportError | OSError) and not hopeless
        return Broken(failure) if passing else failure
