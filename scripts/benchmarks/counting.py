"""Counted instructions, which no other program on the machine changes: they need valgrind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Final

CALLS: Final = 300
WARM: Final = 100
"""Calls that are not counted: what is done only once is done by then."""
REFERENCES: Final = re.compile(r"I +refs: +([0-9,]+)")


def counted(part: str, way: str) -> float | None:
    """The instructions of one call of a way of a part, in a process of its own; None without
    valgrind.
    """
    if shutil.which("valgrind") is None:
        return None
    options = ["--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null"]
    command = ["valgrind", *options, sys.executable, sys.argv[0], "--counted", part, way]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = REFERENCES.search(done.stderr)
    assert found, done.stderr
    return int(found[1].replace(",", "")) / CALLS


def call(ways: Mapping[str, Callable[[], object]], way: str) -> None:
    """Call a way, and have that counted."""
    for _ in range(WARM):
        ways[way]()
    _count("on")
    for _ in range(CALLS):
        ways[way]()
    _count("off")


def _count(state: str) -> None:
    command = ["callgrind_control", "-i", state, str(os.getpid())]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
