"""Webhooks and polls tell one ledger: whatever the order, and however often, each job ends in one
state.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve
from polyreel import Client, Simulator
from polyreel.errors import WebhookError
from polyreel.ledger.sqlite import Ledger
from polyreel.providers.base import webhooks
from polyreel.providers.base.facts import FINAL
from polyreel.providers.base.registry import get_provider
from polyreel.simulator import VirtualClock
from polyreel.simulator.scripting import scriptable
from polyreel.simulator.webhooks import Delivery, deliveries
from polyreel_generated.contracts.vendors import VendorId
from support import matrix
from support.ledgers import database
from support.vendors import vendor_id
from support.webhooks import HOOKED, OTHER_SECRET, SECRET, SIGNED, UNSIGNED, told, webhook

REQUEST = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}
ENDS = ("succeeded", "failed", "canceled")


def ends(vendor: str) -> list[str]:
    """How the vendor's jobs end, as far as it documents it."""
    known = scriptable(get_provider(vendor))
    return [end for end in ENDS if end == "succeeded" or end in known]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with Client(
        simulator=Simulator(clock=VirtualClock(time.time() - 3600), seed=1),
        ledger=tmp_path / "ledger.sqlite3",
    ) as made:
        yield made


def submit(client: Client, vendor: VendorId, end: str = "succeeded") -> str:
    """A job that will end so; its task."""
    assert client.simulator
    if end != "succeeded":
        client.simulator.script(vendor, end)
    return client.submit(client.plan(REQUEST, vendor)).id


def calls(client: Client, vendor: str, task: str) -> list[Delivery]:
    """Everything that the vendor has sent of a job by now, from its beginning to its end an hour
    ago.
    """
    assert client.simulator
    secret = SECRET if vendor in SIGNED else None
    return deliveries(client.simulator, vendor, task, secret, time.time())


def deliver(client: Client, vendor: str, delivery: Delivery, secret: str = SECRET) -> str:
    """Take a delivery in; what it did."""
    assert client.ledger
    event = webhooks.parse(vendor, delivery.headers, delivery.body, secret)
    return client.ledger.deliver(event, time.time(), simulated=True).effect


@pytest.mark.parametrize(("vendor", "end"), [(one, end) for one in SIGNED for end in ends(one)])
def test_signed_webhooks_tell_a_jobs_life(
    client: Client, vendor: VendorId, end: str, tmp_path: Path
) -> None:
    """They move the job on, and a poll finishes it: where the files are is not told by every
    webhook.
    """
    assert client.ledger
    task = submit(client, vendor, end)
    sent = calls(client, vendor, task)
    assert len(sent) == len(told(vendor, end))
    effects = [deliver(client, vendor, delivery) for delivery in sent]
    assert effects[-1] == "applied"
    (entry,) = client.jobs()
    assert entry.state == end
    assert entry.job
    assert entry.job.status == end
    if end == "succeeded":
        assert client.simulator
        client.simulator.clock.advance(600)  # type: ignore[attr-defined]
        client.resume(entry.id, output=tmp_path)
        assert client.jobs()[0].state == "saved"


@pytest.mark.parametrize(("vendor", "end"), [(one, end) for one in UNSIGNED for end in ends(one)])
def test_unsigned_webhooks_only_hint(client: Client, vendor: VendorId, end: str) -> None:
    """Anybody could have sent them: the job stays as it was until the vendor was asked."""
    task = submit(client, vendor, end)
    before = client.jobs()
    sent = calls(client, vendor, task)
    assert sent
    assert [deliver(client, vendor, delivery) for delivery in sent] == ["hint"] * len(sent)
    assert client.jobs() == before
    assert before[0].job
    assert client.simulator
    client.simulator.clock.advance(600)  # type: ignore[attr-defined]
    client.get(before[0].job)
    assert client.jobs()[0].state == end


