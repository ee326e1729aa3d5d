"""What the fields of a request are called where they are flags of a command line."""

from __future__ import annotations

from typing import Final

ROWS_ONLY: Final = frozenset({"shots", "extra"})
"""Fields that only a request file can hold."""
SINGULAR: Final = {"reference_images": "reference-image", "elements": "element", "images": "image"}
"""Flags that are given once for each item of a list, and are called by one of them."""


def flag_of(field: str) -> str:
    """The flag of a field: `--aspect-ratio` of `aspect_ratio`."""
    return "--" + SINGULAR.get(field, field.replace("_", "-"))
