"""Reads the lines of a batch file, JSON Lines or CSV. Nobody has checked the file before."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Final, TypeAlias

from ..depth import json_is_deep
from ..places import Json, JsonObject
from ..providers.base.contract import Contract

ROW_KEYS: Final = ("reference", "vendor", "vendors")
"""What a row can hold beside its request."""
SEPARATOR: Final = "|"


class LineProblems(tuple[str, ...]):
    """The problems of a line that holds no row."""

    __slots__ = ()


Line: TypeAlias = "tuple[int, Json | LineProblems]"
"""Where a line begins in the file, from 1, and its value."""


def json_lines(content: bytes) -> Iterator[Line]:
    """The JSON value of each line that is not blank."""
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            yield number, _parsed(line)


def csv_lines(content: bytes) -> Iterator[Line]:
    """The row of each record; only the header's problems where it cannot be used."""
    csv.field_size_limit(max(csv.field_size_limit(), len(content)))  # a cell can hold a picture
    try:
        lines = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    except UnicodeDecodeError as error:
        yield 1 + content[: error.start].count(b"\n"), LineProblems(["not UTF-8 text"])
        return
    header, begins = None, 1
    while True:
        try:
            record = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            yield begins, LineProblems([f"not CSV: {error}"])
            return  # nobody knows which of the following lines are inside quotes
        begins, line = lines.line_num + 1, begins
        if header is None:
            header = record
            if problems := [*_header_problems(header)]:
                yield line, LineProblems(problems)
                return
        elif any(cell.strip() for cell in record):
            yield line, _row(header, record)


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


# -- CSV -------------------------------------------------------------------------------------------


def _header_problems(header: Sequence[str]) -> Iterator[str]:
    known = dict.fromkeys([*ROW_KEYS, *_converters()])
    for name in dict.fromkeys(header):
        if name not in known:
            yield f"header: no field {name[:40]!r}; there are {', '.join(known)}"
        if header.count(name) > 1:
            yield f"header: {name} is there twice"


def _row(header: Sequence[str], record: Sequence[str]) -> JsonObject | LineProblems:
    """The row of a record. Empty cells are not set; others are converted by the shared schema."""
    if len(record) != len(header):
        return LineProblems([f"{len(record)} cells, where the header has {len(header)}"])
    values: JsonObject = {}
    problems = []
    for name, cell in zip(header, record, strict=True):
        if not cell:
            continue
        try:
            values[name] = cell if name in {"reference", "vendor"} else _converters()[name](cell)
        except ValueError as error:
            problems.append(f"{name}: {error}, not {cell[:40]!r}")
    return LineProblems(problems) if problems else values


@cache
def _converters() -> Mapping[str, Callable[[str], object]]:
    """How a cell becomes the value of a field, for every field that a cell can hold."""
    contract = Contract.load("polyreel")
    found: dict[str, Callable[[str], object]] = {"vendors": _list}
    for model in ("VideoRequest", "ImageRequest"):
        for name, schema in contract.schema(model)["properties"].items():
            whole = {**contract.resolve(schema), **schema}
            items = contract.resolve(whole.get("items", {}))
            texts = "string" in {one.get("type") for one in items.get("anyOf", (items,))}
            kind = whole.get("type", "seconds")
            kind = kind if kind != "array" or texts else "object"
            if kind in CONVERTERS:
                found.setdefault(name, CONVERTERS[kind])
    return found


def _list(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(SEPARATOR)]


def _whole(cell: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", cell.strip(), re.ASCII):
        raise ValueError("a whole number")
    return int(cell)


def _seconds(cell: str) -> int | str:
    return "auto" if cell.strip() == "auto" else _whole(cell)


def _number(cell: str) -> float:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", cell.strip(), re.ASCII):
        raise ValueError("a number, such as 0.5")
    return float(cell)


def _switch(cell: str) -> bool:
    word = cell.strip().lower()
    if word not in {"true", "false"}:
        raise ValueError("true or false")
    return word == "true"


CONVERTERS: Final[Mapping[str, Callable[[str], object]]] = {
    "string": str,
    "integer": _whole,
    "seconds": _seconds,
    "number": _number,
    "boolean": _switch,
    "array": _list,
}
"""How a cell is converted, by the JSON type of its field."""
