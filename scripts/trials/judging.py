"""What the vendors' bill says of a trial, beside what the ledger says."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from polyreel.ledger.records import LedgerEntry
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import Simulator

from .clocks import disturbances
from .runner import KEY, opened

ENDED: Final = {"saved", "failed", "canceled"}
NEVER: Final = (
    "submitted twice",
    "lost",
    "unflagged ambiguous",
    "neither ended nor flagged",
    "bad files",
    "tracebacks",
    "keys shown",
)
"""The figures that are 0 where polyreel keeps its promises."""


def row_of(body: dict[str, Any]) -> str:
    """Which job a task was made for."""
    found = re.search(r"row \d+", json.dumps(body))
    assert found, body
    return found[0]


def by_reference(entry: LedgerEntry) -> str:
    """The row of an entry whose reference names it."""
    return str(entry.submission.reference)


def judge(
    simulator: Simulator,
    folder: Path,
    jobs: int,
    row: Callable[[LedgerEntry], str] = by_reference,
) -> dict[str, int | float]:
    """What the bill says, beside what the ledger says of the same rows."""
    with opened(folder) as ledger:
        entries = ledger.entries()
    billed = Counter(row_of(task.body) for task in simulator.tasks.values())
    by_row: dict[str, list[LedgerEntry]] = {}
    for entry in entries:
        by_row.setdefault(row(entry), []).append(entry)
    states = {row: {entry.state for entry in found} for row, found in by_row.items()}
    known = {"accepted", "succeeded", "saved", "failed", "canceled", "ambiguous"}
    ambiguous = Counter(entry.vendor for entry in entries if entry.state == "ambiguous")
    finished = [one for one, found in states.items() if found & ENDED]
    return {
        "jobs": jobs,
        "billed": simulator.bill.count(),
        "faults": len(simulator.fired),
        "disturbances": disturbances(folder),
        "submitted twice": sum(count > 1 for count in billed.values()),
        "lost": sum(not states.get(one, set()) & known for one in billed) + jobs - len(states),
        "unflagged ambiguous": sum(one in billed and not states[one] & known for one in states),
        "neither ended nor flagged": sum(
            not found & {*ENDED, "ambiguous"} for found in states.values()
        ),
        "bad files": bad_files(simulator, entries, folder),
        **{f"ambiguous, flagged, at {vendor}": ambiguous[vendor] for vendor in all_providers()},
        "finished %": round(100 * len(finished) / jobs, 2),
        "tracebacks": (folder / "stderr.txt").read_bytes().count(b"Traceback"),
        "keys shown": sum(
            KEY.encode() in file.read_bytes() for file in folder.rglob("*") if file.is_file()
        ),
    }


def bad_files(simulator: Simulator, entries: Sequence[LedgerEntry], folder: Path) -> int:
    """Saved files that are not what the vendor made, and files that no job tells of."""
    bad, named = 0, set()
    for entry in entries:
        for output in (entry.job and entry.job.outputs) or ():
            if output.path is None:
                continue
            named.add(output.path)
            assert entry.job
            right = simulator.handle(
                entry.vendor, "GET", f"/outputs/{entry.job.id}/1.mp4", {}
            ).content
            bad += (
                hashlib.sha256(Path(output.path).read_bytes()).digest()
                != hashlib.sha256(right).digest()
            )
    final = {str(path) for path in (folder / "clips").glob("*.mp4")}
    unfinished = {entry.job.id for entry in entries if entry.job and entry.state != "saved"}
    strangers = [path for path in final - named if not any(task in path for task in unfinished)]
    return bad + len(strangers)
