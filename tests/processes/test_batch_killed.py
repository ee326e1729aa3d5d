"""A batch that is killed and run again pays nothing twice."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest
from polyreel import Simulator
from polyreel.simulator import RunningClock, server
from support.batches import (
    FINAL,
    ROWS,
    SPEED,
    VENDORS,
    afflict,
    compare_with_the_bill,
    reported,
    row,
    row_of,
    write,
)
from support.forked import Fresh, Program
from support.paths import TESTS
from support.waiting import HANGS


def worker(url: str, folder: Path, kind: type[Program | Fresh] = Program) -> Program | Fresh:
    """A process that does it."""
    code = (
        "import sys, pathlib; from support.batches import work; "
        "work(sys.argv[1], pathlib.Path(sys.argv[2]))"
    )
    with (folder / "stderr.txt").open("ab") as errors:
        return kind("-c", code, url, folder, stderr=errors, cwd=TESTS)


def kill_at(goal: int, process: Program | Fresh, simulator: Simulator) -> None:
    """Kill a process when so many rows are billed: the vendor has accepted one, and has not
    answered yet.
    """

    def accepted(*_: object) -> None:
        if simulator.bill.count() >= goal:
            process.kill()

    simulator.on_accept = accepted


def kill_twice(simulator: Simulator, url: str, folder: Path) -> int:
    """Kill two runs in the middle, then let two more get through: how many were killed at work.

    Others follow as long as a download fails by chance.
    """
    killed = 0
    for goal, kind in ((ROWS // 4, Program), (ROWS // 2, Fresh)):
        process = worker(url, folder, kind)
        kill_at(goal, process, simulator)
        killed += process.wait(2 * HANGS) == -signal.SIGKILL
    simulator.on_accept = None
    for number in range(1, 10):
        assert worker(url, folder).wait(2 * HANGS) == 0, (folder / "stderr.txt").read_text()
        if number > 1 and all(line["state"] != "succeeded" for line in reported(folder)):
            break
    return killed


@pytest.mark.usefixtures("bare")
def test_a_batch_that_is_killed_twice_pays_nothing_twice(tmp_path: Path) -> None:
    """100 rows over all vendors, with faults in every kind of call: each row ends in one final
    state, and what the rows cost is what the vendors' bills come to.
    """
    write(
        tmp_path,
        [row(number, vendor=VENDORS[number % len(VENDORS)]) for number in range(1, ROWS + 1)],
    )
    simulator = Simulator(clock=RunningClock(SPEED), seed=1)
    afflict(simulator, 0.1)
    with server.running(simulator) as url:
        assert kill_twice(simulator, url, tmp_path) == 2
    lines = reported(tmp_path)
    assert [line["row"] for line in lines] == [*range(1, ROWS + 1)]
    assert {line["state"] for line in lines} <= FINAL
    billed = Counter(row_of(task) for task in simulator.tasks.values())
    assert simulator.bill.count() == len(billed), "a row was billed twice"
    known = {str(line["row"]) for line in lines if line["billed"] != "no"}
    assert set(billed) <= known, "a row was billed, and nobody knows"
    compare_with_the_bill(simulator, lines)
    assert simulator.fired
    assert sum(line["state"] == "saved" for line in lines) > ROWS * 0.6
    assert all(Path(file).exists() for line in lines for file in line["files"])
    assert b"Traceback" not in (tmp_path / "stderr.txt").read_bytes()
