"""The studio's pages of the simulated vendors and of comparisons, without a browser."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import httpx
from polyreel import Simulator
from polyreel.errors import PolyreelError
from polyreel.flows import Reply
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import RunningClock
from polyreel.studio.forms import TABS
from polyreel.studio.studio import Studio
from support.server import PROVIDERS, START
from support.studio import ACTIVE, SCRIPT, page, visit

VENDORS = [one.id for one in PROVIDERS]


async def post(browser: httpx.AsyncClient, address: str, **typed: str) -> httpx.Response:
    return await browser.post(address, data=typed)


async def submit(studio: Studio, prompt: str) -> None:
    """A job at a simulated vendor, which may fail."""
    client = studio.client
    with contextlib.suppress(PolyreelError):
        await client.submit(client.plan({"prompt": prompt, "duration": 5}, PROVIDERS[0]))


# -- the simulated vendors -------------------------------------------------------------------------


def test_jobs_bill_and_calls_are_shown(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, studio: Studio) -> None:
        await submit(studio, f"a cat {SCRIPT}")
        text = await page(browser, "/vendors")
        assert '<a href="/vendors" aria-current="page">' in text
        [task] = studio.simulator.tasks.values()
        assert task.id in text
        assert f"<td>{VENDORS[0]}</td><td>{studio.vendors()[VENDORS[0]]}</td><td>1</td>" in text
        assert "Clock: 2026-09-21" in text
        bodies = await page(browser, "/vendors/calls/1")
        assert "a cat &lt;script&gt;" in bodies
        assert task.id in bodies
        inner = await browser.get("/vendors/calls/1", headers={"hx-request": "true"})
        assert "<html" not in inner.text
        assert "No such call" in await page(browser, "/vendors/calls/2", 404)

    visit(tmp_path, use)


def test_keys_are_never_shown(tmp_path: Path) -> None:
    """Not even where a call repeats its key in its body or its address, or in a foreign header."""
    key = "sk-canary-0123456789"

    async def use(browser: httpx.AsyncClient, studio: Studio) -> None:
        headers = {"Authorization": f"Bearer {key}", "X-Api-Key": key, "X-Note": f"my {key}"}
        body = json.dumps({"prompt": f"a cat {key}", "api_key": key, "\ud800": 1})
        target = f"/any/path?token={key}&api_key=other-canary&page=2"
        studio.simulator.handle(VENDORS[0], "POST", target, headers, body.encode())
        studio.simulator.handle(VENDORS[0], "POST", "/other", headers, b"\xff" + key.encode())
        for address in ("/vendors", "/vendors/calls/1", "/vendors/calls/2"):
            assert "canary" not in await page(browser, address)
        shown = await page(browser, "/vendors/calls/1")
        assert "page=2" in shown
        assert "a cat ****" in shown

    visit(tmp_path, use)


def test_what_a_vendor_answers_is_text(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, studio: Studio) -> None:
        headers = {"content-type": "text/html", "x-note": SCRIPT}
        studio.simulator.upstream = lambda _: Reply(200, headers, SCRIPT.encode())
        called = studio.client.plan({"prompt": "a cat"}, PROVIDERS[0])
        target = called.url.removeprefix(PROVIDERS[0].base_url)
        studio.simulator.handle(VENDORS[0], "POST", f"{target}?x={SCRIPT}", {SCRIPT: SCRIPT})
        studio.simulator.handle(VENDORS[0], SCRIPT, SCRIPT, {})
        assert (await page(browser, "/vendors/calls/1")).count("&lt;script&gt;") >= 4
        assert "&lt;script&gt;" in await page(browser, "/vendors/calls/2")
        assert "&lt;script&gt;" in await page(browser, "/vendors")

    visit(tmp_path, use)


def test_only_what_is_new_is_sent_again(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, studio: Studio) -> None:
        def polled(text: str) -> str:
            found = re.search(r'hx-get="(/vendors/news[^"]+)"', text)
            assert found
            return found[1].replace("&amp;", "&")

        address = polled(await page(browser, "/vendors"))
        still = await page(browser, address)
        assert 'id="state"' not in still
        assert 'id="calls"' not in still
        await submit(studio, "a cat")
        news = await page(browser, address)
        assert 'id="call-1"' in news
        assert 'id="state"' in news
        assert 'id="call-1"' not in await page(browser, polled(news))
        await submit(studio, "a dog")
        assert 'id="call-2"' in (later := await page(browser, polled(news)))
        assert 'id="call-1"' not in later
        other = await browser.get("/vendors/news?after=other.7")
        assert other.headers["hx-refresh"] == "true"

    visit(tmp_path, use)


def test_the_last_calls_are_kept(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, studio: Studio) -> None:
        for _ in range(101):
            studio.simulator.handle(VENDORS[0], "GET", "/nowhere", {})
        assert 'id="call-1"' not in await page(browser, "/vendors")
        assert 'id="call-101"' in await page(browser, "/vendors")
        news = await page(browser, f"/vendors/news?after={studio.calls.run}.100")
        assert '<div id="call-1" hx-swap-oob="delete">' in news
        studio.simulator.handle(VENDORS[0], "POST", "/nowhere", {}, b"x" * 100_000)
        assert "(100,000 bytes of an unknown kind)" in await page(browser, "/vendors/calls/102")

    visit(tmp_path, use)


def test_the_clock_is_moved(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, studio: Studio) -> None:
        await submit(studio, "a cat")
        assert "<td>queued</td>" in await page(browser, "/vendors")
        moved = await post(browser, "/vendors/clock", seconds="3600")
        assert (moved.status_code, moved.headers["location"]) == (303, "/vendors")
        assert studio.simulator.clock.now() == START + 3600
        assert "<td>succeeded</td>" in await page(browser, "/vendors")
        for wrong in ("-1", "nan", "1e300", SCRIPT, ""):
            refused = await post(browser, "/vendors/clock", seconds=wrong)
            assert refused.status_code == 422
            assert "seconds: " in refused.text
            assert not ACTIVE.search(refused.text)
        assert studio.simulator.clock.now() == START + 3600

    visit(tmp_path, use)


def test_faults_are_added_and_removed(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, studio: Studio) -> None:
        assert "No fault will happen." in await page(browser, "/vendors")
        fault = {"name": "lost-reset", "vendor": VENDORS[0], "share": "1", "times": "1"}
        assert (await post(browser, "/vendors/faults", **fault)).status_code == 303
        more = {**fault, "vendor": "", "share": "0.5", "times": "always"}
        assert (await post(browser, "/vendors/faults", **more)).status_code == 303
        text = await page(browser, "/vendors")
        assert "<td>lost-reset</td><td>all</td><td>0.5</td><td>always</td>" in text
        await post(browser, "/vendors/faults/2/remove")
        [rule] = studio.simulator.active
        assert rule.vendor == VENDORS[0]
        await submit(studio, "a cat")
        assert "the connection is reset before the answer" in await page(browser, "/vendors")
        assert f"Happened last: lost-reset ({VENDORS[0]})." in await page(browser, "/vendors")
        await post(browser, "/vendors/faults", **more)
        await post(browser, "/vendors/faults/remove")
        assert studio.simulator.active == []

    visit(tmp_path, use)


def test_a_wrong_fault_is_refused(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, studio: Studio) -> None:
        right = {"name": "lost-reset", "vendor": "", "share": "1", "times": "1"}
        for name, text in (
            *((name, SCRIPT) for name in right),
            ("name", ""),
            ("share", "2"),
            ("times", "0"),
            ("times", "9" * 5000),
        ):
            refused = await post(browser, "/vendors/faults", **{**right, name: text})
            assert refused.status_code == 422
            assert f'id="fault-problem">{name}: ' in refused.text
            assert not ACTIVE.search(refused.text)
        assert studio.simulator.active == []
        large = await browser.post("/vendors/faults", content=b"name=" + b"x" * 2_000_000)
        assert large.status_code == 422

    visit(tmp_path, use)


def test_a_running_clock_says_how_fast_it_is(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, studio: Studio) -> None:
        assert "runs 10 times as fast" in await page(browser, "/vendors")

    visit(tmp_path, use, Simulator(clock=RunningClock(10)))


# -- comparisons -----------------------------------------------------------------------------------


def test_the_matrix_has_every_vendor(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        text = await page(browser, "/matrix")
        assert '<a href="/matrix" aria-current="page">' in text
        for vendor in VENDORS:
            assert f'<th scope="colgroup" colspan="1"><span>{vendor}</span></th>' in text
        assert '<th scope="row">duration</th>' in text
        for workflow in TABS:
            assert '<th scope="row">' in await page(browser, f"/matrix?workflow={workflow}")
        one = await page(browser, f"/matrix?vendor={VENDORS[0]}&model=*")
        assert f'href="/?workflow=text-to-video&amp;vendor={VENDORS[0]}&amp;model=' in one
        assert f"<span>{VENDORS[1]}</span>" not in one
        model = next(route.model for route in all_providers()[VENDORS[0]].routes)
        named = await page(browser, f"/matrix?model={model}")
        assert re.findall(r'<th scope="col">(\S+) <a', named) == [model] * len(
            re.findall('scope="colgroup"', named)
        )

    visit(tmp_path, use)


def test_what_the_matrix_does_not_know(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        for name in ("workflow", "vendor", "model"):
            text = await page(browser, f"/matrix?{name}=%3Cscript%3Ealert(1)", 404)
            assert 'class="problem" role="alert">' in text
            assert "&lt;script&gt;alert(1)" in text

    visit(tmp_path, use)


def test_differences_tell_what_breaks_first(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        before, after = VENDORS[0], VENDORS[-1]
        assert "What breaks" not in await page(browser, "/difference")
        text = await page(browser, f"/difference?before={before}&after={after}")
        kinds = re.findall(r'<td><span class="badge (refused|ready)">', text)
        assert kinds == sorted(kinds, key=["refused", "ready"].index)
        assert {*kinds} == {"refused", "ready"}
        assert f'href="/difference?before={after}&amp;after={before}"' in text
        same = await page(browser, f"/difference?before={before}&after={before}")
        assert "Nothing: " in same
        model = next(route.model for route in all_providers()[before].routes)
        one = await page(browser, f"/difference?before={before}/{model}&after={before}")
        assert f"<option selected>{before}/{model}</option>" in one
        for unknown in ("<script>", f"{before}/<script>"):
            wrong = await page(browser, f"/difference?before={unknown}&after={after}", 404)
            assert "&lt;script&gt;" in wrong

    visit(tmp_path, use)
