"""The house rules: imports point down, a vendor's name lives in one file, the HTTP library in the drivers."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polyreel
import pytest
from polyreel.providers.base.registry import all_providers

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "adapters" / "polyreel"
FLOORS = [
    ["errors", "media", "polling", "prompts"],
    ["codecs", "keys"],
    ["contract", "flows", "mapping"],
    ["answers"],
    ["provider"],
    ["specified"],
    ["providers"],
    ["registry"],
    ["requests", "attachments", "jobs", "prices", "verdicts", "webhooks", "wording"],
    ["planning", "reading"],
    ["translation", "capabilities", "records"],
    ["comparison", "waiting"],
    ["fleet", "lifecycle"],
    ["recovery", "router", "scaffold"],
    ["owners", "schema"],
    ["ledger"],
    ["drivers", "environment", "loopback"],
    ["verification"],
    ["simulator"],
    ["client"],
    ["batch", "receiver", "torture"],
    ["testing"],
    ["cli"],
    ["__main__"],
]
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
HTTP_FILES = {
    *(f"drivers/{name}.py" for name in ("calls", "downloads", "fast", "wire")),
    "simulator/transport.py",
}
CLOCK_FILES_FROM = FLOOR_OF["owners"]


def modules() -> list[Path]:
    """Every hand-written module of the package but its lazy front door."""
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room(path: Path) -> str:
    """The top-level module a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path, *, typing_only: bool = False) -> Iterator[str]:
    """The absolute names of the modules a file imports when it runs."""
    package = ["polyreel", *path.relative_to(PACKAGE).parts[:-1]]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.If)
            and isinstance(node.test, ast.Name)
            and node.test.id == "TYPE_CHECKING"
        ):
            skipped |= {child for part in node.body for child in ast.walk(part)}
    for node in ast.walk(tree):
        if node in skipped and not typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names)


def test_every_module_has_a_floor() -> None:
    """A new file is placed on purpose."""
    assert {room(path) for path in modules()} == set(FLOOR_OF)


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_down(path: Path) -> None:
    """A file imports from lower floors, or from its own room."""
    own = room(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "polyreel" or len(parts) == 1 or parts[1] not in FLOOR_OF or parts[1] == own:
            continue
        assert FLOOR_OF[parts[1]] < FLOOR_OF[own], (
            f"{own} imports {name} from floor {FLOOR_OF[parts[1]]}"
        )


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_only_the_drivers_touch_the_network_and_the_clock(path: Path) -> None:
    """HTTP in the drivers and one transport; time, asyncio and the environment from the drivers' floor up."""
    names = set(imports(path))
    if path.relative_to(PACKAGE).as_posix() not in HTTP_FILES:
        assert not {
            name
            for name in names
            if name.split(".")[0] in {"httpx", "requests", "urllib3", "aiohttp"}
        }
    if FLOOR_OF[room(path)] < CLOCK_FILES_FROM:
        assert not names & {"time", "asyncio", "socket", "threading", "os.environ"}
        assert "environ" not in path.read_text(encoding="utf-8").replace("environment", "")


@pytest.mark.parametrize("vendor", list(all_providers()))
def test_a_vendor_lives_in_one_file(vendor: str) -> None:
    """Adding or removing a vendor touches its spec and its provider file, nothing else in code."""
    provider = all_providers()[vendor]
    names = {vendor, vendor.replace("-", "_"), provider.name}
    pattern = re.compile(
        "|".join(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])" for name in names), re.IGNORECASE
    )
    home = PACKAGE / "providers" / f"{vendor.replace('-', '_')}.py"
    files = [
        *PACKAGE.rglob("*.py"),
        *(ROOT / "scripts").rglob("*"),
        *(ROOT / "tests").rglob("*.py"),
    ]
    found = [
        path
        for path in files
        if path.is_file() and path != home and path.suffix in {".py", ".jinja", ""}
    ]
    assert home.exists()
    assert [str(path) for path in found if pattern.search(_code(path))] == []


def _code(path: Path) -> str:
    """A file without its comments and docstrings, which may give examples."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py" and not text.startswith("#!/usr/bin/env python3"):
        return text
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_generated_client_is_imported_by_its_provider_only(path: Path) -> None:
    """The rest of polyreel sees vendors through the Provider."""
    foreign = {
        name.split(".")[1] for name in imports(path) if name.startswith("polyreel_generated.")
    }
    allowed = {"shared", "contracts"} | ({path.stem} if room(path) == "providers" else set())
    assert foreign <= allowed


def test_public_names_are_exact() -> None:
    """`__all__` is sorted, and every name in it loads."""
    assert polyreel.__all__ == sorted(polyreel.__all__)
    assert all(getattr(polyreel, name) is not None for name in polyreel.__all__)
    with pytest.raises(AttributeError):
        _ = polyreel.nonsense


def test_importing_polyreel_loads_no_http_library() -> None:
    """`import polyreel` is lazy: no third-party module at all. Planning needs no HTTP library either."""
    lazy = "import sys; before = set(sys.modules); import polyreel; new = set(sys.modules) - before"
    check = f"{lazy}; print(sorted({{n.split('.')[0] for n in new}} - sys.stdlib_module_names))"
    assert _python(check) == "['polyreel']"
    planning = "import polyreel, sys; polyreel.plan({'prompt': 'x'}, next(iter(polyreel.all_providers()))).content"
    assert _python(f"{planning}; print('httpx' in sys.modules)") == "False"


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_files_stay_small(path: Path) -> None:
    """A file that outgrows a page or ten wants to be two."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 480
