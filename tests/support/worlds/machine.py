"""A machine of a world: its clocks, its processes and their threads, stepped one at a time."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final

from attrs import Factory, define, field, frozen
from polyreel.drivers import Wire
from polyreel.drivers.pump import _perform_at_once, _Run
from polyreel.errors import PolyreelError
from polyreel.flows import (
    Fetch,
    Flow,
    Moment,
    NextEvent,
    Now,
    Put,
    ReadClocks,
    Record,
    Send,
    Sleep,
    Step,
    TryFolder,
)
from polyreel.ledger.events import Claim, Intend, Settle
from polyreel.ledger.records import LedgerEntry
from polyreel_generated.shared import Job

from .ledger import MemoryLedger
from .plot import Actor

if TYPE_CHECKING:
    from .world import SimulatedWorld

START: Final = 1_800_000_000.0
BOOTED: Final = 50_000.0
"""Seconds that the machine has run when the world begins."""

Script = Generator[Flow[Any], "Done", None]
"""What a thread does: it gives flows, and gets what became of each."""


@frozen
class Done:
    """What became of a flow."""

    result: Any = None
    error: PolyreelError | None = None


@define(eq=False)
class Queue:
    """What happens next, in the order of true time."""

    now: float = 0.0
    """Seconds since the world began."""
    steps: int = 0
    _waiting: list[tuple[float, int, Callable[[], None]]] = Factory(list)
    _count: int = 0

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Let something happen some seconds from now."""
        self._count += 1
        heapq.heappush(self._waiting, (self.now + seconds, self._count, do))

    def run(self, most: int) -> bool:
        """Let everything happen; False where it is more than so many steps."""
        while self._waiting:
            self.steps += 1
            if self.steps > most:
                return False
            self.now, _, do = heapq.heappop(self._waiting)
            do()
        return True


@define(eq=False)
class MachineClocks:
    """The clocks of a machine, each of which can be wrong in its own way."""

    queue: Queue
    boot_sleeps: bool
    wall_set: float = 0.0
    """Seconds by which the wall clock was set on."""
    slept: float = 0.0
    """Seconds of suspension that are over."""
    booted: float = -BOOTED
    wakes: float = 0.0
    """When the machine wakes up, while it sleeps."""

    def wall(self) -> float:
        """Seconds since 1970, as the machine has them."""
        return START + self.queue.now + self.wall_set

    def steady(self) -> float:
        """A clock that stands still while the machine sleeps."""
        return self.queue.now - self.slept

    def moment(self) -> Moment:
        """What the two clocks show."""
        lost = self.slept if self.boot_sleeps else 0.0
        return Moment(self.wall(), self.queue.now - self.booted - lost)


@define(eq=False)
class ProcessClock:
    """The clock of a process, which begins with the wall clock and cannot be set after that."""

    clocks: MachineClocks
    epoch: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.epoch = self.clocks.wall() - self.clocks.steady()

    def now(self) -> float:
        """Seconds since 1970."""
        return self.epoch + self.clocks.steady()

    def moment(self) -> Moment:
        """What the two clocks of the machine show."""
        return self.clocks.moment()

    def sleep(self, seconds: float) -> None:
        """Nobody sleeps here: the pauses of flows are events."""
        raise AssertionError("a thread of a world does not block")

    async def asleep(self, seconds: float) -> None:
        """The same."""
        raise AssertionError("a thread of a world does not wait")


@define(eq=False)
class Process:
    """A process, as long as it lives."""

    world: SimulatedWorld
    number: int
    name: str
    ledger: MemoryLedger = field(init=False)
    clock: ProcessClock = field(init=False)
    wire: Wire = field(init=False)
    alive: bool = True
    begun: bool = False
    steps: int = 0
    threads: list[Thread] = Factory(list)

    def __attrs_post_init__(self) -> None:
        self.ledger = MemoryLedger(self.world.file, self.name)
        self.clock = ProcessClock(self.world.clocks)
        self.wire = Wire(clock=self.clock, ledger=self.ledger)

    def begin(self) -> None:
        """Begin, where no thread of it has begun before."""
        if not self.begun:
            self.begun = True
            self.clock = self.wire.clock = ProcessClock(self.world.clocks)

    def kill(self) -> None:
        """End at once, whatever is under way."""
        self.alive = False
        self.world.note(f"{self.name} is killed")
        self.world.file.living.discard(self.name)
        for thread in self.threads:
            thread.over = True

    def step(self) -> bool:
        """Note a step; False where the process does not live to make it."""
        if self.alive and self.world.is_killed(self):
            self.kill()
        self.steps += 1
        return self.alive

    def leave(self) -> None:
        """End where no thread has anything to do any more."""
        if self.alive and all(thread.over for thread in self.threads):
            self.alive = False
            self.ledger.close()


@define(eq=False)
class Thread:
    """A thread: it runs a script, one step of one flow at a time."""

    process: Process
    actor: Actor
    chance: random.Random
    script: Script = field(init=False)
    over: bool = False
    steps: int = 0
    purpose: str = ""
    """What the submit that was written down last is for."""
    entry: str | None = None
    paid: int = 0
    """How many paid calls the flow has made."""
    holds: set[str] = Factory(set)
    """The entries that the flow has written down or taken over."""
    sending: str | None = None
    """The entry whose outcome the flow waits for."""
    _flow: Flow[Any] | None = None
    _run: _Run | None = None

    @property
    def active(self) -> bool:
        """Whether its flow goes on."""
        return not self.over and self.process.alive

    def begin(self) -> None:
        """Begin the script."""
        self._soon(self._begin, 0.0)

    def _begin(self) -> None:
        self.process.begin()
        self._next_flow(None)

    def _next_flow(self, done: Done | None) -> None:
        """Hand the script what became of its flow, and begin the next."""
        world = self.process.world
        self.holds, self.sending, self.paid = set(), None, 0
        try:
            flow = next(self.script) if done is None else self.script.send(done)
        except (StopIteration, PolyreelError):
            self.over = True
            self.process.leave()
            return
        self._flow = flow
        wire = self.process.wire
        self._run = _Run(wire if self.actor.keeps else world.unkept(self.process))
        self._soon(lambda: self._resume(None))

    def _note(self, text: str) -> None:
        actor = self.actor
        self.process.world.note(f"{self.process.name}, {actor.deed} {actor.number}: {text}")

    def _soon(self, do: Callable[[], None], seconds: float | None = None) -> None:
        if seconds is None:  # mostly at once; now and then the thread has to wait for its turn
            most = -1.0 if self.chance.random() < 0.9 else 1.5
            seconds = 10.0 ** self.chance.uniform(-3, most)
        self.process.world.queue.after(seconds, lambda: self._awake(do))

    def _awake(self, do: Callable[[], None]) -> None:
        """Do something, as soon as the machine does not sleep."""
        world = self.process.world
        if world.queue.now < world.clocks.wakes:
            self._soon(do, world.clocks.wakes - world.queue.now + 0.001)
        elif not self.over and self.process.step():
            self.steps += 1
            if world.is_interrupted(self):
                self.interrupt()
            else:
                do()

    def interrupt(self) -> None:
        """End the thread as Ctrl-C does: what it owns is let go."""
        self.over = True
        self._note("is interrupted")
        if self._run is not None:
            self._run.__exit__(None, None, None)
        self.process.leave()

    def _resume(self, outcome: object) -> None:
        """Give the flow what its step came to, and take its next step."""
        assert self._flow is not None
        try:
            if isinstance(outcome, PolyreelError):
                step = self._flow.throw(outcome)
            else:
                step = self._flow.send(outcome)
        except StopIteration as stop:
            self._end(Done(stop.value))
        except PolyreelError as error:
            self._end(Done(error=error))
        else:
            # Nothing comes between a look at the clocks and what is sent by it: a machine that is
            # suspended in that very moment cannot be told from one that is not.
            if isinstance(step, ReadClocks | Now) or isinstance(outcome, Moment):
                self._perform(step)
            else:
                self._soon(lambda: self._perform(step))

    def _end(self, done: Done) -> None:
        assert self._run is not None
        self._run.__exit__(None, None, None)
        if self.process.world.reported is not None:
            self._note(f"-> {done.error!r}" if done.error else f"-> {_shown(done.result)}")
        self.process.world.oracle.saw(self, done)
        self._next_flow(done)

    def _perform(self, step: Step) -> None:
        """Do what a step says; what it comes to is handed to the flow a little later."""
        assert self._run is not None
        world = self.process.world
        if world.reported is not None:
            self._note(_shown(step))
        if isinstance(step, Sleep):
            pause = step.seconds * (1 + step.jitter * self.chance.random())
            self._soon(lambda: self._resume(None), max(0.001, pause))
        elif isinstance(step, Send):
            begun = self._run.begin(step)
            assert isinstance(begun, Send)
            self.paid += begun.paid
            world.vendors.send(begun, self)
        elif isinstance(step, Fetch):
            world.vendors.fetch(step, self)
        elif isinstance(step, Record):
            outcome = self._record(step)
            self._soon(lambda: self._resume(outcome))
        else:
            # No world has a stream, a file or object storage.
            assert not isinstance(step, NextEvent | Put | TryFolder)
            found = _perform_at_once(step, self._run)
            if isinstance(step, ReadClocks | Now):
                self._resume(found)
            else:
                self._soon(lambda: self._resume(found))

    def answered(self, outcome: object, seconds: float) -> None:
        """Take the answer to a call after some seconds."""
        self._soon(lambda: self._resume(outcome), seconds)

    def _record(self, step: Record) -> object:
        assert self._run is not None
        event, oracle = step.event, self.process.world.oracle
        if isinstance(event, Intend):
            oracle.intends(self, event)
        try:
            result: object = self._run.record(step)
        except PolyreelError as error:
            result = error
        if self.process.world.reported is not None:
            self._note(f"   {_shown(result)}")
        if isinstance(event, Settle) and event.entry == self.sending:
            self.sending = None
        elif isinstance(event, Intend | Claim) and not isinstance(result, PolyreelError):
            oracle.took(self, event, result)
        return result


def _shown(thing: object) -> str:
    """A step, or what came of it, in a few words."""
    if isinstance(thing, Send):
        return f"{'paid call' if thing.paid else 'call'} {thing.method} {thing.url}"
    if isinstance(thing, Record):
        event = thing.event
        names = ("entry", "state", "follows", "reference")
        facts = [str(value) for name in names if (value := getattr(event, name, None))]
        own = getattr(event, "job", None)
        return " ".join([type(event).__name__, *facts, *([_shown(own)] if own else [])])
    if isinstance(thing, LedgerEntry):
        return f"{thing.id}, {thing.state}{', in use' if thing.owned else ''}"
    if isinstance(thing, Job):
        return f"{thing.id}, {thing.status}"
    return repr(thing)[:200]
