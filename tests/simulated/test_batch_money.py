"""What a batch may cost: budgets, bounds, estimates and charges."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from polyreel import AsyncClient, Simulator, batch
from polyreel.batch import Batch, Budget, CostRange, Result, Row
from polyreel.batch.costs import most_spent
from polyreel.errors import (
    AmbiguousError,
    BudgetError,
)
from polyreel.ledger.events import Intend, Settle
from polyreel.ledger.records import Submission
from polyreel.ledger.sqlite import Ledger
from polyreel.money.amounts import Cost
from polyreel.money.book import PriceBook, Rate
from polyreel.money.charged import charged
from polyreel.providers.base.registry import get_provider
from polyreel.simulator.faults import FAULTS
from support import matrix
from support.batches import (
    BOOK,
    VENDORS,
    client,
    price_of,
    reported,
    row,
    row_of,
    rows_of,
    run,
    write,
)
from support.prices import PRICED, UNPRICED

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


@pytest.mark.slow
@pytest.mark.matrix
def test_a_budget_is_never_exceeded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Random batches, each run twice: what was billed, ambiguous or not, is never more than the
    limit.
    """
    caplog.set_level("WARNING")  # the log of every call takes longer than the calls
    refused = billed = 0
    seeds = matrix.drawn(range(200), 20)
    for seed in seeds:
        folder = tmp_path / f"batch{seed}"
        folder.mkdir()
        limit, spent, stopped = random_batch(seed, folder)
        assert spent <= limit, seed
        refused, billed = refused + stopped, billed + (spent > 0)
    # Of a sample of few, few may be tight.
    assert refused > (100 if matrix.whole() else 1), "the budget was never tight"
    assert billed > (90 if matrix.whole() else 1), "hardly anything was paid"


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


def test_batches_of_one_name_at_once_have_one_limit(tmp_path: Path) -> None:
    """Neither knows of the other's rows when it begins: the ledger counts them together."""
    files = [
        [row(number, vendor=PRICED[0], reference=f"{part}{number}") for number in range(3)]
        for part in "ab"
    ]
    found = [
        batch.read(write(tmp_path, rows, f"{number}.jsonl"), name="same")
        for number, rows in enumerate(files)
    ]
    limit = Decimal("0.714705")  # of three rows

    async def both() -> list[tuple[Result, ...]]:
        ledger = tmp_path / "ledger"
        async with AsyncClient(ledger=ledger) as one, AsyncClient(ledger=ledger) as other:
            made = [
                Batch(each, rows, tmp_path / str(number), max_cost=limit)
                for number, (each, rows) in enumerate(zip((one, other), found, strict=True))
            ]
            for each in made:
                each.check()
            return await asyncio.gather(*(each.run() for each in made))

    results = [result for part in asyncio.run(both()) for result in part]
    assert Counter(result.state for result in results) == {"saved": 3, "not-started": 3}
    assert all(isinstance(one.error, BudgetError) for one in results if one.state == "not-started")


def test_a_row_that_another_run_gave_back_is_paid_within_the_limit(tmp_path: Path) -> None:
    """The submit of the other run was refused while this one waited for it."""
    (one,) = rows = rows_of(tmp_path, [row(1, vendor=PRICED[0])])

    async def use() -> tuple[Result, ...]:
        with Ledger(tmp_path / "ledger") as ledger:
            async with AsyncClient(ledger=ledger) as own:
                owner, made = ledger.new_owner(), own.plan(one.request, get_provider(PRICED[0]))
                options: Any = {"idempotency_key": "other", "reference": one.reference}
                began = Intend(Submission.of(made, simulated=True, **options))
                entry = ledger.write(began, owner, 0.0)
                running = asyncio.create_task(
                    Batch(own, rows, tmp_path / "out", max_cost=Decimal(1)).run()
                )
                await asyncio.sleep(0.1)  # it may wait by now, and may not
                ledger.write(Settle(entry, "rejected", "it was refused"), owner, 0.0)
                ledger.release(owner, sent=False)
                found = await running
            assert [each.submission.limits for each in ledger.entries()] == [one.batch] * 2
            return found

    assert [result.state for result in asyncio.run(use())] == ["saved"]


def test_an_unknown_price_has_no_limit(tmp_path: Path) -> None:
    """Under a limit it is refused, unless a price file tells the price."""
    rows = rows_of(tmp_path, [row(1, vendor=UNPRICED[0])])
    with pytest.raises(BudgetError, match=r"1 row\(s\) is unknown \(line 1 at .*price file"):
        run(client(tmp_path), rows, tmp_path, max_cost=Decimal(1000))
    routed = rows_of(tmp_path, [row(1, vendors=[PRICED[0], UNPRICED[0]])])
    with pytest.raises(BudgetError, match=rf"line 1 at {UNPRICED[0]}\)"):
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


