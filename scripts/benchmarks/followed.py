"""Jobs in flight that four workers wait for, beside the same in one process with one schedule.

They are accepted already: the simulated vendor knows their tasks, and the ledger has their rows. No
files are saved, which costs the same in both.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Any, Final

import psycopg
from attrs import evolve, frozen
from polyreel import AsyncClient, Client
from polyreel.engines import InlineEngine, perform
from polyreel.engines.procrastinate import ProcrastinateEngine
from polyreel.ledger.postgres import PostgresLedger
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator import RunningClock, Simulator, server

from .database import columns_of_jobs, database
from .measuring import REQUEST, Row

IN_FLIGHT: Final = 100_000
WORKERS: Final = 4
JOBS_OF_A_SHARD: Final = 10_000
"""As docs/cluster.md says, with at most as many shards as this."""
MOST_SHARDS: Final = 64
LEAST_SECONDS: Final = 90.0
JOBS_A_SECOND: Final = 250
"""How many end in a second, about: so few that neither machine nor vendor is busy all the time."""
PAST: Final = 50
"""How many jobs have ended before, so that it is known how long they take."""
VENDOR: Final = max(
    (one for one in all_providers().values() if one.survey and not one.survey.running_only),
    key=lambda one: one.survey.size if one.survey else 0,
).id
"""One that is asked about many jobs in one call."""
KEY: Final = "simulated"


@frozen
class Followed:
    """How it went."""

    cpu: float
    """Seconds, of all processes that waited."""
    calls: int
    """How often the vendor was asked."""
    seconds: float


def followed(jobs: int = IN_FLIGHT) -> Iterator[Row]:
    """So many jobs, which are all in flight at once."""
    shards = min(MOST_SHARDS, max(1, jobs // JOBS_OF_A_SHARD))
    alone, shared = _follow(jobs, 1, 0), _follow(jobs, WORKERS, shards)
    what = f"{jobs:,} jobs in flight, {WORKERS} workers, {shards} shards"
    beside = "one process"
    for name, own, bare, unit in (
        ("CPU", shared.cpu / jobs * 1e3, alone.cpu / jobs * 1e3, " ms"),
        ("status calls", shared.calls / jobs, alone.calls / jobs, ""),
    ):
        reported = f"{own:.3f}{unit} a job"
        yield Row(f"{what}: {name}", reported, f"{beside}, {bare:.3f}{unit}", own / bare, "<= 1.2")
    # One process that is late asks less often. What is left to compare is what a call costs.
    own, bare = (one.cpu / one.calls * 1e3 for one in (shared, alone))
    reported = f"{own:.2f} ms a call"
    yield Row(f"{what}: CPU for a status call", reported, f"{beside}, {bare:.2f} ms", own / bare)
    reported = f"{shared.seconds:.0f} s"
    yield Row(f"{what}: all end", reported, f"{beside}, {alone.seconds:.0f} s", 1.0, "= 1")


def _follow(jobs: int, workers: int, shards: int) -> Followed:
    """Follow jobs to their ends; without shards, in one process without an engine's server."""
    context = multiprocessing.get_context("spawn")
    with database() as address, ExitStack() as stack:

        def started(work: Any, *given: object) -> Connection:
            ours, theirs = context.Pipe()
            process = context.Process(target=work, args=(theirs, *given))
            process.start()
            stack.callback(process.join)
            stack.callback(ours.close)
            return ours

        vendor = started(_serve)
        url = vendor.recv()
        _write_down(address, url, jobs)
        vendor.send((jobs, max(LEAST_SECONDS, jobs / JOBS_A_SECOND)))
        vendor.recv()
        at_work = [started(_work, address, url, shards) for _ in range(workers)]
        for worker in at_work:
            worker.recv()
        began = time.monotonic()
        for worker in at_work:
            worker.send("begin")
        with psycopg.connect(address, autocommit=True, options="-c search_path=polyreel") as direct:
            left = "SELECT 1 FROM jobs WHERE state = 'accepted' AND simulated = 0 LIMIT 1"
            while direct.execute(left).fetchone():
                assert not any(worker.poll() for worker in at_work), "a worker has ended"
                time.sleep(1)
            seconds = time.monotonic() - began
            count = "SELECT count(*) FROM jobs WHERE state = 'succeeded'"
            assert direct.execute(count).fetchone() == (jobs + PAST,)
        for worker in at_work:
            worker.send("end")
        cpu = sum(worker.recv() for worker in at_work)
        vendor.send("end")
        return Followed(cpu, vendor.recv(), seconds)


