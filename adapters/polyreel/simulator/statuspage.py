"""The page for browsers: what the simulator is doing. It has no scripts and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from ..flows import Answer
from .control import PREFIX
from .engine import Simulator
from .snapshots import Snapshot, take_snapshot

REFRESH_SECONDS: Final = 5
MAX_ROWS: Final = 20
"""How many jobs and requests are shown: the last ones."""
STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem}"
    "body{color:#222;background:#fff}"
    "table{border-collapse:collapse;width:100%;margin-bottom:1.5rem}"
    "th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #ddd}"
    "th,td{overflow-wrap:anywhere}"
    "h1{font-size:1.4rem}h2{font-size:1.1rem}code{font-size:.9em}"
    "@media(prefers-color-scheme:dark){"
    "body{color:#ddd;background:#161616}th,td{border-color:#444}a{color:#8bf}}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "vary": "accept",
    "x-content-type-options": "nosniff",
}


Row = Sequence[str | int]


def wanted(accept: str) -> bool:
    """Whether an Accept header asks for the page: browsers name HTML, programs do not."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return "text/html" in kinds and "application/json" not in kinds[: kinds.index("text/html")]


def page(simulator: Simulator, addresses: Mapping[str, str]) -> Answer:
    """The page; `addresses` are the vendors' base URLs."""
    snapshot = take_snapshot(simulator)
    vendor_columns = ["vendor", "base URL", "billed", "credits"]
    body = [
        f"<h1>polyreel simulator</h1><p>{escape(summary(snapshot))}</p>",
        _table("Vendors", vendor_columns, vendor_rows(snapshot, addresses)),
        _table("Active faults", ["fault", "vendor", "share", "left"], fault_rows(snapshot)),
        _table("Jobs", ["vendor", "id", "model", "status", "ends"], job_rows(snapshot)),
        _table("Requests", ["at", "vendor", "method", "path"], _requests(snapshot)),
        "<p>Any bearer token is a valid key unless keys were listed. Nothing is paid. "
        f'<a href="{PREFIX}/">{PREFIX}/</a> is the control API, '
        "<code>docs/simulator.md</code> tells how to use it.</p>",
    ]
    head = (
        f'<meta charset="utf-8"><meta http-equiv="refresh" content="{REFRESH_SECONDS}">'
        f"<title>polyreel simulator</title><style>{STYLE}</style>"
    )
    text = f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>'
    return Answer(200, HEADERS, text.encode("utf-8", "replace"))


def summary(snapshot: Snapshot) -> str:
    """The clock, and how much has happened, in a line."""
    total = sum(charge.credits for charge in snapshot.charges)
    counts = [
        f"{len(snapshot.charges)} jobs billed",
        f"{total:g} credits",
        f"{len(snapshot.journal)} requests",
        f"{len(snapshot.fired)} faults happened",
    ]
    return f"Clock: {time_text(snapshot.now)}. {', '.join(counts)}."


def time_text(seconds: float) -> str:
    """A time in seconds since 1970, as people read it."""
    if not math.isfinite(seconds) or not 0 <= seconds < 2e11:
        return f"{seconds:g}"  # a fast clock that has run for a long time
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def vendor_rows(snapshot: Snapshot, named: Mapping[str, str]) -> Iterable[Row]:
    """Each vendor, with its address or name, how many jobs it has billed, and their credits."""
    for vendor, name in named.items():
        charges = [charge.credits for charge in snapshot.charges if charge.vendor == vendor]
        yield vendor, name, len(charges), f"{sum(charges):g}"


def fault_rows(snapshot: Snapshot) -> Iterable[Row]:
    """Each fault that may still happen: its name, whom it is for, its share, how often it may."""
    for rule in snapshot.rules:
        left = "always" if rule.left is None else rule.left
        yield rule.fault.name, rule.vendor or "all", f"{rule.share:g}", left


def job_rows(snapshot: Snapshot) -> Iterable[Row]:
    """The last jobs, the newest first."""
    for task in reversed(snapshot.tasks[-MAX_ROWS:]):
        status = task.status(snapshot.now)
        yield task.vendor, task.id, task.route.model, status, time_text(task.ended)


def _requests(snapshot: Snapshot) -> Iterable[Row]:
    for request in reversed(snapshot.last_requests(MAX_ROWS)):
        yield time_text(request.at), request.vendor, request.method, request.path[:500]


def _table(title: str, columns: Sequence[str], rows: Iterable[Row]) -> str:
    """A table, or the word None where it has no rows. Every cell is escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<h2>{escape(title)}</h2>{table if body else '<p>None.</p>'}"
