"""The memory of the simulator, shared by processes."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final

import pytest
from polyreel.simulator import Simulator, VirtualClock
from polyreel.simulator.memory import remember
from support.forked import Program
from support.server import START


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where jobs are remembered."""
    return tmp_path / "deep" / "jobs.simulated"


def remembering(path: Path, start: float = START, **options: Any) -> Simulator:
    """A simulator in another process, as far as the file is concerned."""
    simulator = Simulator(clock=VirtualClock(start), **options)
    remember(simulator, path)
    return simulator


WORKER: Final = """
import sys
from support.forked import Program
from support.server import PROVIDERS, example, submit
from polyreel.simulator import Simulator
from polyreel.simulator.memory import remember

simulator = Simulator()
remember(simulator, sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(50):
    submit(simulator, example(PROVIDERS[0]))
"""


def test_processes_share_a_file(path: Path) -> None:
    """Lines of several processes, written at the same time, never mix."""
    with ExitStack() as stack:
        workers = [
            stack.enter_context(Program("-c", WORKER, path, stdin=PIPE, stdout=PIPE))
            for _ in range(3)
        ]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            worker.communicate("go\n")
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert remembering(path, time.time()).bill.count() == 150
