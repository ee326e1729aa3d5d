"""What can still be done about a job that was interrupted, as flows: resume, reconcile, adopt, resubmit."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from attrs import evolve, frozen

from ..errors import (
    AmbiguousError,
    BadReplyError,
    ClaimedError,
    LedgerError,
    PolyreelError,
    RequestError,
)
from ..flows import Flow, now, send
from ..ledger.events import claim, find, known, settle
from ..ledger.records import LedgerEntry
from ..ledger.states import started
from ..money.charged import with_charge
from .submitting import failed, finish, generate, outcome, pay

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..places import JsonObject
    from ..providers.base.facts import Facts, Listed, Listing

REPLAY_SECONDS: Final = 3600.0
"""How long after a submit its idempotency key is used again. How long vendors remember keys is not documented: a
repetition that comes too late would be a second job."""
CLOCKS_APART: Final = 120.0
"""Seconds by which a vendor's clock may differ from ours."""


# -- resume ------------------------------------------------------------------------------------------


def resume(name: str, *, folder: Path | None, timeout: float) -> Flow[Job]:
    """Finish the job of an entry: wait, download. Sends nothing where there is nothing left to do."""
    entry = yield from claim(name)
    return (yield from _proceed(entry, folder, timeout))


def _proceed(entry: LedgerEntry, folder: Path | None, timeout: float) -> Flow[Job]:
    job, own = entry.job, entry.submission
    if entry.state == "ambiguous":
        raise _still_ambiguous(entry)
    if job is None:
        raise LedgerError(
            f"{entry.id} is {entry.state}: there is no job to resume", ledger_id=entry.id
        )
    job = job.model_copy(update={"ledger_id": entry.id})
    if entry.state in {"failed", "canceled"}:
        raise failed(job)
    if entry.state == "saved" and all(
        Path(output.path or "").exists() for output in job.outputs or ()
    ):
        return job
    target = folder or Path(own.folder or "clips")
    return (yield from finish(job, folder=target, timeout=timeout, base_url=own.base_url))


def _still_ambiguous(entry: LedgerEntry) -> AmbiguousError:
    text = f"{entry.vendor} may have accepted and billed {entry.id}: {entry.reason}"
    return AmbiguousError(
        text, vendor=entry.vendor, ledger_id=entry.id, request_id=entry.request_id, billed="maybe"
    )


def generate_once(
    submitting: Flow[Job],
    *,
    reference: str | None,
    simulated: bool,
    folder: Path,
    timeout: float,
    base_urls: Mapping[str, str],
    stream: bool = False,
) -> Flow[Job]:
    """Generate, unless the ledger has a job under this reference: then go on with that one."""
    entry = (yield from find(reference, simulated=simulated)) if reference else None
    if entry is not None:
        return (yield from resume(entry.id, folder=folder, timeout=timeout))
    return (
        yield from generate(
            submitting, folder=folder, timeout=timeout, base_urls=base_urls, stream=stream
        )
    )


# -- reconcile ---------------------------------------------------------------------------------------


@frozen
class Finding:
    """What reconciling found out about one ambiguous entry."""

    entry: str
    vendor: str
    result: Literal["found", "unsolved"]
    text: str
    job: Job | None = None
    candidates: tuple[str, ...] = ()
    """Task ids that could be the job: `adopt` takes one."""


def reconcile(names: Sequence[str]) -> Flow[list[Finding]]:
    """Find out what became of ambiguous entries, by the vendor's idempotency key or its list of tasks.

    No second job is ever made: a submit is only repeated under its own key, where the vendor is known to answer that
    with the first one.
    """
    listings: dict[tuple[str, str, bool], Any] = {}
    findings: list[Finding] = []
    for name in names:
        try:
            entry = yield from claim(name)
        except ClaimedError as error:
            findings.append(Finding(name, error.vendor or "", "unsolved", str(error)))
            continue
        if entry.state == "ambiguous":
            findings.append((yield from _reconcile(entry, listings)))
    return findings


def _reconcile(entry: LedgerEntry, listings: dict[tuple[str, str, bool], Any]) -> Flow[Finding]:
    reason = ""
    age = (yield from now()) - entry.updated_at
    if entry.submission.is_replayable and age < REPLAY_SECONDS:
        found = yield from _replay(entry)
        if isinstance(found, Finding):
            return found
        reason = f"{found}; "
    own = entry.submission
    place = (own.vendor, own.base_url, own.simulated)
    if place not in listings:
        listings[place] = yield from _listing(entry)
    return (yield from _search(entry, listings[place], reason))


def _replay(entry: LedgerEntry) -> Flow[Finding | str]:
    """Ask for the job under its own key. A refusal speaks for this repetition, not for the submit before it."""
    try:
        reply = yield from send(entry.submission.send)
        facts = outcome(entry.submission, reply)
    except PolyreelError as error:
        return f"asked again under its own key, {error}"
    return (yield from _found(entry, facts, f"{entry.vendor} has it as {facts.id}"))


