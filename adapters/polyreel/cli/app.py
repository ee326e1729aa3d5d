"""The commands."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from .. import environment
from ..client import TIMEOUT, Client
from ..codecs import Json
from ..planning import PORTABLE
from ..registry import all_providers
from ..simulator import Simulator
from . import checkup, compare, failures, show
from .files import prepare
from .flags import with_request_flags

app = typer.Typer(
    help="One request, any AI video vendor. Simulated, and free, unless --live is given.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _finite(value: float) -> float:
    if math.isnan(value):
        raise typer.BadParameter("not a number")
    return value


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Live = Annotated[
    bool, typer.Option("--live", help="Call the real vendor, with the key from the environment. Costs money.")
]
VendorDefaults = Annotated[
    bool, typer.Option("--vendor-defaults", help="Leave size and sound to the vendor where no flag asks.")
]
VENDOR_HELP: Final = "Vendor id. Left out: the first that can serve the request, in the order of POLYREEL_VENDORS."


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


def _client(vendors: list[str], *, live: bool, listener: Any = None) -> Client:
    order = vendors or environment.vendor_order()
    keys = environment.keys(order) if live else None
    usable = [vendor for vendor in order if keys is None or vendor in keys]
    return Client(keys=keys, vendors=usable, base_urls=environment.base_urls(), listener=listener)


def _version(wanted: bool) -> None:
    if wanted:
        show.line(f"polyreel {checkup.installed('polyreel')}")
        raise typer.Exit


@app.callback()
def polyreel(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of polyreel itself."""


@app.command()
@with_request_flags
def generate(
    request: Json,
    *,
    from_flags: bool,
    vendor: Annotated[str | None, typer.Option(help=VENDOR_HELP, show_default=False)] = None,
    output: Annotated[Path, typer.Option(help="Folder for the files; made where it is missing.")] = Path("clips"),
    timeout: Annotated[
        float, typer.Option(min=0, callback=_finite, help="Seconds to wait; the job itself goes on after that.")
    ] = TIMEOUT,
    vendor_defaults: VendorDefaults = False,
    live: Live = False,
    as_json: AsJson = False,
) -> None:
    """Make a clip or images, and save them. Without a size or sound asked for: 720p with sound, at every vendor."""
    with (
        show.Progress() as progress,
        _client([] if vendor is None else [vendor], live=live, listener=progress) as client,
    ):
        plan = client.plan(request, preferences=PORTABLE if from_flags and not vendor_defaults else {}).check()
        prepare(output)
        if live:
            progress.paying(plan.vendor)
        job = client.generate(plan, output=output, timeout=timeout)
    if as_json:
        show.document(show.job_document(job))
    else:
        for item in job.outputs or ():
            show.line(str(item.path))
    show.closing(job.vendor, simulated=job.simulated)


@app.command()
@with_request_flags
def plan(
    request: Json,
    *,
    from_flags: bool,
    vendor: Annotated[
        list[str] | None, typer.Option(help="Vendor id, several times, or all.", show_default=False)
    ] = None,
    vendor_defaults: VendorDefaults = False,
    as_json: AsJson = False,
) -> None:
    """Show what would be sent, and what becomes of every field. Sends nothing.

    Exits 0 where at least one of the vendors can serve the request, 2 where none can.
    """
    names = vendor or []
    asked = list(dict.fromkeys(one for name in names for one in (all_providers() if name == "all" else [name])))
    with _client(asked, live=False) as client:
        preferences = PORTABLE if from_flags and not vendor_defaults else {}
        chosen: list[str | None] = [*asked] or [None]
        plans = [client.plan(request, name, preferences=preferences) for name in chosen]
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
        {"vendor": vendor, "model": route.model, "workflow": route.workflow, "path": route.operation.PATH}
        for vendor, provider in all_providers().items()
        for route in provider.routes
    ]
    unique = [row for index, row in enumerate(rows) if row not in rows[:index]]
    if as_json:
        show.document(unique)
    else:
        show.table(["vendor", "model", "workflow", "path"], [list(row.values()) for row in unique])


@app.command()
def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 8765,
    speed: Annotated[
        float, typer.Option(min=0.01, max=1e6, callback=_finite, help="How many times faster than life jobs run.")
    ] = 10.0,
    seed: Annotated[int, typer.Option(help="Seed of ids and durations.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Serve the simulated vendors on loopback until interrupted."""
    from ..simulator import RunningClock, server  # noqa: PLC0415

    try:
        bound = server.listen(port)
    except OSError as error:
        raise typer.BadParameter(f"{port} cannot be used: {error.strerror}", param_hint="--port") from None
    url = f"http://{server.HOST}:{bound.getsockname()[1]}"
    addresses = {vendor: url + mount for vendor, mount in server.mounts().items()}
    if as_json:
        show.document({"url": url, "vendors": addresses})
        sys.stdout.flush()
    else:
        for vendor, address in addresses.items():
            show.note(f"{vendor}: {address}")
    show.note("Any bearer token is a valid key. Nothing is paid. Stop with Ctrl-C.")
    with bound:
        try:
            server.serve(bound, Simulator(clock=RunningClock(speed), seed=seed))
        except KeyboardInterrupt:
            show.note("stopped")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check this installation: versions, extras, keys (never shown), vendor order."""
    facts = checkup.facts()
    if as_json:
        show.document(facts)
    else:
        show.table(["what", "value"], [[name, checkup.plain(value)] for name, value in facts.items()])
    if facts["missing"]:
        show.note("To simulate: pip install 'polyreel[simulator]'")


compare.add_to(app)
