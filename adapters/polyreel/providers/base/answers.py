"""Reads values at documented places of a vendor's answer, without trust. Knows no vendor."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, TypeGuard

from ...places import MISSING, Json, JsonObject, get


def first(value: JsonObject, places: tuple[str, ...]) -> Any:
    """The value at the first of several dotted places whose value is not null; None without one."""
    for name, place in _ways(places):
        if (found := value.get(name)) is not None:
            if place:
                found = get(value, place)
            if found is not None and found is not MISSING:
                return found
    return None


@lru_cache(maxsize=4096)
def _ways(places: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The first name of each place, and the place where there are more: most are not there."""
    return tuple((place.partition(".")[0], place if "." in place else "") for place in places)


def alone(answer: JsonObject, place: str, item: Json) -> JsonObject:
    """An answer about several tasks as one about a single task of its list."""
    name, _, rest = place.partition(".")
    return {**answer, name: alone(answer[name], rest, item) if rest else [item]}


def urls(value: JsonObject, places: tuple[str, ...]) -> tuple[str, ...]:
    """The http(s) URLs at the first place that has any.

    A place can hold a URL, an object with a URL (see LINK_NAMES), or a list of both.
    """
    for name, place in _ways(places):
        if (found := value.get(name)) is None:
            continue
        if place:
            found = get(value, place)
        if found is None or found is MISSING:
            continue
        links = [_link(item) for item in (found if isinstance(found, list) else [found])]
        if kept := tuple(link for link in links if link is not None):
            return kept
    return ()


LINK_NAMES: Final = ("url", "video_url", "image_url", "audio_url")
"""The members of an output that can be its URL; the first that is one counts."""


def _link(item: Json) -> str | None:
    """The URL that an item is or has."""
    named = [item.get(name) for name in LINK_NAMES] if isinstance(item, dict) else [item]
    return next((text for text in named if isinstance(text, str) and is_link(text)), None)


def is_link(text: str) -> bool:
    """Whether a text is an http(s) URL."""
    return text.startswith(("https://", "http://"))


_TASK_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,200}")


def is_task_id(text: str) -> bool:
    """Whether a text can be a task id, which goes into paths and file names."""
    return _TASK_ID.fullmatch(text) is not None and ".." not in text


def can_be_asked_about(text: str) -> bool:
    """Whether a path can hold a text: ASCII without blanks and slashes.

    So much is asked of the id in the answer to a paid submit, where doubt costs a job. What nobody
    was paid for, such as a webhook of a stranger, must look like an id.
    """
    return _PRINTED.fullmatch(text) is not None and _OF_PATHS.search(text) is None


_PRINTED: Final = re.compile(r"[!-~]{1,200}")
_OF_PATHS: Final = re.compile(r"\.\.|[/\\?#%]")


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a JSON value is a number (a boolean is not)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def moment(value: object) -> float | None:
    """Seconds since 1970, up to the year 5138, also from milliseconds; None for anything else."""
    if not is_number(value) or not 0 < value < 1e14:
        return None
    return float(value) if value < 1e11 else value / 1000


def word_or_number(value: object) -> str | None:
    """An error code as text, from a word or a number; None for anything else."""
    return str(value)[:200] if value and (isinstance(value, str) or is_number(value)) else None


def object_or_items(value: object) -> JsonObject | None:
    """An object, or a list as the `items` of one; None for anything else, and for an empty list."""
    if isinstance(value, list):
        return {"items": value} if value else None
    return value if isinstance(value, dict) else None


def fraction(value: object, whole: int = 100) -> float | None:
    """Progress as 0 to 1, from 42, "42" or "42%"; None for anything else.

    `whole` is the number that the vendor has at the end.
    """
    if isinstance(value, str):
        text = value.strip().removesuffix("%")
        value = float(text) if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", text) else None
    if not is_number(value):
        return None
    return min(1.0, max(0.0, float(value) / whole))


def printable(text: str) -> str:
    """A vendor's text without control characters, which could drive a terminal."""
    return "\n".join(
        line
        if line.isprintable()
        else "".join(character if character.isprintable() else " " for character in line)
        for line in text.split("\n")
    ).strip()
