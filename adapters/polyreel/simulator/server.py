"""The simulator as a server on loopback: `/<vendor>/v1`-like mounts, one for each vendor, below one port."""

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
from .http import HOST, Handler, HttpRequest, Limits, listen

if TYPE_CHECKING:
    import socket

__all__ = [
    "HOST",
    "MAX_BODY_BYTES",
    "METHODS",
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
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def new_token() -> str:
    """A token for the control API that nobody can guess."""
    return secrets.token_urlsafe(24)


@frozen
class Options:
    """How a server answers."""

    vendors: tuple[str, ...] = ()
    """Only these answer; none named: all."""
    latency: tuple[float, float] = (0.0, 0.0)
    """The least and the most seconds by which every answer of a vendor is late."""
    token: str = field(default=Factory(new_token), repr=False)
    """What the control API wants to see before it changes anything."""
    any_host: bool = False
    """Whether webhooks may be sent to other machines."""


def mounts(vendors: Sequence[str] = ()) -> dict[str, str]:
    """The base paths of these vendors, or of all, below the server's address."""
    known = all_providers()
    return {
        vendor: f"/{vendor}{urlsplit(known[vendor].base_url).path}" for vendor in vendors or known
    }


def answering(
    simulator: Simulator, options: Options | None = None, stop: threading.Event | None = None
) -> Handler:
    """What answers the requests of a server: the index, the control API, and the vendors below it.

    Where answers are late, `stop` ends the waiting.
    """
    chosen = options or Options()
    addresses, over = mounts(chosen.vendors), stop or threading.Event()
    control = Control(simulator, addresses, chosen.token, chosen.any_host)

    def answer(request: HttpRequest) -> Answer:
        path, mark, query = request.target.partition("?")
        if path == PREFIX or path.startswith(f"{PREFIX}/"):
            return control.answer(request)
        methods = METHODS if path != "/" else METHODS[:2]
        if request.method not in methods:
            return http.plain(405, "there is no such method here", {"allow": ", ".join(methods)})
        if path == "/":
            return _front(simulator, addresses, request)
        vendor, _, rest = path.lstrip("/").partition("/")
        if vendor in all_providers() and vendor not in addresses:
            return http.plain(404, f"{vendor} does not answer here, only {', '.join(addresses)}")
        target, public = f"/{rest}{mark}{query}", f"{request.base}/{vendor}"
        given = simulator.handle(
            vendor, request.method, target, request.headers, request.content, public
        )
        _wait(chosen.latency, over)
        return given

    return answer


def _front(simulator: Simulator, addresses: dict[str, str], request: HttpRequest) -> Answer:
    """The index for programs, or a page for people."""
    if statuspage.wanted(request.headers.get("accept", "")):
        return statuspage.page(
            simulator, {vendor: request.base + path for vendor, path in addresses.items()}
        )
    index = {"simulator": "polyreel", "vendors": addresses, "billed": simulator.bill.count()}
    return Answer(
        200, {"content-type": "application/json", "vary": "accept"}, json.dumps(index).encode()
    )


def _wait(latency: tuple[float, float], over: threading.Event) -> None:
    """Be late: after what was asked has been done, so that who gives up early has been billed all the same."""
    seconds = random.uniform(*latency)
    if seconds > 0:
        over.wait(seconds)


def serve(
    bound: socket.socket,
    simulator: Simulator | None = None,
    speed: float = 1.0,
    options: Options | None = None,
) -> None:
    """Serve until SIGTERM, or until interrupted: that is a KeyboardInterrupt, after the answers under way."""
    stop = threading.Event()
    handler = answering(simulator or Simulator(clock=RunningClock(speed)), options, stop)
    try:
        ended = http.serve(bound, handler, Limits(body=MAX_BODY_BYTES))
    finally:
        stop.set()
    if ended == signal.SIGINT:
        raise KeyboardInterrupt


@contextmanager
def running(simulator: Simulator, port: int = 0, options: Options | None = None) -> Iterator[str]:
    """Serve in a thread as long as the block runs, which gets the server's address."""
    stop = threading.Event()
    with http.running(
        answering(simulator, options, stop), port, Limits(body=MAX_BODY_BYTES)
    ) as url:
        try:
            yield url
        finally:
            stop.set()
