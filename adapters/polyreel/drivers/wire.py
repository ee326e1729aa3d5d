"""What both drivers share: transports, keys and where they may go, the clock, who listens."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from attrs import Factory, define, field

from ..errors import KeyMissingError
from ..flows import Fetch, Send, Sleep, Step
from ..keys import Secret
from .addresses import Resolver, look_up
from .urls import USUAL, beginning

if TYPE_CHECKING:
    import httpx

    from ..ledger.sqlite import Ledger
    from .fast import FastConnections


CONNECTIONS: Final = 16
"""How many there are at most to vendors' own hosts."""


Use = Literal["free", "paid", "download"]
"""What a connection is for."""


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
    ledger: Ledger | None = None
    observer: Callable[[Literal["before", "after"], Step], None] | None = None
    """Hears of every step of every flow. Tests end the process there."""
    call_seconds: float = 60.0
    """The longest that a call with JSON may take, from connecting to the last byte."""
    randomness: random.Random = field(factory=random.Random, repr=False)
    private_downloads: bool = False
    """Whether files may come from addresses that are not public: for tests against local servers of files."""
    resolver: Resolver = look_up
    """Finds the addresses of the hosts that files come from."""
    _transports: dict[Use, httpx.BaseTransport] = field(factory=dict, init=False, repr=False)
    _async_transports: dict[Use, httpx.AsyncBaseTransport] = field(
        factory=dict, init=False, repr=False
    )
    _fast: FastConnections | None = field(default=None, init=False, repr=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False, repr=False)

    @property
    def blind(self) -> bool:
        """Whether requests leave untold: a transport that says nothing of it proves nothing by its silence."""
        return self.transport is not None and not getattr(self.transport, "traces", False)

    def connections(self, use: Use = "free") -> httpx.BaseTransport:
        """The blocking connections for one use: each call has one of its own, which a watch can cut.

        A transport is all of httpx that is needed: no cookies, redirects, proxies of the environment, nor logs of
        whole links, which can be signed.
        """
        import httpx  # noqa: PLC0415

        if self.transport is not None:
            return self.transport  # type: ignore[no-any-return]
        if use not in self._transports:
            self._transports[use] = httpx.HTTPTransport(limits=_limits(use, 0), trust_env=False)
        return self._transports[use]

    def async_connections(self, use: Use = "free") -> httpx.AsyncBaseTransport:
        """The awaiting connections for one use. A paid call never reuses one that may just have closed, nor a
        download one that was made for another host at the same address.
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
        """Faster ones for a call that costs nothing, where `polyreel[fast]` is installed.

        Where a URL does not begin with one of the vendor's origins to the letter, httpx looks at it more closely.
        """
        told = step.paid or step.parts or self.transport is not None
        if told or beginning(step.url) not in self.hosts.get(step.vendor, ()):
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
        """The headers of a call to an origin; the key only for the vendor's own. A Send always needs one."""
        key = self.keys.get(step.vendor) if origin in self.hosts.get(step.vendor, ()) else None
        if key is None and isinstance(step, Send):
            raise KeyMissingError(f"no key for {step.vendor}", vendor=step.vendor)
        own = step.headers if isinstance(step, Send) else {}
        return {**USUAL, **own} | ({"Authorization": f"Bearer {key.reveal()}"} if key else {})

    def without_key(self, vendor: str, text: str) -> str:
        """A text of the transport without the vendor's key, should it quote a header."""
        key = self.keys.get(vendor)
        return key.redact_text(text) if key else text

    def pause(self, step: Sleep) -> float:
        """The length of a pause, spread by its jitter."""
        return max(0.0, step.seconds * (1 + step.jitter * self.randomness.random()))

    def close(self) -> None:
        """Close the blocking connections."""
        for transport in self._transports.values():
            transport.close()
        self._transports = {}

    async def aclose(self) -> None:
        """Close the awaiting connections."""
        if self._loop is asyncio.get_running_loop():
            for transport in (
                *self._async_transports.values(),
                *([self._fast] if self._fast else ()),
            ):
                await transport.aclose()
        self._async_transports, self._fast = {}, None


def _limits(use: Use, keep_alive: int) -> httpx.Limits:
    import httpx  # noqa: PLC0415

    # Downloads take long: no other call, and no other download, should have to wait for one to end.
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
