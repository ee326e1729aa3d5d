"""A job's whole life by its id, on the command line and in Python: look, download, cancel, list."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from polyreel import Client, Job, Ledger, RequestError, Simulator
from polyreel.cli import ledgered
from polyreel.errors import TaskNotFoundError, UnknownNameError
from polyreel.ledger.events import Intend, Settle
from polyreel.ledger.records import Submission
from polyreel.plans.choosing import plan
from polyreel.providers.base.registry import get_provider
from polyreel_generated.contracts.vendors import VendorId
from support.cli import VENDORS, Command, stranger
from support.faults import Clients, Kind, every_kind, every_vendor

CLIP = ("generate", "a cat", "--duration", "3", "--resolution", "720p", "--no-audio")


@pytest.fixture
def cli(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    return stranger(capsys, monkeypatch, tmp_path)


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_a_task_that_was_made_elsewhere(vendor: VendorId, kind: Kind, tmp_path: Path) -> None:
    """It enters the ledger once, is waited for, saved, resumed and labelled like any other."""
    simulator = Simulator()
    with Clients(simulator=simulator) as others:
        theirs = others.do(kind, "submit", others.by_kind[kind].plan({"prompt": "a cat"}, vendor))
    with (
        Ledger(tmp_path / "jobs.sqlite3") as ledger,
        Clients(simulator=simulator, ledger=ledger) as pair,
    ):
        job: Job = pair.do(kind, "track", vendor, theirs.id, labels={"team": "ads"})
        assert (job.id, job.status, job.labels) == (theirs.id, theirs.status, {"team": "ads"})
        assert pair.do(kind, "track", vendor, theirs.id).ledger_id == job.ledger_id
        done = pair.do(kind, "resume", job.ledger_id, output=tmp_path)
        assert Path(done.outputs[0].path).exists()
        (entry,) = ledger.entries()
        assert (entry.state, entry.submission.labels) == ("saved", {"team": "ads"})
        assert pair.do(kind, "look", job.ledger_id).status == "succeeded"
        with pytest.raises(TaskNotFoundError):
            pair.do(kind, "track", vendor, "task_nothing")
        assert simulator.bill.count() == 1
        assert len(ledger.entries()) == 1


@every_vendor
def test_without_a_ledger_too(vendor: VendorId, tmp_path: Path) -> None:
    simulator = Simulator()
    theirs = Client(simulator=simulator)
    job = theirs.submit(theirs.plan({"prompt": "a cat"}, vendor))
    mine = Client(simulator=simulator)
    found = mine.download(mine.wait(mine.track(vendor, job.id)), tmp_path)
    assert found.ledger_id is None
    assert found.outputs
    assert Path(found.outputs[0].path or "").exists()


@every_vendor
def test_the_commands(cli: Command, vendor: str, tmp_path: Path) -> None:
    """By ledger id, or by vendor and task id, also with another ledger."""
    made = cli(*CLIP, "--vendor", vendor, "--label", "team=ads", "--json").document
    task, name = made["id"], made["ledger_id"]
    assert made["labels"] == {"team": "ads"}
    for way in ((name,), (vendor, task), (task,)):
        found = cli("get", *way)
        assert found.out.splitlines()[0] == f"{vendor} {task}: succeeded 100%"
        assert cli("get", *way, "--json").document["ledger_id"] == name
        saved = cli("download", *way, "--output", str(tmp_path / "elsewhere"))
        assert (saved.code, Path(saved.out.strip()).exists()) == (0, True)
        late = cli("cancel", *way)
        assert (late.code, late.out.partition(":")[0]) == (0, "too-late")
    assert cli("get", vendor, "task_nothing").code == 3
    cli.fails(2, ("cancel", "anything"), "no entry 'anything'; polyreel jobs lists them")
    cli.fails(2, ("get", vendor), f"after {vendor} its task id is needed")
    cli.fails(2, ("get", "nobody", "task"), "no vendor is called")
    cli.fails(2, (*CLIP, "--label", "team"), "not NAME=VALUE")


@pytest.mark.parametrize(
    "vendor", [one for one in VENDORS if get_provider(one).contract.operation("cancel") is None]
)
def test_canceling_is_not_offered(cli: Command, vendor: str) -> None:
    """The command says so with a code of its own, and the job goes on."""
    still = cli(*CLIP, "--vendor", vendor, "--timeout", "0", "--json").document["error"]
    found = cli("cancel", still["ledger_id"])
    assert (found.code, found.out.partition(":")[0]) == (3, "not-offered")
    assert "bill: it is billed as if nobody had asked" in found.out
    asked = cli("cancel", still["ledger_id"], "--json").document
    assert (asked["result"], asked["job"]["id"]) == ("not-offered", still["job"]["id"])
    assert cli("resume", still["ledger_id"]).code == 0


def test_jobs_are_chosen(cli: Command) -> None:
    """By vendor, label, name and time; as JSON and CSV."""
    for number, vendor in enumerate(VENDORS):
        labels = ("--label", f"n={number}", "--label", "team=ads")
        cli(*CLIP, "--vendor", vendor, "--job-name", f"job-{number}", *labels)

    def chosen(*options: str) -> list[str]:
        return [entry["reference"] for entry in cli("jobs", *options, "--json").document]

    assert chosen() == chosen("--label", "team=ads") == chosen("--job-name", "job-*")
    assert chosen("--vendor", VENDORS[1]) == ["job-1"]
    assert chosen("--label", "n=0") == chosen("--label", "team=ads", "--label", "n=0") == ["job-0"]
    assert chosen("--label", "n=0", "--label", "team=sea") == chosen("--label", "other=ads") == []
    newest = f"job-{len(VENDORS) - 1}"
    assert chosen("--job-name", newest) == chosen("--last", "1") == [newest]
    assert chosen("--since", "1h") == chosen("--until", "2100-01-01") == chosen()
    assert chosen("--until", "1h") == chosen("--since", "2100-01-01") == []
    rows = [*csv.DictReader(io.StringIO(cli("jobs", "--csv").out))]
    assert [row["job_name"] for row in rows] == chosen()
    assert rows[0]["labels"] == "n=0 team=ads"
    for wrong in (("--since", "yesterday"), ("--vendor", "nobody"), ("--label", "x")):
        assert cli("jobs", *wrong).code == 2
    assert cli("jobs", "--csv", "--json").code == 2


def test_money_is_summed_up(tmp_path: Path) -> None:
    """What is charged, and what may be on top; simulated jobs cost nothing."""
    made = plan({"prompt": "a cat"}, get_provider(VENDORS[0]))
    facts: dict[str, Any] = {"idempotency_key": "k", "labels": {"team": "ads"}}
    with Ledger(tmp_path / "jobs.sqlite3") as ledger:
        owner = ledger.new_owner()
        for state in ("ambiguous", "rejected"):
            live = Submission.of(made, simulated=False, **facts)
            ledger.write(Settle(ledger.write(Intend(live), owner, 1.0), state), owner, 1.0)
        assert ledgered.sum_text([]) is None
        reported = ledgered.sum_text(ledger.entries())
        Client(ledger=ledger).submit(made)
        assert ledgered.sum_text(ledger.entries()) == reported
    assert reported is not None
    assert reported.startswith("1 live job: charged $0.0000")
    assert f"${made.cost.usd or Decimal(0):.4f} more" in reported


def test_formulas_are_no_formulas() -> None:
    """A spreadsheet opens the CSV."""
    assert ledgered._cell("=HYPERLINK()") == "'=HYPERLINK()"


@pytest.mark.parametrize("labels", [{"": "x"}, {"a": 1}, {1: "a"}, "team=ads", {"a": "\ud800"}])
def test_labels_are_texts(labels: Any) -> None:
    """Nothing is sent with labels that no ledger could hold."""
    client = Client()
    with pytest.raises(RequestError, match="labels"):
        client.submit(client.plan({"prompt": "a cat"}), labels=labels)
    assert client.simulator is not None
    assert client.simulator.bill.count() == 0


def test_labels_come_back_with_the_job(tmp_path: Path) -> None:
    """From every call, also after another process has gone on with it."""
    with Client(ledger=tmp_path / "jobs.sqlite3") as client:
        job = client.generate(
            {"prompt": "a cat"}, get_provider(VENDORS[0]), output=tmp_path, labels={"team": "ads"}
        )
        assert job.labels == {"team": "ads"}
        (entry,) = client.jobs(labels={"team": "ads"})
        assert client.resume(entry.id).labels == {"team": "ads"}
        assert client.jobs(labels={"team": "sea"}) == []


@every_kind
@pytest.mark.parametrize("method", ["get", "wait", "download"])
def test_an_id_is_no_job(method: str, kind: Kind, tmp_path: Path) -> None:
    """It is refused with the ways from an id to its job."""
    more = (tmp_path,) if method == "download" else ()
    with Clients() as pair, pytest.raises(RequestError, match=r"client\.track.*client\.look"):
        pair.do(kind, method, "task-1", *more)


def test_several_vendors_are_no_vendor() -> None:
    """They are named, and so are those that there are."""
    with Client() as client, pytest.raises(UnknownNameError, match=f"no vendor .*{VENDORS[0]}'"):
        client.generate("a cat", VENDORS[:2])  # type: ignore[arg-type]
