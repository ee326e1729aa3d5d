"""The gateway as an ASGI application, with Starlette: it reads requests, and writes answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from ..errors import MissingExtraError
from ..flows import Reply
from ..providers.base.registry import all_providers
from ..serving.answers import plain
from ..simulator.http import LOOPBACK, Access
from ..simulator.server import mounts
from .faces import FaceRequest, Faces
from .jobs import FileAnswer

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

LOG: Final = logging.getLogger("polyreel")
BODY_SECONDS: Final = 60.0
"""How long a body may take to arrive."""
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")


def check_installed() -> None:
    """Raise MissingExtraError where Starlette or uvicorn is not installed."""
    if any(find_spec(name) is None for name in ("starlette", "uvicorn")):
        text = "the gateway needs Starlette and uvicorn: pip install 'polyreel[gateway]'"
        raise MissingExtraError(text)


@frozen
class Edge:
    """How a gateway is reached."""

    access: Access = LOOPBACK
    """By which names clients may call, and from which pages."""
    public_url: str | None = None
    """The URL by which clients reach it; else the one that each request names."""
    vendors: tuple[str, ...] = field(factory=lambda: tuple(all_providers()))
    """The vendors whose APIs are spoken."""


class GatewayApplication:
    """What answers the requests of a gateway."""

    def __init__(self, faces: Faces, edge: Edge) -> None:
        self.faces, self.edge = faces, edge

    def starlette(self) -> Starlette:
        """The application; MissingExtraError is raised where Starlette is not installed."""
        check_installed()
        from starlette.applications import Starlette  # noqa: PLC0415
        from starlette.routing import Route  # noqa: PLC0415

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            try:
                yield
            finally:
                await self.faces.jobs.client.close()

        routes = [Route("/", self._index), Route("/{rest:path}", self._face, methods=METHODS)]
        return Starlette(routes=routes, lifespan=lifespan)

    async def _index(self, request: Request) -> Response:
        """What is served here, as JSON."""
        if (refused := self._unwelcome(request)) is not None:
            return refused
        base = self._base(request)
        addresses = {name: base + path for name, path in mounts(self.edge.vendors).items()}
        behind = [one.id for one in self.faces.creator.behind.vendors]
        live = not self.faces.jobs.client.simulated
        return _response(
            plain(200, {"gateway": "polyreel", "live": live, "faces": addresses, "to": behind})
        )

    async def _face(self, request: Request) -> Response:
        if (refused := self._unwelcome(request)) is not None:
            return refused
        raw = request.scope.get("raw_path") or request.scope["path"].encode()
        face, _, rest = raw.decode("ascii", "replace").lstrip("/").partition("/")
        if face not in self.edge.vendors:
            names = ", ".join(self.edge.vendors)
            return _response(plain(404, {"message": f"there is no such face; there are {names}"}))
        query = request.scope.get("query_string", b"").decode("ascii", "replace")
        wanted = FaceRequest(
            face=face,
            method=request.method,
            target=f"/{rest}" + (f"?{query}" if query else ""),
            headers={name.lower(): value for name, value in request.headers.items()},
            content=b"",
            public=f"{self._base(request)}/{face}",
        )
        limit = self.faces.body_limit(wanted)
        try:
            content = await asyncio.wait_for(_content(request, limit), BODY_SECONDS)
        except TimeoutError:
            return _response(plain(408, {"message": "the body did not arrive in time"}))
        if content is None:
            return _response(self.faces.too_large(wanted))
        return _response(await self.faces.answer(wanted.with_content(content)))

    def _base(self, request: Request) -> str:
        return self.edge.public_url or f"{request.url.scheme}://{request.headers['host']}"

    def _unwelcome(self, request: Request) -> Response | None:
        """The answer to a request by another name, or from a page of a stranger; else None."""
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if not self.edge.access.knows_host(host):
            text = "the Host header must name this gateway; --allow-host adds a name"
            return _response(plain(400, {"message": text}))
        if origin is not None and not self.edge.access.knows_origin(origin, host):
            return _response(plain(403, {"message": "web pages from elsewhere get nothing here"}))
        return None


async def _content(request: Request, limit: int) -> bytes | None:
    """The body of a request; None where it is longer than the limit."""
    if not request.headers.get("content-length", "0").isdecimal():
        return None
    if int(request.headers.get("content-length", "0")) > limit:
        return None
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > limit:
            return None
    return bytes(found)


def _response(answer: Reply | FileAnswer) -> Response:
    from starlette.responses import FileResponse, Response  # noqa: PLC0415

    if isinstance(answer, FileAnswer):
        return FileResponse(answer.path, media_type=answer.content_type)
    return Response(answer.content, answer.status, dict(answer.headers))
