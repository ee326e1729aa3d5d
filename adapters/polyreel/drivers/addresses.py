"""Where files may come from: links that a vendor names must not reach into the network of whoever downloads.

A name is looked up once; every address it has must be public, and the connection is made to an address that was
checked. Whoever looked a name up again for connecting could be told another address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from ..hosts import is_public

Resolver = Callable[[str, int], Sequence[str]]
"""The addresses of a host, as text; it may block, and raise OSError or ValueError."""
PORTS: Final = (80, 443)
FIRST_OTHER_PORT: Final = 1024
"""Below it are mail, shells and the like, which must not be spoken to by mistake."""


class Refused(ValueError):  # noqa: N818 - it is an answer, not a mistake
    """A link that is not followed; the text says why."""


def look_up(host: str, port: int) -> list[str]:
    """The addresses of a host by the system's resolver, in its order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(place[0]) for *_, place in found]


def check_form(scheme: str, host: str, userinfo: bytes) -> None:
    """Refuse what no file comes from, whoever names it."""
    if scheme not in {"http", "https"}:
        raise Refused("only http(s) links are followed")
    if not host:
        raise Refused("the link names no host")
    if userinfo:
        raise Refused("the link holds a user name")


def check_port(port: int) -> None:
    """Refuse ports on which something else than the web listens."""
    if port not in PORTS and not FIRST_OTHER_PORT <= port < 1 << 16:
        raise Refused(f"port {port} is not one of the web")


def check_addresses(found: Sequence[str]) -> tuple[str, ...]:
    """The addresses in their order, each once; all must be public, since any could be the one that is connected to."""
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
    """Look a host up, blocking, in the time that is left: resolvers know no deadline."""
    outcome: list[Sequence[str] | Exception] = []
    thread = _in_thread(lambda: outcome.append(_try(resolver, host, port)))
    thread.join(max(0.0, seconds))
    if not outcome:
        raise TimeoutError("the host was not found in time")
    return _result(outcome[0])


async def aresolve(resolver: Resolver, host: str, port: int) -> Sequence[str]:
    """Look a host up, awaiting. No executor is used: ending a loop would wait for a resolver that hangs."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Sequence[str] | Exception] = loop.create_future()

    def tell(outcome: Sequence[str] | Exception) -> None:
        if not future.done():  # nobody waits any more
            future.set_result(outcome)

    def work() -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, _try(resolver, host, port))

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
