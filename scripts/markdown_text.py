"""Markdown that scripts write: tables, and prose of at most 100 columns."""

import re
from collections.abc import Iterable, Sequence
from textwrap import wrap

COLUMNS = 100
TAG = re.compile(r"<(?=[A-Za-z/!?])")


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(plain(text).split()).replace("|", r"\|")


def plain(text: str) -> str:
    """A text in which no `<` begins a tag: such a one is escaped where it is not in code."""
    parts = text.split("`")
    parts[::2] = [TAG.sub(r"\\<", part) for part in parts[::2]]
    return "`".join(parts)


def paragraph(text: str) -> str:
    """One paragraph, wrapped."""
    return _wrapped(text, "", "")


def bullets(texts: Iterable[str]) -> str:
    """A list, each item wrapped."""
    return "".join(_wrapped(text, "- ", "  ") for text in texts)


def _wrapped(text: str, first: str, others: str) -> str:
    lines = wrap(
        plain(text),
        COLUMNS,
        initial_indent=first,
        subsequent_indent=others,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return "\n".join(lines) + "\n"


def code(words: Iterable[object]) -> str:
    """Words as code, with commas between."""
    return ", ".join(f"`{word}`" for word in words)


def sentence(text: str) -> str:
    """A text with a capital letter and a full stop; nothing of nothing."""
    text = " ".join(text.split())
    return text and text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
