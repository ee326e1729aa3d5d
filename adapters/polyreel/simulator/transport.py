"""The simulator as an httpx transport: every vendor at its own address, without a socket."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from ..registry import all_providers
from .engine import HOST, Simulator


class SimulatedTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Hands requests for vendors' hosts to the engine, and refuses to connect to anything else.

    `base_urls` are other addresses of vendors, with a path or without: they stand for the documented ones.
    """

    def __init__(self, simulator: Simulator, base_urls: Mapping[str, str] | None = None) -> None:
        self.simulator = simulator
        self._bases: list[tuple[str, str, str, str]] = []
        """Origin, path, vendor, and the documented path; other addresses first, longer paths first."""
        for vendor, provider in all_providers().items():
            for server in provider.servers:
                self._add(vendor, server, server)
        for vendor, url in (base_urls or {}).items():
            self._add(vendor, url, all_providers()[vendor].base_url)
        self._bases.sort(key=lambda base: len(base[1]))
        self._bases.reverse()

    def _add(self, vendor: str, url: str, documented: str) -> None:
        own, known = httpx.URL(url), httpx.URL(documented)
        self._bases.append((_origin(own), own.path.rstrip("/"), vendor, known.path.rstrip("/")))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one blocking request."""
        return self._answer(request, request.read())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one awaited request."""
        return self._answer(request, await request.aread())

    def _answer(self, request: httpx.Request, content: bytes) -> httpx.Response:
        vendor, target = self._target(request)
        reply = self.simulator.handle(vendor, request.method, target, dict(request.headers), content)
        return httpx.Response(reply.status, headers=dict(reply.headers), content=reply.content, request=request)

    def _target(self, request: httpx.Request) -> tuple[str, str]:
        """The vendor of a URL, and path and query below the vendor's own host."""
        raw = request.url.raw_path.decode("ascii")
        if request.url.host == HOST:
            vendor, _, path = raw.lstrip("/").partition("/")
            return vendor, f"/{path}"
        origin = _origin(request.url)
        for own, prefix, vendor, documented in self._bases:
            if own == origin and (raw == prefix or raw.startswith((f"{prefix}/", f"{prefix}?"))):
                return vendor, documented + raw.removeprefix(prefix)
        for own, _, vendor, _ in self._bases:
            if own == origin:
                return vendor, f"/{raw}"  # no path of the vendor's
        raise httpx.ConnectError(f"the simulator knows no vendor at {request.url.host}", request=request)


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"
