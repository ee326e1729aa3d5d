"""The quick check of a shared request: by its JSON Schema, without the pydantic model.

The schema and the model are made from the same spec. Planning needs the schema validator anyway,
and importing pydantic takes longer than all the rest of a first plan. So the model is imported
only where the quick check does not accept a request: the model decides, and says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

from ..mapping.workflows import REQUESTS, Kind
from ..places import JsonObject
from ..providers.base.contract import Contract
from ..providers.base.schemas import compiled_schema

if TYPE_CHECKING:
    import jsonschema_rs

MAX_DEPTH: Final = 64
"""How deeply the values of a request may be nested."""
SURROGATES: Final = re.compile("[\ud800-\udfff]")
"""Halves of characters, which no JSON can carry."""


def read_quickly(request: JsonObject, kind: Kind) -> JsonObject | None:
    """A copy of a request, ordered like its schema; None where the model has to decide."""
    schema = REQUESTS[kind]
    plain: JsonObject = {}
    try:
        for name, order in _in_order(schema, tuple(request)):
            value = request[name]
            of = type(value)
            is_plain = of is int or of is bool or (of is str and value.isascii())
            plain[name] = value if is_plain else _copied(value, order)
    except (_UncertainError, KeyError):
        return None
    return None if _shared().accepts(schema, plain) else plain


def is_plain_text(text: str) -> bool:
    """Whether the schema decides alone what is a text. Beyond ASCII, which characters are blank is
    another list in every library.
    """
    return text.isascii() or bool(text.strip() and not SURROGATES.search(text))


@cache
def value_check(kind: Kind, name: str) -> jsonschema_rs.Validator:
    """What the schema of requests says of one field. It says nothing of several together."""
    contract = _shared()
    described = contract.schema(REQUESTS[kind])["properties"][name]
    return compiled_schema(contract.document, described)


@cache
def _shared() -> Contract:
    return Contract.load("polyreel")


class _UncertainError(Exception):
    """The schema and the model may read a value in different ways."""


@lru_cache(maxsize=1000)
def _in_order(
    schema: str, names: tuple[str, ...]
) -> tuple[tuple[str, tuple[str, ...] | None], ...]:
    """The fields of these names in the order of a schema; KeyError for any that it has not.

    Remembered, because most requests of a program set the same fields. An error is not.
    """
    fields = _ordered_fields(schema)
    return tuple((name, fields[name][1]) for name in sorted(names, key=fields.__getitem__))


@cache
def _ordered_fields(schema: str) -> Mapping[str, tuple[int, tuple[str, ...] | None]]:
    """The place of each field in a schema, with the fields of the objects in it, if any.

    A field of fractions is left out: the model makes `1.0` of `1`, and JSON Schema does not.
    """
    contract = _shared()
    found: dict[str, tuple[int, tuple[str, ...] | None]] = {}
    for name, described in contract.schema(schema)["properties"].items():
        resolved = contract.resolve(described)
        if resolved.get("type") != "number":
            items = resolved.get("items", {})
            options = map(contract.resolve, items.get("anyOf", (items,)))
            objects = (tuple(one["properties"]) for one in options if "properties" in one)
            found[name] = len(found), next(objects, None)
    return found


def _copied(value: Any, order: tuple[str, ...] | None = None, depth: int = 1) -> Any:
    """A copy of a JSON value; `order` is the order of the fields of the objects in it.

    _UncertainError is raised where the schema and the model could read it in different ways, or
    where it is not plain JSON. JSON Schema takes 5.0 for a whole number. Which characters are blank
    is another list in every library, beyond ASCII.
    """
    kind = type(value)
    if kind is str:
        if is_plain_text(value):
            return value
    elif kind is int or kind is bool:
        return value
    elif depth < MAX_DEPTH and kind is list:
        return [_copied(item, order, depth + 1) for item in value]
    elif depth < MAX_DEPTH and kind is dict and all(map(_is_name, value)):
        names = value if order is None else [name for name in order if name in value]
        if len(names) == len(value):
            return {name: _copied(value[name], None, depth + 1) for name in names}
    raise _UncertainError


def _is_name(name: object) -> bool:
    return type(name) is str and name.isascii()
