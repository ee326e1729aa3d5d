"""What both drivers share: transports, keys and where they may go, the clock, who listens."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from attrs import Factory, define, field

from ..errors import KeyMissingError
from ..flows import Fetch, Send, Sleep
from ..keys import Secret

if TYPE_CHECKING:
    import httpx

USER_AGENT: Final = "polyreel/0.1"


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
    randomness: random.Random = field(factory=random.Random, repr=False)
    _client: httpx.Client | None = field(default=None, init=False, repr=False)
    _async_clients: dict[bool, httpx.AsyncClient] = field(factory=dict, init=False, repr=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False, repr=False)

    def options(self, *, keep_alive: int) -> dict[str, Any]:
        """The settings of one httpx client."""
        import httpx  # noqa: PLC0415

        limits = httpx.Limits(max_connections=16, max_keepalive_connections=keep_alive)
        # identity: a few compressed bytes could become gigabytes.
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        fixed = {"follow_redirects": False, "trust_env": False, "transport": self.transport}
        return {"limits": limits, "headers": headers, **fixed}

    def client(self) -> httpx.Client:
        """The blocking client: each call has a connection of its own, which a watch can cut."""
        import httpx  # noqa: PLC0415

        if self._client is None:
            self._client = httpx.Client(**self.options(keep_alive=0))
        return self._client

    def async_client(self, *, paid: bool = False) -> httpx.AsyncClient:
        """The awaiting client for one kind of call: a paid one never reuses a connection that may just have closed."""
        import httpx  # noqa: PLC0415

        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # connections belong to the loop that made them
            self._async_clients, self._loop = {}, loop
        if paid not in self._async_clients:
            self._async_clients[paid] = httpx.AsyncClient(**self.options(keep_alive=0 if paid else 16))
        return self._async_clients[paid]

    def headers(self, step: Send | Fetch) -> dict[str, str]:
        """The headers of a call; the key only for the vendor's own hosts. A Send always needs one."""
        key = self.keys.get(step.vendor) if origin(step.url) in self.hosts.get(step.vendor, ()) else None
        if key is None and isinstance(step, Send):
            raise KeyMissingError(f"no key for {step.vendor}", vendor=step.vendor)
        own = dict(step.headers) if isinstance(step, Send) else {}
        return own | {"Authorization": f"Bearer {key.reveal()}"} if key else own

    def pause(self, step: Sleep) -> float:
        """The length of a pause, spread by its jitter."""
        return max(0.0, step.seconds * (1 + step.jitter * self.randomness.random()))

    def close(self) -> None:
        """Close the blocking client."""
        if self._client is not None:
            self._client.close()
        self._client = None

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
