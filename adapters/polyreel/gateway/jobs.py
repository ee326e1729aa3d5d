"""The jobs that clients of a gateway know: found by their ids, asked about, canceled, fetched."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from attrs import define, field, frozen

from ..errors import LedgerError, UnknownNameError, VendorError
from ..jobs.waiting import is_complete
from ..ledger.keeping import StoredLedger
from ..ledger.records import SUPERSEDED
from ..providers.base.facts import FINAL
from ..providers.base.registry import get_provider
from .files import FileAnswer, JobFiles
from .tasks import FacedTask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from polyreel_generated.shared import Job

    from ..client import AsyncClient
    from ..jobs.canceling import Cancellation
    from ..jobs.locations import Location
    from ..ledger.gateway_rows import GatewayJob
    from ..ledger.limits import LimitRows
    from ..ledger.records import LedgerEntry
    from ..plans.reading import Reading
    from ..serving.calls import Call
    from ..serving.links import Links

T = TypeVar("T")
LOG: Final = logging.getLogger("polyreel")
LINK_SECONDS: Final = 24 * 60 * 60.0
"""How long a link of the gateway's own to a file works. Every status query makes a new one."""
STORED_LINK_SECONDS: Final = 30 * LINK_SECONDS
"""The same, where files are stored."""
AT_ONCE: Final = 8
"""How many jobs of one list are asked about at the same time."""
REMEMBERED: Final = 100_000
"""Of how many jobs it is known when they were asked about."""
MOST_IDS: Final = 100
"""About how many jobs one call can ask, and for how many of a list vendors are asked."""


@frozen
class Shown:
    """A job that a client knows, as it is now."""

    row: GatewayJob
    job: Job
    ended: float | None
    """When it ended, in seconds since 1970, where that is written down."""


@define
class Locks:
    """A lock for each of the things that are worked on."""

    _locks: dict[Hashable, tuple[asyncio.Lock, list[None]]] = field(factory=dict)

    @asynccontextmanager
    async def __call__(self, name: Hashable) -> AsyncIterator[None]:
        """Hold the lock of a name; it is forgotten when nobody holds or wants it."""
        lock, users = self._locks.setdefault(name, (asyncio.Lock(), []))
        users.append(None)
        try:
            async with lock:
                yield
        finally:
            users.pop()
            if not users:
                self._locks.pop(name, None)


def ledger_of(client: AsyncClient) -> StoredLedger:
    """The ledger of a client; LedgerError where it has none that can keep a gateway's jobs."""
    if not isinstance(client.ledger, StoredLedger):
        raise LedgerError("a gateway keeps its jobs in a ledger of polyreel's own: pass ledger=")
    return client.ledger


def limits_of(client: AsyncClient) -> LimitRows:
    """The limits in the ledger of a client."""
    return ledger_of(client).limits


