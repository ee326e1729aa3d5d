"""Shots written in the text of a clip: `shot 1, 3, words; shot 2, 4, words;`. Knows no vendor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from ..places import get
from .codecs import CannotExpressError, Prompt, joined

ENGLISH: Final = "shot {}, {}, {};"
CHINESE: Final = "镜头 {}, {}, {};"
"""The two spellings: the number from 1, the seconds, and the words."""

TIMES_OF_SHOTS: Final = 'a duration in each, such as {"prompt": "a door opens", "duration": 3}'
"""What is taken where a shot has no duration."""

_SHOT: Final = re.compile(
    r"\s*(?:shot|镜头) ?([1-9][0-9]?)[,\uff0c] ?([0-9]{1,3})[,\uff0c] ?"
    r"([^;\uff1b]+)(?:[;\uff1b]\s*|\Z)",
    re.IGNORECASE,
)
_NEXT: Final = re.compile(r"(?:\bshot|镜头) ?[0-9]{1,2} ?[,:.\uff0c\uff1a]", re.IGNORECASE)
"""What begins a shot, or what a reader may take for that."""


def spelled_shots(text: object) -> list[dict[str, Any]]:
    """The shots that a text spells from its beginning to its end; none where it does not.

    >>> spelled_shots("shot 1, 3, a door opens; shot 2, 4, a cat enters;")
    [{'prompt': 'a door opens', 'duration': 3}, {'prompt': 'a cat enters', 'duration': 4}]
    >>> spelled_shots("A shot of a door.")
    []
    """
    shots: list[dict[str, Any]] = []
    # The number of the first shot, without which there is none.
    if not isinstance(text, str) or not ("1," in text or "1\uff0c" in text):
        return shots
    at = 0
    while at < len(text):
        found = _SHOT.match(text, at)
        if found is None or int(found[1]) != len(shots) + 1:
            return []
        shots.append({"prompt": found[3], "duration": int(found[2])})
        at = found.end()
    return shots


@frozen
class Spells:
    """Whether a text spells shots: it is then what `shots` become, and else the prompt."""

    shots: bool
    """Which of the two is asked for."""
    switch: str | None = None
    """The native place of the switch that makes such a text plain where it is off."""

    def __call__(self, text: object, body: Mapping[str, Any]) -> bool:
        """Whether a native text is the one that is asked for."""
        off = self.switch is not None and get(body, self.switch) is False
        return self.shots is (not off and bool(spelled_shots(text)))


@frozen
class ShotText:
    """`shots` as one text. `texts` respells the marks of each shot."""

    texts: Prompt
    spelling: str = ENGLISH

    def encode(self, value: list[Mapping[str, Any]], shared: Mapping[str, Any]) -> str:
        """The text."""
        spelled, wrong = [], []
        for number, shot in enumerate(value, 1):
            try:
                words = self._words(shot, number, shared)
            except CannotExpressError as error:
                wrong.append(error)
                words = "?"
            spelled.append(self.spelling.format(number, shot.get("duration", 1), words))
        text = " ".join(spelled)
        if wrong:
            raise joined(wrong, stand_in=text)
        return text

    def _words(self, shot: Mapping[str, Any], number: int, shared: Mapping[str, Any]) -> str:
        """The words of one shot, with which the text can be read as no other shots."""
        at = f"/{number - 1}"
        if "duration" not in shot:
            raise CannotExpressError(
                "every shot needs a duration", limit=TIMES_OF_SHOTS, leaves=(at,)
            )
        try:
            words = self.texts.encode(shot["prompt"], shared)
        except CannotExpressError as error:
            reason = f"shot {number}: {error.reason}"
            raise CannotExpressError(reason, leaves=(f"{at}/prompt",)) from None
        reason = ""
        if re.search(r"[;\uff1b]", words) or not words:
            reason = "a semicolon would end its words: write a comma or a full stop"
        elif (found := _NEXT.search(words)) is not None:
            reason = f"{found[0].strip()!r} would begin another shot: say it in other words"
        if reason:
            raise CannotExpressError(f"shot {number}: {reason}", leaves=(f"{at}/prompt",))
        return words

    def decode(self, value: str, shared: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The shots."""
        return [
            {**shot, "prompt": self.texts.decode(shot["prompt"], shared)}
            for shot in spelled_shots(value)
        ]


@frozen
class OneShotText(Prompt):
    """A prompt of a model that makes shots wherever the text spells them."""

    def encode(self, value: str, shared: Mapping[str, Any]) -> str:
        """The text; what spells shots is refused."""
        if spelled_shots(value):
            raise CannotExpressError(
                "the text is written like shots, and is made as such: give them as `shots`"
            )
        return super().encode(value, shared)
