"""What a job costs: published rules to the last digit, dated, and nothing invented where nothing is published."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from polyreel import Client, Simulator, plan
from polyreel.errors import AmbiguousError, RequestError
from polyreel.ledger.records import Submission
from polyreel.ledger.sqlite import Ledger
from polyreel.money.amounts import LARGEST, UNKNOWN, Charge, Cost
from polyreel.money.book import PriceBook, Rate, read_prices
from polyreel.money.charged import charged, with_charge
from polyreel.places import get, put
from polyreel.plans.planning import Plan
from polyreel.providers.base import webhooks
from polyreel.providers.base.facts import FINAL
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from polyreel.providers.base.routes import Route
from polyreel.simulator import VirtualClock
from polyreel.simulator.webhooks import deliveries
from polyreel_generated.shared import Job
from support.requests import EXAMPLES
from support.webhooks import SECRET, SIGNED

CASES = json.loads((Path(__file__).parent / "prices.json").read_text())
"""Bodies with what they cost: made with integers of the vendor's smallest unit, by hand and apart from the code."""
PRICED = [
    (provider, route)
    for provider in all_providers().values()
    for route in provider.routes
    if "x-polyreel-price" in provider.contract.schema(route.schema)
]
SELLER = PRICED[0][0]
UNPRICED = [vendor for vendor, provider in all_providers().items() if provider is not SELLER]
REQUEST = {"prompt": "a cat", "duration": 5, "resolution": "1080p", "audio": True}


def route_of(body: dict[str, Any]) -> Route:
    return next(SELLER.routes_of_body(body))


def cost(body: dict[str, Any], as_of: str | None = None) -> Cost:
    """What a native body costs."""
    return PriceBook(as_of=as_of).cost(SELLER, route_of(body), {}, body)


def test_there_are_enough_cases() -> None:
    """Every priced model, both qualities and more, with and without sound, short and long, old and new ratio."""
    assert len(CASES) >= 100
    assert len({case["body"]["model"] for case in CASES}) == 5


@pytest.mark.parametrize("case", CASES, ids=lambda case: json.dumps(case["body"])[:80])
def test_estimates_are_exact(case: dict[str, Any]) -> None:
    """To the vendor's smallest unit, at either price of a credit."""
    for as_of, dollars in (
        (None, "usd_2026_10"),
        ("2026-11-01", "usd_2026_10"),
        ("2026-03-15", "usd_2026_02"),
    ):
        found = cost(case["body"], as_of)
        assert (found.confidence, found.credits, found.usd) == (
            "exact",
            Decimal(case["credits"]),
            Decimal(case[dollars]),
        )


def test_the_pages_own_figures() -> None:
    """Those that the pages print: 8.1 credits, $0.1125 a second; 5 s in 1080p are 54.027 credits, 3 s are 24.3."""
    body = {
        "model": "kling-o3-reference-to-video",
        "prompt": "x",
        "video_url": "https://e.com/a.mp4",
    }
    assert cost({**body, "duration": 5}, "2026-03-01").usd == Decimal("0.5625")
    assert cost({**body, "duration": 5, "quality": "1080p"}).credits == Decimal("54.027")
    assert cost({**body, "duration": 10, "quality": "1080p"}).credits == Decimal("108.054")
    assert cost({**body, "duration": 3}).credits == Decimal("24.3")
    assert cost({**body, "duration": 1}).credits == Decimal("24.3")


def test_a_date_before_all_prices_is_unknown() -> None:
    """Nobody said what it cost then."""
    assert cost(CASES[0]["body"], "2020-01-01") == UNKNOWN


