"""Makes the calls that a vendor makes about a job: real ones, to a receiver on this machine."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from attrs import evolve, frozen

from .engine import HOST, Simulator
from .webhooks import SIGNATURE, Delivery, deliveries, sign

SECONDS: Final = 10.0
"""What a receiver is given for one call, from the connection to the head of its answer."""
MAX_URL: Final = 2048


@frozen
class CallbackTarget:
    """Who is called, and how to make trouble for it."""

    url: str
    secret: str | None = None
    duplicate: bool = False
    """Every call twice, with the same identity."""
    shuffle: bool = False
    """The newest first."""
    delay: float = 0.0
    """Seconds before each call."""


def checked(url: str, *, any_host: bool) -> str:
    """A URL that may be called; ValueError where it is none, or leads away from this machine without leave."""
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"must be a URL of at most {MAX_URL} printable ASCII characters")
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
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def call(
    simulator: Simulator, vendor: str, task: str, receiver: CallbackTarget, public: str
) -> list[dict[str, Any]]:
    """Make all calls about a job that are due by now, one after the other; the answers' HTTP statuses.

    `public` is the URL below which the output files are found. A call without an answer has an `error` instead of a
    status. Raises UnknownNameError where there is no such job, ValueError where the secret is missing or not usable.
    """
    due = deliveries(simulator, vendor, task, receiver.secret, simulator.clock.now())
    made = [_outside(one, f"https://{HOST}/{vendor}", public) for one in due]
    if receiver.shuffle:
        made.reverse()
    if receiver.duplicate:
        made = [again for one in made for again in (one, one)]
    return [_result(one, receiver) for one in made]


def _outside(delivery: Delivery, inner: str, public: str) -> Delivery:
    """The delivery as somebody outside can use it: its links lead to this server."""
    return evolve(delivery, body=delivery.body.replace(inner.encode(), public.encode()))


def _signed(delivery: Delivery, secret: str | None) -> dict[str, str]:
    """The headers, signed when the call is made: simulated time runs ahead, and receivers go by the machine's."""
    headers = dict(delivery.headers)
    if SIGNATURE in headers and secret is not None:
        headers |= sign(headers["webhook-id"], delivery.body, secret, time.time())
    return headers


def _result(delivery: Delivery, receiver: CallbackTarget) -> dict[str, Any]:
    """What came of one call."""
    time.sleep(receiver.delay)
    facts = {"id": delivery.headers.get("webhook-id")}
    try:
        return {
            **facts,
            "status": _post(
                urlsplit(receiver.url), _signed(delivery, receiver.secret), delivery.body
            ),
        }
    except TimeoutError:
        error = f"no answer within {SECONDS:.0f} seconds"
    except (OSError, HTTPException, ValueError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else None
        error = f"no answer: {reason or type(failure).__name__}"
    return {**facts, "status": None, "error": error}


def _post(parts: SplitResult, headers: dict[str, str], body: bytes) -> int:
    """Post, and the HTTP status of the answer, which is not followed where it leads elsewhere."""
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=SECONDS)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.connect()
        with _ended(connection.sock):
            connection.request("POST", target, body, {**headers, "connection": "close"})
            return connection.getresponse().status
    finally:
        connection.close()


@contextmanager
def _ended(line: socket.socket) -> Iterator[None]:
    """End a connection when its time is over: a timeout alone is for each byte. TimeoutError then."""
    over = threading.Event()

    def end() -> None:
        over.set()
        with suppress(OSError):  # it has ended by itself
            line.shutdown(socket.SHUT_RDWR)  # unlike `close` it wakes up who reads

    timer = threading.Timer(SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, HTTPException):
        if over.is_set():
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()
