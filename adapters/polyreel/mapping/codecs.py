"""Codecs: how a shared value changes shape on its way to a vendor and back. They know no vendor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from attrs import Factory, field, frozen

from ..hosts import not_public_https
from ..places import Json, JsonObject, leaves, pointer
from .marks import AT, Marks, cited, rewrite
from .workflows import INPUT_VIDEOS

SIZES: Final = ("360p", "480p", "540p", "720p", "768p", "1080p", "2k", "4k")
"""The sizes of clips, the smallest first."""


class CannotExpressError(Exception):
    """A codec cannot write a value.

    `nearest` is the nearest native value that it can write, `without` what remains where the
    `leaves` that are not possible are left out. Both are None where there is no such thing.
    `others` say what is wrong with other leaves of the value, for another reason.

    `stand_in` is never sent: it is in the body of a refused plan, so that the check of that body
    does not miss the value, too.
    """

    def __init__(
        self,
        reason: str,
        *,
        limit: str = "",
        nearest: Any = None,
        without: Any = None,
        leaves: tuple[str, ...] = ("",),
        stand_in: Json = None,
        others: tuple[CannotExpressError, ...] = (),
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.limit = limit
        self.nearest = nearest
        self.without = without
        self.leaves = leaves
        self.stand_in: Any = stand_in
        self.others = others


def joined(
    errors: Sequence[CannotExpressError], *, without: Json = None, stand_in: Json = None
) -> CannotExpressError:
    """One error of several at different leaves, each of which keeps its own reason."""
    first, *others = errors
    return CannotExpressError(
        first.reason,
        limit=first.limit,
        without=without,
        leaves=first.leaves,
        stand_in=stand_in,
        others=tuple(others),
    )


class MeaninglessError(ValueError):
    """A native value that the vendor itself ignores: leaving it out changes nothing."""


class NamelessError(MeaninglessError):
    """A native value that the shared model has no word for: it is kept as the vendor has it."""


def word(value: Any) -> str:
    """A value the way a person writes it in a request."""
    if isinstance(value, bool):
        return "on" if value else "off"
    text = "unset" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:50]}... ({len(text)} characters)"


def check_members(item: Mapping[str, Any], *known: str) -> None:
    """Raise ValueError where an object says something under a name that is not known.

    `known` are the places of its members, dotted where they lie deeper.
    """
    places = tuple(map(pointer, known))
    others = [
        at.removeprefix("/").replace("/", ".")[:100]
        for at, value in leaves(item)
        if value not in (None, "", [], {})
        and not any(at == place or at.startswith(f"{place}/") for place in places)
    ]
    if others:
        raise ValueError(f"nothing is known of {', '.join(others)} in an item")


@frozen
class Default:
    """What is sent, and why, where the vendor demands a value that the caller left unset."""

    value: Any
    reason: str
    when: str | None = None
    """Only where this other shared field is set."""
    unless: str | None = None
    """Only where this other shared field is not."""

    def applies(self, shared: Mapping[str, Any]) -> bool:
        """Whether the vendor demands it for this request."""
        return (self.when is None or self.when in shared) and self.unless not in shared


class Codec(Protocol):
    """How one value changes shape. `shared` is the whole shared request, for those that need it."""

    def encode(self, value: Any, shared: Mapping[str, Any]) -> Any:
        """The native value; raises CannotExpressError."""

    def decode(self, value: Any, shared: Mapping[str, Any]) -> Any:
        """The shared value; raises ValueError or TypeError for what this codec never writes."""


def size_below(value: Any, offered: Iterable[Any]) -> Any:
    """The next smaller size that is offered, for sizes such as 1080p; None for other values."""
    known = set(offered)
    smaller = SIZES[: SIZES.index(value)] if value in SIZES else ()
    return next((size for size in reversed(smaller) if size in known), None)


def nearest_of(value: object, offered: Iterable[Any]) -> Any:
    """The nearest value that is offered, of numbers and sizes; None for other values.

    >>> nearest_of(7, [4, 6, 8]), nearest_of(20, [5, 10]), nearest_of("4k", ["720p", "1080p"])
    (6, 10, '1080p')
    """
    known = [*offered]
    if type(value) not in {int, float}:
        return size_below(value, known)
    numbers = [one for one in known if type(one) in {int, float}]
    # Of two that are as near, the lower one: no vendor asks more for less.
    return min(numbers, key=lambda one: (abs(one - value), one), default=None)


@frozen
class Same:
    """The value as it is."""

    def encode(self, value: Any, shared: Mapping[str, Any]) -> Any:
        """The value itself."""
        return value

    def decode(self, value: Any, shared: Mapping[str, Any]) -> Any:
        """The value itself."""
        return value


SAME: Final = Same()


@frozen
class Choice:
    """A closed list of values under other names."""

    table: Mapping[Any, Any]
    spellings: Mapping[str, Any] = Factory(dict)
    """Further native names, with what they mean: read, never written."""
    nameless: frozenset[str] = frozenset()
    """Native words that the shared model has none for."""
    inverse: Mapping[Any, Any] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        own = {native: shared for shared, native in self.table.items()}
        object.__setattr__(self, "inverse", {**self.spellings, **own})

    def encode(self, value: Any, shared: Mapping[str, Any]) -> Any:
        """The native name of a value."""
        try:
            return self.table[value]
        except KeyError:
            limit = "one of " + ", ".join(word(known) for known in self.table)
            raise CannotExpressError(
                f"{word(value)} is not offered",
                limit=limit,
                nearest=self.table.get(nearest_of(value, self.table)),
            ) from None

    def decode(self, value: Any, shared: Mapping[str, Any]) -> Any:
        """The shared name of a native value."""
        if isinstance(value, str) and value in self.nameless:
            raise NamelessError(f"{value!r} has no shared word")
        # True == 1 in Python: a number is not a boolean here.
        if isinstance(value, (str, bool)) and value in self.inverse:
            return self.inverse[value]
        raise ValueError(f"{value!r} is not one of {', '.join(map(repr, self.inverse))}")


@frozen
class Pointless:
    """A value that the vendor decides itself, whatever a body says."""

    reason: str

    def encode(self, value: Any, shared: Mapping[str, Any]) -> Any:
        """Nothing is written."""
        raise CannotExpressError(self.reason)

    def decode(self, value: Any, shared: Mapping[str, Any]) -> Any:
        """Nothing is read."""
        raise MeaninglessError(self.reason)


@frozen
class PublicUrl:
    """An https address that everybody can reach, for what the vendor calls itself."""

    def encode(self, value: str, shared: Mapping[str, Any]) -> str:
        """The address itself."""
        if reason := not_public_https(value):
            raise CannotExpressError(reason, limit="a public https address")
        return value

    def decode(self, value: object, shared: Mapping[str, Any]) -> str:
        """The address itself."""
        if not isinstance(value, str):
            raise ValueError(f"{word(value)} is no address")
        return value


@frozen
class Prompt:
    """Text whose reference marks are respelled for the inputs that the request has."""

    marks: Marks
    counts: Callable[[Mapping[str, Any]], Mapping[str, int]]
    replaced_by: str | None = None
    """The shared field beside which the vendor does not use the text."""
    frames: Callable[[Mapping[str, Any]], int] | None = None
    """How many frames come before the reference images in the vendor's numbering."""
    numbering: str = ""
    """Why they do, for the verdict."""
    nameless: str = ""
    """Why marks of the inputs that `counts` leaves out stay text, for the verdict."""

    def note(self, value: str, shared: Mapping[str, Any]) -> str:
        """Why a text has other numbers here, or marks that cite nothing; empty where neither."""
        if not self._may_cite(value):
            return ""
        if self.nameless and cited(value, AT, self._nameless(shared)):
            return self.nameless
        if self.frames is None or not self.frames(shared):
            return ""
        cites = any(cited(value, marks, self._native(shared)) for marks in (AT, self.marks))
        return self.numbering if cites else ""

    def _may_cite(self, value: str) -> bool:
        return AT.may_be_in(value) or self.marks.may_be_in(value)

    def _nameless(self, shared: Mapping[str, Any]) -> Mapping[str, int]:
        """How many inputs of the kinds that texts cannot cite here."""
        named = self.counts(shared)
        return {kind: n for kind, n in cited_inputs(shared).items() if kind not in named}

    def _native(self, shared: Mapping[str, Any]) -> Mapping[str, int]:
        """How many inputs of each kind the vendor's own marks can cite."""
        counts = dict(self.counts(shared))
        counts["image"] = counts.get("image", 0) + self._before(shared)
        return counts

    def _before(self, shared: Mapping[str, Any]) -> int:
        return self.frames(shared) if self.frames is not None else 0

    def encode(self, value: str, shared: Mapping[str, Any]) -> str:
        """The text with the vendor's marks."""
        if self.replaced_by in shared:
            raise CannotExpressError(f"the vendor does not use it beside {self.replaced_by}")
        if not self._may_cite(value):
            return value
        if not (AT.pattern.search(value) or self.marks.pattern.search(value)):
            return value
        counts = self.counts(shared)
        text = rewrite(value, AT, self.marks, counts, self._before(shared))
        if self.marks is not AT and cited(value, self.marks, self._native(shared)):
            raise CannotExpressError(
                "the text already holds the vendor's own reference marks, which it would resolve",
                nearest=text,
            )
        return text

    def decode(self, value: str, shared: Mapping[str, Any]) -> str:
        """The text with shared marks."""
        if self.replaced_by in shared:
            raise MeaninglessError(f"the vendor does not use it beside {self.replaced_by}")
        counts = self.counts(shared)
        if self.marks is not AT and cited(value, AT, counts):
            raise ValueError(
                "the text holds @ marks, which mean nothing to this vendor "
                "but would cite an input elsewhere"
            )
        return rewrite(value, self.marks, AT, self._native(shared), -self._before(shared))


