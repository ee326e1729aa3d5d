"""The ledger in Postgres and its workers, each figure beside what the database alone can do."""

from __future__ import annotations

import asyncio
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import count
from pathlib import Path
from statistics import median
from typing import Final

import psycopg
from attrs import evolve
from polyreel import AsyncClient, Client, Job, plan
from polyreel.drivers import ManyJobsDriver
from polyreel.drivers.grouping import GroupedWrites
from polyreel.engines import Tend
from polyreel.engines.performing import _Tending
from polyreel.flows import Moment
from polyreel.jobs.many import ManyJobs
from polyreel.ledger.events import Intend, Settle
from polyreel.ledger.postgres import PostgresLedger
from polyreel.ledger.records import Submission
from polyreel.ledger.rows import new_columns, outcome_columns
from polyreel.ledger.store import Write
from polyreel.providers.base.facts import Facts
from polyreel.providers.base.webhooks import Event
from polyreel.simulator import server
from trials import clocks
from trials.cluster import cluster
from trials.workers import LEASE

from .cluster_limits import budget_row
from .database import SECONDS, columns_of_jobs, database, quoted, rate
from .measuring import REQUEST, VENDOR, Figure, Peers, Row

ROUNDS: Final = 5
"""How often each figure is measured, in turns; the medians count, those of ratios too."""
FLOWS: Final = 8
MANY: Final = 32
"""How many flows write at the same time, and how many clients of pgbench."""
ENOUGH: Final = 10_000 * SECONDS
"""How many submits are made before a measurement: more than any way can write."""
ROWS: Final = 1_000_000
TAKEN_OVER: Final = 25_000
DEATHS: Final = 3
NOW: Final = 1_800_000_000.0
SENT: Final = Moment(NOW, 5.0)
NUMBERS: Final = count()


def clustered(_: Peers) -> Iterator[Row]:
    """All of it, each in a database of its own."""
    for part in (submits, growth, budget_row, webhooks, takeover, deaths):
        with database() as address:
            yield from part(address)


@cache
def sample() -> tuple[Submission, Job]:
    """What a submit is written down as, and the job that is its outcome."""
    with Client() as client:
        job = client.submit(client.plan(REQUEST, VENDOR))
    return Submission.of(plan(REQUEST, VENDOR), idempotency_key="0" * 36, simulated=False), job


def another() -> tuple[Submission, Job]:
    """The next submission, and its job."""
    number = next(NUMBERS)
    submission, job = sample()
    changes = {"id": f"task-{number}", "simulated": False}
    return evolve(submission, reference=f"row {number}"), job.model_copy(update=changes)


def accepted(ledger: PostgresLedger, jobs: int) -> list[Job]:
    """Jobs that vendors have accepted, written down."""
    found = []
    for start in range(0, jobs, 500):
        owner = ledger.new_owner()
        pairs = [another() for _ in range(min(500, jobs - start))]
        intends = [(Intend(submission, sent=SENT), owner, NOW) for submission, _ in pairs]
        names = ledger.write_all(intends)
        jobs_of = [job for _, job in pairs]
        settles = [Settle(n, "accepted", job=job) for n, job in zip(names, jobs_of, strict=True)]
        ledger.write_all([(settle, owner, NOW) for settle in settles])
        ledger.release(owner, sent=False)
        found += jobs_of
    return found


# -- submits ---------------------------------------------------------------------------------------


def submits(address: str) -> Iterator[Row]:
    """The two writes of a submit: one flow after the other in threads, and many that await."""
    script = bare_submit()
    with PostgresLedger(address) as ledger:
        ways: dict[str, Callable[[], tuple[float, float]]] = {
            "pgbench": lambda: (rate(address, script, FLOWS), 0.0),
            "threads": lambda: in_threads(ledger, FLOWS),
            "awaited": lambda: asyncio.run(grouped(ledger, FLOWS)),
            "pgbench, many": lambda: (rate(address, script, MANY), 0.0),
            "grouped": lambda: asyncio.run(grouped(ledger, MANY)),
            "more": lambda: asyncio.run(grouped(ledger, 4 * MANY)),
        }
        found = in_turns(ways)
    bare, many = found["pgbench"][0], found["pgbench, many"][0]
    for name, what, beside, target in (
        ("threads", f"{FLOWS} threads", (FLOWS, bare), ">= 0.5"),
        ("awaited", f"{FLOWS} awaited flows", (FLOWS, bare), ">= 0.5"),
        ("grouped", f"{MANY} awaited flows", (MANY, many), ">= 1.5"),
        ("more", f"{4 * MANY} awaited flows", (MANY, many), "-"),
    ):
        each, cpu = found[name]
        clients, limit = beside
        yield Row(
            f"Postgres: writes of a submit, {what}",
            each.shown(round, "jobs/s"),
            f"pgbench, {clients} clients, {limit.shown(round, 'jobs/s')}",
            each / limit,
            target,
        )
        used = f"Postgres: CPU of the writes, {what}"
        yield Row(used, f"{cpu.median * 1e3:.2f} ms", "0.5 ms", cpu.median / 5e-4, "<= 1")


