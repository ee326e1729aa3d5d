"""A row with its plans, and what the ledger had of it when the batch began."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property

from attrs import Factory, frozen

from ..ledger.records import LedgerEntry
from ..money.amounts import Cost
from ..plans.planning import Plan
from .costs import Bound
from .rows import Row


@frozen(eq=False)
class RowTask:
    """A row with its plans, and what the ledger had of it when the batch began."""

    row: Row
    plans: tuple[Plan, ...]
    routed: bool
    entry: LedgerEntry | None
    lost: tuple[LedgerEntry, ...]
    """Entries that were given up, but may have been billed."""
    others: tuple[Plan, ...] = ()
    """What vendors were sent in earlier runs that are not asked any more: only their prices count."""
    reserved: list[Bound] = Factory(list)
    """What is set aside in the budget for it."""

    @cached_property
    def usable(self) -> tuple[Plan, ...]:
        """The plans that a vendor could be sent."""
        return tuple(plan for plan in self.plans if not plan.refused)

    @property
    def asked(self) -> Plan | tuple[Plan, ...]:
        """What to submit: of several plans, the first that a vendor takes."""
        return self.plans if self.routed else self.plans[0]

    @property
    def vendor(self) -> str:
        """Who has the job, or is asked first."""
        return self.entry.vendor if self.entry else (self.usable or self.plans)[0].vendor

    def cost(self, vendor: str) -> Cost:
        """What it costs at a vendor, as far as a plan tells."""
        return next(
            (plan.cost for plan in (*self.plans, *self.others) if plan.vendor == vendor),
            Cost("unknown"),
        )

    @property
    def bound(self) -> Bound:
        """What the row costs, or has cost."""
        return (
            Bound.of(self.cost(self.entry.vendor))
            if self.entry
            else Bound.any_of(self.usable or self.plans)
        )

    @property
    def contents(self) -> Iterator[bytes]:
        """What the vendors would be sent, as hashes."""
        for plan in self.usable:
            yield hashlib.sha256(plan.vendor.encode() + plan.content).digest()
