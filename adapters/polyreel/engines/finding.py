"""What work there is, by what a ledger says: whatever was lost on its way is found again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from ..jobs.work import Save, Tend, Work, chunks
from .performing import ledger_of

if TYPE_CHECKING:
    from ..client.settings import ClientSettings

MOST: Final = 1_000
"""How many submits, and how many downloads, are found at a time."""


def outstanding(client: ClientSettings, *, shards: int = 1, age: float = 0.0) -> Iterator[Work]:
    """The work that there is for a client: what to submit, to wait for, and to save.

    `shards` is into how many pieces the waiting for each vendor's jobs is divided. What was queued,
    or has succeeded, less than `age` seconds ago is left to those who were told of it.
    """
    found, simulated = ledger_of(client).outstanding, client.simulated
    before = client.wire.clock.now() - age if age else float("inf")
    queued = found.queued(simulated=simulated, before=before, limit=MOST)
    yield from chunks(queued)
    for vendor in found.vendors(simulated=simulated):
        for shard in found.shards(vendor, shards, simulated=simulated):
            yield Tend(vendor, shard, shards)
    for name in found.unsaved(simulated=simulated, before=before, limit=MOST):
        yield Save(name)
