"""Routing: the next vendor is asked only where the one before it is proved unpaid.

The bills are the oracle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from polyreel import Job, PlanRefusedError, Simulator
from polyreel.errors import (
    AmbiguousError,
    NeverSentError,
    PolyreelError,
    RejectedError,
    RequestError,
)
from polyreel.jobs.routing import (
    FAILURES_IN_A_ROW,
    FIRST_REST,
    LONGEST_REST,
    Health,
    goes_elsewhere,
    ranked,
)
from polyreel.money.book import PriceBook, Rate
from polyreel.plans.planning import Plan
from polyreel.providers.base.provider import UNKNOWN_MODEL
from polyreel.providers.base.registry import get_provider
from polyreel.simulator.faults import FAULTS
from polyreel.simulator.scripting import scriptable
from support.faults import VENDORS, Clients, Kind, every_kind, every_vendor
from support.vendors import vendor_ids

REQUEST = {"prompt": "a cat", "duration": 5, "resolution": "720p", "audio": False}
PROVED_UNPAID = {"refused", *(name for name in FAULTS if name.startswith("rate-limited"))}
SUBMITS = [name for name, fault in FAULTS.items() if fault.call == "submit"]


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(seed=1)


@pytest.fixture
def pair(simulator: Simulator, tmp_path: Path) -> Iterator[Clients]:
    with Clients(simulator=simulator, ledger=tmp_path / "ledger.sqlite3") as made:
        yield made


def order(first: str) -> list[str]:
    """All vendors, this one first."""
    return [first, *(vendor for vendor in VENDORS if vendor != first)]


def routed(pair: Clients, kind: Kind, vendors: list[str], **options: Any) -> Job | PolyreelError:
    """One routed submit, and what came of it."""
    plans = pair.by_kind[kind].plans(REQUEST, vendor_ids(vendors), **options)
    try:
        job = pair.do(kind, "submit", plans)
    except PolyreelError as error:
        return error
    assert isinstance(job, Job)
    return job


@pytest.mark.matrix("vendor", "kind", "fault")
@every_kind
@every_vendor
@pytest.mark.parametrize("fault", SUBMITS)
def test_no_fault_is_paid_twice(
    pair: Clients, simulator: Simulator, vendor: str, kind: Kind, fault: str
) -> None:
    """Every fault at the first vendor: the next is asked where it is proved unpaid, and nobody
    where it is not.
    """
    simulator.inject(fault, vendor, times=None)
    result = routed(pair, kind, order(vendor))
    assert simulator.bill.count() <= 1
    if fault in PROVED_UNPAID:
        assert isinstance(result, Job)
        assert (result.vendor, simulator.bill.count()) == (order(vendor)[1], 1)
        assert [(step.vendor, step.result) for step in result.routing or ()] == [
            (vendor, "unpaid"),
            (result.vendor, "taken"),
        ]
    else:
        assert isinstance(result, AmbiguousError)
        assert simulator.bill.count() == FAULTS[fault].accepted
        assert {name for name, *_ in simulator.journal} <= {vendor}


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_documented_errors_go_elsewhere_as_the_table_says(vendor: str, kind: Kind) -> None:
    """After 402, 429, and a refusal that names the model, or says that the account cannot pay;
    after no other refusal, and after no doubt.
    """
    reported, no_money = 0, get_provider(vendor).contract.no_money
    for event in scriptable(get_provider(vendor)):
        if event in FAULTS or event in {"failed", "canceled"}:
            continue
        simulator = Simulator(seed=1)
        with Clients(simulator=simulator) as pair:
            simulator.script(vendor, event)
            alone = routed(pair, kind, [vendor])
            assert isinstance(alone, AmbiguousError | RejectedError)
            simulator.script(vendor, event)
            result = routed(pair, kind, order(vendor))
        names_the_model = event in UNKNOWN_MODEL
        elsewhere = isinstance(alone, RejectedError) and (
            alone.status in {402, 429, *no_money} or names_the_model or alone.code in no_money
        )
        assert isinstance(result, Job) == elsewhere, event
        assert simulator.bill.count() == elsewhere
        reported += elsewhere
    assert reported >= 1


@every_vendor
def test_several_failures_end_in_the_last_one(
    pair: Clients, simulator: Simulator, vendor: str
) -> None:
    """Each vendor is asked once and its retries; nothing is billed."""
    simulator.inject("refused", times=None)
    result = routed(pair, "blocking", order(vendor))
    assert isinstance(result, NeverSentError)
    assert result.vendor == order(vendor)[-1]
    assert [name for name, _ in simulator.fired] == order(vendor)
    assert simulator.bill.count() == 0


def test_what_nobody_can_express_is_refused(pair: Clients, simulator: Simulator) -> None:
    """With every problem of the first; and a list of nobody is a mistake."""
    client = pair.by_kind["blocking"]
    with pytest.raises(PlanRefusedError):
        pair.do("blocking", "submit", client.plans({"prompt": "x", "aspect_ratio": "5:7"}))
    with pytest.raises(RequestError, match="no vendor"):
        pair.do("blocking", "submit", [])
    assert simulator.journal == []


ORDERS: Final = [
    order[::step]
    for at in range(len(VENDORS))
    for order in [[*VENDORS[at:], *VENDORS[:at]]]
    for step in (1, -1)
]
"""Orders in which each vendor is first, and last, once from either side."""


@pytest.mark.parametrize("vendors", ORDERS)
def test_refused_plans_are_reported_not_tried(pair: Clients, vendors: list[str]) -> None:
    """None is refused silently: the job tells why."""
    client = pair.by_kind["blocking"]
    request = {
        **REQUEST,
        "source_video": "https://example.com/a.mp4",
        "duration": None,
        "audio": None,
    }
    request = {name: value for name, value in request.items() if value is not None}
    plans = client.plans(request, vendor_ids(vendors))
    job = pair.do("blocking", "submit", plans)
    results = {step.vendor: step.result for step in job.routing}
    for plan in plans[: [each.vendor for each in plans].index(job.vendor)]:
        assert results[plan.vendor] == "refused"
    assert all(step.reason for step in job.routing)


@every_kind
def test_the_decision_is_on_file(
    pair: Clients, kind: Kind, simulator: Simulator, tmp_path: Path
) -> None:
    """With the reasons, on the job and in the ledger, until the files are saved."""
    simulator.inject("refused", VENDORS[0], times=None)
    client = pair.by_kind[kind]
    job = pair.do(kind, "generate", client.plans(REQUEST), output=tmp_path, reference="r")
    saved = client.jobs(["saved"])[0].job
    assert saved
    assert saved.routing == job.routing
    assert [entry.state for entry in client.jobs()] == ["unsent", "saved"]
    assert pair.do(kind, "generate", client.plans(REQUEST), output=tmp_path, reference="r") == job
    assert simulator.bill.count() == 1


# -- prices ----------------------------------------------------------------------------------------


def plans(prices: Mapping[str, str | None]) -> list[Plan]:
    """Plans of all vendors with these prices a second; None is unknown."""
    rates = tuple(
        Rate(vendor, Decimal(price)) for vendor, price in prices.items() if price is not None
    )
    with Clients(prices=PriceBook(rates)) as pair:
        return pair.by_kind["blocking"].plans(REQUEST, vendor_ids(prices))


@pytest.mark.parametrize("vendors", ORDERS)
def test_cheapest_first(vendors: list[str]) -> None:
    """By what is known; among equals in the caller's order."""
    known = {vendor: str(vendors.index(vendor) or "0.000001") for vendor in VENDORS}
    assert [plan.vendor for plan in ranked(plans(known), "cheapest")] == vendors
    equal = dict.fromkeys(vendors, "1")
    assert [plan.vendor for plan in ranked(plans(equal), "cheapest")] == vendors
    assert [plan.vendor for plan in ranked(plans(equal), "order")] == vendors