DELIVERIES = matrix.shared(10_000, 12)
JOBS = max(len(HOOKED), DELIVERIES // 100)


@pytest.mark.slow
@pytest.mark.matrix
def test_thousands_of_shuffled_deliveries_have_one_effect_each(client: Client) -> None:
    """Duplicated, out of order, late and between polls; the ledger's last word is the vendor's end
    of each job.
    """
    assert client.ledger
    chance = random.Random(1)
    made = []
    for number in range(JOBS):
        vendor, end = (
            HOOKED[number % len(HOOKED)],
            chance.choice(ends(HOOKED[number % len(HOOKED)])),
        )
        made.append((vendor, submit(client, vendor_id(vendor), end), end))
    sent = [(vendor, call) for vendor, task, _ in made for call in calls(client, vendor, task)]
    shuffled = [chance.choice(sent) for _ in range(DELIVERIES - len(sent))] + sent
    chance.shuffle(shuffled)
    effects = Counter(
        (vendor, effect) for vendor, call in shuffled for effect in [deliver(client, vendor, call)]
    )
    assert sum(effects.values()) == DELIVERIES
    assert sum(
        count for (_, effect), count in effects.items() if effect == "duplicate"
    ) == DELIVERIES - len(sent)
    entries = {(entry.vendor, entry.job.id): entry for entry in client.jobs() if entry.job}
    for vendor, task, end in made:
        assert entries[vendor, task].state == (end if vendor in SIGNED else "accepted")
    ended = sum(entry.state in FINAL for entry in entries.values())
    assert ended == sum(vendor in SIGNED for vendor, _, _ in made)


def test_an_end_is_never_taken_back(client: Client) -> None:
    """By an older event that comes late, or by a contradicting one."""
    vendor = SIGNED[0]
    task = submit(client, vendor_id(vendor))
    queued, running, done = calls(client, vendor, task)
    assert [deliver(client, vendor, call) for call in (done, queued, running)] == [
        "applied",
        "unchanged",
        "unchanged",
    ]
    other = evolve(
        done, body=done.body.replace(b"succeeded", b"failed").replace(b"COMPLETED", b"FAILED")
    )
    with pytest.raises(WebhookError):
        deliver(client, vendor, other)
    assert client.jobs()[0].state == "succeeded"


def test_forgeries_change_nothing(client: Client) -> None:
    """Nor are they remembered: the true delivery still counts."""
    vendor = SIGNED[0]
    task = submit(client, vendor_id(vendor))
    done = calls(client, vendor, task)[-1]
    for secret in (OTHER_SECRET, *([] if webhook(vendor).optional else [""])):
        with pytest.raises(WebhookError):
            deliver(client, vendor, done, secret)
    assert client.jobs()[0].state == "accepted"
    assert deliver(client, vendor, done) == "applied"


@pytest.mark.parametrize("vendor", HOOKED)
def test_strangers_do_not_fill_the_file(client: Client, vendor: VendorId) -> None:
    """Events of jobs that the ledger does not know are not remembered, and events of old are
    forgotten.
    """
    assert client.ledger
    assert client.simulator
    with Client(simulator=client.simulator) as other:
        task = submit(other, vendor)
    sent = calls(client, vendor, task)
    assert {deliver(client, vendor, call) for call in sent} == {"unknown-job"}
    count = "SELECT count(*) FROM deliveries"
    assert database(client.ledger).execute(count).fetchone()[0] == 0
    mine = calls(client, vendor, submit(client, vendor))
    event = webhooks.parse(vendor, mine[-1].headers, mine[-1].body, SECRET)
    client.ledger.deliver(event, time.time(), simulated=True)
    client.ledger.deliver(evolve(event, id="another"), time.time() + 30 * 86_400, simulated=True)
    assert database(client.ledger).execute(count).fetchone()[0] == 1


def test_deliveries_are_remembered_across_processes(client: Client) -> None:
    """By the file, not by whoever has it open."""
    assert isinstance(client.ledger, Ledger)
    vendor = HOOKED[0]
    done = calls(client, vendor, submit(client, vendor_id(vendor)))[-1]
    deliver(client, vendor, done)
    event = webhooks.parse(vendor, done.headers, done.body, SECRET)
    with Ledger(client.ledger.path) as again:
        assert again.deliver(event, time.time(), simulated=True).effect == "duplicate"
