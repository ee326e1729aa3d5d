"""What users install: the wheel, in an environment with what it requires and nothing else, makes
README's clip.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from polyreel.mapping.media import content_type
from polyreel.simulator.ready_made import CURE
from support.cli import streams
from support.paths import ROOT

PACKAGES = (ROOT / "adapters" / "polyreel", ROOT / "generated" / "polyreel_generated")
EXTRAS = ("av", "PIL", "aiohttp", "yaml", "pytest", "hypothesis")
"""Modules of the extras."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout without changing it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "--directory",
        str(folder),
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


def required(wheel: Path) -> set[str]:
    """The distributions that a wheel requires without extras, and all that these require."""
    found: set[str] = set()
    (about,) = metadata.distributions(path=[str(wheel)])
    pending = list(map(Requirement, about.requires or ()))
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        distribution = metadata.distribution(requirement.name)
        assert requirement.specifier.contains(distribution.version, prereleases=True), requirement
        pending += map(Requirement, distribution.requires or ())
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that has the wheel, and the required distributions
    of this one.
    """
    folder = tmp_path_factory.mktemp("user")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    code = "import sysconfig; print(sysconfig.get_path('purelib'), end='')"
    site = Path(
        subprocess.run(
            [programs / "python", "-c", code], check=True, capture_output=True, text=True
        ).stdout
    )
    for name in required(wheel):
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            (site / top).symlink_to(str(distribution.locate_file(top)))
    new = str(programs / "python")
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        new,
        "install",
        "--no-index",
        "--no-deps",
        "--no-compile",
        str(wheel),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return programs


def test_the_wheel_holds_the_two_packages_and_nothing_else(wheel: Path) -> None:
    """Every module, the types, the contracts and the ready-made files; no tests, no specs, no
    scripts.
    """
    with zipfile.ZipFile(wheel) as opened:
        names = {name for name in opened.namelist() if ".dist-info/" not in name}
        about = {name.rpartition(".dist-info/")[2] for name in opened.namelist()} - names
    expected = {
        path.relative_to(package.parent).as_posix()
        for package in PACKAGES
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == expected
    assert {"polyreel/py.typed", "polyreel_generated/py.typed"} <= names
    assert sum(name.startswith("polyreel_generated/contracts/") for name in names) > 3
    assert {
        f"polyreel/simulator/ready/ready-made.{kind}" for kind in ("jpeg", "mp4", "png", "webp")
    } <= names
    assert about == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    assert wheel.stat().st_size < 2_300_000


def test_what_is_installed_is_the_wheel_alone(environment: Path, tmp_path: Path) -> None:
    """No extra is there, and nothing of this checkout."""
    code = f"""
import polyreel, polyreel_generated
from importlib.util import find_spec
print([name for name in {EXTRAS!r} if find_spec(name)])
print(polyreel.__file__)
print(polyreel_generated.__file__)
"""
    found = run(environment, tmp_path, "python", "-c", code).stdout.splitlines()
    assert found[0] == "[]"
    assert all(Path(file).is_relative_to(environment.parent) for file in found[1:])


def run(environment: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment, as a user does, with warnings as errors."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    variables = {name: value for name, value in os.environ.items() if name not in hidden}
    variables |= {"PYTHONWARNINGS": "error", "POLYREEL_LEDGER": str(folder / "ledger.sqlite3")}
    program = str(environment / command[0])
    done = subprocess.run(
        [program, *command[1:]],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_the_readmes_clip_is_made(environment: Path, tmp_path: Path) -> None:
    """It is an MP4 of the asked length, size and sound; what it lacks is said first."""
    block = re.search(
        r"^```sh\n(.*?)^```$",
        (ROOT / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    assert block is not None
    installation, _, command = block[1].partition("&&")
    assert installation.strip() == "pip install ."
    done = run(environment, tmp_path, *shlex.split(command))
    assert CURE in done.stderr.splitlines()[0]
    file = tmp_path / done.stdout.strip()
    assert content_type(file.read_bytes(), "video") == "video/mp4"
    seconds, width, height, sounds = streams(str(file))
    assert (round(seconds, 1), width, height, sounds) == (5.0, 720, 1280, 1)


def test_python_code_runs_too(environment: Path, tmp_path: Path) -> None:
    """README's own, but for the length: that of the ready-made clip needs no warning."""
    code = """
import polyreel
with polyreel.Client() as client:
    job = client.generate({"prompt": "a cat", "duration": 5, "aspect_ratio": "9:16", "audio": True})
    print(job.outputs[0].path, client.simulator.bill.count())
"""
    path, count = run(environment, tmp_path, "python", "-c", code).stdout.split()
    assert count == "1"
    assert content_type(Path(path).read_bytes(), "video") == "video/mp4"
