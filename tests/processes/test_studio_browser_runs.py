"""Runs of the studio in Chromium, and pages that pay. Not collected where there is no Chromium."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from polyreel.providers.base.registry import all_providers
from support.chromium import RunningStudio, accessible, browsing, tab
from support.cli import CANARY

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow
COLUMNS: Final = 3
REQUEST: Final = {"prompt": "a cat in the rain", "duration": "5"}
PLAYING: Final = """() => [...document.querySelectorAll("video")].every(
    (one) => !one.paused && one.readyState >= 2 && one.currentTime > 0.1)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as made:
        yield made


def test_the_main_way(browser: Browser, tmp_path: Path) -> None:
    """Type, see three columns, run all, watch, play together; a killed server has lost nothing."""
    studio = RunningStudio(tmp_path, ("--speed", "100"))
    studio.start()
    try:
        with tab(browser, studio) as made:
            shown = made.page
            made.open(**REQUEST)
            ready = shown.locator("section.column.ready")
            names = [one.get_attribute("data-vendor") or "" for one in ready.all()[:COLUMNS]]
            assert len(names) == COLUMNS
            made.open(**REQUEST, vendor=names)
            assert shown.locator("section.column").count() == COLUMNS
            shown.get_by_role("button", name="Run on all that are ready, simulated").click()
            shown.wait_for_url("**/runs/*")
            address = shown.url
            shown.locator("video").nth(COLUMNS - 1).wait_for()
            shown.get_by_role("button", name="Play together").click()
            shown.wait_for_function(PLAYING)
            accessible(made, "run")
            studio.stop(signal.SIGKILL)
            studio.start()
            made.open("/history")
            assert shown.locator("article.card.saved").count() == COLUMNS
            shown.get_by_role("link", name="run ").first.click()
            shown.wait_for_url(address)
            assert shown.locator("video").count() == COLUMNS
            made.open("/history")
            accessible(made, "history")
            shown.get_by_role("link", name="Edit").first.click()
            assert shown.input_value("#f-prompt") == REQUEST["prompt"]
            made.check()
    finally:
        studio.stop()


def test_what_is_pasted_is_written_for_the_others(browser: Browser, tmp_path: Path) -> None:
    with RunningStudio(tmp_path).running() as studio, tab(browser, studio) as made:
        shown = made.page
        made.open(**REQUEST)
        column = shown.locator("section.column.ready").first
        body = "".join(column.locator(".body .line").all_text_contents())
        vendor = column.get_attribute("data-vendor")
        made.open("/paste")
        shown.fill("#text", json.dumps(json.loads(body)))
        shown.locator(f"section.column[data-vendor]:not([data-vendor={vendor}])").first.wait_for()
        accessible(made, "paste")
        shown.get_by_role("link", name="Open as a request").click()
        assert shown.input_value("#f-prompt") == REQUEST["prompt"]
        made.check()


def test_a_live_run_needs_its_price(browser: Browser, tmp_path: Path) -> None:
    """Nothing is sent for another one, and no page has the key."""
    provider = next(iter(all_providers().values()))
    variables = {provider.key_variable: CANARY}
    studio = RunningStudio(tmp_path, ("--live",), variables)
    with studio.running(), tab(browser, studio) as made:
        shown = made.page
        made.open(**REQUEST, vendor=provider.id)
        shown.get_by_role("button", name="live: its price is shown first").click()
        shown.wait_for_url("**/live?**")
        accessible(made, "live")
        shown.fill("#typed", "0.01 or so")
        shown.get_by_role("button", name="Pay and run live").click()
        shown.get_by_role("alert").wait_for()
        shown.fill("#typed", shown.inner_text("label[for=typed] code"))
        shown.press("#typed", "Enter")
        shown.get_by_role("alert").get_by_text("only the button pays").wait_for()
        assert CANARY not in shown.content()
        made.open("/history")
        assert shown.locator("article.card").count() == 0
