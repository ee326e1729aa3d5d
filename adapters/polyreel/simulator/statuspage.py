"""The page that a browser is shown: what the simulator is doing, without scripts, and without anything from outside."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from ..flows import Answer
from .control import PREFIX, Seen, look
from .engine import Simulator

REFRESH: Final = 5
LAST: Final = 20
STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem}"
    "body{color:#222;background:#fff}"
    "table{border-collapse:collapse;width:100%;margin-bottom:1.5rem}"
    "th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #ddd;overflow-wrap:anywhere}"
    "h1{font-size:1.4rem}h2{font-size:1.1rem}code{font-size:.9em}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}th,td{border-color:#444}a{color:#8bf}}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "vary": "accept",
    "x-content-type-options": "nosniff",
}


def wanted(accept: str) -> bool:
    """Whether a page is asked for, by the Accept header: browsers name HTML, programs do not."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return "text/html" in kinds and "application/json" not in kinds[: kinds.index("text/html")]


def page(simulator: Simulator, addresses: Mapping[str, str]) -> Answer:
    """The page, for vendors at these URLs."""
    seen = look(simulator)
    parts = [
        f"<h1>polyreel simulator</h1><p>{_summary(seen)}</p>",
        _table("Vendors", ["vendor", "base URL", "billed", "credits"], _vendors(seen, addresses)),
        _table("Active faults", ["fault", "vendor", "share", "left"], _faults(seen)),
        _table("Jobs", ["vendor", "id", "model", "status", "ends"], _jobs(seen)),
        _table("Requests", ["at", "vendor", "method", "path"], _requests(seen)),
        f'<p>Any bearer token is a valid key unless keys were listed. Nothing is paid. <a href="{PREFIX}/">{PREFIX}/'
        f"</a> is the control API, <code>docs/simulator.md</code> tells how to use it.</p>",
    ]
    head = f'<meta charset="utf-8"><meta http-equiv="refresh" content="{REFRESH}"><title>polyreel simulator</title>'
    text = f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body>{"".join(parts)}</body></html>'
    return Answer(200, HEADERS, text.encode("utf-8", "replace"))


def _summary(seen: Seen) -> str:
    total = sum(charge.credits for charge in seen.charges)
    counts = f"{len(seen.charges)} jobs billed, {total:g} credits, {len(seen.requests)} requests"
    return escape(f"Clock: {_time(seen.now)}. {counts}, {len(seen.fired)} faults happened.")


def _time(seconds: float) -> str:
    if not math.isfinite(seconds) or not 0 <= seconds < 2e11:
        return f"{seconds:g}"  # a fast clock that has run for long
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _vendors(seen: Seen, addresses: Mapping[str, str]) -> Iterable[Sequence[Any]]:
    for vendor, url in addresses.items():
        charges = [charge.credits for charge in seen.charges if charge.vendor == vendor]
        yield vendor, url, len(charges), f"{sum(charges):g}"


def _faults(seen: Seen) -> Iterable[Sequence[Any]]:
    for rule in seen.rules:
        left = "always" if rule.left is None else rule.left
        yield rule.fault.name, rule.vendor or "all", f"{rule.share:g}", left


def _jobs(seen: Seen) -> Iterable[Sequence[Any]]:
    for task in reversed(seen.tasks[-LAST:]):
        yield (
            task.vendor,
            task.id,
            task.route.model,
            task.status(seen.now),
            _time(task.created + task.seconds),
        )


def _requests(seen: Seen) -> Iterable[Sequence[Any]]:
    pairs = list(zip(seen.requests[-LAST:], seen.heard[-LAST:], strict=True))
    for (vendor, method, path), at in reversed(pairs):
        yield _time(at), vendor, method, path[:500]


def _table(title: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table, or a word where it has no rows. Every cell is escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows
    )
    content = (
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        if body
        else "<p>None.</p>"
    )
    return f"<h2>{escape(title)}</h2>{content}"
