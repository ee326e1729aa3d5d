"""JSON schemas, compiled: the one place where jsonschema-rs is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from ...places import Json, JsonObject

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


def compiled_schemas(document: JsonObject, *, formats: bool) -> jsonschema_rs.ValidatorMap:
    """The named schemas of a document, compiled; `formats` says whether formats are checked."""
    import jsonschema_rs  # noqa: PLC0415

    return jsonschema_rs.validator_map_for(_named_schemas(document), validate_formats=formats)


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


def violation_of(error: jsonschema_rs.ValidationError) -> SchemaViolation:
    """An error of jsonschema-rs as a SchemaViolation."""
    facts = error.kind.as_dict()
    limit = next((facts[name] for name in _LIMITS if name in facts), None)
    return SchemaViolation(tuple(error.instance_path), error.kind.name, error.message, limit)
