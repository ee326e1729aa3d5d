"""Many jobs waited for at once: each comes out once, as waiting for it alone would have it, for fewer calls."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import random
import sys
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from polyreel import AsyncClient, Simulator
from polyreel.drivers import ManyJobsDriver, Wire, run, wire
from polyreel.errors import (
    KeyMissingError,
    LedgerError,
    StillRunningError,
    TaskNotFoundError,
    TransportError,
    VendorError,
)
from polyreel.flows import Flow, Now, Part, Paused, Reply, Send, Sleep, Step, at_once
from polyreel.jobs.many import Completed, ManyJobs
from polyreel.jobs.queues import AT_ONCE, PendingJob
from polyreel.jobs.waiting import EMPTY_POLLS
from polyreel.ledger.events import Keep, ReadNews
from polyreel.ledger.sqlite import Ledger
from polyreel.providers.base.facts import FINAL
from polyreel.providers.base.registry import get_provider
from polyreel.simulator import RunningClock, VirtualClock, server
from polyreel.simulator.faults import FAULTS
from polyreel_generated.shared import Job
from support.faults import (
    CANARIES,
    VENDORS,
    FaultServer,
    Kind,
    accepted,
    encoded,
    every_kind,
    every_vendor,
    http,
    plans,
    raw,
)
from support.fleet import (
    BY_ID,
    BY_LIST,
    BY_ONE,
    START,
    SURVEYS,
    Call,
    World,
    busiest,
    ends_of,
    forgetful,
    refusal,
)

STATUS_FAULTS = [name for name, fault in FAULTS.items() if fault.call in {"poll", "list"}]
by_id = pytest.mark.parametrize("vendor", BY_ID)
by_list = pytest.mark.parametrize("vendor", BY_LIST)
by_survey = pytest.mark.parametrize("vendor", SURVEYS)
USUALLY = 150.0
"""Seconds after which every simulated job of these tests has ended and been heard of, where nothing goes wrong."""


def outcome(job: Job) -> tuple[Any, ...]:
    """What matters of a job's end."""
    links = [output.url for output in job.outputs or ()]
    return job.vendor, job.id, job.status, links, job.error and (job.error.code, job.error.message)


def ids(found: list[Completed] | list[Job]) -> list[str]:
    """The tasks, in a fixed order."""
    return sorted(one.job.id if isinstance(one, Completed) else one.id for one in found)


def by_vendor(ends: list[Completed], vendor: str) -> list[Completed]:
    """Those of one vendor."""
    return [end for end in ends if end.job.vendor == vendor]


# --- each job comes out once ----------------------------------------------------------------------


@every_kind
@given(
    seed=st.integers(0, 1000),
    share=st.floats(0.0, 0.1),
    faults=st.lists(st.sampled_from(STATUS_FAULTS), unique=True, max_size=8),
    sizes=st.lists(st.integers(0, 8), min_size=len(VENDORS), max_size=len(VENDORS)),
)
@settings(max_examples=20, derandomize=True)
def test_each_job_comes_out_once_whatever_happens(
    kind: Kind, seed: int, share: float, faults: list[str], sizes: list[int]
) -> None:
    """And as waiting for it alone would have it, however often status queries go wrong."""
    with World(kind, seed) as world:
        jobs = []
        for vendor, size in zip(VENDORS, sizes, strict=True):
            world.simulator.script(vendor, *ends_of(vendor)[:size])
            jobs += world.submit(vendor, size)
        for name in faults:
            world.simulator.inject(name, share=share, times=None)
        world.line.edit = forgetful(random.Random(seed), share)
        ends = world.complete(jobs, timeout=math.inf)
        assert ids(ends) == ids(jobs)
        assert [end.error for end in ends] == [None] * len(jobs)
        world.simulator.calm()
        known = {job.id: job for job in jobs}
        assert all(outcome(end.job) == outcome(world.do("wait", known[end.job.id])) for end in ends)


@every_kind
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_trouble_upon_trouble_loses_nothing(kind: Kind, seed: int) -> None:
    """Half of all queries go wrong, in every way there is, with a hundred jobs."""
    with World(kind, seed) as world:
        jobs = [job for vendor in VENDORS for job in world.submit(vendor, 34)]
        for name in STATUS_FAULTS:
            world.simulator.inject(name, share=0.05, times=None)
        world.line.edit = forgetful(random.Random(seed), 0.3)
        ends = world.complete(jobs, timeout=math.inf)
        assert ids(ends) == ids(jobs)
        assert {(end.job.status, end.error) for end in ends} == {("succeeded", None)}
        assert len({fault for _, fault in world.simulator.fired}) >= 12


@every_kind
@every_vendor
def test_the_end_is_that_of_waiting_alone(vendor: str, kind: Kind) -> None:
    """Every field of the job, where nothing goes wrong; and it comes out as soon as it is known."""
    with World(kind) as world:
        world.simulator.script(vendor, *ends_of(vendor))
        jobs = world.submit(vendor, 1 + len(ends_of(vendor)))
        ends = world.complete(jobs)
        assert sorted(end.job.status for end in ends) == sorted([*ends_of(vendor), "succeeded"])
        for end in ends:
            alone = world.do("wait", next(job for job in jobs if job.id == end.job.id))
            assert {**alone.model_dump(), "outputs": None} == {
                **end.job.model_dump(),
                "outputs": None,
            }
            assert outcome(alone) == outcome(end.job)


