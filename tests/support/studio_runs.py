"""A studio with a ledger, in the process, as a browser uses it that runs requests."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from polyreel import AsyncClient, Simulator
from polyreel.ledger.opening import open_ledger
from polyreel.simulator import VirtualClock, ready_made
from polyreel.studio.door import Door
from polyreel.studio.studio import Studio

from .server import START
from .studio import browsing

REQUEST: Final = {"workflow": "text-to-video", "prompt": "a cat", "duration": "5"}
_BUTTON: Final = re.compile(r'name="run" value="([0-9a-f]{12} [^"]+)"')
Use = Callable[["RunningStudio"], Awaitable[None]]


class RunningStudio:
    """A studio, and the browser that it has let in."""

    def __init__(self, studio: Studio, browser: httpx.AsyncClient, simulator: Simulator) -> None:
        self.studio, self.browser, self.simulator = studio, browser, simulator

    async def get(self, address: str, status: int = 200) -> str:
        """A page."""
        answer = await self.browser.get(address)
        assert answer.status_code == status, answer.text
        return answer.text

    async def button(self, where: str = "*", **typed: str | list[str]) -> str:
        """What the button of the request's page sends that runs it at a vendor, or everywhere."""
        answer = await self.browser.get("/", params={**REQUEST, **typed})
        found = _BUTTON.findall(answer.text)
        return next(str(one) for one in found if one.endswith(f" {where}"))

    async def run(self, where: str = "*", **typed: str | list[str]) -> str:
        """Run a request; the result is the address of the run's page."""
        form = {**REQUEST, **typed, "run": await self.button(where)}
        answer = await self.browser.post("/runs", data=form)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    async def events(self, address: str) -> list[tuple[str, str]]:
        """All events of a run, until it has ended."""
        answer = await self.browser.get(f"{address}/events")
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = []
        for block in answer.text.split("\n\n"):
            lines = [line.partition(": ")[::2] for line in block.split("\n") if line]
            name = next((value for key, value in lines if key == "event"), None)
            if name is not None:
                found.append((name, "\n".join(value for key, value in lines if key == "data")))
        return found


@asynccontextmanager
async def opened(
    folder: Path, simulator: Simulator, live: AsyncClient | None = None
) -> AsyncIterator[RunningStudio]:
    """A studio on the ledger of a folder, as it is after each start."""
    with open_ledger(str(folder / "ledger.sqlite3")) as ledger:
        client = AsyncClient(simulator=simulator, ledger=ledger)
        studio = Studio(client=client, folder=folder / "studio", live=live, door=Door(token=None))
        async with browsing(studio) as browser:
            yield RunningStudio(studio, browser, simulator)


def visit(folder: Path, use: Use, simulator: Simulator | None = None) -> None:
    """Use a studio from its start to its end."""

    async def work() -> None:
        made = simulator or Simulator(clock=VirtualClock(START), seed=1)
        async with opened(folder, made) as running:
            await use(running)

    asyncio.run(work())


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A studio looks often, and what is in the files is not what the test is about."""
    monkeypatch.setattr("polyreel.client.blocking.IDLE_SECONDS", 0.002)
    monkeypatch.setattr("polyreel.client.awaiting.IDLE_SECONDS", 0.002)
    monkeypatch.setattr("polyreel.studio.watching.TICK", 0.01)
    monkeypatch.setattr(ready_made, "is_used", lambda _: True)
