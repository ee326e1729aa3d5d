"""What is imported on the way to a first result: start-up takes as long as what is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

import pytest
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers, get_provider

PACKAGES: Final = {vendor: vendor.replace("-", "_") for vendor in all_providers()}
VENDOR, *OTHERS = PACKAGES
LIVE: Final = f"""
from polyreel import Client
client = Client(keys={{{VENDOR!r}: "a-key-that-is-never-used"}})
"""
COMMAND: Final = """
import contextlib, io, sys
from polyreel.cli import main
with contextlib.redirect_stdout(io.StringIO()) as shown:
    try:
        main({arguments})
    except SystemExit as stop:
        assert stop.code == 0, stop.code
assert shown.getvalue()
"""
TYPED_OPTION: Final = """
import contextlib, typer
app = typer.Typer()
@app.command()
def command(number: int = typer.Option(5, min=1)) -> None:
    pass
with contextlib.suppress(SystemExit):
    app([])
"""
"""The smallest program with typer and a number."""
NOT_FOR_PLANS: Final = (
    *("asyncio", "filelock", "h11", "httpx", "importlib.metadata", "pydantic", "rich", "sqlite3"),
    *("polyreel.drivers", "polyreel.jobs", "polyreel.ledger", "polyreel.serving"),
    *("polyreel.scaffold", "polyreel.simulator", "polyreel.testing", "polyreel.verification"),
    "polyreel_generated.shared",
)
"""What planning for one vendor does without."""


def imported(code: str) -> set[str]:
    """The modules that some code imports in a fresh interpreter."""
    before = "import json, sys; before = set(sys.modules)"  # a measuring tool may be there already
    program = f"{before}\n{code}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def within(modules: set[str], *packages: str) -> list[str]:
    """The modules that are one of some packages, or lie in one."""
    return sorted(
        name
        for name in modules
        if any(name == package or name.startswith(f"{package}.") for package in packages)
    )


def generated(modules: set[str]) -> list[str]:
    """The generated modules, without the packages that import nothing by themselves."""
    clients = [f"polyreel_generated.{package}" for package in PACKAGES.values()]
    light = {"polyreel_generated", "polyreel_generated.contracts", *clients}
    light |= {f"{client}.{part}" for client in clients for part in ("api", "models")}
    return [name for name in within(modules, "polyreel_generated") if name not in light]


def test_the_help_imports_no_command() -> None:
    """`polyreel --help` imports the list of commands, and what parses command lines."""
    modules = imported(COMMAND.format(arguments=["--help"]))
    own = within(modules, "polyreel", "polyreel_generated")
    names = ("", ".cli", ".cli.app", ".cli.commands", ".cli.exits", ".errors")
    assert own == [f"polyreel{name}" for name in names]
    foreign = ("attr", "httpx", "importlib.metadata", "jsonschema_rs", "pydantic", "rich")
    assert within(modules, *foreign) == []


def test_a_command_imports_no_other() -> None:
    """The help of one command imports that command alone."""
    modules = imported(COMMAND.format(arguments=["new-vendor", "--help"]))
    commands = {"batch", "compare", "making", "planning", "recover", "serve", "torture", "vendor"}
    assert {name for name in commands if f"polyreel.cli.{name}" in modules} == {"vendor"}


def test_a_live_client_plans_without_what_calls_need() -> None:
    """Client, plan, body: no simulator, no HTTP, no ledger, no models, and no other vendor."""
    modules = imported(LIVE + 'client.plan({"prompt": "a cat"}).content')
    others = [f"polyreel.providers.{PACKAGES[vendor]}" for vendor in OTHERS]
    assert within(modules, *NOT_FOR_PLANS, *others) == []
    assert generated(modules) == []
    assert f"polyreel.providers.{PACKAGES[VENDOR]}" in modules


def test_a_live_client_never_imports_the_simulator() -> None:
    """Not for a model as the request, nor for calls: these bring what they need, and no more."""
    code = 'import polyreel\nplan = client.plan(polyreel.VideoRequest(prompt="a cat"))\n'
    modules = imported(LIVE + code + "client.wire.connections()\nclient.close()")
    assert within(modules, "polyreel.simulator", "polyreel.testing", "polyreel.serving") == []
    assert within(modules, "polyreel.drivers", "httpx", "pydantic")
    assert generated(modules) == ["polyreel_generated.shared"]


def test_the_command_that_plans_imports_what_a_plan_needs() -> None:
    """`polyreel plan --json` draws no table, calls nobody and simulates nobody."""
    arguments = ["plan", "a cat", "--vendor", VENDOR, "--json"]
    modules = imported(COMMAND.format(arguments=arguments))
    # Typer 0.29 and later imports pydantic itself, for every option that is a number.
    typers_own = within(imported(TYPED_OPTION), "pydantic")
    assert within(modules - {*typers_own}, *set(NOT_FOR_PLANS) - {"importlib.metadata"}) == []
    assert generated(modules) == []


def test_the_simulator_is_imported_when_it_is_needed() -> None:
    """A client without keys plans without it, and has it as soon as somebody asks for it."""
    code = (
        'from polyreel import Client\nclient = Client()\nclient.plan({"prompt": "a cat"}).content\n'
    )
    assert within(imported(code), "polyreel.simulator") == []
    assert within(imported(f"{code}assert client.simulator"), "polyreel.simulator")


@pytest.mark.parametrize("vendor", PACKAGES)
def test_a_call_imports_its_own_module(vendor: str) -> None:
    """A status query imports one module of its vendor's generated calls, and none of others; none
    at all where its contract alone says how to ask.
    """
    modules = imported(f"import polyreel\npolyreel.get_provider({vendor!r}).get_request('task-1')")
    if type(get_provider(vendor)).get_request is Provider.get_request:
        assert generated(modules) == []
        return
    clients = {name.split(".")[1] for name in generated(modules)}
    assert clients == {PACKAGES[vendor]}
    calls = within(modules, f"polyreel_generated.{PACKAGES[vendor]}.api")
    assert len([name for name in calls if name.count(".") == 4]) == 1
