"""Rules over several fields, which JSON Schema cannot express: `x-polyreel-rules`.

A rule has one of four forms. Its places are JSON pointers in which `*` stands for every item, and
`*[type=element]` for every item with that member.

- `at_most` and `of`: the number of items at all places of `of` together.
- `total`, `equals` and `default`: the numbers at `total` must add up to the one at `equals`.
- `public_https`: the URL at this place must be a public https address.
- `shots`, `at_most`, `words`, `equals` and `default`: the text at `shots` may spell shots (see
  mapping/shottexts.py). It has at most so many of so many characters, of at least a second each,
  and together they last what `equals` says. Where the switch at `unless` is off, it is plain text.

A rule with `when` counts only where each of those places has a value. One with `mark: inferred`
says what no page of the vendor says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve

from ...hosts import not_public_https
from ...mapping.shottexts import spelled_shots
from ...places import Json
from .schemas import SchemaViolation


def violations_of_rule(rule: Mapping[str, Any], body: Json) -> Iterator[SchemaViolation]:
    """Every way in which a body breaks one rule."""
    if any(not _find(body, place) for place in rule.get("when", [])):
        return
    found: Iterator[SchemaViolation] = iter(())
    if "shots" in rule:
        found = _wrong_shots(rule, body)
    elif "at_most" in rule:
        found = _too_many(rule, body)
    elif "total" in rule:
        found = _wrong_total(rule, body)
    elif "public_https" in rule:
        found = _not_public(rule["public_https"], body)
    inferred = rule.get("mark") == "inferred"
    yield from (evolve(one, inferred=inferred) for one in found)


def places_counted(rule: Mapping[str, Any]) -> list[str]:
    """The places whose values can break a rule."""
    return [
        *rule.get("of", ()),
        *(rule[kind] for kind in ("total", "public_https", "shots") if kind in rule),
    ]


def field_of_place(place: str) -> str:
    """The field of the body that a place is in."""
    return place.strip("/").partition("/")[0]


def _too_many(rule: Mapping[str, Any], body: Json) -> Iterator[SchemaViolation]:
    counted = [(place, _count(body, place)) for place in rule["of"]]
    total = sum(count for _, count in counted)
    if total > rule["at_most"]:
        names = " + ".join(_name(place) for place, _ in counted)
        first = next(place for place, count in counted if count)
        message = f"{names} come to {total}, at most {rule['at_most']} together"
        marks = _marks(first.rpartition("/")[2])
        yield SchemaViolation(_path(first), "at_most", message, rule["at_most"], marks=marks)


def _wrong_total(rule: Mapping[str, Any], body: Json) -> Iterator[SchemaViolation]:
    texts = [str(part) for part in _find(body, rule["total"])]
    # Longer numbers are no durations, and int() refuses the longest.
    parts = [int(text[:10]) for text in texts if text.isascii() and text.isdigit()]
    wanted = next(iter(_find(body, rule["equals"])), rule.get("default"))
    if parts and (total := sum(parts)) != wanted:
        message = f"the parts come to {total}, they must make {wanted}"
        yield SchemaViolation(_path(rule["total"].partition("/*")[0]), "total", message, wanted)


def _wrong_shots(rule: Mapping[str, Any], body: Json) -> Iterator[SchemaViolation]:
    off = "unless" in rule and _find(body, rule["unless"]) == [False]
    wanted = next(iter(_find(body, rule["equals"])), rule.get("default"))
    for text in () if off else _find(body, rule["shots"]):
        shots = spelled_shots(text)
        lengths = [shot["duration"] for shot in shots]
        longest = max((len(shot["prompt"]) for shot in shots), default=0)
        wrong = (
            (len(shots) > rule["at_most"], f"{len(shots)} shots", f"at most {rule['at_most']}"),
            (
                longest > rule["words"],
                f"a shot of {longest} characters",
                f"at most {rule['words']}",
            ),
            (0 in lengths, "a shot of 0 seconds", "at least 1"),
        )
        marks = next(filter(None, map(_marks, rule["shots"].split("/"))), None)
        for is_wrong, what, limit in wrong if shots else ():
            if is_wrong:
                yield SchemaViolation(_path(rule["shots"]), "shots", what, limit, marks=marks)
        if shots and (total := sum(lengths)) != wanted:
            message = f"shots that last {total} s"
            yield SchemaViolation(_path(rule["shots"]), "total", message, wanted, marks=marks)


def _not_public(place: str, body: Json) -> Iterator[SchemaViolation]:
    for url in _find(body, place):
        if isinstance(url, str) and (reason := not_public_https(url)):
            limit = "a public https address"
            yield SchemaViolation(_path(place), "public_https", reason, limit)


def _count(body: Json, place: str) -> int:
    """How many items a place holds; a scalar counts one."""
    return sum(len(value) if isinstance(value, list) else 1 for value in _find(body, place))


def _name(place: str) -> str:
    """What a place counts, in words: the field, or the word that tells its items from others."""
    last = place.rpartition("/")[2]
    return next(iter((_marks(last) or {}).values()), last)


def _marks(part: str) -> Mapping[str, str] | None:
    """The member in `*[name=value]`, with its value; None for any other part of a place."""
    if not part.startswith("*["):
        return None
    name, _, value = part.removeprefix("*[").removesuffix("]").partition("=")
    return {name: value}


def _path(place: str) -> tuple[str | int, ...]:
    return tuple(part for part in place.strip("/").split("/") if not part.startswith("*"))


def _is_wanted(item: Json, part: str) -> bool:
    """Whether an item of a list is one that `*`, or `*[name=value]`, stands for."""
    marks = _marks(part) or {}
    return all(isinstance(item, dict) and item.get(name) == one for name, one in marks.items())


def _find(body: Json, place: str) -> list[Json]:
    """The values at a pointer whose `*` stands for every item."""
    values = [body]
    for part in place.strip("/").split("/"):
        found: list[Json] = []
        for value in values:
            if part.startswith("*") and isinstance(value, list):
                found += [item for item in value if _is_wanted(item, part)]
            elif isinstance(value, dict) and part in value:
                found.append(value[part])
        values = found
    return values
