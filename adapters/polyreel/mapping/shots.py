"""Shots with lengths of their own, in three native fields that go together. Knows no vendor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from attrs import Factory, field, frozen

from ..places import MISSING, JsonObject, get
from .codecs import CannotExpressError, Choice, MeaninglessError, check_members
from .reports import MappingReport
from .rows import Field
from .shottexts import TIMES_OF_SHOTS, Spells, spelled_shots

MULTI_SHOT: Final = (
    "model_params.multi_shot",
    "model_params.shot_type",
    "model_params.multi_prompt",
)
"""The native fields: whether there are shots, who plans them, and the shots."""


def check_timed(shots: Sequence[Mapping[str, Any]], stand_in: JsonObject) -> None:
    """Raise CannotExpressError where a shot has no duration."""
    untimed = tuple(f"/shots/{index}" for index, shot in enumerate(shots) if "duration" not in shot)
    if untimed:
        raise CannotExpressError(
            "every shot needs a duration", limit=TIMES_OF_SHOTS, leaves=untimed, stand_in=stand_in
        )


class MultiShot:
    """`shots` and `shot_mode` as multi_shot, shot_type and multi_prompt.

    An item of multi_prompt has an index from 1, and its duration as text. `automatic` is the word
    by which the model plans the shots itself; None where it does not. `places` are the three native
    fields, in the order of MULTI_SHOT.
    """

    def __init__(self, automatic: str | None, places: tuple[str, str, str] = MULTI_SHOT) -> None:
        self.automatic = automatic
        self.places = places

    def encode(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The three native fields."""
        shots, mode = values.get("shots"), values.get("shot_mode")
        if mode == "automatic":
            if shots is not None:
                raise CannotExpressError(
                    "automatic planning takes no shots of its own", leaves=("/shot_mode",)
                )
            if self.automatic is None:
                raise CannotExpressError(
                    "automatic is not offered", limit="only custom", leaves=("/shot_mode",)
                )
            return {self.places[0]: True, self.places[1]: self.automatic}
        if shots is None:
            raise CannotExpressError("custom planning needs shots", leaves=("/shot_mode",))
        items = [
            {"index": index, "prompt": shot["prompt"], "duration": str(shot.get("duration", 1))}
            for index, shot in enumerate(shots, 1)
        ]
        made = {self.places[0]: True, self.places[1]: "customize", self.places[2]: items}
        check_timed(shots, made)
        return made

    def decode(self, natives: Mapping[str, Any]) -> Mapping[str, Any]:
        """The shared fields. Without multi_shot the vendor ignores the other two fields."""
        on, kind, items = (natives.get(place) for place in self.places)
        if on is not True:
            if items and on is not False:
                raise ValueError("ignored by the vendor unless multi_shot is true")
            if items or kind is not None:
                raise MeaninglessError("asks for nothing unless multi_shot is true")
            return {}
        if kind == self.automatic and kind is not None:
            return {"shot_mode": "automatic"}
        if kind != "customize" or not isinstance(items, list):
            raise ValueError("shot_type and multi_prompt do not go together")
        for item in items:
            check_members(item, "index", "prompt", "duration")
        ordered = sorted(items, key=lambda item: int(item["index"]))
        shots = [{"prompt": item["prompt"], "duration": int(item["duration"])} for item in ordered]
        return {"shots": shots, "shot_mode": "custom"}


class ShotList:
    """`shots` and `shot_mode` as a list of prompts, and a word that says who plans the shots.

    An item has its duration as text, or as a number with `numbers`; one without it is as long as
    the vendor's own `seconds` are, and where that is None, the vendor demands it. `automatic` is
    the word by which the model plans the shots itself; None where there is no such word. `places`
    are those of the list, and of the word if there is one.
    """

    def __init__(
        self,
        automatic: str | None,
        seconds: int | None,
        places: tuple[str, ...],
        *,
        numbers: bool = False,
    ) -> None:
        self.automatic, self.seconds = automatic, seconds
        self.list, self.word = (*places, None)[:2]
        self.spell: type[int | str] = int if numbers else str

    def encode(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The list, and the word where the request says who plans."""
        shots, mode = values.get("shots"), values.get("shot_mode")
        if mode == "automatic" and (shots is not None or self.automatic is None):
            reason = "automatic planning takes no shots of its own" if shots else "is not offered"
            raise CannotExpressError(reason, limit="only custom", leaves=("/shot_mode",))
        if mode == "automatic":
            return {str(self.word): self.automatic}
        if shots is None:
            raise CannotExpressError("custom planning needs shots", leaves=("/shot_mode",))
        items = [
            {
                "prompt": shot["prompt"],
                **({"duration": self.spell(shot["duration"])} if "duration" in shot else {}),
            }
            for shot in shots
        ]
        word = {self.word: "customize"} if self.word and mode else {}
        made = {str(self.list): items, **word}
        if self.seconds is None:
            check_timed(shots, made)
        return made

    def decode(self, natives: Mapping[str, Any]) -> Mapping[str, Any]:
        """The shared fields. The word alone asks for automatic shots, or for none at all."""
        items, kind = natives.get(str(self.list)), natives.get(str(self.word))
        if items is None:
            if kind is not None and kind == self.automatic:
                return {"shot_mode": "automatic"}
            raise MeaninglessError("asks for nothing without shots")
        if kind not in {None, "customize"} or not isinstance(items, list):
            raise ValueError(f"{self.word} and {self.list} do not go together")
        for item in items:
            check_members(item, "prompt", "duration")
        times = [item.get("duration", self.seconds) for item in items]
        if any(isinstance(time, bool) or not isinstance(time, str | int) for time in times):
            raise ValueError(f"an item of {self.list} has no duration")
        shots = [
            {"prompt": item["prompt"], "duration": int(time)}
            for item, time in zip(items, times, strict=True)
        ]
        return {"shots": shots, "shot_mode": "custom"}


@frozen
class ShotSwitch(Choice):
    """`shot_mode` as a switch for several shots, which is on where a body leaves it out.

    Shots of the caller's own are spelled in the text, whose row comes first. Without a word from
    the caller a clip is one shot, as at other vendors: polyreel turns it off.
    """

    ONE: ClassVar[str] = "one shot"
    table: Mapping[Any, Any] = Factory(lambda: {"custom": True, "automatic": True})

    def encode(self, value: object, shared: Mapping[str, Any]) -> bool:
        """Whether there can be several shots."""
        if value == self.ONE:
            return False
        found: bool = super().encode(value, shared)
        if value == "custom" and "shots" not in shared:
            raise CannotExpressError("custom planning needs shots")
        if value == "automatic" and "shots" in shared:
            raise CannotExpressError("automatic planning takes no shots of its own")
        if value == "automatic" and spelled_shots(shared.get("prompt")):
            raise CannotExpressError("the text is written like shots, and is made as such")
        return found

    def decode(self, value: object, shared: Mapping[str, Any]) -> Any:
        """The mode; a single shot is what no mode at all means."""
        if value is False:
            raise MeaninglessError("one shot is what polyreel asks for without a mode")
        if value is True and "shots" in shared:
            return "custom"
        return super().decode(value, shared)


@frozen
class TextField(Field):
    """A shared field in a native text, which holds another one where it spells shots, or not."""

    where: Spells = field(default=Spells(shots=False))

    def read(self, body: Mapping[str, Any], shared: JsonObject, report: MappingReport) -> None:
        """Take the text into the shared request, if it is this field's."""
        text = get(body, self.native)
        if text is MISSING or self.where(text, body):
            super().read(body, shared, report)
