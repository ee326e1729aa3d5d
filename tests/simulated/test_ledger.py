"""The ledger file: one writer per entry, one reducer, nothing lost, whoever dies when."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path
from typing import Any, get_args

import pytest
from polyreel.errors import ClaimedError, LedgerError, PolyreelError, UnknownNameError
from polyreel.ledger import schema
from polyreel.ledger.events import Claim, Find, Intend, Keep, Known, Settle
from polyreel.ledger.records import LedgerEntry, State
from polyreel.ledger.sqlite import Ledger
from polyreel.ledger.store import DIED
from support.ledgers import NOW, VENDOR, database, job, submission


def outputs(*paths: str | None) -> list[dict[str, str]]:
    """Outputs, saved where they have a path."""
    return [
        {"url": f"https://x.example/{n}"} | ({"path": path} if path else {})
        for n, path in enumerate(paths)
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as opened:
        yield opened


def accepted(ledger: Ledger, task: str = "task-1", **changes: Any) -> str:
    """An entry with a job, owned by nobody."""
    owner = ledger.new_owner()
    entry: str = ledger.write(Intend(submission(**changes)), owner, NOW)
    ledger.write(Settle(entry, "accepted", job=job(task)), owner, NOW + 1)
    ledger.release(owner, sent=False)
    return entry


def ambiguous(ledger: Ledger, **changes: Any) -> str:
    """An entry whose outcome nobody knows."""
    owner = ledger.new_owner()
    entry: str = ledger.write(Intend(submission(**changes)), owner, NOW)
    ledger.write(Settle(entry, "ambiguous", reason="lost"), owner, NOW)
    ledger.release(owner, sent=True)
    return entry


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
            entry = accepted(old)
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


# -- entries ---------------------------------------------------------------------------------------


def test_entries_are_found_by_the_start_of_their_id(ledger: Ledger) -> None:
    """An id is typed by people."""
    entry = accepted(ledger)
    assert ledger.entry(entry[:5]).id == entry
    for name in ("", "0", "*", "????????", "nothing!", "x" * 500, "'; DROP TABLE jobs"):
        with pytest.raises(UnknownNameError):
            ledger.entry(name)


def test_entries_are_listed_by_state(ledger: Ledger) -> None:
    """Oldest first."""
    ids = [accepted(ledger, f"t{number}") for number in range(3)]
    lost = ambiguous(ledger)
    assert [entry.id for entry in ledger.entries()] == [*ids, lost]
    assert [entry.id for entry in ledger.entries(["ambiguous"])] == [lost]
    assert ledger.entries([], simulated=True) == []
    assert ledger.entries(simulated=False) == []


def test_known_tasks_are_distinguished_from_unknown_ones(ledger: Ledger) -> None:
    """So that no task is given to two entries."""
    accepted(ledger, "mine")
    owner = ledger.new_owner()
    assert ledger.write(Known(VENDOR, ("mine", "other"), simulated=True), owner, NOW) == {"mine"}
    assert ledger.write(Known(VENDOR, ("mine",), simulated=False), owner, NOW) == set()


def test_one_task_is_one_entry(ledger: Ledger) -> None:
    """Two entries with one task would be one bill counted twice."""
    accepted(ledger, "same")
    owner = ledger.new_owner()
    second = ledger.write(Intend(submission()), owner, NOW)
    with pytest.raises(LedgerError, match="already") as caught:
        ledger.write(Settle(second, "accepted", job=job("same")), owner, NOW)
    assert caught.value.ledger_id == second
    ledger.release(owner, sent=True)
    assert ledger.entry(second).state == "ambiguous"


def test_a_reference_is_used_once(ledger: Ledger) -> None:
    """Unless nothing was paid, or the user gave it up."""
    owner = ledger.new_owner()
    for state in ("unsent", "rejected"):
        entry = ledger.write(Intend(submission(reference="r")), owner, NOW)
        assert ledger.write(Find("r", simulated=True), owner, NOW).id == entry
        ledger.write(Settle(entry, state), owner, NOW)
        assert ledger.write(Find("r", simulated=True), owner, NOW) is None
    entry = ledger.write(Intend(submission(reference="r")), owner, NOW)
    with pytest.raises(ClaimedError, match="has a job already") as caught:
        ledger.write(Intend(submission(reference="r")), owner, NOW)
    assert caught.value.ledger_id == entry
    ledger.write(Settle(entry, "ambiguous"), owner, NOW)
    ledger.release(owner, sent=True)
    ledger.abandon(entry)
    assert ledger.write(Find("r", simulated=True), owner, NOW) is None
    assert ledger.write(Intend(submission(reference="r")), owner, NOW)


def test_what_is_abandoned_stays_so(ledger: Ledger) -> None:
    """A late report about a job that its user has given up changes the job, not the user's word.

    Otherwise the entry would have its reference again, which another job may have by then.
    """
    entry = accepted(ledger, reference="order 17")
    ledger.abandon(entry)
    other = accepted(ledger, "task-2", reference="order 17")
    known = ledger.write(Keep(job(status="succeeded", outputs=outputs(None))), "", NOW + 2)
    assert known.status == "succeeded"
    found = ledger.entry(entry)
    assert (found.state, found.job and found.job.status) == ("abandoned", "succeeded")
    held = ledger.write(Find("order 17", simulated=True), "", NOW)
    assert held.id == other


def test_a_submit_whose_process_dies_just_before_it_is_claimed_is_ambiguous(path: Path) -> None:
    """It was alive when somebody looked, and is dead when that one takes the entry over."""
    with Ledger(path) as ledger:
        dying = Ledger(path)
        entry = dying.write(Intend(submission(reference="order 17")), dying.new_owner(), NOW)
        assert ledger.entry(entry).state == "sending"
        dying.close()
        owner = ledger.new_owner()
        claimed = ledger.write(Claim(entry), owner, NOW)
        assert (claimed.state, claimed.reason) == ("ambiguous", DIED)
        ledger.release(owner, sent=False)
        assert ledger.entry(entry).state == "ambiguous"


def test_only_what_is_open_can_be_abandoned(ledger: Ledger) -> None:
    """And not under somebody's hands."""
    entry = accepted(ledger)
    owner = ledger.new_owner()
    ledger.write(Claim(entry), owner, NOW)
    with pytest.raises(ClaimedError, match="looks after it"):
        ledger.abandon(entry)
    ledger.release(owner, sent=False)
    assert ledger.abandon(entry).state == "abandoned"
    with pytest.raises(ClaimedError, match="nothing left"):
        ledger.abandon(entry)


