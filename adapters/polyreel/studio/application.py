"""The studio as an ASGI application, with Starlette."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from ..errors import MissingExtraError
from . import comparing, history, jobs, live, making, runs, simulated, translating
from .answers import told
from .door import ENTRANCE, HEADERS
from .pages import STATIC, rendered

if TYPE_CHECKING:
    import os
    from os import stat_result

    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .studio import Studio

REFUSALS: Final = {
    "host": (400, "The Host header must name this studio."),
    "origin": (403, "Web pages from elsewhere get nothing here."),
    "token": (403, "This browser was not let in. Open the address that the terminal shows."),
}

MORE: Final = tuple(
    (name.encode(), value.encode())
    for name, value in {"cache-control": "no-store", **HEADERS}.items()
)
"""The headers of every answer, where it has not its own."""
LOOKED_AT: Final = frozenset({b"host", b"origin", b"sec-fetch-site", b"cookie"})
"""The headers by which it is decided who is let in."""


def check_installed() -> None:
    """Raise MissingExtraError where what the studio needs is not installed."""
    if any(find_spec(name) is None for name in ("starlette", "uvicorn", "jinja2")):
        text = "the studio needs Starlette, uvicorn and Jinja2: pip install 'polyreel[studio]'"
        raise MissingExtraError(text)


def application(studio: Studio) -> Starlette:
    """The application, which can be mounted in another one.

    MissingExtraError is raised where Starlette or Jinja2 is not installed.
    """
    check_installed()
    from starlette.applications import Starlette  # noqa: PLC0415
    from starlette.middleware import Middleware  # noqa: PLC0415
    from starlette.middleware.gzip import GZipMiddleware  # noqa: PLC0415

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await studio.close()

    middleware = [
        Middleware(StudioGuard, studio=studio),
        Middleware(Compressed, compressing=partial(GZipMiddleware, minimum_size=500)),
    ]
    return Starlette(
        routes=routes(studio),
        middleware=middleware,
        exception_handlers={ConnectionResetError: _gone},
        lifespan=lifespan,
    )


async def _gone(request: Request, _: Exception) -> Response:
    """The answer to a browser that left in the middle of its body: nobody sees it."""
    return told(request, 400, "Nothing was done", "The body ended early.")


def routes(studio: Studio) -> Sequence[BaseRoute]:
    """All pages and parts of pages."""
    from starlette.routing import Mount  # noqa: PLC0415
    from starlette.staticfiles import StaticFiles  # noqa: PLC0415

    class Static(StaticFiles):
        """Files that browsers may keep: their addresses have a version."""

        def file_response(
            self,
            full_path: str | os.PathLike[str],
            stat_result: stat_result,
            scope: Scope,
            status_code: int = 200,
        ) -> Response:
            """Add how long they may be kept."""
            answer = super().file_response(full_path, stat_result, scope, status_code)
            answer.headers["cache-control"] = "private, max-age=31536000, immutable"
            return answer

    return [
        *making.routes(studio),
        Mount("/static", Static(directory=STATIC)),
        *runs.routes(studio),
        *jobs.routes(studio),
        *live.routes(studio),
        *history.routes(studio),
        *simulated.routes(studio),
        *comparing.routes(studio),
        *translating.routes(studio),
    ]


class Compressed:
    """Compresses answers, but for the columns that are drawn anew while somebody types.

    They take longer to compress than to make, and come by loopback.
    """

    def __init__(self, app: ASGIApp, compressing: Callable[[ASGIApp], ASGIApp]) -> None:
        self._plain, self._compressing = app, compressing(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        is_typed = scope["type"] == "http" and scope["path"].endswith(making.PLANS)
        await (self._plain if is_typed else self._compressing)(scope, receive, send)


class StudioGuard:
    """Lets in who may use the studio, and gives every answer its headers."""

    def __init__(self, app: ASGIApp, studio: Studio) -> None:
        self._app, self._studio = app, studio

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name.lower() for name, _ in message["headers"]}
                more = [one for one in MORE if one[0] not in known]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        answer = self._entrance(scope) or self._refusal(scope)
        if answer is None:
            self._studio.runner.work()
        await (answer or self._app)(scope, receive, with_headers)

    def _entrance(self, scope: Scope) -> Response | None:
        """The answer to a browser that shows the token: the cookie, and the way to the page."""
        if ENTRANCE.encode() not in scope["query_string"]:
            return None
        from starlette.requests import Request  # noqa: PLC0415
        from starlette.responses import RedirectResponse  # noqa: PLC0415

        request = Request(scope)
        door, host = self._studio.door, request.headers.get("host", "")
        shown = request.query_params.get(ENTRANCE)
        if request.method != "GET" or shown is None or not door.access.knows_host(host):
            return None
        if not door.lets_in(shown):
            return None
        answer = RedirectResponse(request.scope.get("root_path", "") + "/", 303)
        answer.set_cookie(
            door.cookie_name(host),
            door.session,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
            path=request.scope.get("root_path", "") + "/",
        )
        return answer

    def _refusal(self, scope: Scope) -> Response | None:
        from starlette.requests import cookie_parser  # noqa: PLC0415
        from starlette.responses import HTMLResponse  # noqa: PLC0415

        # Of two headers with one name, the first counts, as everywhere in Starlette.
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in reversed(scope["headers"])
            if name in LOOKED_AT
        }
        cookies = cookie_parser(headers.get("cookie", ""))
        why = self._studio.door.refusal(scope["method"], headers, cookies)
        if why is None:
            return None
        status, text = REFUSALS[why]
        return HTMLResponse(rendered("refused.html", text=text), status)
