"""HTML for notebooks. Whatever a text holds, it is shown as text, without keys and signed links."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

from ..hosts import bare_url
from ..keys import without_held_keys

LONGEST: Final = 4000
"""Characters of a text that are shown."""
LINK: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>\\]+")


def text(value: object) -> str:
    """A value as the text of an element. A dash stands for None.

    Of a link, the user, the query and what may be a signature in its path are left out: whoever
    sees the notebook could fetch the file.
    """
    if value is None:
        return "-"
    found = without_held_keys(str(value))
    found = LINK.sub(lambda link: bare_url(link[0], file=True), found)
    rest = len(found) - LONGEST
    shown = found if rest <= 0 else f"{found[:LONGEST]}... ({rest} more characters)"
    return escape(shown)


def facts(title: str, values: Mapping[str, object]) -> str:
    """A table of names and values. Values that are None are left out."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{text(name)}</th>"
        f"<td style='text-align:left'>{text(value)}</td></tr>"
        for name, value in values.items()
        if value is not None
    )
    return f"<table><caption><b>{text(title)}</b></caption>{rows}</table>"


def table(headers: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table with a row of headers."""
    first = "".join(f"<th style='text-align:left'>{text(header)}</th>" for header in headers)
    others = (
        "".join(f"<td style='text-align:left'>{text(cell)}</td>" for cell in row) for row in rows
    )
    return f"<table><tr>{first}</tr>{''.join(f'<tr>{cells}</tr>' for cells in others)}</table>"


def block(value: str) -> str:
    """A text of several lines, such as JSON."""
    return f"<pre style='text-align:left'>{text(value)}</pre>"


def bar(done: int, of: int) -> str:
    """How much of something is done."""
    return f"<progress value='{int(done)}' max='{max(int(of), 1)}'></progress>"
