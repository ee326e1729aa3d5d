"""A process with an open ledger forks: its children harm neither its file nor its jobs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from polyreel import Ledger
from support import forked
from support.waiting import HANGS

PARENT = """
import os, sys, threading, time
from contextlib import suppress
from attrs import evolve
from polyreel import Ledger, LedgerError, all_providers, plan
from polyreel.ledger.events import Intend
from polyreel.ledger.records import Submission

# Without the helpers of tests, which import pytest and more: this interpreter is a fresh one.
NOW = 1_800_000_000.0
made = plan({"prompt": "a"}, next(iter(all_providers().values())))
intended = Submission.of(made, idempotency_key="0123456789abcdef", simulated=True)

def submission(**changes):
    return evolve(intended, **changes)

path = sys.argv[1]
{before}
ledger = Ledger(path)
owner = ledger.new_owner()
ledger.write(Intend(submission(reference="of the parent")), owner, NOW)
child = os.fork()
if child == 0:
    {child}
    sys.exit(0)  # as Python ends by itself: with everything that it does at its end
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print("forked", flush=True)
sys.stdin.readline()
ledger.write(Intend(submission(reference="after the fork")), owner, NOW)
print("written", flush=True)
sys.stdin.read()
"""
REFUSED = """
    try:
        {deed}
    except LedgerError as error:
        assert "forked" in str(error), error
    else:
        raise SystemExit("it was not refused")
"""
OWN = """
    with Ledger(path) as own:
        assert [entry.owned for entry in own.entries()] == [True]
        assert own._file.connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        own.write(Intend(submission(reference="of the child")), own.new_owner(), NOW)
"""
DEEDS = {
    "nothing": "pass",
    "closes": "ledger.close()",
    "uses": "".join(
        REFUSED.format(deed=deed)
        for deed in (
            "ledger.entries()",
            "ledger.new_owner()",
            "ledger.write(Intend(submission()), owner, NOW)",
            "ledger.release(owner, sent=False)",
        )
    ),
    "opens-its-own": OWN,
}
BUSY_THREAD = """
def work():
    while True:
        with suppress(LedgerError):
            busy.write(Intend(submission()), busy.new_owner(), NOW)

busy = Ledger(path + "-of-a-thread")
threading.Thread(target=work, daemon=True).start()
"""
LOOK = """
import sys
from polyreel import Ledger
with Ledger(sys.argv[1]) as ledger:
    for entry in ledger.entries():
        print(entry.submission.reference, entry.state, entry.owned, sep=",")
    print(ledger._file.connection.execute("PRAGMA integrity_check").fetchone()[0])
"""


def look(path: Path) -> list[str]:
    """What another process finds in the ledger, which comes and goes."""
    done = forked.run("-c", LOOK, path)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("deed", "before"),
    [*((deed, "") for deed in DEEDS), ("opens-its-own", BUSY_THREAD)],
    ids=[*DEEDS, "opens-its-own-beside-a-busy-thread"],
)
def test_a_child_leaves_the_ledger_of_its_parent(deed: str, before: str, tmp_path: Path) -> None:
    """What the parent owns stays owned, and what it commits is seen by all."""
    program = PARENT.replace("{child}", DEEDS[deed].strip()).replace("{before}", before)
    path = tmp_path / "ledger.sqlite3"
    # Python 3.12 and later warn of threads beside a fork; here they are what is tested.
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning"]
    with subprocess.Popen(
        [*command, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert parent.stdout.readline() == "forked\n"
        others = [["of the child,ambiguous,False"], []][deed != "opens-its-own"]
        assert look(path) == ["of the parent,sending,True", *others, "ok"]
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "written\n"
        mine = ["of the parent,sending,True", *others, "after the fork,sending,True"]
        assert look(path) == [*mine, "ok"]
        parent.kill()


def test_a_ledger_is_opened_again_where_a_fork_waits_for_that(tmp_path: Path) -> None:
    """It was closed for a fork, and the next fork can come just then. SQLite has locks of its own,
    which a child would find as they are, and wait for without end.
    """
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        shared, opened = ledger._file._shared, threading.Event()

        def open_again() -> None:
            ledger.new_owner()
            opened.set()

        with shared.lock:  # as a fork takes it
            shared.suspend()
            thread = threading.Thread(target=open_again)
            thread.start()
            assert not opened.wait(0.5)
        assert opened.wait(HANGS)
        thread.join()


SIMULATORS = """
import os, sys
from polyreel import Client, Simulator

simulator = Simulator(seed={seed})
simulator.lock.acquire()  # as another thread of the parent may have
client = Client(simulator=simulator)
plan = client.plan({{"prompt": "a cat", "duration": 3}})
for number in range(3):
    if os.fork() == 0:
        break
    os.wait()  # one child after the other, so that what they print does not mix
else:
    simulator.lock.release()
print(client.submit(plan).id, flush=True)
"""


@pytest.mark.parametrize("seed", [None, 1])
def test_forked_simulators_make_different_tasks(seed: int | None) -> None:
    """Also where a seed makes the ids of each run the same; and no child waits for a lock that a
    thread of its parent held.
    """
    done = forked.run("-c", SIMULATORS.format(seed=seed))
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.split())) == 4
