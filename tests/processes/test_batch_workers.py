"""A batch whose rows are made by two workers over the ledger in Postgres."""

from __future__ import annotations

import json
import signal
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import pytest
from polyreel.ledger.postgres import PostgresLedger
from support.batches import row, write
from support.forked import Program
from support.vendors import forgetful_vendor
from support.waiting import HANGS, until

ROWS = 24
VENDOR = forgetful_vendor().id
UNRENDERED = """
import sys
from polyreel.cli import main
from polyreel.simulator import rendering
rendering.is_installed = lambda *, video: False
main()
"""
"""The command line, whose simulated files are ready-made."""


def started(folder: Path, *command: str, **streams: Any) -> Program:
    return Program("-c", UNRENDERED, *command, cwd=folder, **streams)


def results(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "clips" / "results.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.usefixtures("bare")
def test_two_workers_make_what_a_command_follows(postgres: str, tmp_path: Path) -> None:
    """The command is killed amid it, and interrupted; the workers go on, and the same command
    follows. Each row is billed once.
    """
    write(tmp_path, [row(number, vendor=VENDOR) for number in range(ROWS)])
    command = ("batch", "jobs.jsonl", "--engine", "procrastinate", "--ledger", postgres)
    with ExitStack() as stack, PostgresLedger(postgres) as ledger:
        with started(tmp_path, *command) as killed:
            until(lambda: len(ledger.entries()) >= ROWS / 2)
            killed.kill()
        for _ in range(2):
            worker = started(tmp_path, "worker", "--ledger", postgres, stderr=DEVNULL)
            stack.enter_context(worker)
            stack.callback(worker.send_signal, signal.SIGTERM)
        with started(tmp_path, *command, "--concurrency", "8", stderr=PIPE) as interrupted:
            until(lambda: ledger.entries(["saved"]))
            interrupted.send_signal(signal.SIGINT)
            _, said = interrupted.communicate(timeout=HANGS)
        assert interrupted.returncode in {0, 130}, said
        assert "Traceback" not in said
        assert interrupted.returncode == 0 or "the same command again follows" in said
        with started(tmp_path, *command, stderr=PIPE) as follower:
            _, said = follower.communicate(timeout=3 * HANGS)
        assert follower.returncode == 0, said
        assert {entry.state for entry in ledger.entries()} == {"saved"}
        memory = ledger.companion_file("simulated")
        tasks = [json.loads(line) for line in memory.read_text().splitlines() if line]
    assert [line["state"] for line in results(tmp_path)] == ["saved"] * ROWS
    assert all(Path(file).exists() for line in results(tmp_path) for file in line["files"])
    billed = Counter(json.dumps(task["body"], sort_keys=True) for task in tasks)
    assert (len(billed), set(billed.values())) == (ROWS, {1})
