"""Several parts of an application that wait with one client: together they ask as one would."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from polyreel import Job
from polyreel.drivers import ManyJobsDriver
from polyreel.jobs.many import Completed, ManyJobs
from polyreel.jobs.queues import AT_ONCE
from polyreel.providers.base.registry import get_provider
from support.faults import VENDORS
from support.fleet import BY_LIST, BY_ONE, Call, World, busiest, ids, refusal


def in_parts(world: World, jobs: list[Job], parts: int) -> list[list[Completed]]:
    """The ends of jobs, each of which one of so many waits for, all with one client."""

    async def part(number: int) -> list[Completed]:
        return [end async for end in world.client.as_completed(jobs[number::parts])]

    async def all_parts() -> list[list[Completed]]:
        return await asyncio.gather(*map(part, range(parts)))

    return world.run(all_parts())


@pytest.mark.parametrize("vendor", [*BY_ONE[:1], *BY_LIST[:1]])
@pytest.mark.parametrize("parts", [2, 3, 6])
def test_several_who_wait_share_the_queries(vendor: str, parts: int) -> None:
    """With one client, as the shards of a worker do; who ends leaves the queries to the others."""
    with World("awaiting") as world:
        jobs = world.submit(vendor, 20 * parts, duration=3)
        world.line.delay = lambda _: 2.0

        ends = in_parts(world, jobs, parts)
        assert ids([end for mine in ends for end in mine]) == ids(jobs)
        assert all(len(mine) == 20 for mine in ends)
        assert busiest(world.calls(vendor)) == max(parts, AT_ONCE // parts * parts)
        world.line.calls.clear()
        more = world.submit(vendor, 20, duration=3)
        assert ids(world.complete(more)) == ids(more)
        assert busiest(world.calls(vendor)) == AT_ONCE


@pytest.mark.parametrize("vendor", BY_ONE[:1])
def test_the_same_address_is_one_vendor_however_it_is_known(vendor: str) -> None:
    """An entry of the ledger names it, as a worker reads it; a job of this client does not."""
    with World("awaiting") as world:
        jobs = world.submit(vendor, 40, duration=3)
        world.line.delay = lambda _: 2.0

        async def part(number: int, base_url: str | None) -> list[Completed]:
            many = ManyJobs(simulated=True)
            async with ManyJobsDriver(world.client.wire, many) as driver:
                for job in jobs[number::2]:
                    await driver.enrol(job, timeout=1e6, base_url=base_url)
                return [end async for end in driver]

        async def both() -> list[Completed]:
            own, named = part(0, None), part(1, get_provider(vendor).base_url)
            return [end for ends in await asyncio.gather(own, named) for end in ends]

        assert ids(world.run(both())) == ids(jobs)
        assert busiest(world.calls(vendor)) == AT_ONCE


@pytest.mark.parametrize("vendor", BY_ONE[:1])
def test_who_stops_waiting_leaves_the_queries_to_the_others(vendor: str) -> None:
    """Also when it stops before its jobs have ended."""
    with World("awaiting") as world:
        given_up, jobs = (world.submit(vendor, 20, duration=3) for _ in range(2))
        world.line.delay = lambda _: 2.0

        async def waiting() -> list[Completed]:
            first = world.client.as_completed(given_up)
            ended = [await anext(first)]
            await first.aclose()
            world.line.calls.clear()
            return ended + [end async for end in world.client.as_completed(jobs)]

        assert len(world.run(waiting())) == 21
        assert busiest(world.calls(vendor)) == AT_ONCE


@pytest.mark.parametrize("vendor", BY_ONE[:1])
def test_who_is_cut_off_while_it_stops_leaves_them_too(vendor: str) -> None:
    """Canceled once more while its workers end."""
    with World("awaiting") as world:
        given_up, jobs = (world.submit(vendor, 20, duration=3) for _ in range(2))
        world.line.delay = lambda _: 2.0

        async def waiting() -> list[Completed]:
            return [end async for end in world.client.as_completed(given_up)]

        async def canceling(turns: int) -> None:
            task = asyncio.create_task(waiting())
            await asyncio.sleep(3.0)
            task.cancel()
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

        for turns in range(4):
            world.run(canceling(turns))
        world.line.calls.clear()
        assert ids(world.complete(jobs)) == ids(jobs)
        assert busiest(world.calls(vendor)) == AT_ONCE


@pytest.mark.parametrize("vendor", VENDORS[:2])
def test_all_who_wait_leave_a_vendor_its_rest(vendor: str) -> None:
    """It has asked one of them for patience."""
    with World("awaiting") as world:
        jobs = world.submit(vendor, 10)
        moments: list[float] = []

        def refuse_first(call: Call) -> httpx.Response | None:
            moments.append(world.seconds)
            return refusal(429, retry_after="100") if len(moments) == 1 else None

        world.line.meddle = refuse_first

        ends = in_parts(world, jobs, 5)
        assert ids([end for mine in ends for end in mine]) == ids(jobs)
        assert moments[1] - moments[0] >= 100.0
