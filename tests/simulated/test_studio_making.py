"""The first page of the studio, without a browser: who is let in, and what it shows."""

import asyncio
import re
from pathlib import Path

import httpx
import pytest
from polyreel import AsyncClient
from polyreel.providers.base.registry import all_providers
from polyreel.studio.application import application
from polyreel.studio.door import Door
from polyreel.studio.studio import Studio
from starlette.applications import Starlette
from starlette.routing import Mount
from support.studio import OWN, TOKEN, visit

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
FIRST = next(iter(all_providers()))


def test_the_token_lets_a_browser_in_once(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        assert (await browser.get("/")).status_code == 403
        assert (await browser.get("/", params={"token": "wrong"})).status_code == 403
        entered = await browser.get("/", params={"token": TOKEN})
        cookie = entered.headers["set-cookie"]
        assert "httponly" in cookie.lower()
        assert "samesite=strict" in cookie.lower()
        assert TOKEN not in cookie
        page = await browser.get("/")
        assert page.status_code == 200
        assert TOKEN not in page.text

    visit(tmp_path, use, headers={}, let_in=False)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 400),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": OWN, "sec-fetch-site": "cross-site"}, 403),
        ({"origin": OWN.replace("8780", "8781")}, 403),
        ({}, 403),
        ({"origin": OWN}, 200),
        ({"origin": OWN, "sec-fetch-site": "same-origin"}, 200),
    ],
)
def test_only_pages_of_its_own_change_something(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        answer = await browser.post("/uploads", content=PNG, headers=headers)
        assert answer.status_code == status
        assert (tmp_path / "uploads").exists() is (status == 200)

    visit(tmp_path, use, headers={})


def test_a_request_is_shown_for_every_vendor(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        page = (
            await browser.get("/", params={"prompt": "a <b>cat</b> & dog", "duration": "5"})
        ).text
        for vendor in all_providers():
            assert f'data-vendor="{vendor}"' in page
        jumps = re.findall(r'<a href="#column-([a-z-]+)">\S+ <small>([^<]+)</small>', page)
        ready = re.findall(r'<section class="column (?:ready|changed)" id="column-([a-z-]+)"', page)
        assert [name for name, _ in jumps] == ready != []
        assert all("$" in price or price == "unknown" for _, price in jumps)
        assert "<b>cat" not in page
        assert "a &lt;b&gt;cat&lt;/b&gt; &amp; dog" in page
        assert not re.search(r"<script(?! src=)| style=| on[a-z]+=", page)

    visit(tmp_path, use, headers={})


def test_while_the_limits_stay_they_are_not_sent_again(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        first = await browser.get("/plans", params={"prompt": "a cat"})
        shown = re.search(r'id="shown" value="([0-9a-f]+)"', first.text)
        assert shown is not None
        assert 'id="bars-duration"' in first.text
        again = await browser.get("/plans", params={"prompt": "a dog", "shown": shown[1]})
        assert 'id="bars-duration"' not in again.text
        assert "a dog" in again.text
        assert again.headers["hx-replace-url"] == "/?workflow=text-to-video&prompt=a+dog"

    visit(tmp_path, use, headers={})


def test_a_refusal_can_be_mended(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        asked = {"prompt": "a cat", "duration": "1000", "vendor": FIRST}
        refused = (await browser.get("/plans", params=asked)).text
        assert 'class="badge refused">refused' in refused
        mend = re.search(r'data-allow="([a-z_=]+)"', refused)
        assert mend is not None
        mended = (await browser.get("/plans", params={**asked, "allow": mend[1]})).text
        assert 'class="badge refused">refused' not in mended
        assert f'name="allow" value="{mend[1]}"' in mended

    visit(tmp_path, use, headers={})


def test_a_dropped_file_is_shown_and_sent(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        given = await browser.post("/uploads", content=PNG, headers={"origin": OWN})
        name = given.json()["name"]
        shown = await browser.get(f"/uploads/{name.removeprefix('upload:')}")
        assert (shown.content, shown.headers["content-type"]) == (PNG, "image/png")
        assert (await browser.get("/uploads/..%2f..%2fetc%2fpasswd")).status_code == 404
        assert (await browser.get("/uploads/secret.png")).status_code == 404
        named = await browser.post(
            "/uploads", params={"name": "C:\\my <b>\ncat.png"}, content=PNG, headers={"origin": OWN}
        )
        frame = named.json()["name"]
        assert frame == f"upload:my <b>cat.png/{name.removeprefix('upload:')}"
        asked = {"workflow": "image-to-video", "prompt": "a cat", "first_frame": frame}
        made = (await browser.get("/", params=asked)).text
        assert f'src="/uploads/{name.removeprefix("upload:")}"' in made
        assert "first_frame: my &lt;b&gt;cat.png" in made  # as it is no image, and refused
        assert str(tmp_path) not in made
        text = await browser.post("/uploads", content=b"text", headers={"origin": OWN})
        assert text.status_code == 422

    visit(tmp_path, use, headers={})


def test_a_request_as_code(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        found = (await browser.get("/code", params={"prompt": "a cat", "of": FIRST})).text
        assert f'id="code-{FIRST}-curl"' in found
        assert "curl" in found
        nobody = await browser.get("/code", params={"prompt": "a cat", "of": "nobody"})
        assert nobody.status_code == 200
        assert "no code" in nobody.text

    visit(tmp_path, use, headers={})


def test_what_is_asked_for_and_is_not_there_is_named(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        strange = f"{FIRST}x"
        for vendors in ([strange], [strange, FIRST]):
            page = (await browser.get("/", params={"prompt": "x", "vendor": vendors})).text
            assert f"There is no vendor &#39;{strange}&#39;; did you mean {FIRST}?" in page
            shown = re.findall('data-vendor="([a-z-]+)"', page)
            assert shown == ([FIRST] if FIRST in vendors else [*all_providers()])
        local = {"workflow": "image-to-video", "first_frame": "http://localhost/x.png"}
        page = (await browser.get("/", params=local)).text
        assert "or give the file itself" in page
        assert "<code>" in re.findall('<p class="help" id="f-duration-help">.*', page)[0]

    visit(tmp_path, use)


def test_every_answer_has_the_policy(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        for path in ("/", "/plans", "/static/studio.js", "/nothing", "/uploads/x"):
            answer = await browser.get(path)
            assert "default-src 'none'" in answer.headers["content-security-policy"], path
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "access-control-allow-origin" not in answer.headers
        page = await browser.get(
            "/", params={"prompt": "a cat"}, headers={"accept-encoding": "gzip"}
        )
        assert page.headers["cache-control"] == "no-store"

    visit(tmp_path, use, headers={})


def test_it_is_mounted_in_another_application(tmp_path: Path) -> None:
    """All that its pages link to stays below its place, and so does its cookie."""

    async def run() -> None:
        studio = Studio(client=AsyncClient(), folder=tmp_path, door=Door(token=TOKEN))
        outer = Starlette(routes=[Mount("/tools/studio", application(studio))])
        transport = httpx.ASGITransport(outer)
        async with httpx.AsyncClient(transport=transport, base_url=OWN) as browser:
            entered = await browser.get(studio.door.address("/tools/studio"))
            assert entered.headers["location"] == "/tools/studio/"
            assert "Path=/tools/studio/" in entered.headers["set-cookie"]
            page = (await browser.get("/tools/studio/", params={"prompt": "a cat"})).text
            links = re.findall(r'(?:href|src|action|hx-get)="(/[^"]*)', page)
            assert len(links) > 10
            assert {link.startswith("/tools/studio/") for link in links} == {True}
        await studio.close()

    asyncio.run(run())
