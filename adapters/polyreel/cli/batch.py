"""The command that makes many clips from one file: polyreel batch."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from .. import environment
from ..client import TIMEOUT, AsyncClient
from ..errors import BudgetError, PolyreelError, RequestError, did_you_mean
from ..ledger.commands import command
from ..ledger.sqlite import Ledger
from ..ledger.store import LedgerStore
from . import consent, show
from .consent import Yes
from .exits import AMBIGUOUS, SOME_FAILED, Terminated, exit_code
from .files import prepare
from .labels import Labels, read_labels
from .network import repeated
from .options import (
    Allow,
    AsJson,
    Filename,
    LedgerPlace,
    Live,
    PricesFile,
    Timeout,
    allowances,
    announced,
    files_in_general,
    finite,
    known_vendors,
    open_ledger,
    prices,
    read_ledger,
    settings,
)
from .steps import has_workers

if TYPE_CHECKING:
    from ..batch import Batch, Result, Row, Summary
    from ..batch.tasks import RowTask
    from ..engines import Engine

INLINE: Final = "inline"
ENGINES: Final = (INLINE, "procrastinate", "ledger")
COLUMNS: Final = ("row", "line", "reference", "state", "vendor", "model", "workflow", "cost")
"""What --dry-run shows of each row."""
NARROW: Final = 60
"""Columns that are kept for what stands beside the bar."""
VENDOR_HELP: Final = (
    "Who makes the rows that name nobody; of several, the next where the one before "
    "is proved unpaid."
)


def batch(
    file: Annotated[
        Path,
        typer.Argument(
            help="Rows: JSON Lines, a table (.csv, .tsv) or prompts (.txt); - is standard input.",
            show_default=False,
        ),
    ],
    *,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="PATH|URL", help="Folder for the files and results.jsonl."
        ),
    ] = "clips",
    results: Annotated[
        Path | None,
        typer.Option(
            help="Folder for results.jsonl instead; clips, where --output is in object storage.",
            show_default=False,
        ),
    ] = None,
    filename: Filename = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the batch in the ledger; else made of the file's.", show_default=False
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FIELD",
            help="What a column of a table is, such as text=prompt; NAME= passes it on. "
            "Several times.",
            show_default=False,
        ),
    ] = None,
    vendor: Annotated[
        list[str] | None,
        typer.Option(help=VENDOR_HELP, autocompletion=known_vendors, show_default=False),
    ] = None,
    cheapest: Annotated[
        bool, typer.Option("--cheapest", help="Ask the cheapest of the vendors first.")
    ] = False,
    prices_file: PricesFile = None,
    max_cost: Annotated[
        str | None,
        typer.Option(
            metavar="USD",
            help="Never spend more; what may have been billed is spent.",
            show_default=False,
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help="Rows under way at each vendor; without workers, 8.",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=1e6,
            help="Rows begun at each vendor in a minute, at most.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            metavar="inline|procrastinate|ledger",
            help="Who makes the rows: this process, or workers (polyreel worker) that are told by "
            "Procrastinate, or find them in the ledger.",
        ),
    ] = INLINE,
    timeout: Timeout = TIMEOUT,
    label: Labels = None,
    allow: Allow = None,
    fault: Annotated[
        str | None,
        typer.Option(
            help="What goes wrong at simulated vendors, such as lost-reset.", show_default=False
        ),
    ] = None,
    fault_share: Annotated[
        float, typer.Option(min=0, max=1, callback=finite, help="In which share of the calls.")
    ] = 0.2,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show every row with its vendor and price. Sends and saves nothing."
        ),
    ] = False,
    live: Live = False,
    yes: Yes = False,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> None:
    """Make a clip or images for each row of a file. The same command again goes on where it
    stopped.

    All rows are checked, planned and priced before the first is paid. With --live the total is
    shown, and you are asked once. Exits 0 where all are saved,
    6 where some are ambiguous, 7 where the budget does not allow it, 5 where something else is
    missing; results.jsonl tells of each row.
    """
    from ..batch import refuse, scan

    if fault and live:
        raise typer.BadParameter(
            "faults are for simulated vendors, not with --live", param_hint="--fault"
        )
    if engine not in ENGINES:
        known = f"{', '.join(ENGINES)}{did_you_mean(engine, ENGINES)}"
        raise typer.BadParameter(f"{engine[:40]!r} is none of {known}", param_hint="--engine")
    if fault and engine != INLINE:
        raise typer.BadParameter(
            "faults are for the simulated vendors of this process, not of workers",
            param_hint="--fault",
        )
    limit, found = consent.dollars(max_cost), scan(file, name=name, columns=_columns(column))
    for note in found.notes:
        show.note(note)
    options: dict[str, Any] = {
        "max_cost": limit,
        "concurrency": concurrency,
        "rate": rate,
        "timeout": timeout,
        "filename": filename,
        "results": results,
        "labels": read_labels(label),
        "allow": allowances(allow),
    }
    options |= {"vendors": vendor or (), "prefer": "cheapest" if cheapest else "order"}
    with (partial(read_ledger, required=False) if dry_run else open_ledger)(ledger) as opened:
        client = _client(
            vendor or (), found.rows, live=live, ledger=opened, prices=prices(prices_file)
        )
        options["engine"] = _engine(engine, client)
        made = _batch(client, found.rows, output, options)
        if problems := (*found.problems, *made.problems):
            refuse(file, problems)
        summary = made.plan()
        show.note(str(summary))
        if dry_run:
            _print_rows(made, summary, as_json=as_json)
        made.check()
        if dry_run:
            return
        prepare(output)
        if live and (unpaid := made.unpaid()).rows:
            what = f"{unpaid.rows} row(s) will be paid: {unpaid.money}"
            consent.ask(what, yes=yes, limited=limit is not None)
        if fault and client.simulator:
            client.simulator.inject(fault, share=fault_share, times=None)
        with announced(files_in_general(live=live)):
            done = _run(made)
    _print_outcome(made, summary, done, opened, as_json=as_json)
    _judge(done)


def _columns(given: Sequence[str] | None) -> dict[str, str]:
    """Fields by the names of columns."""
    pairs = [one.partition("=") for one in given or ()]
    for name, equals, _ in pairs:
        if not name.strip() or not equals:
            problem = "write NAME=FIELD, such as text=prompt"
            raise typer.BadParameter(problem, param_hint="--column")
    return {name.strip(): field.strip() for name, _, field in pairs}


def _batch(client: AsyncClient, rows: Sequence[Row], output: str, options: dict[str, Any]) -> Batch:
    from ..batch import Batch

    return Batch(client, rows, output, **options)


def _engine(name: str, client: AsyncClient) -> Engine | None:
    """What carries the rows to workers; None where this process makes them."""
    if name == INLINE:
        return None
    if name == "ledger":
        from ..engines import InlineEngine

        return InlineEngine(client)  # it tells nobody: workers look into the ledger
    if isinstance(client.ledger, Ledger):
        raise RequestError(
            [
                "Procrastinate carries rows in Postgres, not beside a file: give --ledger "
                "postgresql://..., or --engine ledger"
            ]
        )
    from ..engines.procrastinate import ProcrastinateEngine

    return ProcrastinateEngine(client)


def _client(
    vendors: Sequence[str], rows: Sequence[Row], *, live: bool, ledger: LedgerStore, prices: Any
) -> AsyncClient:
    """A client for the vendors that are asked for, and those that rows name."""
    order = list(vendors) or environment.vendor_order()
    named = dict.fromkeys([*order, *(vendor for row in rows for vendor in row.vendors)])
    made = settings([*named], live=live, ledger=ledger, prices=prices)
    made["vendors"] = [vendor for vendor in made["vendors"] if vendor in order]
    return AsyncClient(**made)


def _print_rows(made: Batch, summary: Summary, *, as_json: bool) -> None:
    """The rows with what each would do."""
    if as_json:
        rows = [task.document() for task in made.tasks]
        show.document({"cost": summary.document(), "rows": rows})
        return
    cells = [[str(cell) for cell in _cells(task)] for task in made.tasks]
    show.table([*COLUMNS], cells, beneath=("line", "model", "workflow", "cost"))


def _cells(task: RowTask) -> tuple[object, ...]:
    facts = {**task.document(), "cost": consent.price_text(task.cost(task.vendor))}
    return tuple(facts[column] or "-" for column in COLUMNS)


# -- the run ---------------------------------------------------------------------------------------


def _run(made: Batch) -> Sequence[Result]:
    async def run() -> Sequence[Result]:
        with _terminable():
            async with made.client:
                return await made.run()

    with _progress(made.left) as made.listener:
        try:
            return asyncio.run(run())
        except KeyboardInterrupt:
            show.note(f"interrupted; {left_behind(made)}")
            raise


def left_behind(made: Batch) -> str:
    """What becomes of the rows of a run that was interrupted."""
    ledger = made.client.ledger
    if made.engine is None or ledger is None:
        return "what was paid is in the ledger: the same command again goes on"
    with suppress(PolyreelError):
        if not has_workers(ledger):
            start = command("worker", ledger=ledger.named, live=not made.client.simulated)
            return (
                "no worker is at work: the rows wait in the ledger, and the same command again "
                f"follows them\nnext: {start}"
            )
    return "the workers go on: the same command again follows the rows"


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM, too, cancel the task instead of breaking into whatever runs just then."""
    task, before, terminated = asyncio.current_task(), signal.getsignal(signal.SIGTERM), []

    def stop() -> None:
        terminated.append(True)
        if task is not None:
            task.cancel()

    try:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
        yield
        return
    try:
        yield
    except asyncio.CancelledError:
        if terminated:
            raise Terminated from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _progress(rows: int) -> Iterator[Callable[[Result], None]]:
    """What hears of rows that are over: a bar on a terminal, one line for each elsewhere."""
    console = Console(stderr=True, highlight=False)
    shows_bar = sys.stderr.isatty() and console.is_terminal and not console.is_dumb_terminal
    if not rows or not shows_bar:
        yield lambda result: show.note(_line(result))
        return
    columns = (
        BarColumn(max(4, min(40, console.width - NARROW))),
        MofNCompleteColumn(),
        TextColumn("{task.fields[states]}"),
        TimeElapsedColumn(),
    )
    counts: dict[str, int] = {}
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task("rows", total=rows, states="")

        def over(result: Result) -> None:
            counts[result.state] = counts.get(result.state, 0) + 1
            bar.update(
                task,
                advance=1,
                states=", ".join(f"{state} {count}" for state, count in counts.items()),
            )

        yield over


