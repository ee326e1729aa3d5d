"""The command line on a terminal: its width and its colours."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from polyreel.providers.base.registry import all_providers
from support.cli import environment, read_terminal
from support.forked import Program

pty, fcntl, termios = map(pytest.importorskip, ("pty", "fcntl", "termios"))
VENDOR = next(iter(all_providers()))
PLAN = ("plan", "a @Image1 cat", "--duration", "99", "--vendor", VENDOR)
"""What a vendor that tells its range of lengths refuses."""


def shown(folder: Path, variables: Mapping[str, str], *arguments: str) -> str:
    """What a command shows on a terminal of 60 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    env = environment(TERM="xterm-256color", **variables)
    env.pop("COLUMNS", None)
    command = ("-m", "polyreel", *arguments)
    with Program(*command, cwd=folder, env=env, stdout=theirs, stderr=theirs):
        os.close(theirs)
        screen = b""
        while chunk := read_terminal(ours):
            screen += chunk
    os.close(ours)
    return screen.decode()


def test_colours_and_cards_on_a_narrow_terminal(tmp_path: Path) -> None:
    """The refused verdict is red, and the table is one of cards."""
    screen = shown(tmp_path, {}, *PLAN)
    assert "verdict  \x1b[31mrefused\x1b[0m" in screen


def test_no_color_holds(tmp_path: Path) -> None:
    """With NO_COLOR there is not one code of the terminal."""
    screen = shown(tmp_path, {"NO_COLOR": "1"}, *PLAN)
    assert "verdict  refused" in screen
    assert "\x1b" not in screen
