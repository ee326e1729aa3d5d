"""The documentation is found: every page and command by task, and no link is dead."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from polyreel import AsyncClient, PlanRefusedError, PolyreelError, errors
from polyreel.cli.commands import COMMANDS
from support.paths import ROOT

DOCS: Final = ROOT / "docs"
INDEX: Final = DOCS / "index.md"
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HOME: Final = f"{PROJECT['urls']['Repository']}/"
PAGES: Final = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
MOST_LINES: Final = 160


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> Iterator[str]:
    """The targets of all links and pictures, of references too."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    yield from re.findall(r"\]\(([^)\s]+)\)", text)
    yield from re.findall(r"^\[[^\]]+\]: (\S+)$", text, re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    found = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in found}


def place(page: Path, link: str) -> tuple[Path, str] | None:
    """The file of this checkout that a link leads to, and the heading; None for other places."""
    address, _, anchor = link.partition("#")
    if address.startswith(HOME):
        _, branch, path = address.removeprefix(HOME).split("/", 2)
        assert branch == "main", link
        return ROOT / path, anchor
    if re.match(r"[a-z]+:", address):
        return None
    return (page.parent / address if address else page).resolve(), anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_link_is_dead(page: Path) -> None:
    """Files and headings are there; what a reference names is defined, and used."""
    for link in links(page):
        if (found := place(page, link)) is not None:
            path, anchor = found
            assert path.exists(), link
            assert not anchor or anchor in anchors(path), link
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    defined = set(re.findall(r"^\[([^\]]+)\]: ", text, re.MULTILINE))
    assert set(re.findall(r"\]\[([^\]]+)\]", text)) == defined


def test_every_page_is_in_the_index() -> None:
    """By a task: each page of the documentation, the examples and the contributors' page."""
    linked = {found[0] for link in links(INDEX) if (found := place(INDEX, link))}
    wanted = {page for page in PAGES if DOCS in page.parents or page.parent == ROOT}
    wanted |= {ROOT / "examples" / "README.md"}
    assert sorted(map(str, wanted - linked - {INDEX})) == []


def test_every_command_is_in_the_index() -> None:
    """By a task, beside a page that speaks of it."""
    commands = set(COMMANDS)
    rows = [line for line in INDEX.read_text("utf-8").splitlines() if line.startswith("| ")]
    found: dict[str, str] = {}
    for row in rows:
        for name in re.findall(r"`polyreel ([a-z-]+)`", row.rpartition(" | ")[2]):
            found[name] = found.get(name, "") + row
    assert set(found) == commands
    for name, text in found.items():
        pages = [INDEX.parent / one for one in re.findall(r"\]\(([^)#]+)", text)]
        assert any(re.search(rf"\b{name}\b", page.read_text("utf-8")) for page in pages), name


def test_every_error_has_a_next_step() -> None:
    """In the table of the page about Python."""
    text = prose(DOCS / "python.md").partition("\n## Errors")[2].partition("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    kinds = [one for one in vars(errors).values() if isinstance(one, type)]
    known = [one for one in (PlanRefusedError, *kinds) if issubclass(one, PolyreelError)]
    assert sorted([*named, "PolyreelError"]) == sorted(one.__name__ for one in known)


def test_what_is_not_awaited_is_documented() -> None:
    """Every other method of the client for asyncio is awaited."""
    methods = inspect.getmembers(AsyncClient, inspect.isfunction)
    plain = {
        name
        for name, one in methods
        if not (
            name[0] == "_" or inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one)
        )
    }
    text = prose(DOCS / "python.md").partition("call nobody:")[2].partition(";")[0]
    assert set(re.findall(r"`(\w+)`", text)) == plain


def test_the_readme_is_short_and_can_be_read_anywhere() -> None:
    """It is shown on package indexes, where a relative link leads nowhere."""
    page = ROOT / "README.md"
    assert len(page.read_text("utf-8").splitlines()) <= MOST_LINES
    assert all(link.startswith("https://") for link in links(page))
    assert INDEX in {found[0] for link in links(page) if (found := place(page, link))}


def test_the_metadata_is_complete() -> None:
    """What a package index shows."""
    assert PROJECT["readme"] == "README.md"
    assert {"description", "keywords", "classifiers", "license", "authors"} <= PROJECT.keys()
    assert {"Repository", "Documentation", "Changelog", "Issues"} <= PROJECT["urls"].keys()
    for url in PROJECT["urls"].values():
        assert url.startswith("https://")
        if "/blob/" in url:
            assert (found := place(ROOT / "README.md", url)) is not None
            assert found[0].exists(), url
