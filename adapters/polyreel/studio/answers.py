"""The page that says why something is not done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .pages import base, rendered

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def told(request: Request, status: int, title: str, text: str, page: str = "") -> Response:
    """A page that says why something is not done."""
    from starlette.responses import HTMLResponse  # noqa: PLC0415

    values = {"base": base(request), "page": page, "title": title, "text": text}
    return HTMLResponse(rendered("told.html", **values), status)
