"""The time of a trial: one for all its processes, faster than life, with clocks that jump."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import define, field
from polyreel.flows import Moment
from polyreel.places import JsonObject
from polyreel.serving.calls import Call, idempotency_key
from polyreel.simulator import RunningClock, Simulator
from polyreel.simulator.tasks import Task

SPEED: Final = 60.0
"""How much faster than life jobs run, and pauses pass."""
HOUR: Final = 3600.0
KEYS_KEPT: Final = 2 * HOUR
"""How long the vendors of a trial remember an idempotency key; polyreel repeats one for an hour."""
SUSPENDED: Final = 2.5 * HOUR
JOBS_FOR_A_JUMP: Final = 10
SET_BY: Final = (-3.4 * HOUR, -0.3 * HOUR, 0.3 * HOUR, 3.4 * HOUR)
"""By how much the wall clock is set. No few of these and of suspensions add up to nothing: two
clocks that are wrong in the same way would tell nobody anything.
"""


class TrialClock:
    """The clocks of a process: `now` goes on whatever is set, and begins with the wall clock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        began: tuple[float, float] = json.loads((folder / "began.json").read_text())
        self._wall, self._start = began
        self._set = self._jumps()[0]

    def _jumps(self) -> tuple[float, float]:
        try:
            wall, boot = json.loads((self._folder / "jumps.json").read_text())
        except FileNotFoundError:
            return 0.0, 0.0
        return float(wall), float(boot)

    def _passed(self) -> float:
        return (time.monotonic() - self._start) * SPEED

    def now(self) -> float:
        """Seconds since 1970."""
        return self._wall + self._set + self._passed()

    def moment(self) -> Moment:
        """What both clocks show."""
        wall, boot = self._jumps()
        return Moment(self._wall + wall + self._passed(), HOUR + boot + self._passed())

    def sleep(self, seconds: float) -> None:
        """Block."""
        time.sleep(max(0.0, seconds) / SPEED)

    async def asleep(self, seconds: float) -> None:
        """Await."""
        await asyncio.sleep(max(0.0, seconds) / SPEED)


@define(eq=False)
class ForgetfulVendors(Simulator):
    """Vendors that forget idempotency keys: a repetition after that is another job.

    A call that was on its way when the machine was suspended is answered: nobody can take it back.
    """

    folder: Path = field(kw_only=True)
    suspended: float = field(default=0.0, init=False)
    """When the machine was suspended last, by the monotonic clock."""

    def _replayed(self, call: Call, body: JsonObject) -> Task | None:
        earlier = super()._replayed(call, body)
        if earlier is None or self.clock.now() - earlier.created <= KEYS_KEPT:
            return earlier
        return earlier if sent_at(self.folder, idempotency_key(call)) < self.suspended else None


def disturb(folder: Path) -> None:
    """Count one more disturbance of a trial, in any of its processes."""
    with (folder / "disturbances").open("ab", buffering=0) as file:
        file.write(b".")


def disturbances(folder: Path) -> int:
    """How many there were."""
    file = folder / "disturbances"
    return file.stat().st_size if file.exists() else 0


def note_sent(folder: Path, words: Iterable[str]) -> None:
    """Note when a call with these words as headers, of which one is its key, is sent."""
    for word in words:
        _sent(folder, word).write_text(str(time.monotonic()))


def sent_at(folder: Path, key: str | None) -> float:
    """When the last call with a key was sent."""
    try:
        return float(_sent(folder, key or "").read_text() or time.monotonic())
    except FileNotFoundError:
        return time.monotonic()


def _sent(folder: Path, word: str) -> Path:
    return folder / f"sent-{hashlib.sha256(word.encode()).hexdigest()}"


def begin(folder: Path) -> RunningClock:
    """Begin the time of a trial; the result is its vendors' clock."""
    clock = RunningClock(SPEED)
    (folder / "began.json").write_text(json.dumps([clock.now(), time.monotonic()]))
    return clock


def jump(
    simulator: ForgetfulVendors, jobs: int, chance: random.Random, over: threading.Event
) -> None:
    """Set the wall clock and suspend the machine, again and again, until the trial is over.

    One clock or the other stands still while the machine is suspended, or none does.
    """
    wall = boot = 0.0
    for goal in sorted(chance.uniform(0, jobs) for _ in range(jobs // JOBS_FOR_A_JUMP)):
        while simulator.bill.count() < goal:
            if over.wait(0.01):
                return
        if chance.random() < 0.5:
            wall += chance.choice(SET_BY)
        else:
            with simulator.lock:
                simulator.suspended = time.monotonic()
                simulator.clock.advance(SUSPENDED)  # type: ignore[attr-defined]
            wall += SUSPENDED
            boot += chance.choice((0.0, SUSPENDED))
        new = simulator.folder / "jumps.new"
        with suppress(FileNotFoundError):  # the trial is over
            new.write_text(json.dumps([wall, boot]))
            new.replace(simulator.folder / "jumps.json")
            disturb(simulator.folder)
