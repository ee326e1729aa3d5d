"""Marks such as `@Image1`: which ones can be put into the prompt, and which cite nothing."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from ..mapping.codecs import cited_inputs
from ..mapping.marks import AT, idle_marks, may_have_marks
from .forms import SHOT, StudioForm

KINDS: Final = ("image", "element", "video", "audio")
"""The inputs that can be cited."""


@frozen
class Chip:
    """A mark that can be put into a prompt, with the input that it cites."""

    mark: str
    input: str


@frozen
class Chips:
    """The marks of a request."""

    marks: tuple[Chip, ...]
    idle: tuple[str, ...]
    """What is wrong with marks that stand in a prompt, in words."""


NO_CHIPS: Final = Chips((), ())


def chips(form: StudioForm) -> Chips:
    """The marks of what is typed."""
    texts = [form.text("prompt"), *form.texts.get(SHOT[0], ())]
    counts = cited_inputs(form.fields)
    if not any(counts.values()) and not any(map(may_have_marks, texts)):
        return NO_CHIPS
    marks = [
        Chip(AT.write(kind, number), f"{kind} {number}")
        for kind in KINDS
        for number in range(1, counts.get(kind, 0) + 1)
    ]
    idle = [reason for text in texts for reason in idle_marks(text, counts)]
    return Chips(tuple(marks), tuple(dict.fromkeys(idle)))


@frozen
class ShotSeconds:
    """How long the shots are together, beside the length of the clip."""

    total: int
    clip: int | None

    @property
    def fits(self) -> bool:
        """Whether the shots are as long as the clip."""
        return self.clip is None or self.clip == self.total


def shot_seconds(form: StudioForm) -> ShotSeconds | None:
    """The seconds of the shots; None where there are none, or one has no length."""
    shots, clip = form.fields.get("shots") or [], form.fields.get("duration")
    lengths = [one.get("duration") for one in shots]
    if not lengths or any(one is None for one in lengths):
        return None
    return ShotSeconds(sum(lengths), clip if isinstance(clip, int) else None)