def in_turns(
    ways: dict[str, Callable[[], tuple[float, float]]],
) -> dict[str, tuple[Figure, Figure]]:
    """Each way measured in turns."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            found[name].append(way())
    return {
        name: (Figure([each for each, _ in pairs]), Figure([cpu for _, cpu in pairs]))
        for name, pairs in found.items()
    }


def bare_submit() -> str:
    """The same two writes, as a script of pgbench."""
    submission, job = sample()
    columns = new_columns(Intend(submission, sent=SENT), "0123456789abcdef/1", NOW)
    new = {name: quoted(value) for name, value in columns.items()}
    new |= {"id": "'bare' || :n", "reference": "'bare' || :n"}
    changes = outcome_columns(Settle("", "accepted", job=job), NOW)
    outcome = {name: quoted(value) for name, value in changes.items()} | {"task": "'bare' || :n"}
    changed = ", ".join(f"{name} = {value}" for name, value in outcome.items())
    return (
        "\\set n random(1, 1000000000000000)\n"
        f"INSERT INTO jobs ({', '.join(new)}) VALUES ({', '.join(new.values())});\n"
        f"UPDATE jobs SET {changed}"
        " WHERE id = 'bare' || :n AND state IN ('sending', 'ambiguous');\n"
    )


def in_threads(ledger: PostgresLedger, threads: int) -> tuple[float, float]:
    """How many submits threads write in a second, and the seconds of CPU of each."""
    left = iter([another() for _ in range(ENOUGH)])
    done, end = [0] * threads, time.monotonic() + SECONDS

    def work(number: int) -> None:
        while time.monotonic() < end:
            submission, job = next(left)
            owner = ledger.new_owner()
            entry = ledger.write(Intend(submission, sent=SENT), owner, NOW)
            ledger.write(Settle(entry, "accepted", job=job), owner, NOW)
            done[number] += 1

    wall, cpu = time.monotonic(), time.process_time()
    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    jobs = sum(done)
    return jobs / (time.monotonic() - wall), (time.process_time() - cpu) / jobs


async def grouped(ledger: PostgresLedger, flows: int) -> tuple[float, float]:
    """The same for flows that await, and share statements and commits."""
    left = iter([another() for _ in range(ENOUGH)])
    writes = GroupedWrites[Write](ledger.write_all, ledger.begin_all)
    jobs, end = 0, time.monotonic() + SECONDS

    async def work() -> None:
        nonlocal jobs
        while time.monotonic() < end:
            submission, job = next(left)
            owner = ledger.new_owner()
            entry = await writes.write((Intend(submission, sent=SENT), owner, NOW))
            await writes.write((Settle(entry, "accepted", job=job), owner, NOW))
            jobs += 1

    wall, cpu = time.monotonic(), time.process_time()
    await asyncio.gather(*(work() for _ in range(flows)))
    return jobs / (time.monotonic() - wall), (time.process_time() - cpu) / jobs


# -- many rows -------------------------------------------------------------------------------------


def growth(address: str) -> Iterator[Row]:
    """The same submits at a ledger with a million entries, in turns with those at an empty one."""
    with database() as empty, PostgresLedger(address) as full, PostgresLedger(empty) as new:
        accepted(full, 1)
        fill(address)
        found = in_turns({"new": lambda: in_threads(new, 1), "full": lambda: in_threads(full, 1)})
    (before, cpu_before), (after, cpu_after) = found["new"], found["full"]
    what = f"Postgres: writes of a submit, {ROWS:,} entries"
    beside = f"an empty ledger, {1e3 / before.median:.2f} ms"
    yield Row(what, f"{1e3 / after.median:.2f} ms", beside, before / after, "<= 1.2")
    own = f"{cpu_after.median * 1e3:.2f} ms"
    beside = f"an empty ledger, {cpu_before.median * 1e3:.2f} ms"
    yield Row(f"{what}: CPU", own, beside, cpu_after / cpu_before, "<= 1.2")


def fill(address: str) -> None:
    """Copy the one entry of a ledger until there are so many, as saved jobs of the last month."""
    with psycopg.connect(address, autocommit=True, options="-c search_path=polyreel") as direct:
        columns = columns_of_jobs(direct)
        changed = {
            "id": "substr(md5(n::text), 1, 12) || n",
            "reference": "'past ' || n",
            "task": "'past-' || n",
            "state": "'saved'",
            "owner": "NULL",
            "created_at": f"{NOW} - n",
            "finished_at": f"{NOW} - n + 60",
        }
        values = ", ".join(changed.get(name, name) for name in columns)
        statement = (
            f"INSERT INTO jobs ({', '.join(columns)})"
            f" SELECT {values} FROM jobs, generate_series(1, {ROWS}) AS n"
        )
        direct.execute(statement.encode())
        direct.execute("ANALYZE jobs")


# -- webhooks --------------------------------------------------------------------------------------


def webhooks(address: str) -> Iterator[Row]:
    """Webhooks that are written down, in threads, beside their statements in pgbench."""
    with PostgresLedger(address) as ledger:
        jobs = accepted(ledger, ROUNDS * 10_000)
        left = iter(jobs)
        guard = threading.Lock()

        def deliver() -> tuple[float, float]:
            done, end = [0] * FLOWS, time.monotonic() + SECONDS

            def work(number: int) -> None:
                while time.monotonic() < end:
                    with guard:
                        job = next(left)
                    facts = Facts(job.id, "running", None, (), 0.5, None, None, None, None, {})
                    event = Event(VENDOR, f"msg-{job.id}", job.id, facts, verified=True)
                    ledger.deliver(event, NOW)
                    done[number] += 1

            workers = [threading.Thread(target=work, args=(number,)) for number in range(FLOWS)]
            wall = time.monotonic()
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            return sum(done) / (time.monotonic() - wall), 0.0

        script = bare_webhook(jobs)
        found = in_turns({"pgbench": lambda: (rate(address, script, FLOWS), 0.0), "own": deliver})
    own, bare = found["own"][0], found["pgbench"][0]
    beside = f"pgbench, {FLOWS} clients, {bare.shown(round, 'a second')}"
    what, reported = f"Postgres: webhooks, {FLOWS} threads", own.shown(round, "a second")
    yield Row(what, reported, beside, own / bare, ">= 0.5")


def bare_webhook(jobs: Sequence[Job]) -> str:
    """What is written of a webhook about one of these jobs, as a script of pgbench."""
    first, last = (int(job.id.removeprefix("task-")) for job in (jobs[0], jobs[-1]))
    job = quoted(sample()[1].model_dump_json(exclude_none=True))
    chosen = f"vendor = '{VENDOR}' AND simulated = 0 AND task = 'task-' || :n"
    return (
        f"\\set n random({first}, {last})\n\\set d random(1, 1000000000000000)\n"
        "BEGIN;\n"
        "INSERT INTO deliveries (vendor, id, received_at)"
        f" VALUES ('{VENDOR}', 'bare' || :d, {NOW}) ON CONFLICT DO NOTHING;\n"
        f"SELECT id, state, job, finished_at FROM jobs WHERE {chosen} FOR UPDATE;\n"
        f"UPDATE jobs SET job = {job}, updated_at = {NOW} WHERE {chosen};\n"
        "COMMIT;\n"
    )


# -- taking over -----------------------------------------------------------------------------------


def takeover(address: str) -> Iterator[Row]:
    """How long it takes a worker to wait for the jobs of another one, beside reading their rows."""
    with PostgresLedger(address) as ledger:
        accepted(ledger, TAKEN_OVER)
        owned, used, read = [], [], []
        for _ in range(ROUNDS):
            cpu = time.process_time()
            owned.append(asyncio.run(enrol(ledger)))
            used.append(time.process_time() - cpu)
            began = time.monotonic()
            with psycopg.connect(address, options="-c search_path=polyreel") as direct:
                direct.execute("SELECT * FROM jobs WHERE state = 'accepted'").fetchall()
            read.append(time.monotonic() - began)
    own, select = median(owned), median(read)
    what = f"Postgres: {TAKEN_OVER:,} jobs taken over"
    yield Row(what, f"{own:.1f} s", "5 s", own / 5, "<= 1")
    yield Row(what, f"{own:.1f} s", f"SELECT of the rows, {select:.2f} s", own / select)
    yield Row(f"{what}: CPU", f"{median(used):.1f} s", "5 s", median(used) / 5)


async def enrol(ledger: PostgresLedger) -> float:
    """Seconds until a worker waits for all jobs that there are."""
    async with AsyncClient(keys={VENDOR: "x"}, ledger=ledger) as client:
        tending = _Tending(Tend(VENDOR, 0, 1), client, None, None)
        many = ManyJobs(client.simulated, random.Random(1))
        driver = ManyJobsDriver(client.wire, many)  # it asks nobody: its block is not entered
        began = time.monotonic()
        await tending._enrol(driver)
        assert len(many) == TAKEN_OVER
        return time.monotonic() - began


def deaths(_: str) -> Iterator[Row]:
    """How long it takes until the work of workers that were killed is taken over."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulator = clocks.ForgetfulVendors(clock=clocks.begin(folder), seed=1, folder=folder)
        with (
            server.running(simulator) as url,
            cluster(url, simulator, jobs=600, seed=1, seconds=60.0) as made,
        ):
            for _death in range(DEATHS):
                made.kill()
    taken = median(made.repairs)
    beside = f"its lease and 2 s, {LEASE + 2:.0f} s"
    what = "a worker was killed: its submits flagged, its shards taken"
    yield Row(what, f"{taken:.1f} s", beside, taken / (LEASE + 2), "<= 1")
