"""Reads a table of rows as spreadsheets, data frames and people write it: CSV and its kin."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Final, TypeAlias

from attrs import frozen

from ..errors import did_you_mean, near
from ..mapping.workflows import workflow_of
from ..places import JsonObject
from ..plans.mistakes import other_word
from ..providers.base.contract import Contract
from ..providers.base.registry import all_providers
from .lines import ROW_KEYS, LineProblems

SEPARATOR: Final = "|"
"""What stands between the parts of a list in a cell."""
DELIMITERS: Final = (",", ";", "\t")
IN_TABLES: Final = ("VideoRequest", "ImageRequest")
"""The requests that a row of a table can be. A `name` there is any name; subjects are JSON Lines.
"""
TRUE: Final = frozenset({"true", "yes", "y", "on", "1", "1.0", "wahr", "ja", "vrai", "verdadero"})
FALSE: Final = frozenset({"false", "no", "n", "off", "0", "0.0", "falsch", "nein", "faux", "falso"})
"""Switches as people and spreadsheets write them, in lower case (Excel writes its language's)."""

Columns: TypeAlias = Mapping[str, str]
"""Fields by the names of their columns; an empty field is a column that is only passed on."""


@frozen(eq=False)
class Table:
    """How a table is written."""

    header: tuple[str, ...]
    """As it is in the file."""
    delimiter: str = ","
    mark: bool = False
    """Whether the file began with a byte order mark, or had no UTF-8, as spreadsheets write it."""


@frozen(eq=False)
class TableRow:
    """One row of a table, with the columns that are no fields too."""

    table: Table
    cells: tuple[str, ...]
    values: JsonObject
    """The cells that are fields, converted."""


TableLine: TypeAlias = "tuple[int, TableRow | LineProblems]"
"""Where a row begins in the file, from 1, and the row."""


@frozen
class TableHeader:
    """What the columns of a table are."""

    table: Table
    fields: tuple[str | None, ...]
    """The field of each column; None for one that is only passed on."""
    problems: tuple[str, ...] = ()

    @property
    def passed_on(self) -> list[str]:
        """The columns that are no fields, and come back with the results."""
        columns = zip(self.table.header, self.fields, strict=True)
        return [name for name, field in columns if field is None and name.strip()]


def table_lines(
    text: str, columns: Columns, *, mark: bool, notes: list[str]
) -> Iterator[TableLine]:
    """The row of each record; only the header's problems where it cannot be used.

    What a person should know of how the table was understood is added to `notes`.
    """
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a cell can hold a picture
    text, skipped, named = _without_separator_line(text)
    header: TableHeader | None = None
    delimiter = named or _delimiter(text, columns)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    while True:
        try:
            record = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            yield begins + skipped, LineProblems([f"not CSV: {_quoting(error)}"])
            return  # nobody knows which of the following lines are inside quotes
        begins, line = lines.line_num + 1, begins + skipped
        if header is None:
            header = _header(Table(tuple(record), delimiter, mark), columns)
            if header.problems:
                yield line, LineProblems(header.problems)
                return
            if header.passed_on:
                names = ", ".join(name[:40] for name in header.passed_on)
                notes.append(f"columns that are no fields come back with the results: {names}")
        elif any(cell.strip() for cell in record):
            yield line, _row(header, record)


def is_table(text: str, columns: Columns) -> bool:
    """Whether a text begins like a table of rows: with a header that has several fields."""
    text, _, named = _without_separator_line(text)
    if named:
        return True
    names = _names(text, _delimiter(text, columns), columns)
    return "prompt" in names or len(names) > 1


# -- the header ------------------------------------------------------------------------------------


def _without_separator_line(text: str) -> tuple[str, int, str | None]:
    """The text without the line `sep=;` of Excel, the lines left out, the delimiter it names."""
    found = re.match(r'"?sep=([,;\t])"?\r?\n', text, re.IGNORECASE)
    return (text[found.end() :], 1, found[1]) if found else (text, 0, None)


def _delimiter(text: str, columns: Columns) -> str:
    """The delimiter by which the header has the most fields; without any, the most columns."""

    def fit(delimiter: str) -> tuple[int, int]:
        header = _first_record(text, delimiter)
        return len(_names(text, delimiter, columns)), len(header)

    return max(DELIMITERS, key=fit)


def _first_record(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    except csv.Error:
        return []


def _names(text: str, delimiter: str, columns: Columns) -> set[str]:
    """The fields in a header."""
    header = _first_record(text, delimiter)
    columns = _as_written(columns, header)
    return {field for name in header if (field := _field(name, columns)) in known_columns()}


def _plain(name: str) -> str:
    return "_".join(name.strip().lower().replace("-", " ").split())


def _as_written(columns: Columns, header: Sequence[str]) -> Columns:
    """The columns as the header writes their names, where only capitals or blanks differ."""
    names = [name.strip() for name in header]

    def written(name: str) -> str:
        alike = [one for one in names if _plain(one) == _plain(name)]
        return alike[0] if name not in names and len(alike) == 1 else name

    return {written(name): field for name, field in columns.items()}


def _field(name: str, columns: Columns) -> str:
    """A column's name as that of a field: `Aspect Ratio ` is `aspect_ratio`."""
    return columns.get(name.strip(), _plain(name))


def _header(table: Table, columns: Columns) -> TableHeader:
    problems = []
    columns = _as_written(columns, table.header)
    missing = [name for name in columns if name not in map(str.strip, table.header)]
    columns_near = {name: did_you_mean(name, table.header) for name in missing}
    problems += [
        f"--column {name}: there is no such column{text}" for name, text in columns_near.items()
    ]
    fields: list[str | None] = []
    for name in table.header:
        field = _field(name, columns)
        fields.append(field if field in known_columns() else None)
        if fields[-1] is None and name.strip() not in columns and field:
            problems += _mistaken(name, field)
        elif name.strip() in columns and field and fields[-1] is None:
            text = f"there is no field {field[:40]!r}{did_you_mean(field, known_columns())}"
            problems.append(f"--column {name.strip()}: {text}")
    used = [field for field in fields if field is not None]
    problems += [
        f"header: {field} is there twice" for field in dict.fromkeys(used) if used.count(field) > 1
    ]
    if not used and not problems:
        known = ", ".join(known_columns())
        name = table.header[0].strip()[:40]
        way = f"--column {name!r}=prompt says that it is the prompt"
        problems.append(f"header: no field {name!r}; {way}. There are {known}")
    return TableHeader(table, tuple(fields), tuple(problems))


def _mistaken(name: str, field: str) -> Iterator[str]:
    """The problem of a column that may be meant as a field: it is asked about, not passed over."""
    shown = name.strip()[:40]
    close = near(field, known_columns(), cutoff=0.75)
    meant = close[0] if close else other_word(field)
    pass_on = f"--column {shown!r}= passes it on to the results"
    if field in _unfit():
        yield f"header: no field {shown!r} in a table, as no cell can hold it: use JSON Lines"
    elif meant is not None:
        yield f"header: no field {shown!r}; --column {shown!r}={meant} if that is meant, {pass_on}"
    elif field in _native_names():
        what = f"header: no field {shown!r}, which is a vendor's own word; {pass_on}"
        yield f"{what}. The fields are {', '.join(known_columns())}"


@cache
def _unfit() -> frozenset[str]:
    """The fields that no cell can hold."""
    contract = Contract.load("polyreel")
    every = {name for model in IN_TABLES for name in contract.schema(model)["properties"]}
    return frozenset(every.difference(known_columns()))


@cache
def _native_names() -> frozenset[str]:
    """What the vendors call the fields of their bodies."""
    return frozenset(
        place.rpartition(".")[2].lower()
        for provider in all_providers().values()
        for schema in {route.schema for route in provider.routes}
        for place in provider.contract.properties(schema)
    )


def _quoting(error: csv.Error) -> str:
    """What is wrong with the quotes of a record; the reader finds nothing else wrong."""
    if "unexpected end" in str(error):
        return "a cell's quotes are opened, and not closed"
    if "expected after" in str(error):
        return "text follows a cell's quotes; inside of quotes each \" is doubled"
    return str(error)


# -- cells -----------------------------------------------------------------------------------------


def _row(header: TableHeader, record: Sequence[str]) -> TableRow | LineProblems:
    """The row of a record. Empty cells are not set; others are converted by the shared schema."""
    names = header.table.header
    if not any(cell.strip() for cell in record[len(names) :]):
        record = record[: len(names)]  # spreadsheets end rows with empty cells
    if len(record) != len(names):
        problem = f"{len(record)} cells, where the header has {len(names)}"
        if len(record) > len(names):
            mark = {"\t": "a tab"}.get(header.table.delimiter, repr(header.table.delimiter))
            problem += f"; a cell with {mark} in it stands in quotes"
        return LineProblems([problem])
    values: JsonObject = {}
    problems = []
    for field, cell in zip(header.fields, record, strict=True):
        if field == "prompt" and not cell.strip() and not _has_input(header.fields, record):
            problems.append("prompt: the cell is empty, and no other one says what to make")
        if field is None or not cell.strip():
            continue
        text = cell.strip() if field != "prompt" else cell
        if header.table.delimiter != ",":
            text = _with_point(field, text)
        try:
            values[field] = text if field in {"reference", "vendor"} else converters()[field](text)
        except ValueError as error:
            problems.append(f"{field}: {error}, not {cell[:40]!r}")
    if problems:
        return LineProblems(problems)
    return TableRow(header.table, tuple(record), values)


def _has_input(fields: Sequence[str | None], record: Sequence[str]) -> bool:
    """Whether a row has an image or a clip to make something of, without any text."""
    given = [name for name, cell in zip(fields, record, strict=True) if name and cell.strip()]
    return workflow_of(given, "video") != workflow_of((), "video")


def _with_point(field: str, text: str) -> str:
    """A number with a decimal point, where the table's commas are decimal ones."""
    is_number = converters().get(field) in {_whole, _seconds, _number}
    return text.replace(",", ".") if is_number and re.fullmatch(r"[+-]?\d+,\d+", text) else text


@cache
def known_columns() -> tuple[str, ...]:
    """The names that a column can have to be read."""
    return tuple(dict.fromkeys([*ROW_KEYS, *converters()]))


@cache
def converters() -> Mapping[str, Callable[[str], object]]:
    """How a cell becomes the value of a field, for every field that a cell can hold."""
    contract = Contract.load("polyreel")
    found: dict[str, Callable[[str], object]] = {"vendors": _list}
    for model in IN_TABLES:
        for name, schema in contract.schema(model)["properties"].items():
            whole = {**contract.resolve(schema), **schema}
            items = contract.resolve(whole.get("items", {}))
            texts = "string" in {one.get("type") for one in items.get("anyOf", (items,))}
            kind = str(whole.get("type", "seconds"))
            kind = kind if kind != "array" or texts else "object"
            if kind in CONVERTERS:
                found.setdefault(name, CONVERTERS[kind])
    return found


def _list(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(SEPARATOR)]


def _whole(cell: str) -> int:
    found = re.fullmatch(r"([+-]?[0-9]{1,18})(\.0{1,18})?", cell.strip(), re.ASCII)
    if not found:
        raise ValueError("a whole number")
    return int(found[1])


def _seconds(cell: str) -> int | str:
    return "auto" if cell.strip().lower() == "auto" else _whole(cell)


def _number(cell: str) -> float:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", cell.strip(), re.ASCII):
        raise ValueError("a number, such as 0.5")
    return float(cell)


def _switch(cell: str) -> bool:
    word = cell.strip().lower()
    if word not in TRUE | FALSE:
        raise ValueError("true or false")
    return word in TRUE


CONVERTERS: Final[Mapping[str, Callable[[str], object]]] = {
    "string": str,
    "integer": _whole,
    "seconds": _seconds,
    "number": _number,
    "boolean": _switch,
    "array": _list,
}
"""How a cell is converted, by the JSON type of its field."""
