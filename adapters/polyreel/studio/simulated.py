"""The page of the simulated vendors: their clock, faults, jobs, bill and calls."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..places import JsonObject
from ..simulator.clock import RunningClock
from ..simulator.control import advance, inject
from ..simulator.faults import FAULTS
from ..simulator.snapshots import take_snapshot
from ..simulator.statuspage import (
    fault_rows,
    job_rows,
    summary,
    time_text,
    vendor_rows,
)
from .pages import base, rendered, typed

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from .studio import Studio

PAGE: Final = "/vendors"
SENT: Final[Mapping[str, Any]] = {
    "seconds": "60",
    "name": "",
    "vendor": "",
    "share": "1",
    "times": "1",
}
"""What the forms begin with."""


def routes(studio: Studio) -> Sequence[BaseRoute]:
    """The page, what is new on it, the bodies of a call, and what changes something."""
    from starlette.responses import HTMLResponse, RedirectResponse  # noqa: PLC0415
    from starlette.responses import Response as PlainResponse  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    async def page(request: Request) -> Response:
        """The whole page."""
        return await shown(request)

    async def shown(request: Request, again: Mapping[str, object] | None = None) -> Response:
        """The page; `again` is what a form shows that could not be used."""
        seen = await asyncio.to_thread(_view, studio, base(request))
        text = rendered("vendors.html", page="vendors", **{**seen, **(again or {})})
        return HTMLResponse(text, 422 if again else 200)

    async def news(request: Request) -> Response:
        """What has changed since the page was shown, for htmx; it asks again and again."""
        run, _, last = request.query_params.get("after", "").partition(".")
        if run != studio.calls.run or not last.isdecimal():
            # The studio was started again: its calls are counted from 1 on again.
            return PlainResponse(headers={"hx-refresh": "true"})
        seen = await asyncio.to_thread(_view, studio, base(request), int(last[:18]))
        changed = request.query_params.get("seen") != seen["digest"]
        return HTMLResponse(rendered("vendors_news.html", changed=changed, **seen))

    async def call(request: Request) -> Response:
        """A call with its bodies: for htmx what stands in the list, else a page."""
        kept = studio.calls.call(request.path_params["number"])
        if kept is None:
            text = "This call is not kept any more: the last 100 are."
            values: dict[str, Any] = {"call": None, "text": text}
        else:
            found = await asyncio.to_thread(kept.shown)
            values = {"call": found, "at": time_text(kept.at)}
        name, level = "call.html", "h2"
        if "hx-request" in request.headers:
            name, level = "call_inner.html", "h3"
        text = rendered(name, page="vendors", base=base(request), level=level, **values)
        return HTMLResponse(text, 404 if kept is None else 200)

    async def move_clock(request: Request) -> Response:
        """Let time pass."""
        given = dict(await typed(request) or ())
        seconds = given.get("seconds", "").strip()
        try:
            advance(studio.simulator, {"seconds": _number(seconds)})
        except ValueError as error:
            return await shown(request, _again("clock", given, error))
        return RedirectResponse(base(request) + PAGE, 303)

    async def add_fault(request: Request) -> Response:
        """Let something go wrong."""
        given = dict(await typed(request) or ())
        try:
            inject(studio.simulator, list(studio.vendors()), _fault(given))
        except ValueError as error:
            return await shown(request, _again("fault", given, error))
        return RedirectResponse(base(request) + PAGE, 303)

    async def remove_fault(request: Request) -> Response:
        """Remove one fault, or all."""
        studio.simulator.calm(request.path_params.get("number"))
        return RedirectResponse(base(request) + PAGE, 303)

    return [
        Route(PAGE, page),
        Route(f"{PAGE}/news", news),
        Route(f"{PAGE}/calls/{{number:int}}", call),
        Route(f"{PAGE}/clock", move_clock, methods=["POST"]),
        Route(f"{PAGE}/faults", add_fault, methods=["POST"]),
        Route(f"{PAGE}/faults/remove", remove_fault, methods=["POST"]),
        Route(f"{PAGE}/faults/{{number:int}}/remove", remove_fault, methods=["POST"]),
    ]


def _view(studio: Studio, at: str, after: int = 0) -> dict[str, Any]:
    """All that the templates show; of the calls, those after a number."""
    snapshot, clock = take_snapshot(studio.simulator), studio.simulator.clock
    calls = studio.calls.after(after)
    state = {
        "vendors": list(vendor_rows(snapshot, studio.vendors())),
        "faults": [
            (rule.number, row)
            for rule, row in zip(snapshot.rules, fault_rows(snapshot), strict=True)
        ],
        "fired": list(reversed(snapshot.fired[-10:])),
        "jobs": list(job_rows(snapshot)),
    }
    return {
        "base": at,
        "summary": summary(snapshot),
        "speed": f"{clock.speed:g}" if isinstance(clock, RunningClock) else None,
        "state": state,
        "digest": hashlib.sha256(repr(state).encode("utf-8", "replace")).hexdigest()[:16],
        "calls": [(one, time_text(one.at)) for one in calls],
        "run": studio.calls.run,
        "last": calls[0].number if calls else after,
        "known": _known(),
        "sent": SENT,
        "problem": ("", ""),
    }


def _known() -> Mapping[str, Sequence[str]]:
    """The faults, by the kind of call that they happen to."""
    found: dict[str, list[str]] = {}
    for fault in FAULTS.values():
        found.setdefault(fault.call, []).append(fault.name)
    return found


def _fault(given: Mapping[str, str]) -> JsonObject:
    """A fault as the simulator's settings have it."""
    times = given.get("times", "").strip()
    return {
        "name": given.get("name", ""),
        "vendor": given.get("vendor") or None,
        "share": _number(given.get("share", "")),
        "times": int(times) if times.isdecimal() and len(times) < 18 else times,
    }


def _number(text: str) -> float | str:
    """A number, or the text where it is none."""
    try:
        return float(text)
    except ValueError:
        return text


def _again(form: str, given: Mapping[str, str], error: ValueError) -> Mapping[str, object]:
    """What a form shows again, with what is wrong."""
    kept = {name: text for name, text in given.items() if name in SENT}
    return {"sent": {**SENT, **kept}, "problem": (form, str(error))}
