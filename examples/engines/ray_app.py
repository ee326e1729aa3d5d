"""Ray carries the work of a ledger in Postgres. Ray may run a task twice: it is paid once.

`python ray_app.py` on the head node looks into the ledger, and hands the work to all nodes.
"""

import asyncio
import time

import ray
from polyreel import AsyncClient, Client
from polyreel.engines import Work, outstanding, perform

SECONDS = 5
"""How often the ledger is looked into for work that no task has."""


@ray.remote(max_retries=0)
def do(work: Work) -> None:
    """Do a piece of work. What is left of it after a crash is found in the ledger again."""

    async def main() -> None:
        async with AsyncClient.from_env() as client:
            await perform(work, client)

    asyncio.run(main())


def keep(*, until_done: bool = False) -> None:
    """Hand out the work that there is, each piece to one task at a time."""
    running: dict[Work, ray.ObjectRef[None]] = {}
    with Client.from_env() as client:
        while True:
            found = list(outstanding(client))
            over, _ = ray.wait([*running.values()], num_returns=len(running), timeout=0)
            running = {work: task for work, task in running.items() if task not in over}
            running |= {work: do.remote(work) for work in found if work not in running}
            if until_done and not found and not running:
                return
            time.sleep(SECONDS)


if __name__ == "__main__":
    ray.init()
    keep()
