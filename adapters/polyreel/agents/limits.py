"""What agents may spend, and which files of this machine they may send."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from filelock import AsyncFileLock

from ..batch.costs import Budget, most_spent
from ..errors import BudgetError, RequestError
from ..ledger.records import LedgerEntry
from ..ledger.store import LedgerStore
from ..mapping import media
from ..money.amounts import Cost, CostRange
from ..places import JsonObject

ASK: Final = "ask the person who started the server"


@frozen
class AgentBudget:
    """The most dollars that all jobs of a name in a ledger may cost together.

    Nothing else keeps count: what the ledger has under the name counts as spent, so that the limit
    holds over all calls, servers and restarts. What may have been billed counts.
    """

    ledger: LedgerStore
    name: str
    limit: Decimal | None
    """None for no limit, which is for simulated jobs only."""
    simulated: bool

    @asynccontextmanager
    async def one_at_a_time(self) -> AsyncIterator[None]:
        """Hold the one place for submits under this ledger, in all processes.

        Between the look into the ledger and the submit that is written to it, no other server
        submits.
        """
        async with AsyncFileLock(self.ledger.companion_file("agents"), thread_local=False):
            yield

    def spent(self) -> tuple[Decimal, Sequence[LedgerEntry]]:
        """The most dollars that jobs may have cost so far, and the jobs of unknown price."""
        entries = self.ledger.of_references((), [f"{self.name}/"], simulated=self.simulated)
        amounts = [(entry, most_spent(entry)) for entry in entries]
        known = sum((amount for _, amount in amounts if amount is not None), Decimal(0))
        return known, [entry for entry, amount in amounts if amount is None]

    def check(self, costs: Iterable[Cost]) -> None:
        """Raise BudgetError where a job, whichever of these costs is paid, could exceed the limit.

        It is raised too where a price is unknown: that of the job, or of one that was made before.
        """
        if self.limit is None:
            return
        cost = CostRange.any_of(costs)
        if cost.most is None:
            raise BudgetError(
                "the price of the job is unknown, so its cost has no limit; nothing was sent. Ask "
                "for another vendor or model (see the tool `price`), or "
                f"{ASK} for a price file (--prices-file)"
            )
        spent, unknown = self.spent()
        if unknown:
            raise BudgetError(
                f"nobody knows what {unknown[0].id} at {unknown[0].vendor} has cost, so there is "
                f"no telling what is left of the budget; nothing was sent. {ASK.capitalize()}: "
                "another --name begins a new budget"
            )
        if not Budget(self.limit, spent).reserve(cost):
            raise BudgetError(
                f"the job can cost ${cost.most:f}, and ${max(self.limit - spent, Decimal(0)):f} "
                f"of the budget of ${self.limit:f} is left; nothing was sent. Ask for a shorter "
                f"or smaller clip, or {ASK} for a larger --max-cost"
            )

    def document(self) -> JsonObject | None:
        """The limit and what is spent of it, as JSON; None without a limit."""
        if self.limit is None:
            return None
        spent, unknown = self.spent()
        return {
            "max_cost_usd": format(self.limit, "f"),
            "spent_at_most_usd": format(spent, "f"),
            "jobs_of_unknown_price": len(unknown),
        }


def check_limit(limit: Decimal | None, *, live: bool) -> None:
    """Raise BudgetError where agents could spend real money without a limit."""
    if live and limit is None:
        raise BudgetError(
            "agents spend live money within a budget only, which the person who starts the server "
            "sets: add --max-cost USD"
        )
    if limit is not None and not (limit.is_finite() and limit >= 0):
        raise RequestError(["max_cost: dollars, not less than 0"])


def check_files(request: Mapping[str, Any], folders: Sequence[Path]) -> None:
    """Raise RequestError where a request names a local file outside of these folders.

    An agent can be talked into sending any file of the machine to a vendor. No file is opened.
    """
    roots = [folder.resolve() for folder in folders]
    for name, _, value, _ in media.inputs(request):
        if not media.is_local(value) or media.is_inline(value):
            continue
        try:
            path = media.local_path(value).resolve()
        except (OSError, ValueError):
            continue  # it is no path, and the plan says so
        if not any(path.is_relative_to(root) for root in roots):
            where = " or ".join(str(root) for root in roots)
            problem = f"files of this machine are sent from {where} only; nothing was sent"
            advice = f"Give a URL, or {ASK} for --files FOLDER"
            raise RequestError([f"{name}: {media.shown(value)}: {problem}. {advice}"])
