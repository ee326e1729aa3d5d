"""Several ledgers on one file in one process, beside processes that come and go: what is committed
stays in the file that the others see.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import PIPE

import pytest
from polyreel import Client, Simulator
from polyreel.errors import LedgerError
from polyreel.ledger.events import Intend, Settle
from polyreel.ledger.sqlite import Ledger
from support import forked
from support.ledgers import NOW, job, submission
from support.waiting import HANGS

REQUEST = {"prompt": "a cat", "duration": 3}
THREADS = 6
JOBS = 10
LOOK = """
import sys
from polyreel import Ledger
with Ledger(sys.argv[1]) as ledger:
    for entry in ledger.entries():
        print(entry.submission.reference or entry.id)
"""
COME_AND_GO = """
import sys
from polyreel import Ledger
while True:
    print(flush=True)
    if not sys.stdin.readline():
        break
    Ledger(sys.argv[1]).close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


def look(path: Path) -> list[str]:
    """What another process, which comes and goes, finds in the ledger."""
    done = forked.run("-c", LOOK, path)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("closed", ["closed", "forgotten", "open"])
def test_a_second_ledger_leaves_the_locks_of_the_first(path: Path, closed: str) -> None:
    """The next process does not take itself for the last one, whose work it is to end the log."""
    with Ledger(path) as first:
        owner = first.new_owner()
        first.write(Intend(submission(reference="before")), owner, NOW)
        second = Ledger(path)
        if closed == "closed":
            second.close()
        elif closed == "forgotten":
            del second
        assert look(path) == ["before"]
        entry = first.write(Intend(submission(reference="order 17")), owner, NOW)
        first.write(Settle(entry, "accepted", job=job()), owner, NOW)
        assert look(path) == ["before", "order 17"]
        if closed == "open":
            second.close()
    assert look(path) == ["before", "order 17"]


def test_a_new_file_that_another_program_writes_is_waited_for(path: Path) -> None:
    """SQLite gives up at once when it is to use a log for a file in which somebody writes."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor() as pool:
            opened = pool.submit(Ledger, path)
            assert not wait([opened], timeout=0.2).done, opened.exception()
            other.execute("ROLLBACK")
            opened.result(HANGS).close()


def test_one_reference_is_paid_once_by_two_clients(path: Path) -> None:
    """While a command line looks at the ledger in another process."""
    simulator = Simulator(seed=1)
    settings = {"simulator": simulator, "ledger": path}
    with Client(**settings) as one:  # type: ignore[arg-type]
        Client(**settings).close()  # type: ignore[arg-type]
        assert look(path) == []
        one.submit(one.plan(REQUEST), reference="order 17")
        assert look(path) == ["order 17"]


def test_a_ledger_whose_log_was_taken_away_sends_nothing(path: Path) -> None:
    """A program that reads the file by hand, as a backup does, drops the locks all the same."""
    simulator = Simulator(seed=1)
    with Client(simulator=simulator, ledger=path) as client:
        client.submit(client.plan(REQUEST), reference="order 16")
        path.read_bytes()
        assert look(path) == ["order 16"]
        with pytest.raises(LedgerError, match="deleted or replaced") as caught:
            client.submit(client.plan(REQUEST), reference="order 17")
        assert caught.value.billed == "no"
        assert len(simulator.bill.charges) == 1
    assert look(path) == ["order 16"]
    with pytest.raises(LedgerError, match="in a new process"):
        Ledger(path)


@contextmanager
def coming_and_going(path: Path) -> Iterator[None]:
    """Another process that opens and closes the ledger again and again."""
    with forked.Program("-c", COME_AND_GO, path, stdin=PIPE, stdout=PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        ended = threading.Event()

        def drive() -> None:
            assert other.stdin is not None
            assert other.stdout is not None
            while not ended.is_set():
                other.stdin.write("\n")
                other.stdin.flush()
                other.stdout.readline()

        driver = threading.Thread(target=drive)
        driver.start()
        try:
            yield
        finally:
            ended.set()
            driver.join(HANGS)
            other.stdin.close()
            assert other.wait(HANGS) == 0


def test_a_client_for_each_job_in_threads_loses_none(path: Path) -> None:
    """Each job that was told to be accepted is in the ledger, whoever comes and goes."""
    simulator = Simulator(seed=1)

    def work(number: int) -> list[str]:
        names = [f"{number}-{job}" for job in range(JOBS)]
        for name in names:
            with Client(simulator=simulator, ledger=path) as client:
                client.submit(client.plan(REQUEST), reference=name)
        return names

    with coming_and_going(path), ThreadPoolExecutor(THREADS) as pool:
        reported = [name for names in pool.map(work, range(THREADS)) for name in names]
    assert sorted(look(path)) == sorted(reported)
