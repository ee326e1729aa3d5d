"""The application against the simulated vendors."""

from pathlib import Path

import polyreel
import pytest
from polyreel import Client, Simulator
from shop import clip_of

VENDORS = sorted(polyreel.all_providers())


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_clip_is_paid_once(vendor: str, tmp_path: Path) -> None:
    simulator = Simulator(seed=1)
    for _ in range(2):  # the second time it is there already
        with Client(
            simulator=simulator, vendors=[vendor], ledger=tmp_path / "ledger.sqlite3"
        ) as client:
            job = clip_of(client, "a teapot", str(tmp_path))
        assert job.outputs
        assert Path(job.outputs[0].path or "").exists()
    assert simulator.bill.count() == 1


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_lost_answer_is_not_paid_twice(vendor: str, tmp_path: Path) -> None:
    simulator = Simulator(seed=1)
    simulator.script(vendor, "lost-reset")
    with Client(
        simulator=simulator, vendors=[vendor], ledger=tmp_path / "ledger.sqlite3"
    ) as client:
        with pytest.raises(polyreel.AmbiguousError):
            clip_of(client, "a teapot", str(tmp_path))
        with pytest.raises(polyreel.PolyreelError):
            clip_of(client, "a teapot", str(tmp_path))
    assert simulator.bill.count() == 1


def test_a_failed_job_is_reported(tmp_path: Path) -> None:
    simulator = Simulator(seed=1)
    simulator.script(VENDORS[0], "failed")
    with (
        Client(simulator=simulator, vendors=VENDORS[:1], ledger=tmp_path / "l.sqlite3") as client,
        pytest.raises(polyreel.JobFailedError, match=VENDORS[0]),
    ):
        clip_of(client, "a teapot", str(tmp_path))
