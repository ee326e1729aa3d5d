"""Runs of the studio: begun once, watched from the ledger, and nothing of them is lost."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Final

import httpx
import pytest
from polyreel import Simulator
from polyreel.simulator import VirtualClock
from polyreel.studio.application import application
from polyreel.studio.notes import RunNote, RunNotes
from polyreel.studio.watching import event
from starlette.applications import Starlette
from starlette.routing import Mount
from support.server import PROVIDERS, START
from support.studio import OWN
from support.studio_runs import REQUEST, RunningStudio, hurry, opened, visit

FIRST: Final = PROVIDERS[0].id
VENDORS: Final = [one.id for one in PROVIDERS[:3]]
CLIP: Final = re.compile(r'src="(/clips/[a-z0-9]+/0)"')
JOB: Final = re.compile(r'id="job-([a-z0-9]+)"')


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits."""
    hurry(monkeypatch)


def test_a_run_goes_to_its_end_at_every_vendor(tmp_path: Path) -> None:
    """Events tell each change, a reload shows the same, and the clips are there in pieces."""

    async def use(running: RunningStudio) -> None:
        address = await running.run(vendor=VENDORS)
        events = await running.events(address)
        assert events[-1] == ("done", "")
        assert events[-2] == ("summary", f"{len(VENDORS)} of {len(VENDORS)} ended")
        page = await running.get(address)
        for vendor in VENDORS:
            last = [html for name, html in events if name == f"slot-{vendor}"][-1]
            assert "done</strong>" in last
            (clip,) = CLIP.findall(last)
            assert clip in page
            part = await running.browser.get(clip, headers={"range": "bytes=4-11"})
            assert (part.status_code, part.content) == (206, part.content[:8])
            assert part.content.startswith(b"ftyp")
            assert part.headers["content-type"] == "video/mp4"
            assert "content-encoding" not in part.headers
        assert running.simulator.bill.count() == len(VENDORS)
        assert re.search(r"<td>\d+ x \d+</td>", page)
        assert re.search(r"<td>(with sound|silent)</td>", page)
        assert "the simulator" not in page
        running.simulator.clock.sleep(1e9)  # as if it had been open for long
        address = await running.run(vendor=VENDORS[:1])
        await running.events(address)
        assert "by the simulator&#39;s clock" in await running.get(address)

    visit(tmp_path, use)


def test_a_second_click_is_the_same_run(tmp_path: Path) -> None:
    """At once and later; another request under its id is refused, and nothing is sent."""

    async def use(running: RunningStudio) -> None:
        form = {**REQUEST, "run": await running.button(FIRST)}
        both = await asyncio.gather(*(running.browser.post("/runs", data=form) for _ in range(2)))
        assert {one.headers["location"] for one in both} == {f"/runs/{form['run'].split()[0]}"}
        await running.events(both[0].headers["location"])
        again = await running.browser.post("/runs", data=form)
        assert again.status_code == 303
        other = await running.browser.post("/runs", data={**form, "prompt": "a dog"})
        assert other.status_code == 409
        assert running.simulator.bill.count() == 1

    visit(tmp_path, use)


def test_what_makes_no_run_is_refused_with_a_reason(tmp_path: Path) -> None:
    """Nothing is sent, and nothing is written down."""

    async def use(running: RunningStudio) -> None:
        good = await running.button(FIRST)
        for change, status, text in (
            ({"run": "x"}, 400, "Use the buttons"),
            ({"run": "../../../etc *"}, 400, "Use the buttons"),
            ({"run": good.split()[0] + " nobody"}, 422, "not among"),
            ({"run": good, "prompt": ""}, 422, "Nothing was run"),
            ({"run": good, "duration": "five"}, 422, "duration: a whole number"),
            ({"run": good, "fault": "<script>"}, 422, "no such fault"),
            ({"run": good, "aspect_ratio": "99:7"}, 422, "No vendor would take"),
        ):
            answer = await running.browser.post("/runs", data={**REQUEST, **change})
            assert (answer.status_code, text in answer.text) == (status, True), answer.text
        foreign = {"origin": "http://elsewhere.example"}
        form = {**REQUEST, "run": good}
        answer = await running.browser.post("/runs", data=form, headers=foreign)
        assert answer.status_code == 403
        assert running.studio.ledger.entries() == []
        assert not running.studio.runner.notes.folder.exists()
        await running.get("/runs/0123456789ab", 404)
        assert await running.events("/runs/0123456789ab") == [("done", "")]

    visit(tmp_path, use)