def test_an_unknown_price_is_never_cheap() -> None:
    """However dear the others are."""
    unknown = [vendor for vendor in VENDORS if plans({vendor: None})[0].cost.usd is None]
    assert unknown
    for vendor in unknown:
        prices: dict[str, str | None] = {
            name: None if name == vendor else "999999" for name in order(vendor)
        }
        assert [plan.vendor for plan in ranked(plans(prices), "cheapest")][-1] == vendor


# -- health ----------------------------------------------------------------------------------------


@every_kind
def test_a_vendor_that_keeps_failing_rests(pair: Clients, simulator: Simulator, kind: Kind) -> None:
    """And is asked again after its rest, longer and longer ones while it fails."""
    bad = VENDORS[0]
    simulator.inject("refused", bad, times=None)
    for _ in range(FAILURES_IN_A_ROW):
        assert isinstance(routed(pair, kind, order(bad)), Job)
    calls = len(simulator.fired)
    job = routed(pair, kind, order(bad))
    assert isinstance(job, Job)
    assert [step.result for step in job.routing or ()] == ["resting", "taken"]
    assert len(simulator.fired) == calls
    simulator.calm()
    simulator.clock.advance(FIRST_REST + 60)  # type: ignore[attr-defined]
    job = routed(pair, kind, order(bad))
    assert isinstance(job, Job)
    assert job.vendor == bad


def test_where_all_rest_nothing_is_sent(pair: Clients, simulator: Simulator) -> None:
    """The error says so; it is safe to try again."""
    client = pair.by_kind["blocking"]
    for vendor in VENDORS:
        for _ in range(FAILURES_IN_A_ROW):
            client.health.failed(vendor, client.wire.clock.now())
    result = routed(pair, "blocking", VENDORS)
    assert isinstance(result, NeverSentError)
    assert "no vendor was asked" in str(result)
    assert simulator.journal == []


def test_rests_grow_and_end() -> None:
    """Doubled from one to the next, up to a limit; one accepted job starts anew."""
    health, seconds, rests = Health(), 0.0, []
    for _ in range(FAILURES_IN_A_ROW - 1):
        health.failed("v", seconds)
        assert health.rests("v", seconds) == 0
    for _ in range(8):
        health.failed("v", seconds)
        rests.append(health.rests("v", seconds))
        seconds += rests[-1]
        assert health.rests("v", seconds) == 0
    assert rests[:3] == [FIRST_REST, 2 * FIRST_REST, 4 * FIRST_REST]
    assert rests[-1] == LONGEST_REST
    health.worked("v")
    health.failed("v", seconds)
    assert health.rests("v", seconds) == 0
    assert health.rests("other", seconds) == 0


def test_retries_are_budgeted() -> None:
    """A vendor that is down is not asked again and again; accepted jobs earn retries back,
    slowly.
    """
    health = Health()
    spent = 0
    for _ in range(50):
        allowed = health.retries("v", 2)
        spent += allowed
        health.failed("v", 0.0, retries=allowed)
    assert spent == 10
    assert health.retries("v", 2) == 0
    for _ in range(20):
        health.worked("v")
    assert health.retries("v", 2) == 2


@every_vendor
def test_doubt_never_goes_elsewhere(vendor: str) -> None:
    """Whatever its status or code says."""
    plan = plans({vendor: None})[0]
    for status in (None, 200, 402, 404, 429, 500, 503):
        error = AmbiguousError(
            "x", status=status, code=next(iter(plan.provider.unknown_model_codes), None)
        )
        assert not goes_elsewhere(plan, error)
