"""The shape of a clip whose first frame is here: the vendor's default may be another one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from ..mapping.groups import Group
from ..mapping.media import LocalFile
from ..mapping.reports import Fate, MappingEntry, MappingReport
from ..mapping.rows import Field
from ..places import JsonObject, pointer
from ..providers.base.provider import Provider
from ..providers.base.routes import Route
from .capabilities import capabilities

FRAMES: Final = ("first_frame", "last_frame")
CLOSE: Final = 0.05
"""How far two ratios may differ, as a share, and still count as one shape."""


def note_shape(
    provider: Provider,
    route: Route,
    shared: Mapping[str, Any],
    body: JsonObject,
    files: Mapping[str, LocalFile],
    report: MappingReport,
) -> None:
    """Warn in a report where no ratio is asked for and the vendor's default is not the frame's.

    Only frames whose file is here have a known shape. Where the vendor's default is not documented,
    any frame but a landscape one is warned of.
    """
    row = route.by_name.get("aspect_ratio")
    if "aspect_ratio" in shared or not isinstance(row, Field | Group):
        return
    name, file = _frame(shared, files)
    measured = file.measures if file is not None else None
    if measured is None or measured.ratio is None:
        return
    described = (one for one in capabilities(provider, route) if one.field == "aspect_ratio")
    sheet = next(described, None)
    if sheet is None or not sheet.offered:
        return
    written: JsonObject = {}
    row.read(body, written, MappingReport())
    default = written.get("aspect_ratio") or provider.defaults(route).get("aspect_ratio")
    choice = [str(one) for one in (default, *(sheet.extent.choices or ())) if _number(one)]
    nearest = _nearest(measured.ratio, choice)
    size = f"{measured.width}x{measured.height}"
    if default is None:
        if _shape(measured.ratio) == "landscape":
            return
        says = f"{provider.id} documents no default, so the clip may be landscape"
    elif not _number(default) or (nearest == default and _same_shape(measured.ratio, default)):
        return
    else:
        says = f"{provider.id} makes {default} ({_shape(_number(default))}) where none is asked for"
    reason = f"{says}, and {name} is {_shape(measured.ratio)} ({size}): it may be cropped or padded"
    advice = f"; ask for aspect_ratio {nearest}" if nearest else ""
    if nearest == default:
        advice = f"; no aspect_ratio that {route.model} has there is nearer"
    entries = [one for one in report.entries if one.field != "aspect_ratio"]
    warned = MappingEntry(
        "aspect_ratio", "", pointer(row.places[0]), Fate.DEFAULTED, reason + advice, warning=True
    )
    report.entries[:] = [*entries, warned]


def _frame(
    shared: Mapping[str, Any], files: Mapping[str, LocalFile]
) -> tuple[str, LocalFile | None]:
    """The first frame that is here."""
    for name in FRAMES:
        if (value := shared.get(name)) is not None:
            return name, files.get(value)
    return "", None


def _number(ratio: object) -> float:
    """A ratio such as 16:9 as a number; 0 for any other word."""
    width, _, height = str(ratio).partition(":")
    return int(width) / int(height) if width.isdecimal() and height.isdecimal() else 0.0


def _nearest(wanted: float, ratios: list[str]) -> str | None:
    """The ratio that is nearest, the first of equals; None without any."""
    distances = [(abs(math.log(wanted / _number(ratio))), ratio) for ratio in ratios]
    return min(distances, key=lambda one: round(one[0], 6), default=(0, None))[1]


def _same_shape(ratio: float, word: object) -> bool:
    return _shape(ratio) == _shape(_number(word))


def _shape(ratio: float) -> str:
    if abs(ratio - 1) <= CLOSE:
        return "square"
    return "landscape" if ratio > 1 else "portrait"
