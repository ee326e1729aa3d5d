"""The commands about jobs of before: jobs, resume, reconcile, adopt, resubmit, abandon."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Annotated, Any

import typer

from ..client import TIMEOUT, AsyncClient
from ..client.checks import located
from ..errors import PolyreelError
from ..jobs.documents import entry_document, finding_document, job_document
from ..jobs.naming import Target
from ..jobs.recovery import Finding
from ..ledger.commands import deciding
from ..ledger.records import LedgerEntry
from ..ledger.store import LedgerStore
from ..money.amounts import Cost
from . import consent, failures, show
from .consent import JobLimit, Yes
from .exits import AMBIGUOUS, SOME_FAILED, exit_code
from .files import prepare
from .network import repeated
from .options import (
    AsJson,
    LedgerPlace,
    LiveJobs,
    Timeout,
    announced,
    async_client,
    client,
    files_in_general,
    read_ledger,
)
from .steps import advise, next_step

AT_ONCE = 16
"""How many jobs are looked after at the same time."""
Names = Annotated[
    list[str] | None, typer.Argument(help="Ledger ids, or their beginnings.", show_default=False)
]
Name = Annotated[str, typer.Argument(help="Ledger id, or its beginning.")]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH|URL",
        help="Folder or file name; left out, the one asked for at first.",
        show_default=False,
    ),
]


# -- resume ----------------------------------------------------------------------------------------


def resume(
    names: Names = None,
    output: Output = None,
    timeout: Timeout = TIMEOUT,
    live: LiveJobs = False,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> None:
    """Finish jobs that were accepted before: wait for them and save their files. Submits nothing.

    Without ids: every job that is not finished, and that nobody else looks after.
    """
    with read_ledger(ledger) as opened, show.Progress(opened) as progress:
        if output is not None:
            prepare(output)
        made = async_client(live=live, ledger=opened, listener=progress)
        unfinished = opened.each_entry(["accepted", "succeeded"], simulated=made.simulated)
        chosen = [opened.entry(name).id for name in names or ()] or [
            entry.id for entry in unfinished if not entry.owned
        ]
        if output is not None and Target.of(located(output)).is_file and len(chosen) > 1:
            text = f"{output} is one file, and there are {len(chosen)} jobs: name a folder"
            raise typer.BadParameter(text, param_hint="--output")
        results = asyncio.run(_resume_all(made, chosen, output, timeout))
        steps = () if names else [*_steps_of_others(opened, simulated=made.simulated)]
        for result in results:
            if isinstance(result, PolyreelError):
                advise(result, opened)
    _print_results(results, as_json=as_json)
    for step in steps:
        show.note(step)
    if len(results) == 1 and isinstance(results[0], PolyreelError):
        raise typer.Exit(exit_code(results[0]))
    if any(isinstance(result, PolyreelError) for result in results):
        raise typer.Exit(SOME_FAILED)


def _steps_of_others(ledger: LedgerStore, *, simulated: bool) -> Iterator[str]:
    """What to do about the jobs that cannot be resumed: each ambiguous one, and all queued ones."""
    doubtful = ledger.each_entry(["ambiguous"], simulated=simulated)
    queued = islice(ledger.each_entry(["queued"], simulated=simulated), 1)
    yield from filter(None, (next_step(entry, ledger) for entry in chain(doubtful, queued)))


async def _resume_all(
    made: AsyncClient, names: Sequence[str], output: str | None, timeout: float
) -> list[Any]:
    results: list[Any] = [None] * len(names)
    numbered = iter(enumerate(names))

    async def work() -> None:
        for number, name in numbered:  # each worker takes the next one
            try:
                results[number] = await made.resume(name, output=output, timeout=timeout)
            except PolyreelError as error:
                results[number] = error
            except Exception as error:  # it is about this job, and stops no other
                results[number] = failures.as_own(error)

    async with made:
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return results


def _print_results(results: Sequence[Any], *, as_json: bool) -> None:
    documents = []
    for result in results:
        if isinstance(result, PolyreelError):
            documents.append(failures.report_one(result))
        else:
            documents.append(job_document(result))
            (show.cost if as_json else show.saved)(result)
    if as_json:
        show.document(documents)
    if not results:
        show.note("nothing to resume")


# -- reconcile -------------------------------------------------------------------------------------


def reconcile(
    names: Names = None,
    live: LiveJobs = False,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> None:
    """Find out what became of submits whose answer was lost. Never makes a second job.

    Asks the vendor's list of tasks, or repeats the submit under its own idempotency key, where the
    vendor is known to answer that with the first job. Exits 6 where a job stays ambiguous.
    """
    with read_ledger(ledger) as opened, client(live=live, ledger=opened) as made:
        findings = made.reconcile(*names or ())
        entries = [opened.entry(finding.entry) for finding in findings]
    if as_json:
        show.document([finding_document(finding) for finding in findings])
    elif findings:
        show.table(
            ["id", "vendor", "result", "what"],
            [[f.entry, f.vendor, f.result, f.text] for f in findings],
        )
    else:
        show.note("nothing is ambiguous")
    for entry, finding in zip(entries, findings, strict=True):
        for step in _steps(entry, finding, opened):
            show.note(step)
    if any(finding.result == "unsolved" for finding in findings):
        raise typer.Exit(AMBIGUOUS)


def _steps(entry: LedgerEntry, finding: Finding, ledger: LedgerStore) -> Iterator[str]:
    """What can be typed after a finding."""
    if finding.result == "found":
        yield next_step(entry, ledger) or ""
        return
    task = finding.candidates[0] if finding.candidates else "TASK"
    yield f"{entry.id} is still ambiguous. Once you know more, one of:"
    live = not entry.submission.simulated
    options = repeated() if live else ()
    ways = deciding(entry.id, task, ledger=ledger.named, live=live, options=options)
    *others, (leaving, meaning) = ways
    for typed, means in others:
        yield f"  {typed}  ({means})"
    yield f"  {leaving}  ({meaning}{_name_given_away(entry)})"


def _name_given_away(entry: LedgerEntry) -> str:
    """What abandoning does to the name of a job, which a batch gives to each of its rows."""
    name = entry.submission.reference
    return f"; submitting {name!r} again pays anew" if name else ""


# -- on the user's word ----------------------------------------------------------------------------


def adopt(
    name: Name,
    task: Annotated[str, typer.Argument(help="The vendor's task id, such as its dashboard shows.")],
    live: LiveJobs = False,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> None:
    """Say which of the vendor's tasks an ambiguous submit became. The vendor is asked whether it
    knows the task.
    """
    with read_ledger(ledger) as opened, client(live=live, ledger=opened) as made:
        job = made.adopt(name, task)
        entry = opened.entry(job.ledger_id or name)
    if as_json:
        show.document(entry_document(entry))
    show.note(f"{entry.id} is {job.vendor} {job.id}: {job.status}")
    show.note(next_step(entry, opened) or "")


def resubmit(
    name: Name,
    *,
    accept: Annotated[
        bool,
        typer.Option("--accept-double-billing", help="Your word that paying twice is accepted."),
    ] = False,
    output: Output = None,
    max_cost: JobLimit = None,
    timeout: Timeout = TIMEOUT,
    live: LiveJobs = False,
    yes: Yes = False,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> None:
    """Submit an ambiguous job anew, although the first may have been billed. Costs money with
    --live.

    With --live the price that was estimated for the first submit is shown, and you are asked.
    """
    limit = consent.dollars(max_cost)
    with read_ledger(ledger) as opened:
        progress = show.Progress(opened)
        made = client(live=live, ledger=opened, listener=progress)
        with made:
            entry = opened.entry(name)
            own = entry.submission
            folder = output or own.folder or "clips"
            prepare(folder)
            if accept and own.simulated is not live and entry.state in {"ambiguous", "sending"}:
                cost = Cost.read(own.estimate or {})
                consent.check_budget([cost], limit)
                if live:
                    what = f"{own.vendor} will be paid for this job anew"
                    text = f"{what}: {consent.price_text(cost)}"
                    consent.ask(text, yes=yes, limited=limit is not None)
            with progress, announced(files_in_general(live=live)):
                job = made.resubmit(
                    name, accept_double_billing=accept, output=folder, timeout=timeout
                )
    _print_results([job], as_json=False) if not as_json else show.document(job_document(job))


def abandon(
    names: Annotated[list[str], typer.Argument(help="Ledger ids, or their beginnings.")],
    ledger: LedgerPlace = None,
) -> None:
    """Stop caring about jobs: they are neither resumed nor reconciled any more. The vendor is not
    told. A name (--job-name, a batch's row) is free again: submitting it pays anew.
    """
    with read_ledger(ledger) as opened:
        for name in names:
            entry = opened.abandon(name)
            paid = "; it may have been billed" if entry.job or entry.reason else ""
            show.note(f"{entry.id} is abandoned{paid}{_name_given_away(entry)}")
