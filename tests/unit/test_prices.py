"""What a plan is estimated to cost, by published prices and by the user's own."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from polyreel import plan
from polyreel.errors import RequestError
from polyreel.money.amounts import UNKNOWN, Cost
from polyreel.money.book import PriceBook, Rate, read_prices
from polyreel.plans.planning import Plan
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.providers.base.routes import Route
from polyreel_generated.contracts.vendors import VendorId
from support.loops import in_one
from support.paths import TESTS
from support.prices import PRICED_ROUTES, REQUEST, SELLER, UNPRICED
from support.requests import EXAMPLES
from support.vendors import vendor_id

CASES = json.loads((TESTS / "prices.json").read_text())
"""Bodies with what they cost: made with integers of the vendor's smallest unit, by hand and apart
from the code.
"""


def route_of(body: dict[str, Any]) -> Route:
    return next(SELLER.routes_of_body(body))


def cost(body: dict[str, Any], as_of: str | None = None) -> Cost:
    """What a native body costs."""
    return PriceBook(as_of=as_of).cost(SELLER, route_of(body), {}, body)


def test_there_are_enough_cases() -> None:
    """Every priced model, both qualities and more, with and without sound, short and long, old and
    new ratio.
    """
    assert len(CASES) >= 100
    assert len({case["body"]["model"] for case in CASES}) == 5


@in_one
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
    """Those that the pages print: 8.1 credits, $0.1125 a second; 5 s in 1080p are 54.027 credits, 3
    s are 24.3.
    """
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
    for _, route in PRICED_ROUTES:
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
    route = next(route for _, route in PRICED_ROUTES if route.workflow == "edit-video")
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
def test_unpublished_prices_are_unknown(vendor: VendorId) -> None:
    """Never zero."""
    for request in EXAMPLES.values():
        made = plan(request, vendor)
        assert made.cost == UNKNOWN
        assert made.cost.document() == {
            "confidence": "unknown", "credits": None, "usd": None, "as_of": None, "source": None
        }  # fmt: skip


@in_one
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_plan_has_a_cost(name: str) -> None:
    """Also refused ones; as JSON with decimals as text."""
    for vendor in all_providers():
        made = plan(EXAMPLES[name], get_provider(vendor))
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


def priced(vendor: VendorId, *rates: Rate, **request: Any) -> Plan:
    """A plan with a user's prices."""
    return evolve(plan({**REQUEST, **request}, vendor), prices=PriceBook(rates))


@pytest.mark.parametrize("vendor", list(all_providers()))
def test_a_users_price_comes_first(vendor: VendorId) -> None:
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
    assert priced(
        vendor_id(vendor), Rate(vendor, Decimal("0.1"), minimum_seconds=10)
    ).cost.usd == Decimal("1")


def test_a_rate_without_a_duration_says_nothing() -> None:
    """What is not known stays unknown."""
    vendor = next(
        vendor for vendor in UNPRICED if "duration" not in _defaults(all_providers()[vendor])
    )
    request = {"prompt": "a cat"}
    book = PriceBook((Rate(vendor, Decimal("0.1")),))
    made = plan(request, get_provider(vendor))
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


ODD_VALUES: list[Any] = [[], {"a": []}, [{}]]
NEVER_MET: list[dict[str, Any]] = [
    {"resolution": ["720p"]},
    {"resolution": "721p"},
    {"duration": {}},
    {"duration": True},
    {"audio": 1},
    {"sound": True},
]
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
    ({"price": [{"vendor": [], "usd_per_second": 1}]}, "vendor: one of"),
    *(
        ({"price": [{"vendor": UNPRICED[0], "usd_per_second": 1, name: value}]}, name)
        for name in ("model", "workflow", "usd_per_file", "minimum_seconds", "as_of", "when")
        for value in ODD_VALUES
    ),
    *(
        ({"price": [{"vendor": UNPRICED[0], "usd_per_second": 1, "when": when}]}, "when: ")
        for when in NEVER_MET
    ),
    (
        {"price": [{"vendor": UNPRICED[0], "usd_per_second": 1, "currency": "EUR"}]},
        "unknown field 'currency'",
    ),
]


@in_one
@pytest.mark.parametrize(("data", "needle"), BAD)
def test_a_wrong_price_file_is_refused(data: Any, needle: str) -> None:
    """With the file, the number of the entry, and the field."""
    with pytest.raises(RequestError) as caught:
        read_prices(data, "prices.toml", all_providers())
    assert "prices.toml" in str(caught.value)
    assert needle in str(caught.value)


@in_one
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_estimate_is_read_as_it_was_written(name: str) -> None:
    """At every vendor, priced or not."""
    for vendor in all_providers():
        cost = plan(EXAMPLES[name], get_provider(vendor)).cost
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
    """A date that is no text becomes one, before a job has to be written down; a model that is
    none is nobody's.
    """
    odd = Rate(SELLER.id, Decimal("0.1"), model=["kling-v3"])  # type: ignore[arg-type]
    assert priced(vendor_id(SELLER.id), odd).cost.source != "your price file"
    written: dict[str, Any] = {"usd": "1", "confidence": ["exact"]}
    assert Cost.read(written).confidence == "unknown"
    rate = Rate(SELLER.id, Decimal("0.1"), as_of=date(2026, 11, 1))  # type: ignore[arg-type]
    assert priced(vendor_id(SELLER.id), rate).cost.document()["as_of"] == "2026-11-01"


def test_every_problem_of_a_price_file_is_reported() -> None:
    """Not only the first one."""
    row = {"usd_per_second": "free", "when": [], "minimum_seconds": True, "currency": "EUR"}
    with pytest.raises(RequestError) as caught:
        read_prices({"price": [row, 1]}, "prices.toml", all_providers())
    assert len(caught.value.problems) == 6