def cited_inputs(shared: Mapping[str, Any]) -> Mapping[str, int]:
    """How many inputs of each kind a prompt can cite."""
    videos = sum(name in shared for name in INPUT_VIDEOS)
    return {
        "image": len(shared.get("reference_images", ())),
        "element": len(shared.get("elements", ())),
        "video": videos + len(shared.get("reference_videos", ())),
        "audio": len(shared.get("reference_audio", ())),
    }


@frozen
class Only:
    """A single value where the vendor has a list of one."""

    first: bool = False
    """Whether the vendor takes the first of several, or one in no list; else exactly one."""
    member: str = ""
    """The member that has the value, where the item is an object."""

    def encode(self, value: Any, shared: Mapping[str, Any]) -> list[Any]:
        """A list of one."""
        return [{self.member: value} if self.member else value]

    def decode(self, value: Any, shared: Mapping[str, Any]) -> Any:
        """The single item."""
        if self.first and (isinstance(value, str) or (isinstance(value, list) and value)):
            value = [value] if isinstance(value, str) else value[:1]
        if not isinstance(value, list) or len(value) != 1:
            raise ValueError("not a list of exactly one")
        if self.member:
            check_members(value[0], self.member)
        return value[0][self.member] if self.member else value[0]


@frozen
class Single:
    """A list where the vendor takes a single value."""

    def encode(self, value: list[Any], shared: Mapping[str, Any]) -> Any:
        """The only item."""
        if len(value) != 1:
            raise CannotExpressError(f"{len(value)} given", limit="only one")
        return value[0]

    def decode(self, value: object, shared: Mapping[str, Any]) -> list[Any]:
        """A list of one."""
        return [value]


