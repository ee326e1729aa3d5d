"""Working off a ledger: each open job is waited for, and its files are saved.

Nothing here does I/O but through the ledger's store. The clients perform what it says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from attrs import define, field

from ..errors import ClaimedError, JobFailedError, PolyreelError
from ..flows import Flow
from ..jobs import recovery
from ..jobs.locations import Location, location_of
from ..jobs.many import Completed, ManyJobs
from ..providers.base.facts import FINAL

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..ledger.records import LedgerEntry
    from ..ledger.store import LedgerStore

LOG: Final = logging.getLogger("polyreel")
LOOK_SECONDS: Final = 1.0
"""The pause between two looks into the ledger for jobs that others have submitted."""
RETRY_SECONDS: Final = 60.0
"""After how many seconds a job is tried again that could not be finished."""
UNFINISHED: Final = ("accepted", "succeeded", "ambiguous")
"""The states of entries that work can bring further."""


class Stop(Protocol):
    """What says that work is to end, such as a `threading.Event` or an `asyncio.Event`."""

    def is_set(self) -> bool:
        """Whether it is to end."""


@define(eq=False)
class LedgerWork:
    """The work that a ledger has for a client: one flow after another, and pauses between them."""

    ledger: LedgerStore
    simulated: bool
    many: ManyJobs
    folder: Location | None = None
    """Where files of jobs are saved that have no folder of their own; None leaves them."""
    listener: Callable[[Job], None] | None = None
    finished: int = 0
    """How many jobs were brought to their end."""
    _known: dict[tuple[str, str], str] = field(factory=dict, init=False)
    """The entries of the jobs that are waited for."""
    _ready: list[Flow[None]] = field(factory=list, init=False)
    _looked_at: float | None = field(default=None, init=False)
    _resting: dict[tuple[str, bool], float] = field(factory=dict, init=False)
    """The entries that could not be finished, and when they are tried again.

    An ambiguous one that a person adopts is another matter at once.
    """
    _doubts: dict[str, str] = field(factory=dict, init=False)
    """What was said of entries that are ambiguous still."""

    def next(self, seconds: float) -> Flow[None] | float:
        """What to do now (`seconds` since 1970), or for how many seconds there is nothing to do."""
        since = None if self._looked_at is None else seconds - self._looked_at
        if since is None or self.idle or not 0 <= since < LOOK_SECONDS:
            self._looked_at, since = seconds, 0.0
            self._look(seconds)
        if self._ready:
            return self._ready.pop(0)
        work = self.many.next(seconds)
        return min(work, LOOK_SECONDS - since) if isinstance(work, float) else self._after(work)

    @property
    def idle(self) -> bool:
        """Whether no job is waited for: then the clock of a simulator has no reason to go on."""
        return not self._ready and not len(self.many)

    def _look(self, seconds: float) -> None:
        """Take up the ledger's unfinished entries that are not worked on yet."""
        known = set(self._known.values())
        for entry in self.ledger.each_entry(UNFINISHED, simulated=self.simulated):
            at_rest = entry.id, entry.state == "ambiguous"
            if entry.id in known or self._resting.get(at_rest, seconds) > seconds:
                continue
            self._resting.pop(at_rest, None)
            if entry.trouble is not None:
                LOG.warning("%s: %s, so nothing is done about it", entry.id, entry.trouble)
                self._resting[at_rest] = float("inf")
            elif entry.state == "ambiguous":
                self._resting[at_rest] = seconds + RETRY_SECONDS
                self._ready.append(self._reconcile(entry))
            elif entry.state == "succeeded" and self._target(entry) is None:
                continue  # nobody said where its files go
            elif entry.job is not None:
                self._known[entry.vendor, entry.job.id] = entry.id
                self._ready.append(self._enrol(entry, entry.job))

    def _target(self, entry: LedgerEntry) -> Location | None:
        own = entry.submission.folder
        return self.folder if own is None else location_of(own)

    def _enrol(self, entry: LedgerEntry, job: Job) -> Flow[None]:
        if job.status in FINAL:
            yield from self._finish(Completed(job))
            return
        enrolling = self.many.enrol(job, timeout=float("inf"), base_url=entry.submission.base_url)
        yield from self._after(enrolling)

    def _after(self, work: Flow[list[Completed]]) -> Flow[None]:
        for end in (yield from work):
            yield from self._finish(end)

    def _finish(self, end: Completed) -> Flow[None]:
        """Save the files of a job that has ended, and tell the listener of it."""
        job = end.job
        name = self._known.pop((job.vendor, job.id))
        job, trouble = job.model_copy(update={"ledger_id": name}), end.error
        try:
            entry = self.ledger.entry(name)
            target = self._target(entry)
            if trouble is None and job.status == "succeeded" and target is not None:
                job = yield from recovery.resume(name, folder=target, timeout=float("inf"))
        except JobFailedError as error:
            job = error.job or job
        except ClaimedError:
            return  # another process has it in hand
        except PolyreelError as error:
            trouble = error
        if trouble is not None:
            LOG.warning("%s is tried again in %g s: %s", name, RETRY_SECONDS, trouble)
            self._resting[name, False] = (self._looked_at or 0.0) + RETRY_SECONDS
            return
        self.finished += 1
        if self.listener is not None:
            self.listener(job)

    def _reconcile(self, entry: LedgerEntry) -> Flow[None]:
        """Find out what became of an ambiguous submit. That never makes a second job."""
        for finding in (yield from recovery.reconcile([entry.id])):
            if finding.result == "found":
                self._resting.pop((entry.id, True), None)
            elif self._doubts.get(entry.id) != finding.text:  # it is said once
                self._doubts[entry.id] = finding.text
                LOG.warning("%s is ambiguous, and needs you: %s", entry.id, finding.text)
