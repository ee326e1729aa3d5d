"""The guard: while it stands, no socket leaves loopback, and an attempt is told even where the code swallows it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from attrs import define, field

INTERNET: Final = frozenset({socket.AF_INET, socket.AF_INET6})
ADVICE: Final = """\
Only loopback is allowed here: {reason}.
Point the code at the simulator instead: an httpx client by `transport=polyreel_transport`, anything else by the
base URL `polyreel_server.base_url(vendor)`.
To allow the network: @pytest.mark.polyreel(network=True) for this test, --polyreel-allow-network for this run,
or `polyreel_block_network = off` in pytest's configuration."""


class NetworkBlockedError(RuntimeError):
    """A test tried to leave the machine.

    It is no OSError on purpose: code that tries again after those would only make the test slow.
    """


@define(eq=False)
class Guard:
    """What one test tried."""

    reason: str
    """Why this test is guarded."""
    attempts: list[str] = field(factory=list, init=False)
    """What was tried and not yet told, without repetitions."""

    def refuse(self, host: object, port: object, call: str) -> NetworkBlockedError:
        """Note an attempt; the result is the exception for who made it."""
        name = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host)
        attempt = f"{name}{'' if port is None else f' port {port}'} ({call})"
        if attempt not in self.attempts:
            self.attempts.append(attempt)
        return NetworkBlockedError(self._text([attempt]))

    def _text(self, attempts: list[str]) -> str:
        return (
            f"this test tried to reach {', '.join(attempts)}\n{ADVICE.format(reason=self.reason)}"
        )

    @contextmanager
    def telling(self, item: pytest.Item, phase: str) -> Iterator[None]:
        """Fail a phase of a test that ends well and in which something was tried; explain one that fails anyway."""
        try:
            yield
        except NetworkBlockedError:
            self._told()  # it tells itself
            raise
        except BaseException:
            if told := self._told():
                item.add_report_section(phase, "network", told)
            raise
        if told := self._told():
            pytest.fail(told, pytrace=False)

    def _told(self) -> str | None:
        attempts, self.attempts = self.attempts, []
        return self._text(attempts) if attempts else None

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Stand guard over every socket of the process. Guards may stand inside each other."""
        own = vars(socket.socket)
        before = {
            name: own.get(name) for name in ADDRESSES if hasattr(socket.socket, name)
        }  # not all on Windows
        look_up = socket.getaddrinfo
        for name in before:
            setattr(socket.socket, name, _guarded(self, name, getattr(socket.socket, name)))
        socket.getaddrinfo = _guarded_look_up(self, look_up)
        try:
            yield
        finally:
            socket.getaddrinfo = look_up
            for name, method in before.items():
                if method is None:  # it was, and is again, the one of the class below
                    delattr(socket.socket, name)
                else:
                    setattr(socket.socket, name, method)


ADDRESSES: Final[dict[str, Callable[[tuple[Any, ...]], Any]]] = {
    "connect": lambda arguments: arguments[0] if arguments else None,
    "connect_ex": lambda arguments: arguments[0] if arguments else None,
    "sendto": lambda arguments: arguments[-1] if len(arguments) > 1 else None,
    "sendmsg": lambda arguments: arguments[3] if len(arguments) > 3 else None,
}
"""The methods that say where to go, and which of their arguments says it."""


def _guarded(guard: Guard, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    find = ADDRESSES[name]

    def method(self: socket.socket, *arguments: Any) -> Any:
        __tracebackhide__ = True
        address = find(arguments)
        if (
            self.family in INTERNET
            and isinstance(address, tuple)
            and address
            and not is_here(address[0])
        ):
            # Closed, because who made it may only expect an OSError, and would leave it open.
            self.close()
            raise guard.refuse(
                address[0], address[1] if len(address) > 1 else None, f"socket.{name}"
            )
        return real(self, *arguments)

    return method


def _guarded_look_up(guard: Guard, real: Callable[..., Any]) -> Callable[..., Any]:
    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        # Looking up a number asks nobody.
        if host and not _number(host) and not is_here(host):
            raise guard.refuse(host, port, "socket.getaddrinfo")
        return real(host, port, *arguments, **options)

    return getaddrinfo


def is_here(host: object) -> bool:
    """Whether a host is this machine: a loopback or unspecified address, `localhost`, or its own name."""
    if (number := _number(host)) is not None:
        mapped = getattr(number, "ipv4_mapped", None) or number
        return bool(mapped.is_loopback or mapped.is_unspecified)
    name = _name(host).lower().rstrip(".")
    return name in {"", "localhost", socket.gethostname().lower()} or name.endswith(".localhost")


def _number(host: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(_name(host))
    except ValueError:
        return None


def _name(host: object) -> str:
    return host.decode("utf-8", "replace") if isinstance(host, bytes | bytearray) else str(host)
