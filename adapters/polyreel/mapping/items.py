"""Typed items: one native list whose items say which input they are.

    TypedItems(
        "contents",
        (
            Item("first_frame", {"type": "first_frame"}, "url"),
            Item("reference_images", {"type": "refer_image"}, "url", name="image_{}"),
            Item("prompt", {"type": "prompt"}, "text", Prompt(NAMED, cited_inputs)),
        ),
    )

The row says which shared field stands in items of which kind. Each item has a verdict of its own.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from attrs import field, frozen

from ..places import MISSING, JsonObject, get, pointer, put
from .codecs import SAME, CannotExpressError, Codec, Prompt, check_members
from .reports import Allowance, Fate, MappingEntry, MappingReport, Problem, settle
from .shottexts import ShotText, Spells
from .subjects import members_of


@frozen
class Item:
    """The items that hold one shared field."""

    shared: str
    marks: Mapping[str, str]
    """The members, with their values, that tell these items from others."""
    member: str
    """The dotted place of the value in an item."""
    codec: Codec = SAME
    """How a value changes shape. Of a field with several values, each goes through it alone."""
    name: str = ""
    """The `id` of an item, by which the prompt cites it: `image_{}` for image_1, image_2."""
    where: Spells | None = None
    """Which of two fields with the same marks a text is."""

    def matches(self, native: object, body: Mapping[str, Any]) -> bool:
        """Whether an item of a native list is one of these."""
        return (
            isinstance(native, dict)
            and all(native.get(name) == value for name, value in self.marks.items())
            and (self.where is None or self.where(get(native, self.member), body))
        )

    def native(self, value: Any, number: int) -> JsonObject:
        """The native item of a value; `number` counts the items of the field from 1."""
        made: JsonObject = {**self.marks, **({"id": self.name.format(number)} if self.name else {})}
        put(made, self.member, value)
        return made


@frozen
class TypedItems:
    """Several shared fields in one native list of items of different kinds."""

    native: str
    items: tuple[Item, ...]
    """In the order in which they are written."""
    note: str = ""
    alone: str = ""
    """The shared field that a text in the place of the list stands for: read, never written."""
    several: frozenset[str] = field(
        default=frozenset({"reference_images", "reference_videos", "reference_audio", "elements"})
    )
    """The shared fields that are lists: each value is an item."""

    @property
    def names(self) -> tuple[str, ...]:
        """The shared fields of this row."""
        return tuple(dict.fromkeys(item.shared for item in self.items))

    @property
    def places(self) -> tuple[str, ...]:
        """The native place of this row."""
        return (self.native,)

    def item_with(self, marks: object, shared: Container[str] = ()) -> Item | None:
        """The items with these marks, those of a field that is set first; None without any."""
        found = [item for item in self.items if item.marks == marks]
        return next((item for item in found if item.shared in shared), next(iter(found), None))

    def lacks(self, body: Mapping[str, Any], inputs: Iterable[str]) -> bool:
        """Whether a native body has none of the items of the inputs that a workflow is about."""
        wanted = [item for item in self.items if item.shared in inputs]
        found = get(body, self.native)
        if isinstance(found, str) and self.alone in inputs:
            return False
        listed = found if isinstance(found, list) else []
        return bool(wanted) and not any(
            item.matches(one, body) for item in wanted for one in listed
        )

    def strange(self, body: Mapping[str, Any]) -> int:
        """How many items of a native body are of no known kind."""
        found = get(body, self.native)
        return sum(self._kind(one, body) is None for one in found) if isinstance(found, list) else 0

    def place_of(self, name: str) -> str:
        """Where a shared field stands, in words: `contents[type=first_frame].url`."""
        item = next(item for item in self.items if item.shared == name)
        marks = ",".join(f"{key}={value}" for key, value in item.marks.items())
        return f"{self.native}[{marks}].{item.member}"

    def write(
        self,
        shared: Mapping[str, Any],
        body: JsonObject,
        allow: Mapping[str, Allowance],
        report: MappingReport,
    ) -> None:
        """Put an item for each value into the list."""
        made: list[JsonObject] = []
        for item in self.items:
            for number, (source, value) in enumerate(self._values(shared, item.shared), 1):
                at = f"{pointer(self.native)}/{len(made)}{pointer(item.member)}"
                try:
                    native = item.codec.encode(value, shared)
                    report.entries.append(_carried(item, source, at, value, native, shared))
                except CannotExpressError as error:
                    native = settle(item.shared, source, at, error, allow=allow, report=report)
                if native is not MISSING:
                    made.append(item.native(native, number))
        if made:
            put(body, self.native, made)

    def _values(self, shared: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any]]:
        if name not in shared:
            return
        if name in self.several:
            yield from ((f"/{name}/{at}", one) for at, one in enumerate(shared[name]))
        else:
            yield f"/{name}", shared[name]

    def read(self, body: Mapping[str, Any], shared: JsonObject, report: MappingReport) -> None:
        """Take the values out of the list; an item of no known kind is a problem."""
        found = get(body, self.native)
        if found is MISSING:
            return
        if self.alone and isinstance(found, str):
            name = self.alone
            shared[name] = found
            report.entries.append(
                MappingEntry(name, pointer(self.native), f"/{name}", Fate.CONVERTED, self.note)
            )
            return
        if not isinstance(found, list):
            report.problems.append(Problem("", pointer(self.native), f"{self.native}: not a list"))
            return
        pairs = [(at, native, self._kind(native, body)) for at, native in enumerate(found)]
        # A prompt cites the others, so it comes last.
        for at, native, item in sorted(pairs, key=lambda one: _is_prompt(one[2])):
            place = f"{pointer(self.native)}/{at}"
            reason = self._taken(native, item, found, shared)
            if reason or item is None:
                name = item.shared if item else ""
                report.problems.append(Problem(name, place, f"{self.native}.{at}: {reason}"))
                continue
            many = item.shared in self.several
            target = f"/{item.shared}/{len(shared[item.shared]) - 1}" if many else f"/{item.shared}"
            warning_text = _note(item, get(native, item.member), shared)
            report.entries.append(
                MappingEntry(
                    item.shared,
                    place,
                    target,
                    Fate.CONVERTED,
                    warning_text or self.note,
                    warning=bool(warning_text),
                )
            )

    def _kind(self, native: object, body: Mapping[str, Any]) -> Item | None:
        return next((item for item in self.items if item.matches(native, body)), None)

    def _taken(self, native: Any, item: Item | None, every: list[Any], shared: JsonObject) -> str:
        """Put the value of an item into the request; the reason where that is not possible."""
        if item is None:
            return "no item of a known kind"
        raw = get(native, item.member)
        if raw is MISSING or raw is None:
            return f"{item.member} is missing"
        number = len(shared.get(item.shared, ())) + 1 if item.shared in self.several else 1
        own = native.get("id")
        if own is not None and own != item.name.format(number) and _cites(every, str(own)):
            return f"the prompt cites it by a name of its own, {str(own)[:40]!r}"
        try:
            check_members(native, *item.marks, item.member, "id")
            value = item.codec.decode(raw, shared)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return str(error)
        if item.shared in self.several:
            shared.setdefault(item.shared, []).append(value)
        elif item.shared in shared:
            return f"a second item for {item.shared}"
        else:
            shared[item.shared] = value
        return ""


def _is_prompt(item: Item | None) -> bool:
    return item is not None and isinstance(item.codec, (Prompt, ShotText))


def _cites(every: list[Any], name: str) -> bool:
    texts = [text for one in every if isinstance(one, dict) for text in one.values()]
    return any(f"@{name}" in text for text in texts if isinstance(text, str))


def _note(item: Item, value: Any, shared: Mapping[str, Any]) -> str:
    return item.codec.note(value, shared) if isinstance(item.codec, Prompt) else ""


def _carried(
    item: Item, source: str, target: str, value: Any, native: Any, shared: Mapping[str, Any]
) -> MappingEntry:
    warning_text = _note(item, value, shared)
    same = native is value or (type(native) is type(value) and native == value)
    fate = Fate.EXACT if same else Fate.CONVERTED
    return MappingEntry(
        item.shared,
        source,
        target,
        fate,
        warning_text,
        warning=bool(warning_text),
        renamed=members_of(item.codec),
    )