class FacedJobs:
    """The jobs of all faces."""

    def __init__(self, client: AsyncClient, folder: Path, store: Location | None = None) -> None:
        """Keep files beside the ledger in `folder`, and those of jobs in `store` for good."""
        self.client = client
        client.wire.shares_commits = True
        self.files = JobFiles(client, folder, store)
        self.link_seconds = LINK_SECONDS if store is None else STORED_LINK_SECONDS
        self.kept = ledger_of(client).gateway
        self.link_secret = self.kept.secret("links")
        self._asked: OrderedDict[str, float] = OrderedDict()
        self._fetching = Locks()

    def now(self) -> float:
        """The time of the jobs, in seconds since 1970."""
        return self.client.wire.clock.now()

    async def of_ledger(self, work: Callable[[], T]) -> T:
        """What a quick look into the ledger finds.

        Awaited where the ledger is a server's. In a file it is done at once: in a thread it would
        wait for those that write.
        """
        shared = ledger_of(self.client).shares_commits
        return await asyncio.to_thread(work) if shared else work()

    async def rows(self, face: str, ids: Sequence[str], token: str | None) -> list[GatewayJob]:
        """The jobs of a token with these ids, as far as there are such; None: of any token."""
        wanted = list(dict.fromkeys(ids))[:MOST_IDS]
        find = partial(self.kept.found, face, wanted, token, simulated=self.client.simulated)
        found = {row.id: row for row in await self.of_ledger(find)}
        return [found[one] for one in wanted if one in found]

    async def of_own_id(self, face: str, own_id: str, token: str) -> list[GatewayJob]:
        """The jobs of a token that its client has given this id, oldest first."""
        simulated = self.client.simulated
        find = partial(self.kept.of_own_id, face, own_id, token, simulated=simulated)
        return await self.of_ledger(find)

    async def newest(self, face: str, token: str, last: int) -> list[GatewayJob]:
        """The newest jobs of a token, oldest first."""
        find = partial(self.kept.newest, face, token, last, simulated=self.client.simulated)
        return await asyncio.to_thread(find)

    async def entries(self, rows: Sequence[GatewayJob]) -> Mapping[str, LedgerEntry]:
        """The ledger entries of jobs, by reference: the one that holds it, else the newest."""
        ledger = self.client.ledger
        assert ledger is not None
        references = [row.reference for row in rows]
        simulated = self.client.simulated
        read_all = partial(ledger.of_references, references, simulated=simulated)
        found: dict[str, LedgerEntry] = {}
        for entry in await self.of_ledger(read_all):
            reference = entry.submission.reference or ""
            before = found.get(reference)
            if before is None or before.state in SUPERSEDED:
                found[reference] = entry
        return found

    async def shown(self, rows: Sequence[GatewayJob]) -> list[Shown]:
        """Jobs with their states of now, in the order of the rows; those without a job are not.

        Of very many that still run, only the last are asked about: the states of the others are
        those of the ledger.
        """
        entries = await self.entries(rows)
        made = [
            (row, entry, entry.job)
            for row in rows
            if (entry := entries.get(row.reference)) is not None and entry.job is not None
        ]
        running = [entry.id for _, entry, job in made if not _is_over(job)]
        asked, places = {*running[-MOST_IDS:]}, asyncio.Semaphore(AT_ONCE)

        async def one(row: GatewayJob, entry: LedgerEntry, job: Job) -> Shown:
            if entry.id not in asked or not self._is_due(entry):
                return Shown(row, job, entry.finished_at)
            async with places:
                return Shown(row, await self._fresh(job, entry.id), entry.finished_at)

        return await asyncio.gather(*(one(*each) for each in made))

    async def tasks(self, call: Call, rows: Sequence[GatewayJob]) -> list[FacedTask]:
        """The same as a face shows them."""
        found = await self.shown(rows)
        return [self.task(call, one) for one in found]

    def task(self, call: Call, shown: Shown, reading: Reading | None = None) -> FacedTask:
        """A job as a face shows it; `reading` is what was asked for, where that is known."""
        row, job = shown.row, shown.job
        ended = shown.ended or (self.now() if job.status in FINAL else None)
        link = partial(self._link, call.request.links, row, job.vendor)
        return FacedTask(row, call.provider, reading, job, ended, link)

    def _link(self, links: Links, row: GatewayJob, vendor: str, number: int, url: str) -> str:
        """The link that clients get: the vendor's own, or one of the gateway."""
        if not self.files.are_given(vendor, url):
            return url
        suffix = Path(url.partition("?")[0]).suffix[:6]
        clean = suffix if suffix[1:].isalnum() else ""
        return links.url(row.id, f"{number}{clean}", self.now())

    async def _fresh(self, job: Job, entry: str) -> Job:
        """The job of an entry after a query of its vendor; as it was where that fails."""
        try:
            return await self.client.look(entry)
        except VendorError as error:
            LOG.warning("%s %s: %s", job.vendor, entry, error)
            return job

    def _is_due(self, entry: LedgerEntry) -> bool:
        """Whether a vendor may be asked: however often clients ask, it is not asked more often."""
        now = self.now()
        asked = self._asked.get(entry.id)
        pause = 0.0 if self.client.simulated else get_provider(entry.vendor).poll_floor
        if asked is not None and 0 <= now - asked < pause:  # clocks are set back now and then
            return False
        self._asked[entry.id] = now
        self._asked.move_to_end(entry.id)
        while len(self._asked) > REMEMBERED:
            self._asked.popitem(last=False)
        return True

    async def cancel(self, row: GatewayJob) -> Cancellation:
        """Ask the vendor of a job to stop it; UnknownNameError where there is no job of it."""
        entry = (await self.entries([row])).get(row.reference)
        if entry is None or entry.job is None:
            raise UnknownNameError("there is no such job")
        return await self.client.cancel(entry.id)

    async def file(self, row: GatewayJob, job: Job, number: int) -> FileAnswer:
        """Fetch an output of a job, by its number from 1; UnknownNameError where there is none."""
        if not 1 <= number <= len(job.outputs or ()):
            raise UnknownNameError("there is no such file")
        async with self._fetching(row.reference):
            entry = (await self.entries([row])).get(row.reference)
            known = entry.job if entry is not None and entry.job is not None else job
            name = entry.id if entry is not None else row.id
            found = known if len(known.outputs or ()) >= number else job
            return await self.files.answer(found, number, name)

    async def store(self, row: GatewayJob) -> None:
        """Have the files of a job that has succeeded in the store. Raises DownloadError."""
        async with self._fetching(row.reference):
            entry = (await self.entries([row])).get(row.reference)
            if entry is not None and entry.job is not None:
                await self.files.stored(entry.job)


def _is_over(job: Job) -> bool:
    """Whether nothing about a job can change any more."""
    return job.status in FINAL and is_complete(job)
