"""The question before a live job is paid, and the limit that a command line sets for it.

Every command that can submit a job asks last, when all else is checked: `generate`, `batch` and
`resubmit`. `reconcile` does not ask: it repeats a submit that was agreed to, under its own key.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final

import typer

from ..errors import BudgetError
from ..money.amounts import GIVE_PRICES, LARGEST, Cost, CostRange
from ..plans.planning import Plan
from . import show

Yes = Annotated[
    bool,
    typer.Option(
        "--yes",
        help="Pay with --live without being asked. Without a terminal, --live needs this, "
        "or --max-cost.",
    ),
]
JobLimit = Annotated[
    str | None,
    typer.Option(
        "--max-cost",
        metavar="USD",
        help="Send nothing (exit 7) where the job could cost more, or its price is unknown.",
        show_default=False,
    ),
]
ANSWERS: Final = frozenset({"y", "yes"})


def dollars(text: str | None, option: str = "--max-cost") -> Decimal | None:
    """The amount of an option; None where there is no limit."""
    if text is None:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount < LARGEST:
        raise typer.BadParameter(
            f"{text[:40]!r} is no amount of dollars, such as 12.50", param_hint=option
        )
    return amount


def check_budget(costs: Sequence[Cost], limit: Decimal | None) -> None:
    """Raise BudgetError where one of these costs, whichever is paid, could exceed the limit."""
    if limit is None:
        return
    most = CostRange.any_of(costs).most
    if most is None:
        raise BudgetError(
            "the price of the job is unknown, so the cost has no limit; nothing was sent. "
            f"{GIVE_PRICES.capitalize()}, or leave the limit out"
        )
    if most > limit:
        raise BudgetError(f"the job can cost ${most:f}, and may cost ${limit:f}; nothing was sent")


def price_of(plans: Sequence[Plan]) -> str:
    """Who will be paid, and how much as far as it is known, for one job."""
    if len(plans) == 1:
        return f"{plans[0].vendor} will be paid for this job: {price_text(plans[0].cost)}"
    each = ", ".join(f"{plan.vendor} ({price_text(plan.cost)})" for plan in plans)
    return f"the first of these that takes the job will be paid: {each}"


def price_text(cost: Cost) -> str:
    """A price in words, also one that nobody knows."""
    if cost.confidence != "unknown":
        return str(cost)
    least = "" if cost.at_least_usd is None else f", at least ${cost.at_least_usd:.4f}"
    return f"nobody knows its price{least}"


def ask(what: str, *, yes: bool, limited: bool) -> None:
    """Ask on the terminal whether to pay. BudgetError is raised where the answer is not yes.

    Without a terminal nobody can be asked: a limit stands in for the answer, and a usage error is
    raised where there is none.
    """
    if yes:
        return
    if not _on_terminal():
        if limited:
            return
        raise typer.BadParameter(
            "it costs money, and there is no terminal to ask on: add --yes, or a limit with "
            f"--max-cost USD. Live: {what}; nothing was sent",
            param_hint="--live",
        )
    show.prompt(f"Live: {what}. Pay? [y/N]")
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        show.note("")  # the line that the user has not ended
    if answer.strip().lower() not in ANSWERS:
        raise BudgetError("you did not agree to pay; nothing was sent")


def _on_terminal() -> bool:
    """Whether a question can be read, and answered."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