def _listing(entry: LedgerEntry) -> Flow[Listing | str | None]:
    """The vendor's list of tasks, None where it has none, or why it could not be read."""
    try:
        return (yield from entry.submission.provider.recent(entry.submission.base_url))
    except PolyreelError as error:
        return str(error)


def _search(entry: LedgerEntry, listing: Listing | str | None, reason: str) -> Flow[Finding]:
    vendor = entry.vendor
    if listing is None or isinstance(listing, str):
        why = listing or f"{vendor} documents no list of tasks: look at its dashboard"
        return Finding(entry.id, vendor, "unsolved", f"{reason}{why}")
    listed = tuple(task.id for task in listing.tasks)
    taken = yield from known(vendor, listed, simulated=entry.submission.simulated)
    free = [task for task in listing.tasks if task.id not in taken and _could_be(entry, task)]
    # Oldest first, as entries are looked at. Which of two equal bodies is whose does not matter.
    same = [
        task
        for task in reversed(free)
        if task.body is not None and _is_same(entry.submission.body, task.body)
    ]
    for task in same:
        return (yield from _take(entry, task, f"{vendor} lists it as {task.id}"))
    candidates = tuple(task.id for task in free if task.body is None)
    scope = "unfinished tasks" if listing.running_only else "tasks"
    what = (
        f"could be one of {', '.join(candidates[:5])}"
        if candidates
        else f"is not among the {scope} of {vendor}"
    )
    ended = (
        ", so it was not accepted or has ended already"
        if listing.running_only and not candidates
        else ""
    )
    return Finding(entry.id, vendor, "unsolved", f"{reason}it {what}{ended}", candidates=candidates)


def _could_be(entry: LedgerEntry, task: Listed) -> bool:
    """Whether a task was made at the right time, of the right model, as far as the list tells."""
    model = entry.submission.body.get("model")
    if task.model is not None and model is not None and task.model != model:
        return False
    if task.created is None:
        return True
    return entry.created_at - CLOCKS_APART <= task.created <= entry.updated_at + CLOCKS_APART


def _is_same(sent: JsonObject, echoed: JsonObject) -> bool:
    """Whether an echo is that of a body: everything sent is there; a vendor may add what it assumed."""
    return bool(sent) and all(
        name in echoed and echoed[name] == value for name, value in sent.items()
    )


def _take(entry: LedgerEntry, task: Listed, text: str) -> Flow[Finding]:
    try:
        facts = yield from _look(entry, task.id)
    except PolyreelError as error:
        return Finding(
            entry.id, entry.vendor, "unsolved", f"{text}, but {error}", candidates=(task.id,)
        )
    return (yield from _found(entry, facts, text))


def _look(entry: LedgerEntry, task: str) -> Flow[Facts]:
    """What the vendor says of a task, under the id that it was asked for; BadReplyError where it says nothing."""
    facts = yield from entry.submission.provider.get(task, entry.submission.base_url)
    if facts.word is None:
        raise BadReplyError(f"{entry.vendor} says nothing of {task}", vendor=entry.vendor)
    return evolve(facts, id=task)


def _found(entry: LedgerEntry, facts: Facts, text: str) -> Flow[Finding]:
    try:
        job = yield from _accept(entry, facts)
    except LedgerError as error:
        return Finding(entry.id, entry.vendor, "unsolved", str(error))
    return Finding(entry.id, entry.vendor, "found", text, job)


def _accept(entry: LedgerEntry, facts: Facts) -> Flow[Job]:
    """Give an entry its job."""
    job = with_charge(started(facts, **entry.submission.about, seconds=entry.created_at))
    job = job.model_copy(update={"ledger_id": entry.id})
    yield from settle(entry.id, "accepted", job=job)
    return job


# -- on the user's word ------------------------------------------------------------------------------


def adopt(name: str, task: str) -> Flow[Job]:
    """Say which task an ambiguous entry is. The vendor has to know the task."""
    entry = yield from _ambiguous(name)
    facts = yield from _look(entry, task)
    return (yield from _accept(entry, facts))


def resubmit(
    name: str, *, accept_double_billing: bool, timeout: float, folder: Path | None = None
) -> Flow[Job]:
    """Pay for an ambiguous entry's call anew, as a new entry, and finish it."""
    if not accept_double_billing:
        text = f"{name} may have been billed already: resubmitting it needs your word that paying twice is accepted"
        raise RequestError([text])
    entry = yield from _ambiguous(name)
    job = yield from pay(entry.submission.again(str(uuid.uuid4())), follows=entry.id)
    target = folder or Path(entry.submission.folder or "clips")
    own = entry.submission
    return (
        yield from finish(
            job, folder=target, timeout=timeout, base_url=own.base_url, stream=own.send.stream
        )
    )


def _ambiguous(name: str) -> Flow[LedgerEntry]:
    entry = yield from claim(name)
    if entry.state != "ambiguous":
        raise ClaimedError(f"{entry.id} is {entry.state}, not ambiguous", ledger_id=entry.id)
    return entry
