"""Requests that two servers could read in two ways are taken by none of ours."""

from __future__ import annotations

from typing import Final

import h11

BOTH_LENGTHS: Final = "a request has a Content-Length or a Transfer-Encoding, not both"


class ServerConnection(h11.Connection):
    """A server's side of a connection.

    Where a body has a length and is sent in chunks too, a proxy on the way may go by the one and
    h11 by the other: then what the proxy takes for the rest of a body is another request, which it
    never saw. RFC 9112 (6.1 and 6.3) lets a server refuse it, and has the connection end.
    """

    def __init__(self, max_incomplete_event_size: int = 16 * 1024) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size)

    def next_event(self) -> type[h11.NEED_DATA | h11.PAUSED] | h11.Event:
        """What has arrived; h11.RemoteProtocolError for what is no request."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            names = {name for name, _ in event.headers}
            if {b"content-length", b"transfer-encoding"} <= names:
                raise h11.RemoteProtocolError(BOTH_LENGTHS, error_status_hint=400)
        return event
