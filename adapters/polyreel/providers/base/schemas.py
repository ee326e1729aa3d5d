"""JSON schemas, compiled: the one place where jsonschema-rs is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from ...places import Json, JsonObject, find_value

if TYPE_CHECKING:
    import jsonschema_rs

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
SCHEMAS: Final = "#/components/schemas/"
"""How references to named schemas begin."""


@frozen
class SchemaViolation:
    """One way in which a body does not fit its schema."""

    path: tuple[str | int, ...]
    kind: str
    message: str
    limit: Any = None
    inferred: bool = False
    """Whether the contract marks what is broken as inferred (`x-polyreel-mark`)."""
    marks: Mapping[str, str] | None = None
    """The members that tell the items of a typed list that it is about from others."""
    given: tuple[tuple[str, Mapping[str, str]], ...] = ()
    """The places of the body without which it would be none: the condition of its schema.

    Each with the marks of an item, where it is a list that has to contain one.
    """


class NamedSchemas(dict[str, "jsonschema_rs.Validator"]):
    """The named schemas of a document, each compiled when it is first used. Most are never used.

    `formats` says whether formats are checked.
    """

    def __init__(self, document: JsonObject, *, formats: bool) -> None:
        super().__init__()
        self._document = _named_schemas(document)
        self._formats = formats

    def __missing__(self, name: str) -> jsonschema_rs.Validator:
        import jsonschema_rs  # noqa: PLC0415

        schema = {**self._document, "$ref": SCHEMAS + name}
        self[name] = jsonschema_rs.validator_for(schema, validate_formats=self._formats)
        return self[name]


def compiled_schema(document: JsonObject, schema: Json) -> jsonschema_rs.Validator:
    """One schema, compiled; its references are to the named schemas of a document.

    None stands for the schema that takes everything.
    """
    import jsonschema_rs  # noqa: PLC0415

    if not isinstance(schema, dict):
        schema = {} if schema is None else {"allOf": [schema]}
    return jsonschema_rs.validator_for({**schema, **_named_schemas(document)})


def _named_schemas(document: JsonObject) -> JsonObject:
    """The document to compile. It has only the schemas, as examples could look like references."""
    schemas = document.get("components", {}).get("schemas", {})
    return {"$schema": DIALECT, "components": {"schemas": schemas}}


_LIMITS: Final = (
    "limit",
    "options",
    "property",
    "unexpected",
    "format",
    "expected_value",
    "pattern",
    "types",
)


def _needed(branches: Sequence[Sequence[jsonschema_rs.ValidationError]]) -> Iterator[str]:
    """The field that each branch of a choice needs and misses, where that is all that is wrong."""
    for errors in branches:
        names = [error.kind.as_dict().get("property") for error in errors]
        yield from (name for name in names if isinstance(name, str))


def violation_of(
    error: jsonschema_rs.ValidationError, document: JsonObject | None = None
) -> SchemaViolation:
    """An error of jsonschema-rs as a SchemaViolation. `document` has the marks of its schema."""
    facts = error.kind.as_dict()
    limit = next((facts[name] for name in _LIMITS if name in facts), None)
    if error.kind.name in {"anyOf", "oneOf"}:
        limit = list(_needed(facts.get("context", ())))
    return SchemaViolation(
        tuple(error.instance_path),
        error.kind.name,
        error.message,
        limit,
        _is_inferred(document, error.schema_path),
        _marks(document, error.schema_path) if error.kind.name == "contains" else None,
        _condition(document, error.schema_path),
    )


def _condition(
    document: JsonObject | None, path: Sequence[str | int]
) -> tuple[tuple[str, Mapping[str, str]], ...]:
    """The places that the `if` names of whose `then` a path goes through; none within a member."""
    turns = {"then", "properties", "items", "contains"}
    at = next((at for at, part in enumerate(path) if part in turns), None)
    if at is None or path[at] != "then":
        return ()
    node = find_value(document, path[:at])
    return tuple(_demanded(node.get("if", {}))) if isinstance(node, dict) else ()


def _demanded(schema: JsonObject) -> Iterator[tuple[str, Mapping[str, str]]]:
    members = schema.get("properties", {})
    for name, one in members.items():
        if "contains" in one:
            yield name, _constants(one["contains"])
    for name in schema.get("required", ()):
        inner = [*_demanded(members.get(name, {}))]
        yield from (
            ((f"{name}.{place}", marks) for place, marks in inner) if inner else ((name, {}),)
        )


def _constants(schema: JsonObject) -> Mapping[str, str]:
    """The members of an object that can have one value only, with these."""
    members = schema.get("properties", {})
    return {name: one["const"] for name, one in members.items() if "const" in one}


def _marks(document: JsonObject | None, path: Sequence[str | int]) -> Mapping[str, str]:
    """The members, with their values, of the items that a list must contain."""
    node = find_value(document, path)
    return _constants(node) if isinstance(node, dict) else {}


NAMED_DEPTH: Final = len(("components", "schemas", "name"))
"""How deep in a document a named schema lies. Its own mark is not about its limits."""


def _is_inferred(document: JsonObject | None, path: Sequence[str | int]) -> bool:
    """Whether a schema, or one around it below its named one, is marked as inferred."""
    around = (find_value(document, path[:depth]) for depth in range(NAMED_DEPTH + 1, len(path) + 1))
    return any(isinstance(one, dict) and one.get("x-polyreel-mark") == "inferred" for one in around)
