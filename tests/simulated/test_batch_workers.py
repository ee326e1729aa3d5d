"""A batch whose rows are made by workers of its ledger: written down, and followed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from polyreel import Simulator, plan
from polyreel.batch import Batch, Result, following
from polyreel.engines import InlineEngine, inline, perform
from polyreel.errors import (
    AmbiguousError,
    BudgetError,
    JobFailedError,
    LedgerError,
    NeverSentError,
    RejectedError,
    RequestError,
    StillRunningError,
)
from polyreel.ledger.records import State, Submission
from polyreel_generated.contracts.vendors import VendorId
from support.batches import BOOK, VENDORS, client, reported, row, row_of, rows_of
from support.pictures import picture
from support.prices import PRICED
from support.vendors import forgetful_vendor

VENDOR: VendorId = forgetful_vendor().id  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between two looks are short."""
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(inline, "PAUSE", 0.01)


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(seed=1)


async def until(happened: Callable[[], object]) -> None:
    """Let others go on until something has happened."""
    while not happened():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def working(folder: Path, simulator: Simulator, stop: asyncio.Event) -> None:
    """A worker, until stopped."""
    async with client(folder, simulator, retries=0) as worker:
        engine = InlineEngine(worker, stop=stop)
        await engine.run(lambda work: perform(work, worker, stop=stop))


def batch_of(
    folder: Path, simulator: Simulator, rows: Sequence[dict[str, Any]], **options: Any
) -> Batch:
    """A batch whose rows are made by workers of the ledger in a folder."""
    made = client(folder, simulator, retries=0, prices=BOOK)
    read = rows_of(folder, rows)
    return Batch(made, read, folder / "out", engine=InlineEngine(made), **options)


def run(simulator: Simulator, *batches: Batch, folder: Path, workers: int = 1) -> list[Result]:
    """The results of batches that are followed at the same time."""

    async def main() -> list[Result]:
        stop = asyncio.Event()
        at_work = [asyncio.create_task(working(folder, simulator, stop)) for _ in range(workers)]
        try:
            done = await asyncio.gather(*(one.run() for one in batches))
        finally:
            stop.set()
            await asyncio.gather(*at_work)
        return [result for results in done for result in results]

    return asyncio.run(main())


def is_replayable(vendor: Any) -> bool:
    """Whether a vendor answers a repeated submit with the first task."""
    made = plan({"prompt": "a cat"}, vendor)
    return Submission.of(made, idempotency_key="key", simulated=True).is_replayable


def rows(count: int, **more: Any) -> list[dict[str, Any]]:
    return [row(number, vendor=VENDOR, **more) for number in range(count)]


def billed(simulator: Simulator) -> Counter[str]:
    """How often each row was billed."""
    lines = simulator.bill.charges
    return Counter(row_of(simulator.tasks[line.vendor, line.task]) for line in lines)


def test_workers_make_the_rows(tmp_path: Path, simulator: Simulator) -> None:
    """Each is paid once, and told as if this process had made it; a second run has nothing to do.

    What is saved is what the ledger says: a worker may have saved it elsewhere.
    """
    heard: list[Result] = []
    made = batch_of(tmp_path, simulator, rows(5), labels={"a": "b"}, listener=heard.append)
    assert (made.left, made.unpaid().rows) == (5, 5)
    results = run(simulator, made, folder=tmp_path)
    assert [one.state for one in results] == ["saved"] * 5
    assert {one.row.number for one in heard} == {1, 2, 3, 4, 5}
    assert [line["labels"] for line in reported(tmp_path)] == [{"a": "b"}] * 5
    assert set(billed(simulator).values()) == {1}
    for result in results:
        for file in result.files:
            Path(file).unlink()
    again = batch_of(tmp_path, simulator, rows(5))
    assert again.left == 0
    assert [one.state for one in run(simulator, again, folder=tmp_path)] == ["saved"] * 5
    assert simulator.bill.count() == 5


