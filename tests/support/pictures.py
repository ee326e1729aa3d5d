"""Pictures of any size and format, as the bytes of a file."""

from __future__ import annotations

import io
from typing import Any, Final

from PIL import Image
from polyreel.mapping.media import SUFFIXES
from polyreel.plans.planning import Plan
from polyreel.providers.base.registry import all_providers

SIDES: Final = (640, 640)
UPLOADS, FORMS, URLS_ONLY = (
    next(vendor for vendor, provider in all_providers().items() if provider.files == way)
    for way in ("upload", "multipart", "none")
)
"""A vendor for each way of taking files."""


def picture(
    form: str = "PNG", size: tuple[int, int] = SIDES, mode: str = "RGB", **options: Any
) -> bytes:
    """A black picture."""
    target = io.BytesIO()
    Image.new(mode, size).save(target, form, **options)
    return target.getvalue()


def not_in_formats(made: Plan, field: str, content_type: str) -> bool:
    """Whether a vendor documents other formats for a field, by the facts of its spec."""
    assert made.route is not None
    place = made.route.by_name[field].places[0]
    schema = made.provider.contract.property(made.route.schema, place) or {}
    formats = schema.get("x-polyreel-media", {}).get("formats", [])
    return bool(formats) and SUFFIXES[content_type].removeprefix(".") not in formats
