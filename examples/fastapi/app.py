"""Submit, webhook route, worker, and a browser that polls."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from polyreel import AsyncClient, ClaimedError, PlanRefusedError, RequestError, asgi

client = AsyncClient.from_env()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    worker = asyncio.create_task(client.work(output="clips"))
    yield
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    await client.close()


app = FastAPI(lifespan=lifespan)
app.mount("/webhooks", asgi.webhooks(client))


@app.post("/clips/{name}")
async def submit(name: str, prompt: str) -> dict[str, str]:
    """Submit a clip under a name. The name is paid once."""
    try:
        job = await client.submit(prompt, duration=5, reference=name, output="clips")
    except ClaimedError:  # submitted before
        return state(name)
    except (RequestError, PlanRefusedError) as error:  # also where the name has another prompt
        raise HTTPException(400, str(error)) from None
    return {"name": name, "state": job.status}


@app.get("/clips/{name}")
def state(name: str) -> dict[str, str]:
    """How a clip is doing, from the ledger: no vendor is asked."""
    for entry in client.jobs(reference=name, last=1):
        return {"name": name, "state": entry.state}
    raise HTTPException(404)
