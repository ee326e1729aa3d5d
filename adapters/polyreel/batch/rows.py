"""The rows of a batch file, JSON Lines or CSV. Nobody has checked it before: every mistake is told, with its line."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NoReturn

from attrs import frozen

from ..errors import RequestError
from ..places import JsonObject
from ..plans.requests import check_request
from ..providers.base.contract import Contract
from ..providers.base.registry import all_providers

MAX_BYTES: Final = 200_000_000
MAX_ROWS: Final = 100_000
MAX_NAME: Final = 200
SHOWN: Final = 20
"""How many mistakes are told; the others are counted."""
SEPARATOR: Final = "|"
OWN: Final = ("reference", "vendor", "vendors")
"""What a row says beside its request."""


@frozen(order=True)
class RowProblem:
    """What is wrong with a line of the file."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


@frozen
class Row:
    """One job of a batch."""

    number: int
    """Which row it is, from 1. Blank lines are no rows."""
    line: int
    """Where it begins in the file, from 1."""
    reference: str
    """What the ledger knows it by: the name of the batch, and its own name or number."""
    request: JsonObject
    """The shared request, checked."""
    vendors: tuple[str, ...] = ()
    """Who is to make it, in this order; nobody named: whoever the batch is for."""


@frozen
class Scan:
    """What a file holds, and what is wrong with it."""

    rows: tuple[Row, ...]
    mistakes: tuple[RowProblem, ...]


def read(path: str | Path, *, name: str | None = None) -> tuple[Row, ...]:
    """The rows of a file; RequestError with every mistake in it.

    `name` is that of the batch, for the references of its rows; left out, it is made of the file's name and place.
    """
    found = scan(path, name=name)
    if found.mistakes:
        refuse(path, found.mistakes)
    return found.rows


def scan(path: str | Path, *, name: str | None = None) -> Scan:
    """The rows of a file that can be used, and the mistakes in all others; RequestError where it cannot be read."""
    content, batch = _content(Path(path)), _batch_name(Path(path), name)
    lines = _cells if str(path).lower().endswith(".csv") else _objects
    reader = _Reader(batch)
    for line, found in lines(content):
        reader.take(line, found)
    if not reader.count and not reader.mistakes:
        reader.mistakes.append(RowProblem(1, "there are no rows"))
    return Scan(tuple(reader.rows), tuple(reader.mistakes))


