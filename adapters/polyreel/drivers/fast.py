"""Faster connections for awaited calls that cost nothing: aiohttp in the place of httpx. Needs `polyreel[fast]`.

Paid calls never take them: aiohttp does not tell whether a byte of a request has left, and that proof decides what a
failed submit may have cost. What httpx makes of a URL, a request and a response is a third of a status query's cost,
so it is aiohttp itself, not a transport below httpx.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import aiohttp
import httpx
import yarl

from ..flows import Reply
from .urls import beginning
from .watch import CONNECT_SECONDS

if TYPE_CHECKING:
    from .calls import HttpCall

PATIENCE: Final = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
"""Only connecting has a time of its own: the driver holds the call to its deadline."""


class FastConnections:
    """At most so many connections, of one event loop."""

    def __init__(self, most: int) -> None:
        # The same trust in certificates as elsewhere. No cookies, no proxies of the environment.
        connector = aiohttp.TCPConnector(limit=most, ssl=httpx.create_ssl_context(trust_env=False))
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
        )

    async def make(self, call: HttpCall) -> Reply:
        """Make one call; TransportError where no whole answer arrives."""
        step = call.step
        call.watch.may_have_left = True  # nobody tells
        url = yarl.URL(step.url, encoded=True)
        if step.params:
            url = url.update_query(step.params)
        headers = call.wire.headers(step, beginning(step.url))
        body: Any = {
            "data": step.content,
            "headers": headers,
            "allow_redirects": False,
            "timeout": PATIENCE,
        }
        try:
            async with self._session.request(step.method, url, **body) as response:
                call.begin(response.headers)
                while chunk := await response.content.readany():
                    call.write(chunk)
                return call.finish(response.status, response.headers)
        except aiohttp.ClientConnectorError as error:
            raise call.failure(httpx.ConnectError(str(error))) from None
        except aiohttp.ClientError as error:
            raise call.failure(error) from None

    async def aclose(self) -> None:
        """Close them."""
        await self._session.close()
