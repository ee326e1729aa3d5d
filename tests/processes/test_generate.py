"""The generated clients are imported lazily, and scripts/generate --check sees every change."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest
from support.endpoints import CLIENTS, ENDPOINTS, PACKAGE, each_client
from support.paths import ROOT
from support.specs import GATEWAY, SHARED

if TYPE_CHECKING:
    from pathlib import Path


# -- the files -------------------------------------------------------------------------------------


PROBE: Final = """
import importlib, json, pkgutil, sys

name = sys.argv[1]
package = importlib.import_module(name)
importlib.import_module(f"{name}.models")
models = [module for module in sys.modules if module.startswith(f"{name}.models.")]
folder = importlib.import_module(f"{name}.api")
found = pkgutil.walk_packages(folder.__path__, f"{name}.api.")
modules = [one.name for one in found if not one.ispkg]
for module in modules:
    importlib.import_module(module)
before = "httpx" in sys.modules
package.Client(base_url="http://localhost")
print(json.dumps([models, len(modules), before, "httpx" in sys.modules]))
"""


@each_client
def test_imports_are_lazy(client: str) -> None:
    """Models load when used, and httpx with the first client: not for pure builders and parsers."""
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        f"import sys; sys.path[:0] = {sys.path!r}\n{PROBE}",
        f"{PACKAGE}.{client}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    endpoints = sum(endpoint.client == client for endpoint in ENDPOINTS)
    assert json.loads(done.stdout) == [[], endpoints, False, True]


# -- scripts/generate --check ----------------------------------------------------------------------

CLIENT: Final = min(CLIENTS, key=lambda name: (ROOT / "specs" / f"{name}.yaml").stat().st_size)
"""The one that is made soonest."""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of what the generate script reads and writes, of one vendor and the shared models.

    What it makes of the others is looked at by scripts/check.
    """
    for folder in ("specs", "scripts", "generated"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    package = tmp_path / "generated" / PACKAGE
    for name in {path.stem for path in (ROOT / "specs").glob("*.yaml")} - {CLIENT, SHARED, GATEWAY}:
        (tmp_path / "specs" / f"{name}.yaml").unlink()
        (package / "contracts" / f"{name}.json").unlink()
        shutil.rmtree(tmp_path / "specs" / name, ignore_errors=True)
        shutil.rmtree(package / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def contents(root: Path) -> dict[Path, bytes]:
    """Every generated file with its bytes."""
    return {path: path.read_bytes() for path in (root / "generated").rglob("*") if path.is_file()}


def test_check_names_what_changed_and_nothing_else(copied: Path) -> None:
    """An edited, a deleted and an added file are named, and left as they are. A changed spec makes
    what was made from it stale; so does a mere comment, by the noted hash. The rest of the tree is
    as the generators write it.
    """
    package = copied / "generated" / PACKAGE
    with (package / "shared" / "__init__.py").open("a") as edited:
        edited.write("EDITED = True\n")
    (package / CLIENT / "types.py").unlink()
    (package / "extra.py").write_text("# mine\n")
    for name, more in ((CLIENT, "x-added: true\n"), (SHARED, "# A comment.\n")):
        with (copied / "specs" / f"{name}.yaml").open("a", encoding="utf-8") as spec:
            spec.write(more)
    before = contents(copied)
    command = [sys.executable, str(copied / "scripts" / "generate"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    named = re.findall(
        r"^(--- committed/|only in generated/: |missing in generated/: )(\S+)$",
        done.stdout,
        re.MULTILINE,
    )
    assert named == [
        ("only in generated/: ", "extra.py"),
        ("missing in generated/: ", f"{CLIENT}/types.py"),
        ("--- committed/", "PROVENANCE.json"),
        ("--- committed/", f"contracts/{CLIENT}.json"),
        ("--- committed/", "contracts/vendors.py"),  # the list of them
        ("--- committed/", "shared/__init__.py"),
    ]
    assert "run scripts/generate" in done.stderr
    assert contents(copied) == before


@pytest.mark.parametrize(
    ("committed", "fresh"),
    [
        pytest.param(None, b"", id="empty-file-deleted"),
        pytest.param(b"", None, id="empty-file-added"),
        pytest.param(b"a\nb", b"a\nb\n", id="last-newline-lost"),
        pytest.param(b"a\r\nb\r\n", b"a\nb\n", id="line-ends-changed"),
    ],
)
def test_check_sees_every_byte(
    tmp_path: Path, committed: bytes | None, fresh: bytes | None
) -> None:
    """Trees that are not byte for byte the same differ, also where no line of text does."""
    script = runpy.run_path(str(ROOT / "scripts" / "generate"))
    trees = []
    for name, data in (("committed", committed), ("fresh", fresh)):
        folder = tmp_path / name
        folder.mkdir()
        if data is not None:
            (folder / "py.typed").write_bytes(data)
        trees.append(script["tree"](folder))
    assert script["differences"](*trees)