@pytest.mark.parametrize(("orientation", "most"), [("image", 10), ("video", 30)])
def test_what_depends_on_a_file_is_bounded(orientation: str, most: int) -> None:
    """As long as the video that is put in, within the documented limits."""
    for _, route in PRICED:
        if route.workflow != "motion-control":
            continue
        body = {
            "model": route.constants[0].value,
            "quality": "720p",
            "model_params": {"character_orientation": orientation},
        }
        found = PriceBook().cost(SELLER, route, {}, body)
        assert found.confidence == "bounded"
        assert found.credits
        assert found.at_least_credits
        assert found.credits / found.at_least_credits == Decimal(most) / 3


def test_what_has_no_upper_limit_is_unknown_but_not_free() -> None:
    """The least is told."""
    route = next(route for _, route in PRICED if route.workflow == "edit-video")
    found = PriceBook().cost(
        SELLER, route, {}, {"model": route.constants[0].value, "quality": "720p"}
    )
    assert (found.confidence, found.credits, found.at_least_credits) == (
        "unknown",
        None,
        Decimal("24.3"),
    )
    assert "at least $0.3574" in str(found)


@pytest.mark.parametrize("vendor", UNPRICED)
def test_unpublished_prices_are_unknown(vendor: str) -> None:
    """Never zero."""
    for request in EXAMPLES.values():
        made = plan(request, vendor)
        assert made.cost == UNKNOWN
        assert made.cost.document() == {
            "confidence": "unknown", "credits": None, "usd": None, "as_of": None, "source": None
        }  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_plan_has_a_cost(name: str) -> None:
    """Also refused ones; as JSON with decimals as text."""
    for vendor in all_providers():
        made = plan(EXAMPLES[name], vendor)
        document = made.cost.document()
        assert document["confidence"] in {"exact", "bounded", "unknown"}
        assert json.loads(json.dumps(document)) == document
        if document["confidence"] == "exact":
            assert Decimal(document["usd"]) > 0


@given(seconds=st.lists(st.integers(3, 15), min_size=2, max_size=2, unique=True))
def test_longer_is_never_cheaper(seconds: list[int]) -> None:
    """Whatever the quality and sound."""
    low, high = sorted(seconds)
    for case in CASES[:40]:
        costs = [cost({**case["body"], "duration": duration}).credits for duration in (low, high)]
        assert costs[0] is not None
        assert costs[1] is not None
        assert costs[0] < costs[1]


# -- the user's own prices ---------------------------------------------------------------------------


def priced(vendor: str, *rates: Rate, **request: Any) -> Plan:
    """A plan with a user's prices."""
    return evolve(plan({**REQUEST, **request}, vendor), prices=PriceBook(rates))


@pytest.mark.parametrize("vendor", list(all_providers()))
def test_a_users_price_comes_first(vendor: str) -> None:
    """Also before published ones; the first that fits counts."""
    made = priced(
        vendor,
        Rate(vendor, Decimal("9"), workflow="edit-video"),
        Rate(vendor, Decimal("8"), when={"audio": False}),
        Rate(vendor, Decimal("0.168"), when={"resolution": "1080p", "audio": True}),
        Rate(vendor, Decimal("7")),
    )
    assert (made.cost.usd, made.cost.source) == (Decimal("0.84"), "your price file")


def test_a_minimum_is_charged() -> None:
    """Of seconds."""
    vendor = UNPRICED[0]
    assert priced(vendor, Rate(vendor, Decimal("0.1"), minimum_seconds=10)).cost.usd == Decimal("1")


def test_a_rate_without_a_duration_says_nothing() -> None:
    """What is not known stays unknown."""
    vendor = next(
        vendor for vendor in UNPRICED if "duration" not in _defaults(all_providers()[vendor])
    )
    request = {"prompt": "a cat"}
    book = PriceBook((Rate(vendor, Decimal("0.1")),))
    made = plan(request, vendor)
    assert book.cost(made.provider, made.route, made.request, made.body) == UNKNOWN


def _defaults(provider: Provider) -> dict[str, Any]:
    return dict(provider.defaults(provider.routes[0]))


