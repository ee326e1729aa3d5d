"""What a job costs by the prices that its vendor publishes."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ..places import get, is_missing
from .amounts import DOLLAR_STEP, UNKNOWN, Cost, sensible_number

if TYPE_CHECKING:
    from ..places import JsonObject
    from ..providers.base.contract import Contract


def published_cost(
    contract: Contract, schema: str, rule: JsonObject, body: JsonObject, as_of: str | None
) -> Cost:
    """What a body costs by the `x-polyreel-price` of its schema, with the prices of a date."""
    said = _BodyValues(contract, schema, body)
    least, most = _seconds(rule["seconds"], said)
    factor = _factor(rule.get("factor"), said)
    money = credit_price(contract.document.get("x-polyreel-money", ()), as_of)
    if least is None or factor is None or money is None:
        return UNKNOWN
    low = _credits(rule, least, factor)
    high = None if most is None else _credits(rule, most, factor)
    date, source = money["as_of"], rule["source"]
    low_usd = in_dollars(low, money)
    if high == low:
        return Cost("exact", low, low_usd, as_of=date, source=source)
    if high is None:
        return Cost("unknown", None, None, low, low_usd, date, source)
    return Cost("bounded", high, in_dollars(high, money), low, low_usd, date, source)


def published_credits(
    contract: Contract, schema: str, body: JsonObject, seconds: int
) -> Decimal | None:
    """The credits of a job whose clip or input has so many seconds; None where no price is known.

    That is what a vendor knows when it bills, also where a plan can only know a range.
    """
    rule = contract.schema(schema).get("x-polyreel-price")
    if rule is None:
        return None
    factor = _factor(rule.get("factor"), _BodyValues(contract, schema, body))
    billed = max(Decimal(seconds), Decimal(rule["seconds"].get("at_least", 0)))
    return None if factor is None else _credits(rule, billed, factor)


def in_dollars(amount: Decimal, money: JsonObject) -> Decimal:
    """Credits as dollars, at a price of `x-polyreel-money`: `usd_per_credit`, or the other way."""
    if "usd_per_credit" in money:
        return (amount * Decimal(money["usd_per_credit"])).quantize(DOLLAR_STEP, ROUND_HALF_UP)
    return (amount / Decimal(money["credits_per_usd"])).quantize(DOLLAR_STEP, ROUND_HALF_UP)


def credit_price(dated: Iterable[JsonObject], as_of: str | None) -> JsonObject | None:
    """The newest price of a credit, or the one that was valid on a date; None without one."""
    known = sorted(dated, key=lambda price: str(price["as_of"]), reverse=True)
    return next((price for price in known if as_of is None or str(price["as_of"]) <= as_of), None)


@frozen
class _BodyValues:
    """A native body, with the defaults of its schema."""

    contract: Contract
    schema: str
    body: JsonObject

    def value(self, place: str) -> Any:
        """What the body says, or what the vendor takes where it says nothing."""
        found = get(self.body, place)
        if not is_missing(found):
            return found
        return (self.contract.property(self.schema, place) or {}).get("default")


def _seconds(rule: JsonObject, said: _BodyValues) -> tuple[Decimal | None, Decimal | None]:
    """The fewest and the most seconds that are billed."""
    if "of" in rule:
        asked = sensible_number(said.value(rule["of"]))
        return asked, asked
    most = rule.get("at_most")
    if isinstance(most, dict):
        most = most["by"].get(said.value(most["of"]))
    return Decimal(rule["at_least"]), None if most is None else Decimal(most)


def _factor(rule: JsonObject | None, said: _BodyValues) -> Decimal | None:
    """How many times the basic price applies, by fields such as the quality."""
    if rule is None:
        return Decimal(1)
    key = " ".join(str(said.value(place)) for place in rule["of"])
    return sensible_number(rule["by"].get(key))


def _credits(rule: JsonObject, seconds: Decimal, factor: Decimal) -> Decimal:
    amount = seconds * factor * Decimal(rule["credits_per_second"])
    amount = max(amount, Decimal(rule.get("minimum_credits", "0")))
    return amount.quantize(Decimal(rule["round_to"]), ROUND_HALF_UP)
