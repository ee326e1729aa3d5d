"""The application: its commands, its own options, and how a command line is run."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from ..errors import did_you_mean
from .commands import COMMANDS, CONTEXT, GROUPS, Deferred, shown_examples

COMPLETION: Final = "_POLYREEL_COMPLETE"
"""The variable by which a shell asks what can be typed next."""
EXAMPLES: Final = (
    'polyreel generate "a cat in the rain"',
    'polyreel plan "a cat in the rain" --vendor all',
    "polyreel jobs",
    "polyreel generate -h",
)


class CommandGroup(TyperGroup):
    """The commands in groups, without what would be imported to draw them."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        # All groups have one first column, as wide as the longest name.
        width = max(map(len, COMMANDS))
        formatter.write("\nCommands:\n")
        for group in GROUPS:
            listed = {name: one.help for name, one in COMMANDS.items() if one.group == group}
            formatter.write(f"\n {group}\n")
            formatter.indent()
            formatter.write_dl([(name.ljust(width), text) for name, text in listed.items()])
            formatter.dedent()

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command. Near ones are named where there is none of this name."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            near = did_you_mean(args[0], [*self.commands, "--help"])
            if " " in args[0].strip():
                near = f'; did you mean polyreel generate "{args[0][:40]}"?'
            ctx.fail(f"No such command {args[0][:40]!r}{near}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=CommandGroup,
    help="One request, any AI video vendor. Simulated, and free, unless --live is given.",
    epilog=shown_examples(EXAMPLES),
    context_settings=CONTEXT,
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
        if os.environ.get(COMPLETION):
            command.main(prog_name="polyreel")  # answers the shell, and exits
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
