"""A studio that is killed loses no run, and submits none of them twice."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Final

import httpx
import pytest
from polyreel.providers.base.registry import all_providers
from support.chromium import TOKEN, RunningStudio
from support.waiting import HANGS, until

pytestmark = pytest.mark.slow
BUTTON: Final = re.compile(r'name="run" value="([0-9a-f]{12} [a-z][^"]*)"')
STATE: Final = re.compile(r'<article class="card ([a-z]+)"')
WORKFLOW: Final = "generate-image"
SELLER: Final = next(
    name
    for name, one in all_providers().items()
    if any(route.workflow == WORKFLOW for route in one.routes)
)
REQUEST: Final = {"workflow": WORKFLOW, "prompt": "a cat", "vendor": SELLER}
"""For one vendor: nothing of the others is read."""


def accepted(folder: Path) -> list[str]:
    """The jobs that the simulated vendors have accepted and billed, by their ids."""
    path = folder / "ledger.sqlite3.simulated"
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    return [json.loads(line)["id"] for line in lines if line.strip()]


def test_a_killed_studio_goes_on_with_its_runs(tmp_path: Path) -> None:
    """At the moment of the submit, and while the job is made; each click is repeated after it."""
    studio = RunningStudio(tmp_path, ("--speed", "1"))
    studio.start()
    try:
        headers = {"origin": studio.url}
        with httpx.Client(base_url=studio.url, headers=headers, timeout=HANGS) as browser:
            browser.get("/", params={"token": TOKEN})
            form = {**REQUEST, "run": BUTTON.findall(browser.get("/", params=REQUEST).text)[0]}
            address = browser.post("/runs", data=form).headers["location"]
            studio.stop(signal.SIGKILL)
            studio.start()
            assert browser.post("/runs", data=form).headers["location"] == address
            browser.post(f"{address}/submit", data={"vendor": SELLER})
            until(lambda: "accepted" in states(browser, address))
            studio.stop(signal.SIGKILL)
            studio.options = ()  # what was under way is seen: the rest may go fast
            studio.start()
            assert browser.post("/runs", data=form).headers["location"] == address
            until(lambda: states(browser, address) == ["saved"])
            assert address in browser.get("/history").text
            assert len(accepted(tmp_path)) == 1
    finally:
        studio.stop()


def states(browser: httpx.Client, address: str) -> list[str]:
    """The states of a run's jobs."""
    return STATE.findall(browser.get(address).text)
