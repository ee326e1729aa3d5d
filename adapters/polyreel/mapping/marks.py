"""Reference marks inside prompts: `@Image1` in the shared model, other spellings at the vendors.

A mark is a mark only where it cites something: `@Image3` with two reference images is plain text
and stays as it is in both directions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: Final = ("image", "element", "video")


@frozen
class Marks:
    """One spelling of reference marks.

    `pattern` has the groups `kind` and `number`. `template` says how to write one, with the kind in
    title case where `title` is set.
    """

    pattern: re.Pattern[str]
    template: str
    title: bool = False

    def write(self, kind: str, number: int) -> str:
        """One mark in this spelling."""
        return self.template.format(kind=kind.title() if self.title else kind, number=number)


AT: Final = Marks(
    re.compile(r"@(?P<kind>Image|Element|Video)(?P<number>[1-9][0-9]?)(?![0-9])"),
    "@{kind}{number}",
    title=True,
)
"""`@Image1`: the shared spelling, and skills.video's (reference pages of Kling O3, 2026)."""

ANGLE: Final = Marks(
    re.compile(r"<<<(?P<kind>image|element|video)_(?P<number>[1-9][0-9]?)>>>"),
    "<<<{kind}_{number}>>>",
)
"""`<<<image_1>>>`: Kling's own spelling, which EvoLink uses.

Source: EvoLink's page of kling-o3-reference-to-video, 2026.
"""


def cited(text: str, marks: Marks, counts: Mapping[str, int]) -> bool:
    """Whether the text holds a mark in this spelling that cites one of the inputs counted."""
    return any(
        int(match["number"]) <= counts.get(match["kind"].lower(), 0)
        for match in marks.pattern.finditer(text)
    )


def rewrite(text: str, source: Marks, target: Marks, counts: Mapping[str, int]) -> str:
    """The text with every citing mark respelled."""

    def respell(match: re.Match[str]) -> str:
        kind, number = match["kind"].lower(), int(match["number"])
        return target.write(kind, number) if number <= counts.get(kind, 0) else match[0]

    return source.pattern.sub(respell, text)
