"""The list of commands: what the help shows without importing any command."""

from __future__ import annotations

import re
import shlex

import pytest
from polyreel.cli.app import EXAMPLES, app, run
from polyreel.cli.commands import COMMANDS, GROUPS, Deferred, load
from support.loops import in_one
from typer.core import TyperGroup
from typer.main import get_command

WIDTHS = (1, 5, 20, 45, 62, 100, 500)
"""Columns that the help may have for the description of a command."""


@in_one
@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says(name: str) -> None:
    """The text in the list is the first sentence of the command's own help, at every width."""
    command, listed = load(name), Deferred(name=name, help=COMMANDS[name].help)
    assert command.name == name
    for width in WIDTHS:
        assert listed.get_short_help_str(width) == command.get_short_help_str(width)
    assert command.get_short_help_str(500) == COMMANDS[name].help


def test_the_application_has_no_command_beside_the_list() -> None:
    """What is registered elsewhere would be missing in the list, and imported by every command."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    assert group.commands == {}


def test_no_function_is_listed_twice() -> None:
    """Each command is a function of its own."""
    places = [listed.place for listed in COMMANDS.values()]
    assert len(set(places)) == len(places)


def test_every_command_is_in_one_of_the_groups() -> None:
    """A command of an unknown group would be missing in the help, and an empty group is noise."""
    assert {listed.group for listed in COMMANDS.values()} == set(GROUPS)


@in_one
@pytest.mark.parametrize(
    "example", [*EXAMPLES, *(e for c in COMMANDS.values() for e in c.examples)]
)
def test_examples_can_be_typed(example: str) -> None:
    """Each example is a command line that the command takes, and fits into 60 columns."""
    assert max(map(len, example.splitlines())) <= 56
    program, *words = shlex.split(example.partition(" < ")[0].replace("\\\n", ""))
    assert program == "polyreel"
    if words[1:] != ["-h"]:
        load(words[0]).make_context(words[0], words[1:])


@pytest.mark.parametrize("columns", ["60", "80"])
def test_the_help_shows_all_in_few_columns(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No line is wider than the terminal, no description is cut, and `-h` is `--help`."""
    monkeypatch.setenv("COLUMNS", columns)
    for words in ([], *([name] for name in COMMANDS)):
        assert run([*words, "-h"]) == 0
        short = capsys.readouterr().out
        assert run([*words, "--help"]) == 0
        assert capsys.readouterr().out == short
        assert max(map(len, short.splitlines())) <= int(columns)
        assert not re.search(r"-\S+ <(str|int|float|path|list|Path)", short), "a type of Python"
        examples = COMMANDS[words[0]].examples if words else EXAMPLES
        assert all(line in short for example in examples for line in example.splitlines())
        if not words:
            reported = " ".join(short.split())
            assert all(one.help in reported for one in COMMANDS.values())
            assert "--install-completion" in reported
