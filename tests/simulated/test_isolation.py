"""One broken plugin, one unreadable row, one vendor that is gone: the others go on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from attrs import frozen
from polyreel.errors import LedgerError, UnknownNameError
from polyreel.ledger.sqlite import Ledger
from polyreel.providers.base import registry
from support.cli import KEYS, LEDGER, VENDORS, Command, stranger

CLIP = ("generate", "a cat", "--duration", "3", "--resolution", "720p", "--no-audio")


def raising() -> NoReturn:
    """A plugin with a mistake."""
    raise RuntimeError("sk-secret")


def missing() -> NoReturn:
    """A plugin whose package was removed."""
    raise ModuleNotFoundError("no module named 'gone'")


def leaving() -> NoReturn:
    """A plugin that ends the process, and says that all is well."""
    raise SystemExit(0)


def no_vendor() -> object:
    """A plugin that is something else."""
    return object()


@frozen
class BrokenEntry:
    """An entry point that cannot be loaded."""

    name: str
    load: Callable[[], Any]
    value: str = "broken:PROVIDER"


@pytest.fixture
def cli(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    return stranger(capsys, monkeypatch, tmp_path)


@pytest.fixture(params=[raising, missing, leaving, no_vendor], ids=lambda one: one.__name__)
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One broken plugin among the installed packages."""
    known = registry.entry_points

    def entry_points(*, group: str) -> list[Any]:
        return [BrokenEntry("acme", request.param), *known(group=group)]

    with monkeypatch.context() as patch:
        patch.setattr(registry, "entry_points", entry_points)
        registry.all_providers.cache_clear()
        yield
    registry.all_providers.cache_clear()


@pytest.mark.usefixtures("broken")
def test_a_broken_plugin_stops_nothing(cli: Command) -> None:
    """Commands work without its vendor, and doctor names it; what it says is not shown."""
    assert cli(*CLIP, "--timeout", "0").code == 8
    (entry,) = cli("jobs", "--json").document
    assert entry["state"] == "accepted"
    assert cli("resume").code == 0
    assert cli("reconcile").last_line == "nothing is ambiguous"
    doctor = cli("doctor", "--json")
    assert (doctor.code, [*doctor.document["broken_plugins"]]) == (0, ["acme"])
    assert "acme" in cli("doctor").out
    for name in KEYS:
        cli.monkeypatch.delenv(name)
    live = cli("doctor", "--live")
    assert (live.code, "acme" in live.err) == (0, True)
    assert "sk-secret" not in "".join(cli.seen)


@pytest.mark.usefixtures("broken")
def test_the_vendor_of_a_broken_plugin_is_explained(cli: Command) -> None:
    """It is not unknown: its package does not work."""
    with pytest.raises(UnknownNameError, match=r"acme.*cannot be loaded"):
        registry.get_provider("acme")
    assert list(registry.all_providers()) == VENDORS
    cli.fails(2, (*CLIP, "--vendor", "acme"), "cannot be loaded")


def corrupt(folder: Path, column: str, value: str, **where: str) -> None:
    """Write something unreadable into a row."""
    with sqlite3.connect(folder / LEDGER) as connection:
        ((name, wanted),) = where.items()
        connection.execute(f"UPDATE jobs SET {column} = ? WHERE {name} = ?", (value, wanted))
    connection.close()


@pytest.mark.matrix("column", "value")
@pytest.mark.parametrize("column", ["submission", "job"])
@pytest.mark.parametrize("value", ["", "{", "[]", '{"x": 1}', "null"])
def test_an_unreadable_row_stops_no_other(
    cli: Command, tmp_path: Path, column: str, value: str
) -> None:
    """It is listed as what it is, and nothing is done to it."""
    for _ in range(2):
        assert cli(*CLIP, "--timeout", "0").code == 8
    first, second = (entry["id"] for entry in cli("jobs", "--json").document)
    corrupt(tmp_path, column, value, id=first)
    listed = cli("jobs", "--json").document
    assert [entry["id"] for entry in listed] == [first, second]
    assert "cannot be read" in listed[0]["reason"]
    assert "cannot be read" in cli("jobs").out.replace("\n", " ")
    resumed = cli("resume", "--json")
    assert (resumed.code, len(resumed.document)) == (5, 2)
    assert [entry["state"] for entry in cli("jobs", "--json").document] == ["accepted", "saved"]
    assert cli("reconcile").code == 0
    with Ledger(tmp_path / LEDGER) as ledger, pytest.raises(LedgerError, match="cannot be read"):
        ledger.entry(first).check()


def test_unreadable_rows_do_not_stop_reconciling(cli: Command, tmp_path: Path) -> None:
    """The others are found; the broken one is named."""
    for _ in range(2):
        assert cli(*CLIP, "--vendor", VENDORS[0], "--fault", "lost-reset").code == 6
    first, second = (entry["id"] for entry in cli("jobs", "--json").document)
    corrupt(tmp_path, "submission", "{", id=first)
    found = cli("reconcile", "--json")
    assert found.code == 6
    assert [(one["id"], one["result"]) for one in found.document] == [
        (first, "unsolved"),
        (second, "found"),
    ]
    assert "cannot be read" in found.document[0]["text"]


def test_a_vendor_that_is_gone_stops_no_other(cli: Command, tmp_path: Path) -> None:
    """Its jobs stay as they are until its package is back."""
    for _ in range(2):
        assert cli(*CLIP, "--vendor", VENDORS[0], "--timeout", "0").code == 8
    for _ in range(2):
        assert cli(*CLIP, "--vendor", VENDORS[0], "--fault", "lost-reset").code == 6
    every = [entry["id"] for entry in cli("jobs", "--json").document]
    for name in (every[0], every[2]):
        corrupt(tmp_path, "vendor", "gone", id=name)
        with sqlite3.connect(tmp_path / LEDGER) as connection:
            update = "UPDATE jobs SET job = replace(job, ?, ?) WHERE id = ?"
            connection.execute(update, (f'"{VENDORS[0]}"', '"gone"', name))
        connection.close()
    assert len(cli("jobs", "--json").document) == 4
    assert cli("jobs").code == 0
    found = cli("reconcile", "--json")
    assert [(one["id"], one["result"]) for one in found.document] == [
        (every[2], "unsolved"),
        (every[3], "found"),
    ]
    assert cli("resume").code == 5
    states = [entry["state"] for entry in cli("jobs", "--json").document]
    assert states == ["accepted", "saved", "ambiguous", "saved"]
