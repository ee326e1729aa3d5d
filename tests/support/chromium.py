"""A studio in a process of its own, and its pages in Chromium."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlencode, urlsplit

from attrs import define, field

from .cli import environment
from .forked import Program
from .paths import ROOT
from .waiting import HANGS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
EXECUTABLE: Final = next((found for name in NAMES if (found := shutil.which(name))), None)
"""The browser of this machine. Without one, the tests that need it are not collected."""
FLAGS: Final = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
PICTURES: Final = ROOT / ".artifacts" / "studio"
"""Where the screenshots of a run stay."""
TOKEN: Final = "a-door-of-the-tests-" + "0" * 12
"""The token of every studio here: it is the same one after it was started again."""
Scheme = Literal["light", "dark"]


@contextmanager
def browsing() -> Iterator[Browser]:
    """The browser."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=EXECUTABLE, args=flags)
        try:
            yield browser
        finally:
            browser.close()


@define
class RunningStudio:
    """`polyreel studio`, which can be killed and started again on the same port and ledger."""

    folder: Path
    options: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(factory=dict)
    port: int = 0
    _process: Program | None = None

    @property
    def url(self) -> str:
        """The address of its pages."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it."""
        command = ("-W", "error", "-m", "polyreel", "studio", "--json", "--port", str(self.port))
        more = ("--ledger", "ledger.sqlite3", "--speed", "1000", *self.options)
        variables = environment(POLYREEL_STUDIO_TOKEN=TOKEN, **self.variables)
        run = Program(*command, *more, cwd=self.folder, env=variables, stdout=PIPE, stderr=DEVNULL)
        self._process = run
        assert run.stdout is not None
        printed = ""
        while not printed.endswith("\n}\n"):
            line = run.stdout.readline()
            assert line, f"the studio ended at once: {run.wait(HANGS)}"
            printed += line
        self.port = urlsplit(json.loads(printed)["url"]).port or 0

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, and wait until its port is free."""
        assert self._process is not None
        with self._process as run:
            run.send_signal(number)
            run.wait(HANGS)
        self._process = None

    @contextmanager
    def running(self) -> Iterator[RunningStudio]:
        """It runs until the end of the block."""
        self.start()
        try:
            yield self
        finally:
            self.stop()


@define(slots=False)
class Tab:
    """A page of a studio in a browser that was let in, and what was seen of it."""

    page: Page
    studio: RunningStudio
    console: list[str] = field(factory=list)
    """Errors and warnings on the console: violations of the page's policy are among them."""
    requests: list[str] = field(factory=list)
    """The addresses that it asked for."""
    loaded: list[Request] = field(factory=list)
    """Those of them that were answered."""

    def hear(self, message: ConsoleMessage) -> None:
        """Keep what is said on the console, where something is wrong."""
        if message.type in {"error", "warning"}:
            self.console.append(message.text)

    def keep(self, request: Request) -> None:
        """Keep a request that was answered."""
        self.loaded.append(request)

    def weight(self) -> int:
        """Bytes of all answers as they came over the wire."""
        sizes = [one.sizes() for one in self.loaded]
        return sum(one["responseBodySize"] + one["responseHeadersSize"] for one in sizes)

    def open(self, path: str = "/", **fields: Any) -> None:
        """Load a page, with a request in its address."""
        query = "?" + urlencode(fields, doseq=True) if fields else ""
        self.page.goto(self.studio.url + path + query)

    def check(self) -> None:
        """Nothing was asked for beyond this machine, and nothing is on the console."""
        hosts = {urlsplit(one).netloc for one in self.requests if "://" in one}
        assert hosts <= {urlsplit(self.studio.url).netloc}, hosts
        assert self.console == []

    def picture(self, name: str, *, whole: bool = False) -> None:
        """Keep what is seen now."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=whole)


@contextmanager
def tab(
    browser: Browser,
    studio: RunningStudio,
    *,
    width: int = 1280,
    height: int = 800,
    scheme: Scheme = "light",
) -> Iterator[Tab]:
    """A page in a new profile, which was let in by the token."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, locale="en"
    )
    context.set_default_timeout(HANGS * 1000)
    try:
        page = context.new_page()
        made = Tab(page, studio)
        page.on("console", made.hear)
        page.on("pageerror", lambda error: made.console.append(str(error)))
        page.on("request", lambda one: made.requests.append(one.url))
        page.on("requestfinished", made.keep)
        page.goto(f"{studio.url}/?token={TOKEN}")
        yield made
    finally:
        context.close()


def accessible(page: Tab, name: str) -> None:
    """What holds for every page. Its pictures are kept."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    axe = Axe()
    shown, contrast = page.page, {"runOnly": ["color-contrast"], "resultTypes": ["violations"]}
    assert violations(axe.run(shown)) == []
    page.picture(f"{name}-1280-light")
    shown.emulate_media(color_scheme="dark")
    assert violations(axe.run(shown, options=contrast)) == []
    page.picture(f"{name}-1280-dark")
    shown.set_viewport_size({"width": 390, "height": 844})
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
    page.picture(f"{name}-390-dark", whole=True)
    shown.emulate_media(color_scheme="light")
    page.picture(f"{name}-390-light", whole=True)
    shown.set_viewport_size({"width": 2560, "height": 1300})
    page.picture(f"{name}-2560-light")
    shown.emulate_media(color_scheme="dark")
    page.picture(f"{name}-2560-dark")


def violations(found: Any) -> list[str]:
    """What axe has found, with the elements."""
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found.response["violations"]
        for node in one["nodes"]
    ]
