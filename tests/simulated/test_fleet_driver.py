"""Many jobs waited for at once: the ledger, the workers and their memory."""

from __future__ import annotations

import asyncio
import gc
import random
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from polyreel.drivers import ManyJobsDriver, run
from polyreel.errors import LedgerError
from polyreel.flows import Flow, Now
from polyreel.jobs.many import Completed, ManyJobs
from polyreel.jobs.queues import PendingJob
from polyreel.ledger.events import Keep, ReadNews
from polyreel.ledger.sqlite import Ledger
from polyreel.ledger.store import Write
from polyreel.providers.base.facts import FINAL
from polyreel.providers.base.registry import get_provider
from polyreel_generated.shared import Job
from support.faults import VENDORS, Kind, every_kind, every_vendor
from support.fleet import BY_ID, START, World, by_id, by_survey, by_vendor, ends_of, ids, outcome

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


# --- the driver -----------------------------------------------------------------------------------


def driver_of(world: World) -> ManyJobsDriver:
    """A driver with nothing to do yet."""
    return ManyJobsDriver(world.wire, ManyJobs(True, world.wire.randomness))


@pytest.mark.matrix("vendor")
@by_id
def test_the_ends_in_one_answer_share_a_commit(
    vendor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit takes as long as many writes do."""
    commits: list[int] = []

    def begin_all(ledger: Ledger, writes: Sequence[Write], written: Callable[..., None]) -> bool:
        if any(isinstance(event, Keep) for event, *_ in writes):
            commits.append(len(writes))
        written(ledger.write_all(writes))
        return True

    async def work(world: World, jobs: list[Job]) -> list[Completed]:
        async with driver_of(world) as driver:
            for job in jobs:
                await driver.enrol(job, timeout=10_000.0)
            world.clock.advance(1_000)  # until all have ended
            return [end async for end in driver]

    monkeypatch.setattr(Ledger, "shares_commits", True)
    monkeypatch.setattr(Ledger, "begin_all", begin_all)
    with World("awaiting", ledger=tmp_path / "ledger.sqlite3") as world:
        jobs = world.submit(vendor, 8)
        assert ids(world.run(work(world, jobs))) == ids(jobs)
        assert len(world.calls(vendor)) == 1
    assert commits == [8]


def test_no_query_waits_for_ends_that_are_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many jobs have ended: commits of a busy database take long."""
    vendor = max(BY_ID, key=lambda name: getattr(get_provider(name).survey, "size", 0))
    other = next(name for name in BY_ID if name != vendor)
    commits: list[float] = []

    def begin_all(ledger: Ledger, writes: Sequence[Write], written: Callable[..., None]) -> bool:
        seconds = 10.0 if any(isinstance(event, Keep) for event, *_ in writes) else 0.0
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, lambda: written(ledger.write_all(writes)))
        if seconds:
            commits.append(loop.time())
        return True

    async def work(world: World, ended: list[Job], begun: Job) -> list[Completed]:
        async with driver_of(world) as driver:
            for job in ended:
                await driver.enrol(job, timeout=10_000.0)
            world.clock.advance(1_000)  # until all have ended
            began = begun.model_copy(update={"created_at": world.clock.now()})
            await driver.enrol(began, timeout=10_000.0)
            return [end async for end in driver]

    monkeypatch.setattr(Ledger, "shares_commits", True)
    monkeypatch.setattr(Ledger, "begin_all", begin_all)
    with World("awaiting", ledger=tmp_path / "ledger.sqlite3") as world:
        ended = world.submit(vendor, 150)
        (begun,) = world.submit(other)
        assert ids(world.run(work(world, ended, begun))) == ids([*ended, begun])
        # The news are read before it: after what is written just then.
        assert world.calls(other)[0].began - START <= commits[0] + 2 * 10.0


def test_breaking_out_ends_the_workers() -> None:
    """No task is left behind, whether the iteration is closed or forgotten, and the client
    goes on.
    """

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


