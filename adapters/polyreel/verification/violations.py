"""What is wrong with a value under a schema: the place in the value and the place in the spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ..places import Json, JsonObject, Place, Pointer, find_value, follow_references
from ..providers.base.contract import Contract
from ..providers.base.schemas import compiled_schema

if TYPE_CHECKING:
    import jsonschema_rs


@frozen
class LocatedViolation:
    """One rule of a schema that a value breaks."""

    place: Place
    """In the value."""
    pointer: Pointer
    """The keyword's place in the spec."""
    kind: str
    """The name of the keyword, or of one of polyreel's own rules."""
    facts: Mapping[str, Any]
    message: str


def violations_at(document: JsonObject, pointer: Pointer, value: Json) -> list[LocatedViolation]:
    """Every rule of the schema at a place of a document that a value breaks.

    Of a choice (`anyOf`, `oneOf`), the rules of one option are reported where the value's type
    shows which option is meant.
    """
    here = follow_references(document, pointer)
    try:
        errors = _validator(_DocumentKey(document), here).iter_errors(value)
        found = [one for error in errors for one in _violations_of(error, here)]
    except (ValueError, RecursionError) as error:
        message = f"is not JSON that can be checked: {str(error)[:120]}"
        return [LocatedViolation((), here, "json", {}, message)]
    return [*found, *_broken_rules(document, here, value)]


def is_valid(document: JsonObject, pointer: Pointer, value: Json) -> bool:
    """Whether a value breaks no rule of the schema at a place."""
    return not violations_at(document, pointer, value)


def named_schema(name: str) -> Pointer:
    """The place of a named schema."""
    return ("components", "schemas", name)


def nearest_schema(document: JsonObject, names: Sequence[str], value: Json) -> str:
    """The named schema of which a value breaks the fewest rules, and then lacks fewest members."""
    members = value.keys() if isinstance(value, dict) else set()

    def distance(name: str) -> tuple[int, int]:
        schema = find_value(document, named_schema(name))
        known = schema.get("properties", {}) if isinstance(schema, dict) else {}
        broken = violations_at(document, named_schema(name), value)
        return len(broken), len(members - known.keys())

    return min(names, key=distance)


@frozen(eq=False)
class _DocumentKey:
    """A document that is hashed by identity, so that compiled schemas can be cached."""

    document: JsonObject

    def __hash__(self) -> int:
        return id(self.document)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _DocumentKey) and other.document is self.document


@lru_cache(maxsize=256)
def _validator(key: _DocumentKey, pointer: Pointer) -> jsonschema_rs.Validator:
    return compiled_schema(key.document, find_value(key.document, pointer))


def _violations_of(
    error: jsonschema_rs.ValidationError, root: Pointer
) -> Iterator[LocatedViolation]:
    """An error of jsonschema-rs, or those of the option that is meant."""
    facts = error.kind.as_dict()
    if error.kind.name in {"anyOf", "oneOf"}:
        meant = _errors_of_meant_option(facts.get("context") or [], len(error.instance_path))
        if meant:
            for part in meant:
                yield from _violations_of(part, root)
            return
    path = tuple(map(str, error.schema_path))
    pointer = path if path[:2] == ("components", "schemas") else (*root, *path)
    place = tuple(error.instance_path)
    yield LocatedViolation(place, pointer, error.kind.name, facts, error.message)


def _errors_of_meant_option(
    options: list[list[jsonschema_rs.ValidationError]], depth: int
) -> list[jsonschema_rs.ValidationError]:
    """The errors of the one option whose type the value has; none where several have it."""
    likely = [
        errors
        for errors in options
        if errors
        and not any(one.kind.name == "type" and len(one.instance_path) == depth for one in errors)
    ]
    return likely[0] if len(likely) == 1 else []


def _broken_rules(
    document: JsonObject, pointer: Pointer, value: Json
) -> Iterator[LocatedViolation]:
    """The broken rules that JSON Schema cannot express (`x-polyreel-rules`)."""
    schema = find_value(document, pointer)
    if not isinstance(schema, dict) or not isinstance(value, dict):
        return
    for number, broken in Contract(document).broken_rules(schema, value):
        rule = (*pointer, "x-polyreel-rules", str(number))
        place = _existing_part(value, broken.path)
        yield LocatedViolation(place, rule, broken.kind, {"limit": broken.limit}, broken.message)


def _existing_part(value: Json, path: Place) -> Place:
    """A rule's path as far as the value has it: `*` in it stands for all items."""
    found: list[str | int] = []
    for part in path:
        if not isinstance(value, dict) or part not in value:
            break
        found.append(part)
        value = value[str(part)]
    return tuple(found)
