"""How several shared values become several native ones. Knows no vendor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from attrs import frozen

from .codecs import CannotExpressError, MeaninglessError, size_below, word


class GroupCodec(Protocol):
    """How several shared values become several native ones. Both sides hold only what is set."""

    def encode(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Native values by place; raises CannotExpressError."""

    def decode(self, natives: Mapping[str, Any]) -> Mapping[str, Any]:
        """Shared values by name; raises ValueError."""


@frozen
class FirstAndLast:
    """The first frame, or the first and the last frame, in one list."""

    place: str

    def encode(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The list of one or two images."""
        if "first_frame" not in values:
            raise CannotExpressError("a last frame needs a first frame", leaves=("/last_frame",))
        names = [name for name in ("first_frame", "last_frame") if name in values]
        return {self.place: [values[name] for name in names]}

    def decode(self, natives: Mapping[str, Any]) -> Mapping[str, Any]:
        """The frames."""
        images = natives[self.place]
        if images == []:
            raise MeaninglessError("an empty list says what leaving it out says")
        if not isinstance(images, list) or len(images) > 2:
            raise ValueError("not a list of one image or two")
        return dict(zip(("first_frame", "last_frame"), images, strict=False))


@frozen
class Names:
    """Several shared values spelled as one native word, such as `kling-v3-pro-audio`."""

    place: str
    shared: tuple[str, ...]
    table: Mapping[tuple[Any, ...], str]

    def encode(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The word for a combination."""
        key = tuple(values.get(name) for name in self.shared)
        if key in self.table:
            return {self.place: self.table[key]}
        raise self._refusal(values)

    def _refusal(self, values: Mapping[str, Any]) -> CannotExpressError:
        """Why there is no word: for values that are not offered, or are not offered together."""
        columns = zip(self.shared, zip(*self.table, strict=True), strict=True)
        wrong = {
            name: sorted(set(column), key=str)
            for name, column in columns
            if values.get(name) not in column
        }
        reasons = [f"{word(values[name])} is not offered" for name in wrong if name in values]
        if missing := [name for name in wrong if name not in values]:
            reasons.append(f"{' and '.join(missing)} is needed beside it, for one word says both")
        together = f"{' with '.join(map(word, values.values()))} is not offered"
        lower = {name: size_below(values.get(name), column) for name, column in wrong.items()}
        close = tuple(lower.get(name, values.get(name)) for name in self.shared)
        return CannotExpressError(
            " and ".join(reasons) or together,
            limit="; ".join(f"{name} {' or '.join(map(word, wrong[name]))}" for name in wrong),
            nearest={self.place: self.table[close]} if close in self.table else None,
            leaves=tuple(
                f"/{name}" for name in values if name in wrong or not wrong.keys() & values
            ),
        )

    def decode(self, natives: Mapping[str, Any]) -> Mapping[str, Any]:
        """The combination of a word."""
        for key, name in self.table.items():
            if name == natives[self.place]:
                return dict(zip(self.shared, key, strict=True))
        raise ValueError(f"{natives[self.place]!r} is not one of {', '.join(self.table.values())}")
