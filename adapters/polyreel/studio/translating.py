"""The page for what is pasted: whose it is, what it asks for, and the same for other vendors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from attrs import frozen

from ..errors import RequestError
from ..mapping.reports import Allowance
from ..mapping.workflows import workflow_of
from ..places import JsonObject
from ..plans.requests import check_request
from ..plans.translation import Translation
from ..providers.base.registry import all_providers
from .candidates import PastedCandidate
from .columns import JsonLine, Mend, VendorColumn, mends, state_of
from .forms import ALLOW, Pairs, allowed, pairs_of
from .pages import base, rendered, typed
from .pasting import MOST_BYTES, Pasted, PastedCall, recognised

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from .studio import Studio

LONGEST_QUERY: Final = 16_000
"""The longest request that fits into an address."""
MOST_FORM: Final = 3 * MOST_BYTES + 10_000
"""Bytes of a form: three for each byte that is written as `%00`."""


@frozen(slots=False)
class TranslatedColumn:
    """What was pasted, for one other vendor."""

    made: Translation
    mends: tuple[Mend, ...]

    @property
    def vendor(self) -> str:
        """The vendor's id."""
        return self.made.target.id

    @property
    def state(self) -> str:
        """How it would go: see `state_of`."""
        return state_of(self.made)

    @cached_property
    def column(self) -> VendorColumn | None:
        """The call for it, where there is one."""
        plan = self.made.plan
        return VendorColumn(plan, ()) if plan is not None and plan.route is not None else None

    @property
    def lines(self) -> tuple[JsonLine, ...]:
        """The body, line by line."""
        return self.column.lines if self.column is not None else ()


def routes(studio: Studio) -> Sequence[BaseRoute]:
    """The page, and what was pasted into it."""
    from starlette.responses import HTMLResponse  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    async def page(request: Request) -> Response:
        """The page, where nothing was pasted yet."""
        return HTMLResponse(rendered("paste.html", page="paste", base=base(request), pasted=None))

    async def paste(request: Request) -> Response:
        """What was pasted: for htmx what stands below the text, else a page.

        The text does not come back: it can have keys.
        """
        pairs = await typed(request, MOST_FORM)
        if pairs is None:
            pasted = Pasted("nothing", f"this is more than the {MOST_BYTES:,} bytes that are taken")
            seen = {**NOTHING, "pasted": pasted}
        else:
            seen = await asyncio.to_thread(_view, pairs)
        is_part = "hx-request" in request.headers
        name = "pasted.html" if is_part else "paste.html"
        values = {"base": base(request), "is_part": is_part, **seen}
        return HTMLResponse(rendered(name, page="paste", **values))

    return [Route("/paste", page), Route("/paste", paste, methods=["POST"])]


NOTHING: Final[Mapping[str, Any]] = {
    "call": None,
    "call_index": 0,
    "candidate": None,
    "candidate_index": 0,
    "request": None,
    "shared": "",
    "query": "",
    "allow": {},
    "columns": (),
}


def _view(pairs: Pairs) -> dict[str, Any]:
    """All that the templates show of what was pasted."""
    given = dict(pairs)
    pasted = recognised(given.get("text", ""))
    allow = allowed([text for name, text in pairs if name == ALLOW])
    seen: dict[str, Any] = {**NOTHING, "pasted": pasted, "allow": allow}
    call, candidate = _chosen(pasted, given, seen)
    is_shared = pasted.kind == "request" and not given.get("candidate")
    request = pasted.request if is_shared else candidate.request if candidate else None
    if is_shared:
        candidate = seen["candidate"] = None
    if request:
        query = _query(request, candidate, allow)
        seen["shared"] = json.dumps(request, indent=2, ensure_ascii=False)
        seen["query"] = query if len(query) <= LONGEST_QUERY else ""
    seen["request"] = request
    if call is not None and candidate is not None:
        seen["columns"] = tuple(_columns(candidate, allow))
    return seen


def _chosen(
    pasted: Pasted, given: Mapping[str, str], seen: dict[str, Any]
) -> tuple[PastedCall | None, PastedCandidate | None]:
    """The call and the candidate that are looked at: the first ones, unless others are chosen."""
    if not pasted.calls:
        return None, None
    at = _index(given.get("call", ""), pasted.calls)
    call = pasted.calls[at]
    of, _, which = given.get("candidate", "").partition(".")
    index = _index(which, call.candidates) if of == str(at) else 0
    candidate = call.candidates[index] if call.candidates else None
    seen |= {"call": call, "call_index": at, "candidate": candidate, "candidate_index": index}
    return call, candidate


def _index(text: str, several: Sequence[object]) -> int:
    return int(text) if text.isdecimal() and len(text) < 4 and int(text) < len(several) else 0


def _query(
    request: JsonObject, candidate: PastedCandidate | None, allow: Mapping[str, Allowance]
) -> str:
    """The query of the first page with a request, and with what may be lost of it."""
    if candidate is not None:
        workflow = candidate.workflow
    else:
        try:
            kind = check_request(request).kind
        except RequestError:  # the first page says what is wrong with it
            kind = "video"
        workflow = workflow_of(request, kind)
    lost = ((ALLOW, f"{name}={what}") for name, what in allow.items())
    return urlencode([*pairs_of(request, workflow), *lost], errors="replace")


def _columns(
    candidate: PastedCandidate, allow: Mapping[str, Allowance]
) -> Iterator[TranslatedColumn]:
    """What was pasted, for every other vendor."""
    for target in all_providers().values():
        if target.id != candidate.vendor:
            made = candidate.translated(target, allow)
            yield TranslatedColumn(made, tuple(_mends(candidate, made, allow)))


def _mends(
    candidate: PastedCandidate, made: Translation, allow: Mapping[str, Allowance]
) -> Iterator[Mend]:
    """What would help a refused translation."""

    def refused(allow: Mapping[str, Allowance]) -> Iterator[str]:
        return (one.field for one in candidate.translated(made.target, allow).violations)

    fields = (one.field for one in made.violations if made.plan is not None)
    return mends(fields, allow, refused)
