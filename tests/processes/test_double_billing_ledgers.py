"""The double-bill table over either ledger: what is written down, and what a repetition does."""

from __future__ import annotations

from pathlib import Path

import pytest
from polyreel import Job
from polyreel.ledger.opening import open_ledger
from support.double_billing import every_fault, every_place, scene
from support.faults import Clients, Kind, every_kind, every_vendor


@pytest.mark.matrix("fault", "place", "vendor", "kind", "kept")
@pytest.mark.parametrize("kept", ["file", "database"])
@every_place
@every_fault
@every_kind
@every_vendor
def test_one_reference_is_billed_at_most_once(
    place: str,
    fault: str,
    vendor: str,
    kind: Kind,
    kept: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """The submit that may have been paid is flagged, and the same reference sends nothing again."""
    is_file = kept == "file"
    where = tmp_path / "ledger.sqlite3" if is_file else request.getfixturevalue("postgres")
    with (
        scene(place, fault, vendor) as made,
        open_ledger(where) as ledger,
        Clients(**made.settings, ledger=ledger) as pair,
    ):
        made.check(first := made.attempt(pair, kind, tmp_path, reference="order 17"))
        (entry,) = ledger.entries()
        assert entry.state == ("saved" if made.ends_well else "ambiguous")
        billed = made.simulator.bill.count()
        again = made.attempt(pair, kind, tmp_path, reference="order 17")
        assert isinstance(again, Job) == isinstance(first, Job)
        assert made.simulator.bill.count() == billed
        assert [one.state for one in ledger.entries()] == [entry.state]
