"""The studio's history: pages, a search, two jobs compared, and money by label."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest
from polyreel import Simulator
from polyreel.ledger.records import LedgerEntry
from polyreel.money.amounts import Cost
from polyreel.studio import history
from polyreel.studio.history import money_by_label
from support.prices import SELLER
from support.server import PROVIDERS
from support.studio_runs import RunningStudio, hurry, visit

CARD: Final = re.compile(r'id="title-([a-z0-9]+)"')
HOSTILE: Final = "</p><script>hit()</script>\"'><img src=x onerror=hit()>"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits, and a page is short."""
    hurry(monkeypatch)
    monkeypatch.setattr(history, "PAGE", 3)


async def made(running: RunningStudio, prompt: str, number: int = 0, /, **more: str) -> LedgerEntry:
    """A job that is submitted beside the studio."""
    client = running.studio.client
    plan = client.plan({"prompt": prompt, "duration": 5}, PROVIDERS[number])
    job = await client.submit(plan, labels=more, reference=more.pop("reference", None))
    assert job.ledger_id is not None
    return running.studio.ledger.entry(job.ledger_id)


def test_the_newest_come_first_in_pages_and_a_search_finds_words(tmp_path: Path) -> None:
    """Of prompts, vendors, labels, references and states, in any order and case."""

    async def use(running: RunningStudio) -> None:
        assert "Nothing was made yet" in await running.get("/history")
        entries = [await made(running, f"cat number {one}", one % 2) for one in range(7)]
        entries.append(await made(running, "A Dog", team="blue", reference="row-9"))
        ids = [one.id for one in reversed(entries)]
        pages = [await running.get(f"/history?page={number}") for number in (1, 2, 3, 4)]
        assert [CARD.findall(page) for page in pages] == [ids[:3], ids[3:6], ids[6:], []]
        assert "Older" in pages[0]
        assert "Newer" not in pages[0]
        assert "Older" not in pages[2]
        for query, number in (
            ("dog", 1),
            ("a DOG blue", 1),
            ("team=blue", 1),
            ("row-9", 1),
            (entries[0].id, 1),
            (f"{PROVIDERS[1].id} cat", 3),
            ("live", 0),
            ("dog cat", 0),
        ):
            page = await running.get(f"/history?q={query}")
            assert len(CARD.findall(page)) == number, query
        for odd in ("page=-1", "page=x", "page=99999999", "page=", "q=%00", "q=%F0%9F%90%88"):
            await running.get(f"/history?{odd}")

    visit(tmp_path, use)


def test_what_stands_in_a_job_is_shown_as_text(tmp_path: Path) -> None:
    """In lists, cards, comparisons and searches."""

    async def use(running: RunningStudio) -> None:
        one = await made(running, HOSTILE, 0, reference=HOSTILE, **{HOSTILE: HOSTILE})
        other = await made(running, "a cat")
        for address in (
            "/history",
            f"/jobs/{one.id}",
            f"/diff?one={one.id}&other={other.id}",
            "/money",
        ):
            page = await running.get(address)
            assert "<script>" not in page
            assert "<img" not in page
        for address in ("/history", "/money"):
            answer = await running.browser.get(address, params={"q": HOSTILE, "label": HOSTILE})
            assert "<img" not in answer.text

    visit(tmp_path, use)


def test_two_jobs_are_compared(tmp_path: Path) -> None:
    """Shared fields that differ, and lines of the bodies that the other lacks."""

    async def use(running: RunningStudio) -> None:
        one, other = await made(running, "a cat"), await made(running, "a dog")
        page = await running.get(f"/diff?one={one.id}&other={other.id}")
        (row,) = re.findall(r'<th scope="row">prompt</th><td>(.*?)</td><td>(.*?)</td>', page)
        assert row == ("&#34;a cat&#34;", "&#34;a dog&#34;")
        assert '<th scope="row">duration' not in page
        marked = re.findall(r'<mark class="line">(.*?)</mark>', page)
        assert len(marked) == 2
        assert "a cat" in marked[0]
        same = await running.get(f"/diff?one={one.id}&other={one.id}")
        assert "No shared field differs" in same
        assert "<mark" not in same
        half = await running.get(f"/diff?one={one.id}&q=cat", 422)
        assert "Choose two jobs: one, and the other." in half
        assert f'name="one" value="{one.id}" checked' in half
        assert other.id not in half  # of a search
        await running.get(f"/diff?one={one.id[:4]}&other={other.id}", 404)

    visit(tmp_path, use)


def test_money_is_summed_by_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is proved unpaid costs nothing; what is unknown is counted as such, and what is left
    out is said.
    """

    async def use(running: RunningStudio) -> None:
        client, ledger = running.studio.client, running.studio.ledger
        plan = client.plan({"prompt": "a cat", "duration": 5}, SELLER)
        for team in ("blue", "blue", "red"):
            await client.submit(plan, labels={"team": team})
        running.simulator.script(SELLER.id, *["unauthorized"] * 3)
        with pytest.raises(Exception, match="Nothing was accepted"):
            await client.submit(plan, labels={"team": "red"})
        found = money_by_label(ledger.entries(), None)
        assert found.name == "team"
        rows = {one.value: one for one in found.rows}
        cost = Cost.read(ledger.entries()[0].submission.estimate or {})
        assert cost.usd is not None
        assert (rows["blue"].jobs, rows["blue"].estimate) == (2, 2 * cost.usd)
        assert (rows["red"].jobs, rows["red"].estimate) == (2, cost.usd)
        assert rows["blue"].charge == Decimal(0)
        page = await running.get("/money?label=team")
        assert f"${2 * cost.usd:.4f}" in page
        assert "All jobs of the ledger count." in page
        assert "looked at" not in await running.get("/history?q=cat")
        await running.get("/money?label=nobody")
        monkeypatch.setattr(history, "SEARCHED", 2)
        assert "Only the newest 2 jobs" in await running.get("/money?label=team")
        assert "Only the newest 2 jobs" in await running.get("/history?q=cat")

    visit(tmp_path, use, Simulator(seed=1))
