"""The double-bill table: every fault at a submit, for every vendor, sync and async: one call, at
most one bill.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from polyreel import AmbiguousError, Job, Simulator
from polyreel.errors import PolyreelError
from polyreel.simulator import RunningClock, VirtualClock, server
from polyreel.simulator.faults import FAULTS
from support.crash import KEY
from support.faults import VENDORS, Clients, Kind, every_kind, every_vendor
from support.waiting import HANGS, until

SPEED = 500.0
SUBMITS = {name: fault for name, fault in FAULTS.items() if fault.call == "submit"}
every_fault = pytest.mark.parametrize("fault", SUBMITS)
REQUEST = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}
CALM = {"refused", *(name for name in SUBMITS if name.startswith("rate-limited"))}
"""Faults that prove that nothing was accepted: the call is repeated, and ends well."""


@pytest.fixture(params=["embedded", "over a port"])
def scene(request: pytest.FixtureRequest, fault: str) -> Iterator[tuple[Simulator, dict[str, Any]]]:
    """A simulator, and the settings of clients for it; only an answer that never comes has a short
    deadline.
    """
    if request.param == "embedded":
        simulator = Simulator(clock=VirtualClock(), seed=1)
        yield simulator, {"simulator": simulator, "retries": 2}
        return
    simulator = Simulator(clock=RunningClock(SPEED), seed=1)
    with server.running(simulator) as url:
        addresses = {vendor: url + mount for vendor, mount in server.mounts().items()}
        keys = dict.fromkeys(VENDORS, KEY)
        seconds = 0.5 if SUBMITS[fault].ending in {"silence", "drip"} else HANGS
        yield (
            simulator,
            {"keys": keys, "base_urls": addresses, "call_timeout": seconds, "retries": 2},
        )


def attempt(pair: Clients, kind: Kind, vendor: str, folder: Path) -> Job | PolyreelError:
    """One call of the whole way, and what came of it."""
    client = pair.by_kind[kind]
    if not client.simulated:
        client.wire.clock = RunningClock(SPEED)
    try:
        job = pair.do(kind, "generate", REQUEST, vendor, output=folder, timeout=HANGS * SPEED)
    except PolyreelError as error:
        return error
    assert isinstance(job, Job)
    return job


@pytest.mark.matrix("scene+fault", "vendor", "kind")
@every_fault
@every_kind
@every_vendor
def test_one_call_is_billed_at_most_once(
    scene: tuple[Simulator, dict[str, Any]], vendor: str, kind: Kind, fault: str, tmp_path: Path
) -> None:
    """Once where the vendor accepted it and the answer was lost; and the caller is told what it may
    have cost.
    """
    simulator, settings = scene
    simulator.inject(fault, vendor)
    with Clients(**settings) as pair:
        result = attempt(pair, kind, vendor, tmp_path)
    until(lambda: simulator.fired == [(vendor, fault)])
    if SUBMITS[fault].accepted:
        assert simulator.bill.count() == 1
        assert isinstance(result, AmbiguousError)
        assert result.billed == "maybe"
    elif fault in CALM and not (
        fault == "refused" and "keys" in settings
    ):  # a port cannot refuse one call
        assert simulator.bill.count() == 1
        assert isinstance(result, Job)
    else:
        assert simulator.bill.count() == 0
        assert isinstance(result, AmbiguousError)
