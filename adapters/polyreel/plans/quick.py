"""The quick check of a shared request: by its JSON Schema, without the pydantic model.

The schema and the model are made from the same spec. Planning needs the schema validator anyway,
and importing pydantic takes longer than all the rest of a first plan. So the model is imported
only where the quick check does not accept a request: the model decides, and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from ..mapping.workflows import REQUESTS, Kind
from ..places import JsonObject
from ..providers.base.contract import Contract


def read_quickly(request: JsonObject, kind: Kind) -> JsonObject | None:
    """A copy of a request, ordered like its schema; None where the model has to decide.

    The request has to be plain JSON without nulls.
    """
    schema = REQUESTS[kind]
    fields = _ordered_fields(schema)
    if not all(name in fields and _reads_alike(value) for name, value in request.items()):
        return None
    if Contract.load("polyreel").accepts(schema, request):
        return None
    return {name: _copied(request[name], fields[name]) for name in fields if name in request}


@cache
def _ordered_fields(schema: str) -> Mapping[str, tuple[str, ...] | None]:
    """The fields of a schema in order, each with the fields of the objects in it, if any.

    A field of fractions is left out: the model makes `1.0` of `1`, and JSON Schema does not.
    """
    contract = Contract.load("polyreel")
    found: dict[str, tuple[str, ...] | None] = {}
    for name, field in contract.schema(schema)["properties"].items():
        resolved = contract.resolve(field)
        if resolved.get("type") != "number":
            items = resolved.get("items", {})
            options = map(contract.resolve, items.get("anyOf", (items,)))
            objects = (tuple(one["properties"]) for one in options if "properties" in one)
            found[name] = next(objects, None)
    return found


def _reads_alike(value: object) -> bool:
    """Whether the schema and the model certainly read a value alike.

    JSON Schema takes 5.0 for a whole number. Which characters are blank is another list in every
    library, beyond ASCII.
    """
    if isinstance(value, str):
        return value.isascii() or value.strip() != ""
    if isinstance(value, dict):
        return all(map(_reads_alike, value.values()))
    if isinstance(value, list):
        return all(map(_reads_alike, value))
    return not isinstance(value, float)


def _copied(value: Any, order: tuple[str, ...] | None = None) -> Any:
    """A copy of a JSON value; `order` is the order of the fields of the objects in it."""
    if isinstance(value, list):
        return [_copied(item, order) for item in value]
    if isinstance(value, dict):
        names = value if order is None else [name for name in order if name in value]
        return {name: _copied(value[name]) for name in names}
    return value
