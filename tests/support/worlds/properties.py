"""What has to hold in every world, whatever goes wrong in it."""

from __future__ import annotations

import copy
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import Factory, define
from polyreel.errors import RATE_LIMITED, AmbiguousError, RejectedError
from polyreel.flows import Send
from polyreel.ledger.events import Claim, Intend
from polyreel.ledger.records import LedgerEntry, Submission
from polyreel.ledger.rows import Columns
from polyreel.places import JsonObject, put
from polyreel.providers.base.calling import own_id_place
from polyreel_generated.shared import Job

if TYPE_CHECKING:
    from .machine import Done, Thread
    from .vendors import Bill
    from .world import SimulatedWorld

BATCH: Final = "batch"
"""The name of the batch of a world."""
AFTER: Final = {
    "succeeded": {"succeeded", "saved", "abandoned"},
    "saved": {"saved"},
    "failed": {"failed"},
    "canceled": {"canceled"},
    "abandoned": {"abandoned"},
}
"""Which states of an entry may follow one that is an end."""
FLAGGED: Final = frozenset({"ambiguous", "abandoned", "resubmitted"})
"""States that tell the user that there may be a bill, or that the user has decided about it."""


@define(eq=False)
class Oracle:
    """Sees everything that happens in a world, and notes what must not be."""

    world: SimulatedWorld
    violations: list[str] = Factory(list)
    bills: list[Bill] = Factory(list)
    words: Counter[str] = Factory(Counter)
    """How often users have said that a job may be paid again, by its purpose."""
    shown: set[str] = Factory(set)
    """Tasks and purposes that users were told of by a result or an error."""
    _entries: dict[str, str] = Factory(dict)
    _submissions: dict[str, Submission] = Factory(dict)
    """What was written down for each entry, also where its row cannot be read any more."""
    _keys: dict[str, tuple[str, str | None]] = Factory(dict)

    def fail(self, text: str) -> None:
        """Note that something happened that must not."""
        self.world.note(f"!!! {text}")
        if text not in self.violations:
            self.violations.append(text)

    # -- what threads do ---------------------------------------------------------------------------

    def intends(self, thread: Thread, event: Intend) -> None:
        """A submit is about to be written down."""
        own = event.submission
        followed = self._entries.get(event.follows or "")
        thread.purpose = own.reference or followed or f"the job of actor {thread.actor.number}"
        self._keys[own.idempotency_key] = thread.purpose, None

    def took(self, thread: Thread, event: Intend | Claim, result: object) -> None:
        """A thread has written an entry down, or taken it over."""
        if result is None:
            return
        entry = result.id if isinstance(result, LedgerEntry) else str(result)
        self._check_alone(thread, entry)
        thread.holds.add(entry)
        if isinstance(event, Intend):
            key = event.submission.idempotency_key
            thread.entry = thread.sending = entry
            self._entries[entry] = thread.purpose
            self._submissions[entry] = event.submission
            self._keys[key] = thread.purpose, entry
            if event.follows is not None:
                self.gave_word(event.follows, thread.actor.word)

    def _check_alone(self, thread: Thread, entry: str) -> None:
        for other in self.world.threads:
            if other is not thread and other.active and entry in other.holds:
                self.fail("two work on one entry at the same time")

    def gave_word(self, entry: str, word: bool = True) -> None:
        """A user gave an entry up, or accepted that it is paid twice."""
        if not word:
            self.fail("a job was paid again without the user's word")
        elif any(thread.active and thread.sending == entry for thread in self.world.threads):
            self.fail("the user was asked about a submit that was still under way")
        else:
            self.words[self._entries.get(entry, entry)] += 1

    def purpose_of(self, step: Send, thread: Thread) -> tuple[str, str | None]:
        """What a call is for, and its entry."""
        for value in step.headers.values():
            if value in self._keys:
                return self._keys[value]
        return thread.purpose, thread.entry

    def purpose(self, entry: str) -> str:
        """What an entry is for."""
        return self._entries.get(entry, entry)

    def billed(self, bill: Bill) -> None:
        """A vendor has billed a job."""
        self.bills.append(bill)

    def saw(self, thread: Thread, done: Done) -> None:
        """A user has seen the result, or the error, of a flow."""
        error = done.error
        job = done.result if error is None else error.job
        if isinstance(job, Job):
            self.shown.add(job.id)
        if isinstance(error, AmbiguousError):
            self.shown.add(thread.purpose)
        if isinstance(error, RejectedError) and len(thread.actor.vendors) == 1:
            tries = thread.actor.retries + 1
            submits = thread.actor.deed in {"generate", "submit"}
            if submits and error.status == RATE_LIMITED and thread.paid < tries:
                self.fail("a refusal that costs nothing has ended a job")
        if isinstance(done.result, Job) and thread.actor.deed == "generate":
            self._check_request(thread, done.result)

    def _check_request(self, thread: Thread, job: Job) -> None:
        plan = self.world.plan(job.vendor, thread.actor.prompts[0])
        task = self.world.vendors.simulator.tasks.get((job.vendor, job.id))
        own = own_id_place(plan.provider.operation(plan.route)) if plan.route else None
        if task is None or _request(task.body, own) != _request(json.loads(plan.content), own):
            self.fail("the file of another request was delivered")

    # -- the ledger --------------------------------------------------------------------------------

    def changed(self, before: Columns | None, after: Columns) -> None:
        """A row of the ledger was changed."""
        allowed = AFTER.get(str(before["state"])) if before else None
        if allowed is not None and after["state"] not in allowed:
            self.fail(f"{before and before['state']} was taken back")

    # -- the end -----------------------------------------------------------------------------------

    def check(self, entries: list[LedgerEntry]) -> None:
        """Check all that can only be known at the end. `entries` are those of a new process."""
        self._check_bills()
        self._check_known(entries)
        for entry in entries:
            if entry.state == "sending" or entry.owned:
                self.fail(f"an entry stays {entry.state}, in use" if entry.owned else "sending")
            self._check_files(entry)

    def _check_bills(self) -> None:
        counts = Counter(bill.purpose for bill in self.bills)
        for purpose, count in counts.items():
            if count > 1 + self.words[purpose]:
                self.fail("one job was billed twice")
        limits = [actor.limit for actor in self.world.plot.actors if actor.limit is not None]
        names = [name for name in counts if name.startswith(f"{BATCH}/")]
        spent = sum(counts[name] for name in names) - sum(self.words[name] for name in names)
        if limits and spent > max(limits):
            self.fail("a batch has cost more than its limit")

    def _check_known(self, entries: list[LedgerEntry]) -> None:
        """Each bill is in the ledger, or was shown, or there is a flagged entry for it.

        It does not matter which of two equal requests has which of two bills.
        """
        tasks = {(one["vendor"], one["task"]) for one in self.world.file.rows.values()}
        flagged = [one for one in entries if one.state in FLAGGED or one.trouble is not None]
        for bill in self.bills:
            if not bill.kept or (bill.vendor, bill.task) in tasks or bill.task in self.shown:
                continue
            own = next((one for one in flagged if one.id == bill.entry), None)
            other = own or next((one for one in flagged if self._is_for(one, bill)), None)
            if other is None:
                self.fail("a bill is neither in the ledger nor flagged")
            else:
                flagged.remove(other)

    def _is_for(self, entry: LedgerEntry, bill: Bill) -> bool:
        """Whether an entry can be that of a bill, as far as can be told from outside."""
        written = self._submissions.get(entry.id)
        return written is not None and (written.vendor, written.body) == (bill.vendor, bill.body)

    def _check_files(self, entry: LedgerEntry) -> None:
        if entry.state != "saved" or entry.job is None:
            return
        for output in entry.job.outputs or ():
            own = (entry.vendor, entry.job.id)
            if self.world.vendors.files.get(Path(output.path or "")) != own:
                self.fail("a file is another job's, or is missing")


def _request(body: JsonObject, own: str | None) -> JsonObject:
    """A body without the id of ours, which is another one in each submit."""
    request = copy.deepcopy(body)
    if own is not None:
        put(request, own, "")
    return request
