"""The command that does the work of a ledger: worker."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from contextlib import suppress
from typing import Annotated, Final

import typer

from ..client import AsyncClient
from ..engines import Engine, InlineEngine, perform
from ..ledger.commands import command
from ..ledger.keeping import StoredLedger
from ..ledger.sqlite import Ledger
from ..ledger.store import LedgerStore
from . import show
from .options import LedgerPlace, LiveJobs, async_client, open_ledger, read_ledger
from .steps import has_workers

OTHERS: Final = ("procrastinate", "psycopg.pool")
"""Logs of others, which repeat for each attempt what polyreel's own says of an outage once."""


def worker(
    submit: Annotated[
        int, typer.Option(min=1, help="Pieces of work submitted at once; as many downloads.")
    ] = 4,
    shards: Annotated[
        int,
        typer.Option(
            min=1,
            max=64,
            help="Into how many pieces the waiting for a vendor's jobs is divided; the same number "
            "for all workers.",
        ),
    ] = 1,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Only say whether a worker is at work on this machine; 1 if none is."
        ),
    ] = False,
    live: LiveJobs = False,
    ledger: LedgerPlace = None,
) -> None:
    """Submit what is queued in the ledger, wait for its jobs and save their files, until
    interrupted.

    Over postgresql://... any number of workers share the work, on many machines; it needs
    polyreel[cluster]. Over a file, one worker does it.
    """
    with (read_ledger if check else open_ledger)(ledger) as opened:
        if check:
            _check(opened)
            return
        show.log(logging.INFO)
        for name in OTHERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        made = async_client(live=live, ledger=opened)
        asyncio.run(_work(made, submit, shards))
    show.note("stopped")


def _check(opened: LedgerStore) -> None:
    """Say whether a process of this machine was seen at work lately; exit with 1 if none was."""
    assert isinstance(opened, StoredLedger)
    here = [one for one in opened.outstanding.processes() if one.host == socket.gethostname()]
    if not here:
        start = command("worker", ledger=opened.named)
        show.note(f"no worker of this machine was seen lately by the ledger\nnext: {start}")
        raise typer.Exit(1)
    show.note(f"at work on this machine: {', '.join(str(one.pid or 'one') for one in here)}")


def of_others(ledger: LedgerStore) -> str | None:
    """What to say to a worker over a file where another process is at work already."""
    if not isinstance(ledger, Ledger) or not has_workers(ledger):
        return None
    return (
        "warning: another process is at work on this ledger already. Each job is done by one of "
        "them; for several workers keep the ledger in Postgres: --ledger postgresql://..."
    )


async def _work(made: AsyncClient, submits: int, shards: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # on Windows
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine: Engine
    if isinstance(made.ledger, Ledger):
        engine = InlineEngine(made, stop=stop)
    else:
        from ..engines.procrastinate import ProcrastinateEngine

        engine = ProcrastinateEngine(made, submits=submits, shards=shards, stop=stop)
    if made.ledger is not None and (warning := of_others(made.ledger)):
        show.note(warning)
    kind = "simulated" if made.simulated else "live"
    show.note(f"working on {kind} jobs; stop with Ctrl-C")
    async with made:
        await engine.run(lambda work: perform(work, made, put=engine.put, stop=stop))
