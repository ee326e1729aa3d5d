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
