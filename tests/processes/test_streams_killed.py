"""A process that dies while it hears a stream has written the task id down."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Final

import pytest
from polyreel import Client
from support import forked
from support.paths import TESTS
from support.streams import every_streamer

PROGRAM: Final = """
import asyncio, os, signal, sys
from polyreel import AsyncClient, Client
from polyreel.flows import Send, Record
from polyreel.ledger.events import Settle
from support.streams import REQUEST
vendor, kind, folder, at = sys.argv[1:]
def kill(moment, step):
    settles = isinstance(step, Record) and isinstance(step.event, Settle)
    name = "Settle" if settles else type(step).__name__
    if f"{moment} {name}" == at:
        os.kill(os.getpid(), signal.SIGKILL)
async def work():
    async with AsyncClient(ledger=folder + "/ledger") as client:
        client.wire.observer = kill
        await client.generate(REQUEST, vendor, stream=True, output=folder)
if kind == "awaiting":
    asyncio.run(work())
client = Client(ledger=folder + "/ledger")
client.wire.observer = kill
client.generate(REQUEST, vendor, stream=True, output=folder)
"""


@every_streamer
@pytest.mark.parametrize(
    ("kind", "at", "state"),
    [
        ("blocking", "after Send", "ambiguous"),
        ("blocking", "after Settle", "accepted"),
        ("awaiting", "after Settle", "accepted"),
    ],
)
def test_a_process_that_dies_has_written_the_id_down(
    vendor: str, kind: str, at: str, state: str, tmp_path: Path
) -> None:
    """Right after the first event: another process goes on with the job, and pays for nothing."""
    fresh = (kind, at) == ("awaiting", "after Settle")
    done = forked.run("-c", PROGRAM, vendor, kind, tmp_path, at, fresh=fresh, cwd=TESTS)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with Client(ledger=tmp_path / "ledger") as client:
        (entry,) = client.jobs()
        assert entry.state == state
        if state == "accepted":
            assert client.resume(entry.id).status == "succeeded"
        else:
            assert client.reconcile(entry.id)[0].result == "found"
        assert client.simulator
        assert client.simulator.bill.count() == 1
        assert "POST" not in [method for _, method, _ in client.simulator.journal]
