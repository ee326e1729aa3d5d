"""The studio in the process, as a browser uses it that was let in."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from polyreel import AsyncClient, Simulator
from polyreel.simulator import VirtualClock
from polyreel.studio.application import application
from polyreel.studio.door import Door
from polyreel.studio.studio import Studio

from .server import START

OWN = "http://127.0.0.1:8780"
TOKEN = "t" * 20
PAGE = {"origin": OWN, "sec-fetch-site": "same-origin"}
"""What a browser sends with a request of the studio's own page."""
SCRIPT = "<script>window.hit=1</script>"
ACTIVE = re.compile(r"<script(?! src=)| style=| on[a-z]+=|javascript:")
"""What the policy of the pages forbids."""
Use = Callable[[httpx.AsyncClient, Studio], Awaitable[None]]


@asynccontextmanager
async def browsing(
    studio: Studio, headers: Mapping[str, str] = PAGE
) -> AsyncIterator[httpx.AsyncClient]:
    """A browser at a studio, which ends with it; what it sends is what a page of its own sends."""
    transport = httpx.ASGITransport(application(studio))
    async with httpx.AsyncClient(transport=transport, base_url=OWN, headers=headers) as browser:
        try:
            yield browser
        finally:
            await studio.close()


def visit(
    folder: Path,
    use: Use,
    simulator: Simulator | None = None,
    *,
    headers: Mapping[str, str] = PAGE,
    let_in: bool = True,
) -> None:
    """Use the studio as a page of its own does."""

    async def run() -> None:
        made = simulator or Simulator(clock=VirtualClock(START), seed=1)
        client = AsyncClient(simulator=made)
        studio = Studio(client=client, folder=folder, door=Door(token=TOKEN))
        async with browsing(studio, headers) as browser:
            if let_in:
                entered = await browser.get("/", params={"token": TOKEN})
                assert entered.status_code == 303
            await use(browser, studio)

    asyncio.run(run())


async def page(browser: httpx.AsyncClient, address: str, status: int = 200) -> str:
    """A page, which has nothing that its policy forbids."""
    answer = await browser.get(address)
    assert answer.status_code == status, answer.text
    assert not ACTIVE.search(answer.text)
    return answer.text
