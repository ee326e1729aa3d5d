"""Processes that start at once: forked from one that has loaded everything, and opened nothing.

A program that has to load first is away for a minute of a trial's time, which no restart is.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Final

from polyreel import Client
from polyreel.providers.base.registry import get_provider

from .runner import Mode, Runner, request, vendors

PROGRAM: Final = Path(__file__).resolve().parents[1] / "chaos"


def fork(work: Callable[[], object]) -> int:
    """Do some work in a process of its own; the result is its id."""
    child = os.fork()
    if child:
        return child
    try:
        os.dup2(2, 1)
        work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)


def load() -> None:
    """Load what the command line and clients load when they need it."""
    with Client() as client:
        for vendor in map(get_provider, set(vendors())):
            client.submit(client.plan(request(0, vendor), vendor))


def nursery(url: str, folder: Path, jobs: int) -> None:
    """Make a runner for each line of stdin, which names its mode."""
    load()
    children(lambda mode: Runner(url, folder, jobs, mode).run())


def children(work: Callable[[Mode], object]) -> None:
    """Do some work in a new process for each line of stdin; tell its id, and when it ends."""
    ended: list[int] = []
    for line in sys.stdin:
        while ended:  # until now its id was nobody else's, whoever wanted to kill it
            os.waitpid(ended.pop(), 0)
        mode: Mode = line.strip()  # type: ignore[assignment]
        child = fork(partial(work, mode))
        print(child, flush=True)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        print("ended", flush=True)
        ended.append(child)


class Running:
    """A runner at work, as the one sees it who may kill it."""

    def __init__(self, commands: IO[bytes], answers: IO[bytes], mode: Mode) -> None:
        commands.write(f"{mode}\n".encode())
        commands.flush()
        self._answers = answers
        self._process = int(answers.readline())

    def is_over(self) -> bool:
        """Whether it has ended."""
        return bool(select.select([self._answers], [], [], 0)[0])

    def kill(self) -> None:
        """Kill it, at whatever it is."""
        os.kill(self._process, signal.SIGKILL)
        self.wait()

    def wait(self) -> None:
        """Wait until it has ended."""
        self._answers.readline()


@contextmanager
def process(role: str, url: str, folder: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the main program in another role; dead, with its children, when this ends."""
    command = [sys.executable, str(PROGRAM), f"--{role}", url, "--folder", str(folder), *more]
    with (folder / "stderr.txt").open("ab") as errors:
        pipe = subprocess.PIPE
        made = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=errors, start_new_session=True
        )
        try:
            yield made
        finally:
            with suppress(ProcessLookupError):  # it has ended
                os.killpg(made.pid, signal.SIGKILL)
            made.communicate()
