"""Canceling a job: honest for each vendor, by what its contract says."""

import importlib.util
import json
from pathlib import Path
from typing import Any, cast

import pytest
from polyreel import Job, Ledger, VendorError
from polyreel.errors import TaskNotFoundError
from polyreel.flows import Reply
from polyreel.jobs.canceling import cancel
from polyreel.providers.base.contract import Contract
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel_generated.contracts.vendors import VendorId
from support.faults import Clients, Kind, every_kind, every_vendor
from support.paths import EXAMPLE_VENDOR
from support.stage import Stage, reply

CLIP = "clip_0a1b2c3d4e5f"


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Provider]:
    """The worked example, which documents a call that cancels; its contract is the test's own."""
    folder = tmp_path / "canceling_example"
    folder.mkdir()
    for path in EXAMPLE_VENDOR.glob("*.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    spec = importlib.util.spec_from_file_location("canceling_example", folder / "__init__.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.syspath_prepend(str(tmp_path))
    spec.loader.exec_module(module)
    kind: type[Provider] = module.AcmeVideo
    vendors = cast(Any, all_providers())  # for this test only, unlike `registered`
    monkeypatch.setitem(vendors._own, kind.id, "")
    monkeypatch.setitem(vendors._loaded, kind.id, kind.load())
    return kind


def offers() -> list[str]:
    return [one.id for one in all_providers().values() if one.contract.operation("cancel")]


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_a_vendor_without_such_a_call_is_not_asked(vendor: VendorId, kind: Kind) -> None:
    """The user is told so, and that the job goes on and is billed."""
    if vendor in offers():  # none of polyreel's own today
        return
    with Clients() as pair:
        job = pair.do(kind, "submit", pair.by_kind[kind].plan({"prompt": "a cat"}, vendor))
        done = pair.do(kind, "cancel", job)
        assert (done.result, done.job) == ("not-offered", job)
        assert "documents no call that cancels" in done.text
        assert "billed as if nobody had asked" in done.bill
        assert pair.do(kind, "wait", job).status == "succeeded"
        assert pair.do(kind, "cancel", pair.do(kind, "get", job)).result == "too-late"


@every_kind
def test_a_job_is_stopped(vendor: type[Provider], kind: Kind, tmp_path: Path) -> None:
    """And the ledger knows it; a job that has ended is not canceled: its vendor is not asked."""
    with Ledger(tmp_path / "jobs.sqlite3") as ledger, Clients(ledger=ledger) as pair:
        client = pair.by_kind[kind]
        job = pair.do(kind, "submit", client.plan({"prompt": "a cat"}, get_provider(vendor.id)))
        done = pair.do(kind, "cancel", job.ledger_id)
        assert (done.result, done.job.status) == ("stopped", "canceled")
        assert "seconds that were made before the stop" in done.bill
        assert ledger.entry(job.ledger_id).state == "canceled"
        assert pair.do(kind, "cancel", job).result == "too-late"


def answers(job: Job, *states: str, after: Reply | None = None) -> list[Reply | Any]:
    """What the vendor says before the call, to the call, and after it."""
    first, *rest = [reply(job.vendor, state) for state in states]
    return [first, *([after] if after else []), *rest]


def job_of(vendor: type[Provider]) -> Job:
    return Job(
        vendor=vendor.id,
        model="acme-one",
        workflow="text-to-video",
        id=CLIP,
        status="running",
        simulated=False,
    )


def altered(vendor: type[Provider], monkeypatch: pytest.MonkeyPatch, **facts: Any) -> None:
    """Let the vendor's contract say something else about its answers."""
    document = json.loads(json.dumps(all_providers()[vendor.id].contract.document))
    document["paths"]["/v2/clips/{ref}"]["delete"]["x-polyreel-cancel"] = facts
    monkeypatch.setitem(vars(all_providers()[vendor.id]), "contract", Contract(document))


def test_what_the_answers_mean(vendor: type[Provider], monkeypatch: pytest.MonkeyPatch) -> None:
    """By their words, then by their HTTP status; how the job is afterwards comes before both."""
    job = job_of(vendor)
    took = Reply(202, {}, b'{"asked": "stop"}')

    def run(*states: str, after: Reply) -> tuple[str, str]:
        stage = Stage(answers(job, *states, after=after))
        done = stage.run(cancel(job))
        assert [call.method for call in stage.calls][:2] == ["GET", "DELETE"]
        assert not any(call.paid for call in stage.calls)
        return done.result, done.job.status

    assert run("running", "running", after=took) == ("asked", "running")
    assert run("running", "canceled", after=took) == ("stopped", "canceled")
    assert run("running", "succeeded", after=took) == ("too-late", "succeeded")
    assert run("running", "running", after=Reply(409, {}, b"{}")) == ("too-late", "running")
    altered(vendor, monkeypatch, place="done", words={"yes": "stopped"})
    word = Reply(200, {}, b'{"done": "YES"}')
    assert run("running", "running", after=word) == ("stopped", "running")
    assert run("running", "running", after=Reply(200, {}, b"not JSON")) == ("asked", "running")


def test_a_job_that_has_ended_is_not_canceled(vendor: type[Provider]) -> None:
    """Some vendors delete its files then."""
    job = job_of(vendor)
    stage = Stage([reply(job.vendor, "succeeded")])
    assert stage.run(cancel(job)).result == "too-late"
    assert [call.method for call in stage.calls] == ["GET"]


def test_a_refusal_is_an_error(vendor: type[Provider]) -> None:
    """With the vendor's words."""
    job = job_of(vendor)
    refusal = Reply(403, {}, b'{"error": {"kind": "no", "message": "Not yours."}}')
    with pytest.raises(VendorError, match="Not yours"):
        Stage(answers(job, "running", after=refusal)).run(cancel(job))


def test_a_task_that_is_gone_was_stopped(
    vendor: type[Provider], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the vendor says that it stopped it, and then keeps no record."""
    altered(vendor, monkeypatch, statuses={"204": "stopped"})
    job = job_of(vendor)
    gone = TaskNotFoundError("gone", vendor=vendor.id)
    done = Stage([*answers(job, "running", after=Reply(204, {}, b"")), gone]).run(cancel(job))
    assert (done.result, done.job.status) == ("stopped", "canceled")


@every_kind
def test_a_call_that_deletes_leaves_nothing_to_ask_about(
    vendor: type[Provider], kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is canceled, and nobody asks again; one that has ended keeps its file."""
    altered(vendor, monkeypatch, statuses={"202": "asked"}, deletes=True)
    with Ledger(tmp_path / "jobs.sqlite3") as ledger, Clients(ledger=ledger) as pair:
        client = pair.by_kind[kind]
        plan = client.plan({"prompt": "a cat"}, get_provider(vendor.id))
        job = pair.do(kind, "submit", plan)
        done = pair.do(kind, "cancel", job)
        assert (done.result, done.job.status) == ("stopped", "canceled")
        assert "has deleted" in done.text
        assert ledger.entry(job.ledger_id).state == "canceled"
        with pytest.raises(TaskNotFoundError):
            pair.do(kind, "get", job)
        kept = pair.do(kind, "wait", pair.do(kind, "submit", plan))
        assert pair.do(kind, "cancel", kept).result == "too-late"
        assert pair.do(kind, "get", kept).outputs
