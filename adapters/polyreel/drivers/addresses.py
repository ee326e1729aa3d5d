"""Where files may come from: a vendor's links must not lead into the private network of the user.

A host name is looked up once. All of its addresses must be public, and the connection is made to an
address that was checked: a second look-up, for connecting, could give another address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from ..hosts import is_public, may_be_public

Resolver = Callable[[str, int], Sequence[str]]
"""A function that finds the addresses of a host and port, as text.

It may block, and raise OSError or ValueError.
"""
PORTS: Final = (80, 443)
FIRST_OTHER_PORT: Final = 1024
"""Lower ports are for mail, shells and the like, which must not be called by accident."""


class Refused(ValueError):  # noqa: N818 - it is an answer, not an error
    """A link is not followed; the text says why."""


def look_up(host: str, port: int) -> list[str]:
    """Find the addresses of a host with the system's resolver, in its order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(place[0]) for *_, place in found]


def check_form(scheme: str, host: str, userinfo: bytes) -> None:
    """Refuse links of a form that no file comes from."""
    if scheme not in {"http", "https"}:
        raise Refused("only http(s) links are followed")
    if not host:
        raise Refused("the link names no host")
    if userinfo:
        raise Refused("the link holds a user name")


def check_port(port: int) -> None:
    """Refuse ports that are for something other than the web."""
    if port not in PORTS and not FIRST_OTHER_PORT <= port < 1 << 16:
        raise Refused(f"port {port} is not one of the web")


def check_name(host: str) -> None:
    """Refuse hosts that are not public ones by their names or addresses; nothing is looked up."""
    if not may_be_public(host):
        raise Refused("the host is not on the public internet")


def check_addresses(found: Sequence[str]) -> tuple[str, ...]:
    """Check that all addresses are public; the result has each once, in their order."""
    addresses = [_address(text) for text in dict.fromkeys(found)]
    if not addresses:
        raise Refused("the host has no address")
    if not all(is_public(address) for address in addresses):
        raise Refused("the host is not on the public internet")
    return tuple(map(str, addresses))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Refused("the host's address cannot be read") from None
    if getattr(address, "scope_id", None):
        raise Refused("the host is not on the public internet")
    return address


def resolve(resolver: Resolver, host: str, port: int, seconds: float) -> Sequence[str]:
    """Look a host up, blocking, within some seconds: resolvers have no deadline of their own."""
    outcome: list[Sequence[str] | Exception] = []
    thread = _in_thread(lambda: outcome.append(_try(resolver, host, port)))
    thread.join(max(0.0, seconds))
    if not outcome:
        raise TimeoutError("the host was not found in time")
    return _result(outcome[0])


async def aresolve(resolver: Resolver, host: str, port: int) -> Sequence[str]:
    """Look a host up, awaiting.

    No executor is used: at its end, the event loop would wait for a resolver that hangs.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Sequence[str] | Exception] = loop.create_future()

    def report(outcome: Sequence[str] | Exception) -> None:
        if not future.done():  # it is done where nobody waits any more
            future.set_result(outcome)

    def work() -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(report, _try(resolver, host, port))

    _in_thread(work)
    return _result(await future)


def _in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, name="polyreel-resolver", daemon=True)
    thread.start()
    return thread


def _try(resolver: Resolver, host: str, port: int) -> Sequence[str] | Exception:
    try:
        return resolver(host, port)
    except Exception as error:
        return error


def _result(outcome: Sequence[str] | Exception) -> Sequence[str]:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
