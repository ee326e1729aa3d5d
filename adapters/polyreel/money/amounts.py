"""What a job will cost, as far as anybody has said: exact, bounded, or unknown. Never a guess, and never a float.

A vendor's prices stand in its spec (`x-polyreel-price` on a request schema, `x-polyreel-money` for what a credit
costs, with date and source). What a vendor does not publish is unknown, not free; a price file of the user's fills it.
What a vendor says that it charged is read from the job's `usage`, at the places its spec names (`x-polyreel-usage`).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from attrs import frozen

if TYPE_CHECKING:
    from ..places import JsonObject


CENTS: Final = Decimal("0.000001")
"""What dollars are rounded to: prices per second have four and more digits."""


LARGEST: Final = Decimal(10) ** 9
"""Larger numbers are no durations and no prices."""


AMOUNTS: Final = ("credits", "usd", "at_least_credits", "at_least_usd")


@frozen
class Cost:
    """What a job costs. `credits` and `usd` are the most it can cost; `at_least_*` the least, where that differs."""

    confidence: Literal["exact", "bounded", "unknown"]
    credits: Decimal | None = None
    usd: Decimal | None = None
    at_least_credits: Decimal | None = None
    at_least_usd: Decimal | None = None
    as_of: str | None = None
    source: str | None = None

    def document(self) -> JsonObject:
        """As JSON, with decimals as text."""
        facts: JsonObject = {"confidence": self.confidence}
        for name in AMOUNTS:
            value = getattr(self, name)
            if value is not None or not name.startswith("at_least"):
                facts[name] = None if value is None else format(value, "f")
        # As text whatever a price book of somebody's holds: a job with another type could not be written down.
        return facts | {name: _text(getattr(self, name)) for name in ("as_of", "source")}

    @classmethod
    def read(cls, document: Mapping[str, str | None]) -> Self:
        """From such a document; what makes no sense in it is unknown."""
        amounts = {name: sensible_number(document.get(name)) for name in AMOUNTS}
        texts = {name: document.get(name) for name in ("as_of", "source")}
        confidence = document.get("confidence")
        if confidence not in {"exact", "bounded"} or (
            amounts["credits"] is None and amounts["usd"] is None
        ):
            confidence = "unknown"
        return cls(confidence, **amounts, **texts)  # type: ignore[arg-type]

    def __str__(self) -> str:
        if self.confidence == "unknown":
            least = f", at least ${self.at_least_usd:.4f}" if self.at_least_usd is not None else ""
            return f"unknown{least}"
        return f"{'' if self.confidence == 'exact' else 'at most '}{amount_text(self.credits, self.usd, self.as_of)}"


UNKNOWN: Final = Cost("unknown")


@frozen
class Charge:
    """What a vendor says that it charged for a job."""

    credits: Decimal | None = None
    usd: Decimal | None = None
    as_of: str | None = None
    """The date of the price of a credit that made the dollars; None where the vendor said them, or nobody can."""

    def document(self) -> dict[str, str | None]:
        """As JSON, with decimals as text."""
        amounts = {"credits": self.credits, "usd": self.usd}
        told = {
            name: None if value is None else format(value, "f") for name, value in amounts.items()
        }
        return {**told, "as_of": self.as_of}

    def __str__(self) -> str:
        return amount_text(self.credits, self.usd, self.as_of)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def amount_text(amount: Decimal | None, usd: Decimal | None, as_of: str | None) -> str:
    """An amount in words."""
    parts = [f"{amount.normalize():f} credits"] if amount is not None else []
    parts += [f"${usd:.4f}"] if usd is not None else []
    return " = ".join(parts) + (f" (prices of {as_of})" if as_of else "")


def sensible_number(value: Any) -> Decimal | None:
    """A number that can be a price or a duration, or None."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 <= number < LARGEST else None
