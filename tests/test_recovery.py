"""What was interrupted is finished, found again or given up, and nothing is paid twice on the way."""

from __future__ import annotations

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
from polyreel.errors import (
    BadReplyError,
    ClaimedError,
    LedgerError,
    PolyreelError,
    RequestError,
    TaskNotFoundError,
    UnknownNameError,
)
from polyreel.jobs.recovery import REPLAY_SECONDS
from polyreel.ledger.events import Claim
from polyreel.ledger.sqlite import Ledger
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator import VirtualClock
from support.faults import VENDORS, Clients, Kind, every_kind, every_vendor
from support.ledgers import database

REQUEST = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}
REPLAYING = [
    vendor
    for vendor, provider in all_providers().items()
    if provider.operation(provider.routes[0]).spec.get("x-polyreel-idempotency", {}).get("mode")
    == "replay"
]
LISTING = [vendor for vendor in VENDORS if type(get_provider(vendor)).recent is not Provider.recent]
UNFINDABLE = [vendor for vendor in VENDORS if vendor not in {*REPLAYING, *LISTING}]
ECHOING = [vendor for vendor in LISTING if vendor not in REPLAYING]


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


def lose(client: Client, vendor: str, fault: str = "lost-reset", **options: Any) -> str:
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


# -- resume ------------------------------------------------------------------------------------------


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
def test_lost_files_are_fetched_again(client: Client, vendor: str, tmp_path: Path) -> None:
    """What was saved and has gone since is not called saved."""
    job = client.generate(REQUEST, vendor, output=tmp_path)
    output = next(iter(job.outputs or []))
    Path(output.path or "").unlink()
    client.resume(job.ledger_id or "")
    assert Path(output.path or "").exists()


@every_vendor
def test_a_failed_job_stays_failed(client: Client, vendor: str, tmp_path: Path) -> None:
    """Resuming it tells why, and asks nobody."""
    assert client.simulator
    client.simulator.script(vendor, "failed")
    for _ in range(2):
        with pytest.raises(JobFailedError) as caught:
            client.generate(REQUEST, vendor, output=tmp_path, reference="r")
        assert state(client, caught.value.ledger_id or "") == "failed"
    assert client.simulator.bill.count() == 1


@every_vendor
def test_what_has_no_job_is_not_resumed(client: Client, vendor: str) -> None:
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
    lost = lose(client, VENDORS[0])
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
def test_a_link_that_died_is_asked_for_again(client: Client, vendor: str, tmp_path: Path) -> None:
    """Whenever the file is fetched; nothing is lost as long as the vendor signs new links."""
    assert client.simulator
    client.simulator.link_seconds = 60
    job = client.wait(client.submit(client.plan(REQUEST, vendor)))
    client.simulator.clock.advance(3600)  # type: ignore[attr-defined]
    saved = client.download(job, tmp_path)
    assert Path(next(iter(saved.outputs or [])).path or "").stat().st_size > 1000
    assert state(client, job.ledger_id or "") == "saved"


@every_vendor
@pytest.mark.parametrize("fault", ["link-403", "link-404", "link-410"])
def test_a_link_that_stays_dead_is_told(
    client: Client, vendor: str, fault: str, tmp_path: Path
) -> None:
    """With the job, which stays where it can be resumed from."""
    assert client.simulator
    job = client.wait(client.submit(client.plan(REQUEST, vendor)))
    client.simulator.inject(fault, vendor, times=None)
    with pytest.raises(DownloadError, match="gives no other") as caught:
        client.download(job, tmp_path)
    assert (caught.value.job, caught.value.status) == (job, int(fault[-3:]))
    assert len(client.simulator.fired) == 3
    client.simulator.calm()
    client.resume(job.ledger_id or "", output=tmp_path)
    assert state(client, job.ledger_id or "") == "saved"


# -- references --------------------------------------------------------------------------------------


@every_kind
@every_vendor
def test_a_reference_is_paid_once(pair: Clients, vendor: str, kind: Kind, tmp_path: Path) -> None:
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
    client: Client, vendor: str, tmp_path: Path
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


# -- reconcile ---------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("vendor", [*dict.fromkeys(REPLAYING + LISTING)])
@pytest.mark.parametrize(
    "fault", ["lost-reset", "lost-silence", "lost-html", "lost-empty", "lost-502", "lost-cut"]
)
def test_a_lost_job_is_found(
    pair: Clients, vendor: str, fault: str, kind: Kind, tmp_path: Path
) -> None:
    """By the vendor's key or list; it is billed once, and finished like any other."""
    client = pair.by_kind["blocking"]
    assert isinstance(client, Client)
    lost = lose(client, vendor, fault)
    client.simulator.inject("list-500", vendor)  # type: ignore[union-attr]
    (finding,) = pair.do(kind, "reconcile")
    assert (finding.result, finding.entry, finding.job.ledger_id) == ("found", lost, lost)
    assert state(client, lost) == "accepted"
    assert pair.do(kind, "reconcile") == []
    job = pair.do(kind, "resume", lost, output=tmp_path)
    assert (job.id, client.simulator.bill.count()) == (finding.job.id, 1)  # type: ignore[union-attr]


