"""A row with its plans, and what the ledger had of it when the batch began."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property

from attrs import Factory, frozen

from ..jobs.sameness import differences
from ..ledger.records import LedgerEntry
from ..money.amounts import UNKNOWN, Cost, CostRange
from ..places import JsonObject
from ..plans.planning import Plan
from .rows import Row


@frozen(eq=False)
class RowTask:
    """A row with its plans, and what the ledger had of it when the batch began."""

    row: Row
    plans: tuple[Plan, ...]
    routed: bool
    """Whether the first of several vendors that takes the row makes it."""
    entry: LedgerEntry | None
    others: tuple[Plan, ...] = ()
    """Plans for vendors of earlier runs that are not asked any more: only their prices count."""
    reserved: list[CostRange] = Factory(list)
    """What the budget has reserved for it."""

    @cached_property
    def usable(self) -> tuple[Plan, ...]:
        """The plans that can be sent to a vendor."""
        return tuple(plan for plan in self.plans if not plan.refused)

    @property
    def asked(self) -> Plan | tuple[Plan, ...]:
        """What to submit: one plan, or several, of which the first that a vendor takes counts.

        A row that has a job has the plan for the vendor of that job.
        """
        if self.entry is not None and (plan := self.plan_for(self.entry.vendor)) is not None:
            return plan
        return self.plans if self.routed else self.plans[0]

    def plan_for(self, vendor: str) -> Plan | None:
        """The plan for a vendor, also for one of earlier runs; None without one."""
        return next((one for one in (*self.plans, *self.others) if one.vendor == vendor), None)

    def difference(self, entry: LedgerEntry) -> str | None:
        """How the row differs from the request of a job; None where the job is the row's own."""
        plan = self.plan_for(entry.vendor)
        if plan is None or plan.refused:
            return None  # the package of the vendor is not installed any more
        return next(iter(differences(plan, entry.submission)), None)

    @property
    def first(self) -> Plan:
        """The plan for the vendor that has the job, or is asked first."""
        return self.asked if isinstance(self.asked, Plan) else (self.usable or self.plans)[0]

    def document(self) -> JsonObject:
        """What a run would do with it, as JSON."""
        return {
            "row": self.row.number,
            "line": self.row.line,
            "reference": self.row.reference,
            "state": self.entry.state if self.entry else "not-started",
            "vendor": self.vendor,
            "model": self.first.model,
            "workflow": self.first.workflow,
            "cost": self.cost(self.vendor).document(),
        }

    @property
    def vendor(self) -> str:
        """The vendor that has the job, or is asked first."""
        return self.entry.vendor if self.entry else (self.usable or self.plans)[0].vendor

    def cost(self, vendor: str) -> Cost:
        """What the row costs at a vendor; unknown without a plan for it.

        For a job that there is already, that is what was estimated when it was submitted.
        """
        if self.entry is not None and self.entry.vendor == vendor:
            before = Cost.read(self.entry.submission.estimate or {})
            if before.usd is not None:
                return before
        plan = self.plan_for(vendor)
        return UNKNOWN if plan is None else plan.cost

    @property
    def cost_range(self) -> CostRange:
        """What the row will cost, or has cost."""
        if self.entry:
            return CostRange.of(self.cost(self.entry.vendor))
        return CostRange.any_of(plan.cost for plan in self.usable or self.plans)

    @property
    def unpriced(self) -> list[str]:
        """The vendors that may make it, and whose price for it nobody knows."""
        if self.entry:
            return [self.entry.vendor]
        plans = self.usable or self.plans
        return [plan.vendor for plan in plans if CostRange.of(plan.cost).most is None]

    @property
    def contents(self) -> Iterator[bytes]:
        """The hash of what each vendor would be sent."""
        for plan in self.usable:
            yield hashlib.sha256(plan.vendor.encode() + plan.content).digest()
