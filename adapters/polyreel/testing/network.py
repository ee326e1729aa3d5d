"""A guard over the network: while it is active, no socket leaves loopback.

An attempt is reported even where the code under test swallows the exception.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from attrs import define, field

from ..hosts import address_of

INTERNET: Final = frozenset({socket.AF_INET, socket.AF_INET6})
ADVICE: Final = (
    "Only loopback is allowed here: {reason}.\n"
    "Point the code at the simulator instead: an httpx client by `transport=polyreel_transport`, "
    "anything else by the\n"
    "base URL `polyreel_server.base_url(vendor)`.\n"
    "To allow the network: @pytest.mark.polyreel(network=True) for this test, "
    "--polyreel-allow-network for this run,\n"
    "or `polyreel_block_network = off` in pytest's configuration."
)


class NetworkBlockedError(RuntimeError):
    """A test tried to leave the machine.

    It is no OSError, because code that tries again after an OSError would make the test slow.
    """


@define(eq=False)
class Guard:
    """The guard over one test, with the attempts that the test made."""

    reason: str
    """Why the test may only reach loopback."""
    attempts: list[str] = field(factory=list, init=False)
    """The attempts that are not reported yet, without repetitions."""

    def refuse(self, host: object, port: object, call: str) -> NetworkBlockedError:
        """Note an attempt, and return the exception to raise."""
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
    def reporting(self, item: pytest.Item, phase: str) -> Iterator[None]:
        """Report the attempts of one phase of a test.

        A phase that would pass fails; one that fails for another reason gets a section about them.
        """
        try:
            yield
        except NetworkBlockedError:
            self._take_report()  # the exception says it
            raise
        except BaseException:
            if report := self._take_report():
                item.add_report_section(phase, "network", report)
            raise
        if report := self._take_report():
            pytest.fail(report, pytrace=False)

    def _take_report(self) -> str | None:
        """The text about the attempts so far, which are then forgotten."""
        attempts, self.attempts = self.attempts, []
        return self._text(attempts) if attempts else None

    @contextmanager
    def active(self) -> Iterator[None]:
        """Guard every socket of the process while the block runs. Guards can be nested."""
        own = vars(socket.socket)
        # Windows does not have all of these methods.
        before = {name: own.get(name) for name in ADDRESSES if hasattr(socket.socket, name)}
        look_up = socket.getaddrinfo
        for name in before:
            setattr(socket.socket, name, _guarded(self, name, getattr(socket.socket, name)))
        socket.getaddrinfo = _guarded_look_up(self, look_up)
        try:
            yield
        finally:
            socket.getaddrinfo = look_up
            for name, method in before.items():
                if method is None:  # it is inherited from the class below
                    delattr(socket.socket, name)
                else:
                    setattr(socket.socket, name, method)


ADDRESSES: Final[dict[str, Callable[[tuple[Any, ...]], Any]]] = {
    "connect": lambda arguments: arguments[0] if arguments else None,
    "connect_ex": lambda arguments: arguments[0] if arguments else None,
    "sendto": lambda arguments: arguments[-1] if len(arguments) > 1 else None,
    "sendmsg": lambda arguments: arguments[3] if len(arguments) > 3 else None,
}
"""The methods that take an address, each with the way to find it in their arguments."""


def _guarded(guard: Guard, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    address_in = ADDRESSES[name]

    def method(self: socket.socket, *arguments: object) -> object:
        __tracebackhide__ = True
        address = address_in(arguments)
        is_internet = self.family in INTERNET and isinstance(address, tuple) and bool(address)
        if is_internet and not is_here(address[0]):
            # Callers may expect only an OSError, and would leave the socket open.
            self.close()
            port = address[1] if len(address) > 1 else None
            raise guard.refuse(address[0], port, f"socket.{name}")
        return real(self, *arguments)

    return method


def _guarded_look_up(guard: Guard, real: Callable[..., Any]) -> Callable[..., Any]:
    def getaddrinfo(host: object, port: object, *arguments: object, **options: object) -> Any:
        __tracebackhide__ = True
        # Looking up a number sends nothing.
        if host and address_of(_name(host)) is None and not is_here(host):
            raise guard.refuse(host, port, "socket.getaddrinfo")
        return real(host, port, *arguments, **options)

    return getaddrinfo


def is_here(host: object) -> bool:
    """Whether a host is this machine.

    That is a loopback or unspecified address, `localhost`, or the machine's own name.
    """
    if (number := address_of(_name(host))) is not None:
        mapped = getattr(number, "ipv4_mapped", None) or number
        return bool(mapped.is_loopback or mapped.is_unspecified)
    name = _name(host).lower().rstrip(".")
    return name in {"", "localhost", socket.gethostname().lower()} or name.endswith(".localhost")


def _name(host: object) -> str:
    return host.decode("utf-8", "replace") if isinstance(host, bytes | bytearray) else str(host)
