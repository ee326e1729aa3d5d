"""The parts of the contracts of invented vendors."""

from __future__ import annotations

from typing import Any, Final

JSON: Final = "application/json"
LINK: Final = "https://example.com/a.png"


def answer(schema: str, **examples: Any) -> dict[str, Any]:
    """One documented answer."""
    shown = {name: {"value": value} for name, value in examples.items()}
    return {
        "description": schema,
        "content": {
            JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}, "examples": shown}
        },
    }


def parameter(name: str, place: str, **more: Any) -> dict[str, Any]:
    """A parameter that takes text."""
    schema = more.pop("schema", {"type": "string"})
    return {"name": name, "in": place, "required": True, "schema": schema, **more}


def request(*schemas: str, **examples: Any) -> dict[str, Any]:
    """The body of a paid call."""
    references = [{"$ref": f"#/components/schemas/{one}"} for one in schemas]
    shown = {name: {"value": value} for name, value in examples.items()}
    schema = references[0] if len(references) == 1 else {"oneOf": references}
    return {"required": True, "content": {JSON: {"schema": schema, "examples": shown}}}


def item(kind: str, **properties: Any) -> dict[str, Any]:
    """The schema of one kind of item."""
    return {
        "type": "object",
        "required": ["type", *properties],
        "properties": {
            "type": {"type": "string", "const": kind},
            "id": {"type": "string"},
            **properties,
        },
    }
