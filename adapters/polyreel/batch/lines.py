"""Reads the lines of a batch file, each a JSON object or a prompt. Nobody has checked it before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from ..depth import json_is_deep
from ..places import Json, JsonObject

ROW_KEYS: Final = ("reference", "vendor", "vendors")
"""What a row can hold beside its request."""


class LineProblems(tuple[str, ...]):
    """The problems of a line that holds no row."""

    __slots__ = ()


Line: TypeAlias = "tuple[int, Json | LineProblems]"
"""Where a line begins in the file, from 1, and its value."""


def json_lines(content: bytes) -> Iterator[Line]:
    """The JSON value of each line that is not blank, in UTF-8."""
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            yield number, _parsed(line)


def prompt_lines(text: str) -> Iterator[Line]:
    """A row for each line that is not blank: the line is its prompt."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, {"prompt": line.strip()}


# -- JSON Lines ------------------------------------------------------------------------------------


def _parsed(line: bytes) -> Json | LineProblems:
    if json_is_deep(line):
        return LineProblems(["nested too deeply"])
    try:
        value: Json = json.loads(
            line.decode(), parse_constant=_no_constant, object_pairs_hook=_members
        )
    except UnicodeError:
        return LineProblems(["not UTF-8 text"])
    except ValueError as error:
        return LineProblems([f"not JSON: {str(error).partition(';')[0]}"])
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _members(pairs: Sequence[tuple[str, Json]]) -> JsonObject:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice")
    return dict(pairs)
