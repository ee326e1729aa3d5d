"""The double-bill table: a fault at a submit, a vendor, and a client; and what may come of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import frozen
from polyreel import AmbiguousError, Job, Simulator
from polyreel.errors import PolyreelError
from polyreel.simulator import RunningClock, VirtualClock, server
from polyreel.simulator.faults import FAULTS

from .crash import KEY
from .faults import VENDORS, Clients, Kind
from .waiting import HANGS, until

SPEED: Final = 500.0
SUBMITS: Final = {name: fault for name, fault in FAULTS.items() if fault.call == "submit"}
REQUEST: Final = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}
CALM: Final = {"refused", *(name for name in SUBMITS if name.startswith("rate-limited"))}
"""Faults that prove that nothing was accepted: the call is repeated, and ends well."""
every_fault = pytest.mark.parametrize("fault", SUBMITS)
every_place = pytest.mark.parametrize("place", ["embedded", "over a port"])


@frozen
class Scene:
    """A simulator with a fault, and the settings of clients for it."""

    simulator: Simulator
    fault: str
    vendor: str
    settings: dict[str, Any]

    @property
    def is_embedded(self) -> bool:
        """Whether the clients call the simulator, and no port."""
        return "simulator" in self.settings

    def attempt(self, pair: Clients, kind: Kind, folder: Path, **more: Any) -> Job | PolyreelError:
        """One call of the whole way, and what came of it."""
        client = pair.by_kind[kind]
        if not client.simulated:
            client.wire.clock = RunningClock(SPEED)
        seconds = HANGS * SPEED
        try:
            job = pair.do(
                kind, "generate", REQUEST, self.vendor, output=folder, timeout=seconds, **more
            )
        except PolyreelError as error:
            return error
        assert isinstance(job, Job)
        return job

    def check(self, result: Job | PolyreelError) -> None:
        """One call is billed at most once: where the vendor accepted it and the answer was lost.

        And the caller is told what it may have cost.
        """
        until(lambda: self.simulator.fired == [(self.vendor, self.fault)])
        billed = self.simulator.bill.count()
        if SUBMITS[self.fault].accepted:
            assert billed == 1
            assert isinstance(result, AmbiguousError)
            assert result.billed == "maybe"
        elif self.ends_well:
            assert billed == 1
            assert isinstance(result, Job)
        else:
            assert billed == 0
            assert isinstance(result, AmbiguousError)

    @property
    def ends_well(self) -> bool:
        """Whether the call is repeated; a port cannot refuse one call."""
        return self.fault in CALM and (self.fault != "refused" or self.is_embedded)


@contextmanager
def scene(place: str, fault: str, vendor: str) -> Iterator[Scene]:
    """A simulator in this process, or over a port; only an answer that never comes has a short
    deadline.
    """
    if place == "embedded":
        simulator = Simulator(clock=VirtualClock(), seed=1)
        simulator.inject(fault, vendor)
        yield Scene(simulator, fault, vendor, {"simulator": simulator, "retries": 2})
        return
    simulator = Simulator(clock=RunningClock(SPEED), seed=1)
    simulator.inject(fault, vendor)
    with server.running(simulator) as url:
        settings = {
            "keys": dict.fromkeys(VENDORS, KEY),
            "base_urls": {name: url + mount for name, mount in server.mounts().items()},
            "call_timeout": 0.5 if SUBMITS[fault].ending in {"silence", "drip"} else HANGS,
            "retries": 2,
        }
        yield Scene(simulator, fault, vendor, settings)
