"""Blocking connections that are kept for the next query at the same host.

Only calls that change nothing take them. A connection that lay idle may be closed just when a call
leaves on it, and then nobody can say whether the call arrived: a query is made again, on a fresh
connection. Submits, uploads and cancellations begin with a fresh one.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from attrs import define

from ..network import Proxy

if TYPE_CHECKING:
    import httpx

AT_A_HOST: Final = 4
"""How many connections are kept for one host: as many as polyreel has queries at a vendor."""
IDLE_SECONDS: Final = 60.0
"""How long a connection is kept that nobody uses: as long as the longest pause between queries."""

Key = tuple[int, str, Proxy | None]
"""A process, an origin, and the proxy before it. A fork has the sockets of its parent, and must not
use them.
"""


@define(eq=False)
class KeptConnection:
    """A connection, and the transport that has no other: so it is known which one a call is on."""

    transport: httpx.BaseTransport
    stream: Any = None
    """The connection, for the watch that may have to cut it; None before the first call."""


class KeptConnections:
    """The connections that are kept, for all threads of a client."""

    def __init__(self, make: Callable[[Proxy | None], httpx.BaseTransport]) -> None:
        self._make = make
        self._places: dict[Key, list[KeptConnection | None]] = {}
        """For each way the places that nobody uses, with a connection or without one."""
        weakref.finalize(self, _close, self._places)

    @contextmanager
    def taken(self, origin: str, proxy: Proxy | None) -> Iterator[KeptConnection | None]:
        """A connection for the time of a call; None where as many as are kept are in use.

        After an exception it is not kept.
        """
        key = os.getpid(), origin, proxy
        places = self._places.setdefault(key, [None] * AT_A_HOST)
        try:
            kept = places.pop()  # the one that was used last
        except IndexError:
            yield None
            return
        kept = kept or KeptConnection(self._make(proxy))
        whole = False
        try:
            yield kept
            whole = True
        finally:
            is_open = whole and self._places.get(key) is places
            if not is_open:
                kept.transport.close()
            places.append(kept if is_open else None)

    def close(self) -> None:
        """Close all connections; those in use are closed after their calls."""
        _close(self._places)


def _close(places: dict[Key, list[KeptConnection | None]]) -> None:
    while places:
        _, known = places.popitem()
        for kept in known:
            if kept is not None:
                kept.transport.close()