def test_a_price_file_is_read() -> None:
    """Numbers and texts alike, without a detour over binary fractions."""
    vendor = UNPRICED[0]
    rows = [
        {"vendor": vendor, "usd_per_second": 0.1, "when": {"audio": True}},
        {"vendor": vendor, "usd_per_file": "0.02"},
    ]
    book = read_prices({"price": rows}, "prices.toml", all_providers())
    assert [rate.usd_per_second for rate in book.rates] == [Decimal("0.1"), None]
    assert book.rates[1].usd_per_file == Decimal("0.02")


BAD: list[tuple[Any, str]] = [
    (None, "no [[price]]"),
    ([], "no [[price]]"),
    ({}, "no [[price]]"),
    ({"price": []}, "no [[price]]"),
    ({"price": {}}, "no [[price]]"),
    ({"price": [1]}, "price 1: not a table"),
    ({"price": [{}]}, "vendor: one of"),
    ({"price": [{"vendor": "x", "usd_per_second": 1}]}, "vendor: one of"),
    ({"price": [{"vendor": UNPRICED[0]}]}, "exactly one of"),
    (
        {"price": [{"vendor": UNPRICED[0], "usd_per_second": 1, "usd_per_file": 1}]},
        "exactly one of",
    ),
    ({"price": [{"vendor": UNPRICED[0], "usd_per_second": -1}]}, "not a price"),
    ({"price": [{"vendor": UNPRICED[0], "usd_per_second": "NaN"}]}, "not a price"),
    ({"price": [{"vendor": UNPRICED[0], "usd_per_second": float("inf")}]}, "not a price"),
    ({"price": [{"vendor": UNPRICED[0], "usd_per_second": True}]}, "not a price"),
    ({"price": [{"vendor": UNPRICED[0], "usd_per_second": "1,5"}]}, "not a price"),
    (
        {"price": [{"vendor": UNPRICED[0], "usd_per_second": 1, "minimum_seconds": 1.5}]},
        "minimum_seconds",
    ),
    ({"price": [{"vendor": UNPRICED[0], "usd_per_second": 1, "when": "x"}]}, "when"),
    ({"price": [{"vendor": UNPRICED[0], "usd_per_second": 1, "model": 3}]}, "model: a text"),
    (
        {"price": [{"vendor": UNPRICED[0], "usd_per_second": 1, "currency": "EUR"}]},
        "unknown field 'currency'",
    ),
]


@pytest.mark.parametrize(("data", "needle"), BAD)
def test_a_wrong_price_file_is_refused(data: Any, needle: str) -> None:
    """With the file, the number of the entry, and the field."""
    with pytest.raises(RequestError) as caught:
        read_prices(data, "prices.toml", all_providers())
    assert "prices.toml" in str(caught.value)
    assert needle in str(caught.value)


def test_every_problem_of_a_price_file_is_told() -> None:
    """Not only the first one."""
    row = {"usd_per_second": "free", "when": [], "minimum_seconds": True, "currency": "EUR"}
    with pytest.raises(RequestError) as caught:
        read_prices({"price": [row, 1]}, "prices.toml", all_providers())
    assert len(caught.value.problems) == 6


def test_pydantic_is_imported_for_a_price_file_only() -> None:
    """A command without one starts without it."""
    code = "import sys, polyreel.money.book; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# -- beside what was charged -------------------------------------------------------------------------

SAYING = {
    vendor: provider.contract.document["x-polyreel-usage"]
    for vendor, provider in all_providers().items()
    if "x-polyreel-usage" in provider.contract.document
}
SILENT = [vendor for vendor in all_providers() if vendor not in SAYING]
NOVEMBER = 1_795_000_000.0
"""A moment in November 2026."""
MARCH = NOVEMBER - 250 * 86_400