def _line(result: Result) -> str:
    what = str(result.error) if result.error else ", ".join(result.files)
    reason = f": {what}" if what else ""
    return f"row {result.row.number} (line {result.row.line}): {result.state}{reason}"


def _print_outcome(
    made: Batch,
    summary: Summary,
    results: Sequence[Result],
    ledger: LedgerStore,
    *,
    as_json: bool,
) -> None:
    from ..batch import tally

    states = dict(sorted(tally(results).items()))
    show.note(", ".join(f"{state} {count}" for state, count in states.items()))
    if states.get("ambiguous"):
        live = not made.client.simulated
        step = command("reconcile", ledger=ledger.named, live=live, options=repeated() * live)
        show.note(f"next: {step}")
    elif set(states) != {"saved"}:
        show.note(
            "next: the same command again goes on with what was not paid, or not saved; "
            "failed rows stay so"
        )
    if made.client.simulated:
        show.note(
            "Simulated: nothing was sent or paid. "
            "For the real thing: set the vendors' keys and add --live"
        )
    if as_json:
        show.document(
            {"cost": summary.document(), "states": states, "results": str(made.file.path)}
        )
    else:
        show.line(str(made.file.path))
        if made.file.table_path.exists() and any(row.record for row in made.rows):
            show.note(f"as a table: {made.file.table_path}")


def _judge(results: Sequence[Result]) -> None:
    """Exit as the worst row asks for."""
    if any(result.state == "ambiguous" for result in results):
        raise typer.Exit(AMBIGUOUS)
    over = next((result.error for result in results if isinstance(result.error, BudgetError)), None)
    if over is not None:
        raise typer.Exit(exit_code(over))
    if any(result.state != "saved" for result in results):
        raise typer.Exit(SOME_FAILED)
