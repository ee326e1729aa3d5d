"""The list of commands: what the help shows without importing any command."""

from __future__ import annotations

import pytest
from polyreel.cli.app import app
from polyreel.cli.commands import COMMANDS, Deferred, load
from typer.core import TyperGroup
from typer.main import get_command

WIDTHS = (1, 5, 20, 45, 62, 100, 500)
"""Columns that the help may have for the description of a command."""


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