# -- states ----------------------------------------------------------------------------------------


def test_an_outcome_is_settled_once(ledger: Ledger) -> None:
    """What is known is not overwritten by what comes late."""
    entry = accepted(ledger)
    owner = ledger.new_owner()
    for state in get_args(State):
        with pytest.raises(ClaimedError):
            ledger.write(Settle(entry, state), owner, NOW)
    assert ledger.entry(entry).state == "accepted"


STATES = [
    {"status": "queued"},
    {"status": "running"},
    {"status": "unknown"},
    {"status": "succeeded", "outputs": outputs(None)},
    {"status": "failed", "error": {"message": "x"}},
    {"status": "canceled"},
]


@pytest.mark.matrix("first+second", "second+third")
@pytest.mark.parametrize(("first", "second", "third"), list(permutations(STATES, 3)))
def test_final_states_absorb(
    ledger: Ledger, first: dict[str, Any], second: dict[str, Any], third: dict[str, Any]
) -> None:
    """Whatever comes in whatever order, the first final state stays, and its time with it."""
    states = (first, second, third)
    entry = accepted(ledger)
    finals = [
        state["status"]
        for state in states
        if state["status"] in {"succeeded", "failed", "canceled"}
    ]
    for seconds, state in enumerate(states):
        kept = ledger.write(Keep(job(**state)), "nobody", NOW + seconds)
    assert kept.ledger_id == entry
    found = ledger.entry(entry)
    assert found.state == (finals[0] if finals else "accepted")
    assert (found.finished_at is not None) == bool(finals)


