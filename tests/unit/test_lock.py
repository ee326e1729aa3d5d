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
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("", "is missing"),
        (r"\1==0.0.1\n", "is not what is required"),
        (r'\1==1000.0 ; sys_platform == "win32"\n', "is missing on Python 3.12, linux"),
    ],
    ids=["missing", "out-of-range", "on-one-system"],
)
def test_a_missing_name_and_a_version_out_of_range_are_found(wrong: str, said: str) -> None:
    """Of a dependency, the build, an extra, and a tool with an exact version."""
    names = ("httpx", "hatchling", "av", "openapi-python-client")
    lock, changed = re.subn(rf"^({'|'.join(names)})==.*\n", wrong, LOCK, flags=re.MULTILINE)
    assert changed == len(names)
    found = problems(lock)
    for name in names:
        assert any(name in one and said in one for one in found)


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


def test_what_has_a_range_is_tried_with_its_newest_release() -> None:
    """Also where its marker compares something with `==`; only an exact version has no range."""
    newest = runpy.run_path(str(ROOT / "scripts" / "newest"), run_name="newest")
    ranges, pinned = newest["ranges"](), newest["pinned"]()
    exact = [one for one in map(Requirement, pinned) if str(one.specifier).startswith("==")]
    assert len(exact) == len(pinned) > 0
    assert "uvloop" in {Requirement(one).name for one in ranges}
    oldest = [Requirement(newest["lowest"](one)) for one in ranges]
    assert (
        {str(one.marker) for one in oldest}
        == {str(Requirement(one).marker) for one in ranges}
        != {"None"}
    )


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
