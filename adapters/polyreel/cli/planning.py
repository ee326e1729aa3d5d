"""The command that shows what would be sent: plan."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from .. import environment
from ..places import JsonObject
from ..plans.documents import plan_document
from ..plans.livelimits import within
from ..plans.planning import PORTABLE
from ..providers.base.provider import Provider
from ..providers.base.registry import all_providers, get_provider
from . import show
from .flags import with_request_flags
from .options import Allow, AsJson, Stream, VendorDefaults, allowances, client, known_vendors

LIVE_HELP: Final = (
    "Also hold it to what vendors said of their models, as polyreel models --live has kept it."
)


@with_request_flags
def plan(
    request: JsonObject,
    *,
    from_flags: bool,
    vendor: Annotated[
        list[str] | None,
        typer.Option(
            help="Vendor id, several times, or all.",
            autocompletion=known_vendors,
            show_default=False,
        ),
    ] = None,
    allow: Allow = None,
    vendor_defaults: VendorDefaults = False,
    stream: Stream = False,
    live: Annotated[bool, typer.Option("--live", help=LIVE_HELP)] = False,
    as_json: AsJson = False,
) -> None:
    """Show what would be sent, and what becomes of every field. Sends nothing.

    Exits 0 where at least one of the vendors can serve the request, 2 where none can.
    """
    names, allowed = vendor or [], allowances(allow)
    asked = list(
        dict.fromkeys(
            one for name in names for one in (all_providers() if name == "all" else [name])
        )
    )
    with client(asked, live=False) as made:
        preferences = PORTABLE if from_flags and not vendor_defaults else {}
        chosen: list[Provider | None] = [*map(get_provider, asked)] or [None]
        plans = [
            made.plan(request, name, preferences=preferences, stream=stream, allow=allowed)
            for name in chosen
        ]
    limits = environment.kept_limits(item.vendor for item in plans) if live else {}
    plans = [within(item, limits) for item in plans]
    if as_json:
        documents = [plan_document(item) for item in plans]
        show.document(documents if len(names) > 1 or "all" in names else documents[0])
    for item in plans:
        if not as_json:
            show.plan_text(item)
        for violation in item.violations:
            show.note(f"{item.vendor}: refused: {violation.message}")
    if all(item.refused for item in plans):
        raise typer.Exit(2)
