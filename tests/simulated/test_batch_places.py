"""A vendor that allows few rows at once: refused rows cost nothing and wait for a place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from polyreel import AsyncClient, Job, Simulator, batch
from polyreel.batch import Result
from polyreel.errors import RATE_LIMITED, RejectedError
from support.batches import FIRST, client, reported, row, rows_of, run
from support.fleet import JumpingLoop, LoopClock
from support.waiting import HANGS

NO_MONEY = 402


class Vendor:
    """A vendor that allows so many tasks at once, and says no to others."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, limit: int, status: int = RATE_LIMITED):
        self.loop = JumpingLoop()
        self.simulator = Simulator(clock=LoopClock(self.loop), seed=1)
        self.limit, self.status = limit, status
        self.refusals = self.most = 0
        submit = AsyncClient.submit

        async def limited(made: AsyncClient, plans: Any, **options: Any) -> Job:
            if self.running >= self.limit:
                self.refusals += 1
                raise RejectedError("too many tasks at once", vendor=FIRST, status=self.status)
            job = await submit(made, plans, **options)
            self.most = max(self.most, self.running)
            return job

        monkeypatch.setattr(AsyncClient, "submit", limited)

    @property
    def running(self) -> int:
        """How many tasks have not ended."""
        now = self.simulator.clock.now()
        return sum(task.ended > now for task in self.simulator.tasks.values())

    def make(self, folder: Path, count: int, **options: Any) -> tuple[Result, ...]:
        """Run a batch of so many rows."""
        rows = rows_of(folder, [row(number, vendor=FIRST) for number in range(count)])
        return run(client(folder, self.simulator), rows, folder, self.loop, **options)


def test_rows_wait_for_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve rows at a vendor that allows two at once: all are saved, each is paid once."""
    vendor = Vendor(monkeypatch, limit=2)
    results = vendor.make(tmp_path, 12)
    assert [result.state for result in results] == ["saved"] * 12
    assert [line["state"] for line in reported(tmp_path)] == ["saved"] * 12
    assert (vendor.simulator.bill.count(), vendor.most) == (12, 2)
    assert vendor.refusals <= 6 * 12, "the limit was not learned"


def test_the_limit_grows_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is refused for ever because the vendor was busy once."""
    vendor = Vendor(monkeypatch, limit=1)

    def more(_: Result) -> None:
        vendor.limit = 4

    results = vendor.make(tmp_path, 30, listener=more)
    assert {result.state for result in results} == {"saved"}
    assert vendor.most >= 3


def test_places_that_others_hold_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no row of this batch is under way."""
    vendor = Vendor(monkeypatch, limit=0)
    vendor.loop.call_later(600.0, setattr, vendor, "limit", 1)
    assert {result.state for result in vendor.make(tmp_path, 3)} == {"saved"}


def test_patience_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor that takes nothing for as long as a row may take is given up; nothing was billed."""
    vendor = Vendor(monkeypatch, limit=0)
    results = vendor.make(tmp_path, 3, timeout=HANGS)
    assert [(result.billed, type(result.error)) for result in results] == [
        ("no", RejectedError)
    ] * 3
    assert vendor.refusals >= 6
    assert vendor.simulator.bill.count() == 0


def test_no_money_ends_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be refused again: each row is asked for once."""
    vendor = Vendor(monkeypatch, limit=0, status=NO_MONEY)
    results = vendor.make(tmp_path, 3)
    assert batch.tally(results) == {"not-started": 3}
    assert vendor.refusals == 3
