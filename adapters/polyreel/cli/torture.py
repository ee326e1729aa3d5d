"""The command that tortures a client: polyreel torture."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, cast, get_args

import typer
from attrs import asdict

from . import show
from .options import AsJson, Speed, finite

if TYPE_CHECKING:
    from ..gateway.torture import GatewayScene, Where
    from ..testing.torture import Run, TortureReport

MARK: Final = "!"
VARIABLE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


def torture(
    command: Annotated[
        str, typer.Argument(help="A command line, or package.module:function.", show_default=False)
    ],
    *,
    vendor: Annotated[
        list[str] | None,
        typer.Option(help="Vendor id, several times; else all.", show_default=False),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="Fault of submits, several times; else all.", show_default=False),
    ] = None,
    calls: Annotated[
        int, typer.Option(min=1, help="How many submits the program makes on purpose.")
    ] = 1,
    timeout: Annotated[
        float, typer.Option(min=0.1, callback=finite, help="Seconds for a run; then it is killed.")
    ] = 30,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="How many runs at once.")] = 2,
    speed: Speed = 10.0,
    env: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=TEMPLATE with {url}, {key}, {vendor}: your client's own settings.",
            show_default=False,
        ),
    ] = None,
    keep_going: Annotated[
        bool,
        typer.Option("--keep-going", help="Leave vendors out that the program does not reach."),
    ] = False,
    gateway: Annotated[
        str | None,
        typer.Option(
            metavar="behind|before",
            help="Put a gateway before the vendors; the faults are behind or before it.",
            show_default=False,
        ),
    ] = None,
    dedupe: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=1,
            callback=lambda value: value if value is None else finite(value),
            help="The gateway answers a repeated body with the first job.",
            show_default=False,
        ),
    ] = None,
    own_api: Annotated[
        bool,
        typer.Option(
            "--own-api",
            help="The program calls the gateway's /v1/jobs or /v1/videos; VENDOR makes the job.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Count how many jobs each call of a program is billed, at every fault of a submit: the
    double-bill table.

    The program finds the vendor's base URL in POLYREEL_TORTURE_URL, a key in POLYREEL_TORTURE_KEY,
    and the vendor's id in POLYREEL_TORTURE_VENDOR. Nothing is paid. Exits 1 where any call is
    billed more often than it should be.
    """
    from ..providers.base.registry import all_providers
    from ..testing.torture import SUBMIT_FAULTS, Torture, simulated_vendor

    if gateway is None and (own_api or dedupe is not None):
        option = "--own-api" if own_api else "--dedupe"
        raise typer.BadParameter("it needs --gateway", param_hint=option)
    vendors = list(dict.fromkeys(vendor or all_providers()))
    faults = list(dict.fromkeys(fault or SUBMIT_FAULTS))
    plan = Torture(
        command,
        vendors,
        faults,
        calls,
        timeout,
        jobs,
        speed,
        _variables(env or ()),
        simulated_vendor if gateway is None else _gateway(gateway, dedupe, is_own=own_api),
    )
    report = plan.run(keep_going=keep_going, listener=lambda run: show.note(_progress(run)))
    if as_json:
        show.document(_document(report))
    else:
        _print_table(report, faults)
    _judge(report)


def _gateway(where: str, dedupe: float | None, *, is_own: bool) -> GatewayScene:
    from ..gateway.application import check_installed
    from ..gateway.torture import GatewayScene, Where

    if where not in get_args(Where):
        raise typer.BadParameter("it is behind or before", param_hint="--gateway")
    check_installed()
    logging.getLogger("polyreel").setLevel(logging.CRITICAL)  # the faults are meant
    return GatewayScene(cast("Where", where), dedupe, is_own)


def _variables(texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        parts = VARIABLE.fullmatch(text)
        if parts is None:
            raise typer.BadParameter("it is NAME=TEMPLATE", param_hint="--env")
        found[parts[1]] = parts[2]
    return found


def _progress(run: Run) -> str:
    """One run in one line."""
    times = "" if run.fault is None else " stays" if run.stays else " once"
    end = "killed" if run.exit_code is None else f"exit code {run.exit_code}"
    what = f"{run.vendor} {run.fault or 'no fault'}{times}"
    return f"{what}: billed {run.billed} ({end}, {run.seconds:.1f} s)"


def _print_table(report: TortureReport, faults: Sequence[str]) -> None:
    """The table for people: a row for each fault, two columns for each vendor that was reached."""
    cells = {(run.fault, run.vendor, run.stays): _cell(run, report.calls) for run in report.cells}
    columns = list(dict.fromkeys((run.vendor, run.stays) for run in report.cells))
    headers = [f"{name} {'stays' if stays else 'once'}" for name, stays in columns]
    rows = [[fault, *(cells[fault, name, stays] for name, stays in columns)] for fault in faults]
    if columns:
        show.table(["fault", *headers], rows)


def _cell(run: Run, calls: int) -> str:
    """How many jobs were billed; a question mark where no submit met the fault."""
    return f"{run.billed}{f' {MARK}' if run.billed > calls else ''}{'' if run.met else ' ?'}"


def _judge(report: TortureReport) -> None:
    """The summary; exits 2 where a vendor was not reached, and 1 where anything was billed too
    often.
    """
    from ..testing.torture import explain

    for run in report.exceeding:
        for line in run.complaint.splitlines():
            show.note(f"{run.vendor} {run.fault}: {line}")
    for run in report.wrong_baselines:
        show.note(f"left out: {explain(run, report.calls)}")
    if not all(run.met for run in report.cells):
        show.note("?: no submit met the fault, so that cell proves nothing")
    if report.exceeding:
        worst = report.exceeding[0]
        runs = f"{len(report.exceeding)} of {len(report.cells)} runs"
        counted = f"{runs} were billed more than {report.calls}"
        show.note(
            f"{counted} ({MARK}); the worst is {worst.fault} at {worst.vendor}: {worst.billed} jobs"
        )
        raise typer.Exit(1)
    if report.wrong_baselines:
        raise typer.Exit(2)
    show.note(f"no run of {len(report.cells)} was billed more than {report.calls}")


def _document(report: TortureReport) -> dict[str, Any]:
    worst = max((run.billed for run in report.cells), default=0)
    return {
        "calls": report.calls,
        "worst": worst,
        "exceeding": len(report.exceeding),
        "baselines": [asdict(run) for run in report.baselines],
        "cells": [asdict(run) for run in report.cells],
    }