def test_runs_at_the_same_time_follow_the_same_rows(tmp_path: Path, simulator: Simulator) -> None:
    """References are written down once, whoever comes first."""
    batches = [batch_of(tmp_path, simulator, rows(6)) for _ in range(3)]
    for one in batches:
        one.plan()  # none knows of the others' rows
    results = run(simulator, *batches, folder=tmp_path, workers=2)
    assert [one.state for one in results] == ["saved"] * 18
    assert set(billed(simulator).values()) == {1}


def test_an_interrupted_run_is_followed_again(tmp_path: Path, simulator: Simulator) -> None:
    """The workers go on; the rows that were not written down yet are so then."""

    async def interrupted() -> None:
        made = batch_of(tmp_path, simulator, rows(4))
        followed = asyncio.create_task(made.run())
        await until(made.client.jobs)
        followed.cancel()
        await asyncio.gather(followed, return_exceptions=True)

    asyncio.run(interrupted())
    states = {line["state"] for line in reported(tmp_path)}
    assert states <= {"queued", "not-started"}
    assert simulator.bill.count() == 0
    results = run(simulator, batch_of(tmp_path, simulator, rows(5)), folder=tmp_path)
    assert [one.state for one in results] == ["saved"] * 5
    assert set(billed(simulator).values()) == {1}


# -- limits ----------------------------------------------------------------------------------------


class Careless(Batch):
    """A batch that does not refuse up front what could cost too much."""

    def check(self) -> None:
        limit, self.max_cost = self.max_cost, None
        super().check()
        self.max_cost = limit


def priced(count: int) -> list[dict[str, Any]]:
    return [row(number, vendor=PRICED[0]) for number in range(count)]


def test_rows_share_the_limit_of_their_batch(tmp_path: Path, simulator: Simulator) -> None:
    """What was made before by this process counts too, and more is begun when it is raised."""
    made = client(tmp_path, simulator, prices=BOOK)
    read = rows_of(tmp_path, priced(1))
    (first,) = asyncio.run(Batch(made, read, tmp_path / "out").run())
    price = first.cost.usd
    assert price
    limits: dict[str, Any] = {"max_cost": 3 * price, "concurrency": 2, "rate": 6e5}
    with pytest.raises(BudgetError, match="nothing was sent"):
        run(simulator, batch_of(tmp_path, simulator, priced(5), **limits), folder=tmp_path)
    assert simulator.bill.count() == 1
    careless = batch_of(tmp_path, simulator, priced(5), **limits)
    careless = Careless(
        careless.client, careless.rows, careless.output, engine=careless.engine, **limits
    )
    results = run(simulator, careless, folder=tmp_path)
    assert Counter(one.state for one in results) == {"saved": 3, "unsent": 2}
    assert {type(one.error) for one in results} == {type(None), BudgetError}
    name = read[0].batch
    assert name
    whole, own = made.shared_limits(name)
    assert (whole.spent, own.under_way, own.concurrency) == (3 * price, 0, 2)
    more = batch_of(tmp_path, simulator, priced(5), max_cost=5 * price)
    assert [one.state for one in run(simulator, more, folder=tmp_path)] == ["saved"] * 5
    whole, own = made.shared_limits(name)
    assert (whole.spent, own.concurrency, own.rate) == (5 * price, None, None)
    assert set(billed(simulator).values()) == {1}


def test_limits_are_those_of_one_batch(tmp_path: Path, simulator: Simulator) -> None:
    """Rows that were made by hand have none."""
    made = batch_of(tmp_path, simulator, rows(2))
    bare = [evolve(one, batch=None) for one in made.rows]
    work = Batch(made.client, bare, tmp_path / "out", engine=made.engine, rate=60)
    with pytest.raises(RequestError, match="of one batch"):
        asyncio.run(work.run())
    assert made.client.jobs() == []


# -- what goes wrong -------------------------------------------------------------------------------


