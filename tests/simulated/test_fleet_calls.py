"""Many jobs waited for at once: how often the vendors are asked."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from typing import Any

import httpx
import pytest
from polyreel.drivers import ManyJobsDriver
from polyreel.jobs.many import Completed, ManyJobs
from polyreel.jobs.queues import AT_ONCE, CROWD
from polyreel.jobs.timetable import LONGEST
from polyreel.jobs.waiting import JITTER
from polyreel.providers.base.registry import get_provider
from support import matrix
from support.faults import VENDORS, Kind, every_kind, every_vendor
from support.fleet import (
    BY_LIST,
    BY_ONE,
    START,
    STATUS_FAULTS,
    SURVEYS,
    USUALLY,
    Call,
    World,
    assert_all_succeed,
    busiest,
    by_id,
    by_list,
    by_survey,
    ids,
    one_by_one,
    refusal,
)


@pytest.mark.slow
@pytest.mark.matrix("vendor", "kind")
@every_kind
@by_id
def test_a_vendor_that_answers_for_several_is_asked_a_twentieth(vendor: str, kind: Kind) -> None:
    """And never about more at once than it takes; nobody waits much longer for that."""
    with World(kind) as world:
        jobs = world.submit(vendor, 200)
        assert ids(world.complete(jobs)) == ids(jobs)
        assert len(world.calls(vendor)) * 20 <= one_by_one(vendor, 200)
        sizes = [len(call.tasks) for call in world.calls(vendor)]
        assert max(sizes) == SURVEYS[vendor].size
        assert all(len(set(call.tasks)) == len(call.tasks) for call in world.calls(vendor))
        assert max(world.moments.values()) < USUALLY


@pytest.mark.matrix("vendor", "kind", "number")
@every_kind
@by_list
@pytest.mark.parametrize("number", [20, 60, 100])
def test_a_vendor_that_lists_what_runs_is_asked_less(vendor: str, kind: Kind, number: int) -> None:
    """About half as often as one by one, or less: the end of each job takes a query of its own."""
    with World(kind) as world:
        jobs = world.submit(vendor, number)
        assert ids(world.complete(jobs)) == ids(jobs)
        assert world.calls(vendor, single=False)
        assert len(world.calls(vendor)) <= 0.6 * one_by_one(vendor, number)
        assert max(world.moments.values()) < USUALLY


@pytest.mark.matrix("vendor", "kind")
@every_kind
@by_list
def test_a_list_that_cannot_hold_all_is_not_asked_for(vendor: str, kind: Kind) -> None:
    """Where more run than it lists, it is no help; it is when enough of them have ended."""
    most = SURVEYS[vendor].size
    with World(kind) as world:
        few, many = (
            world.submit(vendor, 30, duration=15),
            world.submit(vendor, most - 29, duration=3),
        )
        left = len(few) + len(many)
        listed: list[int] = []

        def look(_: Completed) -> None:
            nonlocal left
            left -= 1

        def note(call: Call) -> None:
            if not call.single:
                listed.append(left)

        world.line.meddle = note
        assert len(world.complete([*few, *many], look)) == most + 1
        assert listed
        assert max(listed) <= most


@every_kind
@by_survey
def test_one_job_alone_is_asked_about_alone(vendor: str, kind: Kind) -> None:
    """A query about several is for several."""
    with World(kind) as world:
        world.complete(world.submit(vendor))
        assert world.calls(vendor, single=False) == []
        assert 1 <= len(world.calls(vendor)) <= 4
        short, long = world.submit(vendor, duration=3), world.submit(vendor, duration=15)
        ends = world.complete([*short, *long])
        first = START + world.moments[ends[0].job.id]
        assert [call for call in world.calls(vendor, single=False) if call.began > first] == []


@every_kind
def test_no_vendor_is_asked_too_much_at_once(kind: Kind) -> None:
    """Four queries are under way at one vendor at most, and all vendors are asked at once."""
    with World(kind) as world:
        jobs = [job for vendor in VENDORS for job in world.submit(vendor, 20, duration=3)]
        world.line.delay = lambda _: 2.0
        assert ids(world.complete(jobs)) == ids(jobs)
        most = {vendor: busiest(world.calls(vendor)) for vendor in VENDORS}
        if kind == "awaiting":
            assert max(most.values()) == AT_ONCE
            assert all(most[vendor] == AT_ONCE for vendor in (*BY_ONE, *BY_LIST))
            assert busiest(world.line.calls) > AT_ONCE
        else:
            assert set(most.values()) == {1}


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_no_task_is_asked_about_faster_than_the_vendor_likes(vendor: str, kind: Kind) -> None:
    """Where queries are about single tasks; also when they go wrong, and when they are slow."""
    number = 1 if vendor in SURVEYS else matrix.shared(70, len(VENDORS))
    for share in (0.0, 0.05):
        with World(kind) as world:
            jobs = [
                job
                for duration in (3, 15)
                for job in world.submit(vendor, number, duration=duration)
            ]
            for name in STATUS_FAULTS:
                world.simulator.inject(name, share=share, times=None)
            for job in jobs if number == 1 else [None]:
                world.complete(jobs if job is None else [job], timeout=math.inf)
            assert world.calls(vendor, single=False) == []
            assert min(world.pauses(vendor)) >= get_provider(vendor).poll_floor - 1e-6


@pytest.mark.matrix("vendor", "kind")
@every_kind
@by_survey
def test_no_survey_comes_faster_than_the_vendor_likes(vendor: str, kind: Kind) -> None:
    """Where one is enough for all jobs."""
    with World(kind) as world:
        world.complete(world.submit(vendor, 20))
        times = [call.began for call in world.calls(vendor, single=False)]
        assert len(times) >= 2
        assert min(after - before for before, after in pairwise(times)) >= 3.0


def test_of_a_crowd_each_is_asked_about_less_often() -> None:
    """One process that waits for all does the same as the worker of each shard; nobody is asked
    about less than once a minute for it.
    """

    def asked(shards: int) -> tuple[int, float]:
        """How many calls were made for the jobs of one shard of so many, and the longest pause."""
        with World("awaiting") as world:
            jobs = world.submit(BY_ONE[0], 40, duration=15)

            async def wait() -> list[Completed]:
                many = ManyJobs(True, random.Random(1), shards)
                async with ManyJobsDriver(world.wire, many) as driver:
                    for job in jobs:
                        await driver.enrol(job, timeout=math.inf)
                    return [end async for end in driver]

            assert ids(world.run(wait())) == ids(jobs)
            return len(world.calls(BY_ONE[0])), max(world.pauses(BY_ONE[0]))

    few, _ = asked(1)
    assert asked(CROWD // 40)[0] == few
    crowded, longest = asked(9 * CROWD // 40)
    assert crowded < 0.6 * few
    assert longest <= LONGEST * (1 + JITTER)


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_a_vendor_that_asks_for_patience_is_left_alone_so_long(vendor: str, kind: Kind) -> None:
    """Retry-After is followed for all its jobs, and the others' end in the meantime."""
    with World(kind) as world:
        mine = world.submit(vendor, 8)
        others = [job for other in VENDORS if other != vendor for job in world.submit(other, 8)]
        refused: list[float] = []

        def busy(call: Call) -> httpx.Response | None:
            if call.vendor != vendor or len(refused) >= 5:
                return None
            refused.append(call.began)
            return refusal(429, retry_after="100")

        world.line.meddle = busy
        ends = world.complete([*mine, *others])
        assert_all_succeed(ends, [*mine, *others])
        times = [call.began for call in world.calls(vendor)]
        rests = [after - before for before, after in pairwise(times[:6])]
        assert min(rests) >= 100.0
        assert max(world.moments[job.id] for job in others) < USUALLY


