"""The example of docs/testing.md, word for word, as a project of somebody else: it passes, then it
fails readably.
"""

from __future__ import annotations

import re
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from support import forked
from support.paths import DOCS

PAGE = (DOCS / "testing.md").read_text(encoding="utf-8")
BLOCKS = {
    title: body
    for title, body in re.findall(
        r"^```(?:python\n# |)([^\n]*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
    )
    if title.startswith(("app.py", "test_app.py"))
}
PRINTED = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
LOADED = ("-p", "no:polyreel", "-p", "polyreel.testing.plugin", "-p", "no:schemathesis")


def run(folder: Path, *options: str, fresh: bool = False) -> CompletedProcess[str]:
    """pytest in a folder, as a user calls it."""
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", *LOADED, *options)
    return forked.run(*command, fresh=fresh, cwd=folder)


def reported(output: str) -> list[str]:
    """What an assertion says, without the ids of jobs, which hold the time."""
    lines = [line.rstrip() for line in output.splitlines() if re.match(r"E( |$)", line)]
    return [re.sub(r"task-[\w-]+", "task", line) for line in lines]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a test and an app."""
    (tmp_path / "test_app.py").write_text(BLOCKS["test_app.py"], encoding="utf-8")
    (tmp_path / "app.py").write_text(BLOCKS["app.py"], encoding="utf-8")
    return tmp_path


def test_the_app_of_four_lines_passes(project: Path) -> None:
    """Under the strictest settings, with warnings as errors."""
    assert len(BLOCKS["app.py"].partition("def ")[2].splitlines()) == 4
    done = run(project, "-W", "error", "--strict-markers", "--strict-config", fresh=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_app_with_a_loop_fails_readably(project: Path) -> None:
    """The failure shows the test's own line, never polyreel's, and prints what the page says it
    prints.
    """
    (project / "app.py").write_text(BLOCKS["app.py, with a loop"], encoding="utf-8")
    done = run(project)
    assert done.returncode == 1, done.stdout + done.stderr
    assert ">       assert_billed_once(polyreel_simulator)" in done.stdout or (
        ">   assert_billed_once(polyreel_simulator)" in done.stdout
    )
    assert "def assert_billed" not in done.stdout
    found = reported(done.stdout)
    assert found[0].endswith("billed 2 jobs, expected 1")
    assert sum("the same body as job 1" in line for line in found) == 1
    assert any(
        "the connection was reset (fault lost-reset), billed as job 1" in line for line in found
    )
    assert any("do not send a submit again by yourself" in line for line in found)
    assert found == reported(PRINTED[0])


def test_an_app_that_calls_a_real_vendor_is_stopped(project: Path) -> None:
    """The message is the one of the page."""
    code = BLOCKS["app.py"].replace("client.post(", "__import__('httpx').post(")
    (project / "app.py").write_text(code, encoding="utf-8")
    done = run(project)
    assert done.returncode == 1, done.stdout + done.stderr
    assert reported(done.stdout) == reported(PRINTED[1])
