"""A world: it happens as its plot says, step by step, and always in the same way."""

from __future__ import annotations

import random
from functools import cache
from typing import Any, Final

from attrs import Factory, define, field, frozen
from polyreel import Client
from polyreel.drivers import Wire
from polyreel.errors import PolyreelError
from polyreel.plans.planning import Plan
from polyreel.simulator.faults import FAULTS
from polyreel_generated.contracts.vendors import VendorId

from .machine import MachineClocks, Process, Queue, Thread
from .plot import Actor, Mishap, Plot
from .properties import Oracle
from .scripts import PRICES, begin
from .table import MemoryFile
from .vendors import Vendors

MOST_STEPS: Final = 20_000
LAST: Final = 1_000_000
"""The number of the process that tidies up at the end."""


@frozen
class Ending:
    """How a world has ended."""

    violations: tuple[str, ...]
    steps: int
    bills: int
    seconds: float
    """How long the world has lasted, in its own time."""


@cache
def _client() -> Client:
    return Client(prices=PRICES)


@cache
def _plan(vendor: VendorId, prompt: str) -> Plan:
    return _client().plan(SimulatedWorld.request(prompt), vendor)


@define(eq=False)
class SimulatedWorld:
    """Everything there is in a world."""

    plot: Plot
    reported: list[str] | None = None
    """What has happened, line by line, where somebody wants to read it."""
    queue: Queue = Factory(Queue)
    file: MemoryFile = Factory(MemoryFile)
    threads: list[Thread] = Factory(list)
    oracle: Oracle = field(init=False)
    clocks: MachineClocks = field(init=False)
    vendors: Vendors = field(init=False)
    processes: dict[int, Process] = Factory(dict)
    _kills: set[tuple[int, int]] = Factory(set)
    _interrupts: set[tuple[int, int]] = Factory(set)

    def __attrs_post_init__(self) -> None:
        self.oracle = Oracle(self)
        self.clocks = MachineClocks(self.queue, self.plot.boot_sleeps)
        self.vendors = Vendors(self.queue, self.oracle, self.plot.seed)
        self.file.now = self.clocks.wall
        self.file.watch = self.oracle.changed

    @staticmethod
    def request(prompt: str) -> dict[str, Any]:
        """A request of a world."""
        return {"prompt": prompt, "duration": 3, "resolution": "720p", "audio": False}

    @staticmethod
    def plan(vendor: str, prompt: str) -> Plan:
        """The plan of such a request."""
        return _plan(vendor, prompt)

    @staticmethod
    def unkept(process: Process) -> Wire:
        """The wire of a client that keeps no ledger."""
        return Wire(clock=process.clock)

    # -- the world ---------------------------------------------------------------------------------

    def happen(self) -> Ending:
        """Let everything happen, tidy up, and check what has to hold."""
        for actor in self.plot.actors:
            self._cast(actor)
        for mishap in self.plot.mishaps:
            self._prepare(mishap)
        if not self.queue.run(MOST_STEPS):
            self.oracle.fail("it does not end")
        else:
            self._tidy_up()
        return Ending(
            tuple(self.oracle.violations),
            self.queue.steps,
            len(self.oracle.bills),
            self.queue.now,
        )

    def _cast(self, actor: Actor) -> Thread:
        if actor.process not in self.processes:
            self.processes[actor.process] = Process(self, actor.process, f"process {actor.process}")
        process = self.processes[actor.process]
        chance = random.Random(f"actor {actor.number} of {self.plot.seed}")
        thread = Thread(process, actor, chance)
        thread.script = begin(self, thread)
        process.threads.append(thread)
        self.threads.append(thread)
        self.queue.after(actor.start, thread.begin)
        return thread

    def _tidy_up(self) -> None:
        """A calm day: a new process looks at everything and finishes what was paid."""
        self.file.outage = None
        self.vendors.late = False
        self.vendors.broken.clear()
        self.vendors.simulator.calm()
        self.vendors.simulator._scripted.clear()
        for process in self.processes.values():
            if process.alive and process.begun:
                self.oracle.fail("a process has not ended")
        last = self._cast(Actor(LAST, LAST, "resume", 0.0))
        try:
            last.process.ledger.entries()
        except PolyreelError as error:
            self.oracle.fail(f"the ledger cannot be read: {error}")
            return
        if not self.queue.run(2 * MOST_STEPS):
            self.oracle.fail("it does not end")
            return
        entries = Process(self, LAST + 1, "the auditor").ledger.entries()
        for entry in entries:
            if entry.state in {"accepted", "succeeded"} and entry.trouble is None:
                self.oracle.fail("a paid job cannot be finished")
        self.oracle.check(entries)

    def note(self, text: str) -> None:
        """Note what happens, where somebody wants to read it."""
        if self.reported is not None:
            self.reported.append(f"{self.queue.now:12.3f} s  {text}")

    # -- mishaps -----------------------------------------------------------------------------------

    def is_killed(self, process: Process) -> bool:
        """Whether a process is to be killed before its next step."""
        return (process.number, process.steps) in self._kills

    def is_interrupted(self, thread: Thread) -> bool:
        """Whether a thread is to be interrupted before its next step."""
        return (thread.actor.number, thread.steps) in self._interrupts

    def _prepare(self, mishap: Mishap) -> None:
        trouble = mishap.trouble
        if trouble == "kill":
            self._kills.add((mishap.target, mishap.step))
        elif trouble == "interrupt":
            self._interrupts.add((mishap.target, mishap.step))
        elif trouble == "end":
            assert mishap.vendor is not None
            self.vendors.simulator.script(mishap.vendor, mishap.name)
        elif trouble != "fault":
            self.queue.after(mishap.start, lambda: self._happen(mishap))
        elif FAULTS[mishap.name].call == "download":
            self.vendors.broken.append(mishap)
        else:
            self.vendors.simulator.inject(
                mishap.name, mishap.vendor, share=mishap.share, times=mishap.times
            )

    def _happen(self, mishap: Mishap) -> None:
        trouble, seconds = mishap.trouble, mishap.seconds
        self.note(f"{trouble}, {seconds:g} s")
        if trouble in {"locked", "full", "torn"}:
            self.file.outage = trouble
            self.queue.after(seconds, self._recover)
        elif trouble == "wall":
            self.clocks.wall_set += seconds
        elif trouble == "row":
            self._tear(mishap.target)
        else:
            self.clocks.wakes = self.queue.now + seconds
            if trouble == "reboot":
                self.clocks.booted = self.clocks.wakes
                for process in self.processes.values():
                    if process.begun and process.alive:
                        process.kill()
            else:
                self.queue.after(seconds, lambda: self._wake(seconds))

    def _recover(self) -> None:
        self.file.outage = None

    def _wake(self, seconds: float) -> None:
        self.clocks.slept += seconds

    def _tear(self, number: int) -> None:
        """Make one row unreadable."""
        rows = self.file.rows
        if rows:
            name = [*rows][number % len(rows)]
            column = "submission" if rows[name]["job"] is None else "job"
            self.file.rows = {**rows, name: {**rows[name], column: '{"torn'}}
