"""The ready-made files: the script that makes them, and commands without the renderer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from polyreel.simulator.ready_made import CURE
from support.cli import Command, process, stranger, streams
from support.paths import ROOT
from support.ready_made import NOTICE, README

FILES = sorted((ROOT / "adapters" / "polyreel" / "simulator" / "ready").iterdir())


# -- the files -------------------------------------------------------------------------------------


def test_the_script_that_made_the_files_accepts_them() -> None:
    """And they are small enough to be in every wheel."""
    done = subprocess.run(
        [ROOT / "scripts" / "ready-made", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in FILES] == [
        f"ready-made.{kind}" for kind in ("jpeg", "mp4", "png", "webp")
    ]
    assert sum(path.stat().st_size for path in FILES) < 110_000


# -- the command line ------------------------------------------------------------------------------


HIDDEN = """
import sys
sys.modules.update(av=None, PIL=None)
from polyreel.cli import main
main()
"""


def test_a_process_without_the_libraries_makes_the_clip(tmp_path: Path) -> None:
    """Nothing imports them, and nothing but the notice tells the difference."""
    arguments = ["generate", README["prompt"], "--duration", "5", "--aspect-ratio", "9:16"]
    with_them = process(*map(str, arguments), cwd=tmp_path)
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            HIDDEN,
            *map(str, arguments),
            "--ledger",
            "ledger.sqlite3",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, with_them.code) == (0, 0), done.stderr
    seconds, width, height, sounds = streams(str(tmp_path / done.stdout.strip()))
    assert (round(seconds), width, height, sounds) == (5, 720, 1280, 1)
    assert NOTICE in done.stderr
    assert NOTICE not in with_them.err


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """Command lines in an empty folder."""
    return stranger(capsys, monkeypatch, tmp_path)


@pytest.mark.usefixtures("bare")
def test_commands_for_many_jobs_say_it_once(
    cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches, the server, and the doctor, who names the cure."""
    (tmp_path / "rows.jsonl").write_text(
        '{"prompt": "a cat", "duration": 10}\n{"prompt": "a dog"}\n'
    )
    monkeypatch.setattr("polyreel.simulator.server.serve", lambda *_, **__: None)
    for arguments in (("batch", "rows.jsonl"), ("simulate", "--port", "0"), ("doctor",)):
        found = cli(*arguments)
        assert found.code == 0, found.err
        assert found.err.count(NOTICE) == found.err.count(CURE) == 1
