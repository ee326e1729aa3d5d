"""How things are measured, and what is said of them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from peers.environments import PROGRAMS, measured
from peers.measuring import best
from polyreel.providers.base.registry import all_providers
from polyreel_generated.contracts.vendors import VendorId

__all__ = ["REQUEST", "VENDOR", "Peers", "Row", "best", "serving", "timed"]

VENDOR: Final = cast(VendorId, next(iter(all_providers())))
REQUEST: Final = {
    "prompt": "a cat walking through neon rain",
    "duration": 5,
    "aspect_ratio": "9:16",
    "audio": True,
}


class Row(NamedTuple):
    """One comparison. Only the ratio says something about another machine."""

    what: str
    own: str
    beside: str
    """What it is compared with, and the figure of that."""
    ratio: float
    target: str = "-"


class Peers:
    """Other libraries, each measured by its own program in an environment of its own; none where
    nobody asks.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def figures(
        self, name: str, *arguments: str, only: tuple[str, ...] = tuple(PROGRAMS)
    ) -> Mapping[str, Any]:
        """One figure of every peer that has it."""
        if self._folder is None:
            return {}
        found = {
            peer: measured(peer, self._folder, [name, *arguments])
            for peer in PROGRAMS
            if peer in only
        }
        return {f"{peer} {one['version']}": one["figures"][name] for peer, one in found.items()}


@contextmanager
def serving(*command: str) -> Iterator[str]:
    """A Python program in a process of its own, and the first line that it prints."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def timed(work: Callable[[], Any]) -> float:
    """Seconds for one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
