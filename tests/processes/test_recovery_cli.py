"""Commands for jobs that were cut off, as processes that are stopped, killed and run again."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from pathlib import Path
from subprocess import PIPE

import pytest
from polyreel.ledger.sqlite import Ledger
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import RunningClock, Simulator, server
from support.cli import CANARY, FIRST, LEDGER, VENDORS, Outcome, environment, process
from support.forked import Fresh
from support.waiting import HANGS

CLIP = ("generate", "a cat", "--duration", "3", "--resolution", "720p", "--no-audio")
FINDABLE, UNFINDABLE = (
    next(
        vendor
        for vendor, one in all_providers().items()
        if (type(one).recent is not Provider.recent) is findable
    )
    for findable in (True, False)
)
MOVABLE = VENDORS[0]


def entry_of(found: Outcome) -> str:
    """The entry that an error document names."""
    name = found.document["error"]["ledger_id"]
    assert isinstance(name, str)
    return name


def test_running_out_of_patience_and_resuming(tmp_path: Path) -> None:
    """Exit 8 names the next command, which finishes the job in another process; once more, it does
    nothing.
    """
    waiting = process(*CLIP, "--timeout", "1", "--output", "there", cwd=tmp_path)
    assert waiting.code == 8
    command = waiting.last_line.removeprefix("next: polyreel ").split()
    assert command[0] == "resume"
    done = process(*command, "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    (job,) = done.document
    (output,) = job["outputs"]
    assert Path(output["path"]).parent == tmp_path / "there"
    assert process(*command, "--json", cwd=tmp_path).document == done.document
    assert process("resume", cwd=tmp_path).last_line == "nothing to resume"


@pytest.mark.parametrize("vendor", [FINDABLE, UNFINDABLE])
def test_a_lost_answer_and_the_way_out(vendor: str, tmp_path: Path) -> None:
    """Exit 6 names the next command; what it finds is resumed, what it cannot find is the user's to
    decide.
    """
    lost = process(*CLIP, "--vendor", vendor, "--fault", "lost-reset", "--json", cwd=tmp_path)
    assert (lost.code, lost.document["error"]["billed"]) == (6, "maybe")
    name = entry_of(lost)
    assert lost.last_line == f"next: polyreel reconcile {name}"
    found = process("reconcile", name, "--json", cwd=tmp_path)
    (finding,) = found.document
    if vendor != UNFINDABLE:
        assert (found.code, finding["result"], found.last_line) == (
            0,
            "found",
            f"next: polyreel resume {name}",
        )
        assert process("resume", cwd=tmp_path).code == 0
        return
    assert (found.code, finding["result"]) == (6, "unsolved")
    for step in (
        f"adopt {name} TASK",
        f"resubmit {name} --accept-double-billing",
        f"abandon {name}",
    ):
        assert f"polyreel {step}" in found.err
    assert process("resume", name, cwd=tmp_path).code == 6
    assert process("resubmit", name, cwd=tmp_path).code == 2
    again = process("resubmit", name, "--accept-double-billing", cwd=tmp_path)
    assert again.code == 0, again.err
    assert Path(again.out.strip()).exists()
    states = [entry["state"] for entry in process("jobs", "--json", cwd=tmp_path).document]
    assert states == ["resubmitted", "saved"]


def test_a_live_job_is_resumed_live(tmp_path: Path) -> None:
    """The commands act on simulated jobs unless --live is given; a key is shown nowhere."""
    with server.running(Simulator(clock=RunningClock(1000))) as url:
        env = {all_providers()[MOVABLE].base_url_variable: url + server.mounts()[MOVABLE]}
        live = (*CLIP, "--live", "--yes", "--vendor", MOVABLE, "--timeout", "0", "--json")
        waiting = process(*live, cwd=tmp_path, env=env)
        name = entry_of(waiting)
        assert waiting.last_line == f"next: polyreel resume {name} --live"
        refused = process("resume", name, cwd=tmp_path, env=env)
        assert (refused.code, "--live" in refused.err) == (2, True)
        assert process("resume", cwd=tmp_path, env=env).last_line == "nothing to resume"
        done = process("resume", name, "--live", cwd=tmp_path, env=env)
        assert done.code == 0, done.err
    assert CANARY.encode() not in b"".join(
        file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()
    )


def test_a_lost_answer_of_a_live_job_names_a_live_command(tmp_path: Path) -> None:
    """The command that is named finds the job."""
    simulator = Simulator(clock=RunningClock(1000))
    simulator.inject("lost-close", MOVABLE)
    with server.running(simulator) as url:
        env = {all_providers()[MOVABLE].base_url_variable: url + server.mounts()[MOVABLE]}
        lost = process(
            *CLIP, "--live", "--yes", "--vendor", MOVABLE, "--json", cwd=tmp_path, env=env
        )
        assert lost.code == 6
        assert lost.last_line == f"next: polyreel reconcile {entry_of(lost)} --live"
        found = process(
            *lost.last_line.removeprefix("next: polyreel ").split(), "--json", cwd=tmp_path, env=env
        )
        assert [finding["id"] for finding in found.document] == [entry_of(lost)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_loses_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C exits 130, SIGTERM 143; both say what to type next, and that finishes the job."""
    with server.running(Simulator(clock=RunningClock(0.01))) as url:
        env = environment(
            **{all_providers()[MOVABLE].base_url_variable: url + server.mounts()[MOVABLE]}
        )
        command = ("-m", "polyreel", *CLIP, "--live", "--yes", "--vendor", MOVABLE)
        with Fresh(*command, cwd=tmp_path, env=env, stderr=PIPE) as running:
            assert running.stderr
            assert "queued" in running.stderr.readline()
            running.send_signal(number)
            rest = running.stderr.read()
            assert running.wait(HANGS) == 128 + number, rest
    assert "Traceback" not in rest
    with Ledger(tmp_path / LEDGER) as ledger:
        (entry,) = ledger.entries()
    assert (entry.state, entry.owned) == ("accepted", False)
    assert f"next: polyreel resume {entry.id} --live" in rest


def test_two_resumes_at_once_share_the_work(tmp_path: Path) -> None:
    """One of them has the job, the other says so."""
    assert process(*CLIP, "--vendor", FIRST, "--timeout", "0", cwd=tmp_path).code == 8
    with Ledger(tmp_path / LEDGER) as ledger:
        (entry,) = ledger.entries()
        hold = sqlite3.connect(tmp_path / LEDGER)
        owner = ledger.new_owner()
        hold.execute("UPDATE jobs SET owner = ?", (owner,))
        hold.commit()
        hold.close()
        busy = process("resume", entry.id, cwd=tmp_path)
        assert (busy.code, "looks after" in busy.err) == (2, True)
        assert process("resume", cwd=tmp_path).last_line == "nothing to resume"
        ledger.release(owner, sent=False)
    assert process("resume", cwd=tmp_path).code == 0


def test_the_ledger_has_a_place_of_its_own(tmp_path: Path) -> None:
    """In the user's data folder, unless the environment says otherwise; readable by nobody else."""
    env = {"POLYREEL_LEDGER": "", "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    assert process(*CLIP, cwd=tmp_path, env=env).code == 0
    files = [file for file in (tmp_path / "data").rglob("*") if file.is_file()]
    assert (tmp_path / "data" / "polyreel" / "ledger.sqlite3") in files
    assert {oct(file.stat().st_mode & 0o077) for file in files} == {"0o0"}
    assert time.time() - files[0].stat().st_mtime < 60
    assert not os.path.exists(tmp_path / ".polyreel")
