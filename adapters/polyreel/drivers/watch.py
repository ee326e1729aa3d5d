"""The watch over one call: its total deadline, and whether a byte of it may have left."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

CONNECT_SECONDS: Final = 10.0
LATE: Final = "no complete answer in time"

AFTER_SENDING: Final = frozenset(
    {"ReadError", "ReadTimeout", "RemoteProtocolError", "WriteError", "WriteTimeout"}
)
"""The exceptions of httpx that come once the request has begun to leave."""
OWN_CA: Final = "a company's own certificates are named with --ca, Network(ca=...) or SSL_CERT_FILE"

OWN_CERTIFICATE: Final = "one is named with --client-certificate or Network(client_certificate=...)"
REFUSED_CERTIFICATE: Final = re.compile(
    r"\[SSL: ((?:SSLV3|TLSV1|TLSV13)_ALERT_(?:ACCESS_DENIED|BAD_CERTIFICATE|CERTIFICATE_EXPIRED"
    r"|CERTIFICATE_REQUIRED|CERTIFICATE_REVOKED|CERTIFICATE_UNKNOWN|DECRYPT_ERROR"
    r"|HANDSHAKE_FAILURE|UNKNOWN_CA|UNSUPPORTED_CERTIFICATE))\]"
)
"""The alerts by which a server ends a handshake because of this side's certificate."""

Trace = Callable[[str, Mapping[str, Any]], object]
"""What httpcore calls with the name and the facts of each event of a call."""


class Watch:
    """The deadline of one call, and the proof that nothing of it has left.

    httpcore's events prove whether anything left; exception classes do not. The timeouts of a
    library are per read, so that an answer that drips would never end. Here a timer cuts the
    connection of a blocking call at the deadline, and `asyncio.timeout` ends an awaited call.
    """

    def __init__(self, seconds: float, *, blind: bool) -> None:
        self.ends = time.monotonic() + seconds
        self.may_have_left = blind
        """Whether a byte of the request may have left; True where the transport gives no events."""
        self._traced = False
        """Whether any event has come. A replaced transport, such as a mock, gives none."""
        self.negotiates = False
        """Whether a SOCKS proxy has been asked to connect, and has not done so."""
        self.answered = False
        """Whether an answer has begun."""
        self.connection: Any = None
        """The connection that the call is on, which the watch can cut."""
        self._timer: threading.Timer | None = None

    @property
    def left(self) -> float:
        """Seconds to the deadline."""
        return self.ends - time.monotonic()

    def timeout(self, stalled: float) -> dict[str, float | None]:
        """The timeouts of httpx's transports, in seconds; each is for one wait.

        `stalled` is the longest time for which nothing may arrive or leave.
        """
        left = max(0.0, self.left)
        stalled = min(left, stalled)
        return {
            "connect": min(left / 2, CONNECT_SECONDS),
            "read": stalled,
            "write": stalled,
            "pool": left,
        }

    def see(self, event: str, info: Mapping[str, Any]) -> None:
        """Take note of an event of a blocking call."""
        # By way of a proxy, the events have other names before the point.
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self.connection = info["return_value"]
        elif event.endswith(".send_request_headers.started"):
            self.stop()
            self._set_timer(self.left)
        elif event.endswith(".setup_socks5_connection.started"):
            self._set_timer(min(self.left, CONNECT_SECONDS))  # httpcore waits without a timeout
        elif event.endswith(".setup_socks5_connection.failed"):
            self.stop()
            self.connection.close()  # httpcore leaves it open
        self._note(event, info)

    async def asee(self, event: str, info: Mapping[str, Any]) -> None:
        """Take note of an event of an awaited call."""
        if event.endswith(".connect_tcp.complete"):
            self.connection = info["return_value"]
        elif event.endswith(".setup_socks5_connection.failed"):
            await self.connection.aclose()  # httpcore leaves it open
        self._note(event, info)

    def _note(self, event: str, info: Mapping[str, Any]) -> None:
        """Note whether the request may leave now: a CONNECT only asks a proxy for a way."""
        self._traced = True
        if event.endswith(".connect_tcp.started"):
            self.negotiates = False
        elif ".setup_socks5_connection." in event:
            self.negotiates = not event.endswith(".complete")
        if event.endswith(".send_request_headers.started"):
            method = getattr(info.get("request"), "method", b"")
            self.may_have_left = self.may_have_left or method != b"CONNECT"

    def extend(self, seconds: float) -> None:
        """Set a new deadline for what comes next on the connection of a blocking call."""
        self.stop()
        self.ends = time.monotonic() + seconds
        self._set_timer(self.left)

    def stop(self) -> None:
        """Do not cut the connection any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self, seconds: float) -> None:
        if self.connection is not None:  # a simulated call has no connection
            self._timer = threading.Timer(max(0.0, seconds), self.cut)
            self._timer.daemon = True
            self._timer.start()

    def cut(self) -> None:
        """End the connection of a blocking call, where there is one yet."""
        if self.connection is None:
            return
        # Closing a socket does not wake the thread that reads from it, shutting it down does.
        with suppress(OSError):
            socket.socket.shutdown(self.connection.get_extra_info("socket"), socket.SHUT_RDWR)

    def answer_began(self) -> None:
        """Note that an answer has begun: who answers has heard the request."""
        self.may_have_left = self.answered = True

    def judge(self, error: Exception) -> None:
        """Note what an exception proves.

        Where there were no events, some come after sending. A server that refuses the certificate
        of this side has read nothing, although TLS 1.3 lets the request leave before.
        """
        if REFUSED_CERTIFICATE.search(str(error)) and not self.answered:
            self.may_have_left = False
        elif not self._traced and type(error).__name__ in AFTER_SENDING:
            self.may_have_left = True

    def late(self, error: Exception) -> bool:
        """Whether an exception of the transport means that the time is up."""
        return "Timeout" in type(error).__name__ or self.left <= 0


def trouble(error: Exception, watch: Watch) -> str:
    """Describe an exception of the transport without quoting headers."""
    # Nothing was sent where connecting failed; the text of other errors can quote headers.
    name = type(error).__name__
    if name == "ProxyError":
        return _refusal_of_proxy(str(error))
    if watch.negotiates:
        return f"the proxy did not answer as a SOCKS proxy does ({name})"
    if refused := REFUSED_CERTIFICATE.search(str(error)):
        return f"the server refused the certificate of this side ({refused[1]}); {OWN_CERTIFICATE}"
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return f"connection failed ({error}); {OWN_CA}"
    return f"connection failed ({error if name == 'ConnectError' else name})"


def _refusal_of_proxy(text: str) -> str:
    """What a proxy answered, by its status. Its own words can quote the password."""
    status = re.match(r"[1-5]\d\d(?=\s|$)", text)
    if status is None:  # a SOCKS proxy: the words are the library's
        return f"the proxy did not connect ({text})"
    with suppress(ValueError):
        wants = ": it wants another name and password" if status[0] == "407" else ""
        return f"the proxy refused: HTTP {status[0]} {HTTPStatus(int(status[0])).phrase}{wants}"
    return f"the proxy refused: HTTP {status[0]}"
