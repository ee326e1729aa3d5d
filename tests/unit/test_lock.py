"""requirements.lock names one version of everything, in the ranges of pyproject.toml, and no place
to get it from.
"""

from __future__ import annotations

import re
import runpy
import tomllib

import pytest
from packaging.requirements import Requirement
from support.paths import ROOT

LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "lock"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def problems(lock: str) -> list[str]:
    """What `scripts/lock --check` says against a lock."""
    return list(dict.fromkeys(SCRIPT["problems"](lock)))


def test_the_lock_holds_all_that_is_required() -> None:
    """In its range, on every supported Python and system."""
    assert problems(LOCK) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["httpx", "hatchling", "av", "openapi-python-client"])
def test_a_missing_name_and_a_version_out_of_range_are_found(name: str) -> None:
    """Of a dependency, the build, an extra, and a tool with an exact version."""
    line = re.compile(rf"^{name}==.*\n", re.MULTILINE)
    assert len(line.findall(LOCK)) == 1
    assert any("is missing" in one for one in problems(line.sub("", LOCK)))
    assert any(
        "is not what is required" in one for one in problems(line.sub(f"{name}==0.0.1\n", LOCK))
    )
    one_system = line.sub(f'{name}==1000.0 ; sys_platform == "win32"\n', LOCK)
    assert any("is missing on Python 3.12, linux" in one for one in problems(one_system))


@pytest.mark.parametrize(
    "line",
    [
        "httpx>=0.28",
        "httpx",
        "httpx @ file:///srv/httpx.whl",
        "httpx==0.28.1 ; python_version > '3' @ x",
        "-e .",
        "-r more.txt",
        "--index-url https://mirror.example/simple",
        "httpx==0.28.1 --hash=sha256:00",
    ],
)
def test_a_place_or_a_range_is_refused(line: str) -> None:
    """A lock works wherever it is used."""
    assert problems(f"{LOCK}{line}\n") == [f"not a name with one version: {line}"]


def test_every_requirement_has_a_lowest_version_or_an_exact_one() -> None:
    """`scripts/newest --oldest` installs it."""
    project = PROJECT["project"]
    texts = [
        *project["dependencies"],
        *(text for extra in project["optional-dependencies"].values() for text in extra),
    ]
    for requirement in map(Requirement, texts):
        if requirement.name != project["name"]:
            assert {one.operator for one in requirement.specifier} & {">=", "=="}, requirement