@frozen
class TwoOrMore:
    """A list of two or more where the vendor takes a single item for something else."""

    reason: str

    def encode(self, value: list[Any], shared: Mapping[str, Any]) -> list[Any]:
        """The list itself."""
        if len(value) < 2:
            raise CannotExpressError(self.reason, limit="at least 2")
        return value

    def decode(self, value: object, shared: Mapping[str, Any]) -> list[Any]:
        """The list itself."""
        if not isinstance(value, list) or len(value) < 2:
            raise ValueError(self.reason)
        return value


@frozen
class Limited:
    """The values that a workflow has, of those that the vendor's field has: one, or a few."""

    values: tuple[Any, ...]
    reason: str

    def encode(self, value: object, shared: Mapping[str, Any]) -> Any:
        """The value itself."""
        if value not in self.values:
            single = self.values[0] if len(self.values) == 1 else None
            raise CannotExpressError(
                self.reason,
                limit="only " + " or ".join(map(word, self.values)),
                nearest=single or nearest_of(value, self.values),
            )
        return value

    def decode(self, value: object, shared: Mapping[str, Any]) -> Any:
        """The value itself."""
        if value not in self.values:
            raise MeaninglessError(self.reason)
        return value


@frozen
class Items:
    """A list of plain values where the vendor has objects with one member."""

    member: str
    marks: Mapping[str, str] = Factory(dict)
    """The members that all of the objects have, with their values."""

    def encode(self, value: list[Any], shared: Mapping[str, Any]) -> list[JsonObject]:
        """Objects."""
        return [{**self.marks, self.member: item} for item in value]

    def decode(self, value: Any, shared: Mapping[str, Any]) -> list[str]:
        """Plain values; numbers become text."""
        for item in value:
            check_members(item, self.member, *self.marks)
            if any(item.get(name) != mark for name, mark in self.marks.items()):
                raise ValueError(f"an item is not one with {dict(self.marks)}")
        return [str(item[self.member]) for item in value]


@frozen
class Unless:
    """A value of which one word asks for what leaving it out does, such as a length of 0."""

    idle: Any
    reason: str

    def encode(self, value: object, shared: Mapping[str, Any]) -> Any:
        """The value itself."""
        return value

    def decode(self, value: object, shared: Mapping[str, Any]) -> Any:
        """The value itself."""
        if value == self.idle:
            raise MeaninglessError(self.reason)
        return value
