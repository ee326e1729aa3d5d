"""Vendors that call back: the ledger hears of it, and they are asked no more than they must be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from polyreel import AsyncClient, Client, Simulator
from polyreel.jobs.waiting import CALLED_BACK_SECONDS, LISTEN_SECONDS
from polyreel.ledger.events import ReadNews
from polyreel.ledger.sqlite import Ledger
from polyreel.providers.base import webhooks
from polyreel.providers.base.facts import FINAL
from polyreel.simulator import VirtualClock
from polyreel.simulator.webhooks import Delivery, deliveries
from polyreel_generated.contracts.vendors import VendorId
from polyreel_generated.shared import Job
from support.webhooks import HOOKED, SECRET, SIGNED, UNSIGNED, told

REQUEST = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}
Wait = Callable[["Caller", list[Job]], list[Job]]


class Caller(VirtualClock):
    """A vendor that calls back about jobs as time goes by, and a process that takes the calls."""

    def __init__(self, path: Path) -> None:
        super().__init__(time.time())
        self.simulator, self.ledger = Simulator(clock=self, seed=1), Ledger(path / "ledger.sqlite3")
        self.receiver = Client(simulator=self.simulator, ledger=self.ledger)
        self.jobs: list[Job] = []
        self.calling = True
        self._taken = 0

    def submit(self, vendor: VendorId, number: int) -> list[Job]:
        plan = self.receiver.plan(REQUEST, vendor)
        self.jobs = [self.receiver.submit(plan) for _ in range(number)]
        return self.jobs

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        for job in self.jobs if self.calling else ():
            for delivery in self.sent(job):
                self.take(job, delivery)

    def sent(self, job: Job) -> list[Delivery]:
        return deliveries(
            self.simulator, job.vendor, job.id, SECRET if job.vendor in SIGNED else None, self.now()
        )

    def take(self, job: Job, delivery: Delivery) -> None:
        event = webhooks.parse(job.vendor, delivery.headers, delivery.body, SECRET)
        if self.ledger.deliver(event, self.now(), simulated=True).effect == "hint":
            self.receiver.get(job)

    def asked(self) -> int:
        """How many calls the vendor has had, but for submits."""
        return len(self.simulator.journal) - len(self.jobs)


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[Caller]:
    made = Caller(tmp_path)
    yield made
    made.jobs = []
    made.receiver.close()
    made.ledger.close()


def one_by_one(caller: Caller, jobs: list[Job]) -> list[Job]:
    return [caller.receiver.wait(job) for job in jobs]


def together(caller: Caller, jobs: list[Job]) -> list[Job]:
    return [end.job for end in caller.receiver.as_completed(jobs)]


def awaiting(caller: Caller, jobs: list[Job]) -> list[Job]:
    async def gather() -> list[Job]:
        async with AsyncClient(simulator=caller.simulator, ledger=caller.ledger) as client:
            return [end.job async for end in client.as_completed(jobs)]

    return asyncio.run(gather())


every_way = pytest.mark.parametrize("wait", [one_by_one, together, awaiting])


@pytest.mark.matrix("vendor", "wait")
@every_way
@pytest.mark.parametrize("vendor", [one for one in SIGNED if "queued" in told(one, "succeeded")])
def test_who_calls_back_is_hardly_asked(caller: Caller, vendor: VendorId, wait: Wait) -> None:
    """Once for each job at most, to learn what a call does not tell; and an end is seen when it is
    told.
    """
    jobs = caller.submit(vendor, 4)
    caller.advance(LISTEN_SECONDS)  # the first calls: so it is known that the vendor makes any
    before = caller.asked()
    done = wait(caller, jobs)
    assert sorted(job.id for job in done) == sorted(job.id for job in jobs)
    assert {job.status for job in done} == {"succeeded"}
    assert all(job.outputs for job in done)
    assert caller.asked() - before <= len(jobs)
    last = max(task.created + task.seconds for task in caller.simulator.tasks.values())
    assert caller.now() - last <= 2 * LISTEN_SECONDS


@every_way
@pytest.mark.parametrize("vendor", UNSIGNED)
def test_a_stranger_does_not_slow_polling_down(
    caller: Caller, vendor: VendorId, wait: Wait
) -> None:
    """A call without a signature can be anybody's: the job's end is seen as soon as without it."""
    waited = []
    for forged in (False, True):
        caller.jobs, caller.calling = [], False
        jobs = caller.submit(vendor, 2)
        if forged:
            body = b'{"id": "%s", "status": "pending"}' % jobs[0].id.encode()
            caller.take(jobs[0], Delivery({}, body))
        began = caller.now()
        assert {job.status for job in wait(caller, jobs)} == {"succeeded"}
        waited.append(caller.now() - began)
        assert caller.ledger.write(ReadNews(0.0, True), "", caller.now()).callers == frozenset()
    assert waited[1] < waited[0] + CALLED_BACK_SECONDS / 2


@every_way
@pytest.mark.parametrize("vendor", SIGNED)
def test_a_call_that_is_lost_is_made_up_for(caller: Caller, vendor: VendorId, wait: Wait) -> None:
    """A vendor that calls back is asked all the same, once in a while."""
    jobs = caller.submit(vendor, 2)
    caller.advance(LISTEN_SECONDS)
    caller.calling = False
    began = caller.now()
    assert {job.status for job in wait(caller, jobs)} == {"succeeded"}
    assert caller.now() - began <= 2 * CALLED_BACK_SECONDS * 1.2


@every_way
@pytest.mark.parametrize("vendor", HOOKED)
def test_an_end_that_another_process_saw_is_not_asked_for(
    caller: Caller, vendor: VendorId, wait: Wait
) -> None:
    """The ledger has it: no call at all."""
    jobs = caller.submit(vendor, 2)
    caller.calling = False
    caller.advance(600)
    ended = [caller.receiver.get(job) for job in jobs]
    assert all(job.status in FINAL for job in ended)
    before = caller.asked()
    assert {job.status for job in wait(caller, jobs)} == {"succeeded"}
    assert caller.asked() == before
