"""The recipes of examples/engines and examples/orders, with 12 jobs each, and a kill where the
engine goes on after it: the simulator's bill has each job once, and none is lost.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL
from typing import Final

import psycopg
import pytest
from polyreel.ledger.postgres import PostgresLedger
from polyreel.ledger.records import State
from polyreel.simulator import Simulator, server
from support import crash, forked
from support.paths import ROOT
from support.postgres import execute
from support.waiting import HANGS, until
from support.workers import LEASE, VENDOR, client

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("bare")]
ENGINES: Final = ROOT / "examples" / "engines"
JOBS: Final = 12
UNDER_WAY: Final[tuple[State, ...]] = ("queued", "sending", "accepted")
HURRY: Final = f"""
from polyreel.client import settings
from polyreel.ledger.postgres import PostgresLedger
from polyreel.simulator import rendering
from support.crash import HurriedClock
PostgresLedger.__init__.__kwdefaults__["lease"] = {LEASE}
rendering.is_installed = lambda *, video: False
settings.RealClock = HurriedClock
"""
"""Begins a program in which the pauses between queries, and leases, are short."""


class Stage:
    """A simulated vendor and a ledger in Postgres, for the programs of recipes."""

    def __init__(self, simulator: Simulator, url: str, address: str, folder: Path) -> None:
        self.simulator, self.url, self.address, self.folder = simulator, url, address, folder
        self.ledger = PostgresLedger(address, lease=LEASE)
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                [str(ENGINES), str(ENGINES.parent / "orders"), os.environ.get("PYTHONPATH", "")]
            ),
            "POLYREEL_LEDGER": address,
            "POLYREEL_VENDORS": VENDOR.id,
            VENDOR.key_variable: crash.KEY,
            VENDOR.base_url_variable: url + server.mounts()[VENDOR.id],
            "CELERY_BROKER_URL": "memory://",
        }

    def enqueue(self) -> list[str]:
        """Write 12 jobs down; their ids."""
        made = client(self.url, self.ledger)
        names = [f"job {number}" for number in range(JOBS)]
        return [asyncio.run(made.enqueue(name, VENDOR, reference=name)).id for name in names]

    def program(self, text: str) -> forked.Program:
        """A program of a recipe, in a hurry."""
        place, variables = self.folder, self.environment
        return forked.Program("-c", HURRY + text, cwd=place, env=variables, stderr=DEVNULL)

    def kill_once_and_finish(self, text: str) -> None:
        """Start a worker, kill it amid its submits, and let another one do what is left."""
        with self.program(text) as worker:
            until(lambda: self.simulator.bill.count() > JOBS / 4)
            worker.kill()
        with self.program(text) as worker:
            until(lambda: not self.ledger.entries(UNDER_WAY), 2 * HANGS)
            worker.kill()

    def check(self, states: set[str]) -> None:
        """Each job was billed once at most, each that has succeeded once, and none is lost."""
        charges = self.simulator.bill.charges
        tasks = [self.simulator.tasks[line.vendor, line.task] for line in charges]
        bills = Counter(task.picture.prompt for task in tasks)
        entries = self.ledger.entries()
        assert len(entries) == JOBS
        assert set(bills.values()) == {1}
        assert {entry.state for entry in entries} <= states
        for entry in entries:
            assert entry.state == "ambiguous" or bills[entry.submission.reference or ""] == 1


@pytest.fixture
def stage(postgres: str, tmp_path: Path) -> Iterator[Stage]:
    simulator = crash.vendors()
    with server.running(simulator) as url:
        made = Stage(simulator, url, postgres, tmp_path)
        with made.ledger:
            yield made


CELERY: Final = """
import celery_tasks
from celery.beat import EmbeddedService
celery_tasks.SECONDS = 1
celery_tasks.app.conf.beat_schedule["keep"]["schedule"] = 1
{first}
EmbeddedService(celery_tasks.app, thread=True).start()
command = ["worker", "--pool", "threads", "--concurrency", "4", "--queues", "celery,keep"]
celery_tasks.app.worker_main(command)
"""
"""A worker and the beat in one process, with a broker that forgets all when it is killed."""


def test_celery(stage: Stage) -> None:
    """A broker that has lost everything loses no job."""
    ids = stage.enqueue()
    first = "".join(f"celery_tasks.submit.delay(['{name}'])\n" for name in ids[: JOBS // 2])
    with stage.program(CELERY.format(first=first)) as worker:
        until(lambda: stage.simulator.bill.count() > JOBS / 4)
        worker.kill()
    with stage.program(CELERY.format(first="")) as worker:
        until(lambda: not stage.ledger.entries(UNDER_WAY), 2 * HANGS)
        worker.kill()
    stage.check({"succeeded", "ambiguous"})


def test_dbos(stage: Stage) -> None:
    """What was begun when the worker was killed, is begun again by DBOS."""
    stage.enqueue()
    stage.kill_once_and_finish(
        "import asyncio, dbos_app\ndbos_app.SECONDS = 1\nasyncio.run(dbos_app.main())\n"
    )
    stage.check({"succeeded", "ambiguous"})


TEMPORAL: Final = """
import asyncio, sys, temporal_app
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Replayer

Replayer(workflows=[temporal_app.Keep])  # the sandbox of workflows takes it
beats = []
around = ActivityEnvironment()
around.on_heartbeat = lambda *details: beats.append(details)

async def main():
    await around.run(temporal_app.submit, {ids!r})
    for _ in range(2):  # a server may run an activity again
        await around.run(temporal_app.work_a_round)

asyncio.run(main())
assert beats
"""
"""The activities as Temporal's own environment for tests runs them. There is no server."""


def test_temporal(stage: Stage) -> None:
    """Activities that are run again pay nothing twice."""
    ids = stage.enqueue()
    with stage.program(TEMPORAL.format(ids=ids)) as program:
        assert program.wait(2 * HANGS) == 0
    stage.check({"succeeded"})


ORDERS: Final = """
import httpx, os, signal, sys
import app

with httpx.Client(
    transport=httpx.WSGITransport(app=app.application, raise_app_exceptions=False),
    base_url="http://localhost",
) as web:
    for number in range(12):
        def post(**more):
            url = f"/orders/{number}"
            return web.post(url, params={"prompt": f"order {number}", **more}).status_code
        assert post(fail="yes") == 500  # taken back: nothing is there
        assert post() == 201
        assert post() == 409
print("done", flush=True)
os.kill(os.getpid(), signal.SIGKILL)  # right after the last commit
"""


def test_orders(stage: Stage) -> None:
    """Rolled back, nothing is sent; committed, it is sent once, also when the handler has died."""
    execute(stage.address, "CREATE TABLE IF NOT EXISTS public.orders (number INTEGER)")
    execute(stage.address, "DELETE FROM public.orders")
    with stage.program(ORDERS) as handler:
        assert handler.wait(2 * HANGS) == -9
    assert stage.simulator.bill.count() == 0
    with psycopg.connect(stage.address) as connection:
        found = connection.execute("SELECT number FROM public.orders ORDER BY number").fetchall()
    assert [number for (number,) in found] == [*range(JOBS)]
    worker = (
        "import sys\nfrom polyreel.cli import main\nsys.argv = ['polyreel', 'worker', '--live']"
    )
    with stage.program(f"{worker}\nmain()\n") as working:
        until(lambda: len(stage.ledger.entries(["saved"])) == JOBS, 2 * HANGS)
        working.kill()
    stage.check({"saved"})
