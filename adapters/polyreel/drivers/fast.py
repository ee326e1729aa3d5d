"""Faster connections for awaited calls that cost nothing: aiohttp under httpx, where `polyreel[fast]` is installed.

Paid calls never take them: aiohttp does not tell whether a byte of a request has left, and that proof decides what a
failed submit may have cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx


def fast_connections(most: int) -> httpx.AsyncBaseTransport | None:
    """At most so many connections; None where the extra is not installed."""
    try:
        import aiohttp  # noqa: PLC0415
        import httpx_aiohttp  # noqa: PLC0415
    except ImportError:
        return None
    import httpx  # noqa: PLC0415

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=most, ssl=httpx.create_ssl_context(trust_env=False))
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)

    transport: httpx.AsyncBaseTransport = httpx_aiohttp.AiohttpTransport(client=session)
    return transport
