"""What both drivers share: transports, keys and where they may go, the clock, who listens."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from attrs import Factory, define, field

from ..errors import KeyMissingError
from ..flows import Fetch, Send, Sleep, Step
from ..keys import Secret
from .addresses import Resolver, look_up

if TYPE_CHECKING:
    import httpx

    from ..ledger import Ledger

USER_AGENT: Final = "polyreel/0.1"
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
    _clients: dict[Use, httpx.Client] = field(factory=dict, init=False, repr=False)
    _async_clients: dict[Use, httpx.AsyncClient] = field(factory=dict, init=False, repr=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False, repr=False)

    @property
    def blind(self) -> bool:
        """Whether requests leave untold: a transport that says nothing of it proves nothing by its silence."""
        return self.transport is not None and not getattr(self.transport, "traces", False)

    def options(self, use: Use, *, keep_alive: int) -> dict[str, Any]:
        """The settings of one httpx client."""
        import httpx  # noqa: PLC0415

        # Downloads take long: no other call, and no other download, should have to wait for one to end.
        connections = None if use == "download" else 16
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=keep_alive)
        # identity: a few compressed bytes could become gigabytes.
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        # No cookies: a host of files must not be told what another one at the same address has set.
        cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
        fixed = {"follow_redirects": False, "trust_env": False, "transport": self.transport, "cookies": cookies}
        return {"limits": limits, "headers": headers, **fixed}

    def client(self, use: Use = "free") -> httpx.Client:
        """The blocking client for one use: each call has a connection of its own, which a watch can cut."""
        import httpx  # noqa: PLC0415

        if use not in self._clients:
            self._clients[use] = httpx.Client(**self.options(use, keep_alive=0))
        return self._clients[use]

    def async_client(self, use: Use = "free") -> httpx.AsyncClient:
        """The awaiting client for one use. A paid call never reuses a connection that may just have closed, nor a
        download one that was made for another host at the same address.
        """
        import httpx  # noqa: PLC0415

        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # connections belong to the loop that made them
            self._async_clients, self._loop = {}, loop
        if use not in self._async_clients:
            self._async_clients[use] = httpx.AsyncClient(**self.options(use, keep_alive=16 if use == "free" else 0))
        return self._async_clients[use]

    def headers(self, step: Send | Fetch) -> dict[str, str]:
        """The headers of a call; the key only for the vendor's own hosts. A Send always needs one."""
        key = self.keys.get(step.vendor) if origin(step.url) in self.hosts.get(step.vendor, ()) else None
        if key is None and isinstance(step, Send):
            raise KeyMissingError(f"no key for {step.vendor}", vendor=step.vendor)
        own = dict(step.headers) if isinstance(step, Send) else {}
        return own | {"Authorization": f"Bearer {key.reveal()}"} if key else own

    def without_key(self, vendor: str, text: str) -> str:
        """A text of the transport without the vendor's key, should it quote a header."""
        key = self.keys.get(vendor)
        return key.redact_text(text) if key else text

    def pause(self, step: Sleep) -> float:
        """The length of a pause, spread by its jitter."""
        return max(0.0, step.seconds * (1 + step.jitter * self.randomness.random()))

    def close(self) -> None:
        """Close the blocking clients."""
        for client in self._clients.values():
            client.close()
        self._clients = {}

    async def aclose(self) -> None:
        """Close the awaiting clients."""
        if self._loop is asyncio.get_running_loop():
            for client in self._async_clients.values():
                await client.aclose()
        self._async_clients = {}


def origin(url: str) -> str:
    """Scheme, host and port of a URL."""
    import httpx  # noqa: PLC0415

    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii', 'replace')}"


def transport_errors() -> tuple[type[Exception], ...]:
    """What a call can raise while it is on its way."""
    import httpx  # noqa: PLC0415

    # OSError: files, and asyncio's timeout. ValueError: odd host names.
    return (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError)
