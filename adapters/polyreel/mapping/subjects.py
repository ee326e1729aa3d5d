"""Subjects: by the vendor's own ids, or described by images, a clip and a voice.

Knows no vendor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, Final

from attrs import frozen

from ..places import Json, JsonObject
from .codecs import CannotExpressError, Codec, Items, check_members, joined, word
from .media import OTHER_SUFFIXES, SUFFIX_TYPES, is_local
from .reports import ONE_TEXT
from .shottexts import ShotText

ONLY_IDS: Final = "the vendor takes its own ids only, and nothing that the request describes"


def check_id(value: str) -> None:
    """Raise CannotExpressError for a link or the name of a media file: neither is an id."""
    suffix = PurePath(value).suffix.lower()
    is_link = not is_local(value) or value.lower().startswith("data:")
    if is_link or suffix in SUFFIX_TYPES or suffix in OTHER_SUFFIXES:
        what = "a link" if is_link else "a file"
        raise CannotExpressError(
            f"{word(value)} is {what}, not an id: make a subject of it first "
            "(polyreel generate --name NAME --front-image FILE), and give the id that it gets"
        )


@frozen
class OwnId:
    """The vendor's own id of a subject. What the request itself describes is no id."""

    def encode(self, value: object, shared: Mapping[str, Any]) -> str:
        """The id."""
        if isinstance(value, dict):
            raise CannotExpressError(ONLY_IDS)
        check_id(str(value))
        return str(value)

    def decode(self, value: object, shared: Mapping[str, Any]) -> str:
        """The id; a number becomes text."""
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(f"{word(value)} is no id")
        return _read_id(str(value))


@frozen
class OwnIds(Items):
    """The vendor's own ids of subjects, each in an object with one member."""

    def encode(self, value: list[Any], shared: Mapping[str, Any]) -> list[JsonObject]:
        """Objects."""
        ids, wrong = [], []
        for at, item in enumerate(value):
            try:
                ids.append(OwnId().encode(item, shared))
            except CannotExpressError as error:
                wrong.append(CannotExpressError(error.reason, leaves=(f"/{at}",)))
        made = super().encode(ids, shared)
        if wrong:
            raise joined(wrong, without=made or None)
        return made

    def decode(self, value: list[Any], shared: Mapping[str, Any]) -> list[str]:
        """The ids; numbers become text."""
        return [_read_id(one) for one in super().decode(value, shared)]


def _read_id(value: str) -> str:
    """An id as it is. ValueError for what `check_id` refuses."""
    try:
        check_id(value)
    except CannotExpressError as error:
        raise ValueError(error.reason) from None
    return value


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
