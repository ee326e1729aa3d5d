"""Many jobs from one file: killed and run again, nothing is paid twice; a budget is never
exceeded.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from polyreel import AsyncClient, Simulator, batch
from polyreel.batch import Batch, Budget, CostRange, Result, Row
from polyreel.errors import (
    AmbiguousError,
    BudgetError,
    DownloadError,
    LedgerError,
    PolyreelError,
    RequestError,
)
from polyreel.ledger.sqlite import Ledger
from polyreel.money.amounts import Cost
from polyreel.money.book import PriceBook, Rate
from polyreel.money.charged import charged
from polyreel.plans.reading import read as read_body
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import RunningClock, server
from polyreel.simulator.faults import FAULTS
from polyreel.simulator.tasks import Task
from support.crash import settings
from support.paths import TESTS

VENDORS = list(all_providers())
FIRST = VENDORS[0]
PRICED = [
    vendor
    for vendor, provider in all_providers().items()
    if any(
        "x-polyreel-price" in provider.contract.schema(route.schema) for route in provider.routes
    )
]
UNPRICED = [vendor for vendor in VENDORS if vendor not in PRICED]
SPEED = 100.0
ROWS = 200
CLIP: dict[str, Any] = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}
BOOK = PriceBook(tuple(Rate(vendor, Decimal("0.07")) for vendor in UNPRICED))
FINAL = {"saved", "failed", "canceled", "ambiguous", "rejected", "unsent"}


def row(number: int, **more: Any) -> dict[str, Any]:
    """One line of a batch file; its negative prompt tells the oracle which."""
    return {**CLIP, "negative_prompt": f"row {number}", **more}


def write(folder: Path, rows: Sequence[dict[str, Any]], name: str = "jobs.jsonl") -> Path:
    """A batch file."""
    path = folder / name
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    return path


def rows_of(folder: Path, rows: Sequence[dict[str, Any]]) -> tuple[Row, ...]:
    """The rows of such a file."""
    return batch.read(write(folder, rows))


def row_of(task: Task) -> str:
    """Which row a vendor's task was made for."""
    found = re.search(r"row (\d+)", json.dumps(task.body))
    assert found
    return found[1]


def price_of(task: Task, book: PriceBook) -> Decimal:
    """What a task costs, from what the vendor was sent and nothing else."""
    provider = all_providers()[task.vendor]
    reading = read_body(task.body, provider, task.route.operation.PATH)
    usd = book.cost(provider, task.route, reading.request, task.body).usd
    assert usd is not None
    return usd


def run(
    client: AsyncClient, rows: Sequence[Row], folder: Path, **options: Any
) -> tuple[Result, ...]:
    """Run a batch to its end."""

    async def main() -> tuple[Result, ...]:
        async with client:
            return await Batch(client, rows, folder / "out", **options).run()

    return asyncio.run(main())


def client(folder: Path, simulator: Simulator | None = None, **options: Any) -> AsyncClient:
    """A client of embedded vendors, with a ledger."""
    return AsyncClient(
        simulator=simulator or Simulator(seed=1), ledger=folder / "ledger.sqlite3", **options
    )


def told(folder: Path) -> list[dict[str, Any]]:
    """The lines of results.jsonl."""
    return [
        json.loads(line) for line in (folder / "out" / "results.jsonl").read_text().splitlines()
    ]


# --- killed and run again -------------------------------------------------------------------------


def afflict(simulator: Simulator, share: float) -> None:
    """Submits, polls and downloads go wrong in this share of cases, each in every way there is."""
    chosen = {
        name: fault
        for name, fault in FAULTS.items()
        if name != "file-changed" and fault.call != "upload"
    }
    kinds = Counter(fault.call for fault in chosen.values())
    for name, fault in chosen.items():
        simulator.inject(name, share=1 - (1 - share) ** (1 / kinds[fault.call]), times=None)


def work(url: str, folder: Path) -> None:
    """What the process that is killed does: the same batch every time."""
    made = AsyncClient(
        **{**settings(url, folder / "ledger.sqlite3"), "call_timeout": 0.5, "prices": BOOK}
    )
    made.wire.clock = RunningClock(SPEED)
    run(made, batch.read(folder / "jobs.jsonl"), folder, timeout=2000, max_cost=Decimal(1000))


