"""What a vendor's spec says of prices, for its page."""

import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from markdown_text import bullets, code, table
from polyreel.money.published import in_dollars
from polyreel.providers.base.provider import Provider

Facts = Mapping[str, Any]


def prices(provider: Provider) -> Iterator[str]:
    """What the vendor publishes, with dates and sources, and where answers say what was charged."""
    document = provider.contract.document
    money = sorted(document.get("x-polyreel-money", ()), key=lambda one: one["as_of"], reverse=True)
    rows = [
        [", ".join(dict.fromkeys(routes)), *_price(rule, money)]
        for rule, routes in _priced(provider).values()
    ]
    if rows:
        yield table(["for", "billed seconds", "a second", "source"], rows)
    else:
        yield "Unknown: the spec has no published price.\n"
    facts = [f"{_rate(one)} since {one['as_of']} ({one['source']})." for one in money]
    unpriced = [route.model for route in provider.routes if not _rule_of(provider, route.schema)]
    if rows and unpriced:
        facts.append(f"Some or all prices are unknown of {', '.join(dict.fromkeys(unpriced))}.")
    if usage := document.get("x-polyreel-usage"):
        facts.append(_usage(usage))
    if facts:
        yield bullets(facts)


def _rule_of(provider: Provider, schema: str) -> Facts | None:
    found: Facts | None = provider.contract.schema(schema).get("x-polyreel-price")
    return found


def _priced(provider: Provider) -> dict[str, tuple[Facts, list[str]]]:
    """Each published rule, with what it is for."""
    found: dict[str, tuple[Facts, list[str]]] = {}
    for route in provider.routes:
        if rule := _rule_of(provider, route.schema):
            kept = found.setdefault(json.dumps(rule), (rule, []))
            kept[1].append(f"{route.model} {route.workflow}")
    return found


def _price(rule: Facts, money: Iterable[Facts]) -> tuple[str, str, str]:
    newest = next(iter(money), None)
    basic = Decimal(rule["credits_per_second"])
    factor = rule.get("factor", {"of": [], "by": {"": "1"}})
    parts = [
        f"{key}: {_amount(basic * Decimal(by), newest)}" if key else _amount(basic, newest)
        for key, by in factor["by"].items()
    ]
    by = f"by {code(factor['of'])}: " if factor["of"] else ""
    least = rule.get("minimum_credits")
    more = f"; at least {_amount(Decimal(least), newest)} in all" if least else ""
    return _billed(rule["seconds"]), by + "; ".join(parts) + more, rule["source"]


def _amount(amount: Decimal, money: Facts | None) -> str:
    dollars = f" = ${in_dollars(amount, dict(money))}" if money else ""
    return f"{amount.normalize():f} credits{dollars}"


def _billed(seconds: Facts) -> str:
    if "of" in seconds:
        return f"those of `{seconds['of']}`"
    most = seconds.get("at_most")
    if isinstance(most, Mapping):
        limits = ", ".join(f"{value} for {key}" for key, value in most["by"].items())
        most = f"{limits} by `{most['of']}`"
    limits = f"at least {seconds['at_least']}" + (f", at most {most}" if most else "")
    return f"those of `{seconds['of_input']}`, {limits}" if "of_input" in seconds else limits


def _rate(money: Facts) -> str:
    if "usd_per_credit" in money:
        return f"A credit is ${money['usd_per_credit']}"
    return f"A dollar buys {money['credits_per_usd']} credits"


def _usage(usage: Facts) -> str:
    def named(place: Any) -> str:
        return f"`{place}`" if isinstance(place, str) else f"`{json.dumps(place)}`"

    parts = [
        f"{unit} in {', '.join(map(named, usage[unit]))}"
        for unit in ("credits", "usd")
        if usage.get(unit)
    ]
    settled = f"final where the job has {', '.join(usage['settled'])}"
    return f"Answers say what was charged: {'; '.join(parts)}; {settled} ({usage['source']})."
