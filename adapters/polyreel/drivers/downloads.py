"""Downloads: from public addresses only, continued where they break off, and kept only whole.

A download is a generator of actions. `polyreel.drivers.fetching` performs them.
"""

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from ..errors import DownloadError, Portable
from ..flows import Fetch, Reply, Saved, Sleep, retry_after
from ..mapping import media
from .addresses import Refused
from .decoding import Decoder, decoder_for
from .links import Resolve, checked_addresses, request_at
from .parts import HEAD_BYTES, Partial, length_of, validator_of
from .urls import origin, transport_errors
from .watch import LATE, Watch, trouble
from .wire import Wire

if TYPE_CHECKING:
    import httpx

LOG: Final = logging.getLogger("polyreel")
MAX_FILE_BYTES: Final = 4_000_000_000
MAX_REDIRECTS: Final = 5
STALLED_SECONDS: Final = 60.0
"""For how long no byte may arrive before a try breaks off."""
IDLE_TRIES: Final = 5
"""How many tries in a row may bring no new byte."""
MAX_TRIES: Final = 100
WRONG_PARTS: Final = 2
"""After this many wrong answers to requests for the rest, the whole file is requested."""
REFUSAL_BYTES: Final = 2_000
REFUSAL_SECONDS: Final = 5.0
"""How much of an answer that is not the file is read, and for how long."""
PASSING: Final = frozenset({408, 425, 429})
"""Statuses below 500 after which a later try can succeed."""


@frozen
class Pause:
    """Wait."""

    seconds: float


@frozen
class Get:
    """Make one request. The result is its answer.

    The pieces of the body go to `write` where `begin` says that the body is wanted.
    """

    request: httpx.Request
    route: str
    """The URL by which a proxy is chosen: the request may have an address in the host's place."""
    begin: Callable[[httpx.Response], bool]
    write: Callable[[bytes | memoryview], bool]
    """Takes a piece, and keeps none of its memory; the result is whether no more is wanted."""


Action = Pause | Resolve | Get


class Broken(Portable, Exception):  # noqa: N818 - it ends a try, not the download
    """A try broke off, and another one may succeed."""

    def __init__(self, error: DownloadError, pause: float | None = None) -> None:
        super().__init__()
        self.error, self.pause = error, pause


