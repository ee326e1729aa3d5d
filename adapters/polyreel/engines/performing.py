"""Doing a piece of work. Each can be done twice, at once or again: nothing is paid twice."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from attrs import Factory, define

from ..drivers import ManyJobsDriver, arun
from ..errors import ClaimedError, LedgerError, PolyreelError
from ..jobs.many import Completed, ManyJobs
from ..jobs.queued import submit_queued
from ..jobs.retrying import can_be_made_later
from ..jobs.work import Save, Submit, Tend, Work
from ..ledger.events import read_news
from ..ledger.keeping import StoredLedger
from ..ledger.outstanding import AtVendor
from ..ledger.records import Later

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..client import AsyncClient
    from ..client.settings import ClientSettings
    from ..client.working import Stop

LOG: Final = logging.getLogger("polyreel")
AT_ONCE: Final = 8
"""How many submits, or downloads, of one piece of work are under way at the same time."""
LIMIT_SECONDS: Final = 5.0
"""How long a piece of work waits for limits, before it leaves its entries queued."""
_TURNS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[int, str], asyncio.Lock]]] = (
    WeakKeyDictionary()
)
LOOK_SECONDS: Final = 2.0
"""The pause between two looks into the ledger for more jobs of a shard."""
PAGE: Final = 1_000
"""How many entries are read, and in memory, at a time."""
WHOLE_SECONDS: Final = 60.0
"""The pause between two looks at all jobs of a shard; the others are at what has changed."""
LATE_SECONDS: Final = 60.0
"""By how many seconds the clocks of machines may differ without a job being found late."""


async def perform(
    work: Work,
    client: AsyncClient,
    *,
    put: Callable[[Work], None] | None = None,
    stop: Stop | None = None,
) -> None:
    """Do a piece of work, with what the ledger of a client says about it now.

    Args:
        work: `Submit` submits entries that are queued; `Tend` waits for jobs until they have ended;
            `Save` saves the files of a job.
        client: a client with the ledger, and with the keys where jobs are live.
        put: is given the work that follows, such as to save files. Without it, that is done here.
        stop: such as an event: waiting for jobs ends soon after it is set.

    What is left to do is tried as far as it goes. Then the first error is raised of those that
    another try may mend. Refusals, ambiguous submits and failed jobs are in the ledger, and are no
    errors here.
    """
    _catch_up(client)
    match work:
        case Submit():
            ends: dict[str, float] = {}
            # An engine may bring work again: what is not queued any more is left out at once.
            queued = ledger_of(client).outstanding.still_queued
            names = await asyncio.to_thread(queued, work.ids, simulated=client.simulated)
            await _each(names, lambda name: _submit(name, client, ends))
        case Save():
            await _fetch(work.id, client)
        case Tend():
            await _Tending(work, client, put, stop).run()


def _catch_up(client: AsyncClient) -> None:
    """Let a simulated client know the jobs of other processes, and let it be as late as there."""
    if not client.simulated or client.simulator is None:
        return
    from ..simulator import VirtualClock  # noqa: PLC0415
    from ..simulator.memory import recall  # noqa: PLC0415

    recall(client.simulator)
    clock = client.simulator.clock
    if isinstance(clock, VirtualClock):
        clock.advance(ledger_of(client).last_simulated() - clock.now())


def ledger_of(client: ClientSettings) -> StoredLedger:
    """The ledger of a client. LedgerError is raised where it keeps none that holds work."""
    if not isinstance(client.ledger, StoredLedger):
        raise LedgerError("this client keeps no ledger: give it one with ledger=")
    return client.ledger


async def _each(names: Sequence[str], do: Callable[[str], Awaitable[None]]) -> None:
    """Do something for each of some entries, a few at a time; then raise the first error."""
    left, errors = iter(names), []

    async def take_next() -> None:
        for name in left:
            try:
                await do(name)
            except Exception as error:  # it is about this entry, and stops no other
                LOG.warning("%s: %s", name, error)
                errors.append(error)

    await asyncio.gather(*(take_next() for _ in range(min(AT_ONCE, len(names)))))
    if errors:
        raise errors[0]


async def _submit(name: str, client: AsyncClient, ends: dict[str, float]) -> None:
    """Submit an entry, or leave it queued where its limits do not allow it soon.

    `ends` says until when this piece of work waits for each name of limits: others wait for it.
    """
    later = await _try_to_submit(name, client)
    while later is not None:
        end = ends.setdefault(later.limits, time.monotonic() + LIMIT_SECONDS)
        async with _turn(client, later.limits):
            if later.seconds > end - time.monotonic():
                LOG.debug("%s stays queued: its limits do not allow it yet", name)
                return
            await asyncio.sleep(later.seconds)
        later = await _try_to_submit(name, client)


async def _try_to_submit(name: str, client: AsyncClient) -> Later | None:
    flow = submit_queued(name, simulated=client.simulated, retries=client.retries)
    try:
        outcome = await arun(flow, client.wire)
    except PolyreelError as error:
        if can_be_made_later(error):
            raise
        LOG.warning("%s: %s", name, error)
        return None
    return outcome if isinstance(outcome, Later) else None


def _turn(client: AsyncClient, limits: str) -> asyncio.Lock:
    """The lock of those in this process who wait for limits: one after the other."""
    turns = _TURNS.setdefault(asyncio.get_running_loop(), {})
    return turns.setdefault((id(client.ledger), limits), asyncio.Lock())


async def _fetch(name: str, client: AsyncClient) -> None:
    entry = ledger_of(client).entry(name)
    if entry.state != "succeeded" or entry.submission.folder is None:
        return
    try:
        job = await client.resume(name, timeout=float("inf"))
    except ClaimedError:
        LOG.debug("%s: another worker saves its files", name)
    else:
        paths = ", ".join(output.path for output in job.outputs or () if output.path)
        LOG.info("%s %s: saved %s", job.vendor, job.id, paths)


@define(eq=False)
class _Tending:
    """Waiting for the jobs of a shard."""

    work: Tend
    client: AsyncClient
    put: Callable[[Work], None] | None
    stop: Stop | None
    known: dict[str, str] = Factory(dict)
    """The ids of the entries that are waited for, or were, by those of their tasks."""
    names: set[str] = Factory(set)
    """The ids of these entries."""
    with_folder: set[str] = Factory(set)
    """The entries whose files are to be saved."""
    fetched: list[str] = Factory(list)
    """The entries whose files are saved here at the end."""
    trouble: list[Exception] = Factory(list)
    looked_at: float = -WHOLE_SECONDS
    """When all entries were looked at last, by the monotonic clock."""
    newest: float = 0.0
    """When the newest entry that was found was written, or they were looked for last, in seconds
    since 1970.
    """

    async def run(self) -> None:
        """Wait until all have ended."""
        client, looked_at = self.client, 0.0
        many = ManyJobs(client.simulated, client.wire.randomness, self.work.shards)
        async with ManyJobsDriver(client.wire, many) as driver:
            while self.stop is None or not self.stop.is_set():
                if driver.is_idle or time.monotonic() - looked_at >= LOOK_SECONDS:
                    looked_at = time.monotonic()
                    await self._enrol(driver)
                    if driver.is_idle:
                        break
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):  # costs no task, as wait_for does
                        self._end(await driver.get())
        if self.fetched:
            await _each(tuple(self.fetched), lambda name: _fetch(name, client))
        if self.trouble:
            raise self.trouble[0]

    async def _enrol(self, driver: ManyJobsDriver) -> None:
        """Wait for the jobs too that were accepted meanwhile."""
        work, client, seconds = self.work, self.client, time.monotonic()
        began = client.wire.clock.now()
        is_whole = driver.is_idle or seconds - self.looked_at >= WHOLE_SECONDS
        self.looked_at = seconds if is_whole else self.looked_at
        outstanding = ledger_of(client).outstanding
        found = await asyncio.to_thread(
            outstanding.accepted,
            work.vendor,
            work.shard,
            work.shards,
            simulated=client.simulated,
            since=0.0 if is_whole else self.newest - LATE_SECONDS,
        )
        if not client.simulated:  # clocks of simulated clients show what they were moved to
            self.newest = max(self.newest, began)
        new = [name for name in found if name not in self.names]
        if not new:
            return
        # What the ledger says of each job is read just now. Who calls back is asked once.
        news = await arun(
            read_news(client.wire.clock.now(), simulated=client.simulated), client.wire
        )
        for start in range(0, len(new), PAGE):
            page = await asyncio.to_thread(outstanding.at_vendors, new[start : start + PAGE])
            await driver.enrol_all(self._noted(page), timeout=inf, news=news)

    def _noted(self, entries: Sequence[AtVendor]) -> Iterator[tuple[Job, str]]:
        """The jobs of entries, each noted, with their addresses."""
        for entry in entries:
            self.names.add(entry.id)
            self.newest = max(self.newest, entry.updated_at)
            if entry.job is None:
                LOG.warning("%s cannot be read, so nothing is done about it", entry.id)
                continue
            self.known[entry.job.id] = entry.id
            if entry.has_folder:
                self.with_folder.add(entry.id)
            yield entry.job, entry.base_url

    def _end(self, end: Completed) -> None:
        name = self.known[end.job.id]
        if end.error is not None:
            LOG.warning("%s: %s", name, end.error)
            self.trouble.append(end.error)
        elif end.job.status == "succeeded" and name in self.with_folder:
            if self.put is None:
                self.fetched.append(name)
            else:
                self.put(Save(name))
