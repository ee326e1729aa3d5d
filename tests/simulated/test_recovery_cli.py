"""Commands for jobs that were cut off, in process."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from support.cli import LEDGER, VENDORS, Command, Outcome, stranger

CLIP = ("generate", "a cat", "--duration", "3", "--resolution", "720p", "--no-audio")
UNFINDABLE = next(
    vendor for vendor, one in all_providers().items() if type(one).recent is Provider.recent
)


@pytest.fixture
def cli(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    return stranger(capsys, monkeypatch, tmp_path)


def entry_of(found: Outcome) -> str:
    """The entry that an error document names."""
    name = found.document["error"]["ledger_id"]
    assert isinstance(name, str)
    return name


def test_adopting_and_abandoning(cli: Command, tmp_path: Path) -> None:
    """By the id that the dashboard shows, which for a simulated vendor is its memory."""
    name = entry_of(cli(*CLIP, "--vendor", UNFINDABLE, "--fault", "lost-close", "--json"))
    line = (tmp_path / f"{LEDGER}.simulated").read_text().split("\n")[-2]
    wrong = cli("adopt", name, "task_nothing")
    assert wrong.code == 3
    assert re.search("task_nothing|not |no such", wrong.err), wrong.err
    found = cli("adopt", name, json.loads(line)["id"], "--json")
    assert (found.code, found.document["state"]) == (0, "accepted")
    assert cli("abandon", name).last_line.startswith(f"{name} is abandoned")
    assert cli("abandon", name).code == 2
    assert cli("jobs", "--state", "abandoned", "--json").document[0]["id"] == name
    assert cli("resume").last_line == "nothing to resume"
    assert cli("resume", name).code == 0  # a change of mind costs nothing


def test_what_is_abandoned_gives_its_name_away(cli: Command) -> None:
    """Whoever then runs the same command, or the same batch, pays anew: that is said before."""
    lost = cli(
        *CLIP, "--vendor", UNFINDABLE, "--fault", "lost-close", "--job-name", "one", "--json"
    )
    name, warning = entry_of(lost), "submitting 'one' again pays anew"
    assert warning in cli("reconcile").err
    assert warning in cli("abandon", name).err
    assert cli(*CLIP, "--vendor", UNFINDABLE, "--job-name", "one").code == 0
    unnamed = entry_of(cli(*CLIP, "--vendor", UNFINDABLE, "--fault", "lost-close", "--json"))
    assert "anew" not in cli("abandon", unnamed).err


def test_jobs_are_listed(cli: Command) -> None:
    """For people and programs; states and numbers choose."""
    assert cli("jobs", "--json").document == []
    assert cli(*CLIP).code == 0
    assert cli(*CLIP, "--timeout", "0").code == 8
    every, last = cli("jobs", "--json").document, cli("jobs", "--json", "--last", "1").document
    assert [entry["state"] for entry in every] == ["saved", "accepted"]
    assert last == every[1:]
    table = cli("jobs")
    assert all(entry["id"] in table.out for entry in every)
    assert table.last_line == f"next: polyreel resume {every[1]['id']}"
    cli.fails(2, ("jobs", "--state", "nonesuch"), "--state")


def test_a_reference_is_paid_once(cli: Command) -> None:
    """The same command again goes on with the same job."""
    first, second = (cli(*CLIP, "--job-name", "order 1", "--json").document for _ in range(2))
    assert first == second
    assert len(cli("jobs", "--json").document) == 1


def test_several_jobs_are_resumed_together(cli: Command) -> None:
    """Each has its own end; where some fail, the exit code is 5."""
    for vendor in VENDORS:
        assert cli(*CLIP, "--vendor", vendor, "--timeout", "0").code == 8
    names = [entry["id"] for entry in cli("jobs", "--json").document]
    assert cli("resume", names[0], "zzzz").code == 2
    found = cli("resume", "--json")
    assert (found.code, [job["status"] for job in found.document]) == (
        0,
        ["succeeded"] * len(VENDORS),
    )
    lost = entry_of(cli(*CLIP, "--fault", "lost-empty", "--json"))
    some = cli("resume", names[0], lost, "--json")
    assert (some.code, [one["status"] for one in some.document]) == (5, ["succeeded", "error"])
    assert f"next: polyreel reconcile {lost}" in cli("resume").err


@pytest.mark.parametrize("command", ["resume", "reconcile", "adopt", "resubmit", "abandon"])
def test_unknown_entries_are_refused(cli: Command, command: str) -> None:
    """With one message."""
    more = ("x",) if command == "adopt" else ()
    found = cli(command, "zzzzzzzz", *more)
    assert (found.code, "zzzzzzzz" in found.err) == (2, True)


def test_nothing_to_do_is_no_error(cli: Command) -> None:
    """On a fresh machine."""
    assert (cli("resume").code, cli("reconcile").code, cli("jobs").code) == (0, 0, 0)


def test_faults_are_for_simulated_vendors(cli: Command) -> None:
    """And have names."""
    cli.fails(2, (*CLIP, "--fault", "nonesuch"), "lost-reset")
    cli.fails(2, (*CLIP, "--fault", "lost-reset", "--live"), "--fault")


@pytest.mark.parametrize("content", [b"not a database" * 1000, None])
def test_a_ledger_that_cannot_be_used(cli: Command, tmp_path: Path, content: bytes | None) -> None:
    """Stops what costs money, and what was asked for by name; a simulated job in the usual place
    goes on without.
    """
    if content is None:
        (tmp_path / LEDGER).mkdir(parents=True)
    else:
        (tmp_path / LEDGER).parent.mkdir()
        (tmp_path / LEDGER).write_bytes(content)
    cli.fails(2, (*CLIP, "--live"), "ledger")
    cli.fails(2, (*CLIP, "--ledger", LEDGER), "ledger")
    for command in ("jobs", "resume", "reconcile"):
        cli.fails(2, (command,), "ledger")
    found = cli(*CLIP)
    assert found.code == 0
    assert "--ledger FILE" in found.err