@pytest.mark.parametrize("vendor", REPLAYING)
def test_an_unheard_submit_is_made_once_under_its_key(client: Client, vendor: str) -> None:
    """Where nothing had arrived, asking again under the same key is the first time the vendor hears of it."""
    assert client.simulator
    lost = lose(client, vendor, "unheard-reset")
    assert client.simulator.bill.count() == 0
    (finding,) = client.reconcile(lost)
    assert (finding.result, client.simulator.bill.count()) == ("found", 1)


@pytest.mark.parametrize("vendor", REPLAYING)
def test_an_old_key_is_not_used_again(client: Client, vendor: str) -> None:
    """How long a vendor knows a key is not documented: too late, it would be a second job."""
    assert client.simulator
    lost = lose(client, vendor)
    client.simulator.clock.advance(REPLAY_SECONDS)  # type: ignore[attr-defined]
    (finding,) = client.reconcile(lost)
    assert client.simulator.bill.count() == 1
    assert [method for _, method, _ in client.simulator.journal].count("POST") == 1
    tasks = [task for _, task in client.simulator.tasks]
    assert (finding.result, list(finding.candidates)) == ("unsolved", tasks)
    client.adopt(lost, finding.candidates[0])
    assert state(client, lost) == "succeeded"


@pytest.mark.parametrize("vendor", REPLAYING)
@pytest.mark.parametrize("fault", ["500", "lost-reset", "rate-limited-none", "unheard-close"])
def test_a_refused_repetition_proves_nothing(client: Client, vendor: str, fault: str) -> None:
    """It speaks for itself, not for the submit before it."""
    assert client.simulator
    lost = lose(client, vendor)
    client.simulator.inject(fault, vendor)
    (finding,) = client.reconcile(lost)
    assert (finding.result, state(client, lost)) == ("unsolved", "ambiguous")
    (finding,) = client.reconcile(lost)
    assert (finding.result, client.simulator.bill.count()) == ("found", 1)


@pytest.mark.parametrize("vendor", ECHOING)
def test_equal_jobs_get_one_task_each(client: Client, vendor: str) -> None:
    """Which of two equal clips is whose does not matter; that none is given twice does."""
    assert client.simulator
    known = client.submit(client.plan(REQUEST, vendor))
    lost = [lose(client, vendor) for _ in range(3)]
    unheard = lose(client, vendor, "unheard-close")
    findings = client.reconcile()
    assert [finding.result for finding in findings] == ["found"] * 3 + ["unsolved"]
    found = {finding.job.id for finding in findings if finding.job}
    assert len(found) == 3
    assert known.id not in found
    assert [state(client, entry) for entry in [*lost, unheard]] == ["accepted"] * 3 + ["ambiguous"]


@pytest.mark.parametrize("vendor", ECHOING)
def test_another_request_is_not_taken_for_it(client: Client, vendor: str) -> None:
    """Somebody else's job in the same account stays theirs."""
    assert client.simulator
    lost = lose(client, vendor, "unheard-close")
    with Client(simulator=client.simulator) as other:
        other.submit(other.plan({**REQUEST, "prompt": "a dog"}, vendor))
        other.submit(other.plan({**REQUEST, "duration": 4}, vendor))
    (finding,) = client.reconcile(lost)
    assert (finding.result, finding.candidates) == ("unsolved", ())
    assert "not among the unfinished tasks" in finding.text


@pytest.mark.parametrize("vendor", UNFINDABLE)
def test_a_vendor_with_nothing_to_ask_is_told(client: Client, vendor: str) -> None:
    """Plainly, with what the user can do."""
    lost = lose(client, vendor)
    (finding,) = client.reconcile(lost)
    assert (finding.result, finding.text) == (
        "unsolved",
        f"{vendor} documents no list of tasks: look at its dashboard",
    )
    assert state(client, lost) == "ambiguous"


@every_vendor
def test_what_somebody_looks_after_is_left_alone(client: Client, vendor: str) -> None:
    """Reconciling tells so; resuming is refused."""
    assert client.ledger
    lost = lose(client, vendor)
    owner = client.ledger.new_owner()
    client.ledger.write(Claim(lost), owner, 0.0)
    (finding,) = client.reconcile(lost)
    assert "looks after" in finding.text
    for action in (client.resume, lambda name: client.adopt(name, "x")):
        with pytest.raises(ClaimedError):
            action(lost)
    client.ledger.release(owner, sent=False)


