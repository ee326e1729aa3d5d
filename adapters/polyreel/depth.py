"""How deeply JSON, TOML and YAML from outside is nested, told before a parser recurses into it.

Parsers have limits of their own, which differ from version to version, as do the errors they raise.
Here the depth is counted without recursion, so that every version of every parser gives a user the
same answer. Depth is the number of lists and objects that are open at once: `[]` has depth 1, `5`
has depth 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import accumulate
from typing import Any, Final

MAX_DEPTH: Final = 100
"""The deepest document that is read from a file."""

Content = bytes | str

# -- JSON ------------------------------------------------------------------------------------------

_OPENING, _CLOSING = b"[{", b"]}"
_STRUCTURE: Final = bytes.maketrans(_OPENING + _CLOSING, b"(())")
_PLAIN: Final = bytes(set(range(256)) - {*_OPENING, *_CLOSING, *b'"'})
_STEPS: Final = {ord("("): 1, ord(")"): -1}


def json_is_deep(content: Content, limit: int = MAX_DEPTH) -> bool:
    """Whether JSON text opens more than `limit` lists and objects inside one another, before its
    first mistake.

    Text with no more than `limit` brackets, as most answers are, costs two counts. The rest costs
    about as much as parsing it.
    """
    if isinstance(content, bytes) and not (encoding := json.detect_encoding(content)).startswith(
        "utf-8"
    ):
        content = content.decode(encoding, "replace")
    if isinstance(content, str):
        if content.count("[") + content.count("{") <= limit:
            return False
        content = content.encode("utf-8", "surrogatepass")
    elif content.count(b"[") + content.count(b"{") <= limit:
        return False
    # Without escapes, every second piece between quotes is a string. An unfinished one is the last
    # piece.
    unescaped = content.replace(rb"\\", b"").replace(rb"\"", b"")
    outside = unescaped.translate(None, _PLAIN).split(b'"')[::2]
    return _is_deep(b"".join(outside).translate(_STRUCTURE), limit)


def _is_deep(brackets: bytes, limit: int) -> bool:
    """Whether more than `limit` of these `(` are open at once."""
    rest = brackets
    for _ in range(limit):
        # Of balanced brackets each round takes the innermost away, so that there are as many rounds
        # as levels.
        before, rest = rest, rest.replace(b"()", b"")
        if not rest:
            return False
        if rest == before:
            break
    return any(map(limit.__lt__, accumulate(map(_STEPS.__getitem__, brackets))))


# -- TOML ------------------------------------------------------------------------------------------

_TOML_TEXT: Final = re.compile(
    r'"""(?:[^"\\]++|\\.|"(?!""))*+(?:"{3,5}|\\?\Z)'
    r"|'''.*?(?:'{3,5}|\Z)"
    r'|"(?:[^"\\\n]++|\\.)*+"?'
    r"|'[^'\n]*+'?"
    r"|\#[^\n]*+",
    re.DOTALL,
)
_NO_BRACKET: Final = re.compile(r"[^\[\]{}]+")
_TO_STRUCTURE: Final = str.maketrans("[{]}", "(())")


def toml_is_deep(text: str, limit: int = MAX_DEPTH) -> bool:
    """Whether one header or one line of TOML is deep: by its brackets, which stand in the file's
    own table, or by the parts of its key.

    Keys add up where tables stand below tables. Look at the value, too, when it has been read: see
    `value_problem`.
    """
    if text.count("[") + text.count("{") + text.count(".") < limit:
        return False
    plain = _TOML_TEXT.sub(lambda found: "" if found[0].startswith("#") else "s", text)
    if re.search(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{limit}}}", plain):
        return True
    return _is_deep(_NO_BRACKET.sub("", plain).translate(_TO_STRUCTURE).encode("ascii"), limit - 1)


# -- YAML ------------------------------------------------------------------------------------------

_YAML_STEPS: Final = {
    "SequenceStartEvent": 1,
    "MappingStartEvent": 1,
    "SequenceEndEvent": -1,
    "MappingEndEvent": -1,
}
_YAML_TEXT: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"|' r"'[^'\n]*+'", re.DOTALL)


def yaml_is_deep(content: bytes, events: Iterable[Any], limit: int = MAX_DEPTH) -> bool:
    """Whether YAML opens more than `limit` lists and mappings inside one another, by the events of
    a library's parser.

    `events` is what PyYAML's or ruamel.yaml's `parse` gives for `content`: it is made without
    recursion. Whatever the library raises is passed on, unless too many brackets are open where it
    is raised: scanners read ahead, so that a library can meet a limit of its own before it tells of
    the brackets.
    """
    depth, last = 0, None
    try:
        for last in events:
            depth += _YAML_STEPS.get(type(last).__name__, 0)
            if depth > limit:
                return True
    except Exception as error:
        marks = (getattr(last, "end_mark", None), getattr(error, "problem_mark", None))
        begin, end = (getattr(mark, "index", None) or 0 for mark in marks)
        if depth + _open_brackets(content, begin, end + 1) > limit:
            return True
        raise
    return False


def _open_brackets(content: bytes, begin: int, end: int) -> int:
    """How many brackets are opened, and not closed, between two characters of YAML."""
    encoding = "utf-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8"
    plain = _YAML_TEXT.sub("", content.decode(encoding, "replace")[begin:end])
    return sum(map(plain.count, "[{")) - sum(map(plain.count, "]}"))


# -- values ----------------------------------------------------------------------------------------

MAX_NODES: Final = 3_000_000
"""How much a document may hold with its aliases written out: a short one can stand for billions."""


def value_problem(value: Any, limit: int = MAX_DEPTH) -> str | None:
    """Why a value is too deep or too large to be worked on, with the aliases of YAML written out;
    None where it is not.

    Needed where the text does not show it: behind aliases of YAML and below dotted keys of TOML.
    """
    pending, seen = [(value, 0)], 0
    while pending:
        node, depth = pending.pop()
        seen += 1
        if isinstance(node, (dict, list)):
            if depth >= limit:
                return "nested too deeply"
            if seen + len(pending) + len(node) > MAX_NODES:
                return "too much in it, with all aliases written out"
            pending += [
                (item, depth + 1) for item in (node.values() if isinstance(node, dict) else node)
            ]
    return None
