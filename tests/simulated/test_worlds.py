"""Worlds: what has to hold in all of them, and what they would find. `scripts/worlds` runs more."""

from __future__ import annotations

import pytest
from attrs import evolve
from support.worlds.mutants import SWITCHES, broken
from support.worlds.plot import plot_of
from support.worlds.running import Failure, failures, found_after, happen, shrunk, story

WORLDS = 100
OTHERS = 1_000_000
"""The first seed of other worlds than those that `scripts/worlds` begins with."""
ENOUGH = 20_000
RULE = "refusal: the status alone is proof"
FINDERS = {
    "age: a key is used again however old it is": 57,
    "age: only the wall clock counts": 198,
    "age: only the clock since the start counts": 57,
    "owner: nobody is alive": 6,
    "owner: nobody ever dies": 1,
    "fingerprint: a reference stands for any request": 863,
    RULE: 0,
    "free retry: none at all": 134,
    "free retry: also of what may be paid": 32,
    "budget: earlier runs are not counted": 96,
    "absorption: the newest report counts": 52,
    "reference: it can have several jobs": 1,
    "interruption: a submit on its way was not sent": 55,
}
"""For each rule, the first world that goes wrong without it. A new rule has 0."""


def test_nothing_is_paid_twice_or_lost_in_any_world() -> None:
    """One bill a job, every bill known or flagged, every file right, nothing in use for ever."""
    seeds = range(OTHERS, OTHERS + WORLDS)
    steps: list[int] = []
    failed = [one.plot.seed for one in failures(seeds, lambda _, end: steps.append(end.steps))]
    assert failed == []
    assert sum(steps) > 20 * WORLDS


def test_a_world_always_happens_in_the_same_way() -> None:
    """So that its seed repeats it."""
    for seed in range(10):
        assert [*story(plot_of(seed))] == [*story(plot_of(seed))]


@pytest.mark.parametrize("rule", SWITCHES)
def test_worlds_find_each_safety_rule_that_is_switched_off(rule: str) -> None:
    """The worlds have the power to find what they are made for.

    Others are looked through only where the one that found it before does not any more.
    """
    assert found_after(rule, 1, FINDERS.get(rule, 0)) or found_after(rule, ENOUGH)


def test_a_failing_world_is_made_smaller() -> None:
    """What is left of it fails in the same way, and its story says so."""
    with broken(RULE):
        failure = next(
            one for one in failures(range(ENOUGH), lambda *_: None) if len(one.plot.actors) > 3
        )
        small = shrunk(failure)
        reported = [*story(small.plot)]
    assert failure.ending.violations[0] in small.ending.violations
    assert len(small.plot.actors) == 1
    assert len(small.plot.mishaps) <= 1
    assert any(failure.ending.violations[0] in line for line in reported)
    assert happen(small.plot).violations == ()


def test_shrinking_keeps_what_fails() -> None:
    """A world that cannot be smaller stays as it is."""
    plot = plot_of(0)
    with broken(RULE):
        failure = next(failures(range(ENOUGH), lambda *_: None))
        least = shrunk(shrunk(failure))
        assert least == shrunk(Failure(evolve(least.plot), least.ending))
    assert plot_of(0) == plot
