"""The rows of a batch file, each checked; every problem is reported with its line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from attrs import frozen

from ..errors import RequestError
from ..mapping.media import local_path
from ..mapping.textfiles import STANDARD_INPUT, read_bytes
from ..places import Json, JsonObject
from ..plans.requests import check_request
from ..providers.base.registry import all_providers, unknown_vendor
from .contents import understood
from .lines import ROW_KEYS, LineProblems
from .tables import Columns, TableRow

MAX_ROWS: Final = 100_000
MAX_NAME: Final = 200
"""Characters of the name of a row or a batch."""
SHOWN: Final = 20
"""How many problems a message shows; the others are counted."""


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
    """Its name in the ledger: the name of the batch, and its own name or number."""
    request: JsonObject
    """The shared request, checked."""
    vendors: tuple[str, ...] = ()
    """The vendors to ask, in this order; empty for those of the batch."""
    batch: str | None = None
    """The name of its batch. All jobs under that name count as spent under a limit."""
    record: TableRow | None = None
    """The row of the table that it comes from, as it stands there."""

    @property
    def name(self) -> str:
        """Its own name or number, without that of its batch."""
        return self.reference.removeprefix(f"{self.batch}/")


@frozen
class Scan:
    """What a file holds, and what is wrong with it."""

    rows: tuple[Row, ...]
    problems: tuple[RowProblem, ...]
    notes: tuple[str, ...] = ()
    """What a person should know of how the file was understood."""


def read(
    path: str | Path, *, name: str | None = None, columns: Columns | None = None
) -> tuple[Row, ...]:
    """The rows of a file; RequestError with every problem in it.

    A file is JSON Lines, a table (`.csv`, `.tsv`) or a list of prompts (`.txt`); `-` is standard
    input, in any of these forms. `name` is that of the batch, for the references of its rows.
    Without it the name is made of the file's name and folder, or of what came from standard input.
    `columns` are fields by the names of their columns, such as `{"text": "prompt"}`.
    """
    found = scan(path, name=name, columns=columns)
    if found.problems:
        refuse(path, found.problems)
    return found.rows


def scan(path: str | Path, *, name: str | None = None, columns: Columns | None = None) -> Scan:
    """The usable rows of a file, and the problems of the others.

    Raises RequestError for a file that cannot be read. `name` and `columns` are as in `read`.
    """
    file, notes = local_path(path), list[str]()
    content = read_bytes(str(file), str(file)[:200])
    checker = _RowChecker(_batch_name(file, name, content))
    for line, value in understood(file, content, columns or {}).lines(columns or {}, notes):
        checker.add(line, value)
    if not checker.count and not checker.problems:
        checker.problems.append(RowProblem(1, "there are no rows"))
    return Scan(tuple(checker.rows), tuple(checker.problems), tuple(notes))


def refuse(path: str | Path, problems: Iterable[RowProblem]) -> NoReturn:
    """Raise the problems as one RequestError, which shows the first 20."""
    texts = [str(problem) for problem in sorted(problems)]
    more = [f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    error = RequestError([*texts[:SHOWN], *more])
    # Each on a line of its own: many problems in one line are unreadable.
    shown = "standard input" if str(path) == STANDARD_INPUT else path
    title = f"{shown}: nothing was sent, for {len(texts)} mistake(s):"
    error.args = ("\n- ".join([title, *error.problems]),)
    raise error


class _RowChecker:
    """Collects the rows of a file, and the problems of lines that hold none."""

    def __init__(self, batch: str) -> None:
        self.batch = batch
        self.count = 0
        self.rows: list[Row] = []
        self.problems: list[RowProblem] = []
        self._line_of: dict[str, int] = {}

    def add(self, line: int, value: Json | TableRow | LineProblems) -> None:
        """Add the row or the problems of one line."""
        record = value if isinstance(value, TableRow) else None
        if isinstance(value, TableRow):
            value = value.values
        self.count += 1
        if self.count == MAX_ROWS + 1:
            text = f"more than {MAX_ROWS} rows are too many for one batch"
            self.problems.append(RowProblem(line, text))
        if isinstance(value, LineProblems):
            problems = list(value)
        elif not isinstance(value, dict):
            kind = "null" if value is None else type(value).__name__
            problems = [f"a row is a JSON object, on a line of its own, not {kind}"]
        else:
            problems = self._add_row(line, value, record) if self.count <= MAX_ROWS else []
        self.problems += [RowProblem(line, problem) for problem in problems]

    def _add_row(self, line: int, value: JsonObject, record: TableRow | None) -> list[str]:
        """Add a row, or return what is wrong with it."""
        own: JsonObject = {name: value[name] for name in ROW_KEYS if name in value}
        problems = [*_reference_problems(own), *_vendor_problems(own)]
        request: JsonObject = {}
        try:
            rest = {key: value[key] for key in value if key not in ROW_KEYS}
            request = check_request(rest).fields
            if not request:
                problems.append("prompt: nothing is asked for")
        except RequestError as error:
            problems += error.problems
        if problems:
            return problems
        name = str(own.get("reference", self.count))
        if name in self._line_of:
            return [f"reference: {name!r} is that of line {self._line_of[name]} already"]
        self._line_of[name] = line
        vendors = [own["vendor"]] if "vendor" in own else own.get("vendors", ())
        reference = f"{self.batch}/{name}"
        row = Row(self.count, line, reference, request, tuple(vendors), self.batch, record)
        self.rows.append(row)
        return []


def _reference_problems(own: Mapping[str, Any]) -> Iterator[str]:
    name = own.get("reference", "1")
    if not isinstance(name, str | int) or isinstance(name, bool):
        yield "reference: a text or a whole number"
    elif problem := _name_problem(str(name)):
        yield f"reference: {problem}"


def _name_problem(name: str) -> str | None:
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        return f"one to {MAX_NAME} characters that can be printed, not all of them blank"
    return None


def _vendor_problems(own: Mapping[str, Any]) -> Iterator[str]:
    if "vendor" in own and "vendors" in own:
        yield "vendors: there is a vendor already; one of them is enough"
    if "vendor" in own:
        yield from _unknown_vendors("vendor", [own["vendor"]])
    if "vendors" in own:
        named = own["vendors"]
        if not isinstance(named, list) or not named or any(named.count(one) > 1 for one in named):
            yield "vendors: a list of vendor ids, each once"
        else:
            yield from _unknown_vendors("vendors", named)


def _unknown_vendors(field: str, named: Sequence[object]) -> Iterator[str]:
    for vendor in named:
        if not isinstance(vendor, str) or vendor not in all_providers():
            yield f"{field}: {unknown_vendor(str(vendor)[:40])}"


# -- the file --------------------------------------------------------------------------------------


def _batch_name(path: Path, name: str | None, content: bytes) -> str:
    if name is not None:
        if problem := _name_problem(name):
            raise RequestError([f"the name of a batch: {problem}"])
        return name
    if str(path) == STANDARD_INPUT:  # the same rows again are the same batch
        return f"stdin-{hashlib.sha256(content).hexdigest()[:8]}"
    # Two files of one name in two folders are two batches.
    place = hashlib.sha256(str(path.absolute()).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{path.stem.encode('ascii', 'replace').decode()[:MAX_NAME]}-{place}"
