"""A program that generates one clip and is killed at a point of its flow: `python -m support.crash
...`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final, Literal

from polyreel import AsyncClient, Client
from polyreel.errors import PolyreelError
from polyreel.flows import Fetch, Record, Send, Step
from polyreel.ledger.events import Keep, Past, ReadNews
from polyreel.ledger.states import is_saved
from polyreel.ledger.store import LedgerStore
from polyreel.simulator import RunningClock, Simulator, server
from polyreel_generated.contracts.vendors import VendorId

from .waiting import HANGS

SPEED: Final = 80.0
"""How much shorter pauses are."""
CALL_SECONDS: Final = 8.0
"""How much of a job's time passes with each call."""
KEY: Final = "sk-CANARY-crash-0123456789"
REQUEST: Final = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}
REFERENCE: Final = "the clip"


def settings(url: str, ledger: Path | str | LedgerStore) -> dict[str, Any]:
    """A client of a simulator at an address, with a ledger."""
    addresses = {vendor: url + mount for vendor, mount in server.mounts().items()}
    return {
        "keys": dict.fromkeys(addresses, KEY),
        "base_urls": addresses,
        "ledger": ledger,
        "call_timeout": HANGS,
    }


class HurriedClock(RunningClock):
    """The machine's time, on which pauses are short.

    All processes see one time, however long one of them takes to start.
    """

    def sleep(self, seconds: float) -> None:
        """Wait for a fraction of these seconds."""
        super().sleep(seconds / SPEED)

    async def asleep(self, seconds: float) -> None:
        """Await a fraction of these seconds."""
        await super().asleep(seconds / SPEED)


class QueriedClock(RunningClock):
    """The machine's time, and some seconds more for each call: a job ends after so many queries.

    While nobody asks, it goes on as long as a real one, however slow the machine is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.simulator: Simulator | None = None

    def now(self) -> float:
        """Seconds since 1970, and those of the calls."""
        calls = len(self.simulator.journal) if self.simulator else 0
        return super().now() + CALL_SECONDS * calls


def vendors() -> Simulator:
    """Simulated vendors whose jobs end after some queries."""
    clock = QueriedClock()
    made = Simulator(clock=clock, seed=1)
    clock.simulator = made
    return made


def client(url: str, ledger: Path | str | LedgerStore) -> Client:
    """A blocking client in a hurry."""
    made = Client(**settings(url, ledger))
    made.wire.clock = HurriedClock()
    return made


class Killer:
    """Ends the process at a point: before or after a write to the ledger, or something sent."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.points: list[str] = []

    def __call__(self, moment: Literal["before", "after"], step: Step) -> None:
        if not isinstance(step, Record | Send | Fetch) or (
            isinstance(step, Record) and isinstance(step.event, Past | ReadNews)
        ):
            # of the ledger's reads only the first is a point: it tells whether anything is sent at
            # all
            return
        self.points.append(f"{moment} {self._name(step)}")
        if self.points[-1] == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _name(self, step: Record | Send | Fetch) -> str:
        if isinstance(step, Record):
            saved = isinstance(step.event, Keep) and is_saved(step.event.job)
            return "KeepFile" if saved else type(step.event).__name__
        return "Fetch" if isinstance(step, Fetch) else "Submit" if step.paid else "Poll"


async def generate(made: AsyncClient, vendor: VendorId, folder: str) -> None:
    async with made:
        await made.generate(
            REQUEST, vendor, output=folder, reference=REFERENCE, timeout=HANGS * SPEED
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("url", "vendor", "kind"):
        parser.add_argument(name)
    parser.add_argument("folder")
    parser.add_argument("at")
    parser.add_argument("ledger")
    options = parser.parse_args()
    killer, ledger = Killer(options.at), options.ledger
    made: Client | AsyncClient = client(options.url, ledger)
    if options.kind == "awaiting":
        made.close()
        made = AsyncClient(**settings(options.url, ledger))
        made.wire.clock = HurriedClock()
    made.wire.observer = killer
    try:
        if isinstance(made, Client):
            timeout = HANGS * SPEED
            made.generate(
                REQUEST, options.vendor, output=options.folder, reference=REFERENCE, timeout=timeout
            )
        else:
            asyncio.run(generate(made, options.vendor, options.folder))
    except PolyreelError as error:
        sys.stdout.write(f"{type(error).__name__}\n")
    sys.stdout.write("\n".join(killer.points))


if __name__ == "__main__":
    main()
