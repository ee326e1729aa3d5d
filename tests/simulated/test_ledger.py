"""The ledger file: one writer per entry, one reducer, nothing lost, whoever dies when."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from polyreel import AsyncClient
from polyreel.errors import LedgerError
from polyreel.ledger import schema
from polyreel.ledger.database import DeadlockError
from polyreel.ledger.events import Intend, Released, Settle
from polyreel.ledger.sqlite import Ledger
from polyreel.ledger.store import Write
from support import ledger_cases
from support.ledger_cases import accepted
from support.ledgers import NOW, database, job, submission


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as opened:
        yield opened


# -- the file --------------------------------------------------------------------------------------


def test_the_file_is_private_and_durable(ledger: Ledger, path: Path) -> None:
    """Only its user reads it, and a commit survives a power cut."""
    accepted(ledger)
    files = [file for file in path.parent.iterdir() if file.is_file()]
    assert {file.suffix for file in files} >= {".sqlite3", ".sqlite3-wal"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    pragmas = [
        database(ledger).execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous")
    ]
    assert pragmas == ["wal", 2]


def test_what_is_written_is_read(ledger: Ledger, path: Path) -> None:
    """A submission comes back from the file as it went in, key-less and complete."""
    sent = submission(folder="/tmp/x", reference="row 1")
    owner = ledger.new_owner()
    entry = ledger.write(Intend(sent), owner, NOW)
    ledger.write(
        Settle(
            entry,
            "accepted",
            job=job(usage={"credits": 2**70, "text": "\ud800".encode("utf-8", "replace").decode()}),
        ),
        owner,
        NOW + 1,
    )
    with Ledger(path) as other:
        found = other.entry(entry)
    assert found.submission == sent
    assert found.submission.body == sent.body
    assert (found.state, found.created_at, found.updated_at, found.attempts) == (
        "accepted",
        NOW,
        NOW + 1,
        1,
    )
    assert found.job is not None
    assert (found.job.ledger_id, found.job.usage) == (entry, {"credits": 2**70, "text": "?"})


def test_an_older_file_is_brought_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every version of the file so far is upgraded in place, with its rows."""
    for version in range(1, len(schema.MIGRATIONS)):
        file = path.with_name(f"version-{version}")
        monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:version])
        with Ledger(file) as old:
            entry = old.write(Intend(submission()), owner := old.new_owner(), NOW)
            old.write(Settle(entry, "accepted", job=job()), owner, NOW)
        monkeypatch.undo()
        with Ledger(file) as new:
            assert new.entry(entry).state == "accepted"
            assert database(new).execute("PRAGMA user_version").fetchone()[0] == len(
                schema.MIGRATIONS
            )
            assert database(new).execute("SELECT count(*) FROM deliveries").fetchone()[0] == 0


def test_a_newer_file_is_left_alone(path: Path) -> None:
    """Nothing is written to what is not understood."""
    Ledger(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="newer polyreel"):
        Ledger(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [b"not a database, whatever it was before" * 99, b"SQLite format 3\x00" + bytes(4080)],
)
def test_a_broken_file_is_an_error_with_advice(path: Path, content: bytes) -> None:
    """It is kept as it is, for whoever can still read it."""
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"ledger\.sqlite3"):
        Ledger(path)
    assert path.read_bytes() == content


def test_a_torn_tail_is_ignored(path: Path) -> None:
    """Half a transaction at the end of the log is no transaction."""
    with Ledger(path) as ledger:
        first = accepted(ledger)
        copy = path.with_name("copy.sqlite3")
        wal = path.with_name(path.name + "-wal").read_bytes()
        copy.write_bytes(path.read_bytes())
        copy.with_name(copy.name + "-wal").write_bytes(wal + os.urandom(3000))
    with Ledger(copy) as again:
        assert again.entry(first).state == "accepted"


def test_a_place_without_room_or_leave_is_an_error(tmp_path: Path) -> None:
    """Before anything is sent."""
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "ledger.sqlite3", tmp_path):
        with pytest.raises(LedgerError):
            Ledger(path)


