"""Amounts of money: the cost of a job before it is made, and the charge afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final, Literal, Self

from attrs import frozen

from ..notebook.html import facts

if TYPE_CHECKING:
    from ..places import JsonObject

Confidence = Literal["exact", "bounded", "unknown"]

DOLLAR_STEP: Final = Decimal("0.000001")
"""Dollars are rounded to this: prices per second have four and more digits."""
LARGEST: Final = Decimal(10) ** 9
"""Larger numbers are no durations and no prices."""
GIVE_PRICES: Final = "give the price in a price file (--prices-file FILE; in Python prices=)"
"""What to do where a price is unknown, and has to be known."""
NOTHING: Final = Decimal(0)


@frozen
class Cost:
    """What a job costs, as far as anybody has said."""

    confidence: Confidence
    credits: Decimal | None = None
    """The most credits that it can cost."""
    usd: Decimal | None = None
    """The most dollars that it can cost."""
    at_least_credits: Decimal | None = None
    """The fewest credits, where they differ from `credits`."""
    at_least_usd: Decimal | None = None
    """The fewest dollars, where they differ from `usd`."""
    as_of: str | None = None
    """The date of the prices, such as 2026-10-10."""
    source: str | None = None
    """Where the prices stand."""

    def document(self) -> JsonObject:
        """As JSON, with decimals as text."""
        found: JsonObject = {
            "confidence": self.confidence,
            "credits": _digits(self.credits),
            "usd": _digits(self.usd),
        }
        if self.at_least_credits is not None:
            found["at_least_credits"] = _digits(self.at_least_credits)
        if self.at_least_usd is not None:
            found["at_least_usd"] = _digits(self.at_least_usd)
        # A price book can hold values of other types, which could not be written to the ledger.
        found["as_of"] = None if self.as_of is None else str(self.as_of)
        found["source"] = None if self.source is None else str(self.source)
        return found

    @classmethod
    def read(cls, document: Mapping[str, str | None]) -> Self:
        """The cost of such a document; what makes no sense in it is left out, or unknown."""
        amount, usd = (sensible_number(document.get(name)) for name in ("credits", "usd"))
        confidence: Confidence = "unknown"
        if amount is not None or usd is not None:
            confidence = _CONFIDENCES.get(str(document.get("confidence")), "unknown")
        return cls(
            confidence,
            amount,
            usd,
            sensible_number(document.get("at_least_credits")),
            sensible_number(document.get("at_least_usd")),
            document.get("as_of"),
            document.get("source"),
        )

    def _repr_html_(self) -> str:
        """As a table in a notebook."""
        found = {name: value for name, value in self.document().items() if name != "confidence"}
        return facts(f"cost: {self}", {name.replace("_", " "): one for name, one in found.items()})

    def __str__(self) -> str:
        if self.confidence == "unknown":
            least = f", at least ${self.at_least_usd:.4f}" if self.at_least_usd is not None else ""
            return f"unknown{least}"
        most = "" if self.confidence == "exact" else "at most "
        return most + amount_text(self.credits, self.usd, self.as_of)


UNKNOWN: Final = Cost("unknown")
_CONFIDENCES: Final[Mapping[str, Confidence]] = {"exact": "exact", "bounded": "bounded"}


@frozen
class CostRange:
    """The fewest and the most dollars that something can cost."""

    least: Decimal = NOTHING
    most: Decimal | None = NOTHING
    """None where the most is unknown."""

    @classmethod
    def of(cls, cost: Cost) -> CostRange:
        """The range of one cost."""
        if cost.confidence == "unknown" or cost.usd is None:
            return cls(cost.at_least_usd or NOTHING, None)
        return cls(cost.usd if cost.at_least_usd is None else cost.at_least_usd, cost.usd)

    @classmethod
    def any_of(cls, costs: Iterable[Cost]) -> CostRange:
        """The range where one of these will be paid, and it is not known which."""
        ranges = [cls.of(cost) for cost in costs]
        known = [found.most for found in ranges if found.most is not None]
        most = max(known) if len(known) == len(ranges) else None
        return cls(min(found.least for found in ranges), most)


@frozen
class Charge:
    """What a vendor says that it charged for a job."""

    credits: Decimal | None = None
    usd: Decimal | None = None
    as_of: str | None = None
    """The date of the price by which polyreel made the dollars from credits; None for others."""

    def document(self) -> dict[str, str | None]:
        """As JSON, with decimals as text."""
        return {
            "credits": _digits(self.credits),
            "usd": _digits(self.usd),
            "as_of": self.as_of,
        }

    def __str__(self) -> str:
        return amount_text(self.credits, self.usd, self.as_of)


def amount_text(amount: Decimal | None, usd: Decimal | None, as_of: str | None) -> str:
    """An amount of credits and dollars, with the date of the prices, in words."""
    parts = [f"{amount.normalize():f} credits"] if amount is not None else []
    parts += [f"${usd:.4f}"] if usd is not None else []
    return " = ".join(parts) + (f" (prices of {as_of})" if as_of else "")


def sensible_number(value: object) -> Decimal | None:
    """A number that can be a price or a duration; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 <= number < LARGEST else None


def _digits(amount: Decimal | None) -> str | None:
    """An amount as text, without an exponent."""
    return None if amount is None else format(amount, "f")
