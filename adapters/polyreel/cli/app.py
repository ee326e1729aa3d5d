"""The commands."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..client import TIMEOUT, Client
from ..places import JsonObject
from ..plans.planning import PORTABLE, Plan
from ..providers.base.registry import all_providers
from . import (
    batch,
    checkup,
    compare,
    failures,
    pricing,
    recover,
    serve,
    show,
    torture,
    vendor,
    verify,
)
from .files import prepare
from .flags import with_request_flags
from .options import (
    VENDOR_HELP,
    AsJson,
    LedgerFile,
    Live,
    PricesFile,
    Timeout,
    client,
    kept,
    prices,
)

app = typer.Typer(
    help="One request, any AI video vendor. Simulated, and free, unless --live is given.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code. Without arguments it shows the help."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("polyreel", list(arguments) or ["--help"]) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as stop:
        return stop.exit_code
    except (Exception, KeyboardInterrupt) as error:
        return failures.report(error, as_json="--json" in arguments)
    return 0


VendorDefaults = Annotated[
    bool,
    typer.Option(
        "--vendor-defaults", help="Leave size and sound to the vendor where no flag asks."
    ),
]


Stream = Annotated[
    bool,
    typer.Option(
        "--stream",
        help="Hear of the job over an event stream instead of asking, where it is offered.",
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        show.line(f"polyreel {checkup.installed('polyreel')}")
        raise typer.Exit


@app.callback()
def polyreel(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Options of polyreel itself."""


@app.command()
@with_request_flags
def generate(
    request: JsonObject,
    *,
    from_flags: bool,
    vendor: Annotated[list[str] | None, typer.Option(help=VENDOR_HELP, show_default=False)] = None,
    cheapest: Annotated[
        bool, typer.Option("--cheapest", help="Ask the cheapest of the vendors first.")
    ] = False,
    prices_file: PricesFile = None,
    output: Annotated[
        Path, typer.Option(help="Folder for the files; made where it is missing.")
    ] = Path("clips"),
    timeout: Timeout = TIMEOUT,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Your own name of the job: it is paid once, however often you ask.",
            show_default=False,
        ),
    ] = None,
    fault: Annotated[
        str | None,
        typer.Option(
            help="What goes wrong at the simulated vendor, such as lost-reset.", show_default=False
        ),
    ] = None,
    vendor_defaults: VendorDefaults = False,
    stream: Stream = False,
    live: Live = False,
    ledger: LedgerFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a clip or images, and save them. Without a size or sound asked for: 720p with sound, at every vendor.

    The submit is written to the ledger before it is sent, so that nothing paid for is lost: see `polyreel jobs`.
    """
    if fault and live:
        raise typer.BadParameter(
            "faults are for simulated vendors, not with --live", param_hint="--fault"
        )
    with kept(ledger, live=live) as opened, show.Progress(opened) as progress:
        settings: dict[str, Any] = {
            "ledger": opened,
            "listener": progress,
            "prices": prices(prices_file),
        }
        with client(vendor or (), live=live, **settings) as made:
            preferences = PORTABLE if from_flags and not vendor_defaults else {}
            options = {"preferences": preferences, "stream": stream}
            plans = _plans(
                made, request, cheapest=cheapest, several=len(vendor or ()) > 1, options=options
            )
            prepare(output)
            if fault and made.simulator:
                made.simulator.inject(
                    fault, next(plan.vendor for plan in plans if not plan.refused)
                )
            several = cheapest or len(plans) > 1
            job = made.generate(
                plans if several else plans[0], output=output, timeout=timeout, reference=reference
            )
    for step in job.routing or ():
        show.note(f"{step.vendor}: {step.result}: {step.reason}")
    if as_json:
        show.document(show.job_document(job))
    else:
        for item in job.outputs or ():
            show.line(str(item.path))
    if told := show.cost_text(job):
        show.note(told)
    show.closing(job.vendor, simulated=job.simulated)


def _plans(
    made: Client, request: JsonObject, *, cheapest: bool, several: bool, options: Mapping[str, Any]
) -> list[Plan]:
    """The plans of a new job, at least one of which can be submitted."""
    if not cheapest and not several:
        return [made.plan(request, **options).check()]
    plans = made.plans(request, prefer="cheapest" if cheapest else "order", **options)
    if all(plan.refused for plan in plans):
        plans[0].check()
    return plans


@app.command()
@with_request_flags
def plan(
    request: JsonObject,
    *,
    from_flags: bool,
    vendor: Annotated[
        list[str] | None, typer.Option(help="Vendor id, several times, or all.", show_default=False)
    ] = None,
    vendor_defaults: VendorDefaults = False,
    stream: Stream = False,
    as_json: AsJson = False,
) -> None:
    """Show what would be sent, and what becomes of every field. Sends nothing.

    Exits 0 where at least one of the vendors can serve the request, 2 where none can.
    """
    names = vendor or []
    asked = list(
        dict.fromkeys(
            one for name in names for one in (all_providers() if name == "all" else [name])
        )
    )
    with client(asked, live=False) as made:
        preferences = PORTABLE if from_flags and not vendor_defaults else {}
        chosen: list[str | None] = [*asked] or [None]
        plans = [
            made.plan(request, name, preferences=preferences, stream=stream) for name in chosen
        ]
    if as_json:
        documents = [show.plan_document(item) for item in plans]
        show.document(documents if len(names) > 1 or "all" in names else documents[0])
    for item in plans:
        if not as_json:
            show.plan_text(item)
        for violation in item.violations:
            show.note(f"{item.vendor}: refused: {violation.message}")
    if all(item.refused for item in plans):
        raise typer.Exit(2)


@app.command()
def models(as_json: AsJson = False) -> None:
    """List what every vendor sells: models and workflows."""
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
        show.table(["vendor", "model", "workflow", "path"], [list(row.values()) for row in unique])


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check this installation: versions, extras, keys (never shown), vendor order."""
    facts = checkup.facts()
    if as_json:
        show.document(facts)
    else:
        show.table(
            ["what", "value"], [[name, checkup.plain(value)] for name, value in facts.items()]
        )
    if facts["missing"]:
        show.note("To simulate: pip install 'polyreel[simulator]'")


batch.add_to(app)
compare.add_to(app)
recover.add_to(app)
pricing.add_to(app)
serve.add_to(app)
torture.add_to(app)
verify.add_to(app)
vendor.add_to(app)
