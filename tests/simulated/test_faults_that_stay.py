"""Faults that stay at a submit, in process: told by what they prove, and billed once at most."""

from __future__ import annotations

import pytest
from polyreel import AmbiguousError, NeverSentError, RejectedError, Simulator
from polyreel.errors import SubmitError
from polyreel.simulator.faults import FAULTS
from polyreel_generated.contracts.vendors import VendorId
from support.faults import Clients, Kind, every_kind, every_vendor

SUBMITS = {name: fault for name, fault in FAULTS.items() if fault.call == "submit"}
every_fault = pytest.mark.parametrize("fault", SUBMITS)
REQUEST = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}
CALM = {"refused", *(name for name in SUBMITS if name.startswith("rate-limited"))}
"""Faults that prove that nothing was accepted: the call is repeated, and ends well."""


@pytest.mark.matrix("fault+kind", "vendor")
@every_fault
@every_kind
@every_vendor
def test_a_fault_that_stays_is_reported_by_what_it_proves(
    vendor: VendorId, kind: Kind, fault: str
) -> None:
    """However long it lasts, no call is billed more than once, and only what is proved is called
    so.
    """
    simulator = Simulator(seed=1)
    simulator.inject(fault, vendor, times=None)
    with Clients(simulator=simulator, retries=2) as pair:
        client = pair.by_kind[kind]
        with pytest.raises(SubmitError) as caught:
            pair.do(kind, "submit", client.plan(REQUEST, vendor))
    calls = len(simulator.fired)
    assert simulator.bill.count() == SUBMITS[fault].accepted
    kinds = {True: NeverSentError if fault == "refused" else RejectedError, False: AmbiguousError}
    assert type(caught.value) is kinds[fault in CALM]
    assert calls == (3 if fault in CALM else 1)
    assert caught.value.billed == ("no" if fault in CALM else "maybe")
