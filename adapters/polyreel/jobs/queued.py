"""Jobs that are written down now and submitted later, by whoever takes them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from ..errors import LedgerError, PolyreelError, RequestError, UnknownNameError
from ..flows import Flow, Record, Sleep
from ..ledger.events import Look, Queue, take
from ..ledger.records import Later
from .finishing import try_output
from .retrying import can_be_made_later, pause_after
from .submitting import make_attempt

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..ledger.records import LedgerEntry
    from ..plans.planning import Plan

LOG: Final = logging.getLogger("polyreel")


def check(plan: Plan) -> None:
    """Raise PlanRefusedError or RequestError for a plan that cannot be submitted later.

    Such has files of this machine, which whoever submits it may not have.
    """
    plan.check()
    if plan.uploads or any(part.path is not None for part in plan.parts):
        raise RequestError(
            [
                "the request has files of this machine, which are sent with the submit or before "
                "it, maybe by another machine: put them where the vendor can fetch them, and give "
                "their links; or submit it here"
            ]
        )


def enqueue(queueing: Queue) -> Flow[LedgerEntry]:
    """Write a paid call down; nothing is sent. The result is the entry, which is queued."""
    entry: LedgerEntry | None = yield Record(queueing)
    if entry is None:
        raise LedgerError("this client keeps no ledger: give it one with ledger=")
    return entry


def submit_queued(name: str, *, simulated: bool, retries: int = 0) -> Flow[Job | Later | None]:
    """Make the paid call of an entry that is queued; None where it is not queued any more.

    The result is Later where its limits do not allow it yet. An attempt that is proved unpaid is
    made again at most `retries` times. Then, if another one makes sense later, the entry is queued
    again, and the error is raised all the same.
    """
    yield from _try_output_of(name, simulated=simulated)
    for number in range(retries + 1):
        entry = yield from take(name, simulated=simulated)
        if entry is None or isinstance(entry, Later):
            return entry
        own = entry.check().submission
        try:
            return (yield from make_attempt(own, entry.id, queued=entry.attempts))
        except PolyreelError as error:
            pause = pause_after(error, number) if can_be_made_later(error) else None
            if number == retries or pause is None:
                raise
            LOG.warning("%s; trying again in %g s, which costs nothing", error, pause)
            yield Sleep(pause, jitter=0.2)
    raise AssertionError("unreachable")


def _try_output_of(name: str, *, simulated: bool) -> Flow[None]:
    """Try whether the files of an entry that is queued could be saved, before it is taken."""
    try:
        entry: LedgerEntry = yield Record(Look(name))
    except UnknownNameError:
        return
    if entry.state == "queued" and entry.submission.simulated == simulated:
        yield from try_output(entry.submission.folder)
