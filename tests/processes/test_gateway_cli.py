"""`polyreel gateway` as a process: served over a socket, killed, started again, stopped."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any

import httpx
import pytest
from polyreel import Simulator
from polyreel.flows import Reply
from polyreel.ledger.sqlite import Ledger
from polyreel.simulator.memory import remember
from support.cli import environment
from support.forked import Program
from support.paths import ROOT
from support.server import PROVIDERS, key_of
from support.swaps import first_swap
from support.waiting import HANGS

SWAP = first_swap(PROVIDERS[0])
LEDGER = "ledger.sqlite3"


@contextmanager
def serving(folder: Path, end: int, back: str = SWAP.back.id) -> Iterator[dict[str, Any]]:
    """The command, until the signal at the end; what it printed at its start."""
    command = ("-W", "error", "-m", "polyreel", "gateway", "--to", back, "--port", "0")
    more = ("--ledger", LEDGER, "--store", "kept", "--speed", "1000", "--json")
    with Program(*command, *more, cwd=folder, env=environment(), stdout=PIPE, stderr=PIPE) as run:
        assert run.stdout is not None
        printed = "".join(iter(run.stdout.readline, "}\n"))
        try:
            yield json.loads(printed + "}")
        finally:
            run.send_signal(end)
            out, err = run.communicate(timeout=HANGS)
    assert out == ""
    assert "Traceback" not in err
    if end != signal.SIGKILL:
        assert (run.returncode, err.splitlines()[-1]) == (0, "stopped"), err


def submit(document: dict[str, Any]) -> Reply:
    """Ask for a job under a key."""
    assert SWAP.made.route is not None
    url = document["faces"][SWAP.face.id] + SWAP.made.route.path
    headers = {**key_of(SWAP.face), "Idempotency-Key": "0123456789abcdef-key"}
    reply = httpx.post(url, json=SWAP.made.body, headers=headers, timeout=HANGS)
    return Reply(reply.status_code, dict(reply.headers), reply.content)


@pytest.mark.slow
def test_a_job_outlives_a_killed_gateway_and_is_billed_once(tmp_path: Path) -> None:
    """A client that repeats its call after the restart gets the first job."""
    with serving(tmp_path, signal.SIGKILL) as first:
        assert first["to"] == [SWAP.back.id]
        task = SWAP.face.read(submit(first)).id
    with serving(tmp_path, signal.SIGTERM) as second:
        again = submit(second)
        assert (SWAP.face.read(again).id, again.headers["x-polyreel-replayed"]) == (task, "true")
    simulator = Simulator()
    with Ledger(tmp_path / LEDGER) as ledger:
        remember(simulator, ledger.companion_file("simulated"))
    assert len(simulator.tasks) == 1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_commands_of_the_page_make_a_clip(tmp_path: Path) -> None:
    """As they stand there, with the vendor that it names behind."""
    page = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8")
    start, commands = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[:2]
    _install, command = start.splitlines()
    named = shlex.split(command)
    back = named[named.index("--to") + 1]
    with serving(tmp_path, signal.SIGTERM, back) as document:
        script = commands.replace("http://127.0.0.1:8770", document["url"])
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        more = {"PATH": programs, "POLYREEL_LEDGER": str(tmp_path / LEDGER)}
        done = subprocess.run(
            ["sh", "-euc", script],
            cwd=tmp_path,
            env={**environment(), **more},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    clip = (tmp_path / "clip.mp4").read_bytes()
    assert clip[4:8] == b"ftyp"
    assert [one.read_bytes() for one in (tmp_path / "kept").iterdir()] == [clip]
    assert back in done.stdout