def job(vendor: str, usage: Any, status: str = "succeeded", **more: Any) -> Job:
    """A job whose vendor says this of its usage."""
    fixed = {
        "vendor": vendor,
        "model": "m",
        "workflow": "text-to-video",
        "id": "task",
        "simulated": False,
    }
    return Job.model_validate(
        {**fixed, "created_at": NOVEMBER, "status": status, "usage": usage, **more}
    )


def finished(vendor: str) -> Any:
    """The usage in the vendor's documented answer about a finished job."""
    provider = all_providers()[vendor]
    query = provider.contract.operation("get")
    assert query is not None
    body = next(
        body
        for code, _, name, body in provider.contract.replies(query)
        if (code, name) == (200, "succeeded")
    )
    return provider.facts(body).usage


def at(vendor: str, name: str, value: Any, place: int = 0) -> dict[str, Any]:
    """A usage with a value at one of the places that the spec names."""
    found: dict[str, Any] = {}
    put(found, SAYING[vendor][name][place], value)
    return found


@pytest.mark.parametrize("vendor", SAYING)
def test_a_charge_is_read_where_the_vendor_documents_it(vendor: str) -> None:
    """The first place of each kind stands in the documented answer about a finished job, and is read from it."""
    usage, rule = finished(vendor), SAYING[vendor]
    assert rule["source"]
    assert set(rule["settled"]) <= FINAL
    assert set(rule) <= {"credits", "usd", "settled", "source"}
    told = {
        name: Decimal(repr(get(usage, rule[name][0])))
        for name in ("credits", "usd")
        if name in rule
    }
    found = charged(job(vendor, usage))
    assert found == Charge(told["credits"], told.get("usd"))
    document = found.document()
    assert json.loads(json.dumps(document)) == document
    assert set(document) == {"credits", "usd", "as_of"}


def test_what_a_vendor_does_not_say_is_unknown() -> None:
    """No usage, nothing in it, or no place known to look for it; never zero."""
    assert SILENT
    for vendor in all_providers():
        for usage in (None, {}, {"something": 5}):
            assert charged(job(vendor, usage)) is None
    for vendor in SILENT:
        assert charged(job(vendor, {"total": 5, "credits_used": 5, "credits": 5})) is None


@pytest.mark.parametrize("vendor", SAYING)
@pytest.mark.parametrize("status", ["queued", "running", "unknown", "failed", "canceled"])
def test_only_a_finished_job_is_charged(vendor: str, status: str) -> None:
    """Before the end it may change, and a job that failed may be given back."""
    assert charged(job(vendor, finished(vendor), status)) is None


def test_what_is_reserved_is_not_charged() -> None:
    """However the job has ended."""
    usage = next(
        body["usage"]
        for route in SELLER.routes
        for _, _, _, body in SELLER.contract.replies(SELLER.operation(route))
        if "credits_reserved" in body.get("usage", {})
    )
    for status in ("queued", "succeeded", "failed"):
        assert charged(job(SELLER.id, usage, status)) is None


def test_credits_are_dollars_only_at_a_published_price() -> None:
    """That of the job's day; a vendor's own dollars come first, and its own credits in the other place as well."""
    for moment, usd, as_of in (
        (NOVEMBER, "0.198529", "2026-10-10"),
        (None, "0.198529", "2026-10-10"),
        (MARCH, "0.187500", "2026-02-01"),
        (1.0, None, None),
        (1e30, None, None),
    ):
        found = charged(job(SELLER.id, at(SELLER.id, "credits", 13.5), created_at=moment))
        assert found == Charge(Decimal("13.5"), Decimal(usd) if usd else None, as_of)
    assert charged(job(SELLER.id, at(SELLER.id, "usd", 0.199))) == Charge(None, Decimal("0.199"))
    other = at(SELLER.id, "credits", 13.5, 1)
    assert charged(job(SELLER.id, other)) == charged(job(SELLER.id, at(SELLER.id, "credits", 13.5)))
    for vendor in SAYING:
        if vendor != SELLER.id:
            assert charged(job(vendor, at(vendor, "credits", 20))) == Charge(Decimal(20))


