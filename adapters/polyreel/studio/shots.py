"""Shots as a timeline: how long each is, and where each vendor stops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import frozen

from .extents import SCALE_WIDTH, ShownRoutes, extent_of
from .forms import StudioForm

GAP: Final = 0.8
"""What is between two shots, in the units of the drawing."""


@frozen
class ShotPart:
    """A shot in the drawing."""

    number: int
    seconds: int
    begin: float
    width: float


@frozen
class ShotLimit:
    """The longest clip of a vendor that takes shots."""

    vendor: str
    seconds: float
    width: float
    """Its length in the drawing."""
    fits: bool
    """Whether the shots together are no longer."""

    @property
    def text(self) -> str:
        """The limit in words."""
        return f"{self.vendor} up to {self.seconds:g} s"


@frozen
class ShotTimeline:
    """The shots of a request, one after the other."""

    lengths: tuple[int | None, ...]
    """Seconds of each; None where nothing was typed."""
    clip: int | None
    """Seconds of the clip, where they were typed."""
    most: tuple[tuple[str, float], ...]
    """The seconds of the longest clip of each vendor that takes shots, where it has a limit."""

    @property
    def total(self) -> int:
        """Seconds of all shots."""
        return sum(one or 0 for one in self.lengths)

    @property
    def open(self) -> int:
        """How many shots have no length."""
        return self.lengths.count(None)

    @property
    def fits(self) -> bool:
        """Whether the shots are as long as the clip, as far as both are known."""
        return self.clip is None or bool(self.open) or self.clip == self.total

    @property
    def span(self) -> float:
        """Seconds of the whole drawing."""
        return max(self.total, self.clip or 0, *(seconds for _, seconds in self.most), 1)

    @property
    def parts(self) -> Iterator[ShotPart]:
        """The shots in the drawing."""
        begin = 0
        for number, seconds in enumerate(self.lengths, 1):
            if seconds:
                width = max(self._at(seconds) - GAP, GAP)
                yield ShotPart(number, seconds, self._at(begin), round(width, 1))
                begin += seconds

    @property
    def limits(self) -> tuple[ShotLimit, ...]:
        """Where each vendor stops."""
        return tuple(
            ShotLimit(vendor, seconds, self._at(seconds), seconds >= self.total)
            for vendor, seconds in self.most
        )

    @property
    def over(self) -> tuple[ShotLimit, ...]:
        """The vendors whose clips are shorter than the shots together."""
        return tuple(one for one in self.limits if not one.fits)

    @property
    def text(self) -> str:
        """The drawing in words."""
        shots = ", ".join(f"shot {one.number}: {one.seconds} s" for one in self.parts)
        return "; ".join([shots, *(one.text for one in self.limits)])

    def _at(self, seconds: float) -> float:
        return round(SCALE_WIDTH * seconds / self.span, 1)


def timeline(form: StudioForm, routes: ShownRoutes) -> ShotTimeline | None:
    """The timeline of a form; None where there is no shot."""
    shots, clip = form.fields.get("shots"), form.fields.get("duration")
    if not shots:
        return None
    most = []
    for vendor, route in routes.items():
        takes, lengths = (extent_of(vendor, route, name) for name in ("shots", "duration"))
        if takes and takes.capability.offered and lengths and lengths.high is not None:
            most.append((vendor, lengths.high))
    lengths_typed = tuple(one.get("duration") for one in shots)
    return ShotTimeline(lengths_typed, clip if isinstance(clip, int) else None, tuple(most))
