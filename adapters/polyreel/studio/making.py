"""The first page: a request, and every vendor beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from attrs import frozen

from ..errors import RequestError
from ..gateway.bodies import RequestBody
from ..providers.base.registry import get_provider
from . import uploads
from .columns import columns
from .columntexts import RUN, ColumnText, ColumnTexts, Pieces, keep, new_mark
from .extents import DIGEST, ShownRoutes, digest, field_extents, models, name_of, shown_routes
from .forms import TABS, Pairs, StudioForm, controls, read_form
from .marks import NO_CHIPS, Chips, chips
from .pages import base, rendered
from .shots import ShotTimeline, timeline
from .snippets import Snippet, snippets

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from .studio import Studio

PLANS: Final = "/plans"
COLUMNS: Final = "columns"
SHOWN: Final = "shown"
"""What the browser says of what it shows beside the columns: the limits, and what is said there."""
NOTHING: Final[tuple[object, ...]] = ({}, {}, NO_CHIPS, None)
"""What is said at the controls of most requests: no problem, no allowance, no mark, no shots."""


def routes(studio: Studio) -> Sequence[BaseRoute]:
    """The page, its columns, and the files that are dropped on it."""
    pages = RequestPages(studio)
    from starlette.responses import FileResponse, HTMLResponse, JSONResponse  # noqa: PLC0415
    from starlette.responses import Response as PlainResponse  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    async def page(request: Request) -> Response:
        """The whole page, with the request that its address holds."""
        pairs = request.query_params.multi_items()
        return HTMLResponse(await asyncio.to_thread(pages.whole, pairs, base(request)))

    async def plans(request: Request) -> Response:
        """The columns, the chips and the limits, for what is typed; the address follows."""
        query = request.scope["query_string"].decode("latin-1")
        pairs, place = parse_qsl(query, keep_blank_values=True), base(request)
        # A thread costs as much as such an answer. Files are read in one.
        if pages.are_quick and not any(uploads.UPLOAD in text for _, text in pairs):
            text, query = pages.replanned(pairs, place)
        else:
            text, query = await asyncio.to_thread(pages.replanned, pairs, place)
        return HTMLResponse(text, headers={"hx-replace-url": f"{place}/?{query}"})

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
        content = await RequestBody(request, uploads.MAX_BYTES).content()
        if content is None:
            text = f"the file is larger than {uploads.MAX_BYTES // 2**20} MB"
            return JSONResponse({"message": text}, 413)
        try:
            own_name = request.query_params.get("name", "")
            name = await asyncio.to_thread(studio.uploads.keep, content, own_name)
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
        Route(PLANS, plans),
        Route("/code", code),
        Route("/uploads", upload, methods=["POST"]),
        Route("/uploads/{name}", file),
    ]


@frozen
class SeenRequest:
    """What is typed, and what becomes of it."""

    form: StudioForm
    base: str
    columns: Sequence[ColumnText]
    are_known: bool
    """Whether all columns were remembered."""
    limits: ShownRoutes
    """The routes whose limits stand at the controls."""
    chips: Chips
    shots: ShotTimeline | None

    @property
    def ready(self) -> tuple[ColumnText, ...]:
        """The vendors that would take it."""
        return tuple(one for one in self.columns if one.is_ready)

    @property
    def shown(self) -> str:
        """A name of what stands at the controls: of the limits, and of all that is said there."""
        said = (self.form.problems, self.form.allow, self.chips, self.shots)
        notes = "0" * DIGEST if said == NOTHING else digest(repr(said))
        return name_of(self.limits) + notes

    def values(self) -> dict[str, object]:
        """What the templates show of it."""
        from markupsafe import Markup  # noqa: PLC0415

        return {
            "base": self.base,
            "form": self.form,
            "controls": controls(self.form.workflow),
            # Made by a template: each value in it is escaped.
            "columns": [Markup(one.text) for one in self.columns],  # noqa: S704
            "count": len(self.columns),
            "ready": self.ready,
            "chips": self.chips,
            "shots": self.shots,
            "shown": self.shown,
        }


class RequestPages:
    """Makes the pages of requests. Threads may share one."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._texts = ColumnTexts(studio)
        self._frames: dict[tuple[object, ...], Pieces] = {}
        self.are_quick = False
        """Whether the last columns were all remembered: then the next ones need no thread."""

    def whole(self, pairs: Pairs, base: str) -> str:
        """The whole page."""
        seen = self._seen(pairs, base)
        workflow = seen.form.workflow
        return rendered(
            "making.html",
            **seen.values(),
            page="making",
            fields=field_extents(workflow, seen.limits),
            models=models(workflow, seen.form.vendors),
            tabs=TABS,
            vendors=self._studio.vendors(),
        )

    def replanned(self, pairs: Pairs, base: str) -> tuple[str, str]:
        """The columns, and what else is not shown as `shown` says; and the query of the page."""
        seen = self._seen(pairs, base)
        self.are_quick = seen.are_known
        there = next((text for name, text in pairs if name == SHOWN), "")
        name, form = seen.shown, seen.form
        if seen.columns and there == name:
            text = "".join(one.text for one in seen.columns)
            return self._frame(seen).filled({COLUMNS: text, SHOWN: name}), form.query
        limits = (
            field_extents(form.workflow, seen.limits) if there[:DIGEST] != name[:DIGEST] else ()
        )
        has_notes = there[DIGEST:] != name[DIGEST:]
        return rendered("plans.html", **seen.values(), fields=limits, notes=has_notes), form.query

    def _frame(self, seen: SeenRequest) -> Pieces:
        """What stands around columns where nothing else is to be shown."""
        ready = tuple((one.vendor, one.price) for one in seen.ready)
        key = (len(seen.columns), ready, seen.base, seen.form.strangers)
        known = self._frames.get(key)
        if known is None:
            marks = {COLUMNS: new_mark(), SHOWN: new_mark(), RUN: new_mark()}
            values = {**seen.values(), "columns": [marks[COLUMNS]], "shown": marks[SHOWN]}
            text = rendered(
                "plans.html", **values, fields=(), notes=False, new_run_id=lambda: marks[RUN]
            )
            known = Pieces.of(text, marks)
            keep(self._frames, key, known)
        return known

    def _seen(self, pairs: Pairs, base: str) -> SeenRequest:
        form = read_form(pairs, self._studio.uploads)
        found = columns(form, self._studio.client, self._studio.uploads)
        texts, are_known = self._texts.of(form, found, base)
        limits = shown_routes(form, found)
        shots = timeline(form, limits)
        return SeenRequest(form, base, texts, are_known, limits, chips(form), shots)
