"""What users copy, and what they write, as type checkers see it.

The Python of README, docs/ and examples/ has no error under `mypy --strict` and pyright, and both
find deliberate mistakes. pyright is checked as basedpyright, which brings its own Node.js.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import indent
from typing import Final

import pytest
from support.paths import ROOT

pytestmark = pytest.mark.slow
BLOCK: Final = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES: Final = sorted((ROOT / "examples").rglob("*.py"))
SOURCES: Final = [ROOT / "adapters", ROOT / "generated", ROOT / "docs" / "example-vendor"]
UNTYPED: Final = ("celery", "django")
"""Frameworks of examples that have no types of their own."""
MISTAKES: Final = """\
# pyright: reportUnnecessaryComparison=true
from pathlib import Path

import polyreel
from polyreel import AsyncClient, Client, Job, Plan, VideoRequest


def finished(job: Job, percent: float) -> None:
    print(job.id, percent)


client = Client()
request = VideoRequest(prompt="a cat", duration=5)
client.generate("a cat", durration=5)  # wrong: a misspelt field
client.generate("a cat", "evolnk", duration=5)  # wrong: a misspelt vendor
polyreel.plan(request, "skills-vidoe")  # wrong: a misspelt vendor
client.plans("a cat", ["unial"])  # wrong: a misspelt vendor of several
client.generate(request, ouput="clips")  # wrong: a misspelt option
VideoRequest(promt="a cat")  # wrong: a misspelt field of a model
VideoRequest(prompt="a cat", duration="5")  # wrong: a text for a number
VideoRequest(prompt="a cat", resolution="8k")  # wrong: a value that there is not
client.plan("a cat", reference_images="a.png")  # wrong: one for several
client.plan("a cat", first_frame=5)  # wrong: a number for a picture
job = client.generate(request, output=Path("clips"))
print(job.outputs[0].path)  # wrong: there may be no outputs
print(job.outputs and job.outputs[0].path.upper())  # wrong: there may be no path
client.wait(job, listener=finished)  # wrong: a listener with two arguments
Client(listener=lambda: None)  # wrong: a listener without arguments
client.wait("task-1")  # wrong: an id for a job
client.submit(request)  # wrong: a request for a plan
client.plan(request, allow={"watermark": "keep"})  # wrong: no such allowance
client.generate(request, timeout="5 min")  # wrong: a text for seconds
client.jobs(["savd"])  # wrong: a misspelt state
print(job.statuss)  # wrong: a misspelt attribute
Client({"vendor": "key"})  # wrong: keys without their name
Client(keys="key")  # wrong: a key for a mapping
print(client.simulator.bill)  # wrong: a live client has no simulator


async def awaiting() -> Plan:
    async with AsyncClient() as awaited:
        job: Job = awaited.generate("a cat")  # wrong: not awaited
        return await awaited.plan(request)  # wrong: awaited in vain


if job.status == "succeded":  # wrong: a misspelt status
    pass
"""
"""A user's program. Each line with a mistake says so."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for each block of code, and one with the mistakes."""
    folder = tmp_path_factory.mktemp("typed")
    (folder / "mistakes.py").write_text(MISTAKES, encoding="utf-8")
    for notebook in (ROOT / "examples").rglob("*.ipynb"):
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(one["source"]) for one in cells if one["cell_type"] == "code")
        body = f"async def cells() -> None:\n{indent(code, '    ')}\n"  # where `await` is right
        (folder / f"{notebook.stem}.py").write_text(body, encoding="utf-8")
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in BLOCK.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            name = re.sub(r"\W", "_", f"{page.stem}_{line}")
            (folder / f"{name}.py").write_text(found[1], encoding="utf-8")
            if (title := re.match(r"# (\w+\.py)\n", found[1])) and title[1] == "app.py":
                (folder / "app.py").write_text(found[1], encoding="utf-8")
    return folder


def ran(*command: object, **variables: str) -> str:
    """What a type checker prints."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr or done.stdout, done.stderr
    return done.stdout


Found = Mapping[str, Mapping[int, str]]
"""Errors by the file's name and the line."""


@pytest.fixture(scope="module")
def mypy(folder: Path) -> Found:
    """What mypy --strict says of all of it."""
    settings = folder / "mypy.ini"
    untyped = "".join(f"[mypy-{name}.*]\nignore_missing_imports = true\n" for name in UNTYPED)
    settings.write_text(f"[mypy]\nstrict = true\nexplicit_package_bases = true\n{untyped}")
    found: dict[str, dict[int, str]] = {}
    programs = [sorted(one.rglob("*.py")) for one in (folder, *(ROOT / "examples").iterdir())]
    for paths in filter(None, programs):  # one after the other: several have an app.py
        printed = ran(
            *("mypy", "--config-file", settings, "--cache-dir", ROOT / ".mypy_cache" / "users"),
            *("--no-error-summary", "--output", "json", *paths),
            MYPYPATH=os.pathsep.join(map(str, [*SOURCES, *{path.parent for path in paths}])),
        )
        for one in map(json.loads, printed.splitlines()):
            if one["severity"] == "error":
                found.setdefault(Path(one["file"]).name, {})[one["line"]] = one["message"]
    return found


@pytest.fixture(scope="module")
def pyright(folder: Path) -> Found:
    """What pyright, in its standard mode, says of all of it."""
    paths = [*SOURCES, folder, *{path.parent for path in EXAMPLES}]
    settings = {
        "include": [".", os.path.relpath(ROOT / "examples", folder)],
        "extraPaths": [*map(str, paths)],
        "typeCheckingMode": "standard",
        "reportUnusedCoroutine": "error",
    }
    project = folder / "pyrightconfig.json"
    project.write_text(json.dumps(settings), encoding="utf-8")
    printed = ran(
        *("basedpyright", "--project", project, "--outputjson"),
        *("--pythonpath", sys.executable),
    )
    report = json.loads(printed)
    programs = [*folder.glob("*.py"), *EXAMPLES]
    assert report["summary"]["filesAnalyzed"] >= len(programs)
    found: dict[str, dict[int, str]] = {}
    for one in report["generalDiagnostics"]:
        if one["severity"] == "error":
            line = one["range"]["start"]["line"] + 1
            found.setdefault(Path(one["file"]).name, {})[line] = one["message"]
    return found


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_what_users_copy_has_no_error(
    checker: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    """The Python of README and docs/, and examples/."""
    assert len([*folder.glob("*.py"), *EXAMPLES]) > 30
    found: Found = request.getfixturevalue(checker)
    assert {name: errors for name, errors in found.items() if name != "mistakes.py"} == {}


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_mistakes_are_found(checker: str, request: pytest.FixtureRequest) -> None:
    """All of them, and nothing else."""
    wrong = {
        number: line for number, line in enumerate(MISTAKES.splitlines(), 1) if "# wrong: " in line
    }
    assert len(wrong) > 20
    found: Found = request.getfixturevalue(checker)
    assert {*found["mistakes.py"]} == {*wrong}