def test_a_refused_row_goes_to_its_next_vendor(tmp_path: Path, simulator: Simulator) -> None:
    """Only where the one before is proved unpaid."""
    first, second = VENDORS[:2]
    simulator.script(first, *["insufficient_credits"] * 4)
    asked = [row(number, vendors=[first, second]) for number in range(3)]
    results = run(simulator, batch_of(tmp_path, simulator, asked), folder=tmp_path)
    assert [(one.state, one.vendor) for one in results] == [("saved", second)] * 3
    only = [row(9, vendor=first, reference="only")]
    (result,) = run(simulator, batch_of(tmp_path, simulator, only), folder=tmp_path)
    assert (result.state, type(result.error), result.billed) == ("rejected", RejectedError, "no")


def test_a_lost_answer_is_looked_for_once(tmp_path: Path, simulator: Simulator) -> None:
    """Where nothing is found, the row is ambiguous, and nothing is sent again."""
    simulator.inject("lost-reset", times=1)
    results = run(simulator, batch_of(tmp_path, simulator, rows(3)), folder=tmp_path)
    assert Counter(one.state for one in results) == {"saved": 2, "ambiguous": 1}
    (lost,) = [one for one in results if one.state == "ambiguous"]
    assert (type(lost.error), lost.billed) == (AmbiguousError, "maybe")
    assert set(billed(simulator).values()) == {1}
    replaying = next(one for one in VENDORS if is_replayable(one))
    simulator.inject("lost-reset", times=2)
    asked = [
        row(number, vendor=replaying, reference=name)
        for number, name in ((20, "a"), (20, "b"), (21, "c"))
    ]
    results = run(simulator, batch_of(tmp_path, simulator, asked), folder=tmp_path)
    assert [one.state for one in results] == ["saved"] * 3


def test_files_of_this_machine_are_refused_by_row(tmp_path: Path, simulator: Simulator) -> None:
    """Before anything is written down."""
    (tmp_path / "cat.png").write_bytes(picture(size=(600, 600)))
    asked = [*rows(1), row(1, first_frame=str(tmp_path / "cat.png"))]
    made = batch_of(tmp_path, simulator, asked)
    (problem,) = made.problems
    assert (problem.line, "files of this machine" in problem.text) == (2, True)
    with pytest.raises(RequestError, match="files of this machine"):
        asyncio.run(made.run())
    assert made.client.jobs() == []


def test_who_waits_for_a_worker_is_told_how_to_start_one(
    tmp_path: Path,
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At once, and once, where none is at work."""
    made = batch_of(tmp_path, simulator, rows(2))

    async def main() -> None:
        followed = asyncio.create_task(made.run())
        await until(lambda: "polyreel worker" in caplog.text)
        stop = asyncio.Event()
        worker = asyncio.create_task(working(tmp_path, simulator, stop))
        await followed
        stop.set()
        await worker

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert caplog.text.count("polyreel worker") == 1


def test_a_row_that_takes_too_long_is_left_to_the_workers(
    tmp_path: Path, simulator: Simulator
) -> None:
    """It is not failed: its job goes on."""
    made = batch_of(tmp_path, simulator, rows(1))
    asyncio.run(made.client.submit(made.tasks[0].first, reference=made.rows[0].reference))
    late = batch_of(tmp_path, simulator, rows(1), timeout=0)
    (result,) = asyncio.run(late.run())
    assert (result.state, type(result.error)) == ("accepted", StillRunningError)


ERRORS: dict[State, type[Exception] | None] = {
    "saved": None,
    "failed": JobFailedError,
    "ambiguous": AmbiguousError,
    "rejected": RejectedError,
    "unsent": NeverSentError,
    "abandoned": LedgerError,
}


def test_errors_are_what_the_ledger_says(tmp_path: Path, simulator: Simulator) -> None:
    """Of each state in which a row can end."""
    made = client(tmp_path, simulator)
    job = asyncio.run(made.submit({"prompt": "a cat"}, VENDOR))
    (entry,) = made.jobs()
    entry = evolve(entry, job=job, reason="a reason")
    for state, kind in ERRORS.items():
        error = following.error_of(evolve(entry, state=state))
        assert (None if error is None else type(error)) is kind
        assert getattr(error, "ledger_id", entry.id) in {entry.id, job.ledger_id}
