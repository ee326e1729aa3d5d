"""What can be checked is checked before anything is written down or paid."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Final

import pytest
from polyreel import AsyncClient, Client
from polyreel.errors import KeyMissingError, RequestError
from polyreel.providers.base.registry import get_provider
from polyreel.simulator import Simulator
from support.faults import VENDORS, Clients, every_kind

REQUEST: Final = {"prompt": "a cat", "duration": 3}
SURROGATE: Final = os.fsdecode(b"caf\xe9")
"""A file name that is not UTF-8, as Python shows it."""


def a_file(folder: Path) -> Path:
    path = folder / "file"
    path.write_bytes(b"precious")
    return path


def a_lost_link(folder: Path) -> Path:
    path = folder / "link"
    path.symlink_to(folder / "nowhere" / "at all")
    return path


def closed(folder: Path) -> Path:
    path = folder / "closed"
    path.mkdir(mode=0o500)
    return path / "clips"


WRONG: Final[dict[str, Any]] = {
    "a file": lambda folder: {"output": a_file(folder)},
    "in a file": lambda folder: {"output": a_file(folder) / "clips" / "more"},
    "a link to nothing": lambda folder: {"output": a_lost_link(folder)},
    "a closed folder": lambda folder: {"output": closed(folder)},
    "a long name": lambda folder: {"output": folder / ("x" * 300)},
    "a NUL": lambda folder: {"output": f"{folder}/a\x00b"},
    "not UTF-8": lambda folder: {"output": folder / SURROGATE},
    "bytes": lambda folder: {"output": os.fsencode(folder)},
    "no folder": lambda _: {"output": 5},
    "an empty folder": lambda _: {"output": ""},
    "a timeout in quotes": lambda _: {"timeout": "5"},
    "a timeout that is no number": lambda _: {"timeout": math.nan},
    "a timeout before now": lambda _: {"timeout": -1},
    "a timeout of None": lambda _: {"timeout": None},
    "a timeout that is true": lambda _: {"timeout": True},
    "an empty reference": lambda _: {"reference": ""},
    "a blank reference": lambda _: {"reference": " \n"},
    "a reference that is not UTF-8": lambda _: {"reference": SURROGATE},
    "a reference that is a number": lambda _: {"reference": 17},
}


@pytest.mark.matrix("name", "kind")
@every_kind
@pytest.mark.parametrize("name", WRONG)
def test_nothing_is_paid_for_what_is_wrong(name: str, kind: Any, tmp_path: Path) -> None:
    """It is one RequestError, the ledger stays empty, and nothing is made on the disk."""
    if name == "a closed folder" and os.access("/root", os.W_OK):
        pytest.skip("nothing is closed for this user")
    options = WRONG[name](tmp_path)
    before = sorted(tmp_path.rglob("*"))
    simulator = Simulator(seed=1)
    ledger = tmp_path / "ledger" / "jobs.sqlite3"
    with Clients(simulator=simulator, ledger=ledger) as pair:
        with pytest.raises(RequestError, match=next(iter(options))):
            pair.do(kind, "generate", REQUEST, VENDORS[0], **options)
        assert simulator.bill.count() == 0
        assert pair.by_kind["blocking"].jobs() == []
    after = [path for path in tmp_path.rglob("*") if "ledger" not in str(path)]
    assert sorted(after) == before


SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "no keys": {"keys": {}},
    "retries below none": {"retries": -1},
    "retries in quotes": {"retries": "2"},
    "half a retry": {"retries": 0.5},
    "retries that are true": {"retries": True},
    "a call without end": {"call_timeout": math.inf},
    "a call without time": {"call_timeout": 0},
    "a call for no number": {"call_timeout": math.nan},
    "a call in quotes": {"call_timeout": "60"},
}


@pytest.mark.parametrize("make", [Client, AsyncClient])
@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_checked_when_they_are_made(make: Any, name: str) -> None:
    """A service that was deployed without its keys must not deliver made-up clips."""
    with pytest.raises(RequestError, match=next(iter(SETTINGS[name]))):
        make(**SETTINGS[name])


@pytest.mark.parametrize("key", [None, "", " "])
def test_a_key_that_is_missing_makes_no_simulated_client(key: Any) -> None:
    with pytest.raises(KeyMissingError):
        Client(keys={VENDORS[0]: key})


def test_a_current_folder_that_is_gone_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative folder would be nowhere."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    simulator = Simulator(seed=1)
    with Client(simulator=simulator) as client:
        with pytest.raises(RequestError, match="output: the current folder"):
            client.generate(REQUEST, get_provider(VENDORS[0]))
        assert simulator.bill.count() == 0
    monkeypatch.chdir(tmp_path)