def worker(url: str, folder: Path) -> subprocess.Popen[bytes]:
    """A process that does it."""
    code = (
        "import sys, pathlib, test_batch; test_batch.work(sys.argv[1], pathlib.Path(sys.argv[2]))"
    )
    with (folder / "stderr.txt").open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-c", code, url, str(folder)], stderr=errors, cwd=TESTS
        )


def kill_twice(simulator: Simulator, url: str, folder: Path) -> int:
    """Kill two runs in the middle, then let two more get through; how many were killed at work."""
    killed = 0
    for goal in (ROWS // 4, ROWS // 2):
        process = worker(url, folder)
        while process.poll() is None and simulator.bill.count() < goal:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    for _ in range(2):
        assert worker(url, folder).wait(90) == 0, (folder / "stderr.txt").read_text()
    return killed


def test_a_batch_that_is_killed_twice_pays_nothing_twice(tmp_path: Path) -> None:
    """200 rows over all vendors, with faults in every kind of call: each row ends in one final
    state, and what the rows cost is what the vendors' bills come to.
    """
    write(
        tmp_path,
        [row(number, vendor=VENDORS[number % len(VENDORS)]) for number in range(1, ROWS + 1)],
    )
    simulator = Simulator(clock=RunningClock(SPEED), seed=1)
    afflict(simulator, 0.1)
    with server.running(simulator) as url:
        assert kill_twice(simulator, url, tmp_path) == 2
    lines = told(tmp_path)
    assert [line["row"] for line in lines] == [*range(1, ROWS + 1)]
    assert {line["state"] for line in lines} <= FINAL
    billed = Counter(row_of(task) for task in simulator.tasks.values())
    assert simulator.bill.count() == len(billed), "a row was billed twice"
    known = {str(line["row"]) for line in lines if line["billed"] != "no"}
    assert set(billed) <= known, "a row was billed, and nobody knows"
    compare_with_the_bill(simulator, lines)
    assert simulator.fired
    assert sum(line["state"] == "saved" for line in lines) > ROWS * 0.8
    assert all(Path(file).exists() for line in lines for file in line["files"])
    assert b"Traceback" not in (tmp_path / "stderr.txt").read_bytes()


def compare_with_the_bill(simulator: Simulator, lines: Sequence[dict[str, Any]]) -> None:
    """Rows with a job, task by task and vendor by vendor: as many as were billed, for as many
    credits and dollars.

    An ambiguous row may have been billed or not, so its task, if there is one, is left out on both
    sides.
    """
    jobs = {(line["vendor"], line["job"]): line for line in lines if line["job"]}
    doubtful = {str(line["row"]) for line in lines if line["state"] == "ambiguous"}
    tasks = {name: task for name, task in simulator.tasks.items() if row_of(task) not in doubtful}
    assert set(jobs) == set(tasks)
    for vendor in VENDORS:
        own = [line for (who, _), line in jobs.items() if who == vendor]
        bill = [task for (who, _), task in tasks.items() if who == vendor]
        ids = {task.id for task in bill}
        charged = sum(
            one.credits
            for one in simulator.bill.charges
            if one.vendor == vendor and one.task in ids
        )
        assert charged == CLIP["duration"] * len(own)
        estimated = sum(Decimal(line["cost"]["usd"]) for line in own)
        assert estimated == sum(price_of(task, BOOK) for task in bill), vendor
        assert estimated > 0


def test_running_again_does_nothing(tmp_path: Path) -> None:
    """Where all is done: no call, no charge, the same results."""
    rows, simulator = rows_of(tmp_path, [row(number) for number in range(4)]), Simulator(seed=1)
    first = run(client(tmp_path, simulator), rows, tmp_path)
    calls, lines = len(simulator.journal), told(tmp_path)
    again = run(client(tmp_path, simulator), rows, tmp_path)
    assert [result.state for result in (*first, *again)] == ["saved"] * 8
    assert (len(simulator.journal), told(tmp_path)) == (calls, lines)
    Path(lines[0]["files"][0]).unlink()
    assert run(client(tmp_path, simulator), rows, tmp_path)[0].files == lines[0]["files"]
    assert Path(lines[0]["files"][0]).exists()
    assert simulator.bill.count() == 4


# --- the budget -----------------------------------------------------------------------------------


class Careless(Batch):
    """A batch that does not refuse up front what could cost too much: only each single start is
    checked.
    """

    def check(self) -> None:
        limit, self.max_cost = self.max_cost, None
        super().check()
        self.budget.limit, self.max_cost = limit, limit


SUBMITS = [name for name, fault in FAULTS.items() if fault.call == "submit"]


def random_batch(seed: int, folder: Path) -> tuple[Decimal, Decimal, int]:
    """A batch of random rows, prices, limits and faults, run twice: its limit, what was billed, and
    refused starts.
    """
    chance, simulator = random.Random(seed), Simulator(seed=seed)
    rates = [Rate(vendor, Decimal(chance.randint(1, 400)) / 1000) for vendor in VENDORS]
    book = PriceBook(tuple(rates))
    for name in chance.sample(SUBMITS, 4):
        simulator.inject(name, share=chance.random() * 0.5, times=None)
    rows = [_row(chance, number, folder.name) for number in range(chance.randint(1, 5))]
    limit = Decimal(chance.randint(0, 400)) / 100 * len(rows) / 2
    options = {
        "concurrency": chance.randint(1, 4),
        "prefer": chance.choice(["order", "cheapest"]),
        "timeout": 600,
    }
    kind = chance.choice([Batch, Careless, Careless])
    refused = asyncio.run(_twice(kind, simulator, rows, folder, limit, book, options))
    assert max(Counter(row_of(task) for task in simulator.tasks.values()).values(), default=0) <= 1
    return (
        limit,
        sum((price_of(task, book) for task in simulator.tasks.values()), Decimal(0)),
        refused,
    )


def _row(chance: random.Random, number: int, name: str) -> Row:
    request = {**row(number), "duration": chance.choice([3, 5, 10])}
    vendors = tuple(chance.sample(VENDORS, chance.randint(1, len(VENDORS))))
    return Row(number + 1, number + 1, f"{name}/{number}", request, vendors)


async def _twice(
    kind: type[Batch],
    simulator: Simulator,
    rows: list[Row],
    folder: Path,
    limit: Decimal,
    book: PriceBook,
    options: dict[str, Any],
) -> int:
    refused = 0
    for _ in range(2):
        async with client(folder, simulator, prices=book) as made:
            # Files are not what this is about, and take longest to make.
            made.generate = _without_files(made)  # type: ignore[method-assign]
            try:
                results = await kind(made, rows, folder / "out", max_cost=limit, **options).run()
            except BudgetError:
                refused += len(rows)
                continue
            refused += sum(isinstance(result.error, BudgetError) for result in results)
    return refused


def _without_files(made: AsyncClient) -> Any:
    async def generate(plans: Any, *, reference: str, **_: Any) -> Any:
        assert made.ledger
        found = [entry for entry in made.jobs() if entry.submission.reference == reference]
        if any(entry.state == "ambiguous" for entry in found):
            raise AmbiguousError("still ambiguous", ledger_id=found[-1].id, billed="maybe")
        return await made.submit(plans, reference=reference)

    return generate


def test_a_budget_is_never_exceeded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """200 random batches, each run twice: what was billed, ambiguous or not, is never more than the
    limit.
    """
    caplog.set_level("WARNING")  # the log of every call takes longer than the calls
    refused = billed = 0
    for seed in range(200):
        folder = tmp_path / f"batch{seed}"
        folder.mkdir()
        limit, spent, stopped = random_batch(seed, folder)
        assert spent <= limit, seed
        refused, billed = refused + stopped, billed + (spent > 0)
    assert refused > 100, "the budget was never tight"
    assert billed > 90, "hardly anything was paid"


def test_what_could_cost_too_much_is_refused_up_front(tmp_path: Path) -> None:
    """By the sum of the upper bounds, with nothing sent."""
    rows, simulator = (
        rows_of(tmp_path, [row(number, vendor=PRICED[0]) for number in range(3)]),
        Simulator(seed=1),
    )
    made = Batch(client(tmp_path, simulator), rows, tmp_path / "out", max_cost=Decimal("0.70"))
    assert made.plan().at_most == Decimal("0.714705")
    with pytest.raises(BudgetError, match=r"can cost \$0.714705, and may cost \$0.70"):
        asyncio.run(made.run())
    made.max_cost = Decimal("0.714705")
    made.check()
    assert simulator.journal == []
    assert not (tmp_path / "out").exists()
    asyncio.run(made.client.close())


def test_an_unknown_price_has_no_limit(tmp_path: Path) -> None:
    """Under a limit it is refused, unless a price file tells the price."""
    rows = rows_of(tmp_path, [row(1, vendor=UNPRICED[0])])
    with pytest.raises(BudgetError, match=r"1 row\(s\) is unknown \(line 1 at .*price file"):
        run(client(tmp_path), rows, tmp_path, max_cost=Decimal(1000))
    routed = rows_of(tmp_path, [row(1, vendors=[PRICED[0], UNPRICED[0]])])
    with pytest.raises(BudgetError):
        run(client(tmp_path), routed, tmp_path, max_cost=Decimal(1000))
    (result,) = run(client(tmp_path, prices=BOOK), rows, tmp_path, max_cost=Decimal("0.21"))
    assert (result.state, result.cost.usd) == ("saved", Decimal("0.210000"))


def test_what_was_given_up_is_spent(tmp_path: Path) -> None:
    """An ambiguous row that the user abandons may have been billed: paying for it anew counts
    twice.
    """
    simulator, rows = Simulator(seed=1), rows_of(tmp_path, [row(1, vendor=UNPRICED[-1])])
    simulator.inject("lost-reset")
    (lost,) = run(
        client(tmp_path, simulator, prices=BOOK), rows, tmp_path, max_cost=Decimal("0.30")
    )
    assert (lost.state, lost.billed, type(lost.error)) == ("ambiguous", "maybe", AmbiguousError)
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        ledger.abandon(lost.ledger_id or "")
    with pytest.raises(BudgetError, match=r"0\.21.* spent before"):
        run(client(tmp_path, simulator, prices=BOOK), rows, tmp_path, max_cost=Decimal("0.30"))
    (paid,) = run(
        client(tmp_path, simulator, prices=BOOK), rows, tmp_path, max_cost=Decimal("0.42")
    )
    assert (paid.state, simulator.bill.count()) == ("saved", 2)


def test_bounds() -> None:
    """The most of what may be paid counts, and nothing is known of what has no limit."""
    budget = Budget(Decimal(10))
    some, unknown = (
        CostRange(Decimal(1), Decimal(6)),
        CostRange.of(Cost("unknown", at_least_usd=Decimal(2))),
    )
    assert (unknown, CostRange.of(Cost("exact", usd=Decimal(3)))) == (
        CostRange(Decimal(2), None),
        CostRange(Decimal(3), Decimal(3)),
    )
    assert (budget.reserve(some), budget.reserve(some), budget.reserve(unknown)) == (
        True,
        False,
        False,
    )
    budget.settle(some, CostRange(Decimal(2), Decimal(5)))
    assert (budget.spent, budget.reserved, budget.reserve(some)) == (Decimal(5), Decimal(0), False)
    assert budget.reserve(CostRange(Decimal(5), Decimal(5)))
    budget.settle(CostRange(Decimal(5), Decimal(5)), None)
    assert (budget.spent, budget.reserved) == (Decimal(5), Decimal(0))


# --- one row's failure ----------------------------------------------------------------------------


def test_one_row_never_stops_the_rest(tmp_path: Path) -> None:
    """Refused, failed, ambiguous, or an internal error: each row has its own end, in the order of
    the file.
    """
    simulator = Simulator(seed=1)
    simulator.script(FIRST, "failed", "insufficient_credits")
    simulator.inject("lost-reset", UNPRICED[-1], times=1)
    lines = [row(number, vendor=FIRST) for number in range(3)]
    rows = rows_of(tmp_path, [*lines, row(3, vendor=UNPRICED[-1]), row(4, vendor=UNPRICED[0])])
    heard: list[Result] = []
    results = run(client(tmp_path, simulator), rows, tmp_path, listener=heard.append, concurrency=1)
    assert [result.state for result in results] == [
        "failed",
        "rejected",
        "saved",
        "ambiguous",
        "saved",
    ]
    assert [line["state"] for line in told(tmp_path)] == [result.state for result in results]
    assert [line["billed"] for line in told(tmp_path)] == ["maybe", "no", "yes", "maybe", "yes"]
    assert sorted(result.row.number for result in heard) == [1, 2, 3, 4, 5]
    assert batch.tally(results)["saved"] == 2
    again = run(client(tmp_path, simulator), rows, tmp_path)
    assert [result.state for result in again] == ["failed", "saved", "saved", "ambiguous", "saved"]
    assert isinstance(again[0].error, PolyreelError)
    assert simulator.bill.count() == 5


def test_what_was_charged_stands_beside_the_estimate(tmp_path: Path) -> None:
    """In numbers and in the vendor's own words; where it says nothing, nothing is made up."""
    rows = rows_of(tmp_path, [row(number, vendor=vendor) for number, vendor in enumerate(VENDORS)])
    simulator = Simulator(seed=1)
    simulator.inject("refused", UNPRICED[0], times=None)
    results = run(client(tmp_path, simulator), rows, tmp_path)
    for result, line in zip(results, told(tmp_path), strict=True):
        job, charge = result.job, charged(result.job) if result.job else None
        assert line["charged"] == (job and job.usage)
        assert line["charge"] == (charge and charge.document())
        assert line["simulated"] == (job and job.simulated)
        assert job is None or job.estimate == line["cost"] == result.cost.document()
    assert {line["charge"] is None for line in told(tmp_path)} == {True, False}


def test_an_internal_error_is_one_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its text is not shown: nobody knows what it quotes."""
    submit = AsyncClient.submit

    async def broken(self: AsyncClient, plans: Any, **options: Any) -> Any:
        if options["reference"].endswith("/2"):
            raise ZeroDivisionError("secret")
        return await submit(self, plans, **options)

    monkeypatch.setattr(AsyncClient, "submit", broken)
    results = run(
        client(tmp_path), rows_of(tmp_path, [row(number) for number in range(3)]), tmp_path
    )
    assert [result.state for result in results] == ["saved", "not-started", "saved"]
    assert told(tmp_path)[1]["error"] == {
        "type": "ZeroDivisionError",
        "message": "internal error; please report it",
    }


def test_rows_with_the_same_body_are_told_apart(tmp_path: Path) -> None:
    """An answer that was lost is looked for when all others have theirs, so that no row takes
    another's task.
    """
    for vendor in VENDORS:
        folder, simulator = tmp_path / vendor, Simulator(seed=1)
        folder.mkdir()
        simulator.inject("unheard-reset", vendor, times=2)
        simulator.inject("lost-reset", vendor, share=0.5, times=2)
        rows = rows_of(
            folder,
            [{**row(1), "vendor": vendor, "reference": f"take {number}"} for number in range(6)],
        )
        results = run(client(folder, simulator), rows, folder)
        jobs = [result.job.id for result in results if result.job]
        assert len(jobs) == len(set(jobs)), "two rows have one task"
        assert {result.state for result in results} <= {"saved", "ambiguous"}
        assert simulator.bill.count() <= 6


def test_an_interrupted_batch_tells_where_it_was(tmp_path: Path) -> None:
    """Every row is in the results, and the next run goes on."""
    rows, simulator = (
        rows_of(tmp_path, [row(number, vendor=FIRST) for number in range(6)]),
        Simulator(seed=1),
    )

    async def stopped() -> None:
        async with client(tmp_path, simulator) as made:
            work = Batch(made, rows, tmp_path / "out", concurrency=2)
            task = asyncio.create_task(work.run())

            def stop(_: Result) -> None:
                task.cancel()

            work.listener = stop
            await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stopped())
    states = [line["state"] for line in told(tmp_path)]
    assert len(states) == 6
    assert {"saved", "not-started"} <= set(states)
    assert {result.state for result in run(client(tmp_path, simulator), rows, tmp_path)} == {
        "saved"
    }
    assert simulator.bill.count() == 6


# --- vendors, pace, plans -------------------------------------------------------------------------


def test_the_next_vendor_is_asked_and_rests_are_waited_for(tmp_path: Path) -> None:
    """Where all vendors of a row rest, the row waits for them instead of failing."""
    simulator = Simulator(seed=1)
    simulator.inject("refused", times=12)
    rows = rows_of(tmp_path, [row(number) for number in range(12)])
    results = run(
        client(tmp_path, simulator, retries=0), rows, tmp_path, vendors=VENDORS, concurrency=1
    )
    states = batch.tally(results)
    assert (states["saved"] >= 1, set(states) <= {"saved", "unsent"}) == (True, True)
    cheapest = run(
        client(tmp_path, prices=BOOK),
        rows_of(tmp_path, [row(99, reference="x")]),
        tmp_path,
        prefer="cheapest",
    )
    assert cheapest[0].vendor in UNPRICED


def test_rows_are_begun_at_their_pace(tmp_path: Path) -> None:
    """At most so many a minute at each vendor, however many may be under way."""
    simulator = Simulator(clock=RunningClock(SPEED), seed=1)
    rows = rows_of(tmp_path, [row(number, vendor=FIRST) for number in range(5)])
    made = client(tmp_path, simulator)
    made.wire.clock = RunningClock(SPEED)
    assert {result.state for result in run(made, rows, tmp_path, rate=6.0)} == {"saved"}
    begun = sorted(charge.at for charge in simulator.bill.charges)
    assert begun[-1] - begun[0] > 30, "40 seconds, less what the first may have been late"


def test_the_summary_is_fit_for_a_notebook(tmp_path: Path) -> None:
    """Exact where all is known, a count where it is not, and nothing in it is taken for markup."""
    rows = rows_of(tmp_path, [row(1, vendor=PRICED[0]), row(2, vendor=UNPRICED[0])])
    made = Batch(client(tmp_path), rows, tmp_path)
    summary = made.plan()
    assert (summary.rows, summary.unknown, made.left) == (2, 1, 2)
    assert "1 row(s) of unknown price, and 1 for at most $0.238235" in str(summary)
    assert "<table>" in summary._repr_html_()
    assert "&lt;b&gt;" in batch.Summary(1, 0, Decimal(0), Decimal(0), 0, {"<b>": 1})._repr_html_()
    asyncio.run(made.client.close())
    exact = Batch(client(tmp_path, prices=BOOK), rows, tmp_path)
    assert str(exact.plan()).endswith("$0.448235 exactly")
    asyncio.run(exact.client.close())


def test_a_reference_is_one_request(tmp_path: Path) -> None:
    """Rows that moved in the file would be given the clips of others."""
    simulator = Simulator(seed=1)
    run(client(tmp_path, simulator), rows_of(tmp_path, [row(1), row(2)]), tmp_path)
    moved = rows_of(tmp_path, [row(0), row(1), row(2)])
    with pytest.raises(
        RequestError, match=r"line 1: reference: .* has a job of another request"
    ) as refused:
        run(client(tmp_path, simulator), moved, tmp_path)
    assert len(refused.value.problems) == 2
    assert simulator.bill.count() == 2


def test_what_cannot_be_run_is_refused(tmp_path: Path) -> None:
    """Without a ledger, with impossible settings, with rows that no vendor can serve, or nowhere to
    write.
    """
    rows = rows_of(tmp_path, [row(1), row(2, duration=99), row(3, duration=98)])
    with pytest.raises(RequestError, match=r"line 2: .*duration(.|\n)*line 3: .*duration"):
        run(client(tmp_path), rows, tmp_path)
    with pytest.raises(LedgerError):
        run(AsyncClient(), rows, tmp_path)
    for wrong in (
        {"concurrency": 0},
        {"rate": 0.0},
        {"max_cost": Decimal("NaN")},
        {"max_cost": Decimal(-1)},
    ):
        with pytest.raises(RequestError):
            run(client(tmp_path), rows, tmp_path, **wrong)
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DownloadError, match="nothing was sent"):
        run(client(tmp_path), rows[:1], tmp_path)
    live = AsyncClient(keys={FIRST: "sk-none-0123456789"}, ledger=tmp_path / "ledger.sqlite3")
    with pytest.raises(RequestError, match="no key for"):
        run(live, rows_of(tmp_path, [row(1, vendor=VENDORS[1])]), tmp_path)


# --- files that are wrong -------------------------------------------------------------------------

GOOD = b'{"prompt": "a cat"}\n'
BROKEN: dict[str, tuple[str, bytes, str]] = {
    "empty": ("x.jsonl", b"", "line 1: there are no rows"),
    "blank": ("x.jsonl", b"\n \n", "no rows"),
    "not-json": ("x.jsonl", GOOD + b"{prompt}\n", "line 2: not JSON"),
    "cut": ("x.jsonl", GOOD + b'{"prompt": "a', "line 2: not JSON"),
    "array": ("x.jsonl", b"[1]\n", "line 1: a row is a JSON object, not list"),
    "null": ("x.jsonl", b"\nnull\n", "line 2: a row is a JSON object, not null"),
    "text": ("x.jsonl", b'"a cat"\n', "not str"),
    "nothing-asked": ("x.jsonl", b"{}\n", "line 1: prompt"),
    "only-reference": ("x.jsonl", b'{"reference": "a"}\n', "prompt"),
    "unknown-field": (
        "x.jsonl",
        b'{"prompt": "a", "seconds": 5}\n',
        "line 1: seconds: no such field",
    ),
    "null-value": ("x.jsonl", b'{"prompt": "a", "duration": null}\n', "duration: null"),
    "text-number": ("x.jsonl", b'{"prompt": "a", "duration": "5"}\n', "line 1: duration"),
    "nan": ("x.jsonl", b'{"prompt": "a", "guidance_scale": NaN}\n', "NaN is not JSON"),
    "infinite": ("x.jsonl", b'{"prompt": "a", "guidance_scale": 1e999}\n', "guidance_scale"),
    "digits": ("x.jsonl", b'{"duration": ' + b"9" * 5000 + b"}\n", "digits"),
    "twice": ("x.jsonl", b'{"prompt": "a", "prompt": "b"}\n', "'prompt' is there twice"),
    "surrogate": ("x.jsonl", b'{"prompt": "\\ud800"}\n', "prompt: not valid Unicode"),
    "not-utf-8": ("x.jsonl", GOOD + b'{"prompt": "\xff"}\n', "line 2: not UTF-8"),
    "utf-16": ("x.jsonl", '{"prompt": "a"}\n'.encode("utf-16"), "line 1: not UTF-8"),
    "deep": ("x.jsonl", b"[" * 200_000 + b"\n", "nested too deeply"),
    "vendor": (
        "x.jsonl",
        b'{"prompt": "a", "vendor": "nobody"}\n',
        "vendor: no vendor is called 'nobody'",
    ),
    "vendor-number": ("x.jsonl", b'{"prompt": "a", "vendor": 5}\n', "vendor: no vendor"),
    "vendors-text": ("x.jsonl", b'{"prompt": "a", "vendors": "x"}\n', "vendors: a list"),
    "vendors-none": ("x.jsonl", b'{"prompt": "a", "vendors": []}\n', "vendors: a list"),
    "vendors-unknown": ("x.jsonl", b'{"prompt": "a", "vendors": [["x"]]}\n', "vendors: no vendor"),
    "vendor-and-vendors": (
        "x.jsonl",
        json.dumps({"prompt": "a", "vendor": FIRST, "vendors": [FIRST]}).encode(),
        "vendors: there is a vendor already",
    ),
    "vendors-twice": (
        "x.jsonl",
        json.dumps({"prompt": "a", "vendors": [FIRST, FIRST]}).encode(),
        "each once",
    ),
    "reference-object": ("x.jsonl", b'{"prompt": "a", "reference": {}}\n', "reference: a text"),
    "reference-true": ("x.jsonl", b'{"prompt": "a", "reference": true}\n', "reference: a text"),
    "reference-blank": ("x.jsonl", b'{"prompt": "a", "reference": " "}\n', "reference: one to 200"),
    "reference-long": (
        "x.jsonl",
        json.dumps({"prompt": "a", "reference": "x" * 201}).encode(),
        "one to 200",
    ),
    "reference-control": (
        "x.jsonl",
        b'{"prompt": "a", "reference": "a\\u001b[2J"}\n',
        "can be printed",
    ),
    "reference-twice": (
        "x.jsonl",
        b'{"prompt": "a", "reference": "1"}\n' * 2,
        "line 2: reference: '1' is that of line 1",
    ),
    "reference-is-a-number": (
        "x.jsonl",
        GOOD + b'{"prompt": "a", "reference": 1}\n',
        "line 2: reference: '1'",
    ),
    "csv-empty": ("x.csv", b"", "no rows"),
    "csv-header-only": ("x.csv", b"prompt,duration\n", "no rows"),
    "csv-unknown": ("x.csv", b"prompt,seconds\na,5\n", "line 1: header: no field 'seconds'"),
    "csv-semicolons": ("x.csv", b"prompt;duration\na;5\n", "line 1: header: no field"),
    "csv-twice": ("x.csv", b"prompt,prompt\na,b\n", "header: prompt is there twice"),
    "csv-shots": ("x.csv", b"prompt,shots\na,b\n", "header: no field 'shots'"),
    "csv-short": ("x.csv", b"prompt,duration\na\n", "line 2: 1 cells, where the header has 2"),
    "csv-long": ("x.csv", b"prompt\na,b\n", "line 2: 2 cells"),
    "csv-number": (
        "x.csv",
        b"prompt,duration\na,5\nb,five\n",
        "line 3: duration: a whole number, not 'five'",
    ),
    "csv-superscript": (
        "x.csv",
        "prompt,duration\na,\u00b2\n".encode(),
        "line 2: duration: a whole number",
    ),
    "csv-fraction": (
        "x.csv",
        b"prompt,guidance_scale\na,nan\n",
        "line 2: guidance_scale: a number",
    ),
    "csv-switch": ("x.csv", b"prompt,audio\na,yes\n", "line 2: audio: true or false, not 'yes'"),
    "csv-range": ("x.csv", b"prompt,duration\na,0\n", "line 2: duration"),
    "csv-quote": ("x.csv", b'prompt,duration\n"a,5\n', "line 2: not CSV"),
    "csv-not-utf-8": ("x.csv", b"prompt\na\n\xe9\n", "line 3: not UTF-8"),
    "csv-lines": ("x.csv", b'prompt,duration\n"a\nb\nc",5\nd,x\n', "line 5: duration"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused(tmp_path: Path, name: str) -> None:
    """With the line and the field."""
    file, content, needle = BROKEN[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(RequestError) as refused:
        batch.read(tmp_path / file)
    assert needle in str(refused.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Twenty in words, the others counted; and those of one row all."""
    (tmp_path / "x.jsonl").write_bytes(b'{"prompt": " ", "duration": 0, "vendor": "x"}\n' * 10)
    with pytest.raises(RequestError) as refused:
        batch.read(tmp_path / "x.jsonl")
    assert len(refused.value.problems) == 21
    assert refused.value.problems[-1] == "and 10 more"
    assert str(refused.value).count("\n- line ") == 20
    for path in (tmp_path / "none.jsonl", tmp_path, tmp_path / "a\0b"):
        with pytest.raises(RequestError, match=re.escape(str(tmp_path))):
            batch.read(path)
    for wrong in ("", " ", "a\nb", "x" * 201):
        with pytest.raises(RequestError, match="name of a batch"):
            batch.read(tmp_path / "x.jsonl", name=wrong)


def test_a_file_that_is_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bytes, and in rows."""
    (tmp_path / "x.jsonl").write_bytes(GOOD * 5)
    monkeypatch.setattr(batch.rows, "MAX_ROWS", 3)
    with pytest.raises(RequestError, match="line 4: more than 3 rows"):
        batch.read(tmp_path / "x.jsonl")
    monkeypatch.setattr(batch.rows, "MAX_BYTES", 10)
    with pytest.raises(RequestError, match="more than 10 bytes"):
        batch.read(tmp_path / "x.jsonl")


def test_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    """Empty cells are not set, numbers and switches are read by the shared schema, lists have a bar
    between.
    """
    (tmp_path / "x.csv").write_bytes(
        "\ufeffreference,vendors,prompt,duration,audio,guidance_scale,reference_images\r\n"
        f'a,{VENDORS[0]}|{VENDORS[1]},"a, ""cat""\r\nat night",5,TRUE,,\r\n\r\n'
        ",,b,,,0.5,https://example.com/1.png | https://example.com/2.png\r\n".encode()
    )
    first, second = batch.read(tmp_path / "x.csv", name="spring")
    assert first.request == {"prompt": 'a, "cat"\r\nat night', "duration": 5, "audio": True}
    assert (first.vendors, first.reference, first.line) == (tuple(VENDORS[:2]), "spring/a", 2)
    images = ["https://example.com/1.png", "https://example.com/2.png"]
    assert second.request == {"prompt": "b", "guidance_scale": 0.5, "reference_images": images}
    assert (second.vendors, second.reference, second.line, second.number) == ((), "spring/2", 5, 2)
    lines = [{"reference": "a", "vendors": VENDORS[:2], **first.request}, second.request]
    (tmp_path / "x.jsonl").write_bytes(
        b"\xef\xbb\xbf" + b"\r\n\n".join(json.dumps(one).encode() for one in lines)
    )
    found = batch.read(tmp_path / "x.jsonl", name="spring")
    assert [(one.request, one.vendors, one.reference) for one in found] == [
        (one.request, one.vendors, one.reference) for one in (first, second)
    ]
    other = batch.read(tmp_path / "x.jsonl")[0].reference
    assert re.fullmatch(r"x-[0-9a-f]{8}/a", other)
