"""The first page: a request, and every vendor beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import RequestError
from ..gateway.bodies import content_of
from ..providers.base.registry import get_provider
from . import uploads
from .columns import columns
from .extents import field_extents, models, name_of, shown_routes
from .forms import TABS, Pairs, controls, read_form
from .marks import chips, shot_seconds
from .pages import base, rendered
from .snippets import Snippet, snippets

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from .studio import Studio


def routes(studio: Studio) -> Sequence[BaseRoute]:
    """The page, its columns, and the files that are dropped on it."""
    from starlette.responses import FileResponse, HTMLResponse, JSONResponse  # noqa: PLC0415
    from starlette.responses import Response as PlainResponse  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    async def page(request: Request) -> Response:
        """The whole page, with the request that its address holds."""
        seen = await asyncio.to_thread(view, studio, request.query_params.multi_items())
        text = rendered("making.html", base=base(request), page="making", **seen)
        return HTMLResponse(text)

    async def plans(request: Request) -> Response:
        """The columns, the chips and the limits, for what is typed; the address follows."""
        shown = request.query_params.get("shown")
        seen = await asyncio.to_thread(view, studio, request.query_params.multi_items(), shown)
        headers = {"hx-replace-url": f"{base(request)}/?{seen['query']}"}
        text = rendered("plans.html", base=base(request), **seen)
        return HTMLResponse(text, headers=headers)

    async def code(request: Request) -> Response:
        """The request as code for one vendor, which is named by `of`."""
        form = read_form(request.query_params.multi_items(), studio.uploads)
        of = request.query_params.get("of", "")
        made: Sequence[Snippet] = ()
        if form.checked is not None and of in studio.vendors():
            vendor = get_provider(of)
            made = await asyncio.to_thread(snippets, form.checked, vendor, allow=form.allow)
        return HTMLResponse(rendered("code.html", base=base(request), vendor=of, snippets=made))

    async def upload(request: Request) -> Response:
        """Keep a file that was dropped or pasted; its bytes are the body."""
        content = await content_of(request, uploads.MAX_BYTES)
        if content is None:
            text = f"the file is larger than {uploads.MAX_BYTES // 2**20} MB"
            return JSONResponse({"message": text}, 413)
        try:
            name = await asyncio.to_thread(studio.uploads.keep, content)
        except RequestError as error:
            return JSONResponse({"message": "; ".join(error.problems)}, 422)
        return JSONResponse({"name": name})

    async def file(request: Request) -> Response:
        """A file that was dropped, for its thumbnail."""
        path = studio.uploads.path(uploads.UPLOAD + request.path_params["name"])
        if path is None:
            return PlainResponse("there is no such file", 404)
        return FileResponse(path, media_type=studio.uploads.content_type(path))

    return [
        Route("/", page),
        Route("/plans", plans),
        Route("/code", code),
        Route("/uploads", upload, methods=["POST"]),
        Route("/uploads/{name}", file),
    ]


def view(studio: Studio, pairs: Pairs, shown: str | None = None) -> dict[str, object]:
    """All that the templates show of a request. Limits with the name `shown` are there already."""
    form = read_form(pairs, studio.uploads)
    found = columns(form, studio.client, studio.uploads)
    limits = shown_routes(form, found)
    name = name_of(limits)
    return {
        "form": form,
        "query": form.query,
        "controls": controls(form.workflow),
        "columns": found,
        "fields": field_extents(form.workflow, limits) if name != shown else (),
        "shown": name,
        "models": models(form.workflow, form.vendors),
        "chips": chips(form),
        "shot_seconds": shot_seconds(form),
        "tabs": TABS,
        "vendors": studio.vendors(),
        "live_vendors": studio.live_vendors,
        "ready": tuple(one.vendor for one in found if not one.plan.refused),
    }
