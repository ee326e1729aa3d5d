"""A vendor's words: those of a job's status, and its error codes. Specs leave them open, so they are checked apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..places import JsonObject, Pointer, find, followed, get, is_missing
from ..providers.base.answers import word_or_number
from ..providers.base.provider import Provider
from .differences import Difference, Side
from .members import homes
from .proposals import listed

ERROR_CODES: Final = ("error.code", "code")
"""Where errors of calls have their code; of jobs, the provider knows."""


def words(
    side: Side, value: Any, pointer: Pointer, place: tuple[str | int, ...]
) -> Iterator[Difference]:
    """Every status word and error code in an answer that the spec does not know."""
    provider, failed = side.call.provider, (side.exchange.status or 0) >= 400
    known_codes = codes(provider)
    for where, subject in _subjects(value):
        if not failed:
            statuses = {word.lower() for word in provider.statuses}
            found = _first(subject, provider.reads.status)
            if found and isinstance(found[1], str):
                yield from _word(
                    side, "status word", found, (value, pointer, place, where), statuses
                )
        found = _first(subject, ERROR_CODES if failed else provider.reads.error_code)
        if found and word_or_number(found[1]):
            yield from _word(side, "error code", found, (value, pointer, place, where), known_codes)


def codes(provider: Provider) -> set[str]:
    """Every error code in the examples of a contract, in lower case."""
    found: set[str] = set()
    for status, body in _samples(provider.contract.document):
        places = ERROR_CODES if status[:1] in {"4", "5", "d"} else provider.reads.error_code
        code = _first(body, places) if isinstance(body, dict) else None
        if code and (text := word_or_number(code[1])):
            found.add(text.lower())
    return found


def _samples(document: JsonObject) -> Iterator[tuple[str, Any]]:
    """Every example of an answer with its status, which may be a range or `default`."""
    for path, item in document["paths"].items():
        for method in item:
            listed = ("paths", path, method, "responses")
            for status in find(document, listed) or ():
                content = find(document, (*followed(document, (*listed, status)), "content")) or {}
                for media in content.values():
                    yield from (
                        (status, example.get("value"))
                        for example in media.get("examples", {}).values()
                    )


def _word(
    side: Side,
    kind: str,
    found: tuple[str, Any],
    around: tuple[Any, Pointer, tuple[str | int, ...], tuple[str | int, ...]],
    known: set[str],
) -> Iterator[Difference]:
    (name, word), (value, pointer, place, where) = found, around
    at = (*where, *name.split("."))
    schemas = homes(side.document, pointer, value, at)
    described = [word for one in schemas for word in _examples(find(side.document, one))]
    closed = any(find(side.document, (*one, "enum")) for one in schemas)
    if (
        str(word).lower() in known | {str(one).lower() for one in described}
        or closed
        or not schemas
    ):
        return
    clean = side.redactor.is_clean(word, str(at[-1]))
    patch = listed(side.document, schemas[0], "examples", word) if clean else ()
    target = (*schemas[0], "examples")
    yield side.tell(kind, "news", (*place, *at), target, f"a known {kind}", word, patch)


def _examples(schema: Any) -> list[Any]:
    found = schema.get("examples") if isinstance(schema, dict) else None
    return found if isinstance(found, list) else []


def _subjects(value: Any) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """The objects that may be a job: an answer itself, and the items of its lists."""
    if isinstance(value, list):
        yield from (((index,), item) for index, item in enumerate(value) if isinstance(item, dict))
    if isinstance(value, dict):
        yield (), value
        for name, items in value.items():
            if isinstance(items, list):
                yield from (
                    ((name, index), item)
                    for index, item in enumerate(items)
                    if isinstance(item, dict)
                )


def _first(value: Any, places: tuple[str, ...]) -> tuple[str, Any] | None:
    """The first of several dotted places that has a value that is not null, with the value."""
    for place in places:
        found = get(value, place)
        if not is_missing(found) and found is not None:
            return place, found
    return None
