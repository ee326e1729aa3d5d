"""The application: its commands, its own options, and how a command line is run."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from typer.core import TyperGroup

from .commands import COMMANDS, Deferred

app = typer.Typer(
    help="One request, any AI video vendor. Simulated, and free, unless --live is given.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code. Without arguments it shows the help."""
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    for name, listed in COMMANDS.items():
        command.add_command(Deferred(name=name, help=listed.help))
    try:
        with command.make_context("polyreel", list(arguments) or ["--help"]) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as stop:
        return stop.exit_code
    except (Exception, KeyboardInterrupt) as error:
        from . import failures

        return failures.report(error, as_json="--json" in arguments)
    return 0


def _version(wanted: bool) -> None:
    if wanted:
        from . import checkup, show

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
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Show each call, submit and end of a job, without keys."
        ),
    ] = False,
) -> None:
    """Options of polyreel itself."""
    if verbose:
        from . import show

        show.log()
