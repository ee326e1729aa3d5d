"""DBOS carries the work of a ledger, in the same Postgres. A step that runs twice is paid once.

`python dbos_app.py` is a worker; start as many as you like, with an `executor_id` for each.
"""

import asyncio
import os

from dbos import DBOS, DBOSConfig, SetEnqueueOptions
from polyreel import AsyncClient
from polyreel.engines import Work, outstanding, perform

SECONDS = 5
"""How often a worker looks into the ledger for work that no workflow has."""
config: DBOSConfig = {"name": "clips", "system_database_url": os.environ["POLYREEL_LEDGER"]}


@DBOS.step()
async def do(work: Work) -> None:
    """Do a piece of work. Run again after a crash, it does what is left of it."""
    async with AsyncClient.from_env() as client:
        await perform(work, client)


@DBOS.workflow()
async def carry(work: Work) -> None:
    """The workflow of a piece of work: it is known to DBOS until it is done."""
    await do(work)


async def main() -> None:
    DBOS(config=config)
    DBOS.launch()
    await DBOS.register_queue_async("work", worker_concurrency=16)
    async with AsyncClient.from_env() as client:
        while True:
            for work in outstanding(client):
                once = SetEnqueueOptions(
                    deduplication_id=repr(work), duplication_policy="return-existing"
                )
                with once:  # where it is queued, or done just now, it is that
                    await DBOS.enqueue_workflow_async("work", carry, work)
            await asyncio.sleep(SECONDS)


if __name__ == "__main__":
    asyncio.run(main())
