"""Guesses the row of a native list whose items carry a word that says what they are."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Mapping
from itertools import product
from typing import Final

from attrs import frozen

from ..mapping.media import FIELDS
from ..places import JsonObject
from ..providers.base.contract import Contract
from ..providers.base.schemas import SCHEMAS
from ..providers.base.specified import snake
from . import matching
from .further import KINDS
from .plain import choices_of, schema_of

POSITIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("first", "start", "opening"), "first_frame"),
    **dict.fromkeys(("last", "end", "tail", "closing"), "last_frame"),
    **dict.fromkeys(("text", "prompt"), "prompt"),
    **dict.fromkeys(("reference_image", "refer_image", "subject"), "reference_images"),
    **dict.fromkeys(("reference_video", "refer_video"), "reference_videos"),
    **dict.fromkeys(("audio", "audio_url", "reference_audio"), "reference_audio"),
    **dict.fromkeys(("base_video", "source", "edit"), "source_video"),
}
"""Words of one item, and the shared field that it holds."""
REFERENCES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("image", "image_url", "input_image"), "reference_images"),
    **dict.fromkeys(("video", "video_url", "input_video"), "reference_videos"),
}
"""What plain words mean in a list of references."""
MOST_KINDS: Final = 12
MOST_LETTERS: Final = 180
"""Longer rows are written on several lines."""


@frozen
class Kind:
    """One kind of item."""

    form: JsonObject
    """The schema of the items that it was found in."""
    marks: Mapping[str, str]

    @property
    def words(self) -> list[str]:
        """The words that mark it, the most particular first; KINDS begins with the plainest."""
        return [self.marks[name] for name in reversed(KINDS) if name in self.marks]


@frozen
class ItemsSource:
    """A row of typed items as Python source."""

    row: str
    fields: tuple[str, ...]
    """Its shared fields."""


def typed_items(
    contract: Contract, schema: str, place: str, offered: Container[str], taken: Container[str]
) -> ItemsSource | None:
    """The row of a list of typed items; None where the place holds no such list.

    `offered` are the shared fields of the request, `taken` those that have a row. The contract is
    changed: each kind of item becomes a schema of its own, whose marks are constants.
    """
    listed = contract.property(schema, place) or {}
    kinds = list(_kinds(contract, listed.get("items"))) if listed.get("type") == "array" else []
    found: dict[str, tuple[Kind, str]] = {}
    unknown: list[str] = []
    for kind in kinds:
        field = _field_of(kind, place)
        member = _member_of(contract, kind, field)
        if field in offered and field not in taken and field not in found and member:
            found[field] = (kind, member)
        else:
            unknown.append(" ".join(kind.words))
    if not found:
        return None
    _write_forms(contract, listed, kinds, _title(schema, place))
    items = [
        f"Item({_text(field)}, {json.dumps(dict(kind.marks))}, {_text(member)})"
        for field, (kind, member) in found.items()
    ]
    several = _laid_out(items, 12) if len(items) > 1 else f"{items[0]},"
    arguments = [_text(place), f"({several})"]
    if unknown:
        arguments.append(f"note={_text(f'TODO: what are items of the kinds {unknown}?')}")
    return ItemsSource(f"TypedItems({_laid_out(arguments)})", tuple(found))


def _laid_out(arguments: list[str], indent: int = 8) -> str:
    """Arguments on one line; on a line each, below a row of a table, where that is too long."""
    line = ", ".join(arguments)
    if len(line) <= MOST_LETTERS:
        return line
    blanks = "\n" + " " * indent
    return "".join(f"{blanks}{one}," for one in arguments) + blanks[:-4]


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=not value.isprintable())


def _kinds(contract: Contract, items: object) -> Iterator[Kind]:
    """Every kind of item, by the words that its marks can be; none where a form has no mark."""
    whole = schema_of(contract, items)
    forms = [schema_of(contract, one) for one in choices_of(contract, whole)]
    made = []
    for form in forms:
        marks = {name: _words(contract, form, name) for name in KINDS}
        marks = {name: words for name, words in marks.items() if words}
        if not marks:
            return
        made += [
            Kind(form, dict(zip(marks, words, strict=True))) for words in product(*marks.values())
        ]
    yield from made[:MOST_KINDS]


def _words(contract: Contract, form: JsonObject, name: str) -> list[str]:
    node = schema_of(contract, form.get("properties", {}).get(name))
    words = [node["const"]] if "const" in node else node.get("enum", [])
    return [word for word in words if isinstance(word, str)]


def _field_of(kind: Kind, place: str) -> str:
    """The shared field that items of a kind hold; empty where none is likely."""
    references = "refer" in place.lower()
    for word in map(snake, kind.words):
        if word in POSITIONS:
            return POSITIONS[word]
        if references and word in REFERENCES:
            return REFERENCES[word]
        for field in matching.candidates(word):
            if field in FIELDS or field == "prompt":
                return field
    return ""


def _member_of(contract: Contract, kind: Kind, field: str) -> str:
    """The dotted place of the value in an item; empty where none is likely."""
    members = {
        name: schema_of(contract, child)
        for name, child in kind.form.get("properties", {}).items()
        if name not in kind.marks
    }
    texts = [name for name, node in members.items() if _can_be_text(contract, node)]
    if field == "prompt":
        return next((one for one in texts if snake(one) in {"text", "prompt", "content"}), "")
    inside = [
        f"{name}.{link}"
        for name, node in members.items()
        for link in node.get("properties", {})
        if link.lower() in matching.LINK_NAMES
    ]
    links = [name for name in texts if name.lower() in matching.LINK_NAMES]
    named = [one for one in (*inside, *texts) if one.partition(".")[0] in kind.words]
    return next(iter([*named, *links, *inside, *texts[:1]]), "")


def _can_be_text(contract: Contract, node: JsonObject) -> bool:
    return any(one.get("type") == "string" for one in choices_of(contract, node))


def _title(schema: str, place: str) -> str:
    parts = re.findall(r"[A-Za-z0-9]+", place)
    return schema + "".join(part[:1].upper() + part[1:] for part in parts)


def _write_forms(contract: Contract, listed: JsonObject, kinds: list[Kind], title: str) -> None:
    """Give each kind a named schema, and the list a choice of them."""
    named = contract.document["components"]["schemas"]
    parts = []
    for kind in kinds:
        form = json.loads(json.dumps(kind.form))
        for name, word in kind.marks.items():
            form["properties"][name] = {"type": "string", "const": word}
        form["required"] = sorted({*form.get("required", ()), *kind.marks})
        words = re.findall(r"[A-Za-z0-9]+", " ".join(kind.words))
        name = title + "".join(word[:1].upper() + word[1:] for word in words)
        named[name] = form
        parts.append({"$ref": SCHEMAS + name})
    listed["items"] = {"oneOf": parts}
