"""The wire, which both drivers share: connections, keys and their hosts, the clock, listeners."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from attrs import Factory, define, field

from ..errors import KeyMissingError
from ..flows import Fetch, Moment, Send, Sleep, Step
from ..keys import Secret
from .addresses import Resolver, look_up
from .urls import USUAL, beginning

if TYPE_CHECKING:
    import httpx

    from ..ledger.store import LedgerStore
    from .fast import FastConnections


CONNECTIONS: Final = 16
"""The largest number of connections to vendors' own hosts, for each use."""


Use = Literal["free", "paid", "download"]
"""The purpose of a connection."""


class Clock(Protocol):
    """Time, as the drivers need it. The simulator's clock jumps instead of sleeping."""

    def now(self) -> float:
        """Seconds since 1970."""

    def moment(self) -> Moment:
        """What the wall clock shows, and a clock that cannot be set: see `Moment`."""

    def sleep(self, seconds: float) -> None:
        """Wait, blocking."""

    async def asleep(self, seconds: float) -> None:
        """Wait, awaiting."""


class RealClock:
    """The machine's clock. Setting the machine's time does not move it, or its deadlines."""

    def __init__(self) -> None:
        self._epoch = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._epoch + time.monotonic()

    def moment(self) -> Moment:
        """The wall clock, and the seconds since the machine was started."""
        return Moment(time.time(), _seconds_since_start())

    def sleep(self, seconds: float) -> None:
        """Block."""
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """Await."""
        await asyncio.sleep(seconds)


def _seconds_since_start() -> float:
    """Seconds since the machine was started, those of suspension included.

    Only Linux leaves them out of its monotonic clock.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_MONOTONIC"):  # macOS: unlike time.monotonic, it goes on
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.monotonic()


@define
class Wire:
    """What both drivers share: connections, keys and their hosts, the clock, listeners."""

    keys: Mapping[str, Secret] = Factory(dict)
    hosts: Mapping[str, frozenset[str]] = Factory(dict)
    """For each vendor, the only origins that its key is sent to."""
    transport: Any = None
    """An httpx transport instead of the network, such as the simulator's, for both drivers."""
    clock: Clock = field(factory=RealClock)
    listener: Callable[[Any], None] | None = None
    ledger: LedgerStore | None = None
    observer: Callable[[Literal["before", "after"], Step], None] | None = None
    """Called before and after each step of each flow. Tests end the process there."""
    call_seconds: float = 60.0
    """Seconds that a call with JSON may take, from connecting to the last byte."""
    randomness: random.Random = field(factory=random.Random, repr=False)
    private_downloads: bool = False
    """Whether files may come from addresses that are not public: for tests with local servers."""
    resolver: Resolver = look_up
    """The function that finds the addresses of the hosts that files come from."""
    _transports: dict[Use, httpx.BaseTransport] = field(factory=dict, init=False, repr=False)
    _async_transports: dict[Use, httpx.AsyncBaseTransport] = field(
        factory=dict, init=False, repr=False
    )
    _fast: FastConnections | None = field(default=None, init=False, repr=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False, repr=False)

    @property
    def blind(self) -> bool:
        """Whether the transport gives no events: then nothing proves that no byte has left."""
        return self.transport is not None and not getattr(self.transport, "traces", False)

    def connections(self, use: Use = "free") -> httpx.BaseTransport:
        """The blocking connections for one use. Each call has its own, which a watch can cut.

        Only a transport of httpx is used: no cookies, no redirects, no proxies of the environment,
        and no logs of whole links, which can be signed.
        """
        import httpx  # noqa: PLC0415

        if self.transport is not None:
            return self.transport  # type: ignore[no-any-return]
        if use not in self._transports:
            self._transports[use] = httpx.HTTPTransport(limits=_limits(use, 0), trust_env=False)
        return self._transports[use]

    def async_connections(self, use: Use = "free") -> httpx.AsyncBaseTransport:
        """The awaiting connections for one use.

        A paid call never reuses a connection, since it may just have been closed. Nor does a
        download, since the connection may be for another host at the same address.
        """
        import httpx  # noqa: PLC0415

        if self.transport is not None:
            return self.transport  # type: ignore[no-any-return]
        self._belong_to_loop()
        if use not in self._async_transports:
            limits = _limits(use, CONNECTIONS if use == "free" else 0)
            self._async_transports[use] = httpx.AsyncHTTPTransport(limits=limits, trust_env=False)
        return self._async_transports[use]

    def fast_connections(self, step: Send) -> FastConnections | None:
        """Faster connections for a call that costs nothing, where `polyreel[fast]` is installed.

        The URL must begin exactly with one of the vendor's origins. httpx parses other URLs more
        carefully.
        """
        if step.paid or step.parts or self.transport is not None:
            return None
        if beginning(step.url) not in self.hosts.get(step.vendor, ()):
            return None
        self._belong_to_loop()
        if self._fast is None and (kind := _fast()) is not None:
            self._fast = kind(CONNECTIONS)
        return self._fast

    def _belong_to_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # connections belong to the loop that made them
            self._async_transports, self._fast, self._loop = {}, None, loop

    def headers(self, step: Send | Fetch, origin: str) -> dict[str, str]:
        """The headers of a call to an origin. The key goes only to the vendor's own origins.

        KeyMissingError is raised where a Send would go without a key.
        """
        key = self.keys.get(step.vendor) if origin in self.hosts.get(step.vendor, ()) else None
        if key is None and isinstance(step, Send):
            raise KeyMissingError(f"no key for {step.vendor}", vendor=step.vendor)
        own = step.headers if isinstance(step, Send) else {}
        return {**USUAL, **own} | ({"Authorization": f"Bearer {key.reveal()}"} if key else {})

    def without_key(self, vendor: str, text: str) -> str:
        """A text of the transport without the vendor's key: it may quote a header."""
        key = self.keys.get(vendor)
        return key.redact_text(text) if key else text

    def pause(self, step: Sleep) -> float:
        """The seconds of a pause, with its jitter."""
        return max(0.0, step.seconds * (1 + step.jitter * self.randomness.random()))

    def close(self) -> None:
        """Close the blocking connections."""
        for transport in self._transports.values():
            transport.close()
        self._transports = {}

    async def aclose(self) -> None:
        """Close the awaiting connections."""
        if self._loop is asyncio.get_running_loop():
            for transport in self._async_transports.values():
                await transport.aclose()
            if self._fast is not None:
                await self._fast.aclose()
        self._async_transports, self._fast = {}, None


def _limits(use: Use, keep_alive: int) -> httpx.Limits:
    import httpx  # noqa: PLC0415

    # Downloads take long: no other call, and no other download, has to wait for one to end.
    return httpx.Limits(
        max_connections=None if use == "download" else CONNECTIONS,
        max_keepalive_connections=keep_alive,
    )


@cache
def _fast() -> type[FastConnections] | None:
    try:
        from .fast import FastConnections  # noqa: PLC0415
    except ImportError:
        return None
    return FastConnections
