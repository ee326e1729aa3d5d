"""Finds why a job failed in an answer whose documented places do not say it. Knows no vendor.

As `links` does for files: a reason that stands at a place which nobody wrote down is still the
vendor's reason. It is known by the name above it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ...places import Json, JsonObject
from .answers import word_or_number

ERRORS: Final = re.compile(
    r"(error|err|failure|failed|fail|exception|reject(ed|ion)?)"
    r"(s|_?(reason|message|msg|text|detail|details|description|info))?",
)
"""Names of members that hold an error, in small letters."""
WORDS: Final = re.compile(r"((task_?)?status_?)?(message|msg|reason|details?)")
"""Names of members that hold an error beside "failed", and anything elsewhere."""
TEXTS: Final = ("message", "msg", "detail", "details", "reason", "description", "text")
"""Members that hold the words of an error, below a name of one."""
CODES: Final = ("code", "type", "status", "error_code", "errorCode")
"""Members that hold its code, there."""
NOTHING: Final = frozenset(
    {"", "0", "none", "null", "no", "false", "ok", "success", "succeed", "succeeded"}
)
"""What an answer without an error can say at the place of one."""
DEEPEST: Final = 4
"""How many members deep an error is looked for: it is no part of a result or an echo."""
ECHOES: Final = frozenset({"input", "inputs", "request", "prompt", "params", "parameters"})


def reason_by_name(raw: JsonObject, *, failed: bool) -> tuple[str | None, str | None]:
    """The code and the words of the error in an answer, by the names above them; None without.

    `failed` says that the answer calls the job failed: then a plain `message` tells why. Elsewhere
    it may say anything.

    >>> reason_by_name({"status": "odd", "data": {"fail_reason": "no face"}}, failed=False)
    (None, 'no face')
    """
    errors = (_said(value) for name, value in _members(raw, 0) if ERRORS.fullmatch(name))
    found = next((one for one in errors if any(one)), (None, None))
    if failed and found[1] is None:
        texts = (_text(value) for name, value in _members(raw, 0) if WORDS.fullmatch(name))
        return found[0], next((one for one in texts if one), None)
    return found


def _members(value: Json, depth: int) -> Iterator[tuple[str, Json]]:
    """The members of an object with their names in small letters, then those of what is in it."""
    if not isinstance(value, dict) or depth > DEEPEST:
        return
    for name, item in value.items():
        yield re.sub(r"(?<=[a-z0-9])(?=[A-Z])|-", "_", name).lower(), item
    for name, item in value.items():
        if name.lower() not in ECHOES:
            for one in item if isinstance(item, list) else [item]:
                yield from _members(one, depth + 1)


def _said(value: Json) -> tuple[str | None, str | None]:
    """The code and the words that a member named like an error holds."""
    if isinstance(value, list):
        return next((said for one in value if any(said := _said(one))), (None, None))
    if not isinstance(value, dict):
        return None, _text(value)
    code = next((one for name in CODES if (one := word_or_number(value.get(name)))), None)
    return code, next((one for name in TEXTS if (one := _text(value.get(name)))), None)


def _text(value: Json) -> str | None:
    """The words of an error; None for anything else."""
    if isinstance(value, list):
        return next((one for item in value if (one := _text(item))), None)
    text = value.strip() if isinstance(value, str) else ""
    return None if text.lower() in NOTHING else text
