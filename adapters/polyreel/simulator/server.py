"""The simulator as a server on loopback: `/<vendor>/v1`-like mounts, one for each vendor, below one port."""

from __future__ import annotations

import socket
import threading
from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ..errors import MissingExtraError
from ..registry import all_providers
from .clock import RunningClock
from .engine import Simulator

if TYPE_CHECKING:
    import uvicorn
    from starlette.requests import Request
    from starlette.responses import Response

HOST: Final = "127.0.0.1"
NAMES: Final = ("127.0.0.1", "localhost")
"""The hosts that requests may name: a web page must not reach the simulator by a name that resolves to loopback."""
MAX_BODY_BYTES: Final = 300_000_000
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_NEEDED: Final = "the server needs the simulator extra: pip install 'polyreel[simulator]'"


def mounts() -> dict[str, str]:
    """Every vendor's base path below the server's address."""
    return {vendor: f"/{vendor}{urlsplit(provider.base_url).path}" for vendor, provider in all_providers().items()}


def application(simulator: Simulator) -> Any:
    """The ASGI application around an engine. It answers only requests that name a loopback host."""
    try:
        from starlette.applications import Starlette  # noqa: PLC0415
        from starlette.middleware.trustedhost import TrustedHostMiddleware  # noqa: PLC0415
        from starlette.responses import JSONResponse  # noqa: PLC0415
        from starlette.routing import Route  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError(_NEEDED) from None

    async def index(request: Request) -> Response:
        return JSONResponse({"simulator": "polyreel", "vendors": mounts(), "billed": simulator.bill.count()})

    async def vendor(request: Request) -> Response:
        return await _answer(simulator, request)

    app = Starlette(routes=[Route("/", index), Route("/{target:path}", vendor, methods=METHODS)])
    return TrustedHostMiddleware(app, allowed_hosts=NAMES, www_redirect=False)


async def _answer(simulator: Simulator, request: Request) -> Response:
    from starlette.concurrency import run_in_threadpool  # noqa: PLC0415
    from starlette.requests import ClientDisconnect  # noqa: PLC0415
    from starlette.responses import JSONResponse, Response  # noqa: PLC0415

    try:
        content = await _content(request)
    except (ClientDisconnect, CancelledError):  # the guest has gone, or the server closes before it has finished
        return Response(status_code=400)
    if content is None:
        return JSONResponse({"message": "the body is too large"}, status_code=413, headers={"connection": "close"})
    raw = request.scope.get("raw_path", b"").decode("latin-1")
    name, _, path = raw.lstrip("/").partition("/")
    target = f"/{path}?{request.url.query}" if request.url.query else f"/{path}"
    public = f"{request.url.scheme}://{request.url.netloc}/{name}"
    # Rendering takes a moment: not in the loop.
    arguments = (name, request.method, target, dict(request.headers), content, public)
    reply = await run_in_threadpool(simulator.handle, *arguments)
    return Response(reply.content, status_code=reply.status, headers=dict(reply.headers))


async def _content(request: Request) -> bytes | None:
    """The body, or None where it is too large."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            return None
    return bytes(content)


def listen(port: int) -> socket.socket:
    """A listening loopback socket; port 0 takes a free one."""
    # Named as TCP, or asyncio would not switch off Nagle's algorithm, which makes every answer 40 ms late.
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((HOST, port))
        server.listen(128)  # clients may come before the loop runs
    except OSError:
        server.close()
        raise
    return server


def _server(simulator: Simulator) -> uvicorn.Server:
    try:
        import uvicorn  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError(_NEEDED) from None
    config = uvicorn.Config(
        application(simulator),
        log_config=None,  # logging belongs to the program
        log_level="warning",
        access_log=False,
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


def serve(bound: socket.socket, simulator: Simulator | None = None, speed: float = 1.0) -> None:
    """Serve until interrupted."""
    _server(simulator or Simulator(clock=RunningClock(speed))).run(sockets=[bound])


@contextmanager
def running(simulator: Simulator, port: int = 0) -> Iterator[str]:
    """Serve in a thread as long as the block runs, which gets the server's address."""
    server, bound = _server(simulator), listen(port)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, name="polyreel-simulator")
    thread.start()
    try:
        yield f"http://{HOST}:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        bound.close()
