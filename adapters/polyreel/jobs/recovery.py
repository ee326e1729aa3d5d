"""What can be done about a job that was interrupted: resume, reconcile, adopt, resubmit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from attrs import evolve, frozen

from ..errors import (
    AmbiguousError,
    BadReplyError,
    ClaimedError,
    LedgerError,
    PolyreelError,
    RequestError,
    TaskNotFoundError,
)
from ..flows import Flow, moment, send
from ..ledger.events import claim, claim_or_look, find, known, settle
from ..ledger.records import LedgerEntry, after, new_idempotency_key
from ..money.charged import with_charge
from ..providers.base.answers import is_task_id
from ..providers.base.calling import own_id_request
from ..providers.base.results import located
from .finishing import failed, finish, generate
from .locations import Location, is_there, location_of
from .sameness import check_request
from .submitting import outcome, pay

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..places import JsonObject
    from ..plans.planning import Plan
    from ..providers.base.facts import Facts, Listed, Listing

T = TypeVar("T")
REPLAY_SECONDS: Final = 3600.0
"""How long after a submit its idempotency key is used again.

How long vendors remember keys is not documented. A repetition that comes too late would be a second
job.
"""
SUBMIT_SECONDS: Final = 3600.0
"""Seconds after which a submit on its way has certainly arrived, files included, or never will."""
CLOCKS_APART: Final = 120.0
"""Seconds by which a vendor's clock may differ from this machine's."""


# -- resume ----------------------------------------------------------------------------------------


def resume(name: str, *, folder: Location | None, timeout: float) -> Flow[Job]:
    """Finish the job of an entry: wait for it at most `timeout` seconds, and download its files.

    Nothing is sent where nothing is left to do. Where the ledger can be read but not written, the
    files are saved all the same, and the ledger does not hear of it.
    """
    entry, is_claimed = yield from claim_or_look(name)
    return (yield from _proceed(entry, folder, timeout, is_claimed=is_claimed))


def _proceed(
    entry: LedgerEntry, folder: Location | None, timeout: float, *, is_claimed: bool
) -> Flow[Job]:
    job, own = entry.job, entry.submission
    if entry.state == "ambiguous":
        raise _still_ambiguous(entry)
    if job is None:
        why = "there is no job to resume"
        if entry.state == "queued":
            why = f"it is not submitted yet, and nothing is billed: {after('queued')}"
        raise LedgerError(f"{entry.id} is {entry.state}: {why}", ledger_id=entry.id)
    # Nothing is written down of a job without an id in the ledger.
    job = job.model_copy(update={"ledger_id": entry.id if is_claimed else None})
    if entry.state in {"failed", "canceled"}:
        raise failed(job)
    files = [output.path or "" for output in job.outputs or ()]
    if entry.state == "saved" and all(map(is_there, files)):
        return job
    target = folder or location_of(own.folder or "clips")
    return (yield from finish(job, folder=target, timeout=timeout, base_url=own.base_url))


def _still_ambiguous(entry: LedgerEntry) -> AmbiguousError:
    text = f"{entry.vendor} may have accepted and billed {entry.id}: {entry.reason}"
    return AmbiguousError(
        text, vendor=entry.vendor, ledger_id=entry.id, request_id=entry.request_id, billed="maybe"
    )


def submit_once(
    submitting: Flow[T], plans: Sequence[Plan], reference: str | None, *, simulated: bool
) -> Flow[T]:
    """Submit, unless the ledger has a job under this reference: then ClaimedError is raised.

    RequestError is raised where that is the job of another request than that of `plans`.
    """
    try:
        return (yield from submitting)
    except ClaimedError:
        entry = (yield from find(reference, simulated=simulated)) if reference else None
        if entry is not None:
            check_request(plans, entry, reference or "")
        raise


def generate_once(
    submitting: Flow[Job],
    plans: Sequence[Plan],
    *,
    reference: str | None,
    simulated: bool,
    folder: Location,
    timeout: float,
    base_urls: Mapping[str, str],
    stream: bool = False,
) -> Flow[Job]:
    """Generate, unless the ledger has a job under this reference: then resume that job.

    RequestError is raised where that is the job of another request than that of `plans`.
    """
    entry = (yield from find(reference, simulated=simulated)) if reference else None
    if entry is not None:
        check_request(plans, entry, reference or "")
        return (yield from resume(entry.id, folder=folder, timeout=timeout))
    generating = generate(
        submitting, folder=folder, timeout=timeout, base_urls=base_urls, stream=stream
    )
    return (yield from generating)


# -- reconcile -------------------------------------------------------------------------------------

Place = tuple[str, str, bool]
"""A vendor, an address of it, and whether it is simulated: where tasks can be listed."""


@frozen
class Finding:
    """What was found out about one ambiguous entry."""

    entry: str
    vendor: str
    result: Literal["found", "unsolved"]
    text: str
    job: Job | None = None
    candidates: tuple[str, ...] = ()
    """The ids of tasks that could be the job; `adopt` takes one of them."""


def reconcile(names: Sequence[str]) -> Flow[list[Finding]]:
    """Find out what became of ambiguous entries, by idempotency key or the vendor's list of tasks.

    No second job is ever made. A submit is only repeated under its own key, and only where the
    vendor is known to answer that with the first job.
    """
    listings: dict[Place, Listing | str | None] = {}
    findings: list[Finding] = []
    for name in names:
        # What is wrong with one entry, its row or its vendor, is told, and stops no other.
        vendor = ""
        try:
            entry = yield from claim(name)
            vendor = entry.vendor
            if entry.state == "ambiguous":
                findings.append((yield from _reconcile(entry, listings)))
        except PolyreelError as error:
            vendor = error.vendor or vendor
            findings.append(Finding(name, vendor, "unsolved", str(error)))
    return findings


def _reconcile(entry: LedgerEntry, listings: dict[Place, Listing | str | None]) -> Flow[Finding]:
    reason = ""
    if entry.submission.own_id is not None:
        found = yield from _by_own_id(entry, entry.submission.own_id)
        if isinstance(found, Finding):
            return found
        reason = f"{found}; "
    if entry.submission.is_replayable and (yield from _is_young(entry)):
        found = yield from _replay(entry)
        if isinstance(found, Finding):
            return found
        reason = f"{found}; "
    own = entry.submission
    place = (own.vendor, own.base_url, own.simulated)
    if place not in listings:
        listings[place] = yield from _listing(entry)
    return (yield from _search(entry, listings[place], reason))


def _is_young(entry: LedgerEntry) -> Flow[bool]:
    """Whether the key of an entry was certainly sent less than an hour ago.

    Where the clocks contradict each other, or nobody wrote down when it was sent, it is too old.
    """
    read = yield from moment()
    age = None if read is None or entry.sent is None else read.seconds_since(entry.sent)
    return age is not None and age < REPLAY_SECONDS


def _by_own_id(entry: LedgerEntry, own_id: str) -> Flow[Finding | str]:
    """Ask for the task under the id that the submit had; the result is the job, or why not."""
    own = entry.submission
    request = own_id_request(own.provider.contract, own_id)
    if request is None:
        return f"{entry.vendor} cannot be asked for {own_id}"
    what = "a query by an id of ours"
    try:
        asking = own.provider.ask(request, own.base_url, what, unknown=TaskNotFoundError)
        read = own.provider.read((yield from asking))
        facts = located(own.provider, read, own.base_url)
    except TaskNotFoundError:
        return f"{entry.vendor} knows no task under {own_id}"
    except PolyreelError as error:
        return str(error)
    if facts.id is None or not is_task_id(facts.id) or facts.word is None:
        return f"{entry.vendor} says nothing of a task under {own_id}"
    return (yield from _found(entry, facts, f"{entry.vendor} has it as {facts.id}"))


def _replay(entry: LedgerEntry) -> Flow[Finding | str]:
    """Repeat the submit under its own key; the result is the job, or why it was not found.

    A refusal is about this repetition, not about the submit before it.
    """
    try:
        reply = yield from send(entry.submission.send)
        facts = outcome(entry.submission, reply)
    except PolyreelError as error:
        return f"asked again under its own key, {error}"
    return (yield from _found(entry, facts, f"{entry.vendor} has it as {facts.id}"))


def _listing(entry: LedgerEntry) -> Flow[Listing | str | None]:
    """Read the vendor's list of tasks: None where it has none, a text where it cannot be read."""
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
    # Oldest first, as entries are. It does not matter which of two equal bodies belongs to which.
    same = [
        task
        for task in reversed(free)
        if task.body is not None and _is_same(entry.submission.body, task.body)
    ]
    for task in same:
        return (yield from _take(entry, task, f"{vendor} lists it as {task.id}"))
    candidates = tuple(task.id for task in free if task.body is None)
    if candidates:
        text = f"it could be one of {', '.join(candidates[:5])}"
    elif listing.running_only:
        missing = f"it is not among the unfinished tasks of {vendor}"
        text = f"{missing}, so it was not accepted or has ended already"
    else:
        text = f"it is not among the tasks of {vendor}"
    return Finding(entry.id, vendor, "unsolved", f"{reason}{text}", candidates=candidates)


