"""What a batch costs, before it is paid, and the budget that it never goes over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from html import escape
from typing import Any

from attrs import define, frozen

from ..money.amounts import Cost
from ..places import JsonObject
from ..plans.planning import Plan

NOTHING = Decimal(0)


@frozen
class Bound:
    """The least and the most dollars that something costs; None where nobody can tell the most."""

    least: Decimal = NOTHING
    most: Decimal | None = NOTHING

    @classmethod
    def of(cls, cost: Cost) -> Bound:
        """The bounds of one cost."""
        if cost.confidence == "unknown" or cost.usd is None:
            return cls(cost.at_least_usd or NOTHING, None)
        return cls(cost.usd if cost.at_least_usd is None else cost.at_least_usd, cost.usd)

    @classmethod
    def any_of(cls, plans: Sequence[Plan]) -> Bound:
        """The bounds where one of these plans, and it is not known which, will be paid."""
        bounds = [cls.of(plan.cost) for plan in plans]
        most = [bound.most for bound in bounds]
        known = [one for one in most if one is not None]
        return cls(
            min(bound.least for bound in bounds), max(known) if len(known) == len(most) else None
        )


def total(bounds: Iterable[Bound]) -> tuple[Bound, int]:
    """The sum of what is known, and how many have no upper bound, which is not in it."""
    found = list(bounds)
    known = [bound.most for bound in found if bound.most is not None]
    return Bound(sum((bound.least for bound in found), NOTHING), sum(known, NOTHING)), len(
        found
    ) - len(known)


@frozen
class Summary:
    """What a batch will cost, as far as anybody has said. Rows that were paid before are in it."""

    rows: int
    paid_before: int
    """Rows that the ledger has a job of already: they are gone on with, and not paid again."""
    at_least: Decimal
    at_most: Decimal
    """The most that the rows of known price cost."""
    unknown: int
    """How many rows have no upper bound; none of what they cost at most is in `at_most`."""
    vendors: Mapping[str, int]
    """How many rows each vendor is asked for first."""
    max_cost: Decimal | None = None

    @property
    def money(self) -> str:
        """The total in words."""
        known = self.rows - self.unknown
        same = self.at_least == self.at_most
        told = f"${self.at_most:f} exactly" if same else f"${self.at_least:f} to ${self.at_most:f}"
        if not self.unknown:
            return told
        rest = f"{self.unknown} row(s) of unknown price"
        return f"{rest}, and {known} for at most ${self.at_most:f}" if known else rest

    def document(self) -> JsonObject:
        """As JSON, with decimals as text."""
        limit = None if self.max_cost is None else format(self.max_cost, "f")
        money = {
            "at_least_usd": format(self.at_least, "f"),
            "at_most_usd": format(self.at_most, "f"),
        }
        counts = {"rows": self.rows, "paid_before": self.paid_before, "unknown": self.unknown}
        return {**counts, **money, "max_cost_usd": limit, "vendors": dict(self.vendors)}

    def __str__(self) -> str:
        who = ", ".join(f"{vendor} {count}" for vendor, count in self.vendors.items())
        before = f"; {self.paid_before} of them have a job already" if self.paid_before else ""
        return f"{self.rows} row(s) ({who}): {self.money}{before}"

    def _repr_html_(self) -> str:
        """As a table in a notebook."""
        facts: dict[str, Any] = {
            "rows": self.rows,
            "paid before": self.paid_before,
            "cost": self.money,
        }
        facts |= {f"at {vendor}": count for vendor, count in self.vendors.items()}
        cells = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(str(one))}</td></tr>"
            for name, one in facts.items()
        )
        return f"<table>{cells}</table>"


@define
class Budget:
    """Dollars that may be spent in all. What may have been billed counts as spent."""

    limit: Decimal | None = None
    spent: Decimal = NOTHING
    reserved: Decimal = NOTHING

    def reserve(self, bound: Bound) -> bool:
        """Set aside the most that a row can cost; False where that could go over the limit."""
        if self.limit is None:
            return True
        if bound.most is None or self.spent + self.reserved + bound.most > self.limit:
            return False
        self.reserved += bound.most
        return True

    def settle(self, reserved: Bound, cost: Bound | None) -> None:
        """A row is over: what it may have cost is spent, None for proved unpaid, and the rest is free again."""
        if self.limit is None or reserved.most is None:
            return
        self.reserved -= reserved.most
        if cost is not None:
            self.spent += reserved.most if cost.most is None else cost.most
