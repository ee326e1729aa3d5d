"""Servers of tools for agents in this process, and clients that lose answers and repeat calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from mcp import Client
from polyreel import AsyncClient, Simulator
from polyreel.agents.server import build
from polyreel.agents.service import AgentService
from polyreel.agents.tools import AgentTools
from polyreel.ledger.sqlite import Ledger
from polyreel.places import JsonObject
from polyreel.providers.base.registry import all_providers

VENDORS: Final = list(all_providers())
JOBS: Final = 28
TIMES: Final = 3
CLIP: Final = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}


@asynccontextmanager
async def served(
    folder: Path, simulator: Simulator, **settings: Any
) -> AsyncIterator[tuple[Client, AgentService]]:
    """A server over a ledger in a folder, and a client of the SDK."""
    with Ledger(folder / "ledger.sqlite3") as ledger:
        made = AsyncClient(simulator=simulator, ledger=ledger, call_timeout=5.0)
        service = AgentService(made, folder / "clips", **settings)
        async with made, service, Client(build(AgentTools(service))) as client:
            yield client, service


async def call(client: Client, name: str, **arguments: Any) -> JsonObject:
    """The answer of a tool, whose text says the same."""
    result = await client.call_tool(name, arguments)
    text = result.content[0]
    assert text.type == "text"
    assert json.loads(text.text) == result.structured_content
    assert result.is_error == ("error" in result.structured_content)
    found: JsonObject = result.structured_content
    return found


async def lost(client: Client, name: str, moments: int, **arguments: Any) -> None:
    """A call whose client goes away after so many moments, so that its answer is lost."""
    task = asyncio.create_task(client.call_tool(name, arguments))
    for _ in range(moments):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def repeated(client: Client, name: str, moments: int, **arguments: Any) -> list[JsonObject]:
    """The answers of a call that is made three times; the first answer is lost."""
    await lost(client, name, moments, **arguments)
    return [await call(client, name, **arguments) for _ in range(TIMES - 1)]


def billed(simulator: Simulator) -> int:
    """How many jobs the simulated vendors have accepted."""
    return len(simulator.tasks)


def estimate(answer: JsonObject) -> Decimal:
    """What a job may cost."""
    return Decimal(answer["job"]["estimate"]["usd"])
