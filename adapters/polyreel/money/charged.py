"""What a vendor says that it charged for a job."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from ..errors import UnknownNameError
from ..places import get
from ..providers.base.registry import get_provider
from .amounts import CENTS, Charge, sensible_number
from .published import credit_price, in_dollars

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..places import JsonObject


# -- what was charged --------------------------------------------------------------------------------


def charged(job: Job) -> Charge | None:
    """What the vendor says that a job was charged; None where it does not say, or not yet for good.

    Credits become dollars only at a published price. Those of a simulated job have none: they are the simulator's.
    """
    try:
        document = get_provider(job.vendor).contract.document
    except UnknownNameError:
        return None  # a job of a vendor that was installed once
    rule = document.get("x-polyreel-usage")
    if rule is None or job.usage is None or job.status not in rule["settled"]:
        return None
    amount = _told(job.usage, rule.get("credits", ()))
    usd = None if job.simulated else _told(job.usage, rule.get("usd", ()))
    if usd is not None or amount is None:
        return None if usd is None else Charge(amount, usd)
    money = (
        None
        if job.simulated
        else credit_price(document.get("x-polyreel-money", ()), _day(job.created_at))
    )
    if money is None:
        return Charge(amount)
    return Charge(amount, in_dollars(amount, Decimal(money["credits_per_usd"])), money["as_of"])


def with_charge(job: Job) -> Job:
    """The job with what its `usage` says that it was charged."""
    found = charged(job)
    charge = None if found is None else found.document()
    return job if job.charge == charge else job.model_copy(update={"charge": charge})


def _told(usage: JsonObject, places: Iterable[str]) -> Decimal | None:
    """The first sensible number at one of these places."""
    return next(
        (number for place in places if (number := _reported(get(usage, place))) is not None), None
    )


def _reported(value: Any) -> Decimal | None:
    """A number of a vendor's as it wrote it: not as the binary fraction that JSON makes of it. Texts are no numbers."""
    if isinstance(value, str):
        return None
    number = sensible_number(repr(value) if isinstance(value, float) else value)
    return None if number is None else abs(number.quantize(CENTS, ROUND_HALF_UP).normalize())


def _day(seconds: float | None) -> str | None:
    """The date of a moment, None where nobody said when; of what is no moment, a date before all others."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return ""
