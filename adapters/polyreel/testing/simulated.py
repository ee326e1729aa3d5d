"""Makes the simulators, clients and servers of the fixtures, as a test's markers set them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from attrs import converters, define, field, fields, frozen

from ..client import AsyncClient, Client
from ..errors import UnknownNameError, did_you_mean
from ..providers.base.registry import all_providers, get_provider
from ..simulator import FAULTS, Bill, RunningClock, Simulator, VirtualClock, server
from ..simulator.faults import known_faults
from .watching import WatchedSimulator

if TYPE_CHECKING:
    from ..simulator.transport import SimulatedTransport

SPEED: Final = 100.0
"""How many times as fast as real time the clock of `polyreel_server` runs.

A job of a five-second clip is over in a third of a second.
"""


def _names(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str) or not all(isinstance(name, str) for name in value):
        raise pytest.UsageError(
            f"a marker of polyreel takes a list of texts here, not {type(value).__name__}"
        )
    return tuple(value)


@frozen(kw_only=True)
class Settings:
    """The settings of `@pytest.mark.polyreel(...)`."""

    seed: int = 0
    balance: float = float("inf")
    keys: tuple[str, ...] | None = field(default=None, converter=converters.optional(_names))
    faults: tuple[str, ...] = field(default=(), converter=_names)
    vendor: str | None = None
    speed: float = SPEED
    network: bool = False

    @classmethod
    def of(cls, item: pytest.Item) -> Settings:
        """The settings of a test: from its own marker, then from those of its class and module."""
        known = [one.name for one in fields(cls)]
        given: dict[str, Any] = {}
        for marker in item.iter_markers("polyreel"):
            unknown = [
                *map(repr, marker.args),
                *(name for name in marker.kwargs if name not in known),
            ]
            if unknown:
                names = ", ".join(f"{name}=" for name in known)
                near = did_you_mean(unknown[0], known)
                text = f"@pytest.mark.polyreel takes {names} but no {unknown[0]}{near}"
                raise pytest.UsageError(text)
            given = {**marker.kwargs, **given}
        return cls(**given)

    def simulator(self, clock: VirtualClock | RunningClock) -> WatchedSimulator:
        """A fresh simulator."""
        keys = None if self.keys is None else frozenset(self.keys)
        simulator = WatchedSimulator(clock, self.seed, keys, self.balance)
        if self.vendor is not None:
            get_provider(self.vendor)
        for name in self.faults:
            self._arrange(simulator, name)
        return simulator

    def _arrange(self, simulator: Simulator, name: str) -> None:
        """Inject a fault once; any other name is a documented error or end of one vendor."""
        if name in FAULTS:
            simulator.inject(name, self.vendor)
        elif self.vendor is not None:
            simulator.script(self.vendor, name)
        else:
            raise UnknownNameError(
                f"there is no fault {name!r}; with vendor= it may be an error of it; "
                f"{known_faults(name)}"
            )

    @property
    def vendors(self) -> list[str] | None:
        """The order in which a client tries vendors."""
        if self.vendor is None:
            return None
        return [self.vendor, *(vendor for vendor in all_providers() if vendor != self.vendor)]


def client(simulator: Simulator, item: pytest.Item) -> Client:
    """A client of a simulator."""
    return Client(simulator=simulator, vendors=Settings.of(item).vendors)


def async_client(simulator: Simulator, item: pytest.Item) -> AsyncClient:
    """An awaiting client of a simulator."""
    return AsyncClient(simulator=simulator, vendors=Settings.of(item).vendors)


def transport(simulator: Simulator) -> SimulatedTransport:
    """A simulator as an httpx transport."""
    from ..simulator.transport import SimulatedTransport  # noqa: PLC0415

    return SimulatedTransport(simulator)


@define(eq=False)
class SimulatedServer:
    """The simulated vendors behind a port on loopback."""

    url: str
    """The server's address, without the path of a vendor."""
    simulator: WatchedSimulator = field(repr=False)
    vendor: str
    """The vendor to use where none is named: the marker's, or the first."""

    def base_url(self, vendor: str | None = None) -> str:
        """The URL that replaces a vendor's documented base URL, path included.

        UnknownNameError where no vendor has that id.
        """
        return self.base_urls[get_provider(vendor or self.vendor).id]

    @property
    def base_urls(self) -> Mapping[str, str]:
        """The base URL of every vendor, as `polyreel.Client(base_urls=...)` takes them."""
        return {vendor: self.url + mount for vendor, mount in server.mounts().items()}

    @property
    def bill(self) -> Bill:
        """What was billed."""
        return self.simulator.bill


@contextmanager
def serving(item: pytest.Item) -> Iterator[SimulatedServer]:
    """The simulator of a test behind a port, while the block runs."""
    settings = Settings.of(item)
    simulator = settings.simulator(RunningClock(settings.speed))
    with server.running(simulator) as url:
        yield SimulatedServer(url, simulator, settings.vendor or next(iter(all_providers())))
