"""What a job was charged, beside what it was estimated to cost."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polyreel.money.amounts import LARGEST, Charge
from polyreel.money.charged import charged, with_charge
from polyreel.places import get, put
from polyreel.providers.base.facts import FINAL
from polyreel.providers.base.registry import all_providers
from polyreel_generated.shared import Job
from support.loops import in_one
from support.prices import CREDITED, NOVEMBER, PRICED, SAYING, SELLER, SILENT, job

MARCH = NOVEMBER - 250 * 86_400


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
    said = SAYING[vendor][name][place]
    if isinstance(said, dict):  # of the lines of a list, those that are about this
        return {said["each"]: [{**said["where"], said["amount"]: value}]}
    put(found, said, value)
    return found


def reported(usage: Any, place: Any) -> Decimal | None:
    """What a usage says at a place, read without polyreel."""
    if isinstance(place, str):
        return Decimal(repr(get(usage, place)))
    lines = [
        Decimal(line[place["amount"]])
        for line in usage[place["each"]]
        if place["where"].items() <= line.items()
    ]
    return sum(lines, Decimal(0)) if lines else None


@pytest.mark.parametrize("vendor", SAYING)
def test_a_charge_is_read_where_the_vendor_documents_it(vendor: str) -> None:
    """The first place of each kind stands in the documented answer about a finished job, and is
    read from it.
    """
    usage, rule = finished(vendor), SAYING[vendor]
    assert rule["source"]
    assert set(rule["settled"]) <= FINAL
    assert set(rule) <= {"credits", "usd", "settled", "source"}
    said = {name: reported(usage, rule[name][0]) for name in ("credits", "usd") if name in rule}
    found = charged(job(vendor, usage))
    assert found
    assert found.credits == said.get("credits")
    assert said.get("usd") in {None, found.usd}
    assert (found.as_of is None) == (said.get("usd") is not None or found.usd is None)
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


@in_one
@pytest.mark.parametrize("vendor", SAYING)
@pytest.mark.parametrize("status", ["queued", "running", "unknown", "failed", "canceled"])
def test_only_a_finished_job_is_charged(vendor: str, status: str) -> None:
    """Before the end it may change, and a job that failed may be given back, unless the vendor says
    what it was charged.
    """
    found = charged(job(vendor, finished(vendor), status))
    assert (found is None) == (status not in SAYING[vendor]["settled"])


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
    """That of the job's day; a vendor's own dollars come first, and its own credits in the other
    place as well.
    """
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
    for vendor in CREDITED:
        if vendor not in PRICED:
            assert charged(job(vendor, at(vendor, "credits", 20))) == Charge(Decimal(20))


@pytest.mark.parametrize("vendor", SAYING)
def test_simulated_credits_are_nobodys_money(vendor: str) -> None:
    """They never become dollars, whatever an answer says."""
    found = charged(job(vendor, finished(vendor), simulated=True))
    assert (found is not None) == (vendor in CREDITED)
    assert found is None or found.usd is None


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


@in_one
@pytest.mark.parametrize("vendor", SAYING)
@pytest.mark.parametrize("value", ODD, ids=repr)
def test_an_odd_value_is_no_charge(vendor: str, value: Any) -> None:
    """It is unknown then, and not nothing."""
    kind = "credits" if vendor in CREDITED else "usd"
    said = at(vendor, kind, value)
    is_line = isinstance(SAYING[vendor][kind][0], dict)
    # In lines of a list, amounts are texts.
    assert (charged(job(vendor, said)) is None) == (not is_line or value != "5")


@given(
    usage=st.dictionaries(
        st.sampled_from(
            [
                place["each"] if isinstance(place, dict) else place.split(".")[0]
                for rule in SAYING.values()
                for place in (*rule.get("credits", ()), *rule.get("usd", ()))
            ]
        )
        | st.text(),
        VALUES,
        max_size=4,
    ),
    moment=st.none() | st.floats(allow_nan=False),
)
def test_no_usage_is_too_odd_to_read(usage: dict[str, Any], moment: float | None) -> None:
    """A charge is a sane amount, or unknown; the job can be written down, read, and shown either
    way.
    """
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


def test_a_charge_that_is_no_longer_reported_is_gone() -> None:
    """A job's numbers are those of its usage."""
    vendor = next(iter(SAYING))
    made = with_charge(job(vendor, finished(vendor)))
    assert made.charge
    assert with_charge(made) is made
    assert with_charge(made.model_copy(update={"usage": {}})).charge is None
