"""A frame's size in one text, such as `1280x720`: read as a resolution and an aspect ratio."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from attrs import frozen

from ..places import MISSING, JsonObject, get, pointer
from .reports import Allowance, ConflictError, Fate, MappingEntry, MappingReport

_SIZE: Final = re.compile(r"([1-9][0-9]{1,4})[xX]([1-9][0-9]{1,4})")
_WORDS: Final = {**{side: f"{side}p" for side in (360, 480, 540, 720, 768, 1080)}, 2160: "4k"}
"""The resolutions whose shorter side is certain: vendors have several for 2k."""
_MOST: Final = 99
"""The largest number in a shared aspect ratio."""


def shared_size(text: object) -> Mapping[str, str] | None:
    """The resolution and the aspect ratio of a size; None where there are no shared words for it.

    >>> shared_size("1280x720"), shared_size("1000x1000")
    ({'resolution': '720p', 'aspect_ratio': '16:9'}, None)
    """
    found = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    width, height = int(found[1]), int(found[2])
    part = math.gcd(width, height)
    across, down = width // part, height // part
    resolution = _WORDS.get(min(width, height))
    if resolution is None or max(across, down) > _MOST:
        return None
    return {"resolution": resolution, "aspect_ratio": f"{across}:{down}"}


@frozen
class FrameSize:
    """A place that says resolution and aspect ratio in one text: read, never written.

    A size without shared words for both is kept as the vendor has it. The rows of the two come
    before this one.
    """

    native: str
    note: str = ""
    names: tuple[str, ...] = ()
    says: ClassVar[tuple[str, ...]] = ("resolution", "aspect_ratio")
    """The shared fields that a text is read as."""

    @property
    def places(self) -> tuple[str, ...]:
        """The native place of this row."""
        return (self.native,)

    def write(
        self,
        shared: Mapping[str, Any],
        body: JsonObject,
        allow: Mapping[str, Allowance],
        report: MappingReport,
    ) -> None:
        """Nothing is written."""

    def read(self, body: Mapping[str, Any], shared: JsonObject, report: MappingReport) -> None:
        """Take both values into the shared request."""
        raw, place = get(body, self.native), pointer(self.native)
        if raw is MISSING:
            return
        if raw is None:
            reason = "null says what leaving it out says"
            report.entries.append(MappingEntry("resolution", place, "", Fate.DROPPED, reason))
            return
        found = shared_size(raw)
        if found is None:
            return
        for name, value in found.items():
            if shared.setdefault(name, value) != value:
                raise ConflictError(f"{self.native} and {name} say different sizes")
        note = self.note or "together with aspect_ratio"
        report.entries.append(
            MappingEntry(
                "resolution", place, "/resolution", Fate.CONVERTED, note, ("aspect_ratio",)
            )
        )
