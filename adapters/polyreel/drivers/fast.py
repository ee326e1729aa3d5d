"""Faster connections for awaited calls that cost nothing: aiohttp under httpx. Needs `polyreel[fast]`.

Paid calls never take them: aiohttp does not tell whether a byte of a request has left, and that proof decides what a
failed submit may have cost.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import httpx
import httpx_aiohttp


class FastTransport(httpx_aiohttp.AiohttpTransport):
    """At most so many connections. Raises what httpx's own transport would: the package (0.2, 2026) takes every lost
    connection for a timeout, and lets what is not HTTP through as errors of aiohttp.
    """

    def __init__(self, most: int) -> None:
        context = httpx.create_ssl_context(trust_env=False)

        def session() -> aiohttp.ClientSession:
            connector = aiohttp.TCPConnector(limit=most, ssl=context)
            return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)

        super().__init__(verify=context, trust_env=False, client=session)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make one call."""
        with _in_words_of_httpx():
            response = await super().handle_async_request(request)
        response.stream = _Body(response.stream)
        return response


class _Body(httpx.AsyncByteStream):
    def __init__(self, body: Any) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _in_words_of_httpx():
            async for chunk in self._body:
                yield chunk

    async def aclose(self) -> None:
        await self._body.aclose()


@contextmanager
def _in_words_of_httpx() -> Iterator[None]:
    try:
        yield
    except (httpx.TransportError, aiohttp.ClientError) as error:
        cause = error if isinstance(error, aiohttp.ClientError) else error.__cause__
        if isinstance(cause, aiohttp.ClientConnectorError):
            raise httpx.ConnectError(str(cause)) from None
        if isinstance(cause, aiohttp.ClientError) and not isinstance(cause, aiohttp.ServerTimeoutError):
            raise httpx.RemoteProtocolError(type(cause).__name__) from None
        raise
