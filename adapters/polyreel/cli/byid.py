"""The commands about one job by its id: get, download, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..client import TIMEOUT, Client
from ..jobs.documents import job_document
from ..ledger.states import has_result
from ..mapping.workflows import kind_of
from ..providers.base.facts import FINAL
from ..providers.base.registry import all_providers
from . import show
from .files import prepare
from .labels import Labels, read_labels
from .options import AsJson, LedgerPlace, LiveJobs, Timeout, client, open_ledger, read_ledger
from .steps import next_step

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from polyreel_generated.shared import Job

    from ..ledger.store import LedgerStore

NOT_OFFERED = 3
JobOrVendor = Annotated[
    str,
    typer.Argument(
        metavar="JOB|VENDOR",
        help="Ledger id, its beginning, or the vendor's task id; or a vendor id.",
    ),
]
TaskId = Annotated[
    str | None,
    typer.Argument(
        metavar="[TASK]",
        help="After a vendor id: the vendor's task id, also of a task made elsewhere.",
        show_default=False,
    ),
]


def get(
    name: JobOrVendor,
    task: TaskId = None,
    label: Labels = None,
    live: LiveJobs = False,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> None:
    """Ask how a job is doing, by its ledger id or by vendor and task id. Submits nothing.

    A task that was made elsewhere enters the ledger.
    """
    with _opened(ledger, task) as opened, client(live=live, ledger=opened) as made:
        job = _find(made, opened, name, task, label)
        step = next_step(opened.entry(job.ledger_id), opened) if job.ledger_id else None
    if as_json:
        show.document(job_document(job))
    else:
        percent = "" if job.progress is None else f" {job.progress:.0%}"
        show.line(f"{job.vendor} {job.id}: {job.status}{percent}")
        if job.error is not None:
            show.line(job.error.message)
        if job.element is not None:
            show.line(job.element)
        for output in job.outputs or ():
            show.line(output.path or output.url)
    if step is not None:
        show.note(step)


def download(
    name: JobOrVendor,
    task: TaskId = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="PATH|URL", help="Folder for the files.")
    ] = "clips",
    timeout: Timeout = TIMEOUT,
    label: Labels = None,
    live: LiveJobs = False,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> None:
    """Wait for a job, by its ledger id or by vendor and task id, and save its files.

    Submits nothing. A task that was made elsewhere enters the ledger.
    """
    from ..jobs.finishing import failed

    with (
        _opened(ledger, task) as opened,
        show.Progress(opened) as progress,
        client(live=live, ledger=opened, listener=progress) as made,
    ):
        known = None if task else opened.entry(_id_of(opened, name)).submission
        if known is None or kind_of(known.workflow) != "element":  # a subject has no files
            prepare(output)
        job = _find(made, opened, name, task, label)
        if job.status not in FINAL or not has_result(job):
            job = made.wait(job, timeout)
        if job.status != "succeeded":
            raise failed(job)
        job = made.download(job, output)
    if as_json:
        show.document(job_document(job))
        show.cost(job)
    else:
        show.saved(job)


def cancel(
    name: JobOrVendor,
    task: TaskId = None,
    live: LiveJobs = False,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> None:
    """Ask a job's vendor to stop it, as far as it offers that, and say what it means for the bill.

    Exits 3 where the vendor documents no such call: then nothing was sent.
    """
    with _opened(ledger, task) as opened, client(live=live, ledger=opened) as made:
        known = _id_of(opened, name) if task is None else made.track(name, task)
        done = made.cancel(known)
    if as_json:
        facts = {"result": done.result, "text": done.text, "bill": done.bill}
        show.document({**facts, "job": job_document(done.job)})
    else:
        show.line(f"{done.result}: {done.text}")
        show.line(f"bill: {done.bill}")
    if done.result == "not-offered":
        raise typer.Exit(NOT_OFFERED)


def _opened(place: str | None, task: str | None) -> AbstractContextManager[LedgerStore]:
    """The ledger; a task that was made elsewhere makes it where there is none."""
    return read_ledger(place) if task is None else open_ledger(place)


def _find(
    made: Client, opened: LedgerStore, name: str, task: str | None, label: list[str] | None
) -> Job:
    labels = read_labels(label)
    if task is not None:
        return made.track(name, task, labels=labels)
    return made.look(_id_of(opened, name))


def _id_of(opened: LedgerStore, name: str) -> str:
    """The ledger id that is meant: the name itself, or that of the job with this task id."""
    vendors = all_providers()
    if name in vendors:
        raise typer.BadParameter(f"after {name} its task id is needed", param_hint="TASK")
    found = [
        entry.id
        for vendor in vendors
        for simulated in (False, True)
        if (entry := opened.of_task(vendor, name, simulated=simulated)) is not None
    ]
    return found[0] if len(found) == 1 else name