@every_kind
@every_vendor
def test_a_job_that_is_over_comes_out_at_once(vendor: str, kind: Kind) -> None:
    """Without any call, and before the others."""
    with World(kind) as world:
        world.simulator.script(vendor, *ends_of(vendor))
        over = [end.job for end in world.complete(world.submit(vendor, 3))]
        running = world.submit(vendor, 2)
        before = world.seconds
        ends = world.complete([*running, *over])
        assert [end.job for end in ends[:3]] == over
        assert {world.moments[job.id] for job in over} == {before}
        world.line.calls.clear()
        assert [end.job for end in world.complete(over)] == over
        assert world.line.calls == []
        assert world.complete([]) == []


@every_kind
@every_vendor
def test_a_job_given_twice_comes_out_once(vendor: str, kind: Kind) -> None:
    """However often, and in whatever state it is given."""
    with World(kind) as world:
        jobs = world.submit(vendor, 2)
        stored = [Job.model_validate_json(job.model_dump_json()) for job in jobs]
        ends = world.complete([*jobs, *stored, *jobs])
        assert ids(ends) == ids(jobs)
        assert len(world.calls(vendor, single=True)) <= 8


@every_kind
@every_vendor
def test_a_job_that_is_over_given_twice_comes_out_once(vendor: str, kind: Kind) -> None:
    """Twice as it ended; or once as it ended, and once as it began."""
    with World(kind) as world:
        jobs = world.submit(vendor, 2)
        over = [end.job for end in world.complete(jobs)]
        assert ids(world.complete([*over, *over])) == ids(jobs)
        assert ids(world.complete([*jobs, *over])) == ids(jobs)


@every_kind
@every_vendor
def test_a_success_without_a_file_is_asked_again_and_then_failed(vendor: str, kind: Kind) -> None:
    """As in waiting for it alone."""
    with World(kind) as world:
        world.simulator.inject("no-output", vendor, times=EMPTY_POLLS)
        (end,) = world.complete(world.submit(vendor), timeout=math.inf)
        assert (end.job.status, end.error) == ("succeeded", None)
        assert end.job.outputs
        world.simulator.inject("no-output", vendor, times=None)
        (end,) = world.complete(world.submit(vendor), timeout=math.inf)
        assert (end.job.status, end.error) == ("failed", None)
        assert end.job.error is not None
        assert end.job.error.code == "no_output"
        assert world.simulator.fired.count((vendor, "no-output")) == 2 * EMPTY_POLLS + 1


@by_id
@every_kind
def test_several_without_files_are_asked_again_too(vendor: str, kind: Kind) -> None:
    """Also where they are asked about together."""

    def without_files(call: Call, content: bytes) -> bytes:
        provider, body = get_provider(vendor), json.loads(content)
        for item in body if isinstance(body, list) else body.get("data", []):
            for place in provider.reads.outputs:
                item.pop(place.partition(".")[0], None)
        return json.dumps(body).encode()

    with World(kind) as world:
        world.line.edit = without_files
        ends = world.complete(world.submit(vendor, 3), timeout=math.inf)
        assert [end.job.error and end.job.error.code for end in ends] == ["no_output"] * 3
        assert world.calls(vendor, single=True) == []


@every_kind
def test_a_listener_hears_of_every_end(kind: Kind) -> None:
    """Once, and before the job comes out."""
    heard: list[Job] = []
    with World(kind, listener=heard.append) as world:
        jobs = [job for vendor in VENDORS for job in world.submit(vendor, 3)]
        heard.clear()
        world.complete(jobs, look=lambda end: _assert_heard(end, heard))
        assert ids([job for job in heard if job.status in FINAL]) == ids(jobs)


def _assert_heard(end: Completed, heard: list[Job]) -> None:
    assert outcome(end.job) in [outcome(job) for job in heard]


# --- when time is up ------------------------------------------------------------------------------


@every_kind
@every_vendor
def test_a_job_that_goes_on_comes_out_when_its_time_is_up(vendor: str, kind: Kind) -> None:
    """With its handle; those that ended before have no error, and waiting again brings the others."""
    with World(kind) as world:
        short, long = world.submit(vendor, 3, duration=3), world.submit(vendor, 3, duration=15)
        ends = world.complete([*long, *short], timeout=60.0)
        over, late = (
            [end for end in ends if end.error is None],
            [end for end in ends if end.error is not None],
        )
        assert ids(over) == ids(short)
        assert [end.job.status for end in over] == ["succeeded"] * 3
        assert ids(late) == ids(long)
        for end in late:
            assert isinstance(end.error, StillRunningError)
            assert (end.error.vendor, end.error.billed) == (vendor, "yes")
            assert end.error.job == end.job
            assert end.job.status == "running"
            assert world.moments[end.job.id] == pytest.approx(60.0)
        again = world.complete([end.job for end in late])
        assert ids(again) == ids(long)
        assert {(end.job.status, end.error) for end in again} == {("succeeded", None)}


