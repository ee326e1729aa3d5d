"""Estimates and charges stay with a job, all the way."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import product
from pathlib import Path

import pytest
from attrs import evolve
from polyreel import Client, Simulator, plan
from polyreel.errors import AmbiguousError
from polyreel.ledger.records import Submission
from polyreel.ledger.sqlite import Ledger
from polyreel.money.book import PriceBook, Rate
from polyreel.plans.planning import Plan
from polyreel.providers.base import webhooks
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator import VirtualClock
from polyreel.simulator.webhooks import deliveries
from polyreel_generated.contracts.vendors import VendorId
from polyreel_generated.shared import Job
from support.prices import CREDITED, REQUEST, SAYING
from support.requests import EXAMPLES
from support.vendors import vendor_id
from support.webhooks import SECRET, SIGNED


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with Client(
        simulator=Simulator(clock=VirtualClock(time.time() - 3600), seed=1),
        ledger=tmp_path / "ledger.sqlite3",
    ) as made:
        yield made


def lose(client: Client, made: Plan) -> str:
    """A submit whose answer is lost; its entry."""
    assert client.simulator
    client.simulator.inject("lost-reset", made.vendor)
    with pytest.raises(AmbiguousError) as caught:
        client.submit(made)
    assert caught.value.ledger_id
    return caught.value.ledger_id


def of_ledger(client: Client, name: str | None) -> Job:
    """The job as the ledger has it."""
    assert client.ledger
    found = client.ledger.entry(name or "").job
    assert found
    return found


@pytest.mark.slow
@pytest.mark.matrix("vendor", "known")
@pytest.mark.parametrize("vendor", list(all_providers()))
@pytest.mark.parametrize("known", [True, False])
def test_the_estimate_stays_with_the_job(
    client: Client, vendor: VendorId, known: bool, tmp_path: Path
) -> None:
    """From the plan to the saved files, in the ledger, and where it is asked for or gone on with
    later.
    """
    client.prices = PriceBook((Rate(vendor, Decimal("0.07"), as_of="2026-11-01"),) if known else ())
    made = client.plan(REQUEST, vendor)
    expected = made.cost.document()
    job = client.submit(made)
    assert (job.estimate, job.charge) == (expected, None)
    client.prices = PriceBook((Rate(vendor, Decimal(9)),))  # another price later changes nothing
    waited = client.wait(job)
    saved = client.resume(job.ledger_id or "", output=tmp_path)
    for one in (client.get(job), waited, saved, of_ledger(client, job.ledger_id)):
        assert one.estimate == expected
        assert one.simulated
    assert (saved.charge is None) == (vendor not in CREDITED)
    assert saved.charge == waited.charge == of_ledger(client, job.ledger_id).charge
    assert Job.model_validate_json(saved.model_dump_json()) == saved


@pytest.mark.parametrize("vendor", list(all_providers()))
def test_the_estimate_stays_with_a_job_that_was_lost(
    client: Client, vendor: VendorId, tmp_path: Path
) -> None:
    """Until it is adopted, found by the vendor's word, or paid for anew."""
    assert client.ledger
    assert client.simulator
    made = client.plan(REQUEST, vendor)
    expected = made.cost.document()
    lost = lose(client, made)
    assert client.ledger.entry(lost).submission.estimate == expected
    ((_, task),) = client.simulator.tasks
    assert client.adopt(lost, task).estimate == expected
    assert client.resume(lost, output=tmp_path).estimate == expected
    for finding in client.reconcile(lose(client, made)):
        assert finding.job is None or finding.job.estimate == expected
    anew = client.resubmit(lose(client, made), accept_double_billing=True, output=tmp_path)
    assert anew.estimate == of_ledger(client, anew.ledger_id).estimate == expected


def billed(client: Client) -> str:
    """The credits of the one job that was billed, as the ledger writes them."""
    assert client.simulator
    (line,) = client.simulator.bill.charges
    return f"{Decimal(str(line.credits)).normalize():f}"


@pytest.mark.parametrize("vendor", SAYING)
def test_what_is_charged_is_what_was_published(
    client: Client, vendor: VendorId, tmp_path: Path
) -> None:
    """Where a price is published, a simulated job costs it: the estimate is the charge."""
    plan = client.plan(REQUEST, vendor)
    job = client.generate(plan, output=tmp_path)
    if plan.cost.credits is not None:
        assert job.charge is not None
        assert Decimal(job.charge["credits"] or 0) == plan.cost.credits


