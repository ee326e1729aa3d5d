"""What strangers try with the studio: pages of others, names that resolve to loopback, texts that
are scripts, paths, and bodies without end.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from polyreel import AsyncClient, RejectedError, Simulator
from polyreel.ledger.opening import open_ledger
from polyreel.simulator import VirtualClock
from polyreel.simulator.snapshots import take_snapshot
from polyreel.studio import uploads
from polyreel.studio.application import application
from polyreel.studio.door import Door
from polyreel.studio.studio import Studio
from starlette.routing import Route
from support.cli import CANARY
from support.payloads import PAYLOADS, foreign
from support.server import PROVIDERS, START
from support.studio import OWN, PAGE, TOKEN, browsing
from support.studio_runs import hurry

HOST: Final = OWN.removeprefix("http://")
VENDOR: Final = PROVIDERS[0].id
Use = Callable[[Studio, httpx.AsyncClient], Awaitable[None]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits."""
    hurry(monkeypatch)


def visit(folder: Path, use: Use, *, answer: str = "") -> None:
    """A studio with keys, whose live vendors refuse everything with a text."""

    async def work() -> None:
        simulator = Simulator(clock=VirtualClock(START), seed=1)
        with open_ledger(str(folder / "ledger.sqlite3")) as ledger:
            live = AsyncClient(keys={one.id: CANARY for one in PROVIDERS}, ledger=ledger, retries=0)
            body = {"error": {"message": answer, "code": answer}, "message": answer, "code": 400}
            live.wire.transport = httpx.MockTransport(lambda _: httpx.Response(400, json=body))
            client = AsyncClient(simulator=simulator, ledger=ledger)
            studio = Studio(client=client, folder=folder / "s", live=live, door=Door(token=TOKEN))
            async with browsing(studio, {}) as browser:
                await use(studio, browser)

    asyncio.run(work())


def cookies(studio: Studio) -> dict[str, str]:
    """What a browser has that was let in."""
    return {studio.door.cookie_name(HOST): studio.door.session}


def calls(studio: Studio) -> Iterator[tuple[str, str]]:
    """Every call that the studio knows, with its method."""
    for route in application(studio).routes:
        if isinstance(route, Route):
            path = re.sub(r"\{[^}]*\}", "1", route.path)
            yield from ((method, path) for method in (route.methods or ()))


def state(studio: Studio) -> tuple[object, ...]:
    """All that a call could change."""
    files = sorted(map(str, studio.folder.rglob("*")))
    return files, list(studio.ledger.entries()), repr(take_snapshot(studio.simulator))


def refusals(studio: Studio) -> Iterator[tuple[int, dict[str, str], dict[str, str]]]:
    """Headers and cookies with which nothing may be had, and the status of the refusal."""
    known = cookies(studio)
    (name, value) = next(iter(known.items()))
    yield 403, PAGE, {}
    yield 403, PAGE, {name: ""}
    yield 403, PAGE, {name: TOKEN}
    yield 403, PAGE, {name: value[:-1]}
    yield 403, PAGE, {studio.door.cookie_name("127.0.0.1:8781"): value}
    for origin in (
        "https://evil.example",
        "null",
        "",
        "http://127.0.0.1:8781",
        f"{OWN}.evil.example",
    ):
        yield 403, {**PAGE, "origin": origin}, known
    for site in ("cross-site", "same-site", "none", "x"):
        yield 403, {**PAGE, "sec-fetch-site": site}, known
    yield 400, {**PAGE, "host": "evil.example:8780", "origin": "http://evil.example:8780"}, known


def test_no_call_is_answered_that_is_not_of_its_own_page(tmp_path: Path) -> None:
    """Every route and method, those of later pages too, and nothing has changed afterwards."""

    async def use(studio: Studio, browser: httpx.AsyncClient) -> None:
        before, asked = state(studio), 0
        found = {*calls(studio), ("GET", "/static/studio.js"), ("GET", "/nothing")}
        assert len(found) > 25
        for method, path in sorted(found):
            for status, headers, given in refusals(studio):
                browser.cookies = httpx.Cookies(given)
                answer = await browser.request(method, path, headers=headers, content=b"x=1")
                assert answer.status_code == status, (method, path, headers, given)
                assert "set-cookie" not in answer.headers
                asked += 1
        assert asked > 300
        assert state(studio) == before

    visit(tmp_path, use)


