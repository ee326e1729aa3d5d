"""The command that shows and sets what jobs share: limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer
from attrs import asdict

from ..client.checks import check_reference
from ..client.limiting import checked_changes
from ..ledger.keeping import StoredLedger
from . import show
from .consent import dollars
from .options import AsJson, LedgerPlace, LiveJobs, known_vendors, open_ledger, read_ledger

if TYPE_CHECKING:
    from ..ledger.limits import LimitChanges, SharedLimit

COLUMNS: Final = ["name", "vendor", "spent", "at most", "under way", "places", "rate"]
NONE: Final = "none"


def limits(
    name: Annotated[
        str | None, typer.Argument(help="The name of the limits.", show_default=False)
    ] = None,
    *,
    max_cost: Annotated[
        str | None,
        typer.Option(
            metavar="USD", help="The most that all may cost, or none.", show_default=False
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER",
            help="Jobs begun at each vendor in a minute, at most, or none.",
            show_default=False,
        ),
    ] = None,
    concurrency: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER", help="Jobs under way at each vendor, or none.", show_default=False
        ),
    ] = None,
    vendor: Annotated[
        str | None,
        typer.Option(
            help="The one whose rate and concurrency are set.",
            autocompletion=known_vendors,
            show_default=False,
        ),
    ] = None,
    live: LiveJobs = False,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> None:
    """Show, or set, the limits that jobs in the ledger share: of money, of places and of pace.

    They hold for the jobs that were enqueued under their name, whichever worker submits them; a
    batch has its own.
    """
    check_reference(name, "NAME")
    changes = _changes(max_cost, rate, concurrency)
    if name is None and (changes or vendor):
        raise typer.BadParameter("name the limits that are to be set", param_hint="NAME")
    if vendor is not None and not changes:
        raise typer.BadParameter("it goes with --rate or --concurrency", param_hint="--vendor")
    with (open_ledger if changes else read_ledger)(ledger) as opened:
        assert isinstance(opened, StoredLedger)
        if name is not None and changes:
            from ..providers.base.registry import get_provider

            own = "" if vendor is None else get_provider(vendor).id
            checked = checked_changes(changes, own)
            opened.limits.set(name, own, simulated=not live, changes=checked)
        found = opened.limits.found(name, simulated=not live)
    if as_json:
        show.document([_document(one) for one in found])
        return
    if not found:
        kind = "live" if live else "simulated"
        show.note(f"no limits of {kind} jobs{f' are named {name}' if name else ''}")
        return
    show.table(COLUMNS, [_cells(one) for one in found])


def _changes(max_cost: str | None, rate: str | None, concurrency: str | None) -> LimitChanges:
    """What is to be changed, by what was given."""
    changes: LimitChanges = {}
    if max_cost is not None:
        changes["max_cost"] = None if max_cost == NONE else dollars(max_cost)
    if rate is not None:
        changes["rate"] = None if rate == NONE else _number(rate, "--rate")
    if concurrency is not None:
        places = None if concurrency == NONE else _number(concurrency, "--concurrency")
        if places is not None and places != int(places):
            raise typer.BadParameter("a whole number, or none", param_hint="--concurrency")
        changes["concurrency"] = None if places is None else int(places)
    return changes


def _number(text: str, option: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 < number <= 1e6:
        raise typer.BadParameter(f"{text[:40]!r} is no such number", param_hint=option)
    return number


def _document(limit: SharedLimit) -> dict[str, object]:
    """As JSON, with decimals as text."""
    found = asdict(limit)
    for name in ("max_cost", "spent"):
        found[name] = None if found[name] is None else format(found[name], "f")
    return {**found, "vendor": limit.vendor or None}


def _cells(limit: SharedLimit) -> list[str]:
    whole = not limit.vendor
    return [
        limit.name,
        limit.vendor or "all",
        f"${limit.spent:f}" if whole else "-",
        "-" if limit.max_cost is None else f"${limit.max_cost:f}",
        "-" if whole else str(limit.under_way),
        "-" if limit.concurrency is None else str(limit.concurrency),
        "-" if limit.rate is None else f"{limit.rate:g}/min",
    ]
