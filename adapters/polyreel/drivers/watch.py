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
        self._connection: Any = None
        self._timer: threading.Timer | None = None

    @property
    def left(self) -> float:
        """Seconds to the deadline."""
        return self.ends - time.monotonic()

    def timeout(self, stalled: float) -> dict[str, float]:
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
            self._connection = info["return_value"]
        elif event.endswith(".send_request_headers.started"):
            self.stop()
            self._set_timer()
        self._note(event, info)

    async def asee(self, event: str, info: Mapping[str, Any]) -> None:
        """Take note of an event of an awaited call."""
        self._note(event, info)

    def _note(self, event: str, info: Mapping[str, Any]) -> None:
        """Note whether the request may leave now: a CONNECT only asks a proxy for a way."""
        self._traced = True
        if event.endswith(".send_request_headers.started"):
            method = getattr(info.get("request"), "method", b"")
            self.may_have_left = self.may_have_left or method != b"CONNECT"

    def extend(self, seconds: float) -> None:
        """Set a new deadline for what comes next on the connection of a blocking call."""
        self.stop()
        self.ends = time.monotonic() + seconds
        self._set_timer()

    def stop(self) -> None:
        """Do not cut the connection any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self) -> None:
        if self._connection is not None:  # a simulated call has no connection
            self._timer = threading.Timer(max(0.0, self.left), self._cut)
            self._timer.daemon = True
            self._timer.start()

    def _cut(self) -> None:
        # Closing a socket does not wake the thread that reads from it, shutting it down does.
        with suppress(OSError):
            socket.socket.shutdown(self._connection.get_extra_info("socket"), socket.SHUT_RDWR)

    def judge(self, error: Exception) -> None:
        """Note what an exception proves where there were no events: some come after sending."""
        if not self._traced and type(error).__name__ in AFTER_SENDING:
            self.may_have_left = True

    def late(self, error: Exception) -> bool:
        """Whether an exception of the transport means that the time is up."""
        return "Timeout" in type(error).__name__ or self.left <= 0


def trouble(error: Exception) -> str:
    """Describe an exception of the transport without quoting headers."""
    # Nothing was sent where connecting failed; the text of other errors can quote headers.
    name = type(error).__name__
    if name == "ProxyError":
        return _refusal_of_proxy(str(error))
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
