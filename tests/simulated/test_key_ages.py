"""How old an idempotency key is: by two clocks, from the moment at which it was sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import define
from polyreel import AmbiguousError, Client, Simulator
from polyreel.errors import RejectedError
from polyreel.flows import Moment
from polyreel.jobs.recovery import REPLAY_SECONDS
from polyreel.ledger.events import Intend
from polyreel.ledger.sqlite import Ledger
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import VirtualClock
from polyreel_generated.contracts.vendors import VendorId
from support.ledgers import NOW, submission

DAY = 86_400.0
REQUEST = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}
REPLAYING = [
    vendor
    for vendor, provider in all_providers().items()
    if provider.operation(provider.routes[0]).spec.get("x-polyreel-idempotency", {}).get("mode")
    == "replay"
]
LISTING = [
    vendor
    for vendor, provider in all_providers().items()
    if type(provider).recent is not Provider.recent
]


@define(eq=False)
class TwoClocks(VirtualClock):
    """A machine whose two clocks can be set apart."""

    wall: float = 0.0
    """Seconds by which the wall clock was set on, or back."""
    asleep_for: float = 0.0
    """Seconds of suspension: the pause between two steps of a program does not see them."""

    def moment(self) -> Moment:
        """What the two clocks show."""
        asleep = self.asleep_for
        return Moment(self.now() + asleep + self.wall, self.now() + asleep - 1_700_000_000.0)


def client_of(folder: Path, clock: TwoClocks) -> Client:
    """A simulated client by such a machine."""
    return Client(simulator=Simulator(clock=clock, seed=1), ledger=folder / "ledger.sqlite3")


def clock_of() -> TwoClocks:
    """A clock that has not been touched."""
    clock = TwoClocks()
    VirtualClock.__init__(clock, 1_800_000_000.0)
    return clock


def lose(client: Client, vendor: VendorId, fault: str = "lost-reset") -> str:
    """A submit whose answer is lost; its entry."""
    assert client.simulator
    client.simulator.inject(fault, vendor)
    with pytest.raises(AmbiguousError) as caught:
        client.submit(client.plan(REQUEST, vendor))
    assert caught.value.ledger_id
    return caught.value.ledger_id


def submits(client: Client) -> int:
    """How many submits the vendor was sent."""
    assert client.simulator
    return [method for _, method, _ in client.simulator.journal].count("POST")


@pytest.mark.parametrize("vendor", REPLAYING)
def test_a_refused_resubmit_does_not_make_a_key_young(tmp_path: Path, vendor: VendorId) -> None:
    """The key is as old as its submit, whatever is written into its entry later."""
    with client_of(tmp_path, clock := clock_of()) as client:
        lost = lose(client, vendor)
        clock.advance(3 * DAY)
        assert client.simulator
        client.simulator.inject("rate-limited-none", vendor, times=3)
        with pytest.raises(RejectedError):
            client.resubmit(lost, accept_double_billing=True)
        before = submits(client)
        (finding,) = client.reconcile(lost)
        assert (finding.result, submits(client) - before) == ("unsolved", 0)


@pytest.mark.parametrize("vendor", REPLAYING)
@pytest.mark.parametrize(
    ("wall", "asleep"),
    [(0.0, 3 * DAY), (-3 * DAY, 0.0), (-3 * DAY, 3 * DAY), (3 * DAY, 0.0), (-600.0, 0.0)],
)
def test_clocks_that_differ_make_a_key_too_old(
    tmp_path: Path, vendor: VendorId, wall: float, asleep: float
) -> None:
    """A suspended laptop, a clock set back, both at once, a clock set on: nothing is repeated."""
    with client_of(tmp_path, clock := clock_of()) as client:
        lost = lose(client, vendor)
        clock.wall, clock.asleep_for = wall, asleep
        before = submits(client)
        (finding,) = client.reconcile(lost)
        assert (finding.result, submits(client) - before) == ("unsolved", 0)


@pytest.mark.parametrize("vendor", REPLAYING)
def test_a_young_key_is_used(tmp_path: Path, vendor: VendorId) -> None:
    """Also where the clocks differ by what any clock is corrected by."""
    with client_of(tmp_path, clock := clock_of()) as client:
        lost = lose(client, vendor)
        clock.advance(REPLAY_SECONDS - 100)
        clock.wall = 1.0
        (finding,) = client.reconcile(lost)
        assert (finding.result, submits(client)) == ("found", 2)


@pytest.mark.parametrize("vendor", LISTING)
def test_a_later_task_is_no_candidate(tmp_path: Path, vendor: VendorId) -> None:
    """Days after the submit another program makes a task: it is not offered as the lost one."""
    with client_of(tmp_path, clock := clock_of()) as client:
        assert client.simulator
        lost = lose(client, vendor, "unheard-reset")
        clock.advance(3 * DAY)
        client.simulator.inject("rate-limited-none", vendor, times=3)
        with pytest.raises(RejectedError):
            client.resubmit(lost, accept_double_billing=True)
        with Client(simulator=client.simulator) as other:
            other.submit(other.plan({"prompt": "a dog", "duration": 3}, vendor))
        (finding,) = client.reconcile(lost)
        assert (finding.result, finding.candidates) == ("unsolved", ())


@pytest.mark.parametrize("vendor", REPLAYING)
def test_each_attempt_has_its_own_moment(tmp_path: Path, vendor: VendorId) -> None:
    """A refused attempt made no task, so the key is as old as the attempt that was lost."""
    with client_of(tmp_path, clock := clock_of()) as client:
        assert client.simulator
        client.simulator.inject("rate-limited-none", vendor, times=1)
        client.simulator.inject("lost-reset", vendor, times=1)
        with pytest.raises(AmbiguousError) as caught:
            client.submit(client.plan({"prompt": "a cat", "duration": 3}, vendor))
        assert client.ledger
        entry = client.ledger.entry(caught.value.ledger_id or "")
        assert entry.attempts == 2
        assert entry.sent is not None
        assert 1_800_000_000.0 < entry.sent.wall <= clock.now()


def test_an_entry_of_an_older_version_is_too_old(tmp_path: Path) -> None:
    """It does not say when it was sent."""
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        entry = ledger.write(Intend(submission()), ledger.new_owner(), NOW)
        assert ledger.entry(entry).sent is None


def test_ages() -> None:
    """The greater of the two, and none where they cannot both be right."""
    sent = Moment(1000.0, 50.0)
    assert Moment(1100.0, 150.0).seconds_since(sent) == 100.0
    assert Moment(1100.0, 155.0).seconds_since(sent) == 105.0
    assert Moment(900.0, 150.0).seconds_since(sent) is None
    assert Moment(1100.0, 10.0).seconds_since(sent) is None, "the machine was started anew"
    assert Moment(1100.0, 3000.0).seconds_since(sent) is None
