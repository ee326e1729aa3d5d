"""Airflow works off a ledger in Postgres, a round each minute. A task that is retried pays nothing
twice.
"""

import asyncio
from datetime import datetime, timedelta

from airflow.sdk import dag, task
from polyreel import AsyncClient
from polyreel.engines import outstanding, perform

ROUND = timedelta(minutes=1)


async def work_a_round() -> None:
    """Do the work that there is by the ledger, for a minute at most."""
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(ROUND.total_seconds(), stop.set)
    async with AsyncClient.from_env() as client:
        running = (perform(work, client, stop=stop) for work in outstanding(client))
        await asyncio.gather(*running, return_exceptions=True)  # the log has what went wrong


@dag(schedule=ROUND, start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1)
def clips() -> None:
    """One round at a time: more would only ask the vendors more often."""

    @task(retries=3)
    def work() -> None:
        asyncio.run(work_a_round())

    work()


clips()
