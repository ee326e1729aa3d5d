"""The simulator as an httpx transport: every vendor at its own address, without a socket."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from ..flows import Reply
from ..registry import all_providers
from .engine import HOST, Simulator


class SimulatedTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Hands requests for vendors' hosts to the engine, and refuses to connect to anything else."""

    def __init__(self, simulator: Simulator, base_urls: Mapping[str, str] | None = None) -> None:
        self.simulator = simulator
        self._origins: dict[str, str] = {}
        self._prefixes: dict[str, str] = {}
        for vendor, provider in all_providers().items():
            for server in (*provider.servers, (base_urls or {}).get(vendor, provider.base_url)):
                self._origins[_origin(httpx.URL(server))] = vendor

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one blocking request."""
        return self._answer(request, request.read())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one awaited request."""
        return self._answer(request, await request.aread())

    def _answer(self, request: httpx.Request, content: bytes) -> httpx.Response:
        path, query = request.url.path, request.url.query.decode()
        vendor = self._origins.get(_origin(request.url))
        if request.url.host == HOST:
            vendor, _, path = path.lstrip("/").partition("/")
            path = "/" + path
        if vendor is None:
            raise httpx.ConnectError(f"the simulator knows no vendor at {request.url.host}", request=request)
        target = f"{path}?{query}" if query else path
        reply = self.simulator.handle(vendor, request.method, target, dict(request.headers), content)
        return _response(reply, request)


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"


def _response(reply: Reply, request: httpx.Request) -> httpx.Response:
    return httpx.Response(reply.status, headers=dict(reply.headers), content=reply.content, request=request)
