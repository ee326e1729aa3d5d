"""The wire, which both drivers share: connections, keys and their hosts, the clock, listeners."""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from attrs import Factory, define, evolve, field

from ..errors import KeyMissingError, MissingExtraError
from ..flows import Moment, Send, Sleep, Step, Transfer
from ..keys import Secret
from ..ledger.uploads import RememberedUploads
from ..network import Network, Proxy
from ..providers.base.calling import BEARER, KeyScheme
from .addresses import Resolver, look_up
from .grouping import GroupedWrites
from .kept import IDLE_SECONDS, KeptConnection, KeptConnections
from .urls import USUAL, beginning
from .urls import origin as origin_of

if TYPE_CHECKING:
    import ssl

    import httpx

    from ..jobs.queues import AskedVendors
    from ..ledger.store import LedgerStore, Write
    from ..ledger.uploads import UploadEvent
    from .fast import FastConnections
    from .hooks import Hook


CONNECTIONS: Final = 16
"""The largest number of connections to vendors' own hosts, for each use."""


Use = Literal["free", "kept", "paid", "download"]
"""The purpose of a connection. Those that are kept are for blocking queries."""
Route = tuple[Use, Proxy | None]


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
    moves: Mapping[str, Mapping[str, str]] = Factory(dict)
    """For each vendor, what stands for its base URLs, other hosts included, where that differs."""
    key_schemes: Mapping[str, KeyScheme] = Factory(dict)
    """How each vendor's key travels, where that is not as a bearer token."""
    transport: Any = None
    """An httpx transport instead of the network, such as the simulator's, for both drivers."""
    clock: Clock = field(factory=RealClock)
    listener: Callable[[Any], None] | None = None
    hooks: tuple[Hook, ...] = ()
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
    network: Network = field(factory=Network, repr=False)
    """Proxies, certificates, own headers. The environment is not asked: that was done before."""
    uploads: RememberedUploads = field(factory=RememberedUploads, init=False, repr=False)
    """What was uploaded, where no ledger is kept."""
    tried_folders: dict[str, float] = field(factory=dict, init=False, repr=False)
    """The folders of object storage in which something could be saved, and when that was tried."""
    downloading: set[threading.Thread] = field(factory=set, init=False, repr=False)
    """The threads of awaited downloads."""
    asked: AskedVendors = field(factory=dict, init=False, repr=False)
    """The vendors that all ask who await many jobs with this client."""
    _transports: dict[Route, httpx.BaseTransport] = field(factory=dict, init=False, repr=False)
    _async_transports: dict[Route, httpx.AsyncBaseTransport] = field(
        factory=dict, init=False, repr=False
    )
    _places: dict[Route, asyncio.Semaphore] = field(factory=dict, init=False, repr=False)
    _tls: ssl.SSLContext | None = field(default=None, init=False, repr=False)
    _fast: FastConnections | None = field(default=None, init=False, repr=False)
    _kept: KeptConnections | None = field(default=None, init=False, repr=False)
    _grouped: GroupedWrites[Write] | None = field(default=None, init=False, repr=False)
    shares_commits: bool = field(default=False, init=False, repr=False)
    """Whether awaited writes share commits also where the ledger is a file: for very many flows."""
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False, repr=False)

    @property
    def blind(self) -> bool:
        """Whether the transport gives no events: then nothing proves that no byte has left."""
        return self.transport is not None and not getattr(self.transport, "traces", False)

    @property
    def grouped(self) -> GroupedWrites[Write] | None:
        """Awaited writes to the ledger, where they should share its commits."""
        if self.ledger is None or not (self.shares_commits or self.ledger.shares_commits):
            return None
        ledger = self.ledger
        begin_all = ledger.begin_all if ledger.shares_commits else None  # a file has one writer
        self._grouped = GroupedWrites.here(self._grouped, ledger.write_all, begin_all)
        return self._grouped

    def connections(self, use: Use = "free", url: str = "") -> httpx.BaseTransport:
        """The blocking connections for one use of a URL. Each call has its own: a watch can cut it.

        Only a transport of httpx is used: no cookies, no redirects, and no logs of whole links,
        which can be signed.
        """
        import httpx  # noqa: PLC0415

        if self.transport is not None:
            return self.transport  # type: ignore[no-any-return]
        route = (use, self.network.proxy_for(url))
        if route not in self._transports:
            self._transports[route] = httpx.HTTPTransport(**self._options(route, 0))
        return self._transports[route]

    def kept_connection(self, url: str) -> AbstractContextManager[KeptConnection | None]:
        """A connection for a query, kept from the one before where there was any; None where as
        many as are kept are in use.
        """
        if self._kept is None:
            self._kept = KeptConnections(self._kept_transport)
        return self._kept.taken(beginning(url), self.network.proxy_for(url))

    def _kept_transport(self, proxy: Proxy | None) -> httpx.BaseTransport:
        """A transport for one connection."""
        import httpx  # noqa: PLC0415

        return httpx.HTTPTransport(**self._options(("kept", proxy), 1))

    def async_connections(self, use: Use = "free", url: str = "") -> httpx.AsyncBaseTransport:
        """The awaiting connections for one use of a URL.

        A paid call never reuses a connection, since it may just have been closed. Nor does a
        download, since the connection may be for another host at the same address.
        """
        if self.transport is not None:
            return self.transport  # type: ignore[no-any-return]
        self._belong_to_loop()
        route = (use, self.network.proxy_for(url))
        if route not in self._async_transports:
            keep_alive = CONNECTIONS if use == "free" else 0
            self._async_transports[route] = self._async_transport(route, keep_alive)
        return self._async_transports[route]

    def place(self, use: Use, url: str) -> AbstractAsyncContextManager[object]:
        """A place among those whose awaited calls have a connection.

        The others wait here: for each call that comes and goes, the pool of connections looks
        through all that wait in it.
        """
        if self.transport is not None:
            return nullcontext()
        route = (use, self.network.proxy_for(url))
        if route not in self._places:
            self._places[route] = asyncio.Semaphore(CONNECTIONS)
        return self._places[route]

    def _async_transport(self, route: Route, keep_alive: int) -> httpx.AsyncBaseTransport:
        """An awaiting transport of httpx: with asyncio's own connections, or by a proxy."""
        import httpx  # noqa: PLC0415

        from .fresh import httpx_connections  # noqa: PLC0415

        use, proxy = route
        if proxy is None:
            return httpx_connections(self.tls(), _limits(use, keep_alive))
        return httpx.AsyncHTTPTransport(**self._options(route, keep_alive))

    def _options(self, route: Route, keep_alive: int) -> dict[str, Any]:
        """The options of a transport of httpx."""
        use, proxy = route
        return {
            "verify": self.tls(),
            "trust_env": False,
            "limits": _limits(use, keep_alive),
            "proxy": None if proxy is None else _proxy(proxy, self.tls()),
        }

    def tls(self) -> ssl.SSLContext:
        """The TLS settings of all connections; RequestError where a file of them is unusable."""
        if self._tls is None:
            from .certificates import tls_settings  # noqa: PLC0415

            self._tls = tls_settings(self.network)
        return self._tls

    def fast_connections(self, step: Send) -> FastConnections | None:
        """Faster connections for a call that costs nothing, where the network settings want them.

        The URL must begin exactly with one of the vendor's origins. httpx parses other URLs more
        carefully. MissingExtraError is raised where `polyreel[fast]` is not installed.
        """
        if not self.network.fast or step.paid or step.parts or self.transport is not None:
            return None
        if beginning(step.url) not in self.hosts.get(step.vendor, ()):
            return None
        proxy = self.network.proxy_for(step.url)
        if proxy is not None and not proxy.url.startswith("http://"):
            return None  # aiohttp does not speak to these
        self._belong_to_loop()
        if self._fast is None:
            self._fast = _fast()(CONNECTIONS, self.tls(), self.network)
        return self._fast

    def _belong_to_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # connections belong to the loop that made them
            self._async_transports, self._places = {}, {}
            self._fast, self._loop = None, loop

    def headers(self, step: Send | Transfer, origin: str) -> dict[str, str]:
        """The headers of a call to an origin. The key goes only to the vendor's own origins.

        KeyMissingError is raised where a Send would go without a key.
        """
        key = self.keys.get(step.vendor) if origin in self.hosts.get(step.vendor, ()) else None
        if key is None and isinstance(step, Send):
            raise KeyMissingError(self._why_no_key(step.vendor, origin), vendor=step.vendor)
        own = step.headers if isinstance(step, Send) else {}
        scheme = self.key_schemes.get(step.vendor, BEARER)
        found = {**USUAL, **own} | (scheme.headers(key.reveal()) if key else {})
        return self._with_own_headers(found, step.vendor, origin)

    def _why_no_key(self, vendor: str, origin: str) -> str:
        """Why a call goes to an origin without a key, and what to do about it."""
        if vendor not in self.keys:
            return f"no key for {vendor}; nothing was sent to {origin}"
        known = " and ".join(sorted(self.hosts.get(vendor, ()))) or "no address"
        return (
            f"no key for {vendor} at {origin}: its key goes only to {known}; nothing was sent. If "
            f"{origin} may have the key, say that {vendor} is there: --base-url {vendor}=URL, or "
            "base_urls of the client"
        )

    def moved(self, step: Send) -> Send:
        """A call to another host of the vendor's at the base URL that the user has for it."""
        moves = self.moves.get(step.vendor)
        if not moves:
            return step
        fitting = [server for server in moves if step.url.startswith(f"{server}/")]
        if not fitting:
            return step
        server = max(fitting, key=len)
        return evolve(step, url=moves[server] + step.url.removeprefix(server))

    def _with_own_headers(
        self, headers: dict[str, str], vendor: str, origin: str
    ) -> dict[str, str]:
        """The headers with the user's own: only for where the vendor's base URL is."""
        if self.network.user_agent:
            headers["User-Agent"] = self.network.user_agent
        if not self.network.headers:
            return headers
        own = (self.network.base_urls, self.network.upload_urls)
        documented = self.moves.get(vendor, {})
        named = [urls[vendor] for urls in own if vendor in urls]
        hosts = {origin_of(url) for url in named if url not in documented}
        hosts = hosts if vendor in self.network.base_urls else {*hosts, *self.hosts.get(vendor, ())}
        if origin not in hosts:
            return headers
        added = self.network.headers_for(vendor)
        replaced = {name.lower() for name in added}
        return {k: v for k, v in headers.items() if k.lower() not in replaced} | {**added}

    def secrets(self, vendor: str | None = None) -> tuple[Secret, ...]:
        """What no text may show: the keys, or one vendor's, and the network's."""
        if vendor is None:
            return (*self.keys.values(), *self.network.secrets)
        key = self.keys.get(vendor)
        return (key, *self.network.secrets) if key else self.network.secrets

    def without_secrets(self, vendor: str, text: str) -> str:
        """A text of the transport without the vendor's key and others: it may quote a header."""
        for secret in self.secrets(vendor):
            text = secret.redact_text(text)
        return text

    def of_account(self, event: UploadEvent) -> UploadEvent:
        """The event with the account that a vendor's files belong to: a hash of key and hosts."""
        key, hosts = self.keys.get(event.key.vendor), self.hosts.get(event.key.vendor, ())
        text = "\n".join([event.key.vendor, key.reveal() if key else "", *sorted(hosts)])
        account = hashlib.sha256(text.encode()).hexdigest()[:16]
        return evolve(event, key=evolve(event.key, account=account))

    def pause(self, step: Sleep) -> float:
        """The seconds of a pause, with its jitter."""
        return max(0.0, step.seconds * (1 + step.jitter * self.randomness.random()))

    def close(self) -> None:
        """Close the blocking connections."""
        for transport in self._transports.values():
            transport.close()
        self._transports = {}
        if self._kept is not None:
            self._kept.close()

    async def aclose(self) -> None:
        """Close the awaiting connections, and those of downloads in threads."""
        self.close()
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
        keepalive_expiry=IDLE_SECONDS if use == "kept" else 5.0,
    )


def _proxy(proxy: Proxy, tls: ssl.SSLContext) -> httpx.Proxy:
    import httpx  # noqa: PLC0415

    if not proxy.is_socks:
        return httpx.Proxy(
            proxy.url,
            headers=proxy.headers,
            ssl_context=tls if proxy.url.startswith("https:") else None,
        )
    if find_spec("socksio") is None:
        raise MissingExtraError(
            'a SOCKS proxy needs the extra: pip install "polyreel[socks]". Nothing was sent'
        )
    auth = (_Hidden(proxy.name), _Hidden(proxy.password)) if proxy.name or proxy.password else None
    return httpx.Proxy(proxy.url, auth=auth)


class _Hidden(str):
    """A name or a password for httpcore, which writes them to its log as they are shown."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The bytes, which are not shown either."""
        return _HiddenBytes(str.encode(self, encoding, errors))

    def __repr__(self) -> str:
        return "'****'"


class _HiddenBytes(bytes):
    __slots__ = ()

    def __repr__(self) -> str:
        return "b'****'"


@cache
def _fast() -> type[FastConnections]:
    try:
        from .fast import FastConnections  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError(
            'fast connections need the extra: pip install "polyreel[fast]"'
        ) from None
    return FastConnections