@pytest.mark.parametrize("vendor", CREDITED)
def test_a_job_that_has_ended_before_it_was_found_has_its_charge(
    client: Client, vendor: VendorId
) -> None:
    """It is known at once then."""
    assert client.simulator
    lost = lose(client, client.plan(REQUEST, vendor))
    ((_, task),) = client.simulator.tasks
    client.wire.clock.advance(3000)  # type: ignore[attr-defined]
    found = client.adopt(lost, task)
    assert (found.status, found.charge) == (
        "succeeded",
        {"credits": billed(client), "usd": None, "as_of": None},
    )
    assert of_ledger(client, lost).charge == found.charge


@pytest.mark.parametrize("vendor", SIGNED)
def test_webhooks_leave_the_estimate_where_it_is(client: Client, vendor: VendorId) -> None:
    """Whatever they tell of the job, and its charge with it."""
    assert client.ledger
    assert client.simulator
    job = client.submit(client.plan(REQUEST, vendor))
    for delivery in deliveries(client.simulator, vendor, job.id, SECRET, time.time()):
        event = webhooks.parse(vendor, delivery.headers, delivery.body, SECRET)
        client.ledger.deliver(event, time.time(), simulated=True)
    reported = of_ledger(client, job.ledger_id)
    assert (reported.status, reported.estimate) == ("succeeded", job.estimate)
    said = reported.usage is not None and vendor in CREDITED
    assert said == (reported.charge is not None)


def test_a_routed_job_has_the_estimate_of_who_took_it(client: Client, tmp_path: Path) -> None:
    """Not that of the vendor that was asked first."""
    assert client.simulator
    first, second = list(all_providers())[:2]
    client.prices = PriceBook((Rate(first, Decimal("0.01")), Rate(second, Decimal("0.02"))))
    client.simulator.inject("refused", first, times=None)
    job = client.generate(
        client.plans(REQUEST, [vendor_id(first), vendor_id(second)]), output=tmp_path
    )
    assert job.vendor == second
    assert job.estimate
    assert job.estimate["usd"] == "0.100000"
    assert job.routing
    assert job.estimate == job.routing[-1].cost


def test_old_rows_are_read_and_gone_on_with(client: Client, tmp_path: Path) -> None:
    """They have no estimate, and nobody makes one up for them; what was charged is told."""
    assert isinstance(client.ledger, Ledger)
    vendor = next(iter(SAYING))
    job = client.submit(client.plan(REQUEST, get_provider(vendor)))
    row = client.ledger.entry(job.ledger_id or "").submission
    old = {name: value for name, value in json.loads(row.dump()).items() if name != "estimate"}
    with sqlite3.connect(client.ledger.path) as file:
        dumped = job.model_dump_json(exclude_none=True, exclude={"estimate", "charge"})
        file.execute("UPDATE jobs SET submission = ?, job = ?", (json.dumps(old), dumped))
    file.close()
    entry = client.ledger.entry(job.ledger_id or "")
    assert entry.submission == evolve(row, estimate=None)
    assert entry.job == job.model_copy(update={"estimate": None})
    saved = client.resume(entry.id, output=tmp_path)
    charge = {"credits": billed(client), "usd": None, "as_of": None}
    assert (saved.estimate, saved.charge) == (None, charge)


def test_a_submission_keeps_its_estimate_as_text() -> None:
    """Through the ledger's text, at every vendor and for every request; under a new key it is the
    same.
    """
    for request, vendor in product(EXAMPLES.values(), all_providers()):
        made = plan(request, vendor)
        if made.refused or made.uploads:
            continue
        sent = Submission.of(made, idempotency_key="0123456789abcdef", simulated=True)
        assert sent.estimate == made.cost.document()
        names = (
            "vendor",
            "model",
            "workflow",
            "idempotency_key",
            "folder",
            "reference",
            "simulated",
        )
        columns = {name: getattr(sent, name) for name in names}
        assert Submission.load(sent.dump(), **columns).estimate == sent.estimate
        assert sent.again("another").estimate == sent.estimate
        assert sent.fingerprint == evolve(sent, estimate=None).fingerprint
