"""Pages that need no request: what every vendor takes, and what changes between two of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from attrs import frozen

from ..errors import UnknownNameError, did_you_mean
from ..mapping.workflows import WORKFLOWS
from ..plans.capabilities import Capability
from ..plans.comparison import Sheet, VendorDifference, cell, difference, matrix
from ..providers.base.provider import Provider
from ..providers.base.registry import all_providers, get_provider
from ..providers.base.routes import undocumented
from .extents import models
from .forms import TABS, VENDOR, WORKFLOW
from .pages import base, rendered

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from .studio import Studio

EVERY: Final = "*"
"""What stands for every model, in the place of each vendor's first."""


@frozen
class MatrixColumn:
    """One vendor and model of the matrix."""

    vendor: str
    model: str
    query: str
    """The query of the first page for it."""


@frozen
class MatrixCell:
    """What one column makes of one field."""

    text: str
    offered: bool
    reason: str


def routes(studio: Studio) -> Sequence[BaseRoute]:
    """The matrix, and the differences between two vendors."""
    from starlette.responses import HTMLResponse  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    async def table(request: Request) -> Response:
        """Fields down, vendors across."""
        asked = request.query_params
        problem, status = "", 200
        try:
            seen = await asyncio.to_thread(
                _matrix,
                asked.get(WORKFLOW) or TABS[0],
                [one for one in asked.getlist(VENDOR) if one],
                [one for one in asked.getlist("model") if one],
            )
        except UnknownNameError as error:
            problem, status = str(error), 404
            seen = await asyncio.to_thread(_matrix, TABS[0], [], [])
        values = {"tabs": TABS, "vendors": studio.vendors(), "problem": problem, **seen}
        text = rendered("matrix.html", page="matrix", base=base(request), **values)
        return HTMLResponse(text, status)

    async def changes(request: Request) -> Response:
        """What changes from one vendor to another, what breaks first."""
        before, after = (request.query_params.get(name, "") for name in ("before", "after"))
        problem, status, seen = "", 200, None
        if before and after:
            try:
                seen = await asyncio.to_thread(_difference, before, after)
            except UnknownNameError as error:
                problem, status = str(error), 404
        values = {"before": before, "after": after, "sellers": _sellers(), "problem": problem}
        text = rendered("difference.html", page="matrix", base=base(request), seen=seen, **values)
        return HTMLResponse(text, status)

    return [Route("/matrix", table), Route("/difference", changes)]


# -- the matrix ------------------------------------------------------------------------------------


def _matrix(workflow: str, vendors: Sequence[str], named: Sequence[str]) -> dict[str, Any]:
    """What the template shows. UnknownNameError names what there is instead."""
    if workflow not in WORKFLOWS:
        known = f"there are {', '.join(TABS)}{did_you_mean(workflow, TABS)}"
        raise UnknownNameError(f"there is no workflow {workflow[:100]}; {known}")
    providers = [get_provider(name) for name in vendors] or list(all_providers().values())
    sold = models(workflow, tuple(all_providers()))
    for name in named:
        if name != EVERY and name not in sold:
            near = did_you_mean(name, sold)
            raise UnknownNameError(f"nobody sells {name[:100]} for {workflow}{near}")
    sheets = list(matrix(workflow, providers, None if {*named} <= {EVERY} else named))
    sheet = sheets[0] if sheets else Sheet(workflow, (), ())
    if not named:
        sheet = _first_models(sheet)
    return {
        "workflow": workflow,
        "columns": [_column(sheet.workflow, *one) for one in sheet.columns],
        "groups": _groups(sheet.columns),
        "rows": [(name, [*map(_cell, cells, _silences(sheet))]) for name, cells in sheet.rows],
        "chosen": [one.id for one in providers],
        "models": sold,
        "model": named[0] if len(named) == 1 else "",
        "every": EVERY,
    }


def _first_models(sheet: Sheet) -> Sheet:
    """A sheet with the first model of each vendor only, without the fields that none offers."""
    vendors = [vendor for vendor, _ in sheet.columns]
    kept = [vendors.index(vendor) for vendor in dict.fromkeys(vendors)]
    rows = [(name, tuple(cells[index] for index in kept)) for name, cells in sheet.rows]
    return Sheet(
        sheet.workflow,
        tuple(sheet.columns[index] for index in kept),
        tuple((name, cells) for name, cells in rows if any(one.offered for one in cells)),
    )


def _column(workflow: str, vendor: str, model: str) -> MatrixColumn:
    query = {WORKFLOW: workflow, VENDOR: vendor, "model": model}
    return MatrixColumn(vendor, model, urlencode(query))


def _groups(columns: Sequence[tuple[str, str]]) -> Mapping[str, int]:
    """The vendors, each with how many columns it has. Those of a vendor stand side by side."""
    found: dict[str, int] = {}
    for vendor, _ in columns:
        found[vendor] = found.get(vendor, 0) + 1
    return found


def _silences(sheet: Sheet) -> Iterator[str]:
    """What each column says of a field that its vendor does not document."""
    for vendor, model in sheet.columns:
        routes = get_provider(vendor).routes
        first = next(one for one in routes if (one.model, one.workflow) == (model, sheet.workflow))
        yield undocumented(vendor, first)


def _cell(item: Capability, silence: str) -> MatrixCell:
    if item.offered:
        return MatrixCell(cell(item), True, item.sent or item.note)
    if item.note == silence:
        return MatrixCell("not documented", False, "")
    return MatrixCell("not offered", False, item.note)


# -- differences -----------------------------------------------------------------------------------


def _difference(before: str, after: str) -> dict[str, Any]:
    """What the template shows. UnknownNameError names what there is instead."""
    (source, old), (target, new) = _seller(before), _seller(after)
    model = old or new
    found = list(difference(source, target, None if model is None else [model], new))
    breaking: list[VendorDifference] = [one for one in found if one.breaking]
    freer = [one for one in found if not one.breaking]
    return {
        "breaking": breaking,
        "others": freer,
        "vendors": urlencode([(VENDOR, name) for name in dict.fromkeys((source.id, target.id))]),
    }


def _seller(text: str) -> tuple[Provider, str | None]:
    """A vendor, or `vendor/model`."""
    name, _, model = text.partition("/")
    provider = get_provider(name)
    families = sorted({route.model for route in provider.routes})
    if model and model not in families:
        known = f"it sells {', '.join(families)}{did_you_mean(model, families)}"
        raise UnknownNameError(f"{name} sells no {model[:100]}; {known}")
    return provider, model or None


def _sellers() -> Mapping[str, Sequence[str]]:
    """The vendors, each with its models."""
    return {
        name: sorted({route.model for route in one.routes}) for name, one in all_providers().items()
    }
