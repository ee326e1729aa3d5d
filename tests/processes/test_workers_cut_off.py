"""Workers that are cut off and go on later, and request handlers that die after their commit.

Nothing is paid twice, and nothing is lost.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import IO, Final

import psycopg
import pytest
from polyreel import AsyncClient
from polyreel.ledger.postgres import PostgresLedger
from polyreel.simulator import Simulator, server
from support import crash, forked, matrix
from support.frozen import freezing
from support.paths import TESTS
from support.postgres import execute
from support.running import bills
from support.waiting import HANGS, until
from support.workers import LEASE, VENDOR, client

JOBS: Final = 24
SLOW: Final = server.Options(latency=(0.5, 1.0))
"""So that submits are on their way whenever a worker is cut off."""
SENDING: Final = """SELECT count(*) FROM jobs WHERE state = 'sending'
    AND owner LIKE (SELECT id || '/%%' FROM owners WHERE host LIKE %s)"""
"""The submits on their way of a process."""
UNDER_WAY: Final = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'sending', 'accepted')"
FLAGGED: Final = "SELECT count(*) FROM jobs WHERE state = 'ambiguous'"
DOING: Final = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'"


@pytest.fixture
def made() -> Simulator:
    return crash.vendors()


@pytest.fixture
def ask(postgres: str) -> Iterator[Callable[..., int]]:
    """What stands in the database, behind the ledger's back: to look through it mends it."""
    with (
        PostgresLedger(postgres),
        psycopg.connect(postgres, autocommit=True, options="-c search_path=polyreel") as direct,
    ):
        yield lambda statement, *values: int(
            (direct.execute(statement.encode(), values).fetchone() or [0])[0]
        )


def enqueue(url: str, postgres: str) -> None:
    """Write all jobs down."""

    async def write(client: AsyncClient) -> None:
        for number in range(JOBS):
            await client.enqueue(f"job {number}", VENDOR, reference=f"job {number}")

    with PostgresLedger(postgres, lease=LEASE) as ledger:
        asyncio.run(write(client(url, ledger)))


@contextmanager
def workers(url: str, *ways: str, stderr: IO[str] | None = None) -> Iterator[list[forked.Program]]:
    """A worker for each way to the database."""
    with ExitStack() as stack:
        command = ("-m", "support.workers", url)
        started = [
            stack.enter_context(
                forked.Program(*command, way, cwd=TESTS, stdout=PIPE, stderr=stderr)
            )
            for way in ways
        ]
        try:
            yield started
        finally:
            for one in started:
                one.kill()


def check(simulator: Simulator, postgres: str) -> None:
    """Each job was paid once, or its submit is flagged."""
    found = bills(simulator)
    assert set(found.values()) == {1}
    with PostgresLedger(postgres, lease=LEASE) as ledger:
        entries = ledger.entries()
    assert {entry.submission.reference for entry in entries} == {f"job {n}" for n in range(JOBS)}
    assert {entry.state for entry in entries} <= {"succeeded", "ambiguous"}
    for entry in entries:
        assert entry.state == "ambiguous" or found[entry.submission.reference or ""] == 1


@pytest.mark.usefixtures("bare")
def test_a_worker_that_stood_still_pays_nothing_twice(
    postgres: str, made: Simulator, ask: Callable[..., int], tmp_path: Path
) -> None:
    """For longer than its lease, with submits on their way: others flag them, unasked."""
    said = tmp_path / "stderr.txt"
    with server.running(made, options=SLOW) as url, said.open("w") as errors:
        enqueue(url, postgres)
        with workers(url, postgres, stderr=errors) as (worker,):
            own = f"%/{worker.pid}"

            def stopped() -> bool:
                worker.send_signal(signal.SIGSTOP)
                if ask(SENDING, own):
                    return True
                worker.send_signal(signal.SIGCONT)
                return False

            until(stopped)
            with workers(url, postgres, stderr=errors):
                until(lambda: not ask(SENDING, own))
                assert ask(FLAGGED)
                worker.send_signal(signal.SIGCONT)
                until(lambda: not ask(UNDER_WAY), 2 * HANGS)
                until(lambda: not ask(DOING))
    check(made, postgres)
    assert "Traceback" not in said.read_text()


@pytest.mark.usefixtures("bare")
def test_a_worker_whose_connections_froze_pays_nothing_twice(
    postgres: str, made: Simulator, ask: Callable[..., int]
) -> None:
    """For longer than its lease: what it wrote arrives late, and so do the answers."""
    with server.running(made, options=SLOW) as url, freezing(postgres) as way:
        enqueue(url, postgres)
        with workers(url, way.address) as (worker,):
            own = f"%/{worker.pid}"

            def frozen() -> bool:
                way.flowing.clear()
                if ask(SENDING, own):
                    return True
                way.flowing.set()
                return False

            until(frozen)
            with workers(url, postgres):
                until(lambda: not ask(SENDING, own))
                assert ask(FLAGGED)
                way.flowing.set()
                until(lambda: not ask(UNDER_WAY), 2 * HANGS)
                assert worker.poll() is None
    check(made, postgres)


@pytest.mark.usefixtures("bare")
@pytest.mark.matrix
def test_an_order_is_sent_once_though_its_handler_dies_after_the_commit(
    postgres: str, made: Simulator, ask: Callable[..., int]
) -> None:
    """Rolled back, nothing is sent."""
    execute(postgres, "CREATE TABLE IF NOT EXISTS public.orders (number INTEGER)")
    execute(postgres, "DELETE FROM public.orders")
    orders = matrix.drawn(range(100), 10)
    with server.running(made) as url, workers(url, postgres, postgres):
        for number in orders:
            command = ("-m", "support.workers", url, postgres, "order", str(number))
            done = forked.run(*command, cwd=TESTS)
            assert done.returncode == -signal.SIGKILL, done.stderr
        until(lambda: ask("SELECT count(*) FROM jobs WHERE state = 'succeeded'") == len(orders))
    assert bills(made) == {f"order {number}": 1 for number in orders}
    assert ask("SELECT count(*) FROM public.orders") == len(orders)
    assert ask("SELECT count(*) FROM jobs") == len(orders)
