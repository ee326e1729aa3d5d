"""Every program of examples/ runs as its README says, without a key."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Final

import pytest
from polyreel import Client
from polyreel.providers.base.registry import all_providers
from support import forked
from support.paths import ROOT

pytestmark = pytest.mark.slow
EXAMPLES: Final = ROOT / "examples"
FOLDERS: Final = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment without keys, and with a ledger of its own."""
    for provider in all_providers().values():
        monkeypatch.delenv(provider.key_variable, raising=False)
    monkeypatch.setenv("POLYREEL_LEDGER", str(tmp_path / "ledger.sqlite3"))
    return {**os.environ}


UNRENDERED: Final = """
import runpy, sys
from polyreel.simulator import rendering
rendering.is_installed = lambda *, video: False
del sys.argv[0]
runpy.{run}(sys.argv[0], run_name="__main__")
"""
"""A program whose simulated files are ready-made: rendering 100 clips takes a minute."""
SCRIPT: Final = ("-W", "ignore", "-c", UNRENDERED.format(run="run_path"))
MODULE: Final = ("-W", "ignore", "-c", UNRENDERED.format(run="run_module"))


def ran(*program: str | Path, folder: Path, environment: dict[str, str]) -> str:
    """What a program prints; it ends well."""
    done = forked.run(*program, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_has_a_readme_and_is_listed() -> None:
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for folder in FOLDERS:
        assert (EXAMPLES / folder / "README.md").exists()
        assert f"({folder}/README.md)" in index


def test_the_script(tmp_path: Path, environment: dict[str, str]) -> None:
    command = (EXAMPLES / "script" / "clip.py", "a cat")
    printed = ran(*command, folder=tmp_path, environment=environment)
    assert (tmp_path / printed.strip()).stat().st_size


def test_another_vendor(tmp_path: Path, environment: dict[str, str]) -> None:
    for vendor in (*all_providers(),):
        command = (*SCRIPT, EXAMPLES / "swap_vendor" / "swap.py", vendor)
        printed = ran(*command, folder=tmp_path, environment=environment)
        assert printed.splitlines()[-1] == f"{vendor} succeeded"


def test_the_rows(tmp_path: Path, environment: dict[str, str]) -> None:
    """All 100, twice: each is one job, with a file of its own; the scenes come back."""
    command = (*SCRIPT, EXAMPLES / "rows" / "rows.py")
    for _ in range(2):
        assert ran(*command, folder=tmp_path, environment=environment) == "saved 100\n"
    with (tmp_path / "clips" / "results.csv").open(newline="") as file:
        found = [*csv.DictReader(file)]
    assert [(row["reference"], row["scene"], row["state"]) for row in found] == [
        (f"cat-{n:03}", f"street {n}", "saved") for n in range(1, 101)
    ]
    assert {Path(row["files"]).name for row in found} == {f"cat-{n:03}.mp4" for n in range(1, 101)}
    assert all(Path(row["files"]).stat().st_size for row in found)
    with Client.from_env() as client:
        assert len(client.jobs(labels={"team": "cats"})) == 100


def test_the_contract_test(tmp_path: Path, environment: dict[str, str]) -> None:
    command = [*MODULE, "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:polyreel"]
    command += [
        "-p",
        "no:schemathesis",
        "-c",
        os.devnull,
        f"--rootdir={tmp_path}",
        str(EXAMPLES / "contract_test"),
    ]
    done = forked.run(*command, fresh=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


APPLICATION: Final = """
import asyncio, httpx
from app import app

async def main():
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://shop.example") as web,
    ):
        for _ in range(2):
            answer = await web.post("/clips/cat", params={"prompt": "a cat"})
            assert answer.status_code == 200, answer.text
        while (await web.get("/clips/cat")).json()["state"] != "saved":
            await asyncio.sleep(0.01)
        for prompt in ("", "a dog", "a" * 9_999):
            answer = await web.post("/clips/cat", params={"prompt": prompt})
            assert answer.status_code == 400, answer.text
        for path in ("/clips/nonesuch", "/clips/c*", "/webhooks/nonesuch"):
            call = web.post if "webhooks" in path else web.get
            assert (await call(path)).status_code == 404

asyncio.run(main())
"""
"""A browser that submits twice under one name, and polls until the file is there."""
TASK: Final = "import tasks; print(tasks.make_clip.apply(('cat', 'a cat')).get())"


def in_example(example: str, program: str, folder: Path, environment: dict[str, str]) -> str:
    """What a program prints that imports an example; it ends well."""
    paths = os.pathsep.join([str(EXAMPLES / example), environment.get("PYTHONPATH", "")])
    done = forked.run("-c", program, cwd=folder, env={**environment, "PYTHONPATH": paths})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_application(tmp_path: Path, environment: dict[str, str]) -> None:
    """Submitted twice, restarted, submitted again: finished once, billed once."""
    for _ in range(2):
        in_example("fastapi", APPLICATION, tmp_path, environment)
    assert len([*(tmp_path / "clips").iterdir()]) == 1
    with Client.from_env() as client:
        assert [entry.state for entry in client.jobs()] == ["saved"]


DJANGO: Final = """
import asyncio, httpx
import app

async def main():
    transport = httpx.ASGITransport(app=app.application)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as web:
        for _ in range(2):
            answer = await web.post("/clips/cat", params={"prompt": "a cat"})
            assert answer.status_code == 200, answer.text
        app.work(until_done=True)
        assert (await web.get("/clips/cat")).json() == {"name": "cat", "state": "saved"}
        for prompt in ("", "a dog", "a" * 9_999):
            answer = await web.post("/clips/cat", params={"prompt": prompt})
            assert answer.status_code == 400, answer.text
        for path in ("/clips/nonesuch", "/clips/c*"):
            assert (await web.get(path)).status_code == 404
        assert (await web.post("/webhooks/nonesuch")).status_code == 404
        assert (await web.post("/clips/dog")).status_code == 400
    await app.client.close()

asyncio.run(main())
"""


def test_the_django_application(tmp_path: Path, environment: dict[str, str]) -> None:
    """Submitted twice, finished by a worker, restarted, submitted again: billed once."""
    for _ in range(2):
        in_example("django", DJANGO, tmp_path, environment)
    assert len([*(tmp_path / "clips").iterdir()]) == 1
    with Client.from_env() as client:
        assert [entry.state for entry in client.jobs()] == ["saved"]


EXECUTED: Final = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=None, kernel_name="python3").execute()
nbformat.write(notebook, "executed.ipynb")
"""


def test_the_notebook(tmp_path: Path, environment: dict[str, str]) -> None:
    """Every cell, in a kernel; the plan, the clip and the end of the batch are shown."""
    path = EXAMPLES / "notebook" / "clips.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells), "outputs are not committed"
    command = ("-W", "ignore", "-c", EXECUTED, path)
    done = forked.run(*command, fresh=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    cells = json.loads((tmp_path / "executed.ipynb").read_text(encoding="utf-8"))["cells"]
    outputs = [one for cell in cells for one in cell.get("outputs", ())]
    shown = ["".join(one["data"].get("text/html", "")) for one in outputs if "data" in one]
    assert any("simulated: nothing is sent or paid" in html for html in shown)
    assert any("would be sent; nothing was" in html for html in shown)
    assert sum("<video controls src='data:video/mp4;base64," in html for html in shown) == 2
    assert any("<progress value='3' max='3'>" in html for html in shown)
    assert not any(one["output_type"] in {"error", "stream"} for one in outputs)
    with Client.from_env() as client:
        assert [entry.state for entry in client.jobs()] == ["saved"] * 4


def test_the_task(tmp_path: Path, environment: dict[str, str]) -> None:
    """Run twice, as Celery may: the same file."""
    printed = [in_example("celery", TASK, tmp_path, environment) for _ in range(2)]
    assert printed[0] == printed[1]
    with Client.from_env() as client:
        assert [entry.state for entry in client.jobs()] == ["saved"]
