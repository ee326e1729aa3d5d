"""Sends the calls that a vendor makes about a job to a real receiver on this machine."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import SplitResult, urlsplit

from attrs import evolve, frozen

from ..hosts import address_of
from ..places import JsonObject
from ..providers.base.provider import Provider
from ..providers.base.registry import get_provider
from ..serving.signing import identity_header
from . import signing
from .engine import HOST, Simulator
from .webhooks import Delivery, deliveries

SECONDS: Final = 10.0
"""How long one call may take, from the connection to the head of the answer."""
MAX_URL_LENGTH: Final = 2048


@frozen
class CallbackTarget:
    """Who is called, and in which way."""

    url: str
    secret: str | None = None
    duplicate: bool = False
    """Whether every call is made twice, with the same id."""
    shuffle: bool = False
    """Whether the newest call is made first."""
    delay: float = 0.0
    """Seconds before each call."""


def checked(url: str, *, any_host: bool) -> str:
    """The URL, if it may be called; else ValueError.

    Unless `any_host` is true, it must lead to this machine.
    """
    if len(url) > MAX_URL_LENGTH or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"must be a URL of at most {MAX_URL_LENGTH} printable ASCII characters")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username is not None or parts.password is not None:
        raise ValueError("must be a URL such as http://127.0.0.1:8766/hook")
    if not any_host and not _on_loopback(parts.hostname or ""):
        raise ValueError(
            "must lead to 127.0.0.1, localhost or [::1], unless --allow-webhook-hosts is given"
        )
    return url


def _on_loopback(host: str) -> bool:
    address = address_of(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def call(
    simulator: Simulator, vendor: str, task: str, target: CallbackTarget, public: str
) -> list[JsonObject]:
    """Make all calls about a job that are due by now, one after the other.

    `public` is the URL below which clients find the output files. The result has an object for each
    call: its `id` and the answer's HTTP `status`, or an `error` where there is no answer. Raises
    UnknownNameError for an unknown job, ValueError where a secret is missing or cannot be used.
    """
    due = deliveries(simulator, vendor, task, target.secret, simulator.clock.now())
    calls = [_with_public_links(one, f"https://{HOST}/{vendor}", public) for one in due]
    if target.shuffle:
        calls.reverse()
    if target.duplicate:
        calls = [repeated for one in calls for repeated in (one, one)]
    return [_made(one, target, get_provider(vendor)) for one in calls]


def _with_public_links(delivery: Delivery, inner: str, public: str) -> Delivery:
    """The delivery with links that lead to this server."""
    return evolve(delivery, body=delivery.body.replace(inner.encode(), public.encode()))


def _made(delivery: Delivery, target: CallbackTarget, provider: Provider) -> JsonObject:
    """Make one call; the result says what came of it.

    It is signed at the machine's time, by which receivers go: simulated time is ahead.
    """
    time.sleep(target.delay)
    identity = delivery.headers.get(identity_header(provider))
    headers = dict(delivery.headers)
    if identity is not None:
        headers |= signing.sign(provider, identity, delivery.body, target.secret, time.time())
    try:
        status = _post(urlsplit(target.url), headers, delivery.body)
    except TimeoutError:
        error = f"no answer within {SECONDS:.0f} seconds"
    except (OSError, HTTPException, ValueError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else None
        error = f"no answer: {reason or type(failure).__name__}"
    else:
        return {"id": identity, "status": status}
    return {"id": identity, "status": None, "error": error}


def _post(parts: SplitResult, headers: dict[str, str], body: bytes) -> int:
    """Post, and return the HTTP status of the answer. Redirects are not followed."""
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=SECONDS)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.connect()
        with _deadline(connection.sock):
            connection.request("POST", target, body, {**headers, "connection": "close"})
            return connection.getresponse().status
    finally:
        connection.close()


@contextmanager
def _deadline(connection: socket.socket) -> Iterator[None]:
    """End a connection after `SECONDS`: a socket's own timeout starts again with every byte.

    Raises TimeoutError then.
    """
    is_over = threading.Event()

    def end() -> None:
        is_over.set()
        with suppress(OSError):  # it has ended by itself
            connection.shutdown(socket.SHUT_RDWR)  # unlike `close`, it wakes up a reader

    timer = threading.Timer(SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, HTTPException):
        if is_over.is_set():
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()
