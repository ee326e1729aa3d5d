"""What a job costs by the prices that its vendor publishes."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from ..places import get, is_missing
from .amounts import CENTS, UNKNOWN, Cost, sensible_number

if TYPE_CHECKING:
    from ..places import JsonObject
    from ..providers.base.contract import Contract


# -- published prices --------------------------------------------------------------------------------


def published_cost(
    contract: Contract, schema: str, rule: JsonObject, body: JsonObject, as_of: str | None
) -> Cost:
    """What a body costs by the rule that the vendor publishes."""
    least, most = _seconds(contract, schema, rule["seconds"], body)
    factor = _factor(contract, schema, rule.get("factor"), body)
    money = credit_price(contract.document.get("x-polyreel-money", ()), as_of)
    if least is None or factor is None or money is None:
        return UNKNOWN
    low = _credits(rule, least, factor)
    high = None if most is None else _credits(rule, most, factor)
    ratio = Decimal(money["credits_per_usd"])
    facts = {"as_of": money["as_of"], "source": rule["source"]}
    if high == low:
        return Cost("exact", low, in_dollars(low, ratio), **facts)
    known = {"at_least_credits": low, "at_least_usd": in_dollars(low, ratio), **facts}
    if high is None:
        return Cost("unknown", **known)
    return Cost("bounded", high, in_dollars(high, ratio), **known)


def _credits(rule: JsonObject, seconds: Decimal, factor: Decimal) -> Decimal:
    amount = seconds * factor * Decimal(rule["credits_per_second"])
    amount = max(amount, Decimal(rule.get("minimum_credits", "0")))
    return amount.quantize(Decimal(rule["round_to"]), ROUND_HALF_UP)


def in_dollars(amount: Decimal, ratio: Decimal) -> Decimal:
    """Credits as dollars, at a number of credits per dollar."""
    return (amount / ratio).quantize(CENTS, ROUND_HALF_UP)


def credit_price(dated: Iterable[JsonObject], as_of: str | None) -> JsonObject | None:
    """What a credit costs, newest first; on a date, what it cost then."""
    known = sorted(dated, key=lambda one: str(one["as_of"]), reverse=True)
    return next((one for one in known if as_of is None or str(one["as_of"]) <= as_of), None)


def _seconds(
    contract: Contract, schema: str, rule: JsonObject, body: JsonObject
) -> tuple[Decimal | None, Decimal | None]:
    """The fewest and the most seconds that are billed."""
    if "of" in rule:
        asked = sensible_number(_value(contract, schema, rule["of"], body))
        return asked, asked
    most = rule.get("at_most")
    if isinstance(most, dict):
        most = most["by"].get(_value(contract, schema, most["of"], body))
    return Decimal(rule["at_least"]), None if most is None else Decimal(most)


def _factor(
    contract: Contract, schema: str, rule: JsonObject | None, body: JsonObject
) -> Decimal | None:
    if rule is None:
        return Decimal(1)
    key = " ".join(str(_value(contract, schema, place, body)) for place in rule["of"])
    return sensible_number(rule["by"].get(key))


def _value(contract: Contract, schema: str, place: str, body: JsonObject) -> Any:
    """What a body says, or what the vendor takes where it says nothing."""
    found = get(body, place)
    return (contract.property(schema, place) or {}).get("default") if is_missing(found) else found
