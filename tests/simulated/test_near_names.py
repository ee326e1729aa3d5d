"""A name that is refused, in whatever place, is answered with the near ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from polyreel.errors import did_you_mean
from polyreel.mapping.workflows import WORKFLOWS
from polyreel.providers.base.registry import all_providers, get_provider
from support.cli import FIRST, Command, stranger

MODEL: Final = next(route.model for route in get_provider(FIRST).routes)
LINES: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "command": (("genrate", "a"), "generate"),
    "command-case": (("Plan", "a"), "plan"),
    "command-part": (("vendor",), "new-vendor"),
    "help": (("hlep",), "--help"),
    "model-of-diff": (("diff", f"{FIRST}/{MODEL.upper()}", FIRST), MODEL),
    "models-of-diff": (("diff", FIRST, FIRST, "--model", MODEL.title()), MODEL),
    "option": (("plan", "a", "--durations", "5"), "--duration"),
    "option-of-other-word": (("plan", "a", "--lenght", "5"), "--duration"),
    "choice-case": (("plan", "a", "--resolution", "1080P"), "1080p"),
    "format": (("matrix", "--format", "markdwon"), "markdown"),
    "ratio": (("plan", "a", "--aspect-ratio", "9x16"), "9:16"),
    "ratio-sign": (("plan", "a", "--aspect-ratio", "16 \u00d7 9"), "16:9"),
    "model-case": (("plan", "a", "--vendor", FIRST, "--model", MODEL.title()), MODEL),
    "model-of-all": (("plan", "a", "--model", MODEL.upper().replace("-", "_")), MODEL),
    "vendor-case": (("plan", "a", "--vendor", FIRST.upper()), FIRST),
    "vendor-typo": (("generate", "a", "--vendor", FIRST[:-1]), FIRST),
    "vendor-of-diff": (("diff", FIRST[:-1], FIRST), FIRST),
    "vendor-of-price": (("price", "a", "--vendor", FIRST.title()), FIRST),
    "model-of-target": (
        ("translate", "r.json", "--from", FIRST, "--to", f"{FIRST}/{MODEL.upper()}"),
        MODEL,
    ),
    "workflow": (("matrix", "--workflow", "text2video"), "text-to-video"),
    "model-of-matrix": (("matrix", "--model", MODEL.title()), MODEL),
    "state": (("jobs", "--state", "ambigous"), "ambiguous"),
    "fault": (("generate", "a", "--fault", "lost-rest"), "lost-reset"),
    "pattern": (("generate", "a", "--filename", "{nam}.{ext}"), "name"),
}
REQUESTS: Final[Mapping[str, tuple[object, str]]] = {
    "field": ({"prompt": "a", "durration": 5}, "duration"),
    "field-of-other-word": ({"prompt": "a", "length": 5}, "duration"),
    "field-case": ({"Prompt": "a"}, "prompt"),
    "field-in-shot": ({"shots": [{"promt": "a", "duration": 5}]}, "prompt"),
    "field-in-element": ({"prompt": "a", "elements": [{"imagse": ["x"]}]}, "images"),
    "value": ({"prompt": "a", "resolution": "1080P"}, "1080p"),
    "vendor-of-extra": ({"prompt": "a", "extra": {FIRST[:-1]: {"a": 1}}}, FIRST),
    "image-format": ({"prompt": "a", "output_format": "WEBP"}, "webp"),
}


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """Command lines in an empty folder, with a key for every vendor and no network."""
    return stranger(capsys, monkeypatch, tmp_path)


@pytest.mark.parametrize("name", LINES)
def test_a_name_on_the_command_line(cli: Command, name: str) -> None:
    """Commands, options, choices, vendors, models, workflows, states, faults and patterns."""
    line, meant = LINES[name]
    Path("r.json").write_text("{}")
    found = cli(*line)
    assert found.code == 2, found.err
    assert f"did you mean {meant}" in found.err


@pytest.mark.parametrize("name", REQUESTS)
def test_a_name_in_a_request(cli: Command, name: str) -> None:
    """Fields at any depth, their values, and vendors."""
    request, meant = REQUESTS[name]
    Path("r.json").write_text(json.dumps(request))
    found = cli("plan", "--request", "r.json")
    assert found.code == 2, found.err
    assert f"did you mean {meant}" in found.err


def test_a_native_field(cli: Command) -> None:
    """A misspelt field of a vendor's own, which goes into `extra`."""
    plan = cli("plan", "a", "--vendor", FIRST, "--json").document
    native = max(plan["body"], key=len)
    request = {"prompt": "a", "extra": {FIRST: {native[:-1]: "x"}}}
    Path("r.json").write_text(json.dumps(request))
    assert f"did you mean {native}" in cli("plan", "--request", "r.json", "--vendor", FIRST).err


def test_a_column(cli: Command) -> None:
    """The field that --column names, and the column."""
    Path("rows.csv").write_text("text,b\na cat,5\n")
    assert "did you mean prompt" in cli("batch", "rows.csv", "--column", "text=promt").err
    assert "did you mean text" in cli("batch", "rows.csv", "--column", "txt=prompt").err


@pytest.mark.parametrize("value", ["", "?", "nonesuch", "x" * 100_000, 5, None, "\udcff"])
def test_nothing_is_near(value: object) -> None:
    """Words that are near nothing get no answer, whatever they are."""
    assert did_you_mean(value, ["text-to-video", "9:16"]) == ""
    assert did_you_mean(value, []) == ""


def test_a_workflow_that_nobody_offers_is_reported(cli: Command) -> None:
    """Not with an empty answer: a reader would look for a mistake of his own."""
    sold = {route.workflow for one in all_providers().values() for route in one.routes}
    for workflow in WORKFLOWS:
        found = cli("matrix", "--workflow", workflow)
        assert ("none of the vendors offers it" in found.out) is (workflow not in sold)
        (sheet,) = cli("matrix", "--workflow", workflow, "--json").document
        assert bool(sheet["vendors"]) is (workflow in sold)
