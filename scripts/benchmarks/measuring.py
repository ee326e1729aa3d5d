"""How things are measured, and what is said of them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple, cast

from peers.environments import PROGRAMS, measured
from polyreel.providers.base.registry import all_providers
from polyreel_generated.contracts.vendors import VendorId

__all__ = [
    "PROMPTS",
    "REQUEST",
    "ROUNDS",
    "VENDOR",
    "Figure",
    "Peers",
    "Row",
    "in_turns",
    "resident",
    "serving",
]

ROUNDS: Final = 9
"""How often each way is measured, in turns with the others."""

VENDOR: Final = cast(VendorId, next(iter(all_providers())))
REQUEST: Final = {
    "prompt": "a cat walking through neon rain",
    "duration": 5,
    "aspect_ratio": "9:16",
    "audio": True,
}


PROMPTS: Final = [f"{REQUEST['prompt']}, take {number}" for number in range(1_000)]
"""No two requests of a program have the same prompt."""


class Row(NamedTuple):
    """One comparison. Only the ratio says something about another machine."""

    what: str
    own: str
    beside: str
    """What it is compared with, and the figure of that."""
    ratio: float
    target: str = "-"

    @property
    def is_missed(self) -> bool:
        """Whether the ratio is not what it is to be."""
        if self.target == "-":
            return False
        sign, number = self.target.split()
        most = float(number)
        return not {"<=": self.ratio <= most, ">=": self.ratio >= most, "=": self.ratio == most}[
            sign
        ]


class Figure:
    """What one way took in each round: seconds, or what else is less where it is better."""

    def __init__(self, rounds: Sequence[float]) -> None:
        self.rounds = rounds

    @property
    def median(self) -> float:
        """The one in the middle."""
        return median(self.rounds)

    def __truediv__(self, other: Figure) -> float:
        """The median of the ratios of the rounds: what disturbs a round disturbs both of it."""
        return median(one / two for one, two in zip(self.rounds, other.rounds, strict=True))

    def shown(self, scale: Callable[[float], float], unit: str) -> str:
        """The median, and the least and the most, in a unit."""
        least, most = sorted((scale(min(self.rounds)), scale(max(self.rounds))))
        return f"{scale(self.median):.4g} {unit} ({least:.4g} to {most:.4g})"


class Peers:
    """Other libraries, each measured by its own program in an environment of its own; none where
    nobody asks.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def figures(
        self,
        name: str,
        *arguments: str,
        only: tuple[str, ...] = tuple(PROGRAMS),
        environment: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        """One figure of every peer that has it, with more variables of its environment."""
        if self.folder is None:
            return {}
        found = {
            peer: measured(peer, self.folder, [name, *arguments], environment)
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


def in_turns(
    ways: Mapping[str, Callable[[], object]],
    *,
    times: int = 1,
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.perf_counter,
    between: Callable[[], object] = lambda: None,
) -> dict[str, Figure]:
    """What a call takes by a clock, in rounds in which each way is called so many times."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = clock()
            for _ in range(times):
                way()
            found[name].append((clock() - start) / times)
            between()
    return {name: Figure(taken) for name, taken in found.items()}


def resident() -> float:
    """Bytes of memory that this process has."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1]) * 1024
    raise OSError("how much memory a process has is read from /proc")
