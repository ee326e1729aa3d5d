"""The commands: where each one is, and what the list of commands says about it.

Importing this module imports none of them. A command is imported when it is run, or when its own
help is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

import typer
from typer.core import TyperCommand


class ListedCommand(NamedTuple):
    """One line of the list of commands."""

    place: str
    """The module in this folder, and the function in it."""
    help: str
    """The first sentence of the function's docstring. A test compares the two."""
    group: str
    """The group of commands that it is listed in."""
    examples: tuple[str, ...]
    """Command lines, at most 58 columns wide, so that no terminal breaks them."""
    calls: bool = False
    """Whether it calls vendors, and has the options of the network."""


COMMANDS: Final[Mapping[str, ListedCommand]] = {
    "generate": ListedCommand(
        "making:generate",
        "Make a clip or images, and save them.",
        group="Make",
        examples=(
            'polyreel generate "a cat in the rain" --duration 5',
            "polyreel generate - -o cat.mp4 < prompt.txt",
            'polyreel generate "a cat" --live --max-cost 1',
        ),
        calls=True,
    ),
    "plan": ListedCommand(
        "planning:plan",
        "Show what would be sent, and what becomes of every field.",
        group="Make",
        examples=(
            'polyreel plan "a cat in the rain" --vendor all',
            "polyreel plan - --duration 5 < prompt.txt",
            "polyreel plan --request request.json --json",
        ),
        calls=True,
    ),
    "models": ListedCommand(
        "catalog:models",
        "List what every vendor sells: models and workflows.",
        group="Vendors",
        examples=(
            "polyreel models",
            "polyreel models --json",
            "polyreel models --live",
        ),
        calls=True,
    ),
    "doctor": ListedCommand(
        "catalog:doctor",
        "Check this installation, and with --live whether each vendor can be used.",
        group="This installation",
        examples=(
            "polyreel doctor",
            "polyreel doctor --live",
            "polyreel doctor --live --vendor VENDOR --json",
        ),
        calls=True,
    ),
    "keys": ListedCommand(
        "keys:keys",
        "Store a vendor's API key, say where keys come from, or forget one.",
        group="This installation",
        examples=(
            "polyreel keys set VENDOR",
            "polyreel keys set VENDOR < key.txt",
            "polyreel keys list",
            "polyreel keys remove VENDOR",
        ),
    ),
    "batch": ListedCommand(
        "batch:batch",
        "Make a clip or images for each row of a file.",
        group="Make",
        examples=(
            "polyreel batch prompts.csv --dry-run",
            "polyreel batch prompts.jsonl -o clips",
            "polyreel batch prompts.csv --live --max-cost 20",
        ),
        calls=True,
    ),
    "translate": ListedCommand(
        "compare:translate_command",
        "Write one vendor's body for another, with a verdict for every value.",
        group="Vendors",
        examples=(
            "polyreel translate body.json \\\n    --from VENDOR --to OTHER",
            "polyreel translate - --from VENDOR --to OTHER/kling-v3",
        ),
    ),
    "matrix": ListedCommand(
        "compare:matrix_command",
        "Show what every vendor makes of every field, with limits and defaults.",
        group="Vendors",
        examples=(
            "polyreel matrix --workflow text-to-video",
            "polyreel matrix --model kling-o3",
            "polyreel matrix --vendor VENDOR --format markdown",
        ),
    ),
    "diff": ListedCommand(
        "compare:diff_command",
        "Show what changes in going from one vendor to another, model by model.",
        group="Vendors",
        examples=(
            "polyreel diff VENDOR OTHER",
            "polyreel diff VENDOR/kling-v3 OTHER/kling-o3",
        ),
    ),
    "advise": ListedCommand(
        "compare:advise_command",
        "Rank vendors for a request: the one that keeps most of it first.",
        group="Vendors",
        examples=("polyreel advise request.json",),
    ),
    "drift": ListedCommand(
        "compare:drift_command",
        "Show which shared fields and routes a spec change breaks or widens.",
        group="Keep up with vendors",
        examples=("polyreel drift old.yaml new.yaml",),
    ),
    "limits": ListedCommand(
        "limits:limits",
        "Show, or set, the limits that jobs in the ledger share: of money, of places and of pace.",
        group="Jobs",
        examples=(
            "polyreel limits",
            "polyreel limits web --max-cost 20 --rate 30 --live",
            "polyreel limits web --max-cost none --live",
        ),
    ),
    "worker": ListedCommand(
        "worker:worker",
        "Submit what is queued in the ledger, wait for its jobs and save their files, until "
        "interrupted.",
        group="Jobs",
        examples=(
            "polyreel worker --live --ledger postgresql://me@db/x",
            "polyreel worker --live --submit 8 --shards 4",
        ),
        calls=True,
    ),
    "studio": ListedCommand(
        "studio:studio",
        "Open a page that shows what every vendor would be sent, and runs it.",
        group="Make",
        examples=(
            "polyreel studio",
            "polyreel studio --live --no-browser",
        ),
        calls=True,
    ),
    "jobs": ListedCommand(
        "ledgered:jobs",
        "List the jobs in the ledger: what was paid for, what may have been, and what is "
        "still to be done.",
        group="Jobs",
        examples=(
            "polyreel jobs",
            "polyreel jobs --state ambiguous --json",
        ),
    ),
    "get": ListedCommand(
        "byid:get",
        "Ask how a job is doing, by its ledger id or by vendor and task id.",
        group="Jobs",
        examples=("polyreel get 4f0c",),
    ),
    "download": ListedCommand(
        "byid:download",
        "Wait for a job, by its ledger id or by vendor and task id, and save its files.",
        group="Jobs",
        examples=("polyreel download 4f0c -o clips",),
    ),
    "cancel": ListedCommand(
        "byid:cancel",
        "Ask a job's vendor to stop it, as far as it offers that, and say what it means for "
        "the bill.",
        group="Jobs",
        examples=("polyreel cancel 4f0c --live",),
    ),
    "resume": ListedCommand(
        "recover:resume",
        "Finish jobs that were accepted before: wait for them and save their files.",
        group="Jobs",
        examples=(
            "polyreel resume",
            "polyreel resume 4f0c --live -o clips",
        ),
        calls=True,
    ),
    "reconcile": ListedCommand(
        "recover:reconcile",
        "Find out what became of submits whose answer was lost.",
        group="Jobs",
        examples=("polyreel reconcile --live",),
        calls=True,
    ),
    "adopt": ListedCommand(
        "recover:adopt",
        "Say which of the vendor's tasks an ambiguous submit became.",
        group="Jobs",
        examples=("polyreel adopt 4f0c TASK --live",),
        calls=True,
    ),
    "resubmit": ListedCommand(
        "recover:resubmit",
        "Submit an ambiguous job anew, although the first may have been billed.",
        group="Jobs",
        examples=("polyreel resubmit 4f0c --accept-double-billing --live",),
        calls=True,
    ),
    "abandon": ListedCommand(
        "recover:abandon",
        "Stop caring about jobs: they are neither resumed nor reconciled any more.",
        group="Jobs",
        examples=("polyreel abandon 4f0c",),
    ),
    "price": ListedCommand(
        "pricing:price",
        "Show what a request costs at every vendor that can serve it, cheapest first.",
        group="Make",
        examples=(
            'polyreel price "a cat in the rain" --duration 10',
            'polyreel price "a cat" --as-of 2026-03-01',
        ),
    ),
    "simulate": ListedCommand(
        "serve:simulate",
        "Serve the simulated vendors until interrupted, on loopback unless --host is given.",
        group="Test without paying",
        examples=(
            "polyreel simulate",
            "polyreel simulate --port 8080",
        ),
    ),
    "listen": ListedCommand(
        "serve:listen",
        "Take webhooks in until interrupted, and write what they tell into the ledger: on loopback "
        "unless --host is given.",
        group="Test without paying",
        examples=("polyreel listen --live",),
        calls=True,
    ),
    "mcp": ListedCommand(
        "agents:mcp",
        "Serve tools for agents over the Model Context Protocol: plan, price, generate and more.",
        group="Make",
        examples=(
            "polyreel mcp",
            "polyreel mcp --live --max-cost 20",
            "polyreel mcp --http --port 8767",
        ),
        calls=True,
    ),
    "gateway": ListedCommand(
        "gateway:gateway",
        "Serve the APIs of all vendors, with the vendors of your choice behind.",
        group="Make",
        examples=(
            "polyreel gateway --to VENDOR",
            "polyreel gateway --prefer cheapest --port 8080",
            "polyreel gateway tokens make web --per-day 20",
            "polyreel gateway --to VENDOR --to OTHER --live",
        ),
        calls=True,
    ),
    "torture": ListedCommand(
        "torture:torture",
        "Count how many jobs each call of a program is billed, at every fault of a submit: "
        "the double-bill table.",
        group="Test without paying",
        examples=('polyreel torture "python make_clip.py"',),
    ),
    "verify": ListedCommand(
        "verify:verify_command",
        "Check recorded traffic against a vendor's spec, in both directions, and propose "
        "patches of the spec.",
        group="Keep up with vendors",
        examples=("polyreel verify traffic.har",),
        calls=True,
    ),
    "new-vendor": ListedCommand(
        "vendor:new_vendor",
        "Begin a package for a vendor: its contract, and its tables half filled from its "
        "OpenAPI document.",
        group="Keep up with vendors",
        examples=("polyreel new-vendor acme --from openapi.yaml",),
    ),
}


