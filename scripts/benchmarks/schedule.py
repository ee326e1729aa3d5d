"""When to ask: simulated jobs, and what schedules make of them."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate, takewhile
from typing import Final

from polyreel.jobs.timetable import SHORTEST, Durations, Timetable, learned

from .measuring import Peers, Row

MEDIAN, SPREAD = 90.0, 0.5
LEAST: Final = 37.3
"""The least that polls times seconds of waiting can come to: half of (the integral of sqrt(f S))
squared.
"""


def polling(_: Peers, jobs: int = 200_000) -> Iterator[Row]:
    """Simulated jobs, asked about by several schedules: waiting at equal polls over the best there
    is.
    """
    chance = random.Random(1)
    ends = [chance.lognormvariate(math.log(MEDIAN), SPREAD) for _ in range(jobs)]
    fixed = over_the_best([10.0 * number for number in range(1, 2000)], ends)
    yield Row("polling every 10 s", "latency at equal polls", "the optimum", fixed)
    for number in (0, 3, 5, 10, 20):
        few = ends[: max(1000, jobs // 20)]
        pasts = [
            [chance.lognormvariate(math.log(MEDIAN), SPREAD) for _ in range(number)]
            for _ in range(20)
        ]
        ratio = sum(over_the_best(moments(learned(past)), few) for past in pasts) / len(pasts)
        target = "<= 1.10" if number == 20 else "-"
        yield Row(
            f"polling, learned from {number} past jobs",
            "latency at equal polls",
            "the optimum",
            ratio,
            target,
        )
    for wrong in (0.6, 0.8, 1.0, 1.25, 1.5):
        ratio = over_the_best(moments(Durations(math.log(MEDIAN * wrong), SPREAD)), ends)
        what = f"polling, median wrong by x{wrong:g}"
        yield Row(what, "latency at equal polls", "polling every 10 s", ratio / fixed, "<= 1")


def moments(durations: Durations) -> list[float]:
    """When a job is asked about; without the early polls, which are there for refusals."""
    pauses = Timetable(durations, floor=SHORTEST, early=()).pauses()
    return list(takewhile(lambda age: age < 20_000, accumulate(pauses)))


def over_the_best(times: Sequence[float], ends: Sequence[float]) -> float:
    """Polls times seconds of waiting, over the least that it can be."""
    found = [(bisect_left(times, end), end) for end in ends]
    polls = sum(index + 1 for index, _ in found) / len(ends)
    return polls * sum(times[index] - end for index, end in found) / len(ends) / LEAST
