"""Jobs are written down now and submitted later; work that is done twice is paid once."""

from __future__ import annotations

import asyncio
import gc
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from polyreel import AsyncClient, Client
from polyreel.client.settings import ClientSettings
from polyreel.drivers import ManyJobsDriver
from polyreel.engines import InlineEngine, Save, Submit, Tend, Work, perform
from polyreel.engines.performing import _Tending, ledger_of
from polyreel.errors import ClaimedError, LedgerError, RequestError, SubmitError
from polyreel.flows import Record, Step
from polyreel.jobs.many import ManyJobs
from polyreel.ledger.events import Intend, Settle, Take
from polyreel.ledger.records import LedgerEntry
from polyreel.plans.planning import PlanRefusedError
from polyreel.providers.base.registry import get_provider
from polyreel.simulator import Simulator
from polyreel_generated.contracts.vendors import VendorId
from support.faults import VENDORS, every_vendor, plans
from support.ledgers import job, submission
from support.pictures import picture
from support.vendors import forgetful_vendor

VENDOR = forgetful_vendor()


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    yield Simulator(seed=1)
    gc.collect()


def made(ledger: Path, simulator: Simulator, **more: Any) -> AsyncClient:
    return AsyncClient(ledger=ledger, simulator=simulator, retries=0, **more)


def work_off(client: AsyncClient) -> None:
    """Do all that can be done now."""
    asyncio.run(InlineEngine(client).run(lambda work: perform(work, client)))


def states(client: ClientSettings) -> list[str]:
    assert client.ledger
    return [entry.state for entry in client.ledger.entries()]


@pytest.mark.matrix("vendor")
@every_vendor
def test_a_queued_job_is_submitted_by_a_worker(
    ledger: Path, simulator: Simulator, vendor: VendorId, tmp_path: Path
) -> None:
    """It is sent as it was written down, paid once, and its files are saved."""
    with Client(ledger=ledger, simulator=simulator) as client:
        plan = next(one for one in plans(vendor).values() if not one.uploads and not one.parts)
        entry = client.enqueue(plan, reference="r", output=tmp_path / "clips", labels={"a": "b"})
        assert isinstance(entry, LedgerEntry)
        assert (entry.state, entry.submission.reference) == ("queued", "r")
        assert simulator.journal == []
        assert simulator.bill.count() == 0
        with pytest.raises(ClaimedError, match="has a job already"):
            client.enqueue(plan, reference="r")
        with pytest.raises(RequestError, match="another request"):
            client.enqueue({"prompt": "a dog"}, vendor, reference="r")
    worker = made(ledger, simulator)
    work_off(worker)
    (done,) = worker.jobs()
    assert (done.id, done.state, simulator.bill.count()) == (entry.id, "saved", 1)
    assert done.job
    assert all(Path(output.path or "").exists() for output in done.job.outputs or ())


def test_work_that_is_done_twice_is_paid_once(ledger: Path, simulator: Simulator) -> None:
    """At once and again: an engine may deliver it as often as it likes."""
    clients = [made(ledger, simulator) for _ in range(3)]
    ids = [asyncio.run(clients[0].enqueue("a cat", VENDOR)).id for _ in range(12)]
    work: list[Work] = [Submit(tuple(ids)), Submit(tuple(reversed(ids))), Submit(("zzzzzzzz",))]

    async def everything() -> None:
        await asyncio.gather(*(perform(one, client) for client in clients for one in work))
        tending = Tend(VENDOR.id)
        await asyncio.gather(*(perform(tending, client) for client in clients))
        for name in ids:
            await perform(Save(name), clients[0])  # nobody said where to

    asyncio.run(everything())
    assert states(clients[0]) == ["succeeded"] * len(ids)
    assert simulator.bill.count() == len(ids)


