"""Subjects that a request describes itself, by images, a clip and a voice. Knows no vendor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from ..places import Json, JsonObject
from .codecs import CannotExpressError, Codec, check_members
from .reports import ONE_TEXT
from .shottexts import ShotText


def members_of(codec: Codec, *, native: bool = False) -> Mapping[str, str]:
    """The other names that a codec gives to members of its values: by the native ones, or by ours.

    Only subjects have some; shots that become a text have no places of their own.
    """
    if isinstance(codec, ShotText):
        return ONE_TEXT
    members = codec.members if isinstance(codec, Subjects) else {}
    return {own: name for name, own in members.items()} if native else members


@frozen
class Subjects:
    """Described subjects as objects; the vendor has no ids of trained ones.

    `members` are the native names of the members that the vendor takes, by their shared names.
    """

    members: Mapping[str, str]

    def encode(self, value: list[Any], shared: Mapping[str, Any]) -> list[JsonObject]:
        """Objects with the vendor's names."""
        made, wrong = [], []
        for at, item in enumerate(value):
            wrong += [f"/{at}{leaf}" for leaf in self._unknown(item)]
            if isinstance(item, dict):
                named = {self.members[name]: item[name] for name in item if name in self.members}
                made += [named] if named else []
        if wrong:
            known = ", ".join(self.members)
            raise CannotExpressError(
                f"the vendor takes subjects that the request describes by {known}, and no ids",
                without=made or None,
                leaves=tuple(wrong),
            )
        return made

    def _unknown(self, item: Json) -> Iterator[str]:
        """What the vendor has no place for, below an item."""
        if not isinstance(item, dict):
            yield ""
            return
        for name, value in item.items():
            if name not in self.members:
                several = value if isinstance(value, list) else []
                yield from (
                    (f"/{name}/{at}" for at in range(len(several))) if several else (f"/{name}",)
                )

    def decode(self, value: list[Any], shared: Mapping[str, Any]) -> list[JsonObject]:
        """Subjects with the shared names."""
        found = []
        for item in value:
            check_members(item, *self.members.values())
            if not item:
                raise ValueError("an item says nothing of a subject")
            found.append({own: item[name] for own, name in self.members.items() if name in item})
        return found
