"""The commands about this installation: models, doctor."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from ..providers.base.registry import all_providers
from . import checkup, show
from .options import AsJson, files_in_general, known_vendors

LIVE_HELP: Final = (
    "Ask each vendor whose key is set or stored whether it can be used: free calls, never a paid "
    "one."
)


MODELS_LIVE_HELP: Final = (
    "Ask each vendor that lists its models, and whose key is there, what they take: a free call."
)


def models(
    live: Annotated[bool, typer.Option("--live", help=MODELS_LIVE_HELP)] = False,
    vendor: Annotated[
        list[str] | None,
        typer.Option(
            help="With --live: only this vendor. May be given several times.",
            autocompletion=known_vendors,
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what every vendor sells: models and workflows.

    With --live, vendors are asked what their models take now: sizes, lengths, prices as far as they
    say any. The answers are printed, and kept with their date in a folder of the user's state
    (POLYREEL_LIMITS names another). Later live plans are held to them.
    """
    if live:
        from .livemodels import ask_models

        ask_models(vendor, as_json=as_json)
        return
    if vendor:
        raise typer.BadParameter("only with --live", param_hint="--vendor")
    rows = [
        {
            "vendor": vendor,
            "model": route.model,
            "workflow": route.workflow,
            "path": route.operation.PATH,
        }
        for vendor, provider in all_providers().items()
        for route in provider.routes
    ]
    unique = [row for index, row in enumerate(rows) if row not in rows[:index]]
    if as_json:
        show.document(unique)
    else:
        cells = [list(row.values()) for row in unique]
        show.table(["vendor", "model", "workflow", "path"], cells, beneath=("path",))


def doctor(
    live: Annotated[bool, typer.Option("--live", help=LIVE_HELP)] = False,
    vendor: Annotated[
        list[str] | None,
        typer.Option(
            help="With --live: only this vendor. May be given several times.",
            autocompletion=known_vendors,
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check this installation, and with --live whether each vendor can be used.

    It shows versions, extras, where keys come from (never a key), and the order of vendors. With
    --live, each vendor whose key is there is asked, and its answers are compared with its spec.
    Then it exits 0 where all is well, 4 where a key is not accepted, 3 where a vendor is not
    reached or answers with an error, 5 where an answer differs: the first that is true of any.
    """
    if live:
        from .readiness import check_vendors

        check_vendors(vendor, as_json=as_json)
        return
    if vendor:
        raise typer.BadParameter("only with --live", param_hint="--vendor")
    facts = checkup.facts()
    if as_json:
        show.document(facts)
    else:
        show.table(
            ["what", "value"], [[name, checkup.plain(value)] for name, value in facts.items()]
        )
    if notice := files_in_general(live=False):
        show.note(notice)
