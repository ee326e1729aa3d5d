"""Rules over several fields that JSON Schema cannot say: `x-polyreel-rules`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...hosts import not_public_https
from .schemas import SchemaViolation

# -- rules that JSON Schema cannot say (x-polyreel-rules) -----------------------------------------


def violations_of_rule(rule: Mapping[str, Any], body: Any) -> Iterator[SchemaViolation]:
    """Every way in which a body breaks one rule."""
    if any(not _find(body, at) for at in rule.get("when", [])):
        return
    if "at_most" in rule:
        counted = [(at, _count(body, at)) for at in rule["of"]]
        total = sum(count for _, count in counted)
        if total > rule["at_most"]:
            names = " + ".join(at.rpartition("/")[2] for at, _ in counted)
            first = next(at for at, count in counted if count)
            yield SchemaViolation(
                _path(first),
                "at_most",
                f"{names} come to {total}, at most {rule['at_most']} together",
                rule["at_most"],
            )
    elif "total" in rule:
        texts = [str(part) for part in _find(body, rule["total"])]
        # Longer numbers are no durations, and int() refuses the longest.
        parts = [int(text[:10]) for text in texts if text.isascii() and text.isdigit()]
        wanted = next(iter(_find(body, rule["equals"])), rule.get("default"))
        if parts and (total := sum(parts)) != wanted:
            at = _path(rule["total"].partition("/*")[0])
            yield SchemaViolation(
                at, "total", f"the parts come to {total}, they must make {wanted}", wanted
            )
    elif "public_https" in rule:
        for url in _find(body, rule["public_https"]):
            if isinstance(url, str) and (reason := not_public_https(url)):
                yield SchemaViolation(
                    _path(rule["public_https"]), "public_https", reason, "a public https address"
                )


def places_counted(rule: Mapping[str, Any]) -> list[str]:
    """The places whose values can break a rule."""
    return [
        *rule.get("of", ()),
        *(rule[kind] for kind in ("total", "public_https") if kind in rule),
    ]


def field_of_place(at: str) -> str:
    """The field of the body that a place is in."""
    return at.strip("/").partition("/")[0]


def _count(body: Any, at: str) -> int:
    """How many items a place holds; a scalar counts one."""
    return sum(len(value) if isinstance(value, list) else 1 for value in _find(body, at))


def _path(at: str) -> tuple[str | int, ...]:
    return tuple(at.strip("/").split("/"))


def _find(body: Any, at: str) -> list[Any]:
    """The values at a pointer whose `*` stands for every item."""
    values = [body]
    for part in at.strip("/").split("/"):
        found: list[Any] = []
        for value in values:
            if part == "*" and isinstance(value, list):
                found += value
            elif isinstance(value, dict) and part in value:
                found.append(value[part])
        values = found
    return values
