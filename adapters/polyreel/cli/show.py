"""Printing: results to stdout, everything else to stderr. No key gets through.

What draws tables and progress is imported where it is used: JSON needs none of it.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from ..environment import without_keys
from ..errors import PolyreelError
from ..mapping.media import abridged_body
from ..money.charged import cost_text
from ..providers.base.answers import printable
from ..providers.base.facts import FINAL
from ..providers.base.registry import get_provider
from . import tables
from .steps import next_step

if TYPE_CHECKING:
    from polyreel_generated.shared import Job
    from rich.status import Status

    from ..flows import Part
    from ..ledger.store import LedgerStore
    from ..plans.planning import Plan
    from ..plans.verdicts import Verdict


COMMANDS: Final = ("next: ", "  polyreel ")
"""How the lines begin that are commands to copy."""


def document(value: Any) -> None:
    """One JSON document on stdout, in ASCII so that every console can show it."""
    line(json.dumps(value, indent=2, allow_nan=False))


def line(text: str) -> None:
    """Text on stdout."""
    sys.stdout.write(without_keys(text) + "\n")


def note(text: str) -> None:
    """One message on stderr."""
    with suppress(OSError):
        # Nobody may be reading messages; the result counts.
        shown = _wrapped(printable(without_keys(text)))
        for word, colour in (("error:", "error"), ("warning:", "warning"), ("refused:", "refused")):
            shown = shown.replace(word, tables.painted(word, colour, sys.stderr), 1)
        sys.stderr.write(shown + "\n")
        sys.stderr.flush()


def _wrapped(text: str) -> str:
    """A message in lines as long as the terminal's, between words; commands stay in one line."""
    if not sys.stderr.isatty():
        return text
    columns = shutil.get_terminal_size().columns
    return "\n".join(
        line
        for part in text.split("\n")
        for line in ([part] if part.startswith(COMMANDS) else tables.wrapped(part, columns))
    )


class _Notes(logging.Handler):
    """Shows the lines of a log as messages."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show one line."""
        note(self.format(record))


def log(level: int = logging.DEBUG) -> None:
    """Show polyreel's log on stderr, from a level on, unless more of it is shown already."""
    logger = logging.getLogger("polyreel")
    if any(isinstance(one, _Notes) for one in logger.handlers):
        return
    handler = _Notes()
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False


def prompt(text: str) -> None:
    """A question on stderr, which is answered on the same line."""
    sys.stderr.write(printable(without_keys(text)) + " ")
    sys.stderr.flush()


def table(
    headers: list[str],
    rows: list[list[str]],
    *,
    markdown: bool = False,
    beneath: Collection[str] = (),
) -> None:
    """A table on stdout: in columns, or as cards where the terminal is too narrow for them.

    `beneath` are the columns that come below their row before that.
    """
    if markdown:
        for cells in (headers, ["---"] * len(headers), *rows):
            line(
                f"| {' | '.join(cell.replace('|', '/').replace(chr(10), '; ') for cell in cells)} |"
            )
        line("")
        return
    shown = [[printable(without_keys(cell)) for cell in row] for row in rows]
    line(tables.drawn(headers, shown, beneath))


def verdict_table(verdicts: Sequence[Verdict]) -> None:
    """Verdicts for people."""
    rows = [[v.source or v.field, v.target or "-", v.verdict.value, v.reason] for v in verdicts]
    table(["from", "to", "verdict", "why"], rows)


def plan_text(plan: Plan) -> None:
    """A plan for people."""
    if plan.route is None:
        model = f"{plan.model} " if plan.model else ""
        line(f"{plan.vendor}: {model}{plan.workflow} is not served")
    else:
        refused = tables.painted("refused", "refused", sys.stdout)
        line(f"{plan.vendor}: {plan.model} {plan.workflow}" + f", {refused}" * plan.refused)
        line(f"{plan.method} {plan.url}")
        line(json.dumps(abridged_body(plan.body), indent=2))
        line(f"cost: {plan.cost}")
        for upload in plan.uploads:
            what = f"{_file_text(upload.file)} for {upload.target}"
            line(f"{what} will be uploaded, once per account while {plan.vendor} keeps it")
        for part in plan.parts:
            if part.is_file:
                line(f"{_file_text(part)} for /{part.name} will be sent along with the request")
    verdict_table(plan.verdicts)
    warn(plan)


def warn(plan: Plan) -> None:
    """Note what may come out otherwise than it was meant."""
    for warning in plan.warnings:
        note(f"{plan.vendor}: warning: {warning}")


def _file_text(file: Part) -> str:
    return f"{file.path or 'the file in the request'} ({file.content_type})"


def saved(job: Job) -> None:
    """The files of a job, or the id of a subject: the result on stdout; and what it cost, beside
    it.
    """
    if job.element is not None:
        line(job.element)
    for output in job.outputs or ():
        line(str(output.path))
    cost(job)


def cost(job: Job) -> None:
    """What a job was to cost, and what was charged, as far as anything is known."""
    if text := cost_text(job):
        note(text)


def closing(vendor: str, *, simulated: bool) -> None:
    """The last line: whether anything was paid, and what to type next."""
    if simulated:
        variable = get_provider(vendor).key_variable
        note(
            "Simulated: nothing was sent or paid. "
            f"For the real thing: set {variable} and add --live --vendor {vendor}"
        )
    else:
        note(
            f"Live: {vendor} was paid for this job. "
            "To see what a request would do first: polyreel plan"
        )


class Progress:
    """Shows how jobs are doing: a status line on a terminal, one line for each change elsewhere.

    Where an accident ends the command, it tells which jobs may have been paid for, and what to type
    about them; PolyreelErrors tell that themselves.
    """

    def __init__(self, ledger: LedgerStore | None = None) -> None:
        self._ledger = ledger
        self._start = time.monotonic()
        self._last: dict[str, str] = {}
        self._job: Job | None = None
        self._status = _status_line() if sys.stderr.isatty() else None

    def __call__(self, job: Job) -> None:
        """One change of the job."""
        self._job = job
        percent = "" if job.progress is None else f" {job.progress:.0%}"
        elapsed = f"{time.monotonic() - self._start:.0f} s"
        text = f"{job.vendor} {job.id}: {job.status}{percent}"
        if self._status:
            from rich.markup import escape

            self._status.update(escape(f"{text}, {elapsed}"))
        elif text != self._last.get(job.id):
            note(f"{text} ({elapsed})")
        self._last[job.id] = text

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status:
            self._status.stop()
        if error and not isinstance(error, PolyreelError):
            for text in self._unfinished():
                note(text)

    def _unfinished(self) -> list[str]:
        """What an accident leaves behind."""
        if self._ledger is not None:
            with suppress(PolyreelError):
                entries = [self._ledger.entry(name) for name in dict.fromkeys(self._ledger.touched)]
                return [step for one in entries if (step := next_step(one, self._ledger))]
        if self._job is None or self._job.status in FINAL:
            return []
        return [
            f"{self._job.vendor} has accepted {self._job.id}, and may have billed it; "
            "its dashboard tells"
        ]


def _status_line() -> Status | None:
    """The status line of a terminal; None where the terminal cannot show one."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        return None
    return console.status("submitting", spinner="dots" if tables.is_unicode(sys.stderr) else "line")
