"""The command that lists jobs: jobs, as a table, JSON or CSV, with the sum of their money."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final, get_args

import typer
from attrs import asdict

from ..errors import did_you_mean
from ..jobs.documents import entry_document
from ..ledger.commands import command, from_here
from ..ledger.keeping import StoredLedger
from ..ledger.records import PROVED_UNPAID, LedgerEntry, State
from ..ledger.selection import Selection
from ..money.amounts import Cost
from ..money.charged import charged
from ..providers.base.registry import get_provider
from . import show
from .labels import Labels, read_labels
from .options import AsJson, LedgerPlace, known_vendors, read_ledger
from .steps import next_step

COLUMNS: Final = ("id", "made", "vendor", "workflow", "state")
BENEATH: Final = ("name", "cost", "task", "files", "note")
"""The columns that come below the others where the terminal is narrow."""
SPANS: Final = {"min": 60, "h": 3_600, "d": 86_400}
When = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="A date or time, or so long ago: 7d, 12h, 30min.", show_default=False
    ),
]


def jobs(
    *,
    state: Annotated[
        list[str] | None, typer.Option(help="Only these states, several times.", show_default=False)
    ] = None,
    vendor: Annotated[
        str | None,
        typer.Option(help="Only this vendor's.", autocompletion=known_vendors, show_default=False),
    ] = None,
    label: Labels = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--job-name", help="Only the job of this name; * is any text.", show_default=False
        ),
    ] = None,
    since: When = None,
    until: When = None,
    last: Annotated[int, typer.Option(min=1, help="How many at most, the newest.")] = 50,
    owners: Annotated[
        bool, typer.Option("--owners", help="List who is at work, instead of the jobs.")
    ] = False,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, one row for each job.")] = False,
) -> None:
    """List the jobs in the ledger: what was paid for, what may have been, and what is still to be
    done.
    """
    for one in state or ():
        if one not in get_args(State):
            known = f"{', '.join(get_args(State))}{did_you_mean(one, get_args(State))}"
            raise typer.BadParameter(f"{one!r} is none of {known}", param_hint="--state")
    if as_json and as_csv:
        raise typer.BadParameter("it is one of --json and --csv", param_hint="--csv")
    chosen = Selection(
        states=frozenset(state) if state else None,  # type: ignore[arg-type]
        vendor=get_provider(vendor).id if vendor else None,
        labels=read_labels(label),
        name=name,
        since=_moment(since, "--since"),
        until=_moment(until, "--until"),
    )
    if owners:
        _list_owners(ledger, as_json=as_json)
        return
    with read_ledger(ledger) as opened:
        entries = chosen.of(opened, last + 1)
        is_empty = not entries and not opened.entries(last=1)
        steps = dict.fromkeys(next_step(entry, opened) for entry in entries[-last:])
    more, entries = len(entries) > last, entries[-last:]
    if as_json:
        show.document([entry_document(entry) for entry in entries])
    elif as_csv:
        show.line(_csv(entries).rstrip("\n"))
    elif entries:
        _print_table(entries)
    else:
        show.note(_none(is_empty, opened.named))
    if not as_csv and not as_json:
        for step in filter(None, steps):
            show.note(step)
    if total := sum_text(entries):
        show.note(total + ("; older ones are not counted: see --last" if more else ""))


def _print_table(entries: Sequence[LedgerEntry]) -> None:
    """The jobs, with their names where one has a name."""
    names = [*COLUMNS, *BENEATH]
    rows = [_cells(entry) for entry in entries]
    if not any(entry.submission.reference for entry in entries):
        place = names.index("name")
        for row in (names, *rows):
            row.pop(place)
    show.table(names, rows, beneath=BENEATH)


def _none(is_empty: bool, named: str | None) -> str:
    """What to say where no job is listed."""
    if is_empty:
        made = command("generate", "a cat in the rain", ledger=named)
        return f"no job is in the ledger yet\nnext: {made}"
    every = command("jobs", ledger=named)
    return f"no job in the ledger is as these options say; all of them:\nnext: {every}"


def _list_owners(place: str | None, *, as_json: bool) -> None:
    """The processes at work, and on how many entries each."""
    with read_ledger(place) as opened:
        assert isinstance(opened, StoredLedger)
        found = opened.outstanding.processes()
    if as_json:
        show.document([asdict(one) for one in found])
    elif not found:
        work = command("worker", ledger=opened.named)
        show.note(f"nobody is at work on this ledger just now\nnext: {work}")
    else:
        rows = [
            [one.host, str(one.pid or "-"), f"{_span(one.seen)} ago", str(one.entries)]
            for one in found
        ]
        show.table(["host", "pid", "seen", "entries"], rows)


def _moment(text: str | None, option: str) -> float | None:
    """Seconds since 1970; BadParameter where it is no time."""
    if text is None:
        return None
    if found := re.fullmatch(r"(\d{1,6})(min|h|d)", text):
        return time.time() - int(found[1]) * SPANS[found[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        problem = f"{text[:40]!r} is no time: write 2026-11-28, 2026-11-28T12:00 or 7d"
        raise typer.BadParameter(problem, param_hint=option) from None


def sum_text(entries: Sequence[LedgerEntry]) -> str | None:
    """What the live jobs among some entries have cost together; None without any."""
    live = [
        entry
        for entry in entries
        if not entry.submission.simulated and entry.state not in PROVED_UNPAID
    ]
    if not live:
        return None
    paid = estimated = Decimal(0)
    unknown = 0
    for entry in live:
        charge = charged(entry.job) if entry.job else None
        cost = Cost.read(entry.submission.estimate or {})
        if charge is not None and charge.usd is not None:
            paid += charge.usd
        elif cost.usd is not None:
            estimated += cost.usd
        else:
            unknown += 1
    count = f"{len(live)} live job" + ("s" if len(live) > 1 else "")
    parts = [f"charged ${paid:.4f}"]
    if estimated:
        parts.append(f"at most ${estimated:.4f} more where no charge is known")
    if unknown:
        parts.append(f"{unknown} of unknown cost")
    return f"{count}: {', '.join(parts)}"


def _csv(entries: Sequence[LedgerEntry]) -> str:
    """The entries as CSV. What a spreadsheet would take for a formula begins with a quote."""
    text = io.StringIO()
    names = ["id", "created_at", "vendor", "model", "workflow", "state", "simulated", "job_name"]
    names += ["labels", "task", "charged_usd", "estimated_usd", "files", "element", "note"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for entry in entries:
        own, job = entry.submission, entry.job
        charge = None if job is None or job.simulated else charged(job)
        cost = Cost.read(own.estimate or {})
        cells = [
            entry.id,
            datetime.fromtimestamp(entry.created_at).astimezone().isoformat(timespec="seconds"),
            own.vendor,
            own.model,
            own.workflow,
            entry.state,
            "yes" if own.simulated else "no",
            own.reference,
            " ".join(f"{name}={value}" for name, value in sorted(own.labels.items())),
            job and job.id,
            charge and charge.usd,
            cost.usd,
            " ".join(str(output.path) for output in (job and job.outputs) or () if output.path),
            job and job.element,
            entry.reason,
        ]
        writer.writerow([_cell(cell) for cell in cells])
    return text.getvalue()


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in set("=+-@\t\r") else text


def _cells(entry: LedgerEntry) -> list[str]:
    own, job = entry.submission, entry.job
    return [
        entry.id,
        _ago(entry),
        own.vendor,
        own.workflow,
        entry.state,
        own.reference or "-",
        _cost(entry),
        job.id if job else "-",
        _files(entry),
        "; ".join([*(["in use"] if entry.owned else []), entry.reason or ""]).strip("; "),
    ]


def _cost(entry: LedgerEntry) -> str:
    """What its vendor says that it was charged, else what it was to cost; in dollars where they are
    known.
    """
    charge = None if entry.job is None or entry.job.simulated else charged(entry.job)
    estimate = Cost.read(entry.submission.estimate or {})
    cost = charge or estimate
    kind = "charged" if charge else "estimated" if estimate.confidence == "exact" else "at most"
    amounts = [f"{kind} ${cost.usd:.4f}"] if cost.usd is not None else []
    if not amounts and cost.credits is not None:
        amounts = [f"{kind} {cost.credits.normalize():f} credits"]
    return ", ".join([*amounts, *(["simulated"] if entry.submission.simulated else [])]) or "-"


def _files(entry: LedgerEntry) -> str:
    """Where the files are, or how long they can still be fetched; or which subject was made."""
    texts = [f"element {entry.job.element}"] if entry.job and entry.job.element else []
    for output in (entry.job and entry.job.outputs) or ():
        left = None if output.expires_at is None else output.expires_at - time.time()
        link = "" if left is None else ", expired" if left <= 0 else f", {_span(left)} left"
        texts.append(from_here(output.path) if output.path else f"not saved{link}")
    return "; ".join(texts) or "-"


def _ago(entry: LedgerEntry) -> str:
    """How long ago a job was made; simulated time can be ahead, as it goes on where it was left."""
    past = time.time() - entry.created_at
    if past < 0 and entry.submission.simulated:
        return f"simulated, +{_span(-past)}"
    return f"{_span(max(0.0, past))} ago"


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
