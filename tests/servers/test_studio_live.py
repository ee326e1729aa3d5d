"""The studio with keys: a job is paid once, and only after its price of now was typed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from polyreel import AsyncClient
from polyreel.ledger.opening import open_ledger
from polyreel.simulator import RunningClock, Simulator, VirtualClock, server
from support.cli import CANARY
from support.prices import SELLER
from support.running import Running
from support.server import START
from support.studio_runs import REQUEST, RunningStudio, hurry, opened

HIDDEN: Final = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
BUTTON: Final = re.compile(r'name="run" value="([0-9a-f]{12})"')
PRICE: Final = re.compile(r"Price: <span>[^<]*\$([0-9.]+)")
ADDRESS: Final = f"/live?prompt=a+cat&duration=5&resolution=720p&audio=false&at={SELLER.id}"


@pytest.fixture
def vendors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """The simulated vendors behind a port."""
    hurry(monkeypatch)
    simulator = Simulator(clock=RunningClock(1000.0), seed=1)
    with server.running(simulator) as url:
        yield Running(simulator, url)


def visit(folder: Path, vendors: Running, use: Callable[[RunningStudio], Awaitable[None]]) -> None:
    """Use a studio with one key, whose calls go to the simulated vendors."""

    async def work() -> None:
        with open_ledger(str(folder / "ledger.sqlite3")) as ledger:
            live = AsyncClient(
                keys={SELLER.id: CANARY},
                base_urls={SELLER.id: vendors.base(SELLER)},
                ledger=ledger,
            )
            live.wire.clock = vendors.simulator.clock
            made = Simulator(clock=VirtualClock(START), seed=1)
            async with opened(folder, made, live) as running:
                await use(running)

    asyncio.run(work())


async def filled(running: RunningStudio) -> dict[str, str]:
    """What the page that shows the price sends, without what has to be typed."""
    page = await running.get(ADDRESS)
    assert "This pays" in page
    (run,) = BUTTON.findall(page)
    return {**dict(HIDDEN.findall(page)), "run": run}


def test_a_job_is_paid_once_after_its_price_was_typed(tmp_path: Path, vendors: Running) -> None:
    """Anything else that is typed, and a price that has changed, sends nothing."""

    async def use(running: RunningStudio) -> None:
        first = await running.get("/?prompt=a+cat&duration=5")
        assert first.count("Run live") == 1
        form = await filled(running)
        price = form["shown"]
        assert float(price) > 0
        assert PRICE.findall(await running.get(ADDRESS)) == [price]
        for change in (
            {"typed": ""},
            {"typed": "yes"},
            {"typed": "unknown"},
            {"typed": f"{price}1"},
            {"typed": "0.01", "shown": "0.01"},
            {"typed": price, "shown": "0.01"},
            {"typed": price, "duration": "10"},
            {"typed": price, "duration": "x"},
            {"typed": price, "run": "../../x"},
        ):
            answer = await running.browser.post("/live", data={**form, **change})
            assert answer.status_code == 422, change
            assert "Nothing was sent" in answer.text or "Reload it" in answer.text
        other = await running.browser.post("/live", data={**form, "at": "nobody", "typed": price})
        assert other.status_code == 403
        assert not vendors.simulator.tasks
        assert running.studio.ledger.entries() == []

        paid = {**form, "typed": f" ${price} "}
        both = await asyncio.gather(*(running.browser.post("/live", data=paid) for _ in range(2)))
        assert [one.status_code for one in both] == [303, 303]
        address = both[0].headers["location"]
        events = await running.events(address)
        assert "done</strong>" in events[-3][1]
        page = await running.get(address)
        assert "Live run" in page
        assert '<span class="badge">live</span>' in page
        assert "Again, live" in page
        assert CANARY not in page
        again = await running.browser.post("/live", data=paid)
        assert again.status_code == 303
        assert len(vendors.simulator.tasks) == 1
        (entry,) = running.studio.ledger.entries()
        assert not entry.submission.simulated
        assert running.simulator.bill.count() == 0

    visit(tmp_path, vendors, use)


def test_a_lost_answer_is_not_paid_again(tmp_path: Path, vendors: Running) -> None:
    """The card says what it may have cost; a second click, and another start, send nothing."""
    vendors.simulator.inject("lost-reset", SELLER.id)
    shown: list[str] = []

    async def use(running: RunningStudio) -> None:
        form = await filled(running)
        paid = {**form, "typed": form["shown"]}
        address = (await running.browser.post("/live", data=paid)).headers["location"]
        shown.append(address)
        assert (await running.events(address))[-1][0] == "done"
        await running.browser.post("/live", data=paid)

    async def later(running: RunningStudio) -> None:
        page = await running.get(shown[0])
        if "unclear, needs you" in page:  # else the vendor's list of tasks has it
            assert "It may have cost" in page
            assert "never sent again by itself" in page
        assert len(vendors.simulator.tasks) == 1

    visit(tmp_path, vendors, use)
    visit(tmp_path, vendors, later)


def test_a_simulated_run_pays_nothing_beside_keys(tmp_path: Path, vendors: Running) -> None:
    """Its jobs stay with the simulator of the studio."""

    async def use(running: RunningStudio) -> None:
        address = await running.run(SELLER.id, **REQUEST)
        await running.events(address)
        assert running.simulator.bill.count() == 1
        assert not vendors.simulator.tasks

    visit(tmp_path, vendors, use)
