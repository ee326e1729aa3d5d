"""The pages as HTML, made by Jinja from the templates beside this file. Every value is escaped."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from ..gateway.bodies import RequestBody
from .faultlist import fault_groups
from .notes import new_run_id

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.requests import Request

    from .forms import Pairs

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
MOST_TYPED: Final = 1024 * 1024
"""Bytes of a form that is sent."""


@cache
def environment() -> Environment:
    """The templates. A name that they miss is an error, not an empty text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals |= {
        "version": version(),
        "new_run_id": new_run_id,
        "fault_groups": fault_groups,
    }
    return made


@cache
def version() -> str:
    """A hash of the files that a page loads, so that browsers load new ones."""
    found = hashlib.sha256()
    for path in sorted(STATIC.iterdir()):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def rendered(template: str, **values: object) -> str:
    """A page, or a part of one. Half a character, which JSON can hold, becomes a question mark."""
    text = environment().get_template(template).render(values)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def base(request: Request) -> str:
    """Where the studio is mounted: what its links begin with."""
    return str(request.scope.get("root_path", ""))


async def typed(request: Request, most: int = MOST_TYPED) -> Pairs | None:
    """The names and texts of a form that is sent; None where it is larger than `most` bytes.

    Line breaks are as programs have them: browsers send two characters for each.
    """
    content = await RequestBody(request, most).content()
    if content is None:
        return None
    pairs = parse_qsl(content.decode("utf-8", "replace"), keep_blank_values=True)
    return [(name, text.replace("\r\n", "\n")) for name, text in pairs]
