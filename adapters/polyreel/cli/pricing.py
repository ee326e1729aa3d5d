"""The command that tells what a request costs: price."""

from __future__ import annotations

from typing import Annotated

import typer

from ..jobs.routing import ranked
from ..places import JsonObject
from ..plans.planning import PORTABLE, Plan
from . import show
from .flags import with_request_flags
from .options import AsJson, PricesFile, client, known_vendors, prices

AsOf = Annotated[
    str | None,
    typer.Option(
        help="The prices of this date, such as 2026-03-01; else the newest.", show_default=False
    ),
]
Vendors = Annotated[
    list[str] | None,
    typer.Option(
        help="Vendor id, several times; else all.", autocompletion=known_vendors, show_default=False
    ),
]


@with_request_flags
def price(
    request: JsonObject,
    *,
    from_flags: bool,
    vendor: Vendors = None,
    as_of: AsOf = None,
    prices_file: PricesFile = None,
    as_json: AsJson = False,
) -> None:
    """Show what a request costs at every vendor that can serve it, cheapest first. Sends nothing.

    What a vendor does not publish is unknown, not free: --prices-file FILE fills it with [[price]]
    entries.
    """
    with client(vendor or (), live=False, prices=prices(prices_file, as_of)) as made:
        plans = ranked(made.plans(request, preferences=PORTABLE if from_flags else {}), "cheapest")
    served = [plan for plan in plans if not plan.refused]
    if as_json:
        show.document(
            [
                {"vendor": plan.vendor, "model": plan.model, "cost": plan.cost.document()}
                for plan in served
            ]
        )
    else:
        show.table(["vendor", "model", "cost", "source"], [_cells(plan) for plan in served])
    for plan in plans:
        for violation in plan.violations:
            show.note(f"{plan.vendor}: refused: {violation.message}")
    if not served:
        raise typer.Exit(2)


def _cells(plan: Plan) -> list[str]:
    return [plan.vendor, plan.model or "-", str(plan.cost), plan.cost.source or "none published"]
