"""Celery carries the work of a ledger in Postgres. Celery may run a task twice: it is paid once.

A request handler calls `client.enqueue(...)`, and `submit.delay([entry.id])` after its commit.
"""

import asyncio

from celery import Celery
from polyreel import AsyncClient
from polyreel.engines import Submit, Work, outstanding, perform

SECONDS = 10
"""How often `keep` looks into the ledger. Each time it works for half a minute at most."""
app = Celery("clips")
app.conf.task_acks_late = True  # a task whose worker dies is run again, where the broker can
app.conf.task_routes = {f"{__name__}.keep": "keep"}
app.conf.beat_schedule = {
    "keep": {"task": f"{__name__}.keep", "schedule": SECONDS, "options": {"expires": SECONDS}}
}


@app.task
def submit(ids: list[str]) -> None:
    """Submit entries at once. What goes wrong in passing is tried again by `keep`."""
    asyncio.run(_perform(Submit(tuple(ids))))


@app.task
def keep() -> None:
    """Do the work that there is by the ledger: whatever the broker has lost is found there.

    One worker with one slot does this: `celery -A celery_tasks worker -Q keep -c 1 --beat`.
    """
    asyncio.run(_perform())


async def _perform(*work: Work) -> None:
    async with AsyncClient.from_env() as client:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(3 * SECONDS, stop.set)
        found = work or outstanding(client, age=SECONDS)
        running = (perform(one, client, stop=stop) for one in found)
        await asyncio.gather(*running, return_exceptions=True)  # the log has what went wrong
