"""Every program of examples/ runs as its README says, without a key."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from polyreel import Client
from polyreel.providers.base.registry import all_providers
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


def ran(program: str, *arguments: str, folder: Path, environment: dict[str, str]) -> str:
    """What a program prints; it ends well."""
    command = [sys.executable, str(EXAMPLES / program), *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_has_a_readme_and_is_listed() -> None:
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for folder in FOLDERS:
        assert (EXAMPLES / folder / "README.md").exists()
        assert f"({folder}/README.md)" in index


def test_the_script(tmp_path: Path, environment: dict[str, str]) -> None:
    printed = ran("script/clip.py", "a cat", folder=tmp_path, environment=environment)
    assert (tmp_path / printed.strip()).stat().st_size


def test_another_vendor(tmp_path: Path, environment: dict[str, str]) -> None:
    for vendor in (*all_providers(),):
        printed = ran("swap_vendor/swap.py", vendor, folder=tmp_path, environment=environment)
        assert printed.splitlines()[-1] == f"{vendor} succeeded"


def test_the_rows(tmp_path: Path, environment: dict[str, str]) -> None:
    """A few of them here, twice: each is one job."""
    rows = "name,prompt\n" + "".join(f"row-{n},a cat {n}\n" for n in range(4))
    (tmp_path / "rows.csv").write_text(rows)
    for _ in range(2):
        ran("rows/rows.py", folder=tmp_path, environment=environment)
    with (tmp_path / "results.csv").open(newline="") as file:
        found = [*csv.DictReader(file)]
    assert [(row["name"], row["state"]) for row in found] == [
        (f"row-{n}", "saved") for n in range(4)
    ]
    assert len({row["file"] for row in found}) == 4
    assert all((tmp_path / row["file"]).exists() for row in found)


def test_the_contract_test(tmp_path: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:polyreel"]
    command += ["-c", os.devnull, f"--rootdir={tmp_path}", str(EXAMPLES / "contract_test")]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
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
        for path in ("/clips/nonesuch", "/webhooks/nonesuch"):
            call = web.post if "webhooks" in path else web.get
            assert (await call(path)).status_code == 404

asyncio.run(main())
"""
"""A browser that submits twice under one name, and polls until the file is there."""
TASK: Final = "import tasks; print(tasks.make_clip.apply(('cat', 'a cat')).get())"


def in_example(example: str, program: str, folder: Path, environment: dict[str, str]) -> str:
    """What a program prints that imports an example; it ends well."""
    paths = os.pathsep.join([str(EXAMPLES / example), environment.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**environment, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_application(tmp_path: Path, environment: dict[str, str]) -> None:
    """Submitted twice, restarted, submitted again: finished once, billed once."""
    pytest.importorskip("fastapi", reason="the example needs it")
    for _ in range(2):
        in_example("fastapi", APPLICATION, tmp_path, environment)
    assert len([*(tmp_path / "clips").iterdir()]) == 1
    with Client.from_env() as client:
        assert [entry.state for entry in client.jobs()] == ["saved"]


def test_the_task(tmp_path: Path, environment: dict[str, str]) -> None:
    """Run twice, as Celery may: the same file."""
    pytest.importorskip("celery", reason="the example needs it")
    printed = [in_example("celery", TASK, tmp_path, environment) for _ in range(2)]
    assert printed[0] == printed[1]
    with Client.from_env() as client:
        assert [entry.state for entry in client.jobs()] == ["saved"]
