"""The bytes of a batch file: where they come from, their encoding, and the form of their rows."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from attrs import frozen

from ..errors import RequestError
from .lines import Line, LineProblems, json_lines, prompt_lines
from .tables import Columns, TableLine, is_table, table_lines

MAX_BYTES: Final = 200_000_000
STANDARD_INPUT: Final = "-"
"""The path that stands for standard input."""
Form = Literal["json-lines", "table", "prompts"]
FORMS: Final[dict[str, Form]] = {
    ".csv": "table",
    ".tsv": "table",
    ".tab": "table",
    ".txt": "prompts",
}
"""The forms of files by their suffixes. Others hold JSON Lines."""
BINARY: Final = {b"PK\x03\x04": "a spreadsheet (.xlsx, .ods)", b"%PDF": "a PDF"}
ASSUMED: Final = "the file is not UTF-8; it was read as Windows-1252 (Western European) text"


@frozen
class Contents:
    """A batch file, decoded."""

    text: str
    form: Form
    mark: bool = False
    """Whether it has the marks of a spreadsheet: a byte order mark, or an old encoding."""
    notes: tuple[str, ...] = ()
    """What a person should know of how it was understood."""
    problem: Line | None = None
    """Where it cannot be decoded."""

    def lines(self, columns: Columns, notes: list[str]) -> Iterator[Line | TableLine]:
        """The rows, in their lines. More notes are added to `notes`."""
        notes += self.notes
        if self.problem is not None:
            return iter([self.problem])
        if self.form == "table":
            return table_lines(self.text, columns, mark=self.mark, notes=notes)
        if columns:
            raise RequestError(["--column is for tables, such as CSV; this file is none"])
        if self.form == "prompts":
            return prompt_lines(self.text)
        return json_lines(self.text.encode("utf-8", "surrogateescape"))


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, or of standard input; RequestError where it cannot be read."""
    try:
        if str(path) == STANDARD_INPUT:
            if sys.stdin is None:  # the process was started without one
                raise OSError("there is no standard input")
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise RequestError([f"{str(path)[:200]}: {reason}"]) from None
    if len(content) > MAX_BYTES:
        raise RequestError([f"{path}: more than {MAX_BYTES} bytes are too many"])
    return content


def understood(path: Path, content: bytes, columns: Columns) -> Contents:
    """A file's text and form: by its suffix, or by how it begins where it has none."""
    for start, what in BINARY.items():
        if content.startswith(start):
            raise RequestError([f"{path}: this is {what}; save it as CSV (UTF-8) and take that"])
    form = None if str(path) == STANDARD_INPUT else FORMS.get(path.suffix.lower(), "json-lines")
    text, mark = _unicode(content)
    if text is not None:
        return Contents(text, form or _form(text, columns), mark)
    if form == "json-lines" or (form is None and content.lstrip().startswith(b"{")):
        # Each line on its own, so that the one that is wrong can be named.
        return Contents(content.decode("utf-8", "surrogateescape"), "json-lines")
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError as error:
        line = 1 + content[: error.start].count(b"\n")
        return Contents("", form or "table", problem=(line, LineProblems(["not UTF-8 text"])))
    return Contents(text, form or _form(text, columns), True, (ASSUMED,))


def _unicode(content: bytes) -> tuple[str | None, bool]:
    """The text of a file in UTF-8, or in UTF-16 with a mark; and whether there was a mark."""
    encoding, mark = "utf-8", content.startswith(codecs.BOM_UTF8)
    if mark:
        encoding = "utf-8-sig"
    elif content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding, mark = "utf-16", True
    try:
        return content.decode(encoding), mark
    except UnicodeDecodeError:
        return None, mark


def _form(text: str, columns: Columns) -> Form:
    """The form of a text without a name, by how it begins."""
    if text.lstrip().startswith(("{", "[")):
        return "json-lines"
    return "table" if columns or is_table(text, columns) else "prompts"
