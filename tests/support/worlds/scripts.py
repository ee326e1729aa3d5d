"""What users' programs, commands of the command line, and webhooks do in a world."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from polyreel import AsyncClient, Client
from polyreel.batch import Batch
from polyreel.batch.rows import Row
from polyreel.client.byid import JobCalls
from polyreel.errors import ClaimedError
from polyreel.flows import Flow, Reply, Sleep
from polyreel.ledger.records import LedgerEntry
from polyreel.money.amounts import CostRange
from polyreel.money.book import PriceBook, Rate
from polyreel.providers.base.registry import get_provider
from polyreel.providers.base.webhooks import Event
from polyreel.simulator.webhooks import Delivery, deliveries

from ..webhooks import SECRET
from .plot import VENDORS, Deed
from .properties import BATCH

if TYPE_CHECKING:
    from .machine import Script, Thread
    from .world import SimulatedWorld

FOLDER: Final = Path(tempfile.gettempdir()) / "clips-of-a-world"
"""Nothing is ever written there."""
PRICES: Final = PriceBook(tuple(Rate(vendor, usd_per_file=Decimal(1)) for vendor in VENDORS))
PATIENCE: Final = 1800.0
CALLS: Final = 6
"""How often a vendor calls back in a world."""


def begin(world: SimulatedWorld, thread: Thread) -> Script:
    """The script of a thread."""
    actor, process = thread.actor, thread.process
    kind = AsyncClient if actor.deed == "batch" else Client
    client = kind(
        simulator=world.vendors.simulator,
        ledger=process.ledger if actor.keeps else None,
        retries=actor.retries,
        prices=PRICES,
    )
    yield from SCRIPTS[actor.deed](world, thread, client)


def _generate(world: SimulatedWorld, thread: Thread, client: JobCalls) -> Script:
    actor = thread.actor
    plans = [world.plan(vendor, actor.prompts[0]) for vendor in actor.vendors]
    asked = plans[0] if len(plans) == 1 else plans
    yield client._generation(asked, FOLDER, PATIENCE, actor.reference)


def _submit(world: SimulatedWorld, thread: Thread, client: JobCalls) -> Script:
    """Submit, and care about the job later."""
    actor = thread.actor
    plan = world.plan(actor.vendors[0], actor.prompts[0])
    done = yield client._submission(plan, actor.reference, FOLDER)
    if done.error is None:
        done = yield client._wait(done.result, PATIENCE)
    if done.error is None and done.result.status == "succeeded":
        yield client._download(done.result, FOLDER)


def _batch(world: SimulatedWorld, thread: Thread, client: JobCalls) -> Script:
    """One run of a batch, one row after the other; the rows of the next run may be others."""
    actor = thread.actor
    others = (other for other in world.threads if other.actor.deed == "batch")
    if any(other.active and other.steps for other in others if other is not thread):
        return  # the run before it goes on
    assert isinstance(client, AsyncClient)
    rows = [
        Row(
            number,
            number,
            f"{BATCH}/{prompt}",
            world.request(prompt),
            vendors=actor.vendors,
            batch=BATCH,
        )
        for number, prompt in enumerate(actor.prompts, 1)
    ]
    limit = None if actor.limit is None else Decimal(actor.limit)
    batch = Batch(client, rows, FOLDER, max_cost=limit)
    batch.plan()
    batch.check()
    for task in batch._prepared[0]:
        if task.entry is None:
            if not batch.budget.reserve(task.cost_range):
                continue
            done = yield client._submission(task.asked, task.row.reference, FOLDER)
            unpaid = done.error is not None and done.error.billed == "no"
            batch.budget.settle(
                task.cost_range, None if unpaid else CostRange.of(task.plans[0].cost)
            )
        yield client._generation(task.asked, FOLDER, PATIENCE, task.row.reference)


# -- the command line ------------------------------------------------------------------------------


def _jobs(world: SimulatedWorld, thread: Thread, client: JobCalls) -> Script:
    client.jobs()
    yield from ()


def _resume(world: SimulatedWorld, thread: Thread, client: JobCalls) -> Script:
    for entry in client.jobs(["accepted", "succeeded"]):
        if not entry.owned:
            yield client._resumption(entry.id, None, PATIENCE)


def _reconcile(world: SimulatedWorld, thread: Thread, client: JobCalls) -> Script:
    yield client._reconciliation(())


def _chosen(thread: Thread, entries: list[LedgerEntry]) -> LedgerEntry | None:
    return thread.chance.choice(entries) if entries else None


def _adopt(world: SimulatedWorld, thread: Thread, client: JobCalls) -> Script:
    """The user has found the task on the vendor's dashboard, by its prompt."""
    entry = _chosen(thread, client.jobs(["ambiguous"]))
    if entry is None:
        return
    purpose = world.oracle.purpose(entry.id)
    for bill in world.oracle.bills:
        mine = (bill.vendor, bill.purpose) == (entry.vendor, purpose)
        if mine and (entry.trouble is not None or bill.body == entry.submission.body):
            yield client._adoption(entry.id, bill.task)
            return


def _resubmit(world: SimulatedWorld, thread: Thread, client: JobCalls) -> Script:
    entry = _chosen(thread, client.jobs(["ambiguous"]))
    if entry is not None:
        yield client._resubmission(entry.id, thread.actor.word, None, PATIENCE)


def _abandon(world: SimulatedWorld, thread: Thread, client: JobCalls) -> Script:
    entry = _chosen(thread, client.jobs(["ambiguous", "accepted", "succeeded"]))
    yield from ()
    if entry is None or client.ledger is None:
        return
    try:
        client.ledger.abandon(entry.id)
    except ClaimedError:
        return
    world.oracle.gave_word(entry.id)


# -- webhooks --------------------------------------------------------------------------------------


def pause(seconds: float) -> Flow[None]:
    """Wait."""
    yield Sleep(seconds)


def _webhooks(world: SimulatedWorld, thread: Thread, client: JobCalls) -> Script:
    """A receiver, and vendors that call it in any order, late, and several times."""
    chance, process = thread.chance, thread.process
    for _ in range(CALLS):
        yield pause(10.0 ** chance.uniform(0, 2.5))
        hooked = [task for task in world.vendors.simulator.tasks if get_provider(task[0]).webhook]
        if not hooked:
            continue
        vendor, task = chance.choice(hooked)
        now = world.vendors.simulator.clock.now()
        posted = deliveries(world.vendors.simulator, vendor, task, SECRET, now)
        if not posted:
            continue
        event = _event(vendor, task, chance.choice(posted))
        delivered = process.ledger.deliver(event, process.clock.now(), simulated=True)
        entry = delivered.entry
        if delivered.effect == "hint" and entry is not None and entry.job is not None:
            yield client._query(entry.job.model_copy(update={"ledger_id": entry.id}))


def _event(vendor: str, task: str, delivery: Delivery) -> Event:
    webhook = get_provider(vendor).webhook
    assert webhook is not None
    facts = get_provider(vendor).read(Reply(200, {}, delivery.body), webhook)
    name = delivery.headers.get("webhook-id") or hashlib.sha256(delivery.body).hexdigest()
    return Event(vendor, name, task, facts, webhook.signed)


Deeds = Mapping[Deed, "Callable[[SimulatedWorld, Thread, JobCalls], Script]"]
SCRIPTS: Final[Deeds] = {
    "generate": _generate,
    "submit": _submit,
    "batch": _batch,
    "jobs": _jobs,
    "resume": _resume,
    "reconcile": _reconcile,
    "adopt": _adopt,
    "resubmit": _resubmit,
    "abandon": _abandon,
    "webhooks": _webhooks,
}
