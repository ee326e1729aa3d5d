"""What is wrong with a value under a schema, with the place in the value and the place in the spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ..places import JsonObject, Pointer, find, followed
from ..providers.base.contract import Contract
from ..providers.base.schemas import DIALECT, SCHEMAS

if TYPE_CHECKING:
    import jsonschema_rs

Place = tuple[str | int, ...]


@frozen
class LocatedViolation:
    """One rule of a schema that a value breaks."""

    place: Place
    """In the value."""
    pointer: Pointer
    """The keyword, in the spec."""
    kind: str
    """The keyword's name, or that of one of polyreel's rules."""
    facts: Mapping[str, Any]
    message: str


def violations_at(document: JsonObject, pointer: Pointer, value: Any) -> list[LocatedViolation]:
    """Every rule of the schema at a place that a value breaks; choices are taken apart where one option is meant."""
    here = followed(document, pointer)
    try:
        errors = _validator(_Held(document), here).iter_errors(value)
        found = [one for error in errors for one in _taken_apart(error, here)]
    except (ValueError, RecursionError) as error:
        return [
            LocatedViolation(
                (), here, "json", {}, f"is not JSON that can be checked: {str(error)[:120]}"
            )
        ]
    return [*found, *_rules(document, here, value)]


def fitting(document: JsonObject, pointer: Pointer, value: Any) -> bool:
    """Whether a value breaks nothing."""
    return not violations_at(document, pointer, value)


@frozen(eq=False)
class _Held:
    """A document by identity, so that what was compiled for it can be kept."""

    document: JsonObject

    def __hash__(self) -> int:
        return id(self.document)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.document is self.document


@lru_cache(maxsize=256)
def _validator(held: _Held, pointer: Pointer) -> jsonschema_rs.Validator:
    import jsonschema_rs  # noqa: PLC0415

    schema = find(held.document, pointer)
    if not isinstance(schema, dict):
        schema = {} if schema is None else {"allOf": [schema]}
    # Only the schemas are compiled: example bodies could look like references.
    schemas = held.document.get("components", {}).get("schemas", {})
    own = {name: item for name, item in schema.items() if name != "components"}
    return jsonschema_rs.validator_for(
        {**own, "$schema": DIALECT, "components": {"schemas": schemas}}
    )


def _taken_apart(error: jsonschema_rs.ValidationError, root: Pointer) -> Iterator[LocatedViolation]:
    facts = error.kind.as_dict()
    options = facts.get("context") or []
    if error.kind.name in {"anyOf", "oneOf"} and (
        meant := _meant(options, len(error.instance_path))
    ):
        for part in meant:
            yield from _taken_apart(part, root)
        return
    path = tuple(map(str, error.schema_path))
    pointer = path if path[:2] == ("components", "schemas") else (*root, *path)
    yield LocatedViolation(
        tuple(error.instance_path), pointer, error.kind.name, facts, error.message
    )


def _meant(
    options: list[list[jsonschema_rs.ValidationError]], depth: int
) -> list[jsonschema_rs.ValidationError]:
    """The errors of the one option whose type the value has; none where several options are as likely."""
    likely = [
        errors
        for errors in options
        if errors
        and not any(one.kind.name == "type" and len(one.instance_path) == depth for one in errors)
    ]
    return likely[0] if len(likely) == 1 else []


def _rules(document: JsonObject, pointer: Pointer, value: Any) -> Iterator[LocatedViolation]:
    """What JSON Schema cannot say."""
    schema = find(document, pointer)
    if not isinstance(schema, dict) or not isinstance(value, dict):
        return
    for number, breach in Contract(document).broken_rules(schema, value):
        at = (*pointer, "x-polyreel-rules", str(number))
        yield LocatedViolation(
            _present(value, breach.path), at, breach.kind, {"limit": breach.limit}, breach.message
        )


def _present(value: Any, path: Place) -> Place:
    """A rule's path as far as the value has it: its `*` stands for all items."""
    found: list[str | int] = []
    for part in path:
        if not isinstance(value, dict) or part not in value:
            break
        found.append(part)
        value = value[str(part)]
    return tuple(found)


def nearest(document: JsonObject, names: tuple[str, ...], value: Any) -> str | None:
    """The named schema that a value breaks least of."""
    places = {name: tuple(f"{SCHEMAS}{name}".removeprefix("#/").split("/")) for name in names}
    return min(
        names, key=lambda name: len(violations_at(document, places[name], value)), default=None
    )
