"""The price of a live run: what is shown is what has to be typed."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from polyreel.money.amounts import Cost
from polyreel.studio.live import asked_cost, price_word


@given(st.decimals(0, 10**8, places=6))
def test_nobody_agrees_to_less_than_what_is_paid(usd: Decimal) -> None:
    cost = Cost("exact", usd=usd)
    word = price_word(cost)
    assert usd <= Decimal(word) < usd + Decimal("0.0001")
    assert str(asked_cost(cost)) == f"${word}"
