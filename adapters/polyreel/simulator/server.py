"""The simulator as a server on loopback: `/<vendor>/v1`-like mounts, one for each vendor, below one port."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from .. import loopback
from ..flows import Answer
from ..loopback import HOST, Handler, Limits, Request, listen
from ..registry import all_providers
from .clock import RunningClock
from .engine import Simulator

if TYPE_CHECKING:
    import socket

__all__ = ["HOST", "MAX_BODY_BYTES", "METHODS", "answering", "listen", "mounts", "running", "serve"]

MAX_BODY_BYTES: Final = 300_000_000
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def mounts() -> dict[str, str]:
    """Every vendor's base path below the server's address."""
    return {vendor: f"/{vendor}{urlsplit(provider.base_url).path}" for vendor, provider in all_providers().items()}


def answering(simulator: Simulator) -> Handler:
    """What answers the requests of a server: the index, and the vendors below it."""
    addresses = mounts()

    def answer(request: Request) -> Answer:
        path, mark, query = request.target.partition("?")
        methods = METHODS if path != "/" else METHODS[:2]
        if request.method not in methods:
            return loopback.plain(405, "there is no such method here", {"allow": ", ".join(methods)})
        if path == "/":
            index = {"simulator": "polyreel", "vendors": addresses, "billed": simulator.bill.count()}
            return Answer(200, {"content-type": "application/json"}, json.dumps(index).encode())
        vendor, _, rest = path.lstrip("/").partition("/")
        target, public = f"/{rest}{mark}{query}", f"{request.base}/{vendor}"
        return simulator.handle(vendor, request.method, target, request.headers, request.content, public)

    return answer


def serve(bound: socket.socket, simulator: Simulator | None = None, speed: float = 1.0) -> None:
    """Serve until SIGTERM, or until interrupted: that is a KeyboardInterrupt, after the answers under way."""
    handler = answering(simulator or Simulator(clock=RunningClock(speed)))
    if loopback.serve(bound, handler, Limits(body=MAX_BODY_BYTES)) == signal.SIGINT:
        raise KeyboardInterrupt


@contextmanager
def running(simulator: Simulator, port: int = 0) -> Iterator[str]:
    """Serve in a thread as long as the block runs, which gets the server's address."""
    with loopback.running(answering(simulator), port, Limits(body=MAX_BODY_BYTES)) as url:
        yield url
