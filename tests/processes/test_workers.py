"""Workers on Procrastinate over the ledger in Postgres: killed at any time, they pay nothing twice,
and lose nothing.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Final

import psycopg
import pytest
from polyreel import AsyncClient, Client
from polyreel.engines import Save, Submit, Work
from polyreel.engines.procrastinate import ProcrastinateEngine
from polyreel.ledger.postgres import PostgresLedger
from polyreel.ledger.records import State
from polyreel.simulator import server
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from support import crash, forked
from support.paths import TESTS
from support.postgres import execute
from support.running import bills
from support.waiting import HANGS, until
from support.workers import LEASE, VENDOR, client

JOBS = 60
FAULTS = {"lost-reset": 0.05, "refused": 0.1, "rate-limited-zero": 0.1}
"""What goes wrong with submits, and with which part of them."""
CUT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
"""Ends all connections, as the database does where it ends."""
UNDER_WAY: Final[tuple[State, ...]] = ("queued", "sending", "accepted")


@pytest.fixture
def ledger(postgres: str) -> Iterator[PostgresLedger]:
    with PostgresLedger(postgres, lease=LEASE) as opened:
        yield opened


def program(url: str, path: str, *more: str) -> forked.Program:
    command = ("-m", "support.workers", url, path, *more)
    return forked.Program(*command, cwd=TESTS, stdout=PIPE)


@pytest.mark.usefixtures("bare")
def test_workers_that_are_killed_pay_nothing_twice_and_lose_nothing(
    postgres: str, ledger: PostgresLedger
) -> None:
    """What may have been on its way is ambiguous; everything else is done by the others.

    Where the database drops their connections, they begin again.
    """
    simulator = crash.vendors()
    for fault, share in FAULTS.items():
        simulator.inject(fault, share=share, times=None)
    with server.running(simulator) as url, ExitStack() as stack:
        made = client(url, ledger)
        engine = ProcrastinateEngine(made)
        ids = [
            asyncio.run(made.enqueue(f"job {number}", VENDOR, reference=f"job {number}")).id
            for number in range(JOBS)
        ]
        for start in range(0, JOBS, 10):  # each job is in two pieces of work
            engine.put(Submit(tuple(ids[start : start + 20])))
        workers = [stack.enter_context(program(url, postgres)) for _ in range(2)]
        until(lambda: simulator.bill.count() > JOBS / 4)
        execute(postgres, CUT)
        until(lambda: simulator.bill.count() > JOBS / 2)
        workers[0].kill()
        until(lambda: not ledger.entries(UNDER_WAY), 3 * HANGS)
        workers[1].kill()
    found = bills(simulator)
    assert set(found.values()) == {1}
    entries = ledger.entries()
    assert {entry.id for entry in entries} == {*ids}
    assert {entry.state for entry in entries} <= {"succeeded", "ambiguous"}
    for entry in entries:
        assert entry.state == "ambiguous" or found[entry.submission.reference or ""] == 1
    assert {*found} <= {entry.submission.reference for entry in entries}


@pytest.mark.usefixtures("bare")
def test_an_order_and_its_job_are_written_down_together(
    postgres: str, ledger: PostgresLedger
) -> None:
    """Or neither is, when its process is killed, or takes it back."""
    execute(postgres, "CREATE TABLE IF NOT EXISTS public.orders (number INTEGER)")
    simulator = crash.vendors()
    with server.running(simulator) as url:
        for killed_after in (1, 4, 7):
            execute(postgres, "DELETE FROM public.orders")
            with program(url, postgres, "orders") as taking:
                assert taking.stdout
                for _ in range(killed_after):
                    taking.stdout.readline()
                taking.kill()
            with psycopg.connect(postgres) as connection:
                orders = connection.execute("SELECT number FROM public.orders").fetchall()
                carried = connection.execute(
                    "SELECT args->'ids'->>0 FROM polyreel.procrastinate_jobs"
                ).fetchall()
            entries = ledger.entries(["queued"])
            assert sorted(entry.submission.reference or "" for entry in entries) == sorted(
                f"order {number}" for (number,) in orders
            )
            assert {number % 2 for (number,) in orders} == {0}
            assert {name for (name,) in carried} == {entry.id for entry in entries}
            for entry in entries:
                ledger.abandon(entry.id)
            execute(postgres, "DELETE FROM procrastinate_jobs")
    assert simulator.journal == []


def test_files_are_saved_however_many_submits_wait(postgres: str, ledger: PostgresLedger) -> None:
    """Their links do not live for ever."""

    async def work() -> None:
        stop, saved = asyncio.Event(), asyncio.Event()
        async with AsyncClient(ledger=ledger) as made:
            engine = ProcrastinateEngine(made, submits=1, stop=stop)

            async def do(work: Work) -> None:
                if isinstance(work, Save):
                    saved.set()
                with suppress(TimeoutError):
                    await asyncio.wait_for(saved.wait(), HANGS)
                stop.set()

            for one in (Submit(("a",)), Submit(("b",)), Save("c")):
                engine.put(one)
            await engine.run(do)
            assert saved.is_set()

    asyncio.run(work())


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("kept", ["file", "database"])
def test_the_command_works_until_it_is_stopped(
    tmp_path: Path, request: pytest.FixtureRequest, kept: str
) -> None:
    """And `polyreel jobs --owners` tells that it is at work."""
    is_file = kept == "file"
    place = str(tmp_path / "ledger.sqlite3") if is_file else request.getfixturevalue("postgres")
    with Client(ledger=place) as client:
        command = ("-m", "polyreel", "worker", "--ledger", place)
        check = (*command, "--check")
        assert forked.run(*check, cwd=tmp_path).returncode == 1
        with forked.Program(*command, cwd=tmp_path, stderr=PIPE) as worker:
            # A worker that has nothing to do is at work, too.
            until(lambda: forked.run(*check, cwd=tmp_path).returncode == 0)
            client.enqueue("a cat", VENDOR, output=tmp_path / "clips")
            (entry,) = until(lambda: client.jobs(["saved"]))
            listing = ("-m", "polyreel", "jobs", "--owners", "--json", "--ledger", place)
            owners = json.loads(forked.run(*listing, cwd=tmp_path).stdout)
            pids = {one["pid"] for one in owners if one["host"] == socket.gethostname()}
            assert (None if is_file else worker.pid) in pids
            worker.send_signal(signal.SIGTERM)
            _, said = worker.communicate(timeout=HANGS)
        assert (worker.returncode, said.splitlines()[-1]) == (0, "stopped")
        assert entry.job
        for end in ("accepted", "succeeded", "saved"):  # a line for each step of a job
            lines = [line for line in said.splitlines() if entry.job.id in line and end in line]
            assert len(lines) == 1, said


@pytest.mark.usefixtures("bare")
def test_an_outage_of_the_database_is_said_once(
    tmp_path: Path, postgres: str, ledger: PostgresLedger
) -> None:
    """In one line, and in another when work goes on, however often it was tried meanwhile."""
    name = conninfo_to_dict(postgres)["dbname"]
    elsewhere = make_conninfo(postgres, dbname="postgres")
    allow = f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS'
    command = ("-m", "polyreel", "worker", "--ledger", postgres)
    with forked.Program(*command, cwd=tmp_path, stderr=PIPE) as worker:
        until(ledger.outstanding.processes)
        lines = [""]
        execute(elsewhere, f"{allow} false")
        try:
            execute(elsewhere, CUT.replace("current_database()", f"'{name}'"))
            assert worker.stderr
            while "work is interrupted" not in lines[-1]:
                lines.append(worker.stderr.readline())
        finally:
            execute(elsewhere, f"{allow} true")
        while "work goes on" not in lines[-1]:
            lines.append(worker.stderr.readline())
        worker.send_signal(signal.SIGTERM)
        _, said = worker.communicate(timeout=HANGS)
    lines += said.splitlines(keepends=True)
    kinds = [
        "",
        "working on",
        "WARNING work is interrupted",
        "WARNING the database answers",
        "stopped",
    ]
    beats = [line for line in lines if line.startswith("WARNING the ledger")]
    assert len(beats) <= 1  # the process could not say that it is alive
    told = [line for line in lines if line not in beats]
    assert len(told) == len(kinds), told
    assert all(line.startswith(kind) for line, kind in zip(told, kinds, strict=True)), told
