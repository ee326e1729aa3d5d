"""What an agent should do next about a job: said in every answer, so that nothing is paid twice."""

from __future__ import annotations

from typing import Final

from ..errors import BudgetError, PolyreelError, RejectedError
from ..ledger.commands import deciding
from ..ledger.records import PROVED_UNPAID, LedgerEntry

AGAIN: Final = (
    "Call `resume` with its id, or `generate` with the same arguments: both go on with this job "
    "and cost nothing more."
)
LATER: Final = "Look again later, with `jobs`; do not generate it under another job_name."
AMBIGUOUS: Final = (
    "The vendor's answer was lost: it may have accepted and billed the job. Do not generate it "
    "anew, under this or any other job_name. Call `reconcile` with its id, which costs nothing. "
    "If it stays ambiguous, tell the person: only they can decide, after a look at the vendor's "
    "dashboard, with one of:"
)


def next_step(
    entry: LedgerEntry | None, error: PolyreelError | None, named: str | None = None
) -> str:
    """What to do about a job, or about a call that made none.

    `named` is the place of the ledger, where the commands of the person need it.
    """
    if entry is None or entry.state in PROVED_UNPAID:
        return _without_job(error, is_begun=entry is None)
    if entry.state == "ambiguous":
        ways = deciding(entry.id, ledger=named, live=not entry.submission.simulated)
        return f"{AMBIGUOUS} {', '.join(f'`{typed}` ({meaning})' for typed, meaning in ways)}."
    if entry.state == "queued":
        return f"The job waits for a worker, which submits it. Nothing is billed yet. {LATER}"
    if entry.state == "sending":
        return f"The job is being submitted just now. {AGAIN}"
    if entry.state == "accepted":
        return f"The vendor works on the job. {AGAIN}"
    if entry.state == "succeeded":
        return f"The clip is ready at the vendor, and its files are not saved yet. {AGAIN}"
    if entry.state == "saved" and entry.job is not None and entry.job.element is not None:
        return "The subject is made: cite its id, `element` of the job, in `elements` of requests."
    if entry.state == "saved":
        return "The files are saved; read them as resources, or use their paths."
    if entry.state in {"failed", "canceled"}:
        return (
            f"The vendor ended the job without a file: it is {entry.state}. A new try is a new "
            "job, and costs anew: ask the person, then call `generate` with a new job_name."
        )
    return f"The job is {entry.state} by the person's decision: nothing is left to do about it."


def _without_job(error: PolyreelError | None, *, is_begun: bool) -> str:
    if isinstance(error, BudgetError):
        return "Nothing was sent or billed. Ask for something cheaper, or tell the person."
    if isinstance(error, RejectedError):
        return "The vendor refused the request, and billed nothing. Change it as the error says."
    if error is not None and error.billed != "no":
        return "It may have been billed. Do not repeat it: call `jobs`, and tell the person."
    if error is not None:
        return "Nothing was billed. Mend what the error says, then call again."
    if is_begun:
        return "The job is being begun. Call `generate` again with the same arguments."
    return "It was never accepted, and nothing was billed. To try again, call `generate` again."
