"""The rules of the house: the order of rooms, one file per vendor, HTTP in drivers, small files."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import polyreel
import pytest
from polyreel.providers.base.registry import all_providers
from support.loops import in_one_test
from support.paths import ROOT

PACKAGE = ROOT / "adapters" / "polyreel"
ROOMS = """
    errors depth places keys hosts network flows
    notebook
    mapping
    providers
    money
    plans
    ledger
    jobs
    drivers environment
    serving
    simulator
    verification
    scaffold
    client
    batch
    engines
    testing
    gateway
    asgi
    studio
    agents
    studio
    cli
    __main__
"""
"""The rooms from the ground up. A file imports from its own room and from those above it in this
list.

Files on one line may import those before them on the line.
"""
ORDER = [name for line in ROOMS.split("\n") for name in line.split()]
HTTP_FILES = {
    *(
        f"drivers/{name}.py"
        for name in (
            "calls",
            "certificates",
            "downloads",
            "fast",
            "fresh",
            "links",
            "puts",
            "receiving",
            "sockets",
            "urls",
            "wire",
        )
    ),
    "simulator/transport.py",
}
WITHOUT_CLOCK = ORDER[: ORDER.index("ledger")]
MOST_LINES = 450
MOST_COLUMNS = 100
MOST_FILES = 10
MOST_ANY = 60


def modules() -> list[Path]:
    """Every hand-written module of the package but its lazy front door."""
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def hand_written() -> list[Path]:
    """Every hand-written file of Python, specs, scripts and documentation."""
    folders = [ROOT / name for name in ("adapters", "docs", "scripts", "specs", "tests", ".ci")]
    found = [*ROOT.iterdir(), *(path for folder in folders for path in folder.rglob("*"))]
    return [
        path
        for path in found
        if path.is_file()
        and path.suffix in {".py", ".md", ".yaml", ".toml", ""}
        and path.name not in {"LICENSE", ".coverage"}
        and not {"__pycache__", ".mypy_cache"} & set(path.parts)
    ]


def room(path: Path) -> str:
    """The room of a file: its folder in the package, or its own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.fixture(scope="module", autouse=True)
def trees_are_forgotten() -> Iterator[None]:
    """Those of all files together are large."""
    yield
    nodes.cache_clear()


@cache
def nodes(path: Path) -> list[ast.AST]:
    """All nodes of a file's tree."""
    return [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]


@cache
def imports(path: Path) -> list[str]:
    """What a file imports, by absolute names: also for types only, and within functions."""
    package = ["polyreel", *path.relative_to(PACKAGE).parts[:-1]]
    found: list[str] = []
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            found += [f"{name}.{alias.name}" for alias in node.names]
    return found


def module_name(path: Path) -> str:
    """The dotted name of a file's module."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules() -> dict[str, set[str]]:
    """Which module of the package imports which, without the package's lazy front door."""
    names = {module_name(path) for path in modules()}
    return {
        module_name(path): {
            found
            for name in imports(path)
            for found in [name if name in names else name.rpartition(".")[0]]
            if found in names and found != module_name(path)
        }
        for path in modules()
    }


every_module = in_one_test(
    lambda: ((path.relative_to(PACKAGE).as_posix(), (path,)) for path in modules())
)


def test_every_file_has_a_room() -> None:
    """A new file or folder of the package is placed on purpose."""
    assert {room(path) for path in modules()} == set(ORDER)
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_FILES