def test_saved_files_are_not_forgotten(ledger: Ledger) -> None:
    """A poll after the download gives other links, not other files."""
    entry = accepted(ledger)
    for seconds, state in enumerate(
        (outputs(None, None), outputs("/a", None), outputs("/a", "/b"), outputs(None, None)), 60
    ):
        ledger.write(Keep(job(status="succeeded", outputs=state)), "nobody", NOW + seconds)
    found = ledger.entry(entry)
    assert found.finished_at == NOW + 60  # when it ended, not when its files were saved
    assert found.state == "saved"
    assert (
        [output.path for output in found.job.outputs or ()] == ["/a", "/b"] if found.job else False
    )


def test_a_resubmitted_entry_comes_back_where_its_successor_was_not_paid(ledger: Ledger) -> None:
    """The doubt about the first stays until the second is in its place."""
    first = ambiguous(ledger, reference="r")
    owner = ledger.new_owner()
    second = ledger.write(Intend(submission(reference="r"), follows=first), owner, NOW)
    assert ledger.entry(first).state == "resubmitted"
    ledger.write(Settle(second, "unsent"), owner, NOW)
    assert ledger.entry(first).state == "ambiguous"
    ledger.write(Intend(submission(reference="r"), entry=second), owner, NOW)
    assert ledger.entry(first).state == "resubmitted"
    ledger.release(owner, sent=False)
    assert (ledger.entry(first).state, ledger.entry(second).state) == ("ambiguous", "unsent")
    with pytest.raises(ClaimedError):
        ledger.write(Intend(submission(), follows=second), owner, NOW)


# -- ownership -------------------------------------------------------------------------------------


def test_a_cut_submit_is_ambiguous_only_where_something_was_sent(ledger: Ledger) -> None:
    """The flow that ends in between knows; a process that dies does not."""
    for sent, state in ((True, "ambiguous"), (False, "unsent")):
        owner = ledger.new_owner()
        entry = ledger.write(Intend(submission()), owner, NOW)
        assert (ledger.entry(entry).state, ledger.entry(entry).owned) == ("sending", True)
        ledger.release(owner, sent=sent)
        assert (ledger.entry(entry).state, ledger.entry(entry).owned) == (state, False)


def test_one_owner_at_a_time(ledger: Ledger, path: Path) -> None:
    """Also for two objects on one file, as two processes have them."""
    entry = accepted(ledger)
    with Ledger(path) as other:
        mine, theirs = ledger.new_owner(), other.new_owner()
        assert isinstance(ledger.write(Claim(entry), mine, NOW), LedgerEntry)
        assert isinstance(ledger.write(Claim(entry), mine, NOW), LedgerEntry)
        for owner, where in ((theirs, other), (ledger.new_owner(), ledger)):
            with pytest.raises(ClaimedError, match="looks after"):
                where.write(Claim(entry), owner, NOW)
        assert other.entry(entry).owned
        ledger.release(mine, sent=False)
        other.write(Claim(entry), theirs, NOW)
    ledger.write(Claim(entry), ledger.new_owner(), NOW)  # closing lets go
    with pytest.raises(UnknownNameError):
        ledger.write(Claim("zzzzzzzz"), mine, NOW)


def test_one_reference_is_won_by_one_thread(ledger: Ledger) -> None:
    """Of many that submit it at once."""

    def race(_: int) -> str | None:
        try:
            return str(ledger.write(Intend(submission(reference="r")), ledger.new_owner(), NOW))
        except PolyreelError:
            return None

    with ThreadPoolExecutor(16) as pool:
        assert sum(won is not None for won in pool.map(race, range(64))) == 1