class _Tally(list[Any]):
    """A list that only counts what is added to it."""

    added = 0

    def append(self, _: object) -> None:
        self.added += 1


def _serve(parent: Connection) -> None:
    """Be the vendor: accept a job, and have as many of the kind as asked for."""
    simulator, chance = Simulator(clock=RunningClock(), seed=1), random.Random(1)
    simulator.request_times = _Tally()
    with server.running(simulator) as url:
        parent.send(f"{url}{server.mounts([VENDOR])[VENDOR]}")
        jobs, seconds = parent.recv()
        with simulator.lock:
            simulator.journal = counted = _Tally()
            ((_, first),) = simulator.tasks.items()
            for number in range(jobs):
                name = f"{first.id}-{number}"
                lasts = seconds * chance.uniform(0.8, 1.2)
                simulator.tasks[VENDOR, name] = evolve(first, id=name, seconds=lasts)
        parent.send("ready")
        parent.recv()
        parent.send(counted.added)


def _write_down(address: str, url: str, jobs: int) -> None:
    """Submit a job, and write so many copies of its entry, and some that have ended."""
    with Client(keys={VENDOR: KEY}, base_urls={VENDOR: url}, ledger=address) as client:
        job = client.submit(client.plan(REQUEST, get_provider(VENDOR)))
    with psycopg.connect(address, autocommit=True, options="-c search_path=polyreel") as direct:
        columns = columns_of_jobs(direct)
        for state, most in (("accepted", jobs), ("succeeded", PAST)):
            name = f"'{'past-' if state == 'succeeded' else ''}{job.id}-' || n"
            changed = {
                "id": "substr(md5(n::text || state), 1, 10) || n" if most == jobs else "'p' || n",
                "task": name,
                "job": f"replace(job, '{job.id}', {name})",
                "state": f"'{state}'",
                "reference": "NULL",
            }
            if state == "succeeded":
                lasts = max(LEAST_SECONDS, jobs / JOBS_A_SECOND)
                spread = f"{lasts} * (0.8 + 0.4 * n / {PAST})"
                changed["finished_at"] = "coalesce(sent_wall, created_at)"
                changed["created_at"] = f"created_at - {spread}"
                changed["sent_wall"] = f"coalesce(sent_wall, created_at) - {spread}"
            values = ", ".join(changed.get(column, column) for column in columns)
            statement = (
                f"INSERT INTO jobs ({', '.join(columns)}) SELECT {values}"
                f" FROM (SELECT * FROM jobs WHERE task = '{job.id}') AS one,"
                f" generate_series(0, {most - 1}) AS n"
            )
            direct.execute(statement.encode())
        direct.execute(f"DELETE FROM jobs WHERE task = '{job.id}'".encode())
        direct.execute("ANALYZE jobs")


def _work(parent: Connection, address: str, url: str, shards: int) -> None:
    """Be a worker until told to end; tell how many seconds of CPU that took."""
    parent.send(asyncio.run(_worked(parent, address, url, shards)))


async def _worked(parent: Connection, address: str, url: str, shards: int) -> float:
    keys, urls = {VENDOR: KEY}, {VENDOR: url}
    stop = asyncio.Event()
    with PostgresLedger(address) as ledger:
        async with AsyncClient(keys=keys, base_urls=urls, ledger=ledger) as client:
            client.plan(REQUEST, get_provider(VENDOR))
            engine = (
                ProcrastinateEngine(client, shards=shards, stop=stop)
                if shards
                else InlineEngine(client)
            )
            parent.send("ready")
            parent.recv()
            began = time.process_time()
            working = asyncio.create_task(
                engine.run(lambda work: perform(work, client, put=engine.put, stop=stop))
            )
            await asyncio.to_thread(parent.recv)
            used = time.process_time() - began
            stop.set()
            await working
    return used
