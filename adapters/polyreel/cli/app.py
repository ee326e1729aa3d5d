"""The commands."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import click
import typer

from .. import environment
from ..client import TIMEOUT, Client
from ..codecs import Json
from ..errors import PlanRefusedError, PolyreelError
from ..planning import PORTABLE
from ..registry import all_providers
from ..simulator import Simulator
from . import exit_code, show
from .flags import with_request_flags

app = typer.Typer(
    name="polyreel",
    help="One request, any AI video vendor. Simulated, and free, unless --live is given.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Live = Annotated[
    bool, typer.Option("--live", help="Call the real vendor, with the key from the environment. Costs money.")
]
VENDOR_HELP = "Vendor id. Left out: the first that can serve the request, in the order of POLYREEL_VENDORS."


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code."""
    try:
        result = app(args=arguments, standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        show.note("interrupted")
        return 130
    except click.ClickException as error:
        show.note(f"error: {error.format_message()}")
        return 2
    except BrokenPipeError:
        # The reader went away: nothing to tell anybody.
        sys.stdout = None
        return 0
    except PolyreelError as error:
        show.note(f"error: {error}")
        if "--json" in arguments:
            show.document(_error_document(error))
        return exit_code(error)
    except Exception as error:
        show.note(f"internal error ({type(error).__name__}); please report it with what you typed")
        return 1
    return result if isinstance(result, int) else 0


def _error_document(error: PolyreelError) -> Json:
    facts: Json = {"type": type(error).__name__, "message": str(error), "billed": error.billed}
    optional = {"vendor": error.vendor, "status": error.status, "code": error.code, "request_id": error.request_id}
    facts |= {name: value for name, value in optional.items() if value is not None}
    if error.job is not None:
        facts["job"] = show.job_document(error.job)
    if isinstance(error, PlanRefusedError):
        facts["plan"] = show.plan_document(error.plan)
    return {"status": "error", "error": facts}


def _client(vendors: list[str], *, live: bool, listener: Any = None) -> Client:
    order = vendors or environment.vendor_order()
    keys = environment.keys(order) if live else None
    usable = [vendor for vendor in order if keys is None or vendor in keys]
    return Client(keys=keys, vendors=usable, base_urls=environment.base_urls(), listener=listener)


@app.command()
@with_request_flags
def generate(
    request: Json,
    *,
    from_flags: bool,
    vendor: Annotated[str | None, typer.Option(help=VENDOR_HELP, show_default=False)] = None,
    output: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("clips"),
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds to wait; the job itself goes on after that.")
    ] = TIMEOUT,
    vendor_defaults: Annotated[
        bool, typer.Option(help="Leave size and sound to the vendor where no flag asks.")
    ] = False,
    live: Live = False,
    as_json: AsJson = False,
) -> None:
    """Make a clip or images, and save them. Without a size or sound asked for: 720p with sound, at every vendor."""
    progress = show.Progress()
    try:
        with _client([vendor] if vendor else [], live=live, listener=progress) as client:
            preferences = PORTABLE if from_flags and not vendor_defaults else {}
            plan = client.plan(request, preferences=preferences)
            job = client.generate(plan.check(), output=output, timeout=timeout)
    finally:
        progress.stop()
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
    vendor_defaults: Annotated[
        bool, typer.Option(help="Leave size and sound to the vendor where no flag asks.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what would be sent, and what becomes of every field. Sends nothing.

    Exits 0 where at least one of the vendors can serve the request, 2 where none can.
    """
    preferences = PORTABLE if from_flags and not vendor_defaults else {}
    names = vendor or []
    asked = list(all_providers()) if "all" in names else names
    with _client(asked, live=False) as client:
        chosen: list[str | None] = [*asked] or [None]
        plans = [client.plan(request, name, preferences=preferences) for name in chosen]
    if as_json:
        documents = [show.plan_document(item) for item in plans]
        show.document(documents if len(asked) > 1 else documents[0])
    else:
        for item in plans:
            show.plan_text(item)
    if all(item.refused for item in plans):
        for item in plans if as_json else ():
            for violation in item.violations:
                show.note(f"{item.vendor}: refused: {violation.message}")
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
    speed: Annotated[float, typer.Option(min=0.01, help="How many times faster than life jobs run.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Seed of ids and durations.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Serve the simulated vendors on loopback until interrupted."""
    from ..simulator import RunningClock, server  # noqa: PLC0415

    try:
        bound = server.listen(port)
    except OSError as error:
        raise click.UsageError(f"port {port} cannot be used: {error.strerror}") from None
    url = f"http://{server.HOST}:{bound.getsockname()[1]}"
    addresses = {vendor: url + mount for vendor, mount in server.mounts().items()}
    if as_json:
        show.document({"url": url, "vendors": addresses})
        sys.stdout.flush()
    else:
        for vendor, address in addresses.items():
            show.note(f"{vendor}: {address}")
    show.note("Any bearer token is a valid key. Nothing is paid. Stop with Ctrl-C.")
    server.serve(bound, Simulator(clock=RunningClock(speed), seed=seed))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check this installation: versions, extras, keys (never shown), vendor order."""
    parts = ("polyreel", "httpx", "attrs", "pydantic", "jsonschema-rs", "typer")
    extras = {name: find_spec(name) is not None for name in ("av", "PIL", "starlette", "uvicorn")}
    environ = {vendor: provider.key_variable for vendor, provider in all_providers().items()}
    keys = {variable: _has_key(vendor) for vendor, variable in environ.items()}
    facts: Json = {
        "python": platform.python_version(),
        "versions": {part: metadata.version(part) for part in parts},
        "simulator_extra": all(extras.values()),
        "missing": [name for name, there in extras.items() if not there],
        "keys_set": keys,
        "vendor_order": environment.vendor_order(),
        "base_urls": environment.base_urls(),
    }
    if as_json:
        show.document(facts)
    else:
        show.table(["what", "value"], [[name, _plain(value)] for name, value in facts.items()])
    if not facts["simulator_extra"]:
        show.note("To simulate: pip install 'polyreel[simulator]'")


def _has_key(vendor: str) -> bool:
    try:
        return bool(environment.keys([vendor]))
    except PolyreelError:
        return False


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(item)}" for name, item in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
