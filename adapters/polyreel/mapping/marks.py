"""Reference marks inside prompts: `@Image1` in the shared model, other spellings at the vendors.

A mark is a mark only where it cites something: `@Image3` with two reference images is plain text
and stays as it is in both directions.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Final

from attrs import Factory, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@frozen
class Marks:
    """One spelling of reference marks.

    `pattern` has the groups `kind` and `number`. `template` says how to write one, with the kind in
    title case where `title` is set. `kinds` has the kinds that are called otherwise here.
    """

    pattern: re.Pattern[str]
    template: str
    title: bool = False
    kinds: Mapping[str, str] = Factory(dict)
    starts: tuple[str, ...] = ()
    """What each mark begins with one of; by default it is what the template begins with."""

    def may_be_in(self, text: str) -> bool:
        """Whether there can be a mark in a text. Most have none, and that is seen at once."""
        for start in self.starts or self._start:  # noqa: SIM110 - `any` takes three times as long
            if start in text:
                return True
        return False

    @cached_property
    def _start(self) -> tuple[str]:
        return (self.template.partition("{")[0],)

    def write(self, kind: str, number: int) -> str:
        """One mark in this spelling."""
        own = next((own for own, shared in self.kinds.items() if shared == kind), kind)
        return self.template.format(kind=own.title() if self.title else own, number=number)

    def kind(self, match: re.Match[str]) -> str:
        """What a mark that was found cites: `image`, `element`, `video` or `audio`."""
        own: str = match["kind"].lower()
        return self.kinds.get(own, own)


AT: Final = Marks(
    re.compile(r"@(?P<kind>Image|Element|Video|Audio)(?P<number>[1-9][0-9]?)(?![0-9])"),
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

LOWER_AT: Final = Marks(
    re.compile(r"@(?P<kind>image|video|audio)(?P<number>[1-9][0-9]?)(?![0-9])"), "@{kind}{number}"
)
"""`@image1`: Seedance 2.0's spelling at EvoLink (its pages of 2026)."""

NAMED: Final = Marks(
    re.compile(r"(?<![A-Za-z])(?P<kind>Image|Video|Audio) (?P<number>[1-9][0-9]?)(?![0-9])"),
    "{kind} {number}",
    title=True,
    starts=("Image ", "Video ", "Audio "),
)
"""`Image 1`: Wan's spelling at EvoLink (its pages of 2026)."""

CHARACTER: Final = Marks(
    re.compile(r"(?<![A-Za-z])(?P<kind>character)(?P<number>[1-9][0-9]?)(?![0-9])"),
    "{kind}{number}",
    kinds={"character": "image"},
    starts=("character",),
)
"""`character1`: the first reference image of HappyHorse at EvoLink (its pages of 2026)."""

BY_ID: Final = Marks(
    re.compile(r"@(?P<kind>image|element|video)_(?P<number>[1-9][0-9]?)(?![0-9])"),
    "@{kind}_{number}",
)
"""`@image_1`: inputs cited by ids that the request gives them, as in Kling's newer calls.

Source: Kling's page of Omni video, 2026.
"""


def may_have_marks(text: str) -> bool:
    """Whether a text has a character with which a mark begins in any vendor's spelling, or what a
    person may take for one. The marks that are plain words are no such marks.
    """
    return "@" in text or "<" in text or "[" in text or "{" in text


_KINDS: Final = {
    "image": "image",
    "img": "image",
    "picture": "image",
    "图片": "image",
    "图": "image",
    "element": "element",
    "subject": "element",
    "主体": "element",
    "video": "video",
    "视频": "video",
    "audio": "audio",
    "voice": "voice",
}
_NAME: Final = rf"(?P<{{0}}>{'|'.join(_KINDS)})s?[ _-]?(?P<{{1}}>[0-9]{{{{1,2}}}})(?![0-9])"
_NEAR: Final = re.compile(
    rf"(?<![\w@])@[\[{{(<]?{_NAME.format('at', 'at_number')}"
    rf"|[<\[{{]{{1,3}}\s*@?{_NAME.format('in', 'in_number')}\s*[>\]}}]{{1,3}}",
    re.IGNORECASE,
)
"""What a person may take for a reference mark: any vendor's spelling, and near ones."""
_INPUTS: Final = {
    "image": "reference image",
    "element": "element",
    "video": "video",
    "audio": "audio file",
    "voice": "voice",
}


def idle_marks(text: str, counts: Mapping[str, int]) -> Iterator[str]:
    """Why each mark-like text in a shared prompt cites nothing, where it does not.

    >>> list(idle_marks("@Image1 beside [Image 1] and @Image2", {"image": 1}))
    ['[Image 1] is no mark and stays text: write @Image1',
    '@Image2 cites nothing: 1 reference image']
    """
    for match in _NEAR.finditer(text):
        kind = _KINDS[(match["at"] or match["in"]).lower()]
        number, there = int(match["at_number"] or match["in_number"]), counts.get(kind, 0)
        if not 0 < number <= there:
            plural = "" if there == 1 else "s"
            yield f"{match[0]} cites nothing: {there or 'no'} {_INPUTS[kind]}{plural}"
        elif not AT.pattern.fullmatch(match[0]):
            yield f"{match[0]} is no mark and stays text: write {AT.write(kind, number)}"


def cited(text: str, marks: Marks, counts: Mapping[str, int]) -> bool:
    """Whether the text holds a mark in this spelling that cites one of the inputs counted."""
    return any(
        int(match["number"]) <= counts.get(marks.kind(match), 0)
        for match in marks.pattern.finditer(text)
    )


FIRST_FRAME: Final = "the first frame"
"""What is written for a mark that cites the first frame, for which there is no shared mark."""


def rewrite(
    text: str, source: Marks, target: Marks, counts: Mapping[str, int], shift: int = 0
) -> str:
    """The text with every citing mark respelled. `shift` is added to the numbers of images."""

    def respell(match: re.Match[str]) -> str:
        kind, number = source.kind(match), int(match["number"])
        if number > counts.get(kind, 0):
            return match[0]
        number += shift if kind == "image" else 0
        return target.write(kind, number) if number > 0 else FIRST_FRAME

    return source.pattern.sub(respell, text)
