"""Jobs that were cut off: resumed, found by their reference, and written down."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from polyreel import (
    AmbiguousError,
    Client,
    DownloadError,
    JobFailedError,
    RejectedError,
    Simulator,
    StillRunningError,
)
from polyreel.errors import ClaimedError, LedgerError, RequestError, UnknownNameError
from polyreel.flows import Send
from polyreel.ledger.sqlite import Ledger
from polyreel.simulator import VirtualClock
from polyreel_generated.contracts.vendors import VendorId
from support.faults import VENDORS, Clients, Kind, every_kind, every_vendor
from support.ledgers import database
from support.vendors import vendor_id

REQUEST = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(clock=VirtualClock(1_800_000_000.0), seed=1)


@pytest.fixture
def pair(simulator: Simulator, tmp_path: Path) -> Iterator[Clients]:
    with (
        Ledger(tmp_path / "ledger.sqlite3") as ledger,
        Clients(simulator=simulator, ledger=ledger, call_timeout=5.0) as made,
    ):
        yield made


@pytest.fixture
def client(pair: Clients) -> Client:
    found = pair.by_kind["blocking"]
    assert isinstance(found, Client)
    return found


def lose(client: Client, vendor: VendorId, fault: str = "lost-reset", **options: Any) -> str:
    """A submit whose answer is lost; its entry."""
    assert client.simulator
    client.simulator.inject(fault, vendor)
    with pytest.raises(AmbiguousError) as caught:
        client.submit(client.plan(REQUEST, vendor), **options)
    assert caught.value.ledger_id
    return caught.value.ledger_id


def state(client: Client, name: str) -> str:
    """The state of an entry."""
    assert client.ledger
    return client.ledger.entry(name).state


# -- resume ----------------------------------------------------------------------------------------


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_patience_that_runs_out_costs_nothing(
    pair: Clients, vendor: str, kind: Kind, tmp_path: Path
) -> None:
    """The job is resumed where it was left, and its files land where they were wanted at first."""
    client = pair.by_kind[kind]
    assert client.simulator
    with pytest.raises(StillRunningError) as caught:
        pair.do(kind, "generate", REQUEST, vendor, output=tmp_path / "clips", timeout=1)
    entry = caught.value.ledger_id
    assert entry
    job = pair.do(kind, "resume", entry[:6])
    assert [Path(output.path).parent for output in job.outputs] == [tmp_path / "clips"]
    assert client.simulator.bill.count() == 1
    calls = list(client.simulator.journal)
    assert pair.do(kind, "resume", entry) == job
    assert client.simulator.journal == calls


@every_vendor
def test_lost_files_are_fetched_again(client: Client, vendor: VendorId, tmp_path: Path) -> None:
    """What was saved and has gone since is not called saved."""
    job = client.generate(REQUEST, vendor, output=tmp_path)
    output = next(iter(job.outputs or []))
    Path(output.path or "").unlink()
    client.resume(job.ledger_id or "")
    assert Path(output.path or "").exists()


@every_vendor
def test_a_failed_job_stays_failed(client: Client, vendor: VendorId, tmp_path: Path) -> None:
    """Resuming it tells why, and asks nobody."""
    assert client.simulator
    client.simulator.script(vendor, "failed")
    for _ in range(2):
        with pytest.raises(JobFailedError) as caught:
            client.generate(REQUEST, vendor, output=tmp_path, reference="r")
        assert state(client, caught.value.ledger_id or "") == "failed"
    assert client.simulator.bill.count() == 1


@every_vendor
def test_what_has_no_job_is_not_resumed(client: Client, vendor: VendorId) -> None:
    """An ambiguous entry names the way out; a refused one has none."""
    assert client.simulator
    lost = lose(client, vendor)
    with pytest.raises(AmbiguousError, match="may have accepted") as caught:
        client.resume(lost)
    assert (caught.value.ledger_id, caught.value.billed) == (lost, "maybe")
    client.simulator.inject("rate-limited-none", vendor)
    with pytest.raises(RejectedError) as refused:
        client.submit(client.plan(REQUEST, vendor))
    with pytest.raises(LedgerError, match="no job to resume"):
        client.resume(refused.value.ledger_id or "")


def test_a_job_of_the_other_kind_is_refused(client: Client, tmp_path: Path) -> None:
    """A live client does not look for simulated jobs, nor the other way round."""
    lost = lose(client, vendor_id(VENDORS[0]))
    assert client.ledger
    with Client(keys=dict.fromkeys(VENDORS, "k" * 20), ledger=client.ledger) as live:
        assert live.jobs() == []
        for action in (
            live.resume,
            live.resubmit,
            lambda name: live.adopt(name, "x"),
            live.reconcile,
        ):
            with pytest.raises(UnknownNameError, match="simulated job"):
                action(lost)


def test_a_client_without_a_ledger_says_so() -> None:
    """Whatever needs one."""
    with Client() as client:
        actions: list[Callable[[], object]] = [
            client.jobs,
            lambda: client.resume("x"),
            client.reconcile,
        ]
        for action in actions:
            with pytest.raises(LedgerError, match="ledger="):
                action()
        with pytest.raises(RequestError, match="reference"):
            client.generate(REQUEST, reference="x")


@every_vendor
def test_a_link_that_died_is_asked_for_again(
    client: Client, vendor: VendorId, tmp_path: Path
) -> None:
    """Whenever the file is fetched; nothing is lost as long as the vendor signs new links."""
    assert client.simulator
    client.simulator.link_seconds = 60
    job = client.wait(client.submit(client.plan(REQUEST, vendor)))
    client.simulator.clock.advance(3600)  # type: ignore[attr-defined]
    saved = client.download(job, tmp_path)
    assert Path(next(iter(saved.outputs or [])).path or "").stat().st_size > 1000
    assert state(client, job.ledger_id or "") == "saved"


@pytest.mark.matrix("vendor", "fault")
@every_vendor
@pytest.mark.parametrize("fault", ["link-403", "link-404", "link-410"])
def test_a_link_that_stays_dead_is_reported(
    client: Client, vendor: VendorId, fault: str, tmp_path: Path
) -> None:
    """With the job, which stays where it can be resumed from."""
    assert client.simulator
    job = client.wait(client.submit(client.plan(REQUEST, vendor)))
    client.simulator.inject(fault, vendor, times=None)
    reported = "host refuses who asks" if fault == "link-403" else "gives no other"
    with pytest.raises(DownloadError, match=reported) as caught:
        client.download(job, tmp_path)
    assert (caught.value.job, caught.value.status) == (job, int(fault[-3:]))
    # A host that refuses who asks is not asked again for the same link.
    assert len(client.simulator.fired) == (1 if fault == "link-403" else 3)
    client.simulator.calm()
    client.resume(job.ledger_id or "", output=tmp_path)
    assert state(client, job.ledger_id or "") == "saved"


# -- references ------------------------------------------------------------------------------------


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_a_reference_is_paid_once(
    pair: Clients, vendor: VendorId, kind: Kind, tmp_path: Path
) -> None:
    """Asked for again, the same job comes back; submitting it again is refused."""
    client = pair.by_kind[kind]
    assert client.simulator
    jobs = [
        pair.do(kind, "generate", REQUEST, vendor, output=tmp_path, reference="row 1")
        for _ in range(3)
    ]
    assert jobs[0] == jobs[1] == jobs[2]
    assert client.simulator.bill.count() == 1
    with pytest.raises(ClaimedError, match="has a job already"):
        pair.do(kind, "submit", client.plan(REQUEST, vendor), reference="row 1")
    assert client.simulator.bill.count() == 1
    pair.do(kind, "submit", client.plan(REQUEST, vendor), reference="row 2")
    assert client.simulator.bill.count() == 2


@every_vendor
def test_a_reference_is_free_again_where_nothing_was_paid(
    client: Client, vendor: VendorId, tmp_path: Path
) -> None:
    """After a refusal the same command may try again; after a lost answer it may not."""
    assert client.simulator
    client.simulator.inject("rate-limited-none", vendor)
    plan = client.plan(REQUEST, vendor)
    with pytest.raises(RejectedError):
        client.submit(plan, reference="r")
    client.simulator.inject("lost-reset", vendor)
    for _ in range(3):
        with pytest.raises(AmbiguousError):
            client.generate(plan, output=tmp_path, reference="r")
    assert client.simulator.bill.count() == 1


# -- endings ---------------------------------------------------------------------------------------


class Stop(BaseException):
    """Ctrl-C, as it comes."""


@pytest.mark.matrix("vendor", "moment+kind")
@every_kind
@every_vendor
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interruption_is_written_down(
    pair: Clients, vendor: VendorId, kind: Kind, moment: str
) -> None:
    """Before the paid call it cost nothing; from its first byte on it may have."""
    client = pair.by_kind[kind]
    assert client.simulator

    def interrupt(now: str, step: Any) -> None:
        # Before: the intent is written, and nothing sent.
        if now == "after" and type(step).__name__ == ("Record" if moment == "before" else "Send"):
            raise Stop

    client.wire.observer = interrupt
    with pytest.raises(Stop):
        pair.do(kind, "submit", client.plan(REQUEST, vendor))
    (entry,) = client.jobs()
    assert (entry.state, client.simulator.bill.count()) == (
        ("unsent", 0) if moment == "before" else ("ambiguous", 1)
    )
    assert not entry.owned
    assert "interrupted" in (entry.reason or "")


@every_vendor
def test_a_ledger_that_fails_stops_the_submit(client: Client, vendor: VendorId) -> None:
    """Nothing is sent that cannot be written down first."""
    assert client.ledger
    assert client.simulator
    database(client.ledger).execute("PRAGMA query_only = 1")
    with pytest.raises(LedgerError) as caught:
        client.submit(client.plan(REQUEST, vendor))
    assert (caught.value.billed, client.simulator.journal) == ("no", [])


@pytest.mark.matrix("vendor", "fault")
@every_vendor
@pytest.mark.parametrize("fault", [None, "lost-reset"])
def test_a_ledger_that_is_locked_when_the_answer_comes_has_it_later(
    client: Client, vendor: VendorId, fault: str | None
) -> None:
    """Whoever looks next, in any process, finds the outcome, and nobody's hands on it."""
    assert client.ledger
    assert client.simulator
    ledger, file = client.ledger, client.ledger.companion_file("x").with_name("ledger.sqlite3")
    database(ledger).execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(file, isolation_level=None)

    def lock(now: str, step: Any) -> None:
        if now == "before" and isinstance(step, Send) and step.paid:
            other.execute("BEGIN IMMEDIATE")

    if fault:
        client.simulator.inject(fault, vendor)
    client.wire.observer = lock
    with pytest.raises(AmbiguousError if fault else LedgerError):
        client.submit(client.plan(REQUEST, vendor), reference="order 17")
    client.wire.observer = None
    (seen,) = ledger.entries()
    assert (seen.state, seen.owned) == ("sending", False)  # the lock is still there
    other.execute("ROLLBACK")
    other.close()
    with Ledger(file) as again:
        (entry,) = again.entries()
        ((_, task),) = client.simulator.tasks
        assert (entry.state, entry.owned) == ("ambiguous" if fault else "accepted", False)
        assert fault or (entry.job and entry.job.id == task)
    assert not [*ledger.companion_file("unwritten").iterdir()]
    if fault:
        assert client.adopt(entry.id, task).id == task
    else:
        assert client.resume(entry.id).status == "succeeded"
    assert client.simulator.bill.count(vendor) == 1


@every_vendor
def test_a_ledger_that_fails_afterwards_loses_no_task(client: Client, vendor: VendorId) -> None:
    """The error has the task's id, and says that it was accepted."""
    assert client.ledger
    assert client.simulator
    connection = database(client.ledger)

    def fail(now: str, step: Any) -> None:
        if (now, type(step).__name__) == ("after", "Send"):
            connection.execute("PRAGMA query_only = 1")

    client.wire.observer = fail
    with pytest.raises(LedgerError, match="accepted the job as") as caught:
        client.submit(client.plan(REQUEST, vendor))
    ((_, task),) = client.simulator.tasks
    assert caught.value.job
    assert (caught.value.job.id, caught.value.billed) == (task, "yes")
    client.simulator.inject("lost-reset", vendor)
    connection.execute("PRAGMA query_only = 0")
    with pytest.raises(
        AmbiguousError
    ):  # what happened to the money matters more than what happened to the file
        client.submit(client.plan(REQUEST, vendor))
    connection.execute("PRAGMA query_only = 0")
