"""`polyreel.providers` for a vendor's author, as another process and a type checker see it."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import EXAMPLE_VENDOR, ROOT

EXAMPLE = EXAMPLE_VENDOR / "__init__.py"


def test_importing_the_package_loads_nothing_else() -> None:
    """The names load when they are used."""
    code = "import sys, polyreel.providers; print(*(n for n in sys.modules if 'polyreel' in n))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["polyreel", "polyreel.providers"]


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
