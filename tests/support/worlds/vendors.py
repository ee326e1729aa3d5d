"""The vendors of a world: calls that take time, get lost or arrive late, and the bill."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

from attrs import Factory, define, field, frozen
from polyreel.errors import DownloadError, TransportError
from polyreel.flows import Answer, Fetch, Moment, Reply, Saved, Send
from polyreel.jobs.finishing import DEAD_LINK
from polyreel.places import JsonObject
from polyreel.simulator import Simulator
from polyreel.simulator.faults import FAULTS
from polyreel.simulator.tasks import Task

from .machine import START, Queue, Thread
from .plot import Mishap

if TYPE_CHECKING:
    from .properties import Oracle

MEMORY: Final = 4800.0
"""Seconds for which a vendor remembers an idempotency key.

Longer than polyreel uses one again, and a call is under way.
"""
SLOW: Final = 0.02
"""The part of the calls that is under way for longer than a client waits."""
HARMLESS: Final = frozenset({"range-ignored", "range-wrong", "range-refused", "file-changed"})
"""Faults of downloads that the driver copes with, or that nobody could tell."""


@frozen
class Bill:
    """One job that a vendor has billed, and what it was submitted for."""

    vendor: str
    task: str
    purpose: str
    entry: str | None
    """The ledger's entry of the call."""
    body: JsonObject
    kept: bool
    """Whether the client that made the call keeps a ledger."""


@frozen
class TrueClock:
    """The vendors' clock, which is right."""

    queue: Queue

    def now(self) -> float:
        """Seconds since 1970."""
        return START + self.queue.now

    def moment(self) -> Moment:
        """Both clocks are this one."""
        return Moment(self.now(), self.now())

    def sleep(self, seconds: float) -> None:
        """No vendor of a world sends an answer piece by piece."""
        raise AssertionError("nobody sleeps here")

    async def asleep(self, seconds: float) -> None:
        """The same."""
        raise AssertionError("nobody sleeps here")


@define(eq=False)
class Vendors:
    """All vendors, the network before them, and the files of the machine."""

    queue: Queue
    oracle: Oracle
    seed: int
    simulator: Simulator = field(init=False)
    files: dict[Path, tuple[str, str]] = Factory(dict)
    """Which job's file lies under which name."""
    broken: list[Mishap] = Factory(list)
    """Faults of downloads."""
    late: bool = True
    """Whether calls may arrive late."""
    _keys: dict[tuple[str, str], float] = Factory(dict)
    _call: tuple[Send, str, str | None, bool] | None = None
    _broken_times: dict[int, int] = Factory(dict)

    def __attrs_post_init__(self) -> None:
        self.simulator = Simulator(clock=TrueClock(self.queue), seed=self.seed)
        self.simulator.on_accept = self._accepted

    # -- calls -------------------------------------------------------------------------------------

    def send(self, step: Send, thread: Thread) -> None:
        """Let a call leave. It arrives, whatever becomes of who has made it."""
        chance = thread.chance
        there, back = 10.0 ** chance.uniform(-2, 0.5), 10.0 ** chance.uniform(-2, 0.5)
        call = (step, *self.oracle.purpose_of(step, thread), thread.actor.keeps)
        vendor = step.vendor
        if self.late and chance.random() < SLOW:
            self.queue.after(10.0 ** chance.uniform(1, 2.7), lambda: self._arrive_late(call))
            lost = TransportError(f"{vendor}: no complete answer in time", sent=True, vendor=vendor)
            thread.answered(lost, step.deadline)
            return

        def arrive() -> None:
            outcome, seconds = self._exchange(call)
            thread.answered(outcome, back if seconds is None else seconds)

        self.queue.after(there, arrive)

    def _arrive_late(self, call: tuple[Send, str, str | None, bool]) -> None:
        """Do what is asked for, though nobody waits for the answer any more."""
        self._exchange(call)

    def _exchange(
        self, call: tuple[Send, str, str | None, bool]
    ) -> tuple[Reply | TransportError, float | None]:
        """What a vendor does, and after how many seconds that is known where it takes long."""
        step, vendor = call[0], call[0].vendor
        target = urlsplit(step.url).path
        if step.params:
            target = f"{target}?{urlencode(step.params)}"
        if not self.simulator.connect(vendor, step.method, target):
            return TransportError(f"{vendor}: refused", sent=False, vendor=vendor), None
        self._forget_keys()
        self._call = call
        headers = {**step.headers, "authorization": "Bearer simulated"}
        answer = self.simulator.handle(
            vendor, step.method, target, headers, step.content or b"", connected=True
        )
        self._call = None
        return _arrived(answer, step)

    def _forget_keys(self) -> None:
        """A vendor does not remember idempotency keys for ever."""
        for name, at in [*self._keys.items()]:
            if self.queue.now - at > MEMORY:
                del self._keys[name]
                self.simulator._replays.pop(name, None)

    def _accepted(self, task: Task, key: str | None) -> None:
        assert self._call is not None
        _, purpose, entry, kept = self._call
        if key is not None:
            self._keys[task.vendor, key] = self.queue.now
        self.oracle.world.note(f"{task.vendor} bills {task.id} for {purpose!r}")
        self.oracle.billed(Bill(task.vendor, task.id, purpose, entry, task.body, kept))

    # -- files -------------------------------------------------------------------------------------

    def fetch(self, step: Fetch, thread: Thread) -> None:
        """Download a file, or fail to."""
        thread.answered(self._fetched(step, thread.chance), 10.0 ** thread.chance.uniform(-1, 1))

    def _fetched(self, step: Fetch, chance: random.Random) -> Saved | DownloadError:
        fault = next((one for one in self.broken if self._happens(one, chance)), None)
        if fault is not None and fault.name not in HARMLESS:
            error = FAULTS[fault.name].error
            status = error if error in DEAD_LINK and isinstance(error, int) else None
            return DownloadError(f"{fault.name}: not saved", vendor=step.vendor, status=status)
        parts = urlsplit(step.url).path.split("/")  # some vendors hand files out themselves
        task = next(one for vendor, one in self.simulator.tasks if one in parts)
        number, path = 1, step.path.with_suffix(".mp4")
        while self.files.get(path, (step.vendor, task)) != (step.vendor, task):
            number += 1
            path = step.path.with_suffix(f".{number}.mp4")
        self.files[path] = (step.vendor, task)
        return Saved(path, "video/mp4", 1000)

    def _happens(self, mishap: Mishap, chance: random.Random) -> bool:
        times = self._broken_times.get(mishap.number, 0)
        if (mishap.times is not None and times >= mishap.times) or chance.random() > mishap.share:
            return False
        self._broken_times[mishap.number] = times + 1
        return True


def _arrived(answer: Answer, step: Send) -> tuple[Reply | TransportError, float | None]:
    """What a client gets of an answer."""
    if answer.ending == "whole":
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(answer.status, headers, answer.content), None
    waits = step.deadline if answer.ending in {"silence", "drip"} else None
    text = f"{step.vendor}: connection failed ({answer.ending})"
    return TransportError(text, sent=True, vendor=step.vendor), waits
