"""The studio's page for what is pasted, without a browser."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from polyreel.places import JsonObject
from polyreel.plans.choosing import plan
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from polyreel.studio.forms import read_form
from polyreel.studio.studio import Studio
from support.matrix import drawn
from support.server import PROVIDERS
from support.studio import ACTIVE, SCRIPT, page, visit

REQUEST: JsonObject = {"prompt": "a cat", "duration": 5, "aspect_ratio": "9:16"}


def body_of(vendor: Provider, **more: Any) -> JsonObject:
    """A native body."""
    made = plan({**REQUEST, **more}, vendor)
    assert not made.refused
    return made.body


async def paste(browser: httpx.AsyncClient, text: str, **more: str) -> str:
    """What htmx puts below a text, which has nothing that the policy of pages forbids."""
    answer = await browser.post(
        "/paste", data={"text": text, **more}, headers={"hx-request": "true"}
    )
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert not ACTIVE.search(answer.text)
    return answer.text


def opened(text: str) -> JsonObject:
    """The request that the first page would have."""
    found = re.search(r'href="/\?([^"]+)">Open as a request', text)
    assert found
    form = read_form(parse_qsl(html.unescape(found[1]), keep_blank_values=True))
    assert not form.problems
    return form.fields


def test_a_body_is_read_and_written_for_every_vendor(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        assert '<a href="/paste" aria-current="page">' in await page(browser, "/paste")
        for vendor in PROVIDERS:
            text = await paste(browser, json.dumps(body_of(vendor, prompt="a </script> cat")))
            source = re.search(r'<p class="state">([^ ]+) ', text)
            assert source, text
            shown = re.findall(r'data-vendor="([^"]+)"', text)
            assert {*shown, source[1]} == {*all_providers()}
            asked = opened(text)
            assert (asked["prompt"], asked["duration"]) == ("a </script> cat", 5)
            assert "exact</span> <code>/" in text

    visit(tmp_path, use)


@pytest.mark.matrix
def test_a_curl_command_is_read_and_its_key_is_not_shown(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        for vendor in drawn(PROVIDERS, 2):
            made = plan(REQUEST, vendor)
            body = json.dumps({**made.body, "api_key": "canary-body", "x-note": "canary-1234567"})
            command = (
                f"curl -X {made.method} '{made.url}?token=canary-query' "
                f"-H 'Authorization: Bearer canary-1234567' -H 'X-Api-Key: canary-7654321' "
                f"-u user:canary-user -H 'content-type: application/json' -d '{body}'"
            )
            text = await paste(browser, command)
            assert f'<p class="state">{vendor.id} ' in text
            assert opened(text)["prompt"] == "a cat"
            assert "canary" not in text
            whole = await browser.post("/paste", data={"text": command})
            assert "<html" in whole.text
            assert "canary" not in whole.text
            assert not ACTIVE.search(whole.text)

    visit(tmp_path, use)


def test_a_refusal_can_be_mended(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        text, vendors = "", iter(PROVIDERS)
        while 'name="allow" value="' not in text:
            body = json.dumps(body_of(next(vendors), audio=True))
            text = await paste(browser, body)
        mend = re.findall(r'<button class="mend" name="allow" value="([a-z_]+=[a-z]+)"', text)
        mended = await paste(browser, body, allow=mend[0])
        assert f'name="allow" value="{mend[0]}" checked' in mended
        assert f"&amp;allow={mend[0].replace('=', '%3D')}" in mended
        assert mended.count('class="badge refused">refused') < text.count(
            'class="badge refused">refused'
        )

    visit(tmp_path, use)


def test_what_the_spec_does_not_know_is_shown(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        body = body_of(PROVIDERS[0])
        strange = {**body, "duratoin": 7, SCRIPT: SCRIPT, "\ud800": "\ud800"}
        text = await paste(browser, json.dumps(strange))
        assert "<code>/duratoin</code> is not in the spec; did you mean duration?" in text
        assert "&lt;script&gt;" in text

    visit(tmp_path, use)


def test_a_shared_request_is_opened(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        asked = {**REQUEST, "shots": [{"prompt": "one", "duration": 2}, {"prompt": "two"}]}
        text = await paste(browser, json.dumps(asked))
        assert "<h2>a shared request" in text
        assert opened(text) == asked
        keyed = {**REQUEST, "extra": {PROVIDERS[0].id: {"api_key": "canary-123456"}}}
        assert "canary" not in await paste(browser, json.dumps(keyed))
        assert "canary" not in await paste(browser, json.dumps({**keyed, "duration": "soon"}))
        wrong = await paste(browser, json.dumps({**REQUEST, "duration": "soon", "shots": 5}))
        assert 'class="problem">duration' in wrong

    visit(tmp_path, use)


def test_one_of_several_calls_is_looked_at(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        entries = [
            {
                "request": {
                    "method": made.method,
                    "url": made.url,
                    "headers": [{"name": "Authorization", "value": "Bearer canary-1234567"}],
                    "postData": {"mimeType": "application/json", "text": json.dumps(made.body)},
                },
                "response": {"status": 200, "headers": [], "content": {"text": "{}"}},
            }
            for made in (plan(REQUEST, one) for one in PROVIDERS)
            if not made.parts
        ]
        recording = json.dumps({"log": {"version": "1.2", "entries": entries}})
        first = await paste(browser, recording)
        assert first.count("<option") >= len(entries)
        assert f'<p class="state">{PROVIDERS[0].id} ' in first
        second = await paste(browser, recording, call="1", candidate="0.3")
        assert f'<p class="state">{PROVIDERS[1].id} ' in second
        assert "canary" not in first + second
        for wrong in ("99", "-1", "x", "9" * 5000, "1" * 20 + ".5"):
            assert await paste(browser, recording, call=wrong, candidate=wrong)

    visit(tmp_path, use)


def test_what_is_not_recognised_is_said(tmp_path: Path) -> None:
    async def use(browser: httpx.AsyncClient, _: Studio) -> None:
        for text in ("", SCRIPT, "{", "[[[[", "{}", "null", "curl", '{"a": NaN}', "[" * 100_000):
            assert "<h2>" in await paste(browser, text)
        assert "are too many" in await paste(browser, "x" * 1_000_001)
        assert "more than the 1,000,000 bytes" in await paste(browser, "\x00" * 1_100_000)

    visit(tmp_path, use)