# -- on the user's word ------------------------------------------------------------------------------


@every_kind
@every_vendor
def test_a_task_is_adopted(pair: Clients, vendor: str, kind: Kind, tmp_path: Path) -> None:
    """By the id that the dashboard shows; an id that the vendor does not know is not taken."""
    client = pair.by_kind["blocking"]
    assert isinstance(client, Client)
    lost = lose(client, vendor)
    for wrong in ("nothing", "../x", "a b"):
        with pytest.raises(TaskNotFoundError):
            pair.do(kind, "adopt", lost, wrong)
    assert state(client, lost) == "ambiguous"
    ((_, task),) = client.simulator.tasks  # type: ignore[union-attr]
    assert pair.do(kind, "adopt", lost, task).id == task
    pair.do(kind, "resume", lost, output=tmp_path)
    assert state(client, lost) == "saved"
    with pytest.raises(ClaimedError, match="not ambiguous"):
        pair.do(kind, "adopt", lost, task)


@every_vendor
@pytest.mark.parametrize("fault", ["poll-empty", "poll-html", "missing-status"])
def test_an_answer_that_says_nothing_is_no_task(client: Client, vendor: str, fault: str) -> None:
    """Neither adopting nor reconciling takes it for one."""
    assert client.simulator
    lost = lose(client, vendor)
    ((_, task),) = client.simulator.tasks
    client.simulator.inject(fault, vendor, times=None)
    with pytest.raises(BadReplyError):
        client.adopt(lost, task)
    (finding,) = client.reconcile(lost)
    assert finding.result == ("found" if vendor in REPLAYING else "unsolved")
    assert state(client, lost) == ("accepted" if vendor in REPLAYING else "ambiguous")


@every_vendor
def test_one_task_is_not_adopted_twice(client: Client, vendor: str) -> None:
    """Two entries with one task would be one clip for two bills."""
    mine = client.submit(client.plan(REQUEST, vendor))
    lost = lose(client, vendor)
    with pytest.raises(LedgerError, match="already"):
        client.adopt(lost, mine.id)
    assert state(client, lost) == "ambiguous"


@every_kind
@every_vendor
def test_resubmitting_needs_the_users_word(
    pair: Clients, vendor: str, kind: Kind, tmp_path: Path
) -> None:
    """Then it is a new entry and a new job, under a new key; the old entry says what became of it."""
    client = pair.by_kind["blocking"]
    assert isinstance(client, Client)
    assert client.simulator
    assert client.ledger
    lost = lose(client, vendor, reference="r")
    with pytest.raises(RequestError, match="paying twice"):
        pair.do(kind, "resubmit", lost)
    assert client.simulator.bill.count() == 1
    job = pair.do(kind, "resubmit", lost, accept_double_billing=True, output=tmp_path)
    assert client.simulator.bill.count() == 2
    old, new = client.ledger.entries()
    assert (old.state, new.state, new.follows, new.id) == (
        "resubmitted",
        "saved",
        lost,
        job.ledger_id,
    )
    assert old.submission.idempotency_key != new.submission.idempotency_key
    assert pair.do(kind, "generate", REQUEST, vendor, output=tmp_path, reference="r") == job
    with pytest.raises(ClaimedError, match="not ambiguous"):
        pair.do(kind, "resubmit", lost, accept_double_billing=True)


@every_vendor
def test_a_resubmission_that_fails_takes_nothing_away(client: Client, vendor: str) -> None:
    """Refused, it leaves the doubt where it was; lost, there are two to look for."""
    assert client.simulator
    lost = lose(client, vendor)
    for fault, states in (
        ("rate-limited-none", ["ambiguous", "rejected"]),
        ("lost-reset", ["resubmitted", "rejected", "ambiguous"]),
    ):
        client.simulator.inject(fault, vendor)
        with pytest.raises(PolyreelError):
            client.resubmit(lost, accept_double_billing=True)
        assert [entry.state for entry in client.jobs()] == states


# -- endings -----------------------------------------------------------------------------------------


class Stop(BaseException):
    """Ctrl-C, as it comes."""


@every_kind
@every_vendor
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interruption_is_written_down(
    pair: Clients, vendor: str, kind: Kind, moment: str
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
def test_a_ledger_that_fails_stops_the_submit(client: Client, vendor: str) -> None:
    """Nothing is sent that cannot be written down first."""
    assert client.ledger
    assert client.simulator
    database(client.ledger).execute("PRAGMA query_only = 1")
    with pytest.raises(LedgerError) as caught:
        client.submit(client.plan(REQUEST, vendor))
    assert (caught.value.billed, client.simulator.journal) == ("no", [])


@every_vendor
def test_a_ledger_that_fails_afterwards_loses_no_task(client: Client, vendor: str) -> None:
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
