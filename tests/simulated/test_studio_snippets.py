"""Snippets of the studio that need no shell: Python, pytest, and rows of a batch."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import polyreel
import pytest
from hypothesis import given
from polyreel.batch import rows
from polyreel.cli.commands import COMMANDS
from polyreel.errors import RequestError
from polyreel.places import JsonObject
from polyreel.plans.requests import CheckedRequest, check_request
from polyreel.providers.base.registry import get_provider
from polyreel.simulator import ready_made
from polyreel.studio.snippets import Snippet, snippets
from support.matrix import drawn
from support.pictures import FORMS, UPLOADS, picture
from support.requests import EXAMPLES
from support.snippets import by_kind, prompts, served

PYTHON = ("python", "async", "pytest")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which a program runs; what is in its files does not matter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ready_made, "is_used", lambda _: True)
    monkeypatch.setattr(ready_made, "notice", lambda _: None)
    return tmp_path


def request_in(text: str) -> CheckedRequest:
    """The request that a program of Python begins with."""
    tree = ast.parse(text)
    tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.Assign)]
    names: dict[str, Any] = {}
    exec(compile(tree, "snippet", "exec"), names)
    return check_request(names["request"])


def check_values(request: JsonObject, vendor: str, folder: Path) -> None:
    """Each program, and the row of a batch, has the request as it is."""
    made, checked = by_kind(request, vendor), check_request(request)
    for kind in PYTHON:
        assert request_in(made[kind].text) == checked
    [row] = rows.read(row_file(made["batch"], folder))
    assert row.vendors == (vendor,)
    model = {} if "model" in checked.fields else {"model": row.request.get("model")}
    assert check_request(row.request).kind == checked.kind
    assert row.request in ({**checked.fields}, {**checked.fields, **model})


def row_file(snippet: Snippet, folder: Path) -> Path:
    """A file with the row, under the name that the snippet gives."""
    file = folder / snippet.use.split()[2]
    file.write_text(snippet.text, encoding="utf-8", newline="")
    return file


def run_program(text: str) -> None:
    """Run a program of Python, or its tests with a simulated client."""
    names: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(text, "snippet", "exec"), names)
    for name, test in names.items():
        if name.startswith("test_"):
            with polyreel.Client() as client:
                test(client, Path("kept"))


def test_every_request_is_in_its_programs_and_rows(tmp_path: Path) -> None:
    """Of all examples, at vendors that serve them."""
    assert len(served()) > 0.9 * len(EXAMPLES)
    for request, vendor in served():
        check_values(request, vendor, tmp_path)


@given(prompt=prompts, other=prompts)
def test_no_text_is_taken_for_something_else(
    prompt: str, other: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Quotes, line breaks, formulas, escapes: what is asked for arrives as it is."""
    request: JsonObject = {"prompt": prompt, "shots": [{"prompt": other}]}
    for one in polyreel.all_providers().values():
        for asked in (request, {"prompt": prompt, "negative_prompt": other}, {"prompt": other}):
            if snippets(asked, one):
                check_values(asked, one.id, tmp_path_factory.getbasetemp())


@pytest.mark.matrix
def test_programs_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Against the simulated vendor, whose job is made and saved."""
    cases = drawn(served(), 4)
    for request, vendor in cases:
        for kind in PYTHON:
            run_program(by_kind(request, vendor)[kind].text)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["succeeded"] * 2 * len(cases)
    assert all(len(line.split()) > 1 for line in lines)


def test_files_go_along(here: Path) -> None:
    """A file is named by its path in programs and rows, which run with it."""
    (here / "a cat's.png").write_bytes(picture())
    for vendor in (UPLOADS, FORMS):
        request = {"prompt": "a cat", "first_frame": str(here / "a cat's.png")}
        check_values(request, vendor, here)
        run_program(by_kind(request, vendor)["python"].text)


def test_the_commands_are_those_that_there_are() -> None:
    """In comments, too: nobody is sent to a command that the program does not have."""
    found = set[str]()
    for request, vendor in drawn(served(), 10):
        for made in by_kind(request, vendor).values():
            found |= {*re.findall(r"\bpolyreel ([a-z-]+)", f"{made.text}\n{made.use}")}
    assert {"simulate", "generate", "batch", "gateway"} <= found <= {*COMMANDS}


def test_what_is_allowed_is_in_each() -> None:
    """A mended request is mended in its snippets, too."""
    request = {"prompt": "a cat", "duration": 5, "seed": 2**31 - 1, "fps": 24}
    every = polyreel.all_providers().values()
    vendor = next(one.id for one in every if not snippets(request, one))
    allow: dict[str, Any] = {"fps": "drop", "seed": "drop"}
    made = by_kind(request, vendor, allow=allow)
    for kind in PYTHON:
        assert 'allow={"fps": "drop", "seed": "drop"}' in made[kind].text
    assert made["batch"].use.endswith("--allow fps=drop --allow seed=drop")
    assert "--allow fps=drop --allow seed=drop" in " ".join(made["cli"].text.split(" \\\n  "))
    assert '"allow": {"fps": "drop", "seed": "drop"}' in made["gateway"].text


def test_an_image_stays_one() -> None:
    """Where nothing in the request says what it is, the model does."""
    asked = check_request(polyreel.ImageRequest(prompt="a cat"))
    vendor = next(one for one in polyreel.all_providers().values() if snippets(asked, one))
    made = {one.kind: one.text for one in snippets(asked, vendor)}
    assert request_in(made["python"]) == asked
    lines = made["batch"].splitlines()
    model = dict(zip(*(line.split(",") for line in lines), strict=True))["model"]
    assert check_request({"prompt": "a cat", "model": model}).kind == "image"
    assert f"--model {model} " in made["cli"]
    assert f'"model": "{model}"' in made["gateway"]


def test_what_is_refused_or_malformed() -> None:
    """Nobody copies what the vendor refuses."""
    assert snippets({"prompt": "a cat", "aspect_ratio": "98:97"}, get_provider(UPLOADS)) == ()
    with pytest.raises(RequestError):
        snippets({"prompt": 5}, get_provider(UPLOADS))
