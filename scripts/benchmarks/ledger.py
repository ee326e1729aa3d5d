"""Submits at a ledger with a million entries, beside submits at an empty one."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Final

import httpx
from polyreel import Client, plan
from polyreel.ledger.sqlite import Ledger
from polyreel.ledger.store import ID_LENGTH, ID_LETTERS
from polyreel.simulator import Simulator

from .measuring import REQUEST, VENDOR, Peers, Row

ENTRIES: Final = 1_000_000
SUBMITS: Final = 1_000
"""How many submits are measured at each ledger, in turns."""
BEFORE: Final = 200
"""How many submits come first, and are not measured."""
PASSED: Final = 30 * 86_400.0
"""The seconds over which the entries are spread."""


def growing(_: Peers) -> Iterator[Row]:
    """The same submits, in turns, at a ledger with a million entries and at an empty one."""
    with TemporaryDirectory() as name, ExitStack() as opened:
        folders = [Path(name) / which for which in ("empty", "full")]
        with ExitStack() as first:
            submitter(folders[1], first)()
        fill(folders[1] / "ledger.sqlite3", ENTRIES)
        submits = [submitter(folder, opened) for folder in folders]
        wall: list[list[float]] = [[], []]
        cpu: list[list[float]] = [[], []]
        for number in range(BEFORE + SUBMITS):
            for which in (0, 1) if number % 2 else (1, 0):
                began, used = time.perf_counter(), time.process_time()
                submits[which]()
                if number >= BEFORE:
                    wall[which].append(time.perf_counter() - began)
                    cpu[which].append(time.process_time() - used)
    what = f"submit at a ledger with {ENTRIES:,} entries"
    for kind, (empty, full) in (
        ("mean", [fmean(seconds) for seconds in wall]),
        ("CPU, mean", [fmean(seconds) for seconds in cpu]),
    ):
        beside = f"an empty one, {empty * 1e6:.0f} us"
        yield Row(f"{what}: {kind}", f"{full * 1e6:.0f} us", beside, full / empty, "<= 1.2")


def submitter(folder: Path, opened: ExitStack) -> Callable[[], object]:
    """A live client, without a network, that submits another job with each call."""
    folder.mkdir(exist_ok=True)
    made = plan(REQUEST, VENDOR)
    target = httpx.URL(made.url).raw_path.decode()
    headers = {"authorization": "Bearer x"}
    simulator = Simulator(seed=1)
    answer = simulator.handle(VENDOR, "POST", target, headers, made.content).content
    (first,) = (task.id for task in simulator.tasks.values())
    numbers = count(int(time.time() * 1e6))

    def accept(_: httpx.Request) -> httpx.Response:
        task = f"{first}{next(numbers)}".encode()
        json = {"content-type": "application/json"}
        return httpx.Response(200, headers=json, content=answer.replace(first.encode(), task))

    client = opened.enter_context(Client(keys={VENDOR: "x"}, ledger=folder / "ledger.sqlite3"))
    client.wire.transport = httpx.MockTransport(accept)
    return lambda: client.submit(made, reference=f"order {next(numbers)}")


def fill(path: Path, entries: int) -> None:
    """Copy the one entry of a ledger until there are so many, as saved jobs of the last month."""
    chance = random.Random(1)
    with Ledger(path) as ledger:
        (pattern,) = ledger.entries()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -1000000")
    row = dict(connection.execute("SELECT * FROM jobs").fetchone())
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall()
    for index in indexes:
        connection.execute(f"DROP INDEX {index['name']}")
    names, marks = ", ".join(row), ", ".join("?" * len(row))

    def copies() -> Iterator[list[object]]:
        for number in range(entries):
            made = pattern.created_at - PASSED * (1 - number / entries)
            changes = {
                "id": "".join(chance.choices(ID_LETTERS, k=ID_LENGTH)),
                "state": "saved",
                "reference": f"past {number}",
                "task": f"{chance.getrandbits(64):016x}",
                "owner": None,
                "created_at": made,
                "updated_at": made,
                "finished_at": made + 60 + chance.random(),
            }
            yield [*{**row, **changes}.values()]

    connection.execute("BEGIN")
    connection.executemany(f"INSERT INTO jobs ({names}) VALUES ({marks})", copies())
    for index in indexes:
        connection.execute(index["sql"])
    connection.execute("COMMIT")
    connection.close()
