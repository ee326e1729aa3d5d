"""Many jobs waited for at once: each comes out once, as waiting for it alone would have it."""

from __future__ import annotations

import json
import math
import random

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polyreel.errors import (
    KeyMissingError,
    StillRunningError,
    TaskNotFoundError,
    UnknownStatusError,
    VendorError,
)
from polyreel.jobs.many import Completed
from polyreel.jobs.waiting import EMPTY_POLLS
from polyreel.providers.base.facts import FINAL
from polyreel.providers.base.registry import get_provider
from polyreel_generated.shared import Job
from support import matrix
from support.faults import VENDORS, Kind, every_kind, every_vendor
from support.fleet import (
    START,
    STATUS_FAULTS,
    Call,
    World,
    assert_all_succeed,
    by_id,
    by_vendor,
    ends_of,
    forgetful,
    ids,
    outcome,
    refusal,
)
from support.stage import every_with_links_in_states

# --- each job comes out once ----------------------------------------------------------------------


@pytest.mark.slow
@every_kind
@given(
    seed=st.integers(0, 1000),
    share=st.floats(0.0, 0.1),
    faults=st.lists(st.sampled_from(STATUS_FAULTS), unique=True, max_size=8),
    sizes=st.lists(st.integers(0, 8), min_size=len(VENDORS), max_size=len(VENDORS)),
)
@settings(max_examples=matrix.shared(70, 2 * len(VENDORS)), derandomize=True)
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


@pytest.mark.slow
@pytest.mark.matrix("seed", "kind")
@every_kind
@pytest.mark.parametrize("seed", [1, 2])
def test_trouble_upon_trouble_loses_nothing(kind: Kind, seed: int) -> None:
    """Half of all queries go wrong, in every way there is, with a hundred jobs."""
    with World(kind, seed) as world:
        jobs = [job for vendor in VENDORS for job in world.submit(vendor, 34)]
        for name in STATUS_FAULTS:
            world.simulator.inject(name, share=0.05, times=None)
        world.line.edit = forgetful(random.Random(seed), 0.3)
        ends = world.complete(jobs, timeout=math.inf)
        assert ids(ends) == ids(jobs)
        world.simulator.calm()
        for end in ends:
            if isinstance(end.error, UnknownStatusError):  # told, and waited for again
                assert world.do("wait", end.job).status == "succeeded"
            else:
                assert (end.job.status, end.error) == ("succeeded", None)
        assert len({fault for _, fault in world.simulator.fired}) >= 12


@pytest.mark.matrix("vendor", "kind")
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


@pytest.mark.matrix("vendor", "kind")
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


@pytest.mark.matrix("vendor", "kind")
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


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_a_job_that_is_over_given_twice_comes_out_once(vendor: str, kind: Kind) -> None:
    """Twice as it ended; or once as it ended, and once as it began."""
    with World(kind) as world:
        jobs = world.submit(vendor, 2)
        over = [end.job for end in world.complete(jobs)]
        assert ids(world.complete([*over, *over])) == ids(jobs)
        assert ids(world.complete([*jobs, *over])) == ids(jobs)


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_with_links_in_states
def test_a_success_without_a_file_is_asked_again_and_then_reported(vendor: str, kind: Kind) -> None:
    """As in waiting for it alone."""
    with World(kind) as world:
        world.simulator.inject("no-output", vendor, times=EMPTY_POLLS)
        (end,) = world.complete(world.submit(vendor), timeout=math.inf)
        assert (end.job.status, end.error) == ("succeeded", None)
        assert end.job.outputs
        world.simulator.inject("no-output", vendor, times=None)
        (end,) = world.complete(world.submit(vendor), timeout=math.inf)
        assert (end.job.status, end.error) == ("succeeded", None)
        assert end.job.error is not None
        assert end.job.error.code == "no_output"
        assert world.simulator.fired.count((vendor, "no-output")) == 2 * EMPTY_POLLS + 1


@by_id
@every_kind
def test_several_without_files_are_asked_again_too(vendor: str, kind: Kind) -> None:
    """Also where they are asked about together."""

    def without_files(call: Call, content: bytes) -> bytes:
        provider, body = get_provider(vendor), json.loads(content)
        listed = body if isinstance(body, list) else body.get("data", [])
        for item in listed if isinstance(listed, list) else []:
            for place in provider.reads.outputs:
                item.pop(place.rpartition(".")[2], None)
        return json.dumps(body).encode()

    with World(kind) as world:
        world.line.edit = without_files
        ends = world.complete(world.submit(vendor, 3), timeout=math.inf)
        assert [end.job.error and end.job.error.code for end in ends] == ["no_output"] * 3
        assert world.calls(vendor, single=True) == []


@every_kind
def test_a_listener_hears_of_every_end(kind: Kind) -> None:
    """Once, and before the job comes out."""
    received: list[Job] = []
    with World(kind, listener=received.append) as world:
        jobs = [job for vendor in VENDORS for job in world.submit(vendor, 3)]
        received.clear()
        world.complete(jobs, look=lambda end: _assert_received(end, received))
        assert ids([job for job in received if job.status in FINAL]) == ids(jobs)


def _assert_received(end: Completed, received: list[Job]) -> None:
    assert outcome(end.job) in [outcome(job) for job in received]


# --- when time is up ------------------------------------------------------------------------------


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_a_job_that_goes_on_comes_out_when_its_time_is_up(vendor: str, kind: Kind) -> None:
    """With its handle; those that ended before have no error, and waiting again brings the
    others.
    """
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


@pytest.mark.matrix("vendor", "kind", "trouble")
@every_kind
@every_vendor
@pytest.mark.parametrize("trouble", ["503", "429", "reset", "400"])
def test_the_deadline_holds_while_nothing_answers(vendor: str, kind: Kind, trouble: str) -> None:
    """However many jobs there are: none waits for the others' queries, nor for the end of a
    rest.
    """

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


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_a_vendor_that_is_down_for_a_while_is_asked_again(vendor: str, kind: Kind) -> None:
    """Nobody fails a job because its vendor was away for ten minutes, and few calls are made
    meanwhile.
    """
    with World(kind) as world:
        jobs = world.submit(vendor, 20)
        world.line.meddle = lambda call: refusal(503) if call.began < START + 600 else None
        ends = world.complete(jobs)
        assert_all_succeed(ends, jobs)
        assert max(world.moments.values()) < 900
        assert sum(call.began < START + 600 for call in world.calls(vendor)) < 60


# --- what ends the waiting for a job --------------------------------------------------------------


@pytest.mark.matrix("vendor", "kind")
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
        lost = [
            one.model_copy(update={"locator": job.locator and job.locator.replace(job.id, one.id)})
            for one, job in zip(lost, jobs, strict=False)
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


@pytest.mark.matrix("vendor", "kind")
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


@pytest.mark.matrix("vendor", "status+kind")
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
        # Some about several first, which may be refused for reasons of their own.
        assert len(world.calls(vendor)) <= 5 + 3


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
