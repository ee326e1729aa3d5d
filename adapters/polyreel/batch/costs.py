"""What a batch costs before it is paid, and the budget that it never exceeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from attrs import define, frozen

from ..ledger.records import PROVED_UNPAID, LedgerEntry
from ..money.amounts import NOTHING, Cost, CostRange
from ..money.charged import charged
from ..notebook.html import facts
from ..places import JsonObject


def total(ranges: Iterable[CostRange]) -> tuple[CostRange, int]:
    """The sum of what is known, and how many have an unknown most, which is not in the sum."""
    found = list(ranges)
    known = [one.most for one in found if one.most is not None]
    least = sum((one.least for one in found), NOTHING)
    return CostRange(least, sum(known, NOTHING)), len(found) - len(known)


def most_spent(entry: LedgerEntry) -> Decimal | None:
    """The most dollars that an entry may have cost, as it is written down; None if unknown.

    That is its estimate of then, or what its vendor says that it charged, whichever is more.
    Nothing for an entry that is proved unpaid.
    """
    if entry.state in PROVED_UNPAID:
        return NOTHING
    charge = None if entry.job is None else charged(entry.job)
    found = [CostRange.of(Cost.read(entry.submission.estimate or {})).most]
    found.append(None if charge is None else charge.usd)
    return max((usd for usd in found if usd is not None), default=None)


@frozen
class Summary:
    """What a batch will cost, as far as anybody has said, with rows that were paid before."""

    rows: int
    paid_before: int
    """Rows that have a job in the ledger already: they are continued, and not paid again."""
    at_least: Decimal
    at_most: Decimal
    """The most dollars for all rows whose most is known."""
    unknown: int
    """How many rows have an unknown most; `at_most` does not include them."""
    vendors: Mapping[str, int]
    """The number of rows for which each vendor is asked first."""
    max_cost: Decimal | None = None

    @property
    def money(self) -> str:
        """The total in words."""
        if not self.unknown:
            exact = self.at_least == self.at_most
            most = f"${self.at_most:f}"
            return f"{most} exactly" if exact else f"${self.at_least:f} to {most}"
        rest = f"{self.unknown} row(s) of unknown price"
        known = self.rows - self.unknown
        return f"{rest}, and {known} for at most ${self.at_most:f}" if known else rest

    def document(self) -> JsonObject:
        """As JSON, with decimals as text."""
        return {
            "rows": self.rows,
            "paid_before": self.paid_before,
            "unknown": self.unknown,
            "at_least_usd": format(self.at_least, "f"),
            "at_most_usd": format(self.at_most, "f"),
            "max_cost_usd": None if self.max_cost is None else format(self.max_cost, "f"),
            "vendors": dict(self.vendors),
        }

    def __str__(self) -> str:
        who = ", ".join(f"{vendor} {count}" for vendor, count in self.vendors.items())
        before = f"; {self.paid_before} of them have a job already" if self.paid_before else ""
        return f"{self.rows} row(s) ({who}): {self.money}{before}"

    def _repr_html_(self) -> str:
        """As a table in a notebook."""
        values: dict[str, object] = {
            "rows": self.rows,
            "paid before": self.paid_before,
            "cost": self.money,
            "at most in all": None if self.max_cost is None else f"${self.max_cost:f}",
            **{f"at {vendor}": count for vendor, count in self.vendors.items()},
        }
        return facts("batch: what it will cost", values)


@define
class Budget:
    """Dollars that may be spent in all. What may have been billed counts as spent."""

    limit: Decimal | None = None
    spent: Decimal = NOTHING
    reserved: Decimal = NOTHING

    def reserve(self, cost: CostRange) -> bool:
        """Reserve the most that a row can cost; False where that could exceed the limit."""
        if self.limit is None:
            return True
        if cost.most is None or self.spent + self.reserved + cost.most > self.limit:
            return False
        self.reserved += cost.most
        return True

    def settle(self, reserved: CostRange, cost: CostRange | None) -> None:
        """End the reservation of a row that is over, and count as spent what it may have cost.

        `cost` is None for a row that is proved unpaid.
        """
        if self.limit is None or reserved.most is None:
            return
        self.reserved -= reserved.most
        if cost is not None:
            self.spent += reserved.most if cost.most is None else cost.most
