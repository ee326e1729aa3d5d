"""The command that makes a clip or images: generate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ..client import TIMEOUT, Client
from ..client.checks import check_reference, checked_output
from ..jobs.documents import job_document
from ..ledger.events import Find
from ..ledger.records import LedgerEntry
from ..places import JsonObject
from ..plans.planning import PORTABLE, Plan
from . import consent, show
from .consent import JobLimit, Yes
from .files import prepare, target
from .flags import with_request_flags
from .labels import Labels, read_labels
from .options import (
    VENDOR_HELP,
    Allow,
    AsJson,
    Filename,
    LedgerPlace,
    Live,
    PricesFile,
    Stream,
    Timeout,
    VendorDefaults,
    allowances,
    announced,
    client,
    kept,
    known_vendors,
    prices,
)


def _refuse(value: str | None) -> None:
    """Refuse an option of two meanings: one of them would pay for something else than is meant."""
    if value is not None:
        raise typer.BadParameter(
            "this could be two things. For an image that the clip refers to: "
            "--reference-image URL|FILE. For your own name of the job, which is paid once: "
            "--job-name NAME",
            param_hint="--reference",
        )


@with_request_flags
def generate(
    request: JsonObject,
    *,
    from_flags: bool,
    vendor: Annotated[
        list[str] | None,
        typer.Option(help=VENDOR_HELP, autocompletion=known_vendors, show_default=False),
    ] = None,
    cheapest: Annotated[
        bool, typer.Option("--cheapest", help="Ask the cheapest of the vendors first.")
    ] = False,
    prices_file: PricesFile = None,
    max_cost: JobLimit = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH|URL",
            help="Folder for the files, made where it is missing, or one file, such as clip.mp4; "
            "also in object storage: s3://bucket/clips.",
        ),
    ] = "clips",
    filename: Filename = None,
    timeout: Timeout = TIMEOUT,
    reference: Annotated[
        str | None,
        typer.Option(
            "--job-name",
            help="Your own name of the job: it is paid once, however often you ask.",
            show_default=False,
        ),
    ] = None,
    neither: Annotated[
        str | None,
        typer.Option("--reference", hidden=True, callback=_refuse, expose_value=False),
    ] = None,
    label: Labels = None,
    allow: Allow = None,
    fault: Annotated[
        str | None,
        typer.Option(
            help="What goes wrong at the simulated vendor, such as lost-reset.", show_default=False
        ),
    ] = None,
    vendor_defaults: VendorDefaults = False,
    stream: Stream = False,
    live: Live = False,
    yes: Yes = False,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> None:
    """Make a clip or images, and save them. Without a size or sound asked for: 720p with sound, at
    every vendor. With --front-image or --video it makes a subject, and prints the id for --element.

    With --live the price is shown first, and you are asked. The submit is written to the ledger
    before it is sent, so that nothing paid for is lost: see `polyreel jobs`.
    """
    if fault and live:
        raise typer.BadParameter(
            "faults are for simulated vendors, not with --live", param_hint="--fault"
        )
    limit = consent.dollars(max_cost)
    check_reference(reference)
    labels, allowed = read_labels(label), allowances(allow)
    with kept(ledger, live=live) as opened:
        progress = show.Progress(opened)
        settings: dict[str, Any] = {
            "ledger": opened,
            "listener": progress,
            "prices": prices(prices_file),
        }
        with client(vendor or (), live=live, **settings) as made:
            preferences = PORTABLE if from_flags and not vendor_defaults else {}
            options = {"preferences": preferences, "stream": stream, "allow": allowed}
            plans = _plans(
                made, request, cheapest=cheapest, several=len(vendor or ()) > 1, options=options
            )
            path = target(output, filename)
            if any(plan.kind != "element" for plan in plans):  # a subject has no files
                prepare(path)
            checked_output(path, [plan for plan in plans if not plan.refused])
            for plan in plans:
                show.warn(plan)
            if fault and made.simulator:
                made.simulator.inject(
                    fault, next(plan.vendor for plan in plans if not plan.refused)
                )
            several = cheapest or len(plans) > 1
            chosen = plans if several else plans[0]
            if (before := _job_of(made, reference)) is not None:
                show.note(
                    f"the name {reference!r} has a job already: {before.id}, {before.state}; "
                    "this goes on with it, and nothing is paid again. Another name is another job"
                )
            else:
                usable = [plan for plan in plans if not plan.refused]
                consent.check_budget([plan.cost for plan in usable], limit)
                if live:
                    consent.ask(consent.price_of(usable), yes=yes, limited=limit is not None)
            with progress, announced(files_of(plans) if made.simulated else None):
                job = made.generate(
                    chosen, output=str(path), timeout=timeout, reference=reference, labels=labels
                )
    for step in job.routing or ():
        show.note(f"{step.vendor}: {step.result}: {step.reason}")
    if as_json:
        show.document(job_document(job))
        show.cost(job)
    else:
        show.saved(job)
    show.closing(job.vendor, simulated=job.simulated)


def _job_of(made: Client, reference: str | None) -> LedgerEntry | None:
    """The job that the name has already, which is continued and not paid again."""
    if reference is None or made.ledger is None:
        return None
    found: LedgerEntry | None = made.ledger.write(Find(reference, made.simulated), "", 0.0)
    return found


def _plans(
    made: Client, request: JsonObject, *, cheapest: bool, several: bool, options: Mapping[str, Any]
) -> list[Plan]:
    """The plans of a new job, at least one of which can be submitted."""
    if not cheapest and not several:
        return [made.plan(request, **options).check()]
    plans = made.plans(request, prefer="cheapest" if cheapest else "order", **options)
    if all(plan.refused for plan in plans):
        plans[0].check()
    return plans


def files_of(plans: list[Plan]) -> str | None:
    """What to announce of a simulated job's files: where they are ready-made, and not as asked."""
    from ..simulator import ready_made

    return ready_made.notice(next(plan for plan in plans if not plan.refused))
