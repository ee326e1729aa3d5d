"""One import for a vendor's author: `polyreel.providers` has all that a provider file needs."""

import ast
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polyreel
import pytest
from polyreel import providers

ROOT = Path(polyreel.__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "example-vendor" / "acme_video" / "__init__.py"
FOLDER = Path(providers.__file__).parent
VENDOR_FILES = [*sorted(set(FOLDER.glob("*.py")) - {FOLDER / "__init__.py"}), EXAMPLE]


@pytest.mark.parametrize("name", providers.__all__)
def test_every_name_loads(name: str) -> None:
    """From the module that the table says."""
    assert name in dir(providers)
    assert getattr(providers, name) is not None


def test_the_names_are_exact() -> None:
    """The table, the list and the imports for type checkers name the same things."""
    tree = ast.parse(Path(providers.__file__).read_text(encoding="utf-8"))
    typed = {
        (f"{'.' * node.level}{node.module}", alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    assert {(home, name) for name, home in providers._HOMES.items()} == typed
    assert sorted(providers._HOMES) == sorted(providers.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        getattr(providers, "nonsense")  # noqa: B009 - a type checker knows that it is not there


def test_importing_the_package_loads_nothing_else() -> None:
    """The names load when they are used."""
    code = "import sys, polyreel.providers; print(*(n for n in sys.modules if 'polyreel' in n))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["polyreel", "polyreel.providers"]


@pytest.mark.parametrize("path", VENDOR_FILES, ids=lambda path: path.stem)
def test_vendor_files_import_from_one_place(path: Path) -> None:
    """All that they need of polyreel comes from `polyreel.providers`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            inside = node.level == 1 and node.module is None
            module = node.module or ""
            outside = not node.level and (
                module == "polyreel.providers" or module.split(".")[0] != "polyreel"
            )
            assert inside or outside, f"{path.name} imports from {'.' * node.level}{module}"


def test_the_guide_shows_code_that_works(tmp_path: Path) -> None:
    """The provider file of docs/add-a-vendor.md passes a strict check, and is a vendor."""
    guide = (ROOT / "docs" / "add-a-vendor.md").read_text(encoding="utf-8")
    code = next(
        block for block in guide.split("```python\n") if block.startswith("from polyreel.pro")
    )
    package = tmp_path / "guide_video"
    package.mkdir()
    (package / "__init__.py").write_text(code.partition("```")[0], encoding="utf-8")
    shutil.copy(EXAMPLE.with_name("openapi.json"), package)
    assert _checked(package / "__init__.py") == ""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        vendor = importlib.import_module("guide_video").AcmeVideo.load()
    assert vendor.operation(vendor.routes[0]).id == "createClip"
    assert vendor.get_request("clip_1")["url"] == "/v2/clips/clip_1"


def test_a_type_checker_knows_the_names(tmp_path: Path) -> None:
    """The worked example passes a strict check, as a user runs it; a misspelled name does not."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from polyreel.providers import Feild\n", encoding="utf-8")
    assert _checked(EXAMPLE) == ""
    assert 'has no attribute "Feild"' in _checked(wrong)


def _checked(path: Path) -> str:
    """What mypy finds in one file, with polyreel as an installed package."""
    roots = os.pathsep.join([str(ROOT / "adapters"), str(ROOT / "generated")])
    environment = {**os.environ, "PYTHONPATH": roots}
    environment.pop("MYPYPATH", None)
    options = ["--strict", "--config-file=", "--no-error-summary"]
    cache = ["--cache-dir", str(ROOT / ".mypy_cache" / "user")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *cache, str(path)],
        cwd=path.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr
