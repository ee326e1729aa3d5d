"""What a command says to type next can be copied: it is about the same job, in the same ledger."""

from __future__ import annotations

import os
import shlex
import socket
from inspect import signature
from pathlib import Path

import pytest
from polyreel import AsyncClient, Client, Ledger, batch
from polyreel.cli.batch import left_behind
from polyreel.cli.network import repeated, with_network_options
from polyreel.cli.worker import of_others
from polyreel.engines import InlineEngine
from polyreel.ledger.outstanding import OutstandingWork, ProcessAtWork
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from support.cli import FIRST, LEDGER, Command, Outcome, stranger

OWN = ("--ledger", "my jobs/it's.sqlite3")
CLIP = ("generate", "a cat", "--duration", "3", "--resolution", "720p", "--no-audio", *OWN)
UNFINDABLE = next(
    vendor for vendor, one in all_providers().items() if type(one).recent is Provider.recent
)
READING = (
    ("jobs",),
    ("jobs", "--owners"),
    ("resume",),
    ("reconcile",),
    ("adopt", "4f0c", "task"),
    ("resubmit", "4f0c"),
    ("abandon", "4f0c"),
    ("get", "4f0c"),
    ("download", "4f0c"),
    ("cancel", "4f0c"),
    ("limits",),
    ("worker", "--check"),
    ("gateway", "tokens", "list"),
    ("gateway", "tokens", "revoke", "web"),
)


