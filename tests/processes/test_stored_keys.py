"""A stored key from the hidden prompt to a paid job, in processes of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import RunningClock, Simulator, server
from support import forked
from support.cli import CANARY, KEYS, environment, process, read_terminal

pty = pytest.importorskip("pty")
MOVABLE = next(vendor for vendor, one in all_providers().items() if one.base_url_variable)
CLIP = ("generate", "a cat", "--duration", "3", "--timeout", "0")


def typed(folder: Path, keys: str, *arguments: str, answer: Callable[[bytes], bytes | None]) -> str:
    """What a command shows on a terminal that is its own, where it can be typed."""
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - another process
        os.chdir(folder)
        variables = environment(POLYREEL_KEYS=keys, TERM="xterm", COLUMNS="200")
        kept = {name: value for name, value in variables.items() if name not in KEYS}
        command = [sys.executable, "-m", "polyreel", *arguments]
        os.execve(sys.executable, command, kept)
    screen = b""
    while chunk := read_terminal(terminal):
        screen += chunk
        if text := answer(screen):
            os.write(terminal, text)
    os.close(terminal)
    os.waitpid(pid, 0)
    return screen.decode(errors="replace")


@pytest.mark.slow
def test_a_key_that_is_typed_is_paid_with(tmp_path: Path) -> None:
    """It is not shown while it is typed, nor later; without it there is no live job."""
    path = tmp_path / "keys.json"
    asked: list[bool] = []

    def answer(screen: bytes) -> bytes | None:
        if b"(not shown):" not in screen or asked:
            return None
        asked.append(True)
        return CANARY.encode() + b"\n"

    screen = typed(tmp_path, str(path), "keys", "set", MOVABLE, answer=answer)
    assert f"the key of {MOVABLE} is in {path}" in screen
    assert CANARY not in screen
    simulator = Simulator(clock=RunningClock(1000), keys=frozenset({CANARY}))
    with server.running(simulator) as url:
        base = {all_providers()[MOVABLE].base_url_variable or "": url + server.mounts()[MOVABLE]}
        known = {name: value for name, value in environment(**base).items() if name not in KEYS}
        command = ("-m", "polyreel", *CLIP, "--live", "--vendor", MOVABLE, "--yes")
        for keys, code in ((str(path), 8), (str(tmp_path / "none.json"), 4)):
            done = forked.run(*command, cwd=tmp_path, env={**known, "POLYREEL_KEYS": keys})
            assert done.returncode == code, done.stderr
            assert CANARY not in done.stdout + done.stderr
    assert simulator.bill.count() == 1
    gone = process("keys", "remove", MOVABLE, cwd=tmp_path, env={"POLYREEL_KEYS": str(path)})
    assert gone.code == 0
    assert CANARY not in path.read_text()