@pytest.mark.parametrize("slow", VENDORS)
def test_a_slow_vendor_holds_up_only_itself(slow: str) -> None:
    """The others' jobs end when they would without it."""
    with World("awaiting") as world:
        mine = world.submit(slow, 30)
        others = [job for other in VENDORS if other != slow for job in world.submit(other, 6)]
        world.line.delay = lambda call: 50.0 if call.vendor == slow else 0.1
        ends = world.complete([*mine, *others])
        assert_all_succeed(ends, [*mine, *others])
        assert max(world.moments[job.id] for job in others) < USUALLY
        assert busiest(world.calls(slow)) <= AT_ONCE


@every_vendor
def test_both_clients_ask_the_same_of_one_job(vendor: str) -> None:
    """Law 7: the same questions in the same order, at the same times, also when things go wrong."""

    def questions(kind: Kind) -> list[tuple[Any, ...]]:
        with World(kind, seed=5) as world:
            (job,) = world.submit(vendor)
            for name in STATUS_FAULTS:
                world.simulator.inject(name, share=0.1, times=None)
            world.complete([job], timeout=math.inf)
            calls = world.calls(vendor)
            return [(call.method, call.path, call.content, round(call.began, 3)) for call in calls]

    assert questions("blocking") == questions("awaiting")
