"""A live job is paid only on the user's word: on a terminal, by --yes, or by a limit."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL

import pytest
from attrs import frozen
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import RunningClock, Simulator, server
from support.cli import FIRST, LEDGER, Outcome, environment, process, read_terminal
from support.forked import Program
from support.waiting import HANGS

pytestmark = pytest.mark.usefixtures("bare")
pty = pytest.importorskip("pty")
CLIP = ("generate", "a cat", "--duration", "3", "--resolution", "720p", "--no-audio")
MOVABLE = next(
    vendor
    for vendor, one in all_providers().items()
    if one.base_url_variable
    and not any("x-polyreel-price" in one.contract.schema(route.schema) for route in one.routes)
)
"""A vendor whose prices nobody knows, and which can be served from here."""
ROW = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}
UNKNOWN = "nobody knows its price"
LIVE = ("--live", "--vendor", MOVABLE, "--timeout", "0")
RUNNING = 8
"""The exit code of a job that was paid, and is not waited for: the word is given before."""


@frozen
class Place:
    """A folder, and a vendor in it whose bill can be read."""

    folder: Path
    simulator: Simulator
    variables: dict[str, str]

    def run(self, *arguments: str) -> Outcome:
        """A command line without a terminal."""
        return process(*arguments, cwd=self.folder, env=self.variables)

    def on_terminal(self, answer: str, *arguments: str) -> tuple[int, str]:
        """A command line on a terminal, with what is typed; its exit code, and the screen."""
        ours, theirs = pty.openpty()
        with Program(
            *("-m", "polyreel", *arguments),
            cwd=self.folder,
            env=environment(TERM="xterm", COLUMNS="200", **self.variables),
            stdin=theirs,
            stdout=DEVNULL,
            stderr=theirs,
        ) as running:
            os.close(theirs)
            os.write(ours, answer.encode())
            screen = b""
            while chunk := read_terminal(ours):
                screen += chunk
            os.close(ours)
            return running.wait(HANGS), screen.decode(errors="replace")

    @property
    def bill(self) -> int:
        """How many jobs the vendor has billed."""
        return self.simulator.bill.count()

    def prices(self, usd: str) -> tuple[str, str]:
        """A price file of the user's."""
        text = f'[[price]]\nvendor = "{MOVABLE}"\nusd_per_second = "{usd}"\n'
        (self.folder / "prices.toml").write_text(text)
        return ("--prices-file", "prices.toml")

    def rows(self, count: int) -> tuple[str, ...]:
        """A batch of so many rows."""
        rows = [{**ROW, "prompt": f"cat {number}"} for number in range(count)]
        (self.folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return ("batch", "rows.jsonl", "--vendor", MOVABLE)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with _place(tmp_path) as made:
        yield made


@contextmanager
def _place(folder: Path) -> Iterator[Place]:
    simulator = Simulator(clock=RunningClock(1000))
    with server.running(simulator) as url:
        variable = all_providers()[MOVABLE].base_url_variable or ""
        yield Place(folder, simulator, {variable: url + server.mounts()[MOVABLE]})


def test_without_a_terminal_live_needs_yes_or_a_limit(place: Place) -> None:
    """A script that only says --live is told what is missing; nothing is sent or written down."""
    refused = place.run(*CLIP, *LIVE)
    assert (refused.code, place.bill, refused.out) == (2, 0, "")
    for word in ("--live", "--yes", "--max-cost", "nothing was sent"):
        assert word in refused.err
    assert place.run("jobs", "--json").document == []
    document = place.run(*CLIP, *LIVE, "--json").document
    assert document["error"]["exit_code"] == 2
    assert place.bill == 0
    agreed = place.run(*CLIP, *LIVE, "--yes")
    assert (agreed.code, place.bill) == (RUNNING, 1), agreed.err


def test_a_limit_of_one_job(place: Place) -> None:
    """It answers where nobody can be asked; it refuses an unknown price, and one that is more."""
    prices = place.prices("0.1")
    unknown = place.run(*CLIP, *LIVE, "--max-cost", "5")
    dear = place.run(*CLIP, *LIVE, *prices, "--max-cost", "0.29")
    both = place.run(*CLIP, *LIVE, *prices, "--max-cost", "0.29", "--yes")
    assert [unknown.code, dear.code, both.code, place.bill] == [7, 7, 7, 0]
    assert "$0.3" in dear.err
    assert "unknown" in unknown.err
    cheap = place.run(*CLIP, *LIVE, *prices, "--max-cost", "0.3")
    assert (cheap.code, place.bill) == (RUNNING, 1), cheap.err


@pytest.mark.parametrize(("answer", "paid"), [("y\n", 1), ("YES\n", 1), ("\n", 0), ("no\n", 0)])
def test_a_terminal_is_asked(place: Place, answer: str, paid: int) -> None:
    """The question has the vendor and that nobody knows the price; only yes is yes."""
    code, screen = place.on_terminal(answer, *CLIP, *LIVE)
    assert f"{MOVABLE} will be paid for this job: {UNKNOWN}" in screen
    assert place.bill == paid, screen
    assert code == (RUNNING if paid else 7), screen
    assert paid or "nothing was sent" in screen


def test_the_question_shows_the_price_and_an_end_of_input_is_no(place: Place) -> None:
    """With a limit a terminal is asked too; Ctrl-D is no answer; --yes asks nothing."""
    prices = place.prices("0.1")
    code, screen = place.on_terminal("\x04", *CLIP, *LIVE, *prices, "--max-cost", "1")
    assert (code, place.bill) == (7, 0)
    assert "$0.3000" in screen
    code, screen = place.on_terminal("", *CLIP, *LIVE, *prices, "--yes")
    assert "[y/N]" not in screen
    assert place.bill == 1


def test_a_batch_asks_once(place: Place) -> None:
    """For all rows together, and not where nothing is left to pay."""
    rows = place.rows(3)
    refused = place.run(*rows, "--live")
    assert (refused.code, place.bill, "--yes" in refused.err) == (2, 0, True)
    code, screen = place.on_terminal("n\n", *rows, "--live")
    assert (code, place.bill, screen.count("[y/N]")) == (7, 0, 1)
    assert "3 row(s) will be paid: 3 row(s) of unknown price" in screen
    code, screen = place.on_terminal("y\n", *rows, "--live")
    assert (place.bill, screen.count("[y/N]")) == (3, 1), screen
    again = place.run(*rows, "--live")
    assert again.code != 2, again.err
    assert place.bill == 3
    place.rows(4)
    _, screen = place.on_terminal("n\n", *rows, "--live")
    assert "1 row(s) will be paid" in screen
    assert place.bill == 3


def test_a_job_that_is_there_is_not_asked_about(place: Place) -> None:
    """The same name again pays nothing, so it needs no word; nor do resume and reconcile."""
    named = (*CLIP, *LIVE, "--job-name", "one")
    assert place.run(*named, "--yes").code == RUNNING
    assert place.run(*named).code == RUNNING
    assert place.run(*named, "--max-cost", "0").code == RUNNING
    assert place.run("resume", "--live").code in {0, 9}
    assert place.run("reconcile", "--live").code == 0
    assert place.bill == 1


def test_resubmit_asks_too(place: Place) -> None:
    """Accepting to pay twice is no word on the price."""
    place.simulator.inject("lost-close", MOVABLE)
    lost = place.run(*CLIP, *LIVE, "--yes", "--json")
    assert (lost.code, place.bill) == (6, 1)
    again = ("resubmit", lost.document["error"]["ledger_id"], "--accept-double-billing", "--live")
    refused = place.run(*again)
    assert (refused.code, place.bill, "--yes" in refused.err) == (2, 1, True)
    assert place.run(*again, "--max-cost", "1").code == 7
    code, screen = place.on_terminal("n\n", *again)
    assert (code, place.bill) == (7, 1)
    assert UNKNOWN in screen
    assert place.run(*again, "--yes").code in {0, 9}
    assert place.bill == 2


@pytest.mark.parametrize("live", [(), ("--live",)])
def test_a_dry_run_shows_every_row(place: Place, live: tuple[str, ...]) -> None:
    """Vendor and price of each row; nothing is asked, sent, saved or written down."""
    rows = (*place.rows(2), *place.prices("0.1"), *live, "--dry-run")
    shown = place.run(*rows)
    assert shown.code == 0, shown.err
    assert shown.out.count("$0.3000") == 2
    document = place.run(*rows, "--json").document
    assert [row["vendor"] for row in document["rows"]] == [MOVABLE] * 2
    assert [row["state"] for row in document["rows"]] == ["not-started"] * 2
    assert document["cost"]["at_most_usd"] == "0.600000"
    over = place.run(*rows, "--max-cost", "0.5")
    assert (over.code, over.out.count("$0.3000")) == (7, 2)
    assert place.bill == 0
    assert place.run("jobs", "--json").document == []
    assert not (place.folder / "clips").exists()


def test_simulated_jobs_are_never_asked_about(place: Place) -> None:
    """Nothing is paid; a limit holds for them as well."""
    chosen = (*CLIP, "--vendor", FIRST)
    assert place.run(*chosen).code == 0
    assert place.run(*chosen, "--yes").code == 0
    prices = place.prices("0.1")
    assert place.run(*CLIP, "--vendor", MOVABLE, *prices, "--max-cost", "0.1").code == 7
    code, screen = place.on_terminal("", *chosen)
    assert (code, "[y/N]" in screen) == (0, False)
    assert (place.folder / LEDGER).exists()