def _could_be(entry: LedgerEntry, task: Listed) -> bool:
    """Whether a task has the right model, time and id of ours, as far as the list says."""
    own_id = entry.submission.own_id
    if own_id is not None and task.own_id not in {None, own_id}:
        return False
    model = entry.submission.body.get("model")
    if task.model is not None and model is not None and task.model != model:
        return False
    if task.created is None:
        return True
    first = entry.created_at if entry.sent is None else entry.sent.wall
    last = entry.updated_at if entry.sent is None else entry.sent.wall + SUBMIT_SECONDS
    return first - CLOCKS_APART <= task.created <= last + CLOCKS_APART


def _is_same(sent: JsonObject, echoed: JsonObject) -> bool:
    """Whether an echo is that of a body: it has all that was sent, and may have more.

    Vendors add the values that they assumed.
    """
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
    """Ask the vendor about a task; the facts keep the id that was asked for.

    BadReplyError is raised where the answer does not say how the task is.
    """
    own = entry.submission
    facts = yield from own.provider.get(task, own.base_url, own.locator(task))
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
    """Make the task the job of an entry."""
    began = entry.created_at if entry.sent is None else entry.sent.wall  # it may have been queued
    job = with_charge(entry.submission.job(facts, began))
    job = job.model_copy(update={"ledger_id": entry.id})
    yield from settle(entry.id, "accepted", job=job)
    return job