@pytest.fixture
def cli(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    return stranger(capsys, monkeypatch, tmp_path)


def copied(found: Outcome) -> list[list[str]]:
    """The commands in the messages, as a shell reads them, without what is said behind them."""
    lines = [line.partition("  (")[0] for line in found.err.replace("next: ", "  ").splitlines()]
    return [shlex.split(line.strip())[1:] for line in lines if line.strip().startswith("polyreel ")]


def test_a_step_is_about_the_same_ledger(cli: Command) -> None:
    """Wherever it is printed: the copied command finds the job, and ends it."""
    waiting = cli(*CLIP, "--timeout", "0")
    assert waiting.code == 8
    (step,) = copied(waiting)
    for listing in ("jobs", "get"):
        assert copied(cli(listing, *(step[1:2] if listing == "get" else ()), *OWN)) == [step]
    assert cli(*step).code == 0


def test_a_step_about_a_lost_answer_is_about_the_same_ledger(cli: Command) -> None:
    """And so are the three that are offered where nothing is found."""
    lost = cli(*CLIP, "--vendor", UNFINDABLE, "--fault", "lost-close")
    assert lost.code == 6
    (step,) = copied(lost)
    assert copied(cli("resume", *OWN)) == [step]
    unsolved = cli(*step)
    assert unsolved.code == 6
    adopt, again, abandon = copied(unsolved)
    assert adopt[:3] == ["adopt", step[1], "TASK"]
    assert all(command[-2:] == list(OWN) for command in (adopt, again, abandon))
    assert cli(*abandon).code == 0
    assert f"polyreel jobs {shlex.join(OWN)} lists them" in cli("get", "zzzz", *OWN).err


def test_a_step_calls_the_same_hosts(tmp_path: Path) -> None:
    """A live job is where its base URL says; what may have a password is not repeated."""
    settings = tmp_path / "company.toml"
    settings.write_text("")
    hosts = {"network": settings, "base_url": [f"{FIRST}=http://127.0.0.1:9"]}
    seen: list[tuple[str, ...]] = []

    def of_a_command() -> None:
        seen.append(repeated())

    run = with_network_options(of_a_command)
    others = dict.fromkeys(signature(run).parameters)
    run(**{**others, **hosts, "proxy": "http://u:p@127.0.0.1:9"})
    run(**others)
    typed = ("--network", str(settings), "--base-url", f"{FIRST}=http://127.0.0.1:9")
    assert [*seen, repeated()] == [typed, (), ()]


def test_a_queued_job_needs_a_worker(cli: Command, tmp_path: Path) -> None:
    """Each command that meets it says how to start one, unless one is at work."""
    place = tmp_path / "queued.sqlite3"
    own = ("--ledger", "queued.sqlite3")
    with Client(ledger=place) as client:
        names = [client.enqueue("a cat", reference=name).id for name in ("a", "b")]
        for command in (("resume",), ("jobs",), ("resume", names[0])):
            assert copied(cli(*command, *own)) == [["worker", *own]]
        assert "polyreel worker --ledger queued.sqlite3" in cli("worker", "--check", *own).err


def test_a_queued_job_is_left_to_a_worker_that_is_at_work(
    cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which another process is."""
    with Client(ledger=tmp_path / "queued.sqlite3") as client:
        client.enqueue("a cat", reference="a")
    here = ProcessAtWork(socket.gethostname(), None, 0.0, 0)
    with Ledger("queued.sqlite3") as ledger:
        assert of_others(ledger) is None
        monkeypatch.setattr(OutstandingWork, "processes", lambda _: [here])
        assert "another process" in (of_others(ledger) or "")
    for command in ("jobs", "resume"):
        assert copied(cli(command, "--ledger", "queued.sqlite3")) == []


def test_an_interrupted_batch_says_who_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers, where there are any."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.txt").write_text("a cat\n")
    with Ledger("queued.sqlite3") as ledger:
        client = AsyncClient(ledger=ledger)
        rows = batch.read("rows.txt")
        assert "is in the ledger" in left_behind(batch.Batch(client, rows, "clips"))
        made = batch.Batch(client, rows, "clips", engine=InlineEngine(client))
        assert left_behind(made).endswith("\nnext: polyreel worker --ledger queued.sqlite3")
        here = ProcessAtWork(socket.gethostname(), None, 0.0, 1)
        monkeypatch.setattr(OutstandingWork, "processes", lambda _: [here])
        assert "the workers go on" in left_behind(made)


def test_a_batch_names_its_ledger(cli: Command, tmp_path: Path) -> None:
    """Where rows are ambiguous."""
    (tmp_path / "rows.txt").write_text("a cat\n")
    lost = cli(
        "batch",
        "rows.txt",
        *OWN,
        "--vendor",
        UNFINDABLE,
        "--fault",
        "lost-close",
        "--fault-share",
        "1",
    )
    assert copied(lost) == [["reconcile", *OWN]]


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_reading_makes_no_ledger(cli: Command, tmp_path: Path, command: tuple[str, ...]) -> None:
    """A mistyped place is an error that says so; the usual place is an empty ledger."""
    found = cli(*command, "--ledger", "nowhere/typo.sqlite3")
    assert found.code == 2
    assert "there is no ledger at nowhere/typo.sqlite3" in found.err
    usual = cli(*command)
    assert f"there is no ledger at {LEDGER} yet" in usual.err
    assert os.listdir(tmp_path) == []


def test_a_dry_run_makes_no_ledger(cli: Command, tmp_path: Path) -> None:
    """It saves nothing."""
    (tmp_path / "rows.txt").write_text("a cat\n")
    assert cli("batch", "rows.txt", "--dry-run", *OWN).code == 0
    assert os.listdir(tmp_path) == ["rows.txt"]


def test_an_empty_list_says_what_to_do(cli: Command) -> None:
    """And a ledger of a similar name is named."""
    assert cli("limits", "night", "--max-cost", "1", "--ledger", "jobs.sqlite3").code == 0
    empty = cli("jobs", "--ledger", "jobs.sqlite3")
    assert (empty.code, empty.out) == (0, "")
    assert "polyreel generate 'a cat in the rain' --ledger jobs.sqlite3" in empty.err
    assert cli(*CLIP[:-2], "--ledger", "jobs.sqlite3").code == 0
    none = cli("jobs", "--state", "failed", "--ledger", "jobs.sqlite3")
    assert "polyreel jobs --ledger jobs.sqlite3" in none.err
    assert "did you mean jobs.sqlite3?" in cli("jobs", "--ledger", "job.sqlite3").err
    owners = cli("jobs", "--owners", "--ledger", "jobs.sqlite3")
    assert "polyreel worker --ledger jobs.sqlite3" in owners.err
