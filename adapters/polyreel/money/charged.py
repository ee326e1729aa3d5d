"""What a vendor says that it charged for a job, and that beside its estimate."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from ..errors import UnknownNameError
from ..places import get
from ..providers.base.registry import get_provider
from .amounts import DOLLAR_STEP, Charge, Cost, sensible_number
from .published import credit_price, in_dollars

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..places import JsonObject


def charged(job: Job) -> Charge | None:
    """What the vendor says that a job was charged; None where it does not say, or may change it.

    Credits become dollars only at a published price. The credits of a simulated job are invented by
    the simulator, so they have no price.
    """
    try:
        document = get_provider(job.vendor).contract.document
    except UnknownNameError:
        return None  # the package of this vendor is not installed any more
    rule = document.get("x-polyreel-usage")
    if rule is None or job.usage is None or job.status not in rule["settled"]:
        return None
    amount = _number_at(job.usage, rule.get("credits", ()))
    if job.simulated:
        return None if amount is None else Charge(amount)
    usd = _number_at(job.usage, rule.get("usd", ()))
    if usd is not None:
        return Charge(amount, usd)
    return None if amount is None else _at_credit_price(amount, document, job.created_at)


def cost_text(job: Job) -> str | None:
    """What a job was to cost, and what its vendor says that it did; None where neither is known.

    A simulated job costs the published price, but nothing was charged for it, and that is said.
    """
    charge = charged(job)
    if job.estimate is None and charge is None:
        return None
    cost = None if job.estimate is None else Cost.read(job.estimate)
    before = (
        "not estimated"
        if cost is None
        else f"estimate{'' if cost.confidence == 'unknown' else 'd'} {cost}"
    )
    after = (
        "nothing, as it was simulated"
        if job.simulated
        else "unknown: the vendor does not say"
        if charge is None
        else str(charge)
    )
    return f"cost: {before}; charged {after}"


def with_charge(job: Job) -> Job:
    """The job with what its `usage` says that it was charged."""
    found = charged(job)
    charge = None if found is None else found.document()
    return job if job.charge == charge else job.model_copy(update={"charge": charge})


def _at_credit_price(amount: Decimal, document: JsonObject, created: float | None) -> Charge:
    """Credits with their dollars, where the vendor has published a price of a credit."""
    money = credit_price(document.get("x-polyreel-money", ()), _day(created))
    if money is None:
        return Charge(amount)
    return Charge(amount, in_dollars(amount, money), money["as_of"])


def _number_at(usage: JsonObject, places: Iterable[str | JsonObject]) -> Decimal | None:
    """The first sensible number at one of these places."""
    numbers = (
        _number(get(usage, place)) if isinstance(place, str) else _sum(usage, place)
        for place in places
    )
    return next((number for number in numbers if number is not None), None)


def _sum(usage: JsonObject, place: JsonObject) -> Decimal | None:
    """The sum of the `amount` of `each` item of a list with the members in `where`.

    Amounts can be texts here. None without such an item, and where one has no sensible amount.
    """
    items = get(usage, place["each"])
    wanted = [
        item.get(place["amount"])
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict)
        and all(item.get(name) == value for name, value in place["where"].items())
    ]
    amounts = [sensible_number(one) if isinstance(one, str) else _number(one) for one in wanted]
    known = [one for one in amounts if one is not None]
    return sum(known, Decimal(0)).normalize() if known and len(known) == len(wanted) else None


def _number(value: object) -> Decimal | None:
    """A number with the digits that the vendor wrote, not as a binary fraction; a text is none."""
    if isinstance(value, str):
        return None
    number = sensible_number(repr(value) if isinstance(value, float) else value)
    return None if number is None else abs(number.quantize(DOLLAR_STEP, ROUND_HALF_UP).normalize())


def _day(seconds: float | None) -> str | None:
    """The date of a moment in seconds since 1970; None without one.

    A number that is no moment is a day before all others: it has no price.
    """
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return ""