@every_kind
@pytest.mark.parametrize("timeout", [-1.0, 0.0, math.nan])
def test_no_time_is_no_time(kind: Kind, timeout: float) -> None:
    """A timeout that is none lets nobody wait, as in waiting for one job."""
    with World(kind) as world:
        jobs = [job for vendor in VENDORS for job in world.submit(vendor, 3)]
        ends = world.complete(jobs, timeout=timeout)
        assert ids(ends) == ids(jobs)
        assert all(isinstance(end.error, StillRunningError) for end in ends)
        assert world.seconds == 0


@every_kind
@every_vendor
@pytest.mark.parametrize("trouble", ["503", "429", "reset", "400"])
def test_the_deadline_holds_while_nothing_answers(vendor: str, kind: Kind, trouble: str) -> None:
    """However many jobs there are: none waits for the others' queries, nor for the end of a rest."""

    def down(_: Call) -> httpx.Response | None:
        if trouble == "reset":
            raise httpx.ReadError("[Errno 104] Connection reset by peer")
        return (
            refusal(int(trouble), retry_after="110") if trouble == "429" else refusal(int(trouble))
        )

    with World(kind) as world:
        jobs = world.submit(vendor, 24)
        world.line.meddle = down
        ends = world.complete(jobs, timeout=300.0)
        assert ids(ends) == ids(jobs)
        assert all(isinstance(end.error, StillRunningError) for end in ends)
        assert all("last trouble" in str(end.error) for end in ends)
        assert max(world.moments.values()) <= 310.0


@every_kind
@every_vendor
def test_a_vendor_that_is_down_for_a_while_is_asked_again(vendor: str, kind: Kind) -> None:
    """Nobody fails a job because its vendor was away for ten minutes, and few calls are made meanwhile."""
    with World(kind) as world:
        jobs = world.submit(vendor, 20)
        world.line.meddle = lambda call: refusal(503) if call.began < START + 600 else None
        ends = world.complete(jobs)
        assert ids(ends) == ids(jobs)
        assert {(end.job.status, end.error) for end in ends} == {("succeeded", None)}
        assert max(world.moments.values()) < 900
        assert sum(call.began < START + 600 for call in world.calls(vendor)) < 60


# --- what ends the waiting for a job --------------------------------------------------------------


@every_kind
@every_vendor
def test_a_job_that_nobody_knows_comes_out_after_some_tries(vendor: str, kind: Kind) -> None:
    """And stops no other."""
    with World(kind) as world:
        jobs = world.submit(vendor, 5)
        lost = [job.model_copy(update={"id": job.id[:-1] + "~"}) for job in jobs[:2]]
        lost = [
            Job.model_validate({**one.model_dump(), "id": one.id.replace("~", "0")}) for one in lost
        ]
        assert not {job.id for job in lost} & {job.id for job in jobs}
        ends = world.complete([*lost, *jobs])
        assert ids(ends) == ids([*lost, *jobs])
        errors = {end.job.id: end for end in ends if end.error}
        assert sorted(errors) == ids(lost)
        for end in errors.values():
            assert isinstance(end.error, TaskNotFoundError)
            assert end.error.job == end.job
            asked = [
                call for call in world.calls(vendor, single=True) if call.tasks == [end.job.id]
            ]
            assert len(asked) == EMPTY_POLLS + 1


@every_kind
@every_vendor
def test_a_job_is_lost_only_where_it_is_unknown_again_and_again(vendor: str, kind: Kind) -> None:
    """A vendor that forgets it every other time still has it, as in waiting for it alone."""
    with World(kind) as world:
        (job,) = world.submit(vendor, duration=15)

        def forget(_: Call) -> None:
            if len(world.line.calls) % 2:
                world.simulator.inject("poll-not-found", vendor)

        world.line.meddle = forget
        (end,) = world.complete(
            [job.model_copy(update={"estimated_seconds": 20.0})], timeout=math.inf
        )
        assert (end.job.status, end.error) == ("succeeded", None)


@every_kind
@every_vendor
@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_not_accepted_ends_all_waiting_there(
    vendor: str, kind: Kind, status: int
) -> None:
    """Each job has an error of its own, with itself on it; other vendors' jobs go on."""
    with World(kind) as world:
        jobs = world.submit(vendor, 5)
        other = next(one for one in VENDORS if one != vendor)
        others = world.submit(other, 5)
        world.line.meddle = lambda call: refusal(status) if call.vendor == vendor else None
        ends = world.complete([*jobs, *others])
        assert ids(by_vendor(ends, vendor)) == ids(jobs)
        assert [end.error for end in by_vendor(ends, other)] == [None] * 5
        errors = [end.error for end in by_vendor(ends, vendor)]
        assert len({id(error) for error in errors}) == 5
        for end in by_vendor(ends, vendor):
            assert isinstance(end.error, VendorError)
            assert (end.error.status, end.error.vendor, end.error.billed) == (status, vendor, "yes")
            assert end.error.job == end.job
            assert end.error.job.id == end.job.id
            assert world.moments[end.job.id] < 30
        assert (
            len(world.calls(vendor)) <= 5 + 1
        )  # one about several, which may be refused for reasons of its own


