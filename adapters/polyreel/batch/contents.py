"""The bytes of a batch file: where they come from, their encoding, and the form of their rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from attrs import frozen

from ..errors import RequestError
from ..mapping.textfiles import STANDARD_INPUT, has_mark, text_of
from .lines import Line, LineProblems, json_lines, prompt_lines
from .tables import Columns, TableLine, is_table, table_lines

Form = Literal["json-lines", "table", "prompts"]
FORMS: Final[dict[str, Form | None]] = {
    ".csv": "table",
    ".tsv": "table",
    ".tab": "table",
    ".txt": None,
}
"""The forms of files by their suffixes. Others hold JSON Lines. How a text begins says what it is:
spreadsheets save tables as .txt too.
"""
BINARY: Final = {b"PK\x03\x04": "a spreadsheet (.xlsx, .ods)", b"%PDF": "a PDF"}
JSON: Final = re.compile(r"\s*(\{\s*[\"}]|\[\s*[\[\]{\"])")
"""How JSON begins. A prompt may begin with a bracket as well: `[wide shot] a cat`."""
NO_TEXT: Final = "this is neither UTF-8 nor whole UTF-16 text with a byte order mark"
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


def understood(path: Path, content: bytes, columns: Columns) -> Contents:
    """A file's text and form: by its suffix, or by how it begins where it has none."""
    for start, what in BINARY.items():
        if content.startswith(start):
            raise RequestError([f"{path}: this is {what}; save it as CSV (UTF-8) and take that"])
    form = None if str(path) == STANDARD_INPUT else FORMS.get(path.suffix.lower(), "json-lines")
    text, mark = _unicode(content)
    if text is not None:
        return Contents(text, form or _form(text, columns), mark)
    if b"\0" in content:
        raise RequestError([f"{path}: {NO_TEXT}; save it as UTF-8 and take that"])
    if form == "json-lines" or (form is None and JSON.match(content.decode("latin-1"))):
        # Each line on its own, so that the one that is wrong can be named.
        return Contents(content.decode("utf-8", "surrogateescape"), "json-lines")
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError as error:
        line = 1 + content[: error.start].count(b"\n")
        return Contents("", form or "table", problem=(line, LineProblems(["not UTF-8 text"])))
    return Contents(text, form or _form(text, columns), True, (ASSUMED,))


def _unicode(content: bytes) -> tuple[str | None, bool]:
    """The text of a file, or None; and whether there was a byte order mark."""
    try:
        return text_of(content), has_mark(content)
    except UnicodeDecodeError:
        return None, has_mark(content)


def _form(text: str, columns: Columns) -> Form:
    """The form of a text whose name does not say it, by how it begins."""
    if JSON.match(text):
        return "json-lines"
    return "table" if columns or is_table(text, columns) else "prompts"
