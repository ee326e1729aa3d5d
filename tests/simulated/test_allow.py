"""`--allow`: what may become of a field, in every command that plans."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from polyreel.mapping.rows import Absent
from polyreel.providers.base.registry import all_providers
from support.cli import Command, stranger

VENDOR, ROUTE = next(
    (provider.id, route)
    for provider in all_providers().values()
    for route in provider.routes
    if route.workflow == "image-to-video"
    and any(isinstance(row, Absent) and row.inferred for row in route.rows)
)
EDIT = {
    "prompt": "a cat",
    "model": ROUTE.model,
    "source_video": "https://example.com/a.mp4",
    "duration": 5,
}
FLAGS = (
    *("a cat", "--source-video", EDIT["source_video"], "--duration", "5"),
    *("--vendor", VENDOR, "--model", ROUTE.model),
)


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """Command lines in an empty folder."""
    made = stranger(capsys, monkeypatch, tmp_path)
    (tmp_path / "rows.jsonl").write_text(json.dumps({**EDIT, "vendor": VENDOR}) + "\n")
    return made


COMMANDS = {
    "plan": ("plan", *map(str, FLAGS)),
    "generate": ("generate", *map(str, FLAGS)),
    "batch": ("batch", "rows.jsonl"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_an_inferred_refusal_says_what_to_write(cli: Command, command: tuple[str, ...]) -> None:
    """And with that the command goes on."""
    refused = cli(*command)
    assert refused.code == 2
    assert "Allow duration=send" in refused.err
    assert cli(*command, "--allow", "duration=send").code == 0
    another = ("--name", "another") if command[0] == "batch" else ()  # it is another request
    assert cli(*command, "--allow", "duration=drop", *another).code == 0


def test_what_is_sent_all_the_same_is_warned_of(cli: Command) -> None:
    """Before anything is paid."""
    found = cli(*COMMANDS["generate"], "--allow", "duration=send")
    assert "only inferred" in found.err
    plan = cli(*COMMANDS["plan"], "--allow", "duration=send", "--json").document
    assert plan["body"]["duration"] == 5


@pytest.mark.parametrize(
    ("given", "needle"),
    [
        ("duration", "write FIELD=drop, FIELD=nearest, FIELD=send"),
        ("duration=keep", "write FIELD=drop"),
        ("duraton=drop", "--allow duraton=drop: no such field; did you mean duration?"),
    ],
)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_slip_in_it_is_told(
    cli: Command, command: tuple[str, ...], given: str, needle: str
) -> None:
    """Nothing is sent."""
    found = cli(*command, "--allow", given)
    assert found.code == 2
    assert needle in found.err