def test_a_lost_answer_is_said_plainly_and_can_be_adopted(tmp_path: Path) -> None:
    """With what it may have cost and what to do; nothing is sent a second time."""

    async def use(running: RunningStudio) -> None:
        vendor = next(one.id for one in PROVIDERS if not one.contract.operation("list"))
        address = await running.run(vendor, fault="lost-reset")
        events = await running.events(address)
        assert events[-1][0] == "done"
        page = await running.get(address)
        assert "unclear, needs you" in page
        assert "lost-reset" in page
        (name,) = JOB.findall(page)
        assert (await running.browser.post(f"/jobs/{name}/cancel")).text.count(
            "cannot be done"
        ) == 1
        task = next(iter(running.simulator.tasks.values()))
        wrong = await running.browser.post(f"/jobs/{name}/adopt", data={"task": "<b>"})
        assert "<b>" not in wrong.text
        part = {"hx-request": "true"}
        done = await running.browser.post(
            f"/jobs/{name}/adopt", data={"task": task.id}, headers=part
        )
        assert done.text.lstrip().startswith("<article")
        assert f"It is the vendor&#39;s task {task.id}" in done.text
        await running.events(address)
        assert running.studio.ledger.entry(name).state == "saved"
        assert running.simulator.bill.count() == 1

    visit(tmp_path, use)


def test_a_refused_submit_and_a_failed_job_show_why(tmp_path: Path) -> None:
    """The vendor's own words are shown, escaped."""

    async def use(running: RunningStudio) -> None:
        running.simulator.script(FIRST, "failed")
        address = await running.run(FIRST)
        await running.events(address)
        page = await running.get(address)
        assert 'class="badge failed"' in page
        running.simulator.script(FIRST, "rate_limited", "rate_limited", "rate_limited")
        address = await running.run(FIRST)
        await running.events(address)
        page = await running.get(address)
        assert 'class="badge rejected"' in page
        assert "Nothing was accepted or billed" in page
        assert running.simulator.bill.count() == 1

    visit(tmp_path, use)


def test_a_studio_that_died_goes_on_where_it_was(tmp_path: Path) -> None:
    """Accepted jobs are finished, and vendors without a job are told as such."""
    simulator = Simulator(clock=VirtualClock(START), seed=1)

    async def died() -> str:
        async with opened(tmp_path, simulator) as running:
            running.studio.runner.stop.set()  # nobody follows the job
            return await running.run(FIRST)  # the end waits for what is on its way to a vendor

    async def after(address: str) -> None:
        async with opened(tmp_path, simulator) as running:
            events = await running.events(address)
            assert events[-1][0] == "done"
            page = await running.get(address)
            assert 'class="badge saved"' in page
            assert "The studio ended before its call was begun: nothing was sent" in page
            assert running.simulator.bill.count() == 1
            for vendor in (FIRST, PROVIDERS[1].id):  # the first has a job: nothing is sent
                answer = await running.browser.post(f"{address}/submit", data={"vendor": vendor})
                assert answer.headers["location"] == address
            await running.events(address)
            assert (await running.get(address)).count('class="badge saved"') == 2
            assert running.simulator.bill.count() == 2
            nobody = await running.browser.post(f"{address}/submit", data={"vendor": "nobody"})
            assert nobody.status_code == 404

    address = asyncio.run(died())
    path = tmp_path / "studio" / "runs" / f"{address.rpartition('/')[2]}.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "vendors": [FIRST, PROVIDERS[1].id]}))
    asyncio.run(after(address))


def test_only_saved_files_of_the_ledger_are_served(tmp_path: Path) -> None:
    """No path of the address, no other number, no file that is no media."""

    async def use(running: RunningStudio) -> None:
        address = await running.run(FIRST)
        await running.events(address)
        (name,) = JOB.findall(await running.get(address))
        for bad in (
            f"/clips/{name}/1",
            f"/clips/{name[:5]}/0",
            "/clips/nobody/0",
            f"/clips/{name}/-1",
            f"/clips/..%2F..%2F{name}/0",
        ):
            assert (await running.browser.get(bad)).status_code == 404
        job = running.studio.ledger.entry(name).job
        assert job is not None
        assert job.outputs
        path = job.outputs[0].path
        await asyncio.to_thread(Path(path or "").write_bytes, b"<html><script>")
        assert (await running.browser.get(f"/clips/{name}/0")).status_code == 404
        await asyncio.to_thread(Path(path or "").unlink)
        assert (await running.browser.get(f"/clips/{name}/0")).status_code == 404
        page = await running.get(f"/jobs/{name}")
        assert "not there any more" in page
        await running.get(f"/jobs/{name[:5]}", 404)

    visit(tmp_path, use)