@every_kind
def test_a_vendor_without_a_key_stops_no_other(kind: Kind) -> None:
    """What goes wrong with one job stops none of the others."""
    with World(kind) as world:
        jobs = {vendor: world.submit(vendor, 2) for vendor in VENDORS}
        world.wire.keys = {
            vendor: key for vendor, key in world.wire.keys.items() if vendor != VENDORS[0]
        }
        ends = world.complete([job for found in jobs.values() for job in found])
        for vendor in VENDORS[1:]:
            assert [end.error for end in by_vendor(ends, vendor)] == [None, None]
        assert ids(by_vendor(ends, VENDORS[0])) == ids(jobs[VENDORS[0]])
        for end in by_vendor(ends, VENDORS[0]):
            assert isinstance(end.error, KeyMissingError)
            assert end.error.job == end.job


# --- how much is asked ----------------------------------------------------------------------------


@cache
def one_by_one(vendor: str, number: int) -> int:
    """How many calls it takes to wait for each job alone, all at the same time."""
    with World("awaiting") as world:
        jobs = world.submit(vendor, number)

        async def wait() -> None:
            await asyncio.gather(*(world.client.wait(job) for job in jobs))

        world.run(wait())
        return len(world.line.calls)


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
@by_survey
@pytest.mark.parametrize("fault", ["list-500", "list-empty"])
def test_a_query_about_several_that_is_out_of_order_holds_up_nobody(
    vendor: str, kind: Kind, fault: str
) -> None:
    """It says nothing about each, and the query about one may well work: jobs end as in waiting for each alone."""
    with World(kind) as world:
        jobs = world.submit(vendor, 10)
        world.simulator.inject(fault, vendor, times=None)
        ends = world.complete(jobs)
        assert ids(ends) == ids(jobs)
        assert {(end.job.status, end.error) for end in ends} == {("succeeded", None)}
        assert max(world.moments.values()) < 2 * USUALLY


@every_kind
@by_survey
@pytest.mark.parametrize(
    "content",
    [
        b"<html>",
        b"[]",
        b"{}",
        b"null",
        b'{"data": {}}',
        b'{"data": [null, [], {"id": []}]}',
        b'[{"id": 1}]',
        b"",
    ],
)
def test_nonsense_about_several_holds_up_nobody(vendor: str, kind: Kind, content: bytes) -> None:
    """They are asked about one by one."""
    with World(kind) as world:
        jobs = world.submit(vendor, 4)
        world.line.meddle = lambda call: (
            None if call.single else httpx.Response(200, content=content)
        )
        ends = world.complete(jobs)
        assert ids(ends) == ids(jobs)
        assert {(end.job.status, end.error) for end in ends} == {("succeeded", None)}
        assert max(world.moments.values()) < 2 * USUALLY


@every_kind
def test_no_vendor_is_asked_too_much_at_once(kind: Kind) -> None:
    """Four queries are under way at one vendor at most, and all vendors are asked at once."""
    with World(kind) as world:
        jobs = [job for vendor in VENDORS for job in world.submit(vendor, 60, duration=3)]
        world.line.delay = lambda _: 2.0
        assert ids(world.complete(jobs)) == ids(jobs)
        most = {vendor: busiest(world.calls(vendor)) for vendor in VENDORS}
        if kind == "awaiting":
            assert max(most.values()) == AT_ONCE
            assert all(most[vendor] == AT_ONCE for vendor in (*BY_ONE, *BY_LIST))
            assert busiest(world.line.calls) > AT_ONCE
        else:
            assert set(most.values()) == {1}


@every_kind
@every_vendor
def test_no_task_is_asked_about_faster_than_the_vendor_likes(vendor: str, kind: Kind) -> None:
    """Where queries are about single tasks; also when they go wrong, and when they are slow."""
    number = 1 if vendor in SURVEYS else 30
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


@every_kind
@by_survey
def test_no_survey_comes_faster_than_the_vendor_likes(vendor: str, kind: Kind) -> None:
    """Where one is enough for all jobs."""
    with World(kind) as world:
        world.complete(world.submit(vendor, 20))
        times = [call.began for call in world.calls(vendor, single=False)]
        assert len(times) >= 2
        assert min(after - before for before, after in pairwise(times)) >= 3.0


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
        assert ids(ends) == ids([*mine, *others])
        assert {(end.job.status, end.error) for end in ends} == {("succeeded", None)}
        times = [call.began for call in world.calls(vendor)]
        rests = [after - before for before, after in pairwise(times[:6])]
        assert min(rests) >= 100.0
        assert max(world.moments[job.id] for job in others) < USUALLY


@pytest.mark.parametrize("slow", VENDORS)
def test_a_slow_vendor_holds_up_only_itself(slow: str) -> None:
    """The others' jobs end when they would without it."""
    with World("awaiting") as world:
        mine = world.submit(slow, 30)
        others = [job for other in VENDORS if other != slow for job in world.submit(other, 30)]
        world.line.delay = lambda call: 50.0 if call.vendor == slow else 0.1
        ends = world.complete([*mine, *others])
        assert ids(ends) == ids([*mine, *others])
        assert {(end.job.status, end.error) for end in ends} == {("succeeded", None)}
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


# --- the ledger -----------------------------------------------------------------------------------


