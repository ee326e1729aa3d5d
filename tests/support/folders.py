"""A test's folder says what the test costs: the cheap ones open no socket and start no process."""

from __future__ import annotations

import sys
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import pytest

FOLDERS: Final = ("unit", "laws", "simulated", "servers", "processes")
"""From the cheapest to the dearest, which is the order in which they run."""
DEAR: Final = frozenset({"simulated", "servers", "processes"})
"""The folders of tests that make whole jobs."""
WAITING: Final = frozenset({"servers", "processes"})
"""The folders of tests that wait for others more than they compute."""
QUICK: Final = frozenset({"unit", "laws", "simulated"})
"""The folders of tests that stay in their process."""
LEAVING: Final = frozenset(
    {
        *("socket.bind", "socket.connect", "socket.getaddrinfo"),
        *("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"),
    }
)
"""What Python tells its audit hooks when a socket is opened or a process is started."""


def folder(path: Path) -> str | None:
    """The folder of a test file, or None for a file that lies in none of them."""
    return next((part for part in reversed(path.parts) if part in FOLDERS), None)


def cheapest_first(items: list[pytest.Item]) -> list[pytest.Item]:
    """The same items in the order of their folders."""
    ranks = {name: rank for rank, name in enumerate(FOLDERS)}
    return sorted(items, key=lambda item: ranks.get(folder(item.path) or "", len(ranks)))


def spread(items: list[pytest.Item]) -> list[pytest.Item]:
    """The same items, file by file: those that wait for sockets and processes among the others.

    So that a worker computes while another one waits, when several share the tests.
    """
    files = [[*group] for _, group in groupby(items, key=lambda item: item.path)]
    # The dearest first: none of them is left for one worker alone at the end.
    waiting = [one for one in reversed(files) if folder(one[0].path) in WAITING]
    others = [one for one in files if folder(one[0].path) not in WAITING]
    number, before = sum(map(len, others)), 0
    placed = [(position / len(waiting), one) for position, one in enumerate(waiting)]
    for one in others:
        placed.append((before / number, one))
        before += len(one)
    return [item for _, one in sorted(placed, key=itemgetter(0)) for item in one]


class Exits:
    """Notes how a test leaves its process."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        sys.addaudithook(self.record)

    def record(self, event: str, _: tuple[Any, ...]) -> None:
        """Note an event of the interpreter."""
        if event in LEAVING:
            self.seen.add(event)

    def begin(self) -> None:
        """Forget what earlier tests did."""
        self.seen.clear()

    def complaint(self, path: Path) -> str | None:
        """What is wrong with the place of a test that did what was noted."""
        place = folder(path)
        if place not in QUICK or not self.seen:
            return None
        events = ", ".join(sorted(self.seen))
        return f"{events}: a test in tests/{place} opens no socket and starts no process"