def names() -> Iterator[str]:
    """Host headers of pages that are not the studio's; some of them resolve to loopback."""
    dotted = ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "10.0.0.1", "192.168.0.1")
    for one in dotted:
        for text in (f"{one}.evil.example", f"{one}.nip.io", f"evil.example.{one}x", f"{one}@evil"):
            yield from (text, f"{text}:8780", text.upper(), f" {text}")
        yield from (f"{one}:", f"{one}:x", f"{one}:8780:8780", f"{one}:-1", f"{one}, evil.example")
        yield from (f"evil.example#{one}", f"evil.example?{one}", f"evil.example/{one}", f"{one}\\")
    yield from (
        "",
        " ",
        ".",
        "*",
        "evil.example",
        "localhost.",
        "local host",
        "127.1",
        "2130706433",
    )
    yield from ("0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::]", "127.0.0.2", "localtest.me")
    yield from (f"rebind{number}.evil.example:8780" for number in range(40))


def test_no_name_that_resolves_to_loopback_is_known(tmp_path: Path) -> None:
    """The page of a stranger, rebound to this address, has not even the door."""
    hosts = [one for one in dict.fromkeys(names()) if one.strip() != "127.0.0.1:"]
    assert len(hosts) >= 200

    async def use(studio: Studio, browser: httpx.AsyncClient) -> None:
        before = state(studio)
        for host in hosts:
            if studio.door.access.knows_host(host.strip()):
                assert re.fullmatch(r"(127\.0\.0\.\d+|localhost|\[::1\])(:\d+)?\.?", host), host
                continue
            for path in ("/", f"/?token={TOKEN}"):
                browser.cookies = httpx.Cookies(
                    {studio.door.cookie_name(host): studio.door.session}
                )
                answer = await browser.get(path, headers={"host": host})
                assert answer.status_code == 400, host
                assert "set-cookie" not in answer.headers
        assert state(studio) == before

    visit(tmp_path, use)


def test_no_text_becomes_a_part_of_a_page(tmp_path: Path) -> None:
    """Two hundred payloads: typed, pasted, as names, and in what a live vendor answers. All pages
    that can be reached are looked through, and none of them has a key.
    """
    every = "\n".join(PAYLOADS)

    async def use(studio: Studio, browser: httpx.AsyncClient) -> None:
        browser.cookies = httpx.Cookies(cookies(studio))
        assert studio.live is not None
        job = studio.client.plan({"prompt": every[:2000], "duration": 5}, PROVIDERS[0])
        labels = {PAYLOADS[3][:40]: PAYLOADS[4][:60], "project": PAYLOADS[5][:60]}
        await studio.client.submit(job, reference=PAYLOADS[6], labels=labels)
        with pytest.raises(RejectedError, match="__hit"):
            await studio.live.submit(job, reference=PAYLOADS[7], labels=labels)
        for method, path, given in attacks():
            sent: dict[str, Any] = {"params" if method == "GET" else "data": given}
            answer = await browser.request(method, path, headers=PAGE, **sent)
            assert answer.status_code < 500, path
            harmless(answer)
        assert len(await walked(browser)) > len(START_PAGES) + 5

    visit(tmp_path, use, answer=every)


Given = dict[str, str | list[str]]


def attacks() -> Iterator[tuple[str, str, Given]]:
    """Calls whose every text is a payload."""
    every = "\n".join(PAYLOADS)
    for start in range(0, len(PAYLOADS), 40):
        some = PAYLOADS[start : start + 40]
        typed: Given = {
            "prompt": "".join(some),
            "negative_prompt": "".join(some),
            "shot_prompt": [*some],
            "model": some[0],
            "extra": some[1],
            "vendor": [VENDOR, some[2]],
            "allow": [f"{one}=drop" for one in some],
            "workflow": some[3],
        }
        yield "GET", "/", typed
        yield "GET", "/plans", typed
        yield "POST", "/runs", {**typed, "run": some[4], "fault": some[5]}
        yield "POST", "/live", {**typed, "at": some[4], "typed": some[5], "run": some[6]}
        yield "POST", "/vendors/faults", {"name": some[0], "vendor": some[1], "share": some[2]}
        yield "POST", "/vendors/clock", {"seconds": some[3]}
        yield "POST", "/paste", {"text": f"curl -d '{some[0]}' {OWN}/{some[1]}"}
        asked = ("workflow", "before", "after", "model", "vendor", "q", "one", "other", "at", "of")
        for path in START_PAGES:
            yield "GET", path, dict.fromkeys(asked, some[5] + some[6])
    yield "POST", "/paste", {"text": json.dumps({"prompt": every, every: [every]})}
    yield "POST", "/paste", {"text": every}


START_PAGES: Final = ("/", "/history", "/money", "/paste", "/vendors", "/matrix", "/difference")


async def walked(browser: httpx.AsyncClient) -> set[str]:
    """The pages that links lead to. None of them has anything foreign."""
    seen: set[str] = set()
    left = [*START_PAGES]
    while left and len(seen) < 60:
        path = left.pop()
        kind = re.sub(r"[0-9a-f]{8,}|\d+", "", path.partition("?")[0])
        if path in seen or sum(one.startswith(kind) for one in seen) > 8:
            continue
        seen.add(path)
        answer = await browser.get(path, headers=PAGE)
        harmless(answer)
        found = re.findall(r'(?:href|hx-get|src)="(/[^"]*)"', answer.text)
        left += [unescape(one) for one in found if not one.startswith("/static")]
    return seen


