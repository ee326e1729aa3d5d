"""Runs as pages: begin one, and watch its jobs as they go."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from attrs import frozen

from ..simulator import FAULTS
from ..simulator.ready_made import general_notice
from .answers import told
from .columns import plans_of
from .forms import FAULT, VENDOR, Pairs, StudioForm, read_form
from .notes import RUN_ID, RunNote
from .pages import base, rendered, typed
from .running import RunClashError
from .watching import events_of, watch
from .watching import shown as shown_slot

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from .studio import Studio

RUN: Final = "run"
"""What a button of a run sends: the id of the run, and a vendor's id or `*`."""


def routes(studio: Studio) -> Sequence[BaseRoute]:
    """What begins a run, the pages of runs, and their events."""
    from starlette.responses import (  # noqa: PLC0415
        HTMLResponse,
        RedirectResponse,
        StreamingResponse,
    )
    from starlette.routing import Route  # noqa: PLC0415

    async def begin(request: Request) -> Response:
        """Run a request at one vendor, or at all that are ready; simulated."""
        pairs = await typed(request)
        wish = None if pairs is None else RunWish.read(pairs)
        if pairs is None or wish is None:
            return told(request, 400, "Not a run", "Use the buttons of the request's page.")
        form = await asyncio.to_thread(read_form, pairs, studio.uploads)
        text = await asyncio.to_thread(wish.refusal, form)
        if text is None:
            plans = await asyncio.to_thread(plans_of, form, studio.client, wish.vendors(form))
            usable = [plan for plan in plans if not plan.refused]
            text = None if usable else "No vendor would take this request as it is."
        if text is not None:
            return told(request, 422, "Nothing was run", text)
        note = RunNote(wish.id, form.query, tuple(one.vendor for one in usable), fault=wish.fault)
        try:
            studio.runner.begin(note, usable, {wish.fault: form.times} if wish.fault else None)
        except RunClashError:
            text = "This page has begun another run before. Reload it, and run again."
            return told(request, 409, "Nothing was run", text)
        return RedirectResponse(f"{base(request)}/runs/{wish.id}", 303)

    async def submit_now(request: Request) -> Response:
        """Submit what has no job in a run, as the studio ended before."""
        note = studio.runner.notes.find(request.path_params["run"])
        vendor = dict(await typed(request) or ()).get(VENDOR, "")
        if note is None or note.live or vendor not in note.vendors:
            return told(request, 404, "No such run", "Nothing was sent.")
        pairs = parse_qsl(note.query, keep_blank_values=True)
        form = await asyncio.to_thread(read_form, pairs, studio.uploads)
        if form.checked is None:
            text = "Its request cannot be read any more; a file may be gone. Nothing was sent."
            return told(request, 422, "Nothing was run", text)
        (plan,) = await asyncio.to_thread(plans_of, form, studio.client, [vendor])
        studio.runner.submit_now(note, plan)
        return RedirectResponse(f"{base(request)}/runs/{note.id}", 303)

    async def run(request: Request) -> Response:
        """All jobs of a run, beside each other."""
        name = request.path_params["run"]
        watched = await asyncio.to_thread(watch, studio, name)
        if watched is None:
            return told(request, 404, "No such run", "The ledger has no job of it.")
        is_live = watched.note is not None and watched.note.live
        values = {
            "base": base(request),
            "page": "",
            "run": name,
            "watched": watched,
            "digests": [shown_slot(one, base(request))[1] for one in watched.slots],
            "notice": None if is_live else general_notice(),
        }
        return HTMLResponse(rendered("run.html", **values))

    async def events(request: Request) -> Response:
        """The cards of a run as they change, until all its jobs have ended."""
        stream = events_of(studio, request.path_params["run"], base(request))
        return StreamingResponse(stream, media_type="text/event-stream")

    return [
        Route("/runs", begin, methods=["POST"]),
        Route("/runs/{run}", run),
        Route("/runs/{run}/submit", submit_now, methods=["POST"]),
        Route("/runs/{run}/events", events),
    ]


# -- begin -----------------------------------------------------------------------------------------


@frozen
class RunWish:
    """What is to be run: the id of the run, where, and what is to go wrong."""

    id: str
    where: str
    fault: str = ""

    @classmethod
    def read(cls, pairs: Pairs) -> RunWish | None:
        """What a form says; None where it says nothing of a run."""
        given = dict(pairs)
        identity, _, where = given.get(RUN, "").partition(" ")
        if not RUN_ID.fullmatch(identity) or not where:
            return None
        return cls(identity, where, given.get(FAULT, ""))

    def vendors(self, form: StudioForm) -> tuple[str, ...]:
        """The vendors that are asked."""
        return form.vendors if self.where == "*" else (self.where,)

    def refusal(self, form: StudioForm) -> str | None:
        """Why nothing can be run; None where it can."""
        if form.checked is None:
            problems = [f"{name}: {text}" if name else text for name, text in form.problems.items()]
            return "; ".join(problems) or "The request is empty."
        if form.strangers:
            return "; ".join(form.strangers)
        if self.fault and self.fault not in FAULTS:
            return "There is no such fault."
        if not {*self.vendors(form)} <= {*form.vendors}:
            return "This vendor is not among those of the request."
        return None
