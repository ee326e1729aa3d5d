"""When to ask: often when a job is likely to end, seldom when it is not.

A lognormal distribution describes how long jobs take. It is learned from past jobs of the same
kind, with the vendor's own estimate as the first guess. The pause at an age balances polls against
waiting: its inverse is the square root of the hazard (how likely the job is to end at this moment)
over twice what a poll is worth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist, fmean
from typing import Final

from attrs import frozen

POLL_WORTH: Final = 0.35
"""How many seconds of waiting one poll is worth."""
EARLY: Final = (4.0, 9.0)
"""The ages, in seconds, of two early polls that find a quick refusal."""
SHORTEST: Final = 1.0
LONGEST: Final = 60.0
LONGEST_JOB: Final = 86_400.0
USUAL_SECONDS: Final = 90.0
"""The first guess where the vendor gives no estimate."""
USUAL_SPREAD: Final = 0.5
GUESS_WEIGHT: Final = 0.5
"""The first guess of the middle counts as much as this many past jobs."""
SPREAD_WEIGHT: Final = 4.0
"""The first guess of the spread counts as much as this many past jobs.

A few jobs that happen to agree prove little.
"""
FEWEST_CHANCES: Final = 1e-9
_NORMAL: Final = NormalDist()


@frozen
class Durations:
    """How long jobs take: the logarithm of the seconds has a normal distribution."""

    middle: float
    spread: float

    def hazard(self, age: float) -> float:
        """How likely a job of this age is to end, per second."""
        if age <= 0:
            return 0.0
        deviation = (math.log(age) - self.middle) / self.spread
        left = _NORMAL.cdf(-deviation)
        if left < FEWEST_CHANCES:
            # So late that `left` is rounded to zero: the formula of the distribution's tail holds.
            return max(deviation, 1.0) / (self.spread * age)
        return _NORMAL.pdf(deviation) / (self.spread * age * left)

    def pause(self, age: float) -> float:
        """Seconds to the next poll of a job of this age: until one poll becomes due."""
        due, pause = 0.0, 0.0
        step = max(0.25, age / 256)
        while due < 1.0 and pause < LONGEST:
            due += step * math.sqrt(self.hazard(age + pause + step / 2) / (2 * POLL_WORTH))
            pause += step
        return min(LONGEST, max(SHORTEST, pause))


def learned(past: Sequence[float], estimate: float | None = None) -> Durations:
    """Learn from the seconds of past jobs how long the next one takes.

    `estimate`, in seconds, is the first guess. The fewer past jobs there are, the more the first
    guess counts, and the wider is the result.
    """
    guess = math.log(estimate if estimate is not None and _makes_sense(estimate) else USUAL_SECONDS)
    logs = [math.log(seconds) for seconds in past if _makes_sense(seconds)]
    number, weight = len(logs), len(logs) + GUESS_WEIGHT
    mean = fmean(logs) if logs else guess
    middle = (GUESS_WEIGHT * guess + number * mean) / weight
    squares = sum((each - mean) ** 2 for each in logs) + GUESS_WEIGHT * number / weight * min(
        (mean - guess) ** 2, 1.0
    )
    variance = (SPREAD_WEIGHT * USUAL_SPREAD**2 + squares) / (SPREAD_WEIGHT + number)
    return Durations(middle, math.sqrt(variance * (1 + 1 / weight) if number else variance))


def _makes_sense(seconds: float) -> bool:
    return 1.0 <= seconds <= LONGEST_JOB


class Timetable:
    """When to ask about jobs of one kind. Many jobs share one, which computes each pause once."""

    def __init__(
        self, durations: Durations, *, floor: float, early: Sequence[float] = EARLY
    ) -> None:
        self._durations, self._floor, self._early = durations, floor, early
        self._known: dict[int, float] = {}

    def pause(self, age: float) -> float:
        """Seconds to the next poll of a job of this age; never less than the floor."""
        for moment in self._early:
            if moment > age:
                return max(self._floor, moment - age)
        second = int(age)
        if second not in self._known:
            self._known[second] = max(self._floor, self._durations.pause(second))
        return self._known[second]

    def pauses(self, age: float = 0.0) -> Iterator[float]:
        """Seconds from one poll to the next, for a job that is `age` seconds old; endless.

        A job that is older than the first early poll is asked about at once, its first pause is
        zero: who comes back to a job wants to know what became of it.
        """
        if age > min(self._early, default=0.0):
            yield 0.0
        while True:
            pause = self.pause(age)
            yield pause
            age += pause
