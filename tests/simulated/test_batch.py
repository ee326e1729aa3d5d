"""Many jobs from one file: nothing is paid twice, and no row stops another."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from polyreel import AsyncClient, Ledger, Simulator, batch
from polyreel.batch import Batch, Result
from polyreel.errors import (
    DownloadError,
    LedgerError,
    PolyreelError,
    RequestError,
)
from polyreel.ledger.events import Claim
from polyreel.simulator.faults import FAULTS
from support.batches import (
    BOOK,
    ENDLESS,
    FINAL,
    FIRST,
    VENDORS,
    client,
    reported,
    row,
    row_of,
    rows_of,
    run,
    write,
)
from support.fleet import JumpingLoop, LoopClock
from support.prices import UNPRICED
from support.waiting import HANGS


def test_running_again_does_nothing(tmp_path: Path) -> None:
    """Where all is done: no call, no charge, the same results."""
    rows, simulator = rows_of(tmp_path, [row(number) for number in range(4)]), Simulator(seed=1)
    first = run(client(tmp_path, simulator), rows, tmp_path)
    calls, lines = len(simulator.journal), reported(tmp_path)
    again = run(client(tmp_path, simulator), rows, tmp_path)
    assert [result.state for result in (*first, *again)] == ["saved"] * 8
    assert (len(simulator.journal), reported(tmp_path)) == (calls, lines)
    Path(lines[0]["files"][0]).unlink()
    assert run(client(tmp_path, simulator), rows, tmp_path)[0].files == lines[0]["files"]
    assert Path(lines[0]["files"][0]).exists()
    assert simulator.bill.count() == 4


def test_two_runs_at_once_share_the_jobs(tmp_path: Path) -> None:
    """As two processes with one ledger: each waits for the jobs that the other one makes."""
    rows = rows_of(tmp_path, [row(number) for number in range(6)])

    async def both() -> list[tuple[Result, ...]]:
        ledger, out = tmp_path / "ledger", tmp_path / "out"
        async with AsyncClient(ledger=ledger) as one, AsyncClient(ledger=ledger) as other:
            runs = [Batch(each, rows, out).run() for each in (one, other)]
            return await asyncio.gather(*runs)

    first, second = asyncio.run(both())
    assert [result.state for result in (*first, *second)] == ["saved"] * 12
    assert [result.ledger_id for result in first] == [result.ledger_id for result in second]
    with Ledger(tmp_path / "ledger") as ledger:
        assert len(ledger.entries()) == 6
    assert len(reported(tmp_path)) == 6
    assert not [*(tmp_path / "out").glob("*.part")]


def test_rows_of_another_run_hold_up_no_others(tmp_path: Path) -> None:
    """More of them than there are workers, and places at the vendor."""
    rows = rows_of(tmp_path, [row(number) for number in range(10)])
    ended, free = list[Result](), asyncio.Event()

    def note(result: Result) -> None:
        ended.append(result)
        if len(ended) == 2:
            free.set()

    async def use() -> tuple[Result, ...]:
        with Ledger(tmp_path / "ledger") as ledger:
            async with AsyncClient(ledger=ledger) as other:
                for one in rows[:8]:
                    await other.submit(other.plan(one.request), reference=one.reference)
            owner = ledger.new_owner()
            for entry in ledger.entries():
                ledger.write(Claim(entry.id), owner, 0.0)
            async with AsyncClient(ledger=ledger) as own:
                made = Batch(own, rows, tmp_path / "out", concurrency=8, listener=note)
                running = asyncio.create_task(made.run())
                await free.wait()
                assert {one.row.number for one in ended} == {9, 10}
                ledger.release(owner, sent=True)
                return await running

    done = asyncio.run(asyncio.wait_for(use(), HANGS))
    assert [result.state for result in done] == ["saved"] * 10


def test_a_reference_that_others_took_meanwhile_is_refused(tmp_path: Path) -> None:
    """Two batches of one name at once: the job of the one is never told as that of the other."""
    first, second = (
        batch.read(write(tmp_path, [row(number)], f"{number}.jsonl"), name="same")
        for number in (1, 2)
    )

    async def both() -> list[tuple[Result, ...]]:
        ledger = tmp_path / "ledger"
        async with AsyncClient(ledger=ledger) as one, AsyncClient(ledger=ledger) as other:
            runs = [(one, first, "a"), (other, second, "b")]
            made = [Batch(each, rows, tmp_path / name) for each, rows, name in runs]
            for each in made:
                each.check()  # each has looked into the ledger before the other has begun
            return await asyncio.gather(*(each.run() for each in made))

    found = {result.state: result for (result,) in asyncio.run(both())}
    assert found.keys() == {"saved", "not-started"}
    assert (found["not-started"].job, found["not-started"].billed) == (None, "no")
    assert "another request" in str(found["not-started"].error)


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
    received: list[Result] = []
    results = run(
        client(tmp_path, simulator), rows, tmp_path, listener=received.append, concurrency=1
    )
    assert [result.state for result in results] == [
        "failed",
        "rejected",
        "saved",
        "ambiguous",
        "saved",
    ]
    assert [line["state"] for line in reported(tmp_path)] == [result.state for result in results]
    assert [line["billed"] for line in reported(tmp_path)] == ["maybe", "no", "yes", "maybe", "yes"]
    assert sorted(result.row.number for result in received) == [1, 2, 3, 4, 5]
    assert batch.tally(results)["saved"] == 2
    again = run(client(tmp_path, simulator), rows, tmp_path)
    assert [result.state for result in again] == ["failed", "saved", "saved", "ambiguous", "saved"]
    assert isinstance(again[0].error, PolyreelError)
    assert simulator.bill.count() == 5


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
    assert reported(tmp_path)[1]["error"] == {
        "type": "ZeroDivisionError",
        "message": "internal error; please report it",
    }


def test_rows_with_the_same_body_are_distinguished(tmp_path: Path) -> None:
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
    states = [line["state"] for line in reported(tmp_path)]
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


def test_answers_that_never_end_pay_nothing_twice(tmp_path: Path) -> None:
    """Only the client's deadline ends them; it is reached at once, on a clock that jumps."""
    simulator = Simulator(seed=1)
    chosen = {name for name in ENDLESS if FAULTS[name].call in {"submit", "poll"}}
    for name in sorted(chosen):
        simulator.inject(name, times=2)
    rows = rows_of(
        tmp_path, [row(number, vendor=VENDORS[number % len(VENDORS)]) for number in range(1, 16)]
    )
    for _ in range(2):
        results = run(client(tmp_path, simulator, prices=BOOK), rows, tmp_path)
        known = {str(result.row.number) for result in results if result.billed != "no"}
        billed = Counter(row_of(task) for task in simulator.tasks.values())
        assert set(billed.values()) == {1}
        assert set(billed) <= known
        assert {result.state for result in results} <= FINAL
    assert {fault for _, fault in simulator.fired} == chosen
    assert sum(result.state == "saved" for result in results) >= 9


def test_rows_are_begun_at_their_pace(tmp_path: Path) -> None:
    """At most so many a minute at each vendor, however many may be under way."""
    loop = JumpingLoop()
    simulator = Simulator(clock=LoopClock(loop), seed=1)
    rows = rows_of(tmp_path, [row(number, vendor=FIRST) for number in range(5)])
    made = client(tmp_path, simulator)
    results = run(made, rows, tmp_path, loop, rate=6.0)
    assert {result.state for result in results} == {"saved"}
    begun = sorted(charge.at for charge in simulator.bill.charges)
    assert [seconds - begun[0] for seconds in begun] == pytest.approx([0, 10, 20, 30, 40])


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
    rows = rows_of(tmp_path, [row(1), row(2, aspect_ratio="5:7"), row(3, aspect_ratio="7:5")])
    with pytest.raises(RequestError, match=r"line 2: .*aspect(.|\n)*line 3: .*aspect"):
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
