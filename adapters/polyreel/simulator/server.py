"""The simulator as a server on loopback: each vendor below a path such as `/<vendor>/v1`."""

from __future__ import annotations

import json
import random
import secrets
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from attrs import Factory, field, frozen

from ..flows import Answer
from ..providers.base.registry import all_providers
from . import http, statuspage
from .clock import RunningClock
from .control import PREFIX, Control
from .engine import Simulator
from .http import HOST, LOOPBACK, Access, Handler, HttpRequest, Limits, listen

if TYPE_CHECKING:
    import socket

__all__ = [
    "HOST",
    "MAX_BODY_BYTES",
    "PREFIX",
    "Options",
    "answering",
    "listen",
    "mounts",
    "new_token",
    "running",
    "serve",
]

MAX_BODY_BYTES: Final = 300_000_000
INDEX_METHODS: Final = ("GET", "HEAD")


def new_token() -> str:
    """A random token for the control API."""
    return secrets.token_urlsafe(24)


@frozen
class Options:
    """How a server answers."""

    vendors: tuple[str, ...] = ()
    """The vendors that answer; empty for all."""
    latency: tuple[float, float] = (0.0, 0.0)
    """The least and the most seconds by which every vendor's answer is delayed."""
    token: str = field(default=Factory(new_token), repr=False)
    """The control API changes nothing without it."""
    any_host: bool = False
    """Whether webhooks may be sent to other machines."""
    access: Access = LOOPBACK
    """Who may ask."""


def mounts(vendors: Sequence[str] = ()) -> dict[str, str]:
    """The base paths of these vendors, or of all, below the server's URL."""
    known = all_providers()
    return {
        vendor: f"/{vendor}{urlsplit(known[vendor].base_url).path}" for vendor in vendors or known
    }


def answering(
    simulator: Simulator, options: Options | None = None, stop: threading.Event | None = None
) -> Handler:
    """The handler of a server: its index, the control API and the vendors.

    `stop` ends the delay of answers.
    """
    chosen = options or Options()
    addresses, stopped = mounts(chosen.vendors), stop or threading.Event()
    control = Control(simulator, addresses, chosen.token, chosen.any_host)

    def answer(request: HttpRequest) -> Answer:
        path, mark, query = request.target.partition("?")
        if path == PREFIX or path.startswith(f"{PREFIX}/"):
            return control.answer(request)
        if path == "/" and request.method not in INDEX_METHODS:
            allowed = {"allow": ", ".join(INDEX_METHODS)}
            return http.plain(405, "there is no such method here", allowed)
        if path == "/":
            return _index(simulator, addresses, request)
        vendor, _, rest = path.lstrip("/").partition("/")
        if vendor in all_providers() and vendor not in addresses:
            return http.plain(404, f"{vendor} does not answer here, only {', '.join(addresses)}")
        target, public = f"/{rest}{mark}{query}", f"{request.base}/{vendor}"
        reply = simulator.handle(
            vendor, request.method, target, request.headers, request.content, public
        )
        # The delay comes last, so that a client that gives up early has been billed all the same.
        stopped.wait(random.uniform(*chosen.latency))
        return reply

    return answer


def _index(simulator: Simulator, addresses: dict[str, str], request: HttpRequest) -> Answer:
    """The index: JSON for programs, a page for browsers."""
    if statuspage.wanted(request.headers.get("accept", "")):
        urls = {vendor: request.base + path for vendor, path in addresses.items()}
        return statuspage.page(simulator, urls)
    index = {"simulator": "polyreel", "vendors": addresses, "billed": simulator.bill.count()}
    headers = {"content-type": "application/json", "vary": "accept"}
    return Answer(200, headers, json.dumps(index).encode())


def serve(
    bound: socket.socket,
    simulator: Simulator | None = None,
    speed: float = 1.0,
    options: Options | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; answers under way are finished.

    `speed` is that of the clock, where no simulator is given. Raises KeyboardInterrupt on SIGINT.
    """
    stop = threading.Event()
    handler = answering(simulator or Simulator(clock=RunningClock(speed)), options, stop)
    try:
        access = options.access if options else LOOPBACK
        ended = http.serve(bound, handler, Limits(body=MAX_BODY_BYTES), access)
    finally:
        stop.set()
    if ended == signal.SIGINT:
        raise KeyboardInterrupt


@contextmanager
def running(simulator: Simulator, port: int = 0, options: Options | None = None) -> Iterator[str]:
    """Serve in a thread while the block runs. The block gets the server's URL."""
    stop = threading.Event()
    handler = answering(simulator, options, stop)
    access = options.access if options else LOOPBACK
    with http.running(handler, port, Limits(body=MAX_BODY_BYTES), access) as url:
        try:
            yield url
        finally:
            stop.set()
