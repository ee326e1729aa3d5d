"""Tables for people: as columns where they fit, else as cards. No word of a cell is ever cut.

What draws tables is imported where it is used: JSON needs none of it.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Final, TextIO

COLOURED: Final = frozenset({"state", "status", "verdict", "result"})
"""The columns whose words have colours."""
COLOURS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("exact", "saved", "succeeded", "serves it", "recovered"), "green"),
    **dict.fromkeys(("converted", "accepted", "queued", "sending", "submitted"), "cyan"),
    **dict.fromkeys(("approximated", "defaulted", "dropped", "unsent", "expired"), "yellow"),
    **dict.fromkeys(("refused", "failed", "rejected", "error", "canceled"), "red"),
    **dict.fromkeys(("ambiguous", "unresolved", "warning"), "magenta"),
}
"""The colours of verdicts and states. Other words have none."""
_CODES: Final = {"red": 31, "green": 32, "yellow": 33, "magenta": 35, "cyan": 36}
COMFORTABLE: Final = 24
"""Columns that a long text needs beside others; where there are fewer, it is read on a card."""
ENDLESS: Final = 200
"""Columns of what is no terminal. A wider table is as wide as it needs to be."""
BETWEEN: Final = 3
"""Columns around each cell."""


def has_colours(stream: TextIO) -> bool:
    """Whether a stream is a terminal with colours. NO_COLOR says that there are none."""
    dumb = os.environ.get("TERM", "").lower() in {"dumb", "unknown"}
    return stream.isatty() and not dumb and not os.environ.get("NO_COLOR")


def painted(text: str, word: str, stream: TextIO) -> str:
    """A text in the colour of a word, where the stream has colours."""
    colour = COLOURS.get(word)
    if colour is None or not has_colours(stream):
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def drawn(
    headers: Sequence[str], rows: Sequence[Sequence[str]], beneath: Collection[str] = ()
) -> str:
    """A table for stdout: in columns, or as cards where these would be too narrow to read.

    `beneath` names the columns whose cells may stand in lines below their row, where the terminal
    has room for the others only.
    """
    limit = _columns()
    widths = _widths(headers, rows, limit)
    if widths is not None:
        return _grid(headers, rows, widths)
    if beneath and limit is not None and rows:
        listed = _listed(headers, rows, beneath, limit)
        if listed is not None:
            return listed
    return _cards(headers, rows)


def _columns() -> int | None:
    """The columns of the terminal, or those that COLUMNS asks for; None where neither is there."""
    found = shutil.get_terminal_size((0, 0)).columns
    return found or None


def _widths(
    headers: Sequence[str], rows: Sequence[Sequence[str]], limit: int | None
) -> list[int] | None:
    """The width of each column; None where they do not fit. The widest are narrowed first."""
    cells = [[header, *column] for header, *column in zip(headers, *rows, strict=True)]
    widths = [max(_width(part) for cell in column for part in cell.split("\n")) for column in cells]
    words = [
        max(_width(word) for cell in column for word in (cell.split() or [""])) for column in cells
    ]
    least = [max(word, min(width, COMFORTABLE)) for word, width in zip(words, widths, strict=True)]
    around = BETWEEN * len(headers) + 1
    if limit is not None and sum(least) + around > limit:
        return None
    room = max(sum(least), (limit or ENDLESS) - around)
    while sum(widths) > room:
        width, at = max((width, at) for at, width in enumerate(widths) if width > least[at])
        others = [one for one in widths if one < width]
        step = max(1, min(sum(widths) - room, width - max(others, default=0)))
        widths[at] = max(least[at], width - step)
    return widths


def _width(text: str) -> int:
    """How many columns a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _grid(headers: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    coloured = has_colours(sys.stdout)
    console = Console(
        width=sum(widths) + BETWEEN * len(widths) + 1,
        force_terminal=coloured,
        no_color=not coloured,
        highlight=False,
    )
    # ASCII rules where the console's encoding has no box characters.
    grid = Table(box=box.SIMPLE if is_unicode(sys.stdout) else box.ASCII)
    for header, width in zip(headers, widths, strict=True):
        grid.add_column(Text(header), width=width, overflow="fold")
    for row in rows:
        cells = zip(headers, row, strict=True)
        grid.add_row(*(Text(cell, COLOURS.get(_word(name, cell), "")) for name, cell in cells))
    with console.capture() as captured:
        console.print(grid)
    # Written elsewhere: rich has ways of its own to end when nobody reads.
    return "\n".join(text.rstrip() for text in captured.get().splitlines())


def _word(header: str, cell: str) -> str:
    """The word of a cell that decides its colour; nothing in columns without colours."""
    return cell.partition(",")[0] if header in COLOURED else ""


def _listed(
    headers: Sequence[str], rows: Sequence[Sequence[str]], beneath: Collection[str], limit: int
) -> str | None:
    """Rows with some of their cells in lines below them; None where the others do not fit."""
    beside = [at for at, header in enumerate(headers) if header not in beneath]
    below = [at for at, header in enumerate(headers) if header in beneath]
    widths = {at: max(_width(row[at]) for row in (headers, *rows)) for at in beside}
    if sum(widths.values()) + BETWEEN * len(beside) > limit:
        return None

    def line(row: Sequence[str], *, plain: bool = False) -> str:
        cells = []
        for at in beside:
            word = "" if plain else _word(headers[at], row[at])
            padding = " " * (widths[at] - _width(row[at]))
            cells.append(painted(row[at], word, sys.stdout) + padding)
        return " " + (" " * BETWEEN).join(cells).rstrip()

    rule = "─" if is_unicode(sys.stdout) else "-"
    lines = [
        "",
        line(headers, plain=True),
        rule * min(limit, sum(widths.values()) + 3 * len(beside)),
    ]
    for row in rows:
        lines.append(line(row))
        said = [(headers[at], row[at]) for at in below if row[at] not in {"", "-"}]
        lines += [f"   {one}" for one in _packed(said, limit - BETWEEN)]
    return "\n".join([*lines, ""])


def _packed(cells: Sequence[tuple[str, str]], room: int) -> list[str]:
    """Names and values in as few lines as hold them; a value that is longer has its own."""
    lines = [""]
    for name, value in cells:
        text = f"{name} {value}"
        if lines[-1] and _width(lines[-1]) + BETWEEN + _width(text) <= room:
            lines[-1] += " " * BETWEEN + text
        else:
            lines += [one for part in text.split("\n") for one in wrapped(part, room)]
    return [line for line in lines if line]


def _cards(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Each row as a card: a line for each cell that says something."""
    label = max(map(_width, headers))
    room = max((_columns() or ENDLESS) - label - 2, 1)
    cards = []
    for row in rows:
        lines = []
        for header, cell in zip(headers, row, strict=True):
            if cell in {"", "-"}:
                continue
            parts = [one for line in cell.split("\n") for one in wrapped(line, room)]
            shown = [painted(part, _word(header, cell), sys.stdout) for part in parts]
            name = header + " " * (label - _width(header))
            too_long = max(map(_width, parts)) - room
            if too_long > 0:  # it has a line of its own, so that the edge does not cut it
                name, shown = header, ["", *shown]
            indent = " " * max(label + 2 - max(too_long, 0), 0)
            lines.append(f"{name}  {shown[0]}".rstrip())
            lines += [indent + part for part in shown[1:]]
        cards.append("\n".join(lines))
    return "\n" + "\n\n".join(cards) + "\n" if cards else "nothing"


def wrapped(text: str, room: int) -> list[str]:
    """The lines of a text of one line. No word is cut, so that a long one can be longer."""
    return (
        textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) if text else [""]
    )


def is_unicode(stream: TextIO) -> bool:
    """Whether a stream shows every character."""
    return (stream.encoding or "").lower().startswith("utf")
