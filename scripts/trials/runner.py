"""The runner: what a careful user's program does with many jobs, in a process that is killed."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal

from polyreel import AsyncClient, plan
from polyreel.errors import AmbiguousError, ClaimedError, PolyreelError
from polyreel.flows import Record, Send, Step
from polyreel.ledger import connections
from polyreel.ledger.events import Settle
from polyreel.ledger.keeping import StoredLedger
from polyreel.ledger.postgres import PostgresLedger
from polyreel.ledger.sqlite import Ledger
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator import server

from .clocks import TrialClock, disturb, note_sent

KEY: Final = "-".join(
    ["sk", "CANARY", "chaos", "0123456789"]
)  # not in one piece: tests look for it in files
AT_ONCE: Final = 12
TRIES: Final = 10
THREADS: Final = 4
CALL_SECONDS: Final = 5.0
"""Real seconds that a call may take. Only vendors that never answer take so long: where it is less,
a busy machine makes good answers late, and their submits ambiguous.
"""
LOCKED: Final = 0.25
"""In which share of cases the ledger is locked when an outcome is known."""
LOCKED_SECONDS: Final = 0.3
LEASE: Final = 1.0
"""After how many seconds a runner that was killed is known to be dead, where a database says so."""
Mode = Literal["plain", "ledgers", "visitors", "clocks", "locked", "database", "cluster", "gateway"]


def ledger_in(folder: Path) -> Path:
    """The ledger of a trial."""
    return folder / "ledger.sqlite3"


def address_in(folder: Path) -> Path:
    """The file with the address of a trial's ledger, where it is in a database."""
    return folder / "database.txt"


def opened(folder: Path) -> StoredLedger:
    """The ledger of a trial, open."""
    if not address_in(folder).exists():
        return Ledger(ledger_in(folder))
    return PostgresLedger(address_in(folder).read_text(), lease=LEASE)


def addresses(url: str) -> dict[str, str]:
    """Where each vendor of a trial answers."""
    return {vendor: url + mount for vendor, mount in server.mounts().items()}


def request(number: int, vendor: Provider) -> dict[str, Any]:
    """One job of a vendor. A text tells the oracle which: the negative prompt, which is not in the
    picture, so that one is drawn for many jobs; or the prompt, where the vendor has no other.
    """
    shared = {"prompt": "a cat", "duration": 10, "resolution": "720p", "audio": False}
    row = f"row {number}"
    with_negative = {**shared, "negative_prompt": row}
    fits = not plan(with_negative, vendor).violations
    return with_negative if fits else {**shared, "prompt": row}


def vendors() -> list[str]:
    """Who gets the jobs, in turns: four of five go where a vendor answers a repeated submit with
    the first job.

    At the others a submit that was never heard of stays ambiguous, rightly, until the user decides.
    """
    replaying, others = list[str](), list[str]()
    for vendor, provider in all_providers().items():
        creating = provider.operation(provider.routes[0]).spec
        replays = creating.get("x-polyreel-idempotency", {}).get("mode") == "replay"
        (replaying if replays else others).append(vendor)
    return replaying * (4 * len(others) // len(replaying)) + others


class Runner:
    """Brings every job to its end, as far as possible. What earlier runners began goes on."""

    def __init__(self, url: str, folder: Path, jobs: int, mode: Mode) -> None:
        self._folder, self._mode, self._turns = folder, mode, vendors()
        self._addresses = addresses(url)
        self._chance = random.Random()
        if mode == "locked":
            connections.BUSY_SECONDS = 0.02  # type: ignore[misc]
        with opened(folder) as ledger:
            ended = ledger.each_entry(["saved", "failed", "canceled"])
            done = {entry.submission.reference for entry in ended}
        self._rows = [number for number in range(jobs) if f"row {number}" not in done]

    def run(self) -> None:
        """Do all jobs: with one client, or in threads with a client and ledger for each."""
        if self._mode != "ledgers":
            asyncio.run(self._share(self._rows, AT_ONCE))
            return
        threads = [
            threading.Thread(target=asyncio.run, args=[self._share(rows, AT_ONCE // THREADS)])
            for rows in (self._rows[start::THREADS] for start in range(THREADS))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    async def _share(self, rows: Sequence[int], at_once: int) -> None:
        limit = asyncio.Semaphore(at_once)

        async def with_own_ledger(number: int) -> None:
            async with limit, self._client() as own:
                disturb(self._folder)
                await self._one(own, number)

        if self._mode == "ledgers":
            await asyncio.gather(*map(with_own_ledger, rows))
            return

        async def one(number: int) -> None:
            async with limit:
                await self._one(client, number)

        async with self._client() as client:
            # First what was cut off: a vendor may list what runs, and nothing that has ended.
            await client.reconcile()
            await asyncio.gather(*map(one, rows))

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[AsyncClient]:
        with opened(self._folder) as ledger:
            client = AsyncClient(
                keys=dict.fromkeys(self._addresses, KEY),
                base_urls=self._addresses,
                ledger=ledger,
                call_timeout=CALL_SECONDS,
            )
            async with client:
                client.wire.clock = TrialClock(self._folder)
                if self._mode == "locked":
                    client.wire.observer = self._lock
                elif self._mode == "clocks":
                    client.wire.observer = self._note
                yield client

    async def _one(self, client: AsyncClient, number: int) -> None:
        """One job: tried again where that is safe, reconciled where its answer was lost."""
        for _ in range(TRIES):
            try:
                vendor = get_provider(self._turns[number % len(self._turns)])
                made = client.plan(request(number, vendor), vendor)
                await client.generate(
                    made, output=self._folder / "clips", reference=f"row {number}", timeout=2000
                )
            except AmbiguousError as error:
                with suppress(PolyreelError):  # such as a ledger that is locked
                    findings = await client.reconcile(error.ledger_id or "")
                    if any(finding.result == "found" for finding in findings):
                        continue
                if self._mode == "clocks":
                    return  # by now nobody can tell, and asking again does not help
                await client.wire.clock.asleep(2)
            except ClaimedError:
                if self._mode == "database":  # until its owner, that was killed, is known to be so
                    await asyncio.sleep(LEASE)
                elif self._mode == "visitors":
                    await client.wire.clock.asleep(20)  # somebody looks after it just now
                else:
                    return
            except PolyreelError:
                await client.wire.clock.asleep(2)
            else:
                return

    def _note(self, when: str, step: Step) -> None:
        """Note when a paid call began: just now its key was young enough, whatever comes."""
        if when == "before" and isinstance(step, Send) and step.paid:
            note_sent(self._folder, step.headers.values())

    def _lock(self, when: str, step: Step) -> None:
        """Lock the ledger when an outcome is about to be written, as another program could."""
        is_outcome = isinstance(step, Record) and isinstance(step.event, Settle)
        if when == "after" or not is_outcome or self._chance.random() >= LOCKED:
            return
        other = sqlite3.connect(
            ledger_in(self._folder), timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:  # it is locked already
            other.close()
            return
        disturb(self._folder)
        threading.Timer(LOCKED_SECONDS, other.close).start()
