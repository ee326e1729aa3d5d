"""Temporal carries the work of a ledger in Postgres. It may run an activity twice: it is paid once.

`python temporal_app.py` is a worker of the server at localhost:7233. The activities heartbeat, so
that the work of a worker that is gone is given to another.
"""

import asyncio
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from polyreel import AsyncClient
    from polyreel.engines import Submit, outstanding, perform

QUEUE = "clips"
ROUND = timedelta(minutes=1)
"""How long a round of work lasts at most."""


@activity.defn
async def submit(ids: list[str]) -> None:
    """Submit entries at once: a request handler starts it with what `client.enqueue` returned."""
    async with AsyncClient.from_env() as client:
        await perform(Submit(tuple(ids)), client)


@activity.defn
async def work_a_round() -> None:
    """Do the work that there is by the ledger, for a minute at most."""
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(ROUND.total_seconds(), stop.set)
    async with AsyncClient.from_env() as client:
        running = [asyncio.create_task(perform(w, client, stop=stop)) for w in outstanding(client)]
        while running and not all(task.done() for task in running):
            activity.heartbeat()
            await asyncio.wait(running, timeout=5)
        await asyncio.gather(*running, return_exceptions=True)  # the log has what went wrong


@workflow.defn
class Keep:
    """One round after another, one at a time for a ledger: start it once."""

    @workflow.run
    async def run(self) -> None:
        """Work a round, rest a little, and begin again with a new history."""
        await workflow.execute_activity(
            work_a_round,
            start_to_close_timeout=10 * ROUND,
            heartbeat_timeout=timedelta(seconds=30),
        )
        await workflow.sleep(timedelta(seconds=5))
        workflow.continue_as_new()


async def main() -> None:
    client = await Client.connect("localhost:7233")
    policy = WorkflowIDConflictPolicy.USE_EXISTING
    await client.start_workflow(Keep.run, id="keep", task_queue=QUEUE, id_conflict_policy=policy)
    async with Worker(
        client, task_queue=QUEUE, workflows=[Keep], activities=[submit, work_a_round]
    ):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