GROUPS: Final = (
    "Make",
    "Jobs",
    "Vendors",
    "Test without paying",
    "Keep up with vendors",
    "This installation",
)
"""The groups of commands, in the order of the help."""
VALUES: Final = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}
"""What the help calls the value of an option. Versions of typer differ in words of their own."""
CONTEXT: Final = {"help_option_names": ["-h", "--help"]}
"""Settings of every command."""


def shown_examples(examples: Iterable[str]) -> str:
    """Examples as the end of a help text, which nothing may wrap anew."""
    return "\n".join(["\b", "Examples:", *(f"  {example}" for example in examples)])


class Deferred(TyperCommand):
    """Stands for a command in the list of commands. It becomes the command when it is run."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """The context of the command itself."""
        assert self.name is not None
        command = load(self.name)
        context = command.make_context(*arguments, **options)
        # A shell leaves `~` in `--output=~/clips` as it is.
        for name in _paths(self.name) & context.params.keys():
            context.params[name] = _at_home(context.params[name])
        return context


@cache
def _paths(name: str) -> frozenset[str]:
    """The parameters of a command that are paths, or may be."""
    callback = load(name).callback
    assert callback is not None
    parameters = signature(callback, eval_str=True).parameters
    return frozenset(one for one, found in parameters.items() if _is_path(found.annotation))


def _is_path(annotation: object) -> bool:
    """Whether a parameter is a path, or may be one, or several."""
    return annotation is Path or any(map(_is_path, get_args(annotation)))


def _at_home(value: Any) -> Any:
    """A path, or several, with `~` for the home folder."""
    if isinstance(value, list | tuple):
        return type(value)(_at_home(one) for one in value)
    return value if value is None else type(value)(os.path.expanduser(value))


@cache
def load(name: str) -> TyperCommand:
    """Import a command, and make it once: a program may run several command lines."""
    module, _, function = COMMANDS[name].place.partition(":")
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    command = getattr(import_module(f".{module}", __package__), function)
    if COMMANDS[name].calls:
        from .network import with_network_options

        command = with_network_options(command)
    epilog = shown_examples(COMMANDS[name].examples)
    app.command(name, epilog=epilog, context_settings=CONTEXT)(command)
    loaded = typer.main.get_command(app)
    assert isinstance(loaded, TyperCommand)
    types = signature(command, eval_str=True).parameters
    for one in loaded.params:
        name = one.name or ""
        if one.param_type_name == "option" and name in types and one.metavar is None:
            one.metavar = _value(types[name].annotation)
    return loaded


def _value(annotation: object) -> str | None:
    """What a value is called; None for switches and for one of several words, which are shown."""
    own = VALUES.get(annotation) if isinstance(annotation, type) else None
    return own or next(filter(None, map(_value, get_args(annotation))), None)