@pytest.mark.parametrize("vendor", SAYING)
def test_simulated_credits_are_nobodys_money(vendor: str) -> None:
    """They never become dollars, whatever an answer says."""
    found = charged(job(vendor, finished(vendor), simulated=True))
    assert found
    assert found.usd is None


ODD: list[Any] = [
    None,
    True,
    False,
    "5",
    "",
    [],
    {},
    -1,
    -0.1,
    float("nan"),
    float("inf"),
    10**9,
    10**400,
    1e300,
]
VALUES = st.one_of(
    st.sampled_from(ODD),
    st.floats(),
    st.integers(),
    st.text(),
    st.decimals(),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["credits", "usd", "x"]), st.floats() | st.text(), max_size=3),
)


@pytest.mark.parametrize("vendor", SAYING)
@pytest.mark.parametrize("value", ODD, ids=repr)
def test_an_odd_value_is_no_charge(vendor: str, value: Any) -> None:
    """It is unknown then, and not nothing."""
    assert charged(job(vendor, at(vendor, "credits", value))) is None


@given(
    usage=st.dictionaries(
        st.sampled_from(
            [place.split(".")[0] for rule in SAYING.values() for place in rule["credits"]]
        )
        | st.text(),
        VALUES,
        max_size=4,
    ),
    moment=st.none() | st.floats(allow_nan=False),
)
def test_no_usage_is_too_odd_to_read(usage: dict[str, Any], moment: float | None) -> None:
    """A charge is a sane amount, or unknown; the job can be written down, read, and shown either way."""
    for vendor in all_providers():
        made = with_charge(job(vendor, usage, created_at=moment))
        found = charged(made)
        assert made.charge == (found and found.document())
        assert Job.model_validate(made.model_dump()).charge == made.charge
        for amount in (found.credits, found.usd) if found else ():
            assert amount is None or (amount.is_finite() and 0 <= amount <= LARGEST)
        assert "None" not in str(found or "")


def test_a_float_is_the_number_that_was_written() -> None:
    """Not the binary fraction it is kept as, without an exponent, and zero without a sign."""
    vendor = next(iter(SAYING))
    written = {0.1 + 0.2: "0.3", 4e1: "40", 1e-9: "0", -0.0: "0", 27.0: "27", 54.027: "54.027"}
    found = [charged(job(vendor, at(vendor, "credits", value))) for value in written]
    assert [one and one.document()["credits"] for one in found] == [*written.values()]


def test_a_job_of_a_vendor_that_is_gone_can_be_shown() -> None:
    """What was installed once may be in a ledger still."""
    assert charged(job("nobody", {"credits_used": 5})) is None


def test_a_charge_that_is_no_longer_told_is_gone() -> None:
    """A job's numbers are those of its usage."""
    vendor = next(iter(SAYING))
    made = with_charge(job(vendor, finished(vendor)))
    assert made.charge
    assert with_charge(made) is made
    assert with_charge(made.model_copy(update={"usage": {}})).charge is None


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_estimate_is_read_as_it_was_written(name: str) -> None:
    """At every vendor, priced or not."""
    for vendor in all_providers():
        cost = plan(EXAMPLES[name], vendor).cost
        assert Cost.read(cost.document()) == cost
        assert Cost.read(json.loads(json.dumps(cost.document()))) == cost


@given(
    document=st.dictionaries(
        st.sampled_from(["confidence", "credits", "usd", "at_least_usd", "as_of", "source"])
        | st.text(),
        st.none()
        | st.text()
        | st.sampled_from(["exact", "bounded", "unknown", "NaN", "-1", "1e99", "0.5"]),
    )
)
def test_an_odd_estimate_is_unknown(document: dict[str, str | None]) -> None:
    """Whoever wrote it: what makes no sense in it is left out."""
    found = Cost.read(document)
    assert str(found)
    assert found.confidence == "unknown" or found.usd is not None or found.credits is not None