# -- on the user's word ----------------------------------------------------------------------------


def adopt(name: str, task: str) -> Flow[Job]:
    """Make a task the job of an ambiguous entry. The vendor has to know the task."""
    entry = yield from _ambiguous(name)
    facts = yield from _look(entry, task)
    return (yield from _accept(entry, facts))


def resubmit(
    name: str, *, accept_double_billing: bool, timeout: float, folder: Location | None = None
) -> Flow[Job]:
    """Pay again for the call of an ambiguous entry, as a new entry, and finish its job.

    RequestError is raised where the user does not accept to be billed twice.
    """
    if not accept_double_billing:
        need = (
            "resubmitting it needs your word that paying twice is accepted: "
            "accept_double_billing=True, or --accept-double-billing"
        )
        raise RequestError([f"{name} may have been billed already: {need}"])
    entry = yield from _ambiguous(name)
    own = entry.submission.again(new_idempotency_key())
    if folder is not None:
        own = evolve(own, folder=str(folder))
    job = yield from pay(own, follows=entry.id)
    finishing = finish(
        job,
        folder=location_of(own.folder or "clips"),
        timeout=timeout,
        base_url=own.base_url,
        stream=own.send.stream,
    )
    return (yield from finishing)


def _ambiguous(name: str) -> Flow[LedgerEntry]:
    entry = yield from claim(name)
    if entry.state != "ambiguous":
        text = f"{entry.id} is {entry.state}, not ambiguous: {after(entry.state)}"
        raise ClaimedError(text, ledger_id=entry.id)
    return entry
