"""Printing: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..planning import Plan
from ..provider import printable
from ..registry import get_provider

if TYPE_CHECKING:
    from polyreel_generated.shared import Job


def document(value: Any) -> None:
    """One JSON document on stdout, in ASCII so that every console can show it."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def line(text: str) -> None:
    """One line on stdout."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """One message on stderr."""
    sys.stderr.write(printable(text) + "\n")


def table(headers: list[str], rows: list[list[str]]) -> None:
    """A table on stdout, as wide as it needs to be where stdout is no terminal."""
    console = Console(width=None if sys.stdout.isatty() else 200, safe_box=True, highlight=False)
    # ASCII rules where the console's encoding has no box characters.
    from rich import box  # noqa: PLC0415

    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    grid = Table(*headers, box=box.SIMPLE if unicode else box.ASCII)
    for row in rows:
        grid.add_row(*(escape(cell) for cell in row))
    console.print(grid)


def plan_document(plan: Plan) -> dict[str, Any]:
    """A plan as data."""
    return {
        "vendor": plan.vendor,
        "model": plan.model,
        "workflow": plan.workflow,
        "method": plan.method,
        "url": plan.url,
        "body": plan.body,
        "multipart": bool(plan.parts),
        "uploads": [{"path": str(upload.path), "target": upload.target} for upload in plan.uploads],
        "verdicts": [
            {"source": v.source, "field": v.field, "target": v.target, "verdict": v.verdict.value, "reason": v.reason}
            for v in plan.verdicts
        ],
        "violations": [
            {
                "field": violation.field,
                "source": violation.source,
                "message": violation.message,
                "limit": violation.limit,
                "served_by": list(violation.served_by),
            }
            for violation in plan.violations
        ],
    }


def plan_text(plan: Plan) -> None:
    """A plan for people."""
    if plan.route is None:
        line(f"{plan.vendor}: {plan.workflow} is not served")
    else:
        line(f"{plan.vendor}: {plan.model} {plan.workflow}")
        line(f"{plan.method} {plan.url}")
        line(json.dumps(plan.body, indent=2))
    rows = [[v.source or "-", v.target or "-", v.verdict.value, v.reason] for v in plan.verdicts]
    table(["from", "to", "verdict", "why"], rows)
    for violation in plan.violations:
        note(f"refused: {violation.message}")


def job_document(job: Job) -> dict[str, Any]:
    """A job as data."""
    found: dict[str, Any] = job.model_dump(mode="json", exclude_none=True)
    return found


def closing(vendor: str, *, simulated: bool) -> None:
    """The last line: whether anything was paid, and what to type next."""
    if simulated:
        variable = get_provider(vendor).key_variable
        note(
            f"Simulated: nothing was sent or paid. For the real thing: set {variable} and add --live --vendor {vendor}"
        )
    else:
        note(f"Live: {vendor} was paid for this job. To see what a request would do first: polyreel plan")


class Progress:
    """Shows how a job is doing: a status line on a terminal, one line for each change elsewhere."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._last = ""
        console = Console(stderr=True, highlight=False)
        self._status = console.status("submitting") if console.is_terminal else None
        if self._status:
            self._status.start()

    def __call__(self, job: Job) -> None:
        """One change of the job."""
        percent = "" if job.progress is None else f" {job.progress:.0%}"
        elapsed = f"{time.monotonic() - self._start:.0f} s"
        text = f"{job.vendor} {job.id}: {job.status}{percent}"
        if self._status:
            self._status.update(escape(f"{text}, {elapsed}"))
        elif text != self._last:
            note(f"{text} ({elapsed})")
        self._last = text

    def stop(self) -> None:
        """End the status line."""
        if self._status:
            self._status.stop()