def refuse(path: str | Path, mistakes: Iterable[RowProblem]) -> NoReturn:
    """Raise the mistakes as one RequestError, the first of them in words."""
    told = [str(mistake) for mistake in sorted(mistakes)]
    more = [f"and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
    error = RequestError([*told[:SHOWN], *more])
    # One below the other: a table of mistakes is unreadable in one line.
    error.args = (
        "\n- ".join([f"{path}: nothing was sent, for {len(told)} mistake(s):", *error.problems]),
    )
    raise error


class _Reader:
    """Takes what the lines hold, and keeps apart what is right and what is wrong."""

    def __init__(self, batch: str) -> None:
        self.batch = batch
        self.count = 0
        self.rows: list[Row] = []
        self.mistakes: list[RowProblem] = []
        self._lines: dict[str, int] = {}

    def take(self, line: int, found: Any) -> None:
        """One line: a row, or the problems with it."""
        self.count += 1
        if self.count == MAX_ROWS + 1:
            self.mistakes.append(
                RowProblem(line, f"more than {MAX_ROWS} rows are too many for one batch")
            )
        problems = list(found) if isinstance(found, _Wrong) else []
        if not problems and not isinstance(found, dict):
            problems = [
                f"a row is a JSON object, not {'null' if found is None else type(found).__name__}"
            ]
        if not problems and self.count <= MAX_ROWS:
            problems = self._row(line, found)
        self.mistakes += [RowProblem(line, problem) for problem in problems]

    def _row(self, line: int, found: JsonObject) -> list[str]:
        """Keep a row; or what is wrong with it."""
        own: JsonObject = {name: found[name] for name in OWN if name in found}
        problems = [*_reference_problems(own), *_vendor_problems(own)]
        request: JsonObject = {}
        try:
            rest = {name: value for name, value in found.items() if name not in OWN}
            request = check_request(rest).fields
            if not request:
                problems.append("prompt: nothing is asked for")
        except RequestError as error:
            problems += error.problems
        if problems:
            return problems
        name = str(own.get("reference", self.count))
        if name in self._lines:
            return [f"reference: {name!r} is that of line {self._lines[name]} already"]
        self._lines[name] = line
        vendors = (
            tuple(own["vendors"])
            if "vendors" in own
            else (own["vendor"],)
            if "vendor" in own
            else ()
        )
        self.rows.append(Row(self.count, line, f"{self.batch}/{name}", request, vendors))
        return []


def _reference_problems(own: Mapping[str, Any]) -> Iterator[str]:
    name = own.get("reference", "1")
    if not isinstance(name, str | int) or isinstance(name, bool):
        yield "reference: a text or a whole number"
    elif trouble := _name_problem(str(name)):
        yield f"reference: {trouble}"


def _name_problem(name: str) -> str | None:
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        return f"one to {MAX_NAME} characters that can be printed, not all of them blank"
    return None


def _vendor_problems(own: Mapping[str, Any]) -> Iterator[str]:
    if "vendor" in own and "vendors" in own:
        yield "vendors: there is a vendor already; one of them is enough"
    if "vendor" in own:
        yield from _unknown("vendor", [own["vendor"]])
    if "vendors" in own:
        named = own["vendors"]
        if not isinstance(named, list) or not named or any(named.count(one) > 1 for one in named):
            yield "vendors: a list of vendor ids, each once"
        else:
            yield from _unknown("vendors", named)


def _unknown(field: str, named: Sequence[Any]) -> Iterator[str]:
    for vendor in named:
        if not isinstance(vendor, str) or vendor not in all_providers():
            yield f"{field}: no vendor is called {str(vendor)[:40]!r}; there are {', '.join(all_providers())}"


# -- the file ----------------------------------------------------------------------------------------


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise RequestError([f"{str(path)[:200]}: {reason}"]) from None
    if len(content) > MAX_BYTES:
        raise RequestError([f"{path}: more than {MAX_BYTES} bytes are too many"])
    return content.removeprefix(codecs.BOM_UTF8)


def _batch_name(path: Path, name: str | None) -> str:
    if name is not None:
        if trouble := _name_problem(name):
            raise RequestError([f"the name of a batch: {trouble}"])
        return name
    # Two files of one name in two folders are two batches.
    place = hashlib.sha256(str(path.absolute()).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{path.stem.encode('ascii', 'replace').decode()[:MAX_NAME]}-{place}"


class _Wrong(tuple[str, ...]):
    """The problems of a line that is no row."""

    __slots__ = ()


def _objects(content: bytes) -> Iterator[tuple[int, Any]]:
    """The JSON value of each line that is not blank, with its number."""
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            yield number, _parsed(line)


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line.decode(), parse_constant=_no_constant, object_pairs_hook=_members)
    except UnicodeError:
        return _Wrong(["not UTF-8 text"])
    except RecursionError:
        return _Wrong(["nested too deeply"])
    except ValueError as error:
        return _Wrong([f"not JSON: {str(error).partition(';')[0]}"])


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _members(pairs: Sequence[tuple[str, Any]]) -> JsonObject:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(
            f"{next(name for name in names if names.count(name) > 1)!r} is there twice"
        )
    return dict(pairs)


# -- CSV ---------------------------------------------------------------------------------------------


def _cells(content: bytes) -> Iterator[tuple[int, Any]]:
    """The row of each record with its line; only the header's problems where nothing can be read without it."""
    try:
        lines = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    except UnicodeError:
        number = 1 + _valid(content).count(b"\n")
        yield number, _Wrong(["not UTF-8 text"])
        return
    header, begins = None, 1
    while True:
        try:
            record = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            yield begins, _Wrong([f"not CSV: {error}"])
            return  # what is quoted from here on, nobody can tell
        begins, line = lines.line_num + 1, begins
        if header is None:
            header = record
            if wrong := [*_header_problems(header)]:
                yield line, _Wrong(wrong)
                return
        elif any(cell.strip() for cell in record):
            yield line, _record(header, record)


def _valid(content: bytes) -> bytes:
    """What stands before the first byte that is not UTF-8."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return content[: error.start]
    return content


def _header_problems(header: Sequence[str]) -> Iterator[str]:
    known = dict.fromkeys([*OWN, *_converters()])
    for name in dict.fromkeys(header):
        if name not in known:
            yield f"header: no field {name[:40]!r}; there are {', '.join(known)}"
        if header.count(name) > 1:
            yield f"header: {name} is there twice"


def _record(header: Sequence[str], record: Sequence[str]) -> Any:
    """The row of a record: empty cells are not set, others become what the shared schema says."""
    if len(record) != len(header):
        return _Wrong([f"{len(record)} cells, where the header has {len(header)}"])
    values: JsonObject = {}
    problems = []
    for name, cell in zip(header, record, strict=True):
        if not cell:
            continue
        try:
            values[name] = cell if name in {"reference", "vendor"} else _converters()[name](cell)
        except ValueError as error:
            problems.append(f"{name}: {error}, not {cell[:40]!r}")
    return _Wrong(problems) if problems else values


@cache
def _converters() -> Mapping[str, Callable[[str], Any]]:
    """How a cell becomes the value of a field, for every field that a cell can hold."""
    contract = Contract.load("polyreel")
    found: dict[str, Callable[[str], Any]] = {"vendors": _list}
    for model in ("VideoRequest", "ImageRequest"):
        for name, schema in contract.schema(model)["properties"].items():
            whole = {**contract.resolve(schema), **schema}
            texts = contract.resolve(whole.get("items", {})).get("type") == "string"
            kind = whole["type"] if whole["type"] != "array" or texts else "object"
            if kind in CONVERTERS:
                found.setdefault(name, CONVERTERS[kind])
    return found


def _list(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(SEPARATOR)]


def _whole(cell: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", cell.strip(), re.ASCII):
        raise ValueError("a whole number")
    return int(cell)


def _number(cell: str) -> float:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", cell.strip(), re.ASCII):
        raise ValueError("a number, such as 0.5")
    return float(cell)


def _switch(cell: str) -> bool:
    if cell.strip().lower() not in {"true", "false"}:
        raise ValueError("true or false")
    return cell.strip().lower() == "true"


CONVERTERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "string": str,
    "integer": _whole,
    "number": _number,
    "boolean": _switch,
    "array": _list,
}
