"""The double-bill table: every fault at a submit, for every vendor, sync and async: one call, at
most one bill.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.double_billing import every_fault, every_place, scene
from support.faults import Clients, Kind, every_kind, every_vendor


@pytest.mark.matrix("place+fault", "vendor", "kind")
@every_place
@every_fault
@every_kind
@every_vendor
def test_one_call_is_billed_at_most_once(
    place: str, fault: str, vendor: str, kind: Kind, tmp_path: Path
) -> None:
    """Once where the vendor accepted it and the answer was lost; and the caller is told what it may
    have cost.
    """
    with scene(place, fault, vendor) as made, Clients(**made.settings) as pair:
        made.check(made.attempt(pair, kind, tmp_path))