def test_what_was_charged_stands_beside_the_estimate(tmp_path: Path) -> None:
    """In numbers and in the vendor's own words; where it says nothing, nothing is made up."""
    rows = rows_of(tmp_path, [row(number, vendor=vendor) for number, vendor in enumerate(VENDORS)])
    simulator = Simulator(seed=1)
    simulator.inject("refused", UNPRICED[0], times=None)
    results = run(client(tmp_path, simulator), rows, tmp_path)
    for result, line in zip(results, reported(tmp_path), strict=True):
        job, charge = result.job, charged(result.job) if result.job else None
        assert line["charged"] == (job and job.usage)
        assert line["charge"] == (charge and charge.document())
        assert line["simulated"] == (job and job.simulated)
        assert job is None or job.estimate == line["cost"] == result.cost.document()
    assert {line["charge"] is None for line in reported(tmp_path)} == {True, False}


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


# --- what was spent before ------------------------------------------------------------------------


def test_rows_that_left_the_file_stay_spent(tmp_path: Path) -> None:
    """All that was paid under the batch's name counts, whatever the file says now."""
    simulator = Simulator(seed=1)
    lines = [row(number, vendor=UNPRICED[0], reference=f"take {number}") for number in range(6)]
    for first in (0, 2):
        rows = rows_of(tmp_path, lines[first : first + 2])
        limit = Decimal("0.90")
        run(client(tmp_path, simulator, prices=BOOK), rows, tmp_path, max_cost=limit)
    with pytest.raises(BudgetError, match=r"can cost \$1.26.*, \$?0\.84.* spent before"):
        run(
            client(tmp_path, simulator, prices=BOOK),
            rows_of(tmp_path, lines[4:]),
            tmp_path,
            max_cost=Decimal("0.90"),
        )
    assert simulator.bill.count() == 4


def test_what_was_spent_keeps_its_price(tmp_path: Path) -> None:
    """A price file that is cheaper today makes nothing cheaper that was paid yesterday."""
    simulator, vendor = Simulator(seed=1), UNPRICED[0]
    lines = [row(number, vendor=vendor) for number in range(2)]
    run(
        client(tmp_path, simulator, prices=PriceBook((Rate(vendor, Decimal("1.00")),))),
        rows_of(tmp_path, lines[:1]),
        tmp_path,
        max_cost=Decimal(3),
    )
    cheap = PriceBook((Rate(vendor, Decimal("0.01")),))
    rows = rows_of(tmp_path, lines)
    with pytest.raises(BudgetError, match=r"can cost \$3\.03.*spent before"):
        run(client(tmp_path, simulator, prices=cheap), rows, tmp_path, max_cost=Decimal(3))
    made = Batch(client(tmp_path, simulator, prices=cheap), rows, tmp_path)
    assert made.plan().at_most == Decimal("3.03")
    asyncio.run(made.client.close())


def test_a_spent_price_that_nobody_knows_has_no_limit(tmp_path: Path) -> None:
    """A paid row that left the file, of which nobody knows the price, forbids a limit."""
    simulator = Simulator(seed=1)
    lines = [row(number, vendor=UNPRICED[0]) for number in range(2)]
    run(client(tmp_path, simulator), rows_of(tmp_path, lines[:1]), tmp_path)
    later = rows_of(tmp_path, [{**lines[1], "reference": "2"}])
    with pytest.raises(BudgetError, match="paid before"):
        run(
            client(tmp_path, simulator, prices=BOOK),
            later,
            tmp_path,
            max_cost=Decimal(1000),
        )
    assert simulator.bill.count() == 1


def test_the_greater_of_estimate_and_charge_is_spent(tmp_path: Path) -> None:
    """A vendor may have charged more than anybody expected."""
    made = rows_of(tmp_path, [row(1, vendor=PRICED[0])])
    simulator = Simulator(seed=1)
    (result,) = run(client(tmp_path, simulator), made, tmp_path)
    assert result.ledger_id
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        entry = ledger.entry(result.ledger_id)
    assert entry.job is not None
    estimate = CostRange.of(Cost.read(entry.submission.estimate or {})).most
    assert estimate is not None
    assert most_spent(entry) == estimate
    live = entry.job.model_copy(
        update={"simulated": False, "usage": {"credits_used": 999.0}, "status": "succeeded"}
    )
    charge = charged(live)
    assert charge is not None
    assert charge.usd is not None
    assert most_spent(evolve(entry, job=live)) == charge.usd > estimate
