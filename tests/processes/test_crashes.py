"""A process is killed at every point at which dying could cost money: nothing is paid twice,
nothing is lost.
"""

from __future__ import annotations

import signal
from pathlib import Path
from subprocess import CompletedProcess
from typing import Final

import pytest
from polyreel.errors import PolyreelError
from polyreel.ledger.postgres import PostgresLedger
from polyreel.ledger.sqlite import Ledger
from polyreel.ledger.store import LedgerStore
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import get_provider
from polyreel.simulator import Simulator, server
from polyreel_generated.contracts.vendors import VendorId
from support import forked
from support.crash import REFERENCE, REQUEST, SPEED, client, vendors
from support.faults import Kind, every_kind, every_vendor
from support.ledgers import database
from support.paths import TESTS
from support.waiting import HANGS, until

STEPS = ("Find", "Intend", "Submit", "Settle", "Poll", "Keep", "Fetch", "KeepFile")
POINTS = [f"{moment} {step}" for step in STEPS for moment in ("before", "after")]


FILE: Final = "ledger.sqlite3"
LEASE: Final = 0.5
"""How long, in seconds, those who come after a crash take a silent process for a living one."""


def crash(
    url: str, vendor: str, kind: Kind, folder: Path, at: str, ledger: Path | str
) -> CompletedProcess[str]:
    """Generate a clip in a process that dies at a point."""
    command = ("-m", "support.crash", url, vendor, kind, folder, at, ledger)
    return forked.run(*command, fresh=at == "after Submit", timeout=2 * HANGS, cwd=TESTS)


def picture(simulator: Simulator, vendor: str) -> bytes:
    """The file that the vendor made for its only task."""
    (task,) = [task for name, task in simulator.tasks if name == vendor]
    return simulator.handle(vendor, "GET", f"/outputs/{task}/1.mp4", {}).content


@pytest.mark.usefixtures("bare")
@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_every_point_is_known(tmp_path: Path, vendor: str, kind: Kind) -> None:
    """These are all the writes to the ledger and all that is sent, sync and async, in this
    order.
    """
    simulator = vendors()
    with server.running(simulator) as url:
        done = crash(url, vendor, kind, tmp_path, "never", tmp_path / FILE)
    assert done.returncode == 0, done.stderr
    assert list(dict.fromkeys(done.stdout.splitlines())) == POINTS


BY_KIND = [("blocking", at) for at in POINTS] + [
    ("awaiting", at) for at in POINTS if at.endswith(("Submit", "Settle"))
]
"""Both kinds pass the same points, by the test above: the awaiting one is killed where money hangs
on it.
"""


@pytest.mark.usefixtures("bare")
@pytest.mark.matrix("vendor", "at", "kind")
@every_vendor
@pytest.mark.parametrize(("kind", "at"), BY_KIND)
def test_a_process_killed_anywhere_costs_nothing(
    tmp_path: Path, vendor: VendorId, kind: Kind, at: str
) -> None:
    """Afterwards the same command, reconcile and resume bring the clip home, or say that it is
    ambiguous.
    """
    simulator = vendors()
    with server.running(simulator) as url:
        done = crash(url, vendor, kind, tmp_path, at, tmp_path / FILE)
        assert done.returncode == -signal.SIGKILL, done.stderr
        with Ledger(tmp_path / FILE) as ledger:
            assert database(ledger).execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            _go_on(simulator, url, vendor, tmp_path, ledger)


@pytest.mark.usefixtures("bare")
@pytest.mark.matrix("vendor", "at")
@every_vendor
@pytest.mark.parametrize(("kind", "at"), BY_KIND)
def test_a_process_killed_anywhere_costs_nothing_with_a_database(
    tmp_path: Path, vendor: VendorId, kind: Kind, at: str, postgres: str
) -> None:
    """The same, where who is dead is told by a lease."""
    simulator = vendors()
    with server.running(simulator) as url:
        done = crash(url, vendor, kind, tmp_path, at, postgres)
        assert done.returncode == -signal.SIGKILL, done.stderr
        with PostgresLedger(postgres, lease=LEASE) as ledger:
            until(lambda: not any(entry.owned for entry in ledger.entries()))
            _go_on(simulator, url, vendor, tmp_path, ledger)


def _go_on(
    simulator: Simulator, url: str, vendor: VendorId, tmp_path: Path, ledger: LedgerStore
) -> None:
    """What a user does after a crash, and what has to come of it."""
    with client(url, ledger) as made:
        for entry in made.jobs(["ambiguous"]):
            made.reconcile(entry.id)
        states = [entry.state for entry in made.jobs()]
        findable = type(get_provider(vendor)).recent is not Provider.recent
        if "ambiguous" in states:
            # Flagged, and left alone: where the vendor has nothing to ask, or has never heard
            # of the job.
            assert states == ["ambiguous"]
            assert not findable or simulator.bill.count() == 0
            with pytest.raises(PolyreelError):
                made.generate(REQUEST, vendor, output=tmp_path, reference=REFERENCE)
            assert simulator.bill.count() <= 1
            return
        job = made.generate(
            REQUEST, vendor, output=tmp_path, reference=REFERENCE, timeout=HANGS * SPEED
        )
        assert simulator.bill.count() == 1
        assert [entry.state for entry in made.jobs()] == ["saved"]
        output = next(iter(job.outputs or []))
        assert Path(output.path or "").read_bytes() == picture(simulator, vendor)
        before = list(simulator.journal)
        again = made.resume(made.jobs()[0].id)
        assert again == made.generate(REQUEST, vendor, output=tmp_path, reference=REFERENCE) == job
        assert simulator.journal == before
    assert not list(tmp_path.glob("*.part"))
