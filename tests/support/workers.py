"""A worker of a ledger in Postgres in a hurry: `python -m support.workers URL LEDGER`.

It can write jobs down instead, each in a transaction with a row of its own, until it is killed:
`python -m support.workers URL LEDGER orders`; or one that is taken back, and one that is committed,
after which it kills itself: `python -m support.workers URL LEDGER order NUMBER`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from itertools import count
from typing import Final

import psycopg
from polyreel import AsyncClient
from polyreel.engines import perform
from polyreel.engines.procrastinate import ProcrastinateEngine
from polyreel.ledger.postgres import PostgresLedger

from .crash import HurriedClock, settings
from .vendors import forgetful_vendor

LEASE: Final = 2.0
"""Seconds after which a worker that was killed is taken for dead."""
VENDOR: Final = forgetful_vendor()


def client(url: str, ledger: PostgresLedger) -> AsyncClient:
    """A client of a simulator at an address, for which pauses are short."""
    made = AsyncClient(**{**settings(url, "-"), "ledger": ledger})
    made.wire.clock = HurriedClock()
    return made


async def work(url: str, address: str) -> None:
    """Do the work of a ledger until killed."""
    with PostgresLedger(address, lease=LEASE) as ledger:
        made = client(url, ledger)
        engine = ProcrastinateEngine(made, submits=2, shards=2)
        await engine.run(lambda work: perform(work, made, put=engine.put))


async def take_orders(url: str, address: str) -> None:
    """Write orders down, each with its job in one transaction, until killed."""
    with PostgresLedger(address) as ledger, psycopg.connect(address) as connection:
        made = client(url, ledger)
        engine = ProcrastinateEngine(made)
        for number in count():
            await _take_order(number, made, engine, connection)
            if number % 2:
                connection.rollback()
            else:
                connection.commit()
            print(number, flush=True)


async def take_one_order(url: str, address: str) -> None:
    """Take an order back, write another one down, and die after its commit."""
    number = int(sys.argv[-1])
    with PostgresLedger(address) as ledger, psycopg.connect(address) as connection:
        made = client(url, ledger)
        engine = ProcrastinateEngine(made)
        await _take_order(-1 - number, made, engine, connection)
        connection.rollback()
        await _take_order(number, made, engine, connection)
        connection.commit()
        os.kill(os.getpid(), signal.SIGKILL)


async def _take_order(
    number: int, made: AsyncClient, engine: ProcrastinateEngine, connection: psycopg.Connection
) -> None:
    connection.execute("INSERT INTO public.orders (number) VALUES (%s)", (number,))
    name = f"order {number}"
    await made.enqueue(name, VENDOR, reference=name, connection=connection, engine=engine)


ROLES: Final = {"work": work, "orders": take_orders, "order": take_one_order}


if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[3] if sys.argv[3:] else "work"](*sys.argv[1:3]))
