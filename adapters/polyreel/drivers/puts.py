"""Sending a file to a link that a vendor gave for it, at a checked address."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from ..errors import TransportError
from ..flows import Put, Reply
from ..mapping import media
from .addresses import Refused
from .downloads import STALLED_SECONDS, Action, Get
from .links import checked_addresses, request_at
from .urls import origin, transport_errors
from .watch import LATE, Watch, trouble
from .wire import Wire

if TYPE_CHECKING:
    import httpx


class FilePut:
    """One PUT of a file. The result is a Reply without a body; a redirect is not followed."""

    def __init__(self, step: Put, wire: Wire) -> None:
        self.step, self.wire = step, wire
        self.watch = Watch(step.deadline, blind=wire.blind)

    def actions(self) -> Generator[Action, Any, Reply]:
        """Give the actions, one after the other; the result is the answer."""
        import httpx  # noqa: PLC0415

        try:
            url = httpx.URL(self.step.url)
        except (httpx.InvalidURL, ValueError):
            raise self._error("the link is not a URL") from None
        try:
            addresses = yield from checked_addresses(url, self.step.vendor, self.wire)
        except Refused as refused:
            raise self._error(f"{refused} ({media.shown(url.host)})") from None
        except (OSError, ValueError) as error:
            late = self.watch.late(error)
            text = LATE if late else f"the host is not known ({media.shown(url.host)})"
            raise self._error(text) from None
        content = self._content()
        for address in addresses:
            try:
                response: httpx.Response = yield self._put(url, address, content)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if address == addresses[-1] or self.watch.left <= 0:
                    raise self._failure(error) from None
            except transport_errors() as error:
                raise self._failure(error) from None
            else:
                return Reply(response.status_code, dict(response.headers), b"")
        raise AssertionError("unreachable")

    def _content(self) -> bytes:
        file = self.step.file
        try:
            return (file.content or b"") if file.path is None else file.path.read_bytes()
        except OSError as error:
            raise self._error(f"{file.path} cannot be read: {error.strerror}") from None

    def _put(self, url: httpx.URL, address: str | None, content: bytes) -> Get:
        """The request. The key goes only to the vendor's own hosts, as with downloads."""
        kind = self.step.file.content_type or "application/octet-stream"
        headers = self.wire.headers(self.step, origin(url))
        headers |= {"Content-Type": kind, **self.step.headers}
        timeout = self.watch.timeout(STALLED_SECONDS)
        request = request_at(address, self.step.method, url, headers, timeout, content)
        return Get(request, str(url), lambda _: False, lambda _: True)

    def _failure(self, error: Exception) -> TransportError:
        if self.watch.late(error):
            return self._error(LATE)
        return self._error(self.wire.without_secrets(self.step.vendor, trouble(error, self.watch)))

    def _error(self, text: str) -> TransportError:
        sent, vendor = self.watch.may_have_left, self.step.vendor
        return TransportError(f"the file was not sent: {text}", sent=sent, vendor=vendor)