def test_shards_are_all_of_the_jobs(ledger: Path, simulator: Simulator, tmp_path: Path) -> None:
    """Each job is in one of them, and a shard is tended until its jobs have ended."""
    client = made(ledger, simulator)
    for _ in range(7):
        asyncio.run(client.enqueue("a cat", VENDOR, output=tmp_path))
    (ids,) = [(*[entry.id for entry in client.jobs()],)]
    asyncio.run(perform(Submit(ids), client))
    followed: list[Work] = []
    for shard in range(3):
        asyncio.run(perform(Tend(VENDOR.id, shard, 3), client, put=followed.append))
        assert len(followed) == len({*followed})
        assert states(client).count("succeeded") == len(followed)
    assert {*followed} == {Save(name) for name in ids}


def test_an_entry_that_cannot_be_read_stops_no_other(
    ledger: Path, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is done about it, and that is said; a job is enough to wait for it."""
    client = made(ledger, simulator)
    ids = [asyncio.run(client.enqueue("a cat", VENDOR)).id for _ in range(4)]
    asyncio.run(perform(Submit(tuple(ids)), client))
    with closing(sqlite3.connect(ledger)) as direct, direct:
        for column, text, name in (("job", "{", ids[0]), ("submission", "[]", ids[1])):
            direct.execute(f"UPDATE jobs SET {column} = ? WHERE id = ?", (text, name))
    asyncio.run(perform(Tend(VENDOR.id), client))
    assert states(client) == ["accepted", *["succeeded"] * 3]
    assert f"{ids[0]} cannot be read, so nothing is done about it" in caplog.text


def test_work_that_comes_again_is_left_out_at_once(ledger: Path, simulator: Simulator) -> None:
    """One question for all of it, and no write: engines bring work often while much is waiting."""
    client = made(ledger, simulator)
    ids = tuple(asyncio.run(client.enqueue("a cat", VENDOR)).id for _ in range(3))
    asyncio.run(perform(Submit(ids[:2]), client))
    taken: list[str] = []

    def see(when: str, step: Step) -> None:
        if when == "before" and isinstance(step, Record) and isinstance(step.event, Take):
            taken.append(step.event.entry)

    client.wire.observer = see
    asyncio.run(perform(Submit(ids), client))
    assert taken == [ids[2]]


def test_a_worker_saves_what_another_one_saw_end(ledger: Path, tmp_path: Path) -> None:
    """Simulated workers have clocks of their own, and one has gone on where others stood still."""
    first, second = AsyncClient(ledger=ledger), AsyncClient(ledger=ledger)
    assert first.simulator is not second.simulator
    name = asyncio.run(first.enqueue("a cat", VENDOR, output=tmp_path / "clips")).id
    followed: list[Work] = []
    asyncio.run(perform(Submit((name,)), first))
    asyncio.run(perform(Tend(VENDOR.id), first, put=followed.append))
    for work in followed:
        asyncio.run(perform(work, second))
    assert states(second) == ["saved"]


FATE = {"refused": "queued", "rate-limited-zero": "queued", "lost-reset": "ambiguous"}


@pytest.mark.parametrize("fault", FATE)
def test_only_what_was_not_paid_is_queued_again(
    ledger: Path, simulator: Simulator, fault: str
) -> None:
    """A vendor that is away, or busy, costs nothing, and another try makes sense later."""
    client = made(ledger, simulator)
    name = asyncio.run(client.enqueue("a cat", VENDOR)).id
    simulator.inject(fault)
    if FATE[fault] == "queued":
        with pytest.raises(SubmitError) as caught:
            asyncio.run(perform(Submit((name,)), client))
        assert caught.value.billed == "no"
    else:
        asyncio.run(perform(Submit((name,)), client))
    (entry,) = client.jobs()
    assert (entry.state, entry.attempts, entry.owned) == (FATE[fault], 1, False)
    assert entry.reason
    work_off(client)
    is_paid = FATE[fault] == "queued"
    assert states(client) == ["succeeded" if is_paid else "ambiguous"]
    assert simulator.bill.count() == 1


def test_a_try_that_is_made_again_takes_the_entry_again(ledger: Path, simulator: Simulator) -> None:
    """Each attempt begins with a transaction of its own."""
    client = AsyncClient(ledger=ledger, simulator=simulator, retries=2)
    name = asyncio.run(client.enqueue("a cat", VENDOR)).id
    simulator.inject("refused", times=2)
    asyncio.run(perform(Submit((name,)), client))
    (entry,) = client.jobs()
    assert (entry.state, entry.attempts) == ("accepted", 3)


def test_a_cut_off_submit_is_queued_again_before_its_first_byte(
    ledger: Path, simulator: Simulator
) -> None:
    """A worker that is stopped between the transaction and the call has paid nothing."""
    client = made(ledger, simulator)
    name = asyncio.run(client.enqueue("a cat", VENDOR)).id

    def stop(moment: str, step: Step) -> None:
        if moment == "after" and isinstance(step, Record) and isinstance(step.event, Take):
            raise KeyboardInterrupt

    client.wire.observer = stop
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(perform(Submit((name,)), client))
    assert states(client) == ["queued"]
    client.wire.observer = None
    work_off(client)
    assert (states(client), simulator.bill.count()) == (["succeeded"], 1)


def test_what_cannot_be_queued_is_refused(
    ledger: Path, simulator: Simulator, tmp_path: Path
) -> None:
    """Whoever submits it could not do it, or nobody would hear of it."""
    file = tmp_path / "cat.png"
    file.write_bytes(picture(size=(600, 600)))
    with Client(ledger=ledger, simulator=simulator) as client:
        request = {"prompt": "a cat", "first_frame": str(file)}
        several = [client.plan(request, get_provider(vendor)) for vendor in VENDORS]
        (*_, plan) = [one for one in several if one.uploads]
        with pytest.raises(RequestError, match="files of this machine"):
            client.enqueue(plan)
        with pytest.raises(RequestError, match="one plan"):
            client.enqueue(several)  # type: ignore[arg-type]
        with pytest.raises(PlanRefusedError):
            client.enqueue({"prompt": "a cat", "duration": 500}, VENDOR)
        with pytest.raises(RequestError, match="in a file"):
            client.enqueue("a cat", VENDOR, connection=object())
        assert client.jobs() == []
    with pytest.raises(LedgerError, match="keeps no ledger"):
        Client().enqueue("a cat", VENDOR)


def test_a_queued_job_is_not_resumed_and_can_be_given_up(
    ledger: Path, simulator: Simulator
) -> None:
    """There is no task yet."""
    with Client(ledger=ledger, simulator=simulator) as client:
        entry = client.enqueue("a cat", VENDOR)
        with pytest.raises(LedgerError, match="not submitted yet"):
            client.resume(entry.id)
        assert client.ledger
        client.ledger.abandon(entry.id)
    worker = made(ledger, simulator)
    work_off(worker)
    assert (states(worker), simulator.bill.count()) == (["abandoned"], 0)


def test_jobs_that_are_waited_for_are_not_found_at_each_look(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many were accepted at the same time, and nothing else since."""
    found: list[int] = []

    async def look() -> None:
        async with AsyncClient(ledger=ledger, keys={VENDOR.id: "canary"}) as client:
            kept, accepted_at = ledger_of(client), time.time() - 600
            look = kept.outstanding.accepted

            def counted(*given: Any, **named: Any) -> list[str]:
                ids = look(*given, **named)
                found.append(len(ids))
                return ids

            monkeypatch.setattr(kept.outstanding, "accepted", counted)
            tending = _Tending(Tend(VENDOR.id, 0, 1), client, None, None)
            driver = ManyJobsDriver(client.wire, ManyJobs(client.simulated, random.Random(1)))

            def accept(task: str, now: float) -> None:
                live = submission(simulated=False, vendor=VENDOR.id)
                entry = kept.write(Intend(live), "", now)
                outcome = job(task, vendor=VENDOR.id, simulated=False)
                kept.write(Settle(entry, "accepted", job=outcome), "", now)

            for number in range(3):
                accept(f"task-{number}", accepted_at)
            for _ in range(2):
                await tending._enrol(driver)
            accept("new", time.time())
            await tending._enrol(driver)

    asyncio.run(look())
    assert found == [3, 0, 1]
