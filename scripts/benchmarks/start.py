"""Start-up: the CPU time of whole processes, beside that of a Python that does nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Final, NamedTuple

from .measuring import VENDOR, Peers, Row

ROUNDS: Final = 15
LIVE: Final = f"""
from polyreel import Client
client = Client(keys={{{VENDOR!r}: "a-key-that-is-never-used"}})
"""
FIRST_PLAN: Final = LIVE + 'client.plan({"prompt": "a cat"}).content'
FIRST_MODEL: Final = LIVE + (
    'from polyreel import VideoRequest; client.plan(VideoRequest(prompt="a cat")).content'
)
SIMULATOR_MODULES: Final = FIRST_PLAN + (
    "\nimport sys\nprint(*(name for name in sys.modules if name.startswith('polyreel.simulator')))"
)
EMPTY_APP: Final = """
import typer
app = typer.Typer()
app.command()(lambda: None)
app.callback()(lambda: None)
app(["--help"])
"""


class Program(NamedTuple):
    """One command line that is measured."""

    what: str
    arguments: Sequence[str]
    target: str = "-"


BARE: Final = Program("bare Python", ["-c", "pass"])
PROGRAMS: Final = (
    BARE,
    Program("start: an empty typer app, --help", ["-c", EMPTY_APP]),
    Program("start: import httpx, httpx.Client()", ["-c", "import httpx; httpx.Client()"]),
    Program("start: polyreel --help", ["-m", "polyreel", "--help"], "<= 20"),
    Program(
        "start: polyreel plan ... --json",
        ["-m", "polyreel", "plan", "a cat", "--vendor", VENDOR, "--json"],
        "<= 32",
    ),
    Program("start: live client, first plan", ["-c", FIRST_PLAN], "<= 20"),
    Program("start: the same of a VideoRequest", ["-c", FIRST_MODEL]),
)


def starting(_: Peers) -> Iterator[Row]:
    """Each program beside bare Python, and the simulator's modules that a live client loads."""
    seconds = cpu_seconds()
    bare = seconds[BARE.what]
    for program in PROGRAMS:
        if program is not BARE:
            own = seconds[program.what]
            beside = f"bare Python, {bare * 1000:.1f} ms"
            yield Row(program.what, f"{own * 1000:.1f} ms", beside, own / bare, program.target)
    loaded = simulator_modules()
    what = "start: simulator modules of a live client"
    yield Row(what, " ".join(loaded) or "none", "none", float(len(loaded)), "= 0")


def cpu_seconds() -> Mapping[str, float]:
    """User and system time of each program, the median of rounds in which all take their turn."""
    taken: dict[str, list[float]] = {program.what: [] for program in PROGRAMS}
    for _ in range(ROUNDS):
        for program in PROGRAMS:
            taken[program.what].append(cpu_of([sys.executable, *program.arguments]))
    return {what: median(times) for what, times in taken.items()}


def cpu_of(command: list[str]) -> float:
    """Seconds of user and system time of one process, whose output nobody reads."""
    silent = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
    process = os.posix_spawn(command[0], command, os.environ, file_actions=[silent])
    _, status, usage = os.wait4(process, 0)
    if status != 0:
        raise RuntimeError(f"{command} failed")
    return usage.ru_utime + usage.ru_stime


def simulator_modules() -> list[str]:
    """The simulator's modules that are there after the first plan of a live client."""
    command = [sys.executable, "-c", SIMULATOR_MODULES]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
