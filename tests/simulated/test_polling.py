"""When to ask: close to the best there is, whatever is known, and never against the vendor's
pace.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, islice, takewhile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polyreel import Client
from polyreel.jobs.timetable import EARLY, LONGEST, SHORTEST, Durations, Timetable, learned
from polyreel.ledger.events import Past
from polyreel.providers.base.registry import all_providers
from polyreel_generated.contracts.vendors import VendorId
from support.faults import every_vendor

MEDIAN, SPREAD = 90.0, 0.5
TRUE = Durations(math.log(MEDIAN), SPREAD)
BEST = 37.3
"""The least that polls times seconds of waiting can come to: half of (the integral of sqrt(f S))
squared.
"""
CHANCE = random.Random(1)
JOBS = [CHANCE.lognormvariate(math.log(MEDIAN), SPREAD) for _ in range(5000)]


def moments(durations: Durations) -> list[float]:
    """When a job is asked about; without the early polls, which are there for refusals."""
    return list(
        takewhile(
            lambda age: age < 10_000,
            accumulate(Timetable(durations, floor=SHORTEST, early=()).pauses()),
        )
    )


def over_the_best(times: Sequence[float]) -> float:
    """Polls times waiting, over the least possible."""
    found = [(bisect_left(times, job), job) for job in JOBS]
    polls = sum(index + 1 for index, _ in found) / len(JOBS)
    waiting = sum(times[index] - job for index, job in found) / len(JOBS)
    return polls * waiting / BEST


FIXED = over_the_best([10.0 * number for number in range(1, 1000)])


def test_a_known_distribution_is_used_well() -> None:
    """Within 5 % of the best; a fixed pace is 40 % off."""
    assert over_the_best(moments(TRUE)) < 1.05
    assert FIXED > 1.35


def test_twenty_past_jobs_are_enough() -> None:
    """Within 10 %, whatever the first guess was."""
    for estimate in (None, 30.0, 300.0):
        ratios = []
        for _ in range(10):
            past = [CHANCE.lognormvariate(math.log(MEDIAN), SPREAD) for _ in range(20)]
            ratios.append(over_the_best(moments(learned(past, estimate))))
        assert sum(ratios) / len(ratios) < 1.10


@pytest.mark.parametrize("wrong", [0.6, 0.8, 1.25, 1.5])
def test_a_wrong_median_is_still_better_than_a_fixed_pace(wrong: float) -> None:
    """Vendors get faster and slower."""
    assert over_the_best(moments(Durations(math.log(MEDIAN * wrong), SPREAD))) < FIXED


ESTIMATES = st.one_of(st.none(), st.floats(), st.integers(-5, 10**9).map(float))


@given(
    estimate=ESTIMATES,
    past=st.lists(st.floats(allow_nan=True), max_size=30),
    floor=st.floats(0.5, 60),
)
@settings(max_examples=100, deadline=None)
def test_pauses_are_bounded(estimate: float | None, past: list[float], floor: float) -> None:
    """Never below the vendor's floor, never above a minute (or the floor), whatever anybody says
    about durations.
    """
    found = list(islice(Timetable(learned(past, estimate), floor=floor).pauses(), 40))
    assert all(floor <= pause <= max(LONGEST, floor) for pause in found)


def test_two_early_polls_catch_a_quick_refusal() -> None:
    """However long such jobs usually take."""
    assert list(islice(accumulate(Timetable(learned([], 1000), floor=1).pauses()), 2)) == list(
        EARLY
    )


@pytest.mark.parametrize("age", [4.1, 8.0, 500.0])
def test_a_job_of_before_is_asked_about_at_once(age: float) -> None:
    """And then at the pace of its age; the early polls that are left are made, too."""
    first, second = islice(Timetable(TRUE, floor=3).pauses(age), 2)
    assert first == 0
    assert 3 <= second <= LONGEST
    assert age > EARLY[-1] or second == max(3, EARLY[-1] - age)


@pytest.mark.slow
@every_vendor
def test_the_ledger_teaches(vendor: VendorId, tmp_path: Path) -> None:
    """It knows how long jobs of a kind took, and nothing of other kinds."""
    with Client(ledger=tmp_path / "ledger.sqlite3", vendors=[vendor]) as client:
        assert client.ledger
        jobs = [
            client.generate({"prompt": "a cat", "duration": 10}, vendor, output=tmp_path)
            for _ in range(4)
        ]
        took = client.ledger.write(Past(jobs[0]), "nobody", 0.0)
        assert len(took) == 4
        assert all(40 < seconds < 150 for seconds in took)
        assert learned(took).middle == pytest.approx(math.log(sum(took) / 4), abs=0.4)
        for other in ({"model": "another"}, {"workflow": "edit-video"}, {"simulated": False}):
            assert client.ledger.write(Past(jobs[0].model_copy(update=other)), "nobody", 0.0) == []


def test_no_vendor_is_asked_faster_than_its_own_clients_do() -> None:
    """Each has a floor of its own."""
    for provider in all_providers().values():
        assert (
            min(islice(Timetable(Durations(0.0, 0.1), floor=provider.poll_floor).pauses(), 50))
            >= provider.poll_floor
        )
