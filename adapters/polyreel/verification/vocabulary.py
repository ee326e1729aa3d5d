"""Checks the words of a vendor: job statuses and error codes, which specs leave open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any, Final

from attrs import frozen

from ..places import (
    Json,
    JsonObject,
    Place,
    Pointer,
    find_value,
    follow_references,
    get,
    is_missing,
)
from ..providers.base.answers import word_or_number
from ..providers.base.provider import Provider
from .differences import Difference, Side
from .members import schemas_of_place
from .proposals import add_to_list

ERROR_CODES: Final = ("error.code", "code")
"""Where errors of calls have their code. For errors of jobs, the provider knows the place."""


@frozen
class _Word:
    """A status word or an error code in an answer."""

    kind: str
    place: Place
    """In the answer."""
    text: Any


def unknown_words(side: Side, value: Json, pointer: Pointer, place: Place) -> Iterator[Difference]:
    """Every status word and error code in an answer that the spec does not know.

    `pointer` is the place of the answer's schema in the spec, `place` that of the answer in the
    exchange.
    """
    provider, failed = side.call.provider, (side.exchange.status or 0) >= 400
    codes = known_error_codes(provider)
    for where, subject in _subjects(value):
        if not failed:
            statuses = {word.lower() for word in provider.statuses}
            found = _first(subject, provider.reads.status)
            if found and isinstance(found[1], str):
                word = _Word("status word", (*where, *found[0].split(".")), found[1])
                yield from _if_unknown(side, word, statuses, (value, pointer, place))
        found = _first(subject, ERROR_CODES if failed else provider.reads.error_code)
        if found and word_or_number(found[1]):
            word = _Word("error code", (*where, *found[0].split(".")), found[1])
            yield from _if_unknown(side, word, codes, (value, pointer, place))


@lru_cache(maxsize=16)
def known_error_codes(provider: Provider) -> frozenset[str]:
    """Every error code in the examples of a contract, in lower case."""
    found: set[str] = set()
    for status, body in _examples_of_answers(provider.contract.document):
        is_error = status[:1] in {"4", "5", "d"}  # d: default
        places = ERROR_CODES if is_error else provider.reads.error_code
        code = _first(body, places) if isinstance(body, dict) else None
        if code and (text := word_or_number(code[1])):
            found.add(text.lower())
    return frozenset(found)


def _examples_of_answers(document: JsonObject) -> Iterator[tuple[str, Any]]:
    """Every example of an answer with its status, which may be a range or `default`."""
    for path, item in document["paths"].items():
        for method in item:
            responses = ("paths", path, method, "responses")
            for status in find_value(document, responses) or ():
                response = follow_references(document, (*responses, status))
                content = find_value(document, (*response, "content")) or {}
                for media in content.values():
                    for example in media.get("examples", {}).values():
                        yield status, example.get("value")


def _if_unknown(
    side: Side, word: _Word, known: AbstractSet[str], answer: tuple[Json, Pointer, Place]
) -> Iterator[Difference]:
    value, pointer, place = answer
    schemas = schemas_of_place(side.document, pointer, value, word.place)
    described = [one for schema in schemas for one in _examples(side.document, schema)]
    closed = any(find_value(side.document, (*one, "enum")) for one in schemas)
    all_known = known | {str(one).lower() for one in described}
    if str(word.text).lower() in all_known or closed or not schemas:
        return
    clean = side.redactor.is_clean(word.text, str(word.place[-1]))
    patch = add_to_list(side.document, schemas[0], "examples", word.text) if clean else ()
    target = (*schemas[0], "examples")
    where = (*place, *word.place)
    yield side.difference(
        word.kind, "news", where, target, f"a known {word.kind}", word.text, patch
    )


def _examples(document: JsonObject, schema: Pointer) -> list[Any]:
    found = find_value(document, (*schema, "examples"))
    return found if isinstance(found, list) else []


def _subjects(value: Json) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """The objects that may be a job: an answer itself, and the items of its lists."""
    if isinstance(value, list):
        yield from _objects((), value)
    if isinstance(value, dict):
        yield (), value
        for name, items in value.items():
            if isinstance(items, list):
                yield from _objects((name,), items)


def _objects(place: Place, items: Sequence[Json]) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    for index, item in enumerate(items):
        if isinstance(item, dict):
            yield (*place, index), item


def _first(value: Mapping[str, Any], places: Sequence[str]) -> tuple[str, Any] | None:
    """The first of several dotted places that has a value other than null, with the value."""
    for place in places:
        found = get(value, place)
        if not is_missing(found) and found is not None:
            return place, found
    return None
