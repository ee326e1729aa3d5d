"""One import for a vendor's author: `polyreel.providers` has all that a provider file needs."""

import ast
from pathlib import Path

import pytest
from polyreel import providers
from support.loops import in_one
from support.paths import EXAMPLE_VENDOR

FOLDER = Path(providers.__file__).parent
VENDOR_FILES = [
    *sorted(set(FOLDER.glob("*.py")) - {FOLDER / "__init__.py"}),
    *sorted(set(FOLDER.glob("*/*.py")) - set(FOLDER.glob("base/*"))),
    EXAMPLE_VENDOR / "__init__.py",
]


@in_one
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


@pytest.mark.parametrize(
    "path", VENDOR_FILES, ids=lambda path: "/".join([*path.parts[-2:-1], path.stem])
)
def test_vendor_files_import_from_one_place(path: Path) -> None:
    """All that they need of polyreel comes from `polyreel.providers`.

    The files of a vendor's own folder import each other, too.
    """
    folder = path.parent not in {FOLDER, EXAMPLE_VENDOR}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            level = 2 if folder else 1
            inside = node.level == level and node.module is None
            inside |= folder and node.level == 1 and node.module is not None
            module = node.module or ""
            outside = not node.level and (
                module == "polyreel.providers" or module.split(".")[0] != "polyreel"
            )
            assert inside or outside, f"{path.name} imports from {'.' * node.level}{module}"
