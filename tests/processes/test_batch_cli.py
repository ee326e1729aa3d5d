"""`polyreel batch` as a process: killed, interrupted, and on a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
from collections import Counter
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import pytest
from support.cli import LEDGER, VENDORS, Command, environment, read_terminal, stranger
from support.forked import Fresh, Program
from support.waiting import HANGS, until

ROWS = 24
CLIP: dict[str, Any] = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}


@pytest.fixture
def cli(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    return stranger(capsys, monkeypatch, tmp_path)


def write(count: int, *vendors: str) -> None:
    """jobs.jsonl in the folder of the test."""
    rows = [{**CLIP, "prompt": f"row {number}"} for number in range(count)]
    if vendors:
        rows = [
            {**one, "vendor": vendors[number % len(vendors)]} for number, one in enumerate(rows)
        ]
    Path("jobs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))


def results(folder: str = "clips") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / "results.jsonl").read_text().splitlines()]


UNRENDERED = """
from polyreel.cli import main
from polyreel.simulator import rendering
rendering.is_installed = lambda *, video: False
main()
"""
"""The command line, whose simulated files are ready-made."""


def start(folder: Path, kind: type[Program | Fresh] = Program, **streams: int) -> Program | Fresh:
    command = ("-c", UNRENDERED, "batch", "jobs.jsonl", "--concurrency", "2")
    return kind(*command, cwd=folder, env=environment(), **streams)


def remembered(process: Program | Fresh, memory: Path, before: int) -> bool:
    """Whether a job more is billed, or the process has ended."""
    return process.poll() is not None or (memory.exists() and memory.stat().st_size > before)


def test_killed_and_interrupted(cli: Command, tmp_path: Path) -> None:
    """Ctrl-C exits 130, SIGTERM 143, and the same command goes on, also after SIGKILL: nothing is
    billed twice.
    """
    write(ROWS, *VENDORS)
    ledger = (
        Path(environment()["POLYREEL_LEDGER"])
        if "POLYREEL_LEDGER" in environment()
        else tmp_path / LEDGER
    )
    memory = tmp_path / f"{ledger}.simulated"
    for number, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)):
        before = memory.stat().st_size if memory.exists() else 0
        kind = Fresh if number == signal.SIGTERM else Program
        with start(tmp_path, kind, stdout=PIPE, stderr=PIPE) as process:
            until(partial(remembered, process, memory, before))
            process.send_signal(number)
            _, err = process.communicate(timeout=HANGS)
        assert process.returncode == code, err
        assert "Traceback" not in err
        assert ("the same command again goes on" in err) == (code > 0)
    with start(tmp_path, stdout=PIPE, stderr=PIPE) as process:
        process.communicate(timeout=2 * HANGS)
    tasks = [json.loads(line) for line in memory.read_text().splitlines() if line]
    billed = Counter(json.dumps(task["body"], sort_keys=True) for task in tasks)
    assert set(billed.values()) == {1}
    assert len(results()) == ROWS
    assert sum(line["state"] == "saved" for line in results()) >= ROWS * 0.75
    assert process.returncode in {0, 6}, json.dumps(
        [line for line in results() if line["state"] != "saved"]
    )


def test_a_bar_on_a_terminal(cli: Command, tmp_path: Path) -> None:
    """It counts rows, and states."""
    write(4)
    parent, child = pty.openpty()
    with start(tmp_path, stdout=DEVNULL, stderr=child) as process:
        os.close(child)
        shown = b""
        while piece := read_terminal(parent):
            shown += piece
        os.close(parent)
        assert process.wait(HANGS) == 0
    assert b"4/4" in shown
    assert b"saved 4" in shown
