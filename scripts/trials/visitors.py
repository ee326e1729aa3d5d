"""Visitors of a ledger that others work with: the command line, which comes and goes."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from polyreel import drivers
from polyreel.cli import main, options
from polyreel.providers.base.registry import all_providers

from .clocks import TrialClock, disturb
from .forking import fork, load
from .runner import CALL_SECONDS, KEY, addresses, ledger_in

COMMANDS: Final = (
    ["jobs"],
    ["jobs", "--json", "--state", "ambiguous"],
    ["resume", "--live", "--timeout", "300"],
    ["reconcile", "--live"],
)
KILLED: Final = 0.4
"""The share of visitors that are killed."""


def visit(url: str, folder: Path, seed: int) -> None:
    """Run one command after the other, each in a process of its own, until this one is killed."""
    chance = random.Random(seed)
    prepare(url, folder)
    load()
    while True:
        command = [*chance.choice(COMMANDS), "--ledger", str(ledger_in(folder))]
        patience = chance.uniform(0.05, 3.0) if chance.random() < KILLED else 30.0
        child = fork(lambda command=command: run(command, folder))  # type: ignore[misc]
        disturb(folder)
        end = time.monotonic() + patience
        while os.waitpid(child, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.3))


def prepare(url: str, folder: Path) -> None:
    """Let the command line find the vendors, and the time, of the trial."""
    for provider in all_providers().values():
        os.environ[provider.key_variable] = KEY
    usual = options.settings

    def settings(*arguments: Any, **more: Any) -> Mapping[str, Any]:
        own = {"base_urls": addresses(url), "call_timeout": CALL_SECONDS}
        return {**usual(*arguments, **more), **own}

    options.settings = settings  # type: ignore[assignment]
    drivers.RealClock = partial(TrialClock, folder)  # type: ignore[assignment,misc]


def run(command: list[str], folder: Path) -> None:
    """Be one command line."""
    sys.stdout = (folder / "visits.txt").open("a")
    os.chdir(folder)
    with suppress(SystemExit):
        main(command)
    sys.stdout.flush()
