"""What a status query costs, and what a job in flight costs where there are very many."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from typing import Self

import aiohttp
from attrs import asdict, frozen
from polyreel import AsyncClient, Job, Network
from polyreel.drivers import Wire, calls, pump
from polyreel.flows import Send
from polyreel.providers.base.registry import get_provider

from .measuring import ROUNDS, Figure, Peers, Row, resident, serving
from .status_server import VENDORS

NUMBERS = count()
QUERIES = 2000
FEW, MANY = 10_000, 100_000
POLLS = 4
"""How often each of very many jobs is asked about."""
KEY = "sk-0123456789abcdef"


@frozen
class Flight:
    """What jobs took, from the first to the end of the last."""

    cpu: float
    bytes_per_job: float


class Queries:
    """Counts the calls that drivers make. An observer would hear of all other steps, too."""

    def __init__(self, wanted: float = float("inf")) -> None:
        self.number, self.wanted, self.enough = 0, wanted, asyncio.Event()
        self._exchange = calls.aexchange

    async def __call__(self, step: Send, wire: Wire) -> object:
        """Make the call."""
        self.number += 1
        if self.number >= self.wanted:
            self.enough.set()
        return await self._exchange(step, wire)

    def __enter__(self) -> Self:
        pump.__dict__["aexchange"] = self
        return self

    def __exit__(self, *_: object) -> None:
        pump.__dict__["aexchange"] = self._exchange


def asking(_: Peers) -> Iterator[Row]:
    """A status query, from the socket to the state, beside aiohttp's own GET and json.loads."""
    with serving(sys.argv[0], "--statuses") as base:
        own: list[float] = []
        bare: list[float] = []
        for _round in range(ROUNDS + 1):
            own.append(asyncio.run(polled(base)))
            bare.append(asyncio.run(barely(base)))
    own_figure, limit = Figure(own[1:]), Figure(bare[1:])
    yield Row(
        "status query of a job in flight, CPU",
        own_figure.shown(lambda one: one * 1e6, "us"),
        f"aiohttp and json.loads, {limit.shown(lambda one: one * 1e6, 'us')}",
        own_figure / limit,
        "<= 1.8",
    )


def crowding(_: Peers, few: int = FEW, many: int = MANY) -> Iterator[Row]:
    """As many jobs in one process as nobody has, beside a tenth of them."""
    less, more = (alone(number) for number in (few, many))
    what = f"in flight: {many:,} jobs in one process"
    yield Row(
        f"{what}, CPU for a job",
        f"{more.cpu / many * 1e6:.0f} us",
        f"{few:,}, {less.cpu / few * 1e6:.0f} us",
        more.cpu / many / (less.cpu / few),
        "<= 1.15",
    )
    own, other = more.bytes_per_job / 1024, less.bytes_per_job / 1024
    ratio = more.bytes_per_job / less.bytes_per_job
    yield Row(f"{what}, memory for a job", f"{own:.2f} KiB", f"{few:,}, {other:.2f} KiB", ratio,
              "<= 1.15")  # fmt: skip


def alone(number: int) -> Flight:
    """A flight in a process of its own, whose memory no other has shaped, at its own server."""
    with serving(sys.argv[0], "--statuses") as base:
        command = [sys.executable, sys.argv[0], "--crowd", str(number), base]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Flight(**json.loads(printed))


def fly(number: int, base: str) -> None:
    """Print what so many jobs took."""
    asyncio.run(flown(base, 100))  # what is loaded only once does not count
    print(json.dumps(asdict(asyncio.run(flown(base, number)))))


def client(base: str) -> AsyncClient:
    """A client that takes the server for the vendors."""
    return AsyncClient(
        keys=dict.fromkeys(VENDORS, KEY),
        base_urls={vendor: f"{base}/{vendor}" for vendor in VENDORS},
        call_timeout=300,
        network=Network(fast=True),
    )


def jobs(number: int, polls: int) -> Iterator[Job]:
    """Jobs of all vendors alike, for some minutes under way."""
    started = time.time() - 100
    for index in range(number):
        route = get_provider(VENDORS[index % len(VENDORS)]).routes[0]
        yield Job(
            vendor=VENDORS[index % len(VENDORS)],
            id=f"job-{next(NUMBERS)}-{polls}",
            model=route.model,
            workflow=route.workflow,
            status="queued",
            simulated=False,
            created_at=started,
        )


async def polled(base: str) -> float:
    """Seconds of CPU for a query: the first ones of jobs that are waited for."""
    async with client(base) as one:
        waiting = [*jobs(QUERIES + 100, 1_000_000)]
        with Queries(100) as warm:
            task = asyncio.create_task(_wait(one, waiting))
            await warm.enough.wait()
            begun, start = warm.number, time.process_time()
            warm.wanted = begun + QUERIES - 100
            warm.enough.clear()
            await warm.enough.wait()
            taken = (time.process_time() - start) / (warm.number - begun)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    return taken


async def _wait(one: AsyncClient, waiting: list[Job]) -> None:
    async for _ in one.as_completed(waiting, timeout=3600):
        pass


async def barely(base: str) -> float:
    """The same, with as many queries at once, and nothing read of the answer but its JSON."""
    ids = [job.id for job in jobs(QUERIES, 1_000_000)]
    vendors = [*VENDORS]
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def work(left: Iterator[str], vendor: str) -> None:
            for job in left:
                async with session.get(f"{base}/{vendor}/v1/tasks/{job}") as response:
                    json.loads(await response.read())

        async def all_of(names: list[str]) -> None:
            left = iter(names)
            await asyncio.gather(*(work(left, vendor) for vendor in vendors for _ in range(4)))

        await all_of(ids[:100])
        start = time.process_time()
        await all_of(ids[100:])
        return (time.process_time() - start) / (QUERIES - 100)


async def flown(base: str, number: int) -> Flight:
    """Wait for jobs, each of which is asked about a few times."""
    async with client(base) as one:
        before, taken, first = 0.0, 0.0, number // 10

        def given() -> Iterator[Job]:
            nonlocal before, taken
            for index, job in enumerate(jobs(number, POLLS)):
                if index == first:  # they have filled the memory that was free before
                    gc.collect()
                    before = resident()
                yield job
            gc.collect()
            taken = resident() - before

        ended, start = 0, time.process_time()
        async for end in one.as_completed(given(), timeout=7200):
            assert end.error is None, end.error
            ended += 1
        assert ended == number
        return Flight(time.process_time() - start, taken / (number - first))