def test_a_driver_leaves_no_task_behind() -> None:
    """Not even for a moment: whoever closes the loop next hears of nothing that is still
    pending.
    """

    async def work(world: World, jobs: list[Job]) -> set[Any]:
        async with driver_of(world) as driver:
            for job in jobs:
                await driver.enrol(job, timeout=100.0)
            await asyncio.sleep(1)
        return asyncio.all_tasks() - {asyncio.current_task()}

    with World("awaiting") as world:
        assert world.run(work(world, world.submit(VENDORS[0], 3))) == set()


def test_jobs_join_a_driver_while_it_works() -> None:
    """Each comes out once, in one iteration or in the next, and a job with less time left is not
    kept waiting.
    """

    async def work(world: World, first: list[Job], second: list[Job]) -> list[Completed]:
        async with driver_of(world) as driver:
            for job in first:
                await driver.enrol(job, timeout=1000.0)
            late = asyncio.create_task(join(driver, second))
            ends = [end async for end in driver]
            await late
            assert [end async for end in driver] == []
            over = next(end.job for end in ends if end.error is None)
            await driver.enrol(over, timeout=10.0)
            assert [end async for end in driver] == [Completed(over)]
            return ends

    async def join(driver: ManyJobsDriver, jobs: list[Job]) -> None:
        for job in jobs:
            await asyncio.sleep(2)
            await driver.enrol(job, timeout=5.0)

    with World("awaiting") as world:
        first = [job for vendor in VENDORS for job in world.submit(vendor, 3, duration=15)]
        second = [job for vendor in VENDORS for job in world.submit(vendor, 2, duration=15)]
        ends = world.run(work(world, first, second))
        assert ids(ends) == ids([*first, *second])
        assert ids([end for end in ends if end.error]) == ids(second)


def test_a_driver_that_rests_wakes_up_for_a_job() -> None:
    """Also where it has nothing to do at all."""

    async def work(world: World, job: Job) -> Completed:
        async with driver_of(world) as driver:
            await asyncio.sleep(500)
            assert world.line.calls == []
            await driver.enrol(job, timeout=1000.0)
            return await driver.get()

    with World("awaiting") as world:
        (job,) = world.submit(VENDORS[0])
        assert outcome(world.run(work(world, job)).job)[2] == "succeeded"


@pytest.mark.matrix("vendor", "kind+number")
@every_kind
@by_survey
@pytest.mark.parametrize("number", [1, 3], ids=["ask", "ask_about"])
def test_what_nobody_expected_is_heard_of(
    vendor: str, kind: Kind, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in a vendor's file is told where the jobs are waited for, instead of a wait for
    ever.
    """

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


# --- memory ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.matrix("vendor", "estimates")
@every_vendor
@pytest.mark.parametrize("estimates", [False, True], ids=["alike", "own-estimates"])
def test_a_flight_is_small(vendor: str, estimates: bool) -> None:
    """Less than 4 KiB for each job, also where the vendor has an estimate of its own for each."""
    number = 800
    with World("blocking") as world:
        (job,) = world.submit(vendor)
        document = job.model_dump()
        many = ManyJobs(True, random.Random(1))

        def enrol(index: int) -> None:
            own = {"estimated_seconds": 60 + index / 100} if estimates else {}
            made = Job.model_validate({**document, "id": f"{job.id[:-6]}{index:06}", **own})
            assert run(many.enrol(made, timeout=1000.0), world.wire) == []

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
        assert len(many) == number + 1
        assert size / number < 4096


def test_nothing_is_left_of_a_flight_that_is_over() -> None:
    """It can work for days."""
    with World("blocking") as world:
        jobs = [job for vendor in VENDORS for job in world.submit(vendor, 5)]
        world.complete(jobs)
        gc.collect()
        assert [found for found in gc.get_objects() if isinstance(found, PendingJob)] == []
