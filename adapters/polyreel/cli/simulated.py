"""The simulator behind a command that serves: it remembers the jobs of the ones before."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from ..ledger.store import LedgerStore
    from ..simulator import RunningClock, Simulator


def remembering(ledger: LedgerStore, speed: float) -> Simulator:
    """A simulator with the jobs of a ledger, whose clock is ahead of all of them."""
    from ..simulator import RunningClock, Simulator
    from ..simulator.memory import remember

    simulator = Simulator(clock=RunningClock(speed))
    remember(simulator, ledger.companion_file("simulated"))
    newest = max((task.created for task in simulator.tasks.values()), default=0.0)
    ahead = max(newest, ledger.last_simulated()) - simulator.clock.now()
    cast("RunningClock", simulator.clock).advance(ahead)
    return simulator
