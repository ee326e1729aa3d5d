"""Jobs whose answer was lost: looked for at the vendor, and what the user may do about them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from polyreel import AmbiguousError, Client, Simulator
from polyreel.errors import (
    BadReplyError,
    ClaimedError,
    LedgerError,
    PolyreelError,
    RequestError,
    TaskNotFoundError,
)
from polyreel.jobs.recovery import REPLAY_SECONDS
from polyreel.ledger.events import Claim
from polyreel.ledger.sqlite import Ledger
from polyreel.places import get
from polyreel.providers.base.calling import own_id_place
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator import VirtualClock
from polyreel_generated.contracts.vendors import VendorId
from support.faults import VENDORS, Clients, Kind, every_kind, every_vendor

REQUEST = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}
REPLAYING = [
    vendor
    for vendor, provider in all_providers().items()
    if provider.operation(provider.routes[0]).spec.get("x-polyreel-idempotency", {}).get("mode")
    == "replay"
]
MANY = 20
OWN_IDS = [
    vendor
    for vendor in VENDORS
    if own_id_place(get_provider(vendor).operation(get_provider(vendor).routes[0]))
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


# -- reconcile -------------------------------------------------------------------------------------


@pytest.mark.matrix("vendor", "fault", "kind")
@every_kind
@pytest.mark.parametrize("vendor", [*dict.fromkeys(REPLAYING + LISTING)])
@pytest.mark.parametrize(
    "fault", ["lost-reset", "lost-silence", "lost-html", "lost-empty", "lost-502", "lost-cut"]
)
def test_a_lost_job_is_found(
    pair: Clients, vendor: VendorId, fault: str, kind: Kind, tmp_path: Path
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
    assert client.simulator
    assert finding.job
    assert (job.id, client.simulator.bill.count()) == (finding.job.id, 1)


@pytest.mark.parametrize("vendor", REPLAYING)
def test_an_unheard_submit_is_made_once_under_its_key(client: Client, vendor: VendorId) -> None:
    """Where nothing had arrived, asking again under the same key is the first time the vendor hears
    of it.
    """
    assert client.simulator
    lost = lose(client, vendor, "unheard-reset")
    assert client.simulator.bill.count() == 0
    (finding,) = client.reconcile(lost)
    assert (finding.result, client.simulator.bill.count()) == ("found", 1)


@pytest.mark.parametrize("vendor", REPLAYING)
def test_an_old_key_is_not_used_again(client: Client, vendor: VendorId) -> None:
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
def test_a_refused_repetition_proves_nothing(client: Client, vendor: VendorId, fault: str) -> None:
    """It speaks for itself, not for the submit before it."""
    assert client.simulator
    lost = lose(client, vendor)
    client.simulator.inject(fault, vendor)
    (finding,) = client.reconcile(lost)
    assert (finding.result, state(client, lost)) == ("unsolved", "ambiguous")
    (finding,) = client.reconcile(lost)
    assert (finding.result, client.simulator.bill.count()) == ("found", 1)


@pytest.mark.parametrize("vendor", ECHOING)
def test_equal_jobs_get_one_task_each(client: Client, vendor: VendorId) -> None:
    """Which of two equal clips is whose does not matter; that none is given twice does."""
    assert client.simulator
    known = client.submit(client.plan(REQUEST, vendor))
    lost = [lose(client, vendor) for _ in range(3)]
    unanswered = lose(client, vendor, "unheard-close")
    findings = client.reconcile()
    assert [finding.result for finding in findings] == ["found"] * 3 + ["unsolved"]
    found = {finding.job.id for finding in findings if finding.job}
    assert len(found) == 3
    assert known.id not in found
    assert [state(client, entry) for entry in [*lost, unanswered]] == ["accepted"] * 3 + [
        "ambiguous"
    ]


@pytest.mark.parametrize("vendor", ECHOING)
def test_another_request_is_not_taken_for_it(client: Client, vendor: VendorId) -> None:
    """Somebody else's job in the same account stays theirs."""
    assert client.simulator
    lost = lose(client, vendor, "unheard-close")
    with Client(simulator=client.simulator) as other:
        other.submit(other.plan({**REQUEST, "prompt": "a dog"}, vendor))
        other.submit(other.plan({**REQUEST, "duration": 4}, vendor))
    (finding,) = client.reconcile(lost)
    assert (finding.result, finding.candidates) == ("unsolved", ())
    assert "it is not among the " in finding.text


@pytest.mark.parametrize("vendor", UNFINDABLE)
def test_a_vendor_with_nothing_to_ask_is_reported(client: Client, vendor: VendorId) -> None:
    """Plainly, with what the user can do."""
    lost = lose(client, vendor)
    (finding,) = client.reconcile(lost)
    assert (finding.result, finding.text) == (
        "unsolved",
        f"{vendor} documents no list of tasks: look at its dashboard",
    )
    assert state(client, lost) == "ambiguous"


@every_vendor
def test_what_somebody_looks_after_is_left_alone(client: Client, vendor: VendorId) -> None:
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


# -- on the user's word ----------------------------------------------------------------------------


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_a_task_is_adopted(pair: Clients, vendor: VendorId, kind: Kind, tmp_path: Path) -> None:
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
    with pytest.raises(ClaimedError, match="is saved, not ambiguous: its files are saved"):
        pair.do(kind, "adopt", lost, task)


@pytest.mark.matrix("vendor", "fault")
@every_vendor
@pytest.mark.parametrize("fault", ["poll-empty", "poll-html", "missing-status"])
def test_an_answer_that_says_nothing_is_no_task(
    client: Client, vendor: VendorId, fault: str
) -> None:
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


@pytest.mark.parametrize("vendor", OWN_IDS)
def test_equal_jobs_are_told_apart_by_ids_of_ours(client: Client, vendor: VendorId) -> None:
    """Each lost submit is found as itself, with one bill for each; what never arrived is no job."""
    assert client.simulator
    lost = [lose(client, vendor) for _ in range(MANY)]
    unheard = lose(client, vendor, "unheard-close")
    findings = client.reconcile()
    assert [finding.result for finding in findings] == ["found"] * MANY + ["unsolved"]
    assert [finding.entry for finding in findings] == [*lost, unheard]
    assert "knows no task under" in findings[-1].text
    assert findings[-1].candidates == ()
    place = own_id_place(get_provider(vendor).operation(get_provider(vendor).routes[0]))
    assert place
    assert client.ledger
    for finding in findings[:-1]:
        assert finding.job
        body = client.simulator.tasks[vendor, finding.job.id].body
        assert get(body, place) == client.ledger.entry(finding.entry).submission.own_id
    assert client.simulator.bill.count() == MANY


@every_vendor
def test_one_task_is_not_adopted_twice(client: Client, vendor: VendorId) -> None:
    """Two entries with one task would be one clip for two bills."""
    mine = client.submit(client.plan(REQUEST, vendor))
    lost = lose(client, vendor)
    with pytest.raises(LedgerError, match="already"):
        client.adopt(lost, mine.id)
    assert state(client, lost) == "ambiguous"


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_resubmitting_needs_the_users_word(
    pair: Clients, vendor: VendorId, kind: Kind, tmp_path: Path
) -> None:
    """Then it is a new entry and a new job, under a new key; the old entry says what became
    of it.
    """
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
    with pytest.raises(ClaimedError, match="is resubmitted, not ambiguous: there is nothing left"):
        pair.do(kind, "resubmit", lost, accept_double_billing=True)


@every_vendor
def test_a_resubmission_that_fails_takes_nothing_away(client: Client, vendor: VendorId) -> None:
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