@every_kind
def test_the_end_is_written_down_when_it_comes_out(kind: Kind, tmp_path: Path) -> None:
    """Whoever dies then has lost nothing."""
    with World(kind, ledger=tmp_path / "ledger.sqlite3") as world:
        jobs = []
        for vendor in VENDORS:
            world.simulator.script(vendor, *ends_of(vendor))
            jobs += world.submit(vendor, 5)

        def look(end: Completed) -> None:
            entry = world.client.ledger.of_task(end.job.vendor, end.job.id, simulated=True)
            assert entry.job == end.job
            assert entry.job.status in FINAL

        ends = world.complete(jobs, look)
        assert ids(ends) == ids(jobs)
        assert {end.error for end in ends} == {None}


@every_kind
def test_a_ledger_that_refuses_one_stops_no_other(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job comes out as it ended, with the error beside it."""
    write = Ledger.write
    with World(kind, ledger=tmp_path / "ledger.sqlite3") as world:
        jobs = [job for vendor in VENDORS for job in world.submit(vendor, 4)]
        refused = {found.id for found in jobs[::2]}

        def reluctant(ledger: Ledger, event: Any, owner: str, now: float) -> Any:
            if isinstance(event, Keep) and event.job.id in refused:
                raise LedgerError("the disk is full")
            return write(ledger, event, owner, now)

        monkeypatch.setattr(Ledger, "write", reluctant)
        ends = world.complete(jobs)
        assert ids(ends) == ids(jobs)
        assert {end.job.status for end in ends} == {"succeeded"}
        assert {end.job.id for end in ends if end.error} == refused
        for end in ends:
            if end.error:
                assert isinstance(end.error, LedgerError)
                assert end.error.job == end.job
                assert end.error.ledger_id == end.job.ledger_id


@every_kind
def test_a_ledger_that_cannot_be_read_for_a_moment_loses_nothing(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job comes out once; where it has an error, it is one of its own."""
    write = Ledger.write
    with World(kind, ledger=tmp_path / "ledger.sqlite3") as world:
        jobs = [job for vendor in VENDORS for job in world.submit(vendor, 4)]

        def reluctant(ledger: Ledger, event: Any, owner: str, now: float) -> Any:
            if isinstance(event, ReadNews) and 5 < world.seconds < 20:
                raise LedgerError("the database is locked")
            return write(ledger, event, owner, now)

        monkeypatch.setattr(Ledger, "write", reluctant)
        ends = world.complete(jobs)
        assert ids(ends) == ids(jobs)
        for end in ends:
            assert end.error is None or (
                isinstance(end.error, LedgerError) and end.error.job == end.job
            )


# --- the crew -------------------------------------------------------------------------------------


def crew_of(world: World) -> ManyJobsDriver:
    """A crew with nothing to do yet."""
    return ManyJobsDriver(world.wire, ManyJobs(True, world.wire.randomness))


def test_breaking_out_ends_the_workers() -> None:
    """No task is left behind, whether the iteration is closed or forgotten, and the client goes on."""

    async def leave(world: World, jobs: list[Job], *, politely: bool) -> None:
        iteration: Any = world.client.as_completed(jobs)
        async for _ in iteration:
            break
        if politely:
            await iteration.aclose()
        del iteration
        for _ in range(10):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    for politely in (True, False):
        with World("awaiting") as world:
            jobs = [job for vendor in VENDORS for job in world.submit(vendor, 5)]
            world.line.delay = lambda _: 1.0
            world.run(leave(world, jobs, politely=politely))
            assert ids(world.complete(jobs)) == ids(jobs)


def test_a_crew_leaves_no_task_behind() -> None:
    """Not even for a moment: whoever closes the loop next hears of nothing that is still pending."""

    async def work(world: World, jobs: list[Job]) -> set[Any]:
        async with crew_of(world) as crew:
            for job in jobs:
                await crew.enrol(job, timeout=100.0)
            await asyncio.sleep(1)
        return asyncio.all_tasks() - {asyncio.current_task()}

    with World("awaiting") as world:
        assert world.run(work(world, world.submit(VENDORS[0], 3))) == set()


def test_jobs_join_a_crew_while_it_works() -> None:
    """Each comes out once, in one iteration or in the next, and a job with less time left is not kept waiting."""

    async def work(world: World, first: list[Job], second: list[Job]) -> list[Completed]:
        async with crew_of(world) as crew:
            for job in first:
                await crew.enrol(job, timeout=1000.0)
            late = asyncio.create_task(join(crew, second))
            ends = [end async for end in crew]
            await late
            assert [end async for end in crew] == []
            over = next(end.job for end in ends if end.error is None)
            await crew.enrol(over, timeout=10.0)
            assert [end async for end in crew] == [Completed(over)]
            return ends

    async def join(crew: ManyJobsDriver, jobs: list[Job]) -> None:
        for job in jobs:
            await asyncio.sleep(2)
            await crew.enrol(job, timeout=5.0)

    with World("awaiting") as world:
        first = [job for vendor in VENDORS for job in world.submit(vendor, 3, duration=15)]
        second = [job for vendor in VENDORS for job in world.submit(vendor, 2, duration=15)]
        ends = world.run(work(world, first, second))
        assert ids(ends) == ids([*first, *second])
        assert ids([end for end in ends if end.error]) == ids(second)


def test_a_crew_that_rests_wakes_up_for_a_job() -> None:
    """Also where it has nothing to do at all."""

    async def work(world: World, job: Job) -> Completed:
        async with crew_of(world) as crew:
            await asyncio.sleep(500)
            assert world.line.calls == []
            await crew.enrol(job, timeout=1000.0)
            return await crew.get()

    with World("awaiting") as world:
        (job,) = world.submit(VENDORS[0])
        assert outcome(world.run(work(world, job)).job)[2] == "succeeded"


@every_kind
@by_survey
@pytest.mark.parametrize("number", [1, 3], ids=["ask", "ask_about"])
def test_what_nobody_expected_is_heard_of(
    vendor: str, kind: Kind, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in a vendor's file is told where the jobs are waited for, instead of a wait for ever."""

    def broken(*_: Any) -> Flow[Any]:
        yield Now()
        raise RuntimeError("a mistake")

    provider = type(get_provider(vendor))
    monkeypatch.setattr(provider, "ask_about", broken)
    monkeypatch.setattr(provider, "get", broken)
    with World(kind) as world:
        jobs = world.submit(vendor, number)
        other = next(one for one in VENDORS if not isinstance(get_provider(one), provider))
        others = world.submit(other, 2)
        ends = world.complete([*jobs, *others])
        assert ids(by_vendor(ends, vendor)) == ids(jobs)
        assert all(isinstance(end.error, RuntimeError) for end in by_vendor(ends, vendor))
        assert [end.error for end in by_vendor(ends, other)] == [None, None]


@every_kind
def test_a_listener_that_breaks_is_heard_of(kind: Kind) -> None:
    """Its own mistake comes back to who waits, instead of a wait for ever."""

    def listen(job: Job) -> None:
        if job.status in FINAL:
            raise RuntimeError("a mistake")

    with World(kind, listener=listen) as world:
        jobs = world.submit(VENDORS[0], 2)
        with pytest.raises(RuntimeError, match="a mistake"):
            world.complete(jobs)


# --- the flows ------------------------------------------------------------------------------------


def test_a_flow_at_once_says_how_long_it_would_wait() -> None:
    """Everything before that happens, and the flow is closed."""
    closed = []

    def flow() -> Flow[str]:
        try:
            yield Now()
            yield Sleep(7.0, jitter=0.5)
            return "never"
        finally:
            closed.append(True)

    driven = at_once(flow())
    assert isinstance(driven.send(None), Now)
    with pytest.raises(Paused) as caught:
        driven.send(1.0)
    assert caught.value.seconds == 7.0
    assert closed == [True]


def test_a_flow_at_once_hears_of_failures_and_gives_its_result() -> None:
    """As if it were driven itself."""

    def flow() -> Flow[str]:
        try:
            yield Now()
        except TransportError as error:
            return str(error)
        return "nothing was thrown in"

    driven = at_once(flow())
    driven.send(None)
    with pytest.raises(StopIteration) as stop:
        driven.throw(TransportError("lost", sent=True))
    assert stop.value.value == "lost"


TEXTS = st.text(st.characters(exclude_categories=[]), max_size=6)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(value=JSON, ascii_only=st.booleans())
def test_an_answer_is_read_as_it_stands(value: Any, ascii_only: bool) -> None:
    """The quick way and the careful one tell the same, and what they tell can be written in UTF-8."""
    content = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    told = Reply(200, {}, content).json()
    json.dumps(told, ensure_ascii=False, allow_nan=False).encode()
    if not any("\ud800" <= letter <= "\udfff" for letter in json.dumps(value, ensure_ascii=False)):
        assert told == value


ITEMS: st.SearchStrategy[Any] = st.lists(
    st.none()
    | st.fixed_dictionaries(
        {},
        optional={
            "id": st.sampled_from(["a", "b", "c", "", None, 1, []]),
            "status": st.sampled_from(["completed", "processing", "failed", "?", None, 3, {}]),
            "results": st.sampled_from([["https://x.example/1"], [], None, 1, {}]),
        },
    ),
    max_size=5,
)


@by_survey
@given(body=st.one_of(JSON, ITEMS, st.fixed_dictionaries({"data": st.one_of(ITEMS, JSON)})))
def test_what_is_told_of_several_is_of_those_asked_about(vendor: str, body: Any) -> None:
    """Whatever stands in the answer: facts of those, with their ids and words, or a VendorError."""
    flow = get_provider(vendor).ask_about(["a", "b"], None)
    step: Step = next(flow)
    assert isinstance(step, Send)
    assert not step.paid
    told: Mapping[str, Any] = {}
    try:
        flow.send(Reply(200, {}, json.dumps(body).encode()))
    except StopIteration as stop:
        told = stop.value
    except VendorError:
        return
    assert set(told) <= {"a", "b"}
    assert all(facts.id == task and facts.word is not None for task, facts in told.items())


# --- memory ---------------------------------------------------------------------------------------


@every_vendor
@pytest.mark.parametrize("estimates", [False, True], ids=["alike", "own-estimates"])
def test_a_flight_is_small(vendor: str, estimates: bool) -> None:
    """Less than 4 KiB for each job, also where the vendor has an estimate of its own for each."""
    number = 2000
    with World("blocking") as world:
        (job,) = world.submit(vendor)
        document = job.model_dump()
        fleet = ManyJobs(True, random.Random(1))

        def enrol(index: int) -> None:
            own = {"estimated_seconds": 60 + index / 100} if estimates else {}
            made = Job.model_validate({**document, "id": f"{job.id[:-6]}{index:06}", **own})
            assert run(fleet.enrol(made, timeout=1000.0), world.wire) == []

        enrol(number)
        gc.collect()
        tracemalloc.start()
        try:
            for index in range(number):
                enrol(index)
            gc.collect()
            size, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(fleet) == number + 1
        assert size / number < 4096


def test_nothing_is_left_of_a_flight_that_is_over() -> None:
    """A fleet can work for days."""
    with World("blocking") as world:
        jobs = [job for vendor in VENDORS for job in world.submit(vendor, 5)]
        world.complete(jobs)
        gc.collect()
        assert [found for found in gc.get_objects() if isinstance(found, PendingJob)] == []


# --- over real connections ------------------------------------------------------------------------

SPEED = 100.0


@pytest.fixture(params=["fast", "plain"])
def connections(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the extra that is faster, and without it."""
    if request.param == "plain":
        monkeypatch.setattr(wire, "_fast", lambda: None)
    return str(request.param)


@pytest.mark.parametrize("installed", [True, False])
def test_the_extra_is_used_where_it_is_installed(
    installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For calls that cost nothing and have no files, to the vendor's own origins."""
    monkeypatch.setattr(wire, "_fast", wire._fast.__wrapped__)  # asks anew
    if not installed:
        monkeypatch.setitem(sys.modules, "aiohttp", None)
        monkeypatch.delitem(sys.modules, "polyreel.drivers.fast", raising=False)
    free = Send("acme", "GET", "https://acme.example/v1/tasks/1")
    others = [evolve(free, paid=True), evolve(free, parts=(Part("x", "y"),))]
    others += [
        evolve(free, url=url)
        for url in ("https://other.example/v1", "https://ACME.example/v1", "https:/x", "")
    ]

    async def take() -> list[bool]:
        made = Wire(hosts={"acme": frozenset({"https://acme.example"})})
        found = [made.fast_connections(step) is not None for step in (free, *others)]
        await made.aclose()
        return found

    assert asyncio.run(take()) == [installed, *(False for _ in others)]


def at(url: str, **options: Any) -> AsyncClient:
    """A client whose vendors are all served at one address."""
    urls = {vendor: url + path for vendor, path in server.mounts().items()}
    client = AsyncClient(keys=CANARIES, base_urls=urls, retries=0, **options)
    client.wire.clock = RunningClock(SPEED)
    return client


def test_many_jobs_complete_over_real_connections(
    connections: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the key of each vendor for that vendor alone, and several asked about with one call."""
    simulator = Simulator(seed=1, clock=RunningClock(SPEED))
    seen: list[tuple[str, str | None]] = []
    handle = Simulator.handle

    def heard(
        own: Simulator,
        vendor: str,
        method: str,
        target: str,
        headers: Mapping[str, str],
        *rest: Any,
    ) -> Any:
        seen.append(
            (vendor, {name.lower(): value for name, value in headers.items()}.get("authorization"))
        )
        return handle(own, vendor, method, target, headers, *rest)

    monkeypatch.setattr(Simulator, "handle", heard)

    async def work(url: str) -> tuple[list[Job], list[Completed]]:
        async with at(url) as client:
            made = [client.plan({"prompt": "a cat", "duration": 3}, vendor) for vendor in VENDORS]
            jobs = [await client.submit(plan) for plan in made for _ in range(10)]
            return jobs, [end async for end in client.as_completed(jobs)]

    with server.running(simulator) as url:
        jobs, ends = asyncio.run(work(url))
    assert ids(ends) == ids(jobs)
    assert {(end.job.status, end.error) for end in ends} == {("succeeded", None)}
    assert set(seen) == {(vendor, f"Bearer {CANARIES[vendor]}") for vendor in VENDORS}
    assert (
        Counter(method for vendor, method, _ in simulator.journal if vendor == BY_ID[0])["POST"]
        > 10
    )


def query(base: str, vendor: str = VENDORS[0], **options: Any) -> Callable[[], Any]:
    """One awaited status query at an address."""

    async def ask() -> Any:
        async with AsyncClient(
            keys=CANARIES, base_urls={vendor: base}, retries=0, **options
        ) as client:
            client.wire.clock = VirtualClock(START)
            return await client.get(job_of(vendor))

    return lambda: asyncio.run(ask())


def job_of(vendor: str) -> Job:
    """A live job that may be asked about."""
    fixed = {"vendor": vendor, "model": "m", "workflow": "text-to-video", "simulated": False}
    return Job.model_validate({**fixed, "id": "task-1", "status": "queued", "created_at": START})


@every_vendor
def test_a_redirect_does_not_take_the_key_along(vendor: str, connections: str) -> None:
    """A status query that is sent elsewhere is a refused one, and nobody hears of the key there."""
    with FaultServer() as own, FaultServer() as other:
        made = next(iter(plans(vendor).values()))
        other.play(http(200, accepted(vendor, made)))
        own.play(http(302, b"{}", {"Location": f"{other.url}/v1/here"}))
        with pytest.raises(VendorError) as caught:
            query(own.url, vendor)()
        assert caught.value.status == 302
        assert other.connections == 0
        assert [one.headers["authorization"] for one in own.requests] == [
            f"Bearer {CANARIES[vendor]}"
        ]
        assert not {"cookie", "proxy-authorization"} & own.requests[0].headers.keys()


def test_cookies_are_not_kept(connections: str) -> None:
    """What one answer sets is not in the next request."""
    vendor = VENDORS[0]
    made = next(iter(plans(vendor).values()))

    async def twice(url: str) -> None:
        async with AsyncClient(keys=CANARIES, base_urls={vendor: url}) as client:
            await client.get(job_of(vendor))
            await client.get(job_of(vendor))

    with FaultServer() as own:
        own.play(http(200, accepted(vendor, made), {"Set-Cookie": "a=b; Path=/"}))
        asyncio.run(twice(own.url))
        assert len(own.requests) == 2
        assert not any("cookie" in one.headers for one in own.requests)


def test_both_kinds_of_connections_send_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Target, headers and body of status queries about one job and about several."""

    async def ask(url: str, vendor: str) -> None:
        async with AsyncClient(keys=CANARIES, base_urls={vendor: url}) as client:
            client.wire.clock, client.wire.randomness = RunningClock(SPEED), random.Random(1)
            two = [job_of(vendor), job_of(vendor).model_copy(update={"id": "task-2"})]
            for jobs in (two, two[:1]):
                assert len(await _listed(client.as_completed(jobs))) == len(jobs)

    def requests(vendor: str) -> list[Any]:
        with FaultServer() as own:
            own.play(http(401, b"{}"))
            asyncio.run(ask(own.url, vendor))
            host, key = own.url.removeprefix("http://"), CANARIES[vendor]
            headers = [
                {
                    name: value.replace(host, "host").replace(key, "key")
                    for name, value in one.headers.items()
                }
                for one in own.requests
            ]
            told = [
                (one.target, one.method, one.body, found)
                for one, found in zip(own.requests, headers, strict=True)
            ]
            return sorted(told, key=str)  # two that are under way at once may arrive in any order

    for vendor in VENDORS:
        quick = requests(vendor)
        with monkeypatch.context() as patch:
            patch.setattr(wire, "_fast", lambda: None)
            assert requests(vendor) == quick
        assert {headers["accept-encoding"] for *_, headers in quick} == {"identity"}
        assert {headers["authorization"] for *_, headers in quick} == {"Bearer key"}


GARBAGE = {
    "no-http": b"hello\r\n\r\n",
    "odd-status": b"HTTP/1.1 abc OK\r\n\r\n",
    "odd-header": b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
    "odd-length": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
    "odd-chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "long-header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n{}",
    "nothing": b"",
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_not_http_is_a_transport_error(name: str, connections: str) -> None:
    """Whatever comes back is an error that says so, and one that may have been sent."""
    with FaultServer() as own:
        own.play(raw(GARBAGE[name]))
        with pytest.raises(TransportError) as caught:
            query(own.url)()
        assert "CANARY" not in str(caught.value)


def test_who_refuses_connections_is_told_of(connections: str) -> None:
    """Not as a vendor that is slow: no time ran out."""
    with FaultServer() as own:
        url = own.url
    with pytest.raises(TransportError) as caught:
        query(url)()
    # The faster connections do not tell whether anything has left, and paid calls never take them.
    assert caught.value.sent == (connections == "fast")
    assert "connection failed" in str(caught.value)


def test_a_vendor_that_hangs_up_is_told_of(connections: str) -> None:
    """Not as a vendor that is slow: and the request has left."""
    with FaultServer() as own:
        own.play(raw(b""))
        with pytest.raises(TransportError) as caught:
            query(own.url)()
    assert "connection failed" in str(caught.value)
    assert caught.value.sent


async def _listed(iteration: AsyncIterator[Completed]) -> list[Completed]:
    return [end async for end in iteration]


def test_garbage_from_one_vendor_stops_no_other(connections: str) -> None:
    """A vendor whose answers are no HTTP is one that is down."""
    first, second = VENDORS[0], VENDORS[1]
    provider = get_provider(second)
    status = provider.contract.operation("get")
    assert status is not None
    body = next(
        body
        for code, _, name, body in provider.contract.replies(status)
        if name == "failed" and code == 200
    )

    async def work(bad: str, good: str) -> list[Completed]:
        async with AsyncClient(
            keys=CANARIES, base_urls={first: bad, second: good}, retries=0
        ) as client:
            client.wire.clock = RunningClock(SPEED)
            async with asyncio.timeout(10):
                return await _listed(
                    client.as_completed([job_of(first), job_of(second)], timeout=100.0)
                )

    with FaultServer() as bad, FaultServer() as good:
        bad.play(raw(GARBAGE["no-http"]))
        good.play(http(200, encoded(body)))
        ends = asyncio.run(work(bad.url, good.url))
    errors = {end.job.vendor: end.error for end in ends}
    assert errors[second] is None
    assert isinstance(errors[first], StillRunningError)
