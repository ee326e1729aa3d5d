"""Event streams of the simulator in process: one bill at most, and what is lost is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from polyreel import Simulator
from polyreel.errors import AmbiguousError, SubmitError
from polyreel.simulator import FAULTS, VirtualClock
from polyreel_generated.contracts.vendors import VendorId
from support.faults import Kind, every_kind
from support.streams import REQUEST, SUBMIT_FAULTS, Scene, every_streamer


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path, None, Simulator(clock=VirtualClock(), seed=1)) as made:
        yield made


@pytest.mark.matrix("vendor", "kind", "fault")
@every_kind
@every_streamer
@pytest.mark.parametrize("fault", SUBMIT_FAULTS)
def test_the_bill_is_one_at_most(embedded: Scene, vendor: VendorId, kind: Kind, fault: str) -> None:
    """Every fault of submits meets streams too: never a second call, and what is billed is told."""
    embedded.simulator.inject(fault)
    made, billed = embedded.clients.by_kind[kind].plan(REQUEST, vendor, stream=True), "yes"
    try:
        embedded.clients.do(kind, "submit", made)
    except SubmitError as error:
        billed = error.billed
    assert embedded.calls.count("POST") <= 1
    assert embedded.simulator.bill.count() == FAULTS[fault].accepted
    assert billed in ({"yes", "maybe"} if FAULTS[fault].accepted else {"no", "maybe"})


@every_kind
@every_streamer
def test_a_lost_one_is_found_or_paid_anew_on_your_word(
    embedded: Scene, vendor: VendorId, kind: Kind, tmp_path: Path
) -> None:
    """Reconcile finds it among those that run; resubmit streams again, as an entry of its own."""
    scene = embedded
    scene.simulator.inject("lost-reset", times=2)
    for _ in range(2):
        with pytest.raises(AmbiguousError):
            scene.generate(kind, vendor, tmp_path / "clips")
    found, again = scene.ledger.entries(["ambiguous"])
    (finding,) = scene.clients.do(kind, "reconcile", found.id)
    assert finding.result == "found"
    job = scene.clients.do(kind, "resubmit", again.id, accept_double_billing=True)
    assert job.status == "succeeded"
    assert scene.simulator.bill.count() == scene.calls.count("POST") == 3
    assert [entry.submission.send.stream for entry in scene.ledger.entries()] == [True] * 3
    states = [entry.state for entry in scene.ledger.entries()]
    assert states == ["accepted", "resubmitted", "saved"]
