"""A run whose rows are made by workers: they are written down here, and followed in the ledger."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from attrs import Factory, define, field

from ..client import AsyncClient
from ..errors import (
    AmbiguousError,
    BudgetError,
    ClaimedError,
    LedgerError,
    NeverSentError,
    RejectedError,
    StillRunningError,
)
from ..jobs.finishing import failed
from ..jobs.naming import named
from ..jobs.work import CHUNK, Engine, chunks
from ..ledger.commands import command
from ..ledger.keeping import StoredLedger
from ..ledger.limits import was_used_up
from ..ledger.records import PROVED_UNPAID, LedgerEntry
from .outcomes import Outcomes
from .results import Result, known
from .tasks import RowTask
from .working import WorkSettings

if TYPE_CHECKING:
    from ..ledger.records import State

Item = TypeVar("Item")
LOG: Final = logging.getLogger("polyreel")
PAGE: Final = 500
"""How many rows are written down, or looked for, at a time."""
LOOK_SECONDS: Final = 2.0
"""The pause between two looks into the ledger."""
OPEN: Final[frozenset[State]] = frozenset({"queued", "sending", "accepted", "succeeded"})
"""The states in which a worker has something to do."""


@define(eq=False)
class Followed:
    """A row that workers make."""

    task: RowTask
    asked: int = 0
    """How many of its vendors were asked before."""
    under_way_since: float | None = None
    """Since when it is known that its vendor has it, by a monotonic clock."""
    is_reconciled: bool = False


@define(eq=False)
class FollowedRun:
    """One run of a batch whose rows are made by workers of its ledger."""

    client: AsyncClient
    ledger: StoredLedger
    engine: Engine
    settings: WorkSettings
    outcomes: Outcomes
    is_paced: bool = False
    """Whether limits other than that of money hold for the rows."""
    _rows: dict[str, Followed] = Factory(dict)
    """The rows that are not over, by their references."""
    _shared: frozenset[bytes] = field(default=frozenset(), init=False)
    """The hashes of contents that more than one row sends."""
    _was_taken: bool = field(default=False, init=False)
    """Whether a worker has taken a row, or it was said how to start one."""

    async def do(self, tasks: Sequence[RowTask]) -> None:
        """Write the rows down that have no entry, and follow all; results go to `outcomes`."""
        counts = Counter(content for task in tasks for content in task.contents)
        self._shared = frozenset(content for content, count in counts.items() if count > 1)
        self._rows = {task.row.reference: Followed(task) for task in tasks}
        await self._enqueue([row for row in self._rows.values() if row.task.entry is None])
        while self._rows:
            try:
                await self._look()
            except LedgerError as error:
                LOG.warning("%s; the rows are looked for again", error)
            if self._rows:
                await asyncio.sleep(LOOK_SECONDS)

    # -- writing down ------------------------------------------------------------------------------

    async def _enqueue(self, rows: Sequence[Followed]) -> None:
        """Write rows down, a page at a time, and tell workers of them.

        Of rows that begin at a pace, workers are told of the first. They find the others.
        """
        told = 0
        for page in _pages(rows):
            written = await asyncio.gather(*map(self._enqueued, page))
            names = [name for name in written if name is not None]
            if self.is_paced:
                names = names[: max(0, CHUNK - told)]
            told += len(names)
            for work in chunks(names):
                await asyncio.to_thread(self.engine.put, work)

    async def _enqueued(self, row: Followed) -> str | None:
        """Write one row down; the id of its entry, or None where there is nothing to tell."""
        own = row.task.row
        try:
            entry = await self.client.enqueue(
                row.task.usable[row.asked],
                reference=own.reference,
                output=str(named(self.settings.output, own.name)),
                labels=self.settings.labels,
                limits=own.batch,
            )
        except ClaimedError:  # another run of the batch was faster: it is followed
            return None
        except Exception as error:  # whatever it is, it is about this row
            self._over(row, self.outcomes.of(row.task, error=error))
            return None
        return entry.id

    # -- following ---------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Look how the rows are, and end those that are over."""
        doubtful: list[tuple[Followed, LedgerEntry]] = []
        again: list[Followed] = []
        is_busy = False
        for page in _pages([*self._rows]):
            states = await asyncio.to_thread(self._states, page)
            for reference in page:
                row, (identity, state) = self._rows[reference], states.get(reference, ("", None))
                self._was_taken |= state not in {None, "queued"}
                if state in OPEN:
                    is_busy |= not self._is_late(row, state, identity)
                    continue
                if state is None:  # nobody has it any more
                    self._over(row, self.outcomes.of(row.task))
                    continue
                entry = await asyncio.to_thread(self.ledger.entry, identity)
                if entry.state == "ambiguous" and not row.is_reconciled:
                    doubtful.append((row, entry))
                elif entry.state in PROVED_UNPAID and row.asked + 1 < len(row.task.usable):
                    again.append(row)
                elif entry.state not in OPEN:
                    self._end(row, entry)
        for row in again:
            row.asked += 1
            row.under_way_since = None
        await self._enqueue(again)
        for row, entry in doubtful:
            await self._reconcile(row, entry, alone=not is_busy and not again)
        if self._rows and not self._was_taken:
            self._was_taken = await asyncio.to_thread(self._misses_workers)

    def _states(self, references: Sequence[str]) -> Mapping[str, tuple[str, State]]:
        self.ledger.recover()
        return self.ledger.outstanding.states(references, simulated=self.client.simulated)

    def _is_late(self, row: Followed, state: State, identity: str) -> bool:
        """Whether a row takes too long; then it is over here, and its job goes on."""
        if state not in {"accepted", "succeeded"}:
            row.under_way_since = None
            return False
        now = time.monotonic()
        if row.under_way_since is None:
            row.under_way_since = now
        if now - row.under_way_since < self.settings.timeout:
            return False
        text = f"{identity} is {state} for {self.settings.timeout:g} s; its job goes on"
        error = StillRunningError(text, ledger_id=identity, billed="yes")
        self._over(row, self.outcomes.of(row.task, error=error))
        return True

    def _misses_workers(self) -> bool:
        """Whether no worker is at work; then it is said how to start one."""
        if self.ledger.outstanding.processes():
            return False
        LOG.warning(
            "no worker is at work just now, and %d row(s) wait for one. Start it with: %s",
            len(self._rows),
            command("worker", ledger=self.ledger.named, live=not self.client.simulated),
        )
        return True

    async def _reconcile(self, row: Followed, entry: LedgerEntry, *, alone: bool) -> None:
        """Ask once what became of a submit without an answer. A job that is found is followed.

        A vendor's list tells rows apart by their bodies: those that share theirs with others are
        looked for when nothing else is under way (`alone`).
        """
        if not alone and not self._shared.isdisjoint(row.task.contents):
            return
        row.is_reconciled = True
        try:
            findings = await self.client.reconcile(entry.id)
        except Exception as error:  # as above
            self._over(row, self.outcomes.of(row.task, error=error))
            return
        if not any(finding.result == "found" for finding in findings):
            self._end(row, await asyncio.to_thread(self.ledger.entry, entry.id))

    def _end(self, row: Followed, entry: LedgerEntry) -> None:
        """End a row by what the ledger says."""
        task = row.task
        self._over(row, known(task.row, entry, task.cost(entry.vendor), error_of(entry)))

    def _over(self, row: Followed, result: Result) -> None:
        self._rows.pop(row.task.row.reference, None)
        self.outcomes.add(result)


def error_of(entry: LedgerEntry) -> Exception | None:
    """What went wrong with the job of an entry, by what the ledger says; None where nothing did."""
    reason = entry.reason or f"{entry.id} is {entry.state}"
    if entry.state == "saved":
        return None
    if entry.state in {"failed", "canceled"} and entry.job is not None:
        return failed(entry.job)
    if entry.state == "ambiguous":
        text = f"{entry.vendor} may have accepted and billed {entry.id}: {reason}"
        return AmbiguousError(text, vendor=entry.vendor, ledger_id=entry.id, billed="maybe")
    if entry.state == "rejected":
        return RejectedError(reason, vendor=entry.vendor, ledger_id=entry.id)
    if entry.state == "unsent":
        kind = BudgetError if was_used_up([entry.reason]) else NeverSentError
        return kind(reason, vendor=entry.vendor, ledger_id=entry.id)
    return LedgerError(f"{entry.id} is {entry.state}", vendor=entry.vendor, ledger_id=entry.id)


def _pages(items: Sequence[Item]) -> Iterator[list[Item]]:
    left = iter(items)
    while page := [*islice(left, PAGE)]:
        yield page