class ErrorPage:
    """An answer that is not the file, and the beginning of what it says."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._body = bytearray()
        self._ends = time.monotonic() + REFUSAL_SECONDS

    def write(self, piece: bytes | memoryview) -> bool:
        """Take a piece; the result is whether that is enough."""
        self._body += piece[:REFUSAL_BYTES]
        return len(self._body) >= REFUSAL_BYTES or time.monotonic() > self._ends

    def text(self) -> str:
        """The words, on one line and without markup."""
        text = bytes(self._body[:REFUSAL_BYTES]).decode("utf-8", "replace")
        text = re.sub(r"<(script|style|head)\b.*?(</\1>|$)", " ", text, flags=re.DOTALL | re.I)
        text = " ".join(re.sub(r"<[^>]*(>|$)", " ", text).split())
        return re.sub(r"\?\S{12,}", "?...", text)  # a link in it may be signed


class Download:
    """The download of one file, in as many tries as it takes."""

    def __init__(self, step: Fetch, wire: Wire) -> None:
        self.step, self.wire = step, wire
        self.watch = Watch(step.deadline, blind=wire.blind)
        self.part: Partial | None = None
        self._length: int | None = None
        self._from = 0
        """From which byte on the file was requested; 0 where the whole file was requested."""
        self._receiving = False
        self._decoder: Decoder | None = None
        self._refusal: ErrorPage | None = None
        """The beginning of an answer that is not the file."""
        self._wrong_parts = 0
        self._tries, self._idle, self._furthest = 0, 0, 0

    def actions(self) -> Generator[Action, Any, Saved]:
        """Give the actions of the download, one after the other; the result is the saved file."""
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
        """Request the file once, through redirects; the result is whether it is whole now."""
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
        """Wait before the next try; where there is none, raise the error of the last one."""
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
        """Whether an answer makes the file whole.

        Broken is raised where another try may succeed, DownloadError where none can.
        """
        if self._receiving:
            return self._received(response)
        status = response.status_code
        if status == 200:
            return False  # the first bytes are here already: the rest is requested next
        if self._from and status in {206, 416}:
            self._wrong_parts += 1
            self._part.restart()
            raise Broken(self.error("the server does not go on where it broke off", status))
        if status in PASSING or status >= 500:
            pause = retry_after(Reply(status, dict(response.headers), b""))
            raise Broken(self._status(response), pause)
        raise self._status(response)

    def _received(self, response: httpx.Response) -> bool:
        size = self._part.size
        if self._decoder is not None and not self._decoder.is_whole:
            self._part.restart()
            raise Broken(self.error("a compressed answer that ends too early"))
        framed = {"transfer-encoding", "content-length"} if self._decoder else {"transfer-encoding"}
        has_end = self._length is not None or any(name in response.headers for name in framed)
        if self.watch.left <= 0 and not has_end:
            # Without a length, a body that was cut off looks whole.
            raise self.error(LATE)
        if self._length is not None and size != self._length:
            if size > self._length:
                self._part.restart()
            raise Broken(self.error(f"it ended after {size} of {self._length} bytes"))
        return True

    # -- one request -----------------------------------------------------------------------------

    def _ask(self, url: httpx.URL) -> Generator[Action, Any, httpx.Response]:
        """Request the file from one host, at the first of its addresses that can be reached."""
        import httpx  # noqa: PLC0415

        addresses = yield from self._addresses(url)
        for address in addresses:
            try:
                response: httpx.Response = yield self._get(url, address)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if address == addresses[-1] or self.watch.left <= 0:
                    raise self._broken(error) from None
            except transport_errors() as error:
                if self._refusal is not None:
                    return self._refusal.response  # its status is known; the rest is only text
                raise self._broken(error) from None
            else:
                return response
        raise AssertionError("unreachable")

    def _addresses(self, url: httpx.URL) -> Generator[Action, Any, Sequence[str | None]]:
        """The addresses to connect to, checked; None stands for any address of the host."""
        host = url.raw_host.decode("ascii")
        try:
            return (yield from checked_addresses(url, self.step.vendor, self.wire))
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
        """Request what is missing from a checked address; whether a key goes is up to the link."""
        headers = self.wire.headers(self.step, origin(url)) | self._range()
        self._receiving, self._refusal, self._decoder = False, None, None
        timeout = self.watch.timeout(STALLED_SECONDS)
        request = request_at(address, "GET", url, headers, timeout)
        return Get(request, str(url), self._begin, self._write)

    def _range(self) -> dict[str, str]:
        """The headers that request the missing bytes of the same version of the file."""
        part, self._from = self.part, 0
        if part is None or not part.size or part.validator is None:
            return {}
        if self._wrong_parts >= WRONG_PARTS:
            return {}
        self._from = part.size
        return {"Range": f"bytes={part.size}-", "If-Range": part.validator}

    def _onward(self, url: httpx.URL, response: httpx.Response) -> httpx.URL:
        """The URL that a redirect leads to: http or https, and never from https to http."""
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
        """Whether the body is wanted, by status and headers.

        Where it is wanted, `_write` has a part to write it to.
        """
        status = response.status_code
        wanted = status == 200 or (status == 206 and bool(self._from))
        if not wanted:
            if status < 400:
                return False
            self._refusal = ErrorPage(response)
        try:
            encoding = response.headers.get("content-encoding")
            self._decoder = decoder_for(encoding, MAX_FILE_BYTES)
        except ValueError as error:
            if not wanted:
                return False
            raise self.error(str(error)) from None
        if status == 200:
            self._receiving = self._begin_whole(response.headers)
        elif wanted:
            self._receiving = self._decoder is None and self._is_rest(response.headers)
        return self._receiving or self._refusal is not None

    def _begin_whole(self, headers: httpx.Headers) -> bool:
        self._length = None if self._decoder else length_of(headers)
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
            return False  # the rest is requested instead
        self._part.restart()
        return True

    def _is_rest(self, headers: httpx.Headers) -> bool:
        """Whether an answer is exactly the missing bytes, of the same version of the file."""
        length, validator = self._part.length, self._part.validator
        assert length is not None
        same = validator in {headers.get("etag"), headers.get("last-modified")}
        exact = headers.get("content-range") == f"bytes {self._from}-{length - 1}/{length}"
        return same and exact and length_of(headers) in {None, length - self._from}

    def _write(self, chunk: bytes | memoryview) -> bool:
        """Take a piece of the body; the result is whether no more is wanted."""
        pieces = [chunk] if self._decoder is None else self._decoder.decode(bytes(chunk))
        try:
            for piece in pieces:
                if self._refusal is not None:
                    if self._refusal.write(piece):
                        return True
                else:
                    self._write_file(piece)
        except ValueError as error:
            if self._refusal is not None:
                return True
            self._part.restart()
            raise self.error(str(error)) from None
        return False

    def _write_file(self, chunk: bytes | memoryview) -> None:
        """Write a piece of the file; the first bytes must be those of an image or a video."""
        part = self._part
        before = part.size
        part.write(chunk)
        if part.size > MAX_FILE_BYTES:
            part.lasting = False
            raise self.error("the answer is too large")
        if before < HEAD_BYTES <= part.size:
            self._found()

    def _keep(self) -> Saved:
        """Check the file, then give it its final name, which no unfinished file ever has."""
        if self._length is None and self._part.size < HEAD_BYTES:
            self._part.restart()
            raise Broken(self.error("it ended before it began"))
        found = self._found()
        if (flaw := self._part.flaw(found)) is not None:
            # Whatever the server says about its length: that one may have been cut short itself.
            self._part.restart()
            raise Broken(self.error(f"what arrived is not whole: {flaw}"))
        final = self.step.path.with_name(self.step.path.name + self._suffix(found))
        return Saved(self._part.finish(final), found, self._part.size)

    def _suffix(self, found: str) -> str:
        """The suffix of the file: the one that is asked for, where it fits what arrived."""
        asked = self.step.suffix
        if media.SUFFIX_TYPES.get(asked.lower()) == found:
            return asked
        if asked:
            LOG.warning("the file is %s, so it is not saved as %s", found, asked)
        return media.SUFFIXES[found]

    def _found(self) -> str:
        """The media type that the first bytes show."""
        head, kind = self._part.head(), self.step.kind
        found = media.content_type(head, "image") or media.content_type(head, "video") or ""
        if not found or not found.startswith(kind):
            self._part.lasting = False
            expected = kind or "media"
            raise self.error(f"what arrived is not {expected} (its first bytes say otherwise)")
        return found

    # -- errors ----------------------------------------------------------------------------------

    @property
    def _part(self) -> Partial:
        assert self.part is not None
        return self.part

    def error(self, text: str, status: int | None = None) -> DownloadError:
        """Make the error of the step."""
        return DownloadError(f"the download failed: {text}", vendor=self.step.vendor, status=status)

    def _status(self, response: httpx.Response) -> DownloadError:
        text = f"HTTP {response.status_code} instead of the file"
        if self._refusal is not None and (words := self._refusal.text()):
            shown = self.wire.without_secrets(self.step.vendor, words)
            text = f"{text}: {media.shown(shown)}"
        return self.error(text, response.status_code)

    def _broken(self, error: Exception) -> Exception:
        """Make the exception that follows from an exception of the transport.

        It is a Broken where another try may succeed, otherwise a DownloadError.
        """
        import httpx  # noqa: PLC0415

        if self.watch.left <= 0:
            return self.error(LATE)
        text = self.wire.without_secrets(self.step.vendor, trouble(error, self.watch))
        failure = self.error(LATE if self.watch.late(error) else text)
        if isinstance(error, httpx.UnsupportedProtocol):
            return failure
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return failure
        return Broken(failure) if isinstance(error, httpx.TransportError | OSError) else failure
