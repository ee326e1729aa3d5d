"""A ledger on a disk where nothing can be written can still be read, and says what is wrong."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from polyreel.client import Client
from polyreel.errors import LedgerError
from polyreel.ledger.sqlite import Ledger
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import RunningClock, Simulator, server
from support.cli import process
from support.ledgers import database

resource = pytest.importorskip("resource")
CLIP = ("generate", "a cat", "--duration", "3", "--resolution", "720p", "--no-audio")
MOVABLE = next(vendor for vendor, one in all_providers().items() if one.base_url_variable)
PROMISE = "nothing is lost"


def nothing_can_be_written() -> None:
    """No file of this process can grow: to SQLite, that is a disk without room."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))


def test_jobs_and_resume_read_on_a_full_disk(tmp_path: Path) -> None:
    """What is in the ledger is listed and asked about; a new job is not sent."""
    with server.running(Simulator(clock=RunningClock(0.001))) as url:
        env = {all_providers()[MOVABLE].base_url_variable or "": url + server.mounts()[MOVABLE]}
        live = (*CLIP, "--live", "--yes", "--vendor", MOVABLE, "--timeout", "0", "--json")
        waiting = process(*live, cwd=tmp_path, env=env)
        assert waiting.code == 8
        name = waiting.document["error"]["ledger_id"]
        full: dict[str, Any] = {"cwd": tmp_path, "env": env}
        full["preexec_fn"] = nothing_can_be_written
        listed = process("jobs", "--json", **full)
        assert listed.code == 0, listed.err
        assert [entry["id"] for entry in listed.document] == [name]
        resumed = process("resume", name, "--live", "--timeout", "0", **full)
        assert resumed.code == 8, resumed.err  # the vendor was asked, and has not finished
        assert "ledger" in resumed.err
        refused = process(*live, **full)
        assert (refused.code, PROMISE in refused.err) == (2, False)
        assert len(process("jobs", "--json", cwd=tmp_path, env=env).document) == 1
        resumed = process("resume", name, "--live", "--timeout", "0", cwd=tmp_path, env=env)
        assert resumed.code == 8


def test_files_are_saved_without_the_ledger(tmp_path: Path) -> None:
    """The clip is fetched before its link dies; the ledger hears of it at the next resume."""
    with Client(ledger=tmp_path / "ledger.sqlite3") as client:
        assert client.ledger
        job = client.submit(client.plan({"prompt": "a cat", "duration": 3}))
        assert job.ledger_id
        database(client.ledger).execute("PRAGMA query_only = 1")
        done = client.resume(job.ledger_id, output=tmp_path / "clips")
        (output,) = done.outputs or []
        assert Path(output.path or "").exists()
        assert client.ledger.entry(job.ledger_id).state == "accepted"
        database(client.ledger).execute("PRAGMA query_only = 0")
        again = client.resume(job.ledger_id, output=tmp_path / "clips")
        assert [one.path for one in again.outputs or ()] == [output.path]
        assert client.ledger.entry(job.ledger_id).state == "saved"
    assert len([*(tmp_path / "clips").glob("*.mp4")]) == 1


def damaged(path: Path) -> None:
    """Overwrite all tables, but not the header."""
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))


def use(path: Path, *, full: bool) -> None:
    """Submit some jobs by a ledger, on a disk without room for them."""
    with Ledger(path) as ledger, Client(ledger=ledger) as client:
        if full:
            pages = database(ledger).execute("PRAGMA page_count").fetchone()[0]
            database(ledger).execute(f"PRAGMA max_page_count = {pages}")
        for number in range(50):
            client.submit(client.plan({"prompt": f"a cat {number}" + "x" * 2000}))


@pytest.mark.parametrize("how", ["damaged", "no-database", "locked", "full"])
def test_each_trouble_has_its_own_advice(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a locked file is told to be tried again; nothing is promised that may not be true."""
    path = tmp_path / "ledger.sqlite3"
    monkeypatch.setattr("polyreel.ledger.connections.BUSY_SECONDS", 0.0)
    with Client(ledger=path) as client:
        job = client.submit(client.plan({"prompt": "a cat", "duration": 3}))
    other = sqlite3.connect(path, isolation_level=None)
    words = {"damaged": "backup", "no-database": "backup", "locked": "another", "full": "room"}
    if how == "damaged":
        damaged(path)
    elif how == "no-database":
        path.write_bytes(b"not a database, whatever it was before" * 99)
    elif how == "locked":
        other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match=words[how]) as caught:
        use(path, full=how == "full")
    other.close()
    text = str(caught.value)
    assert PROMISE not in text
    assert [word for word in set(words.values()) if word in text] == [words[how]]
    assert job.ledger_id