def test_again_and_edit_have_the_request_with_its_files(tmp_path: Path) -> None:
    """Of a run made here as it was typed; of another job as it is read back from its body."""

    async def use(running: RunningStudio) -> None:
        address = await running.run(FIRST, prompt='a "cat" & <dog>\r\nruns', seed="7")
        await running.events(address)
        page = await running.get(address)
        assert "prompt=a+%22cat%22+%26+%3Cdog%3E%0Aruns" in page
        form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
        assert form["seed"] == "7"
        again = re.search(r'name="run" value="([0-9a-f]{12} [^"]+)"', page)
        assert again is not None
        answer = await running.browser.post(
            "/runs", data={**REQUEST, "prompt": "x", "run": again[1]}
        )
        assert answer.headers["location"] != address
        client = running.studio.client
        plan = client.plan({"prompt": "a boat", "duration": 5}, PROVIDERS[0])
        job = await client.submit(plan, output=tmp_path / "elsewhere", labels={"for": "us"})
        page = await running.get(f"/jobs/{job.ledger_id}")
        assert "prompt=a+boat" in page
        assert "duration=5" in page

    visit(tmp_path, use)


def test_a_mounted_studio_has_its_own_addresses(tmp_path: Path) -> None:
    """Links, forms and events begin with where it is mounted."""

    async def use(running: RunningStudio) -> None:
        outer = Starlette(routes=[Mount("/make", application(running.studio))])
        headers = {"origin": OWN}
        transport = httpx.ASGITransport(outer)
        async with httpx.AsyncClient(transport=transport, base_url=OWN, headers=headers) as browser:
            form = {**REQUEST, "run": await running.button(FIRST)}
            address = (await browser.post("/make/runs", data=form)).headers["location"]
            assert address.startswith("/make/runs/")
            assert (await browser.get(f"{address}/events")).text.endswith("event: done\ndata: \n\n")
            page = (await browser.get(address)).text
            assert CLIP.findall(page) == []
            assert 'src="/make/clips/' in page
            assert not re.search(r'(?:href|src|action|hx-\w+)="/(?!make/)', page)

    visit(tmp_path, use)


def test_an_event_is_never_ended_by_its_text() -> None:
    """Whatever ends a line in a prompt begins a line of data."""
    told = event("slot-x", "one\rtwo\r\nthree\nevent: done", "ab")
    assert told == (
        "id: ab\nevent: slot-x\ndata: one\ndata: two\ndata: three\ndata: event: done\n\n"
    )


def test_notes_are_kept_once_and_read_carefully(tmp_path: Path) -> None:
    """The first of two with one id stays; what cannot be read is none; problems are added."""
    notes = RunNotes(tmp_path)
    first = RunNote("0123456789ab", "prompt=a", ("one", "two"))
    assert notes.begin(first) is first
    assert notes.begin(RunNote("0123456789ab", "prompt=b", ("one",))) == first
    notes.set_problem(first, "one", "no disk")
    found = notes.find(first.id)
    assert found is not None
    assert found.problems == {"one": "no disk"}
    assert found.is_same(first)
    notes.set_problem(first, "one", None)
    assert notes.find(first.id) == first
    (tmp_path / "aaaaaaaaaaaa.json").write_text("{")
    assert notes.find("aaaaaaaaaaaa") is None
    assert notes.find("../0123456789ab") is None


def test_live_is_refused_without_keys(tmp_path: Path) -> None:
    """No button, no page, no post."""

    async def use(running: RunningStudio) -> None:
        assert "Run live" not in await running.get("/?prompt=a+cat&duration=5")
        await running.get(f"/live?prompt=a+cat&at={FIRST}", 403)
        form = {**REQUEST, "at": FIRST, "run": "0123456789ab", "shown": "1", "typed": "1"}
        answer = await running.browser.post("/live", data=form)
        assert answer.status_code == 403
        assert running.studio.ledger.entries() == []

    visit(tmp_path, use)
