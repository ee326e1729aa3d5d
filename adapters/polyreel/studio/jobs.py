"""One job as a page: how it is, its files, and what can be done about it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .answers import told
from .cards import JobCard, clip_of
from .deeds import DEEDS, acted
from .pages import base, rendered, typed
from .watching import find_card, find_entry

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from .studio import Studio


def routes(studio: Studio) -> Sequence[BaseRoute]:
    """The page of a job, what is done about it, and its files."""
    from starlette.responses import FileResponse, HTMLResponse  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    async def job(request: Request) -> Response:
        """One job, by its id in the ledger."""
        card = await asyncio.to_thread(find_card, studio, request.path_params["job"])
        return shown(request, card)

    def shown(request: Request, card: JobCard | None) -> Response:
        if card is None:
            return told(request, 404, "No such job", "The ledger has no job with this id.")
        is_part = "hx-request" in request.headers
        template = "card.html" if is_part else "job.html"
        page = rendered(template, base=base(request), page="", card=card, follow=True)
        return HTMLResponse(page)

    async def act(request: Request) -> Response:
        """Do something about a job, and say what became of it."""
        name, what = request.path_params["job"], request.path_params["action"]
        card = await asyncio.to_thread(find_card, studio, name)
        pairs = await typed(request)
        if card is None or pairs is None or what not in DEEDS:
            return shown(request, None)
        message = await acted(studio, card, what, dict(pairs))
        return shown(request, await asyncio.to_thread(find_card, studio, name, message))

    async def clip(request: Request) -> Response:
        """A file that was saved for a job."""
        entry = await asyncio.to_thread(find_entry, studio, request.path_params["job"])
        number = request.path_params["number"]
        found = None if entry is None else await asyncio.to_thread(clip_of, entry, number)
        if found is None:
            return told(request, 404, "No such file", "It was not saved, or is not there any more.")
        return FileResponse(found.path, media_type=found.content_type)

    return [
        Route("/jobs/{job}", job),
        Route("/jobs/{job}/{action}", act, methods=["POST"]),
        Route("/clips/{job}/{number:int}", clip),
    ]
