"""Shots written in the text of a clip: `shot 1, 3, words; shot 2, 4, words;`. Knows no vendor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from ..places import get
from .codecs import CannotExpressError, Prompt

ENGLISH: Final = "shot {}, {}, {};"
CHINESE: Final = "镜头 {}, {}, {};"
"""The two spellings: the number from 1, the seconds, and the words."""

_SHOT: Final = re.compile(
    r"\s*(?:shot|镜头) ?([1-9][0-9]?)[,\uff0c] ?([0-9]{1,3})[,\uff0c] ?"
    r"([^;\uff1b]+)(?:[;\uff1b]\s*|\Z)",
    re.IGNORECASE,
)


def spelled_shots(text: object) -> list[dict[str, Any]]:
    """The shots that a text spells from its beginning to its end; none where it does not.

    >>> spelled_shots("shot 1, 3, a door opens; shot 2, 4, a cat enters;")
    [{'prompt': 'a door opens', 'duration': 3}, {'prompt': 'a cat enters', 'duration': 4}]
    >>> spelled_shots("A shot of a door.")
    []
    """
    shots: list[dict[str, Any]] = []
    at = 0
    while isinstance(text, str) and at < len(text):
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
        spelled = []
        for number, shot in enumerate(value, 1):
            if "duration" not in shot:
                raise CannotExpressError(
                    "every shot needs a duration", limit="durations that make the total"
                )
            try:
                words = self.texts.encode(shot["prompt"], shared)
            except CannotExpressError as error:
                raise CannotExpressError(f"shot {number}: {error.reason}") from None
            if re.search(r"[;\uff1b]", words) or not words:
                raise CannotExpressError(f"shot {number}: a semicolon would end its words")
            spelled.append(self.spelling.format(number, shot["duration"], words))
        return " ".join(spelled)

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