def harmless(answer: httpx.Response) -> None:
    """An answer that runs nothing, and has no key."""
    if answer.headers.get("content-type", "").startswith("text/html"):
        assert foreign(answer.text) == [], answer.url
        assert CANARY not in answer.text
    assert "script-src 'self'" in answer.headers["content-security-policy"]


PATHS: Final = (
    "../ledger.sqlite3",
    "..%2fledger.sqlite3",
    "%2e%2e/ledger.sqlite3",
    "....//ledger.sqlite3",
    "..%5cledger.sqlite3",
    "%2fetc%2fpasswd",
    "%00.png",
    "a.png%00",
    "upload:" + "0" * 32 + ".png",
    "0" * 32 + ".png/../../../ledger.sqlite3",
    "0" * 32 + ".sqlite3",
    "file:%2f%2f%2fetc%2fpasswd",
)


def test_no_path_leads_out_of_the_folder(tmp_path: Path) -> None:
    """Of files that were dropped, of clips, and of the files of pages; nor a path in a request."""

    async def use(studio: Studio, browser: httpx.AsyncClient) -> None:
        browser.cookies = httpx.Cookies(cookies(studio))
        (studio.folder / "uploads").mkdir(parents=True)
        (studio.folder / "uploads" / f"{'0' * 32}.sqlite3").write_bytes(b"secret")
        for before in ("/uploads/", "/static/", "/clips/", "/clips/1/", "/runs/", "/jobs/"):
            for path in PATHS:
                answer = await browser.get(before + path, headers=PAGE)
                assert answer.status_code in {307, 404, 405}, before + path
                assert b"SQLite" not in answer.content
                assert b"root:" not in answer.content
        local = str(tmp_path / "ledger.sqlite3")
        for path in (local, f"file://{local}", f"upload:{local}", "upload:../../ledger.sqlite3"):
            asked = {"workflow": "image-to-video", "prompt": "a", "first_frame": path}
            page = (await browser.get("/", params=asked, headers=PAGE)).text
            assert "field(s) need a look" in page
            assert "data-vendor" not in page

    visit(tmp_path, use)


def test_a_body_without_end_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a file nor a form: reading stops, and the answer says why."""
    monkeypatch.setattr(uploads, "MAX_BYTES", 100_000)
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1_000):
            sent += 10_000
            yield b"\x89PNG\r\n\x1a\n" + b"x" * 9_992

    async def use(studio: Studio, browser: httpx.AsyncClient) -> None:
        browser.cookies = httpx.Cookies(cookies(studio))
        before = state(studio)
        answer = await browser.post("/uploads", content=body(), headers=PAGE)
        assert answer.status_code == 413
        assert sent < 200_000
        assert state(studio) == before
        form = {**PAGE, "content-type": "application/x-www-form-urlencoded"}
        large = b"text=" + b"x" * 3_000_000
        for path in ("/paste", "/runs", "/live", "/vendors/faults", "/vendors/clock"):
            answer = await browser.post(path, content=large, headers=form)
            assert len(answer.content) < 100_000, path
            assert answer.status_code != 500
        assert state(studio) == before

    visit(tmp_path, use)


def test_a_browser_that_leaves_in_the_middle_of_its_body_makes_no_traceback(tmp_path: Path) -> None:
    """Nothing is done, and the log has no error."""

    async def use(studio: Studio, _: httpx.AsyncClient) -> None:
        before, app = state(studio), application(studio)
        (cookie,) = cookies(studio).items()
        sent = {**PAGE, "host": HOST, "cookie": "=".join(cookie), "content-length": "1000"}
        headers = [(name.encode(), text.encode()) for name, text in sent.items()]
        for _method, path in (one for one in calls(studio) if one[0] == "POST"):
            coming: list[dict[str, Any]] = [
                {"type": "http.request", "body": b"abc", "more_body": True},
                {"type": "http.disconnect"},
            ]
            answered: list[Any] = []

            async def receive(coming: list[dict[str, Any]] = coming) -> dict[str, Any]:
                return coming.pop(0) if len(coming) > 1 else coming[0]

            async def send(message: Any, answered: list[Any] = answered) -> None:
                answered.append(message)

            scope = {
                "type": "http",
                "method": "POST",
                "path": path,
                "root_path": "",
                "query_string": b"",
                "headers": headers,
            }
            await app(scope, receive, send)
            assert answered[0]["status"] < 500, path
        assert state(studio) == before

    visit(tmp_path, use)