def test_a_price_book_of_other_types_does_no_harm() -> None:
    """A date that is no text becomes one, before a job has to be written down."""
    rate = Rate(SELLER.id, Decimal("0.1"), as_of=date(2026, 11, 1))  # type: ignore[arg-type]
    assert priced(SELLER.id, rate).cost.document()["as_of"] == "2026-11-01"


# -- on the job, all the way -------------------------------------------------------------------------


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


@pytest.mark.parametrize("vendor", list(all_providers()))
@pytest.mark.parametrize("known", [True, False])
def test_the_estimate_stays_with_the_job(
    client: Client, vendor: str, known: bool, tmp_path: Path
) -> None:
    """From the plan to the saved files, in the ledger, and where it is asked for or gone on with later."""
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
    assert (saved.charge is None) == (vendor in SILENT)
    assert saved.charge == waited.charge == of_ledger(client, job.ledger_id).charge
    assert Job.model_validate_json(saved.model_dump_json()) == saved


@pytest.mark.parametrize("vendor", list(all_providers()))
def test_the_estimate_stays_with_a_job_that_was_lost(
    client: Client, vendor: str, tmp_path: Path
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


@pytest.mark.parametrize("vendor", SAYING)
def test_a_job_that_has_ended_before_it_was_found_has_its_charge(
    client: Client, vendor: str
) -> None:
    """It is known at once then."""
    assert client.simulator
    lost = lose(client, client.plan(REQUEST, vendor))
    ((_, task),) = client.simulator.tasks
    client.wire.clock.advance(3000)  # type: ignore[attr-defined]
    found = client.adopt(lost, task)
    assert (found.status, found.charge) == (
        "succeeded",
        {"credits": "5", "usd": None, "as_of": None},
    )
    assert of_ledger(client, lost).charge == found.charge


@pytest.mark.parametrize("vendor", SIGNED)
def test_webhooks_leave_the_estimate_where_it_is(client: Client, vendor: str) -> None:
    """Whatever they tell of the job, and its charge with it."""
    assert client.ledger
    assert client.simulator
    job = client.submit(client.plan(REQUEST, vendor))
    for delivery in deliveries(client.simulator, vendor, job.id, SECRET, time.time()):
        event = webhooks.parse(vendor, delivery.headers, delivery.body, SECRET)
        client.ledger.deliver(event, time.time(), simulated=True)
    told = of_ledger(client, job.ledger_id)
    assert (told.status, told.estimate) == ("succeeded", job.estimate)
    assert (told.usage is None) == (told.charge is None)


def test_a_routed_job_has_the_estimate_of_who_took_it(client: Client, tmp_path: Path) -> None:
    """Not that of the vendor that was asked first."""
    assert client.simulator
    first, second = list(all_providers())[:2]
    client.prices = PriceBook((Rate(first, Decimal("0.01")), Rate(second, Decimal("0.02"))))
    client.simulator.inject("refused", first, times=None)
    job = client.generate(client.plans(REQUEST, [first, second]), output=tmp_path)
    assert job.vendor == second
    assert job.estimate
    assert job.estimate["usd"] == "0.100000"
    assert job.routing
    assert job.estimate == job.routing[-1].cost


def test_old_rows_are_read_and_gone_on_with(client: Client, tmp_path: Path) -> None:
    """They have no estimate, and nobody makes one up for them; what was charged is told."""
    assert isinstance(client.ledger, Ledger)
    vendor = next(iter(SAYING))
    job = client.submit(client.plan(REQUEST, vendor))
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
    assert (saved.estimate, saved.charge) == (None, {"credits": "5", "usd": None, "as_of": None})


def test_a_submission_keeps_its_estimate_as_text() -> None:
    """Through the ledger's text, at every vendor and for every request; under a new key it is the same."""
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
