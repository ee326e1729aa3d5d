"""The processes of a cluster: workers, those who write jobs down, and who takes webhooks in."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from polyreel import AsyncClient, Client
from polyreel.cli import main
from polyreel.cli.worker import OTHERS
from polyreel.engines import perform
from polyreel.engines.procrastinate import ProcrastinateEngine
from polyreel.errors import ClaimedError, PolyreelError
from polyreel.ledger.postgres import PostgresLedger
from polyreel.providers.base.registry import all_providers, get_provider

from .clocks import TrialClock
from .forking import fork, load
from .runner import CALL_SECONDS, KEY, address_in, addresses, request, vendors
from .visitors import prepare

LEASE: Final = 6.0
"""Seconds after which a worker that was not seen is taken for dead."""
SHARDS: Final = 2
SUBMITS: Final = 2
"""How many pieces of work a worker submits at once: each has up to 50 jobs, 8 at a time."""
FULL: Final = 2_000
"""How many jobs are queued at most: whoever writes them down waits then."""
PAUSE: Final = 0.2
SECRET: Final = "whsec_" + base64.b64encode(b"the secret of a trial's webhooks").decode()
"""Under which vendors sign their webhooks."""


def way_of(folder: Path, host: int) -> Path:
    """The file with the address by which a host reaches the database."""
    return folder / f"host-{host}.txt"


def host(url: str, folder: Path, number: int) -> None:
    """Be a host: start a worker for each line of stdin, and tell its process."""
    os.environ["XDG_DATA_HOME"] = str(folder / f"data-{number}")
    load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for workers
    address = way_of(folder, number).read_text()
    for _ in sys.stdin:
        print(fork(lambda: asyncio.run(_work(url, folder, address))), flush=True)


async def _work(url: str, folder: Path, address: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for name in OTHERS:  # as the command line does
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with PostgresLedger(address, lease=LEASE) as ledger:
        async with AsyncClient(
            keys=dict.fromkeys(addresses(url), KEY),
            base_urls=addresses(url),
            ledger=ledger,
            call_timeout=CALL_SECONDS,
        ) as client:
            client.wire.clock = TrialClock(folder)
            engine = ProcrastinateEngine(client, submits=SUBMITS, shards=SHARDS)
            await engine.run(lambda work: perform(work, client, put=engine.put))


def client_in(url: str, folder: Path) -> Client:
    """A client that reaches the database without a detour."""
    ledger = PostgresLedger(address_in(folder).read_text(), lease=LEASE)
    keys = dict.fromkeys(addresses(url), KEY)
    client = Client(keys=keys, base_urls=addresses(url), ledger=ledger, call_timeout=CALL_SECONDS)
    client.wire.clock = TrialClock(folder)
    return client


def write_down(url: str, folder: Path, jobs: int, seconds: float) -> None:
    """Write all jobs down, as request handlers do, whatever becomes of the database.

    They come evenly, over so many seconds at least.
    """
    began = time.monotonic()
    os.environ["XDG_DATA_HOME"] = str(folder / "data-handlers")
    turns, client = vendors(), client_in(url, folder)
    engine = ProcrastinateEngine(client)
    plans = {}
    for number in range(jobs):
        vendor = get_provider(turns[number % len(turns)])
        plans[number] = client.plan(request(number, vendor), vendor)
        if number % 100 == 0:
            _wait_for_room(client)
        time.sleep(max(0.0, began + seconds * number / jobs - time.monotonic()))
        while True:
            try:
                client.enqueue(
                    plans.pop(number),
                    reference=f"row {number}",
                    output=folder / "clips",
                    # Workers find the others by themselves.
                    engine=engine if number % 2 else None,
                )
            except ClaimedError:  # it was written, and the answer was lost
                break
            except PolyreelError:
                plans[number] = client.plan(request(number, vendor), vendor)
                time.sleep(PAUSE)
            else:
                break


def _wait_for_room(client: Client) -> None:
    while True:
        with suppress(PolyreelError):
            found = client.ledger.outstanding  # type: ignore[union-attr]
            if len(found.queued(simulated=False, before=float("inf"), limit=FULL)) < FULL:
                return
        time.sleep(PAUSE)


def receive(url: str, folder: Path, port: int) -> None:
    """Take webhooks in, with the command line, until killed."""
    os.environ["XDG_DATA_HOME"] = str(folder / "data-receiver")
    os.environ |= _secrets()
    prepare(url, folder)
    sys.stdout = (folder / "received.txt").open("a")
    sys.stderr = (folder / "receiver.txt").open("a")
    place = address_in(folder).read_text()
    main(["listen", "--live", "--port", str(port), "--ledger", place])


def _secrets() -> dict[str, str]:
    """The secrets under which vendors sign, as the receiver looks for them."""
    found = {
        provider.webhook.secret_variable
        for provider in all_providers().values()
        if provider.webhook and provider.webhook.signed
    }
    return {name: SECRET for name in found if name}
