"""Values as source text of Python and of JSON.

Characters that cannot be seen, or that change the order in which text is shown, are written as
escapes wherever the language has them: what is copied is what was looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from attrs import frozen

from ..places import Json

WIDTH: Final = 88
"""Columns of a line of code, as formatters of Python have them."""
_UNSEEN: Final = re.compile(r"[^\x20-\x7e]")


def is_plain(text: str) -> bool:
    """Whether a text can be copied as it is: every character is seen, or ends a line."""
    return text.replace("\n", "").isprintable()


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    """A text with escapes for what cannot be seen."""
    return _UNSEEN.sub(lambda found: found[0] if found[0].isprintable() else escape(found[0]), text)


def _in_python(character: str) -> str:
    code = ord(character)
    return f"\\U{code:08x}" if code > 0xFFFF else f"\\u{code:04x}"


def _in_json(character: str) -> str:
    return json.dumps(character)[1:-1]


def json_text(value: Json, indent: int | None = None) -> str:
    """A value as JSON, on one line or indented."""
    lines = json.dumps(value, ensure_ascii=False, indent=indent).split("\n")
    return "\n".join(_escaped(line, _in_json) for line in lines)


# -- Python ----------------------------------------------------------------------------------------


def text_literal(text: str) -> str:
    """A text in double quotes."""
    # The escapes of JSON are escapes of Python, too.
    return _escaped(json.dumps(text, ensure_ascii=False), _in_python)


@frozen
class PythonCall:
    """A call with arguments by name, as a value."""

    name: str
    arguments: Mapping[str, object]


def literal(value: object, depth: int = 0, ahead: int = 0) -> str:
    """A JSON value, or a call, as an expression: over several lines where one is too short.

    `depth` is how far its block is indented, and `ahead` counts the characters before it.
    """
    flat = _flat(value)
    if 4 * depth + ahead + len(flat) <= WIDTH or not (parts := _parts(value)):
        return flat
    begin, items, end = parts
    inner = "    " * (depth + 1)
    lines = [f"{inner}{name}{literal(item, depth + 1, len(name) + 1)}," for name, item in items]
    return "\n".join([begin, *lines, "    " * depth + end])


def _flat(value: object) -> str:
    """An expression on one line."""
    if isinstance(value, str):
        return text_literal(value)
    if not (parts := _parts(value)):
        return "[]" if isinstance(value, list) else repr(value)
    begin, items, end = parts
    return begin + ", ".join(name + _flat(item) for name, item in items) + end


def _parts(value: object) -> tuple[str, list[tuple[str, object]], str] | None:
    """What holds several values: its brackets, and each value with what stands before it."""
    if isinstance(value, PythonCall):
        named = [(f"{name}=", item) for name, item in value.arguments.items()]
        return f"{value.name}(", named, ")"
    if isinstance(value, Mapping) and value:
        return "{", [(f"{text_literal(str(name))}: ", item) for name, item in value.items()], "}"
    if isinstance(value, list | tuple) and value:
        return "[", [("", item) for item in value], "]"
    return None