def test_a_full_disk_is_an_error(ledger: Ledger) -> None:
    """The entry is not half there, and the ledger goes on when there is room."""
    pages = database(ledger).execute("PRAGMA page_count").fetchone()[0]
    database(ledger).execute(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        for number in range(100):
            accepted(ledger, task=f"t{number}")

    with pytest.raises(LedgerError, match="full"):
        fill()
    database(ledger).execute("PRAGMA max_page_count = 1000000")
    before = len(ledger.entries())
    accepted(ledger, task="after")
    assert len(ledger.entries()) == before + 1


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_a_ledger_is_the_same_through_a_link(ledger: Ledger, path: Path, linked: str) -> None:
    """A submit on its way is not taken for dead because somebody typed another path."""
    entry = ledger.write(Intend(submission(reference="r")), ledger.new_owner(), NOW)
    link = path.parent.with_name("link")
    link.symlink_to(path if linked == "file" else path.parent)
    with Ledger(link if linked == "file" else link / path.name) as other:
        found = other.entry(entry)
        assert (found.state, found.owned) == ("sending", True)
        assert other.companion_file("owners") == ledger.companion_file("owners")


def test_a_link_to_a_file_that_is_missing_is_filled(path: Path, tmp_path: Path) -> None:
    """Not replaced."""
    link = tmp_path / "link"
    link.symlink_to(path)
    Ledger(link).close()
    assert link.is_symlink()
    assert path.exists()


def test_a_file_with_two_names_is_refused(path: Path, tmp_path: Path) -> None:
    """SQLite has a log for each name; what a killed process has left of making it is removed."""
    Ledger(path).close()
    leftover = path.with_name(f"{path.name}.new-x")
    os.link(path, leftover)
    Ledger(path).close()
    assert not leftover.exists()
    os.link(path, tmp_path / "second")
    for name in (path, tmp_path / "second"):
        with pytest.raises(LedgerError, match="hard link"):
            Ledger(name)


# -- what every ledger does ------------------------------------------------------------------------

globals().update(ledger_cases.CASES)


# -- awaited flows ---------------------------------------------------------------------------------


def test_flows_that_share_commits_keep_no_loop_waiting(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that they write is written in threads, and once they have come through, others may."""
    threads = set[threading.Thread]()

    async def submit_all(ledger: Ledger) -> None:
        async with AsyncClient(ledger=ledger) as client:
            client.wire.shares_commits = True  # as a gateway's
            plan = client.plan({"model": "kling-v3", "prompt": "a cat"})
            await asyncio.gather(*(client.submit(plan) for _ in range(5)))
            with Ledger(path) as other:
                assert [entry.owned for entry in other.entries()] == [False] * 5

    with Ledger(path) as ledger:
        begin = ledger._database.writing

        def writing() -> Any:
            threads.add(threading.current_thread())
            return begin()

        monkeypatch.setattr(ledger._database, "writing", writing)
        asyncio.run(submit_all(ledger))
    assert threads
    assert threading.main_thread() not in threads


def test_a_flow_whose_loop_is_closed_owns_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its last write was not waited for."""

    async def submit(client: AsyncClient) -> None:
        client.wire.shares_commits = True
        grouped = client.wire.grouped
        assert grouped is not None
        write = grouped.write

        async def stopped(given: Write) -> Any:
            if isinstance(given[0], Released):
                asyncio.get_running_loop().stop()
                await asyncio.Event().wait()
            return await write(given)

        monkeypatch.setattr(grouped, "write", stopped)
        await client.submit(client.plan({"model": "kling-v3", "prompt": "a cat"}))

    with Ledger(path) as ledger, Ledger(path) as other:
        loop = asyncio.new_event_loop()
        flow = submit(AsyncClient(ledger=ledger))
        task = loop.create_task(flow)
        loop.run_forever()
        task.cancel()
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        assert [(entry.state, entry.owned) for entry in other.entries()] == [("accepted", False)]


def test_what_is_kept_beside_the_file_is_written_again_after_a_deadlock(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes something else is not told of it."""
    owner, writing = ledger.new_owner(), ledger._database.writing
    entry = ledger.write(Intend(submission(reference="first")), owner, NOW)
    ledger._unwritten.keep(Released(owner, sent=True), NOW)
    left = iter([DeadlockError("taken back")])

    def deadlocked() -> Any:
        for error in left:
            raise error
        return writing()

    monkeypatch.setattr(ledger._database, "writing", deadlocked)
    ledger.write(Intend(submission(reference="second")), ledger.new_owner(), NOW)
    assert ledger.entry(entry).state == "ambiguous"
