"""The simulator as a server on loopback: `/skills-video/api/v1`-like mounts, one for each vendor, below one port."""

from __future__ import annotations

import socket
from typing import Final

from ..errors import MissingExtraError
from ..registry import all_providers
from .clock import RunningClock
from .engine import Simulator

HOST: Final = "127.0.0.1"
MAX_BODY_BYTES: Final = 300_000_000


def mounts() -> dict[str, str]:
    """Every vendor's base path below the server's address."""
    from urllib.parse import urlsplit  # noqa: PLC0415

    return {vendor: f"/{vendor}{urlsplit(provider.base_url).path}" for vendor, provider in all_providers().items()}


def application(simulator: Simulator) -> object:
    """The ASGI application around an engine. It answers only requests that name a loopback host."""
    try:
        from starlette.applications import Starlette  # noqa: PLC0415
        from starlette.concurrency import run_in_threadpool  # noqa: PLC0415
        from starlette.requests import Request  # noqa: PLC0415
        from starlette.responses import JSONResponse, Response  # noqa: PLC0415
        from starlette.routing import Route  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError("the server needs the simulator extra: pip install 'polyreel[simulator]'") from None

    async def index(request: Request) -> Response:
        return JSONResponse({"simulator": "polyreel", "vendors": mounts(), "billed": simulator.bill.count()})

    async def vendor(request: Request) -> Response:
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > MAX_BODY_BYTES:
                return JSONResponse({"message": "the body is too large"}, status_code=413)
        name, path = request.path_params["vendor"], "/" + request.path_params["path"]
        target = f"{path}?{request.url.query}" if request.url.query else path
        public = f"{request.url.scheme}://{request.url.netloc}/{name}"
        # Rendering takes a moment: not in the loop.
        arguments = (name, request.method, target, dict(request.headers), bytes(content), public)
        reply = await run_in_threadpool(simulator.handle, *arguments)
        return Response(reply.content, status_code=reply.status, headers=dict(reply.headers))

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app = Starlette(routes=[Route("/", index), Route("/{vendor}/{path:path}", vendor, methods=methods)])
    return _loopback_only(app)


def _loopback_only(app: object) -> object:
    """A web page elsewhere must not reach the simulator through a name that resolves to loopback."""
    from starlette.middleware.trustedhost import TrustedHostMiddleware  # noqa: PLC0415

    return TrustedHostMiddleware(app, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])  # type: ignore[arg-type]


def listen(port: int) -> socket.socket:
    """A bound loopback socket; port 0 takes a free one."""
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((HOST, port))
    except OSError:
        server.close()
        raise
    return server


def serve(bound: socket.socket, simulator: Simulator | None = None, speed: float = 1.0) -> None:
    """Serve until interrupted."""
    try:
        import uvicorn  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError("the server needs the simulator extra: pip install 'polyreel[simulator]'") from None
    app = application(simulator or Simulator(clock=RunningClock(speed)))
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, timeout_keep_alive=5)  # type: ignore[arg-type]
    uvicorn.Server(config).run(sockets=[bound])
