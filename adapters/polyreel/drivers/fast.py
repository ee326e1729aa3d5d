"""Faster connections for awaited calls that cost nothing: aiohttp instead of httpx.

They need `polyreel[fast]`. Paid calls never take them: aiohttp does not say whether a byte of a
request has left, and that proof decides what a failed submit may have cost. The work of httpx on
URLs, requests and responses is a third of the cost of a status query, so aiohttp replaces all of
it, and is not merely a transport below it.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import lru_cache
from math import inf
from typing import Any, Protocol

import aiohttp
import httpx
import yarl

from ..errors import TransportError
from ..flows import Reply, Send
from ..network import Network
from .urls import beginning, lowered
from .watch import CONNECT_SECONDS, Watch


@lru_cache(maxsize=64)
def _timeout(deadline: float) -> aiohttp.ClientTimeout:
    """The timeouts of a call with a deadline in seconds. aiohttp would round up those of 5 or more.

    It has a timer for the whole call anyway: asyncio's own would cost as much once more.
    """
    return aiohttp.ClientTimeout(deadline, sock_connect=CONNECT_SECONDS, ceil_threshold=inf)


class FastCall(Protocol):
    """What these connections need of a call: see `polyreel.drivers.calls.HttpCall`."""

    step: Send
    watch: Watch

    def headers(self, place: str) -> dict[str, str]:
        """The headers for a call to an origin."""

    def begin(self, headers: Mapping[str, str]) -> None:
        """Check the headers of the answer."""

    def write(self, chunk: bytes) -> None:
        """Add a piece of the body."""

    def finish(self, status: int, headers: Mapping[str, str]) -> Reply:
        """Make the result of the call."""

    def failure(self, error: Exception) -> TransportError:
        """Make the error of the call from an exception of the transport."""


class FastConnections:
    """A limited number of connections, of one event loop."""

    def __init__(self, most: int, tls: ssl.SSLContext, network: Network) -> None:
        self._network = network
        # No cookies, and no settings of the environment but those that the network has from it.
        connector = aiohttp.TCPConnector(limit=most, ssl=tls)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
        )

    async def make(self, call: FastCall) -> Reply:
        """Make one call; TransportError where no whole answer arrives."""
        step = call.step
        call.watch.may_have_left = True  # aiohttp does not say
        url = yarl.URL(step.url, encoded=True)
        if step.params:
            url = yarl.URL(str(httpx.URL(step.url, params=step.params)), encoded=True)
        headers = call.headers(beginning(step.url))
        by_proxy: dict[str, Any] = {}
        if (proxy := self._network.proxy_for(step.url)) is not None:
            by_proxy = {"proxy": proxy.url, "proxy_headers": proxy.headers}
            if url.scheme == "http":  # the proxy reads the request itself
                headers |= proxy.headers
        request = self._session.request(
            step.method,
            url,
            data=step.content,
            headers=headers,
            allow_redirects=False,
            timeout=_timeout(step.deadline),
            **by_proxy,
        )
        try:
            async with request as response:
                call.begin(response.headers)
                content = response.content
                while not content.at_eof():
                    call.write(await content.readany())
                return call.finish(response.status, lowered(response.headers))
        except aiohttp.ClientHttpProxyError as error:
            raise call.failure(httpx.ProxyError(str(error.status))) from None
        except aiohttp.ClientConnectorError as error:
            raise call.failure(httpx.ConnectError(str(error))) from None
        except aiohttp.ClientError as error:
            raise call.failure(error) from None

    async def aclose(self) -> None:
        """Close them."""
        await self._session.close()