@every_module
def test_rooms_import_in_one_direction(path: Path) -> None:
    """A file imports from its own room or from rooms before it, also for types only."""
    own = room(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "polyreel" and len(parts) > 1 and parts[1] in ORDER and parts[1] != own:
            assert ORDER.index(parts[1]) < ORDER.index(own), f"{own} imports {name}"


def test_there_are_no_import_circles() -> None:
    """No module imports itself by way of others: not for types only, and not within functions."""
    graph = imported_modules()
    waiting = dict(graph)
    while ready := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in ready:
            del waiting[name]
    assert {name: sorted(needs & waiting.keys()) for name, needs in waiting.items()} == {}


@every_module
def test_only_the_drivers_touch_the_network_and_the_clock(path: Path) -> None:
    """HTTP in the drivers and one transport; clocks and the environment from the ledger on."""
    names = runtime_imports(path)
    if path.relative_to(PACKAGE).as_posix() not in HTTP_FILES:
        assert not names & {"httpx", "httpcore", "requests", "urllib3", "aiohttp"}
    if room(path) in WITHOUT_CLOCK:
        assert not names & {"time", "asyncio", "socket", "threading"}
        assert "environ" not in path.read_text(encoding="utf-8").replace("environment", "")


def runtime_imports(path: Path) -> set[str]:
    """The top-level packages that a file imports when it runs."""
    tree = nodes(path)
    typing_only: set[ast.AST] = set()
    for node in tree:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            typing_only |= {child for part in node.body for child in ast.walk(part)}
    found: set[str] = set()
    for node in tree:
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@in_one_test(lambda: ((vendor, (vendor,)) for vendor in all_providers()))
def test_a_vendor_lives_in_one_file(vendor: str) -> None:
    """Adding or removing a vendor touches its spec and its provider file, nothing else in code.

    A vendor of many families is a folder, with a file for each maker's.
    """
    provider = all_providers()[vendor]
    names = {vendor, vendor.replace("-", "_"), provider.name}
    # An id can be the first word of a model family, and of a brand that others sell.
    pattern = re.compile(
        rf"(?<![A-Za-z_.-])(?:{'|'.join(map(re.escape, sorted(names)))})(?![A-Za-z0-9_-])"
    )
    file = PACKAGE / "providers" / f"{vendor.replace('-', '_')}.py"
    home = {file} if file.exists() else {*file.with_suffix("").glob("*.py")}
    assert home
    # Without the names themselves, a file need not be searched for where they begin and end; and
    # without any such place, its comments need not be taken away.
    found = [
        path
        for path, text in _texts()
        if path not in home
        and any(name in text for name in names)
        and pattern.search(text)
        and pattern.search(_code(path))
    ]
    assert [*map(str, found)] == []


@cache
def _texts() -> list[tuple[Path, str]]:
    """All that may name no vendor but in comments and docstrings."""
    folders = (PACKAGE.rglob("*.py"), (ROOT / "scripts").rglob("*"), (ROOT / "tests").rglob("*.py"))
    return [
        (path, path.read_text(encoding="utf-8"))
        for files in folders
        for path in files
        if path.is_file()
        and path.suffix in {".py", ".jinja", ""}
        and path.parent.name != "peers"  # other libraries, which have names of vendors
    ]


@cache
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


@every_module
def test_a_generated_client_is_imported_by_its_provider_only(path: Path) -> None:
    """The rest of polyreel sees vendors through the Provider."""
    foreign = {
        name.split(".")[1] for name in imports(path) if name.startswith("polyreel_generated.")
    }
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    allowed = {"shared", "contracts", *(parts[1:2] if room(path) == "providers" else ())}
    assert foreign <= allowed


def test_public_names_are_exact() -> None:
    """`__all__` is sorted, and every name in it loads."""
    assert polyreel.__all__ == sorted(polyreel.__all__)
    assert all(getattr(polyreel, name) is not None for name in polyreel.__all__)
    with pytest.raises(AttributeError):
        _ = polyreel.nonsense


def test_files_stay_small() -> None:
    """Python files have at most 450 lines."""
    long = {
        str(path.relative_to(ROOT)): count
        for path in hand_written()
        if path.suffix in {".py", ""}
        for count in [len(path.read_text(encoding="utf-8").splitlines())]
        if count > MOST_LINES
    }
    assert long == {}


def test_lines_have_at_most_100_columns() -> None:
    """Code, specs and prose; not the rows of tables, and not what programs have printed."""
    wide = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in hand_written()
        for number, line in enumerate(prose_and_code(path), 1)
        if len(line) > MOST_COLUMNS
    ]
    assert wide == []


def prose_and_code(path: Path) -> Iterator[str]:
    """The lines of a file; of Markdown, without table rows and blocks of output."""
    is_output = False
    for line in path.read_text(encoding="utf-8").splitlines():
        if path.suffix == ".md" and line.strip().startswith("```"):
            is_output = line.strip() == "```text"
        is_row = path.suffix == ".md" and line.strip().startswith("|")
        yield "" if is_output or is_row else line


def test_no_two_classes_share_a_name() -> None:
    """One word for one thing, in the whole package."""
    homes: dict[str, list[str]] = {}
    for path in modules():
        for node in nodes(path):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(module_name(path))
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def test_parameters_have_types() -> None:
    """At most 60 parameters are a bare `Any`."""
    found = [
        f"{module_name(path)}.{node.name}({argument.arg})"
        for path in modules()
        for node in nodes(path)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for argument in ast.walk(node.args)
        if isinstance(argument, ast.arg)
        and isinstance(argument.annotation, ast.Name)
        and argument.annotation.id == "Any"
    ]
    assert len(found) <= MOST_ANY, found
