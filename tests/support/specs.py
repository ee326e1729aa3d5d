"""The specs as the tests see them: their text, their data, and walks over their schemas."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

import yaml
from polyreel.places import JsonObject
from polyreel.providers.base.contract import Contract, Operation
from polyreel.providers.base.schemas import SCHEMAS

from .paths import SPECS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHARED: Final = "polyreel"
"""The spec of the shared model."""
GATEWAY: Final = "gateway"
"""The spec of the gateway's own APIs, which tests of the gateway look at."""

ALL: Final = sorted(path.stem for path in SPECS.glob("*.yaml"))
NAMES: Final = [name for name in ALL if name != GATEWAY]
"""The specs that clients and models are made from."""
VENDORS: Final = [name for name in NAMES if name != SHARED]
"""The specs of vendors."""

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

_MAPS: Final = ("properties", "patternProperties", "$defs", "dependentSchemas")
_LISTS: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLES: Final = (
    *("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"),
    *("unevaluatedItems", "unevaluatedProperties"),
)


class Reader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads YAML 1.2: its core schema, in which no word is a switch and no text a date."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"null|Null|NULL|~|", "nN~"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    _whole = re.compile(f"(?:{_pattern})$")
    Reader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _whole, [*_first, ""])


def files(name: str) -> list[Path]:
    """The files of one spec: its own, and those of its folder."""
    return [SPECS / f"{name}.yaml", *sorted((SPECS / name).glob("*.yaml"))]


@cache
def text(name: str) -> str:
    """The text of one spec; bundled, where it has several files."""
    first, *others = (path.read_text(encoding="utf-8") for path in files(name))
    if not others:
        return first
    document = json.loads(json.dumps(parse(first)))
    for part in map(parse, others):
        _add(document, json.loads(json.dumps(part)))
    return json.dumps(document, ensure_ascii=False, indent=1)


def _add(known: JsonObject, more: JsonObject) -> None:
    for name, value in more.items():
        if name not in known:
            known[name] = value
        elif isinstance(value, dict):
            _add(known[name], value)
        else:
            known[name] += value


@cache
def parse(source: str) -> JsonObject:
    """A YAML 1.2 text as plain data; callers must not change it."""
    try:
        document = json.loads(source)  # a bundled spec, which a parser of YAML takes seconds for
    except json.JSONDecodeError:
        document = yaml.load(source, Loader=Reader)
    assert isinstance(document, dict)
    return document


@cache
def contract(name: str) -> Contract:
    """One spec as polyreel reads it."""
    return Contract(parse(text(name)))


def operations(document: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """Every operation below `paths`, with its pointer."""
    for path, item in document.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def nodes(node: Any, at: str = "#") -> Iterator[tuple[str, JsonObject]]:
    """Every mapping of a document outside schemas, extensions and example values, with its
    pointer.
    """
    if isinstance(node, dict):
        yield at, node
        for key, child in node.items():
            if key not in {"schema", "schemas", "value", "example"} and not str(key).startswith(
                "x-"
            ):
                yield from nodes(child, f"{at}/{key}")
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from nodes(child, f"{at}/{index}")


def below(schema: Any, at: str) -> Iterator[tuple[str, Any]]:
    """A schema and all its parts, with their pointers; references are not followed."""
    yield at, schema
    if not isinstance(schema, dict):
        return
    for key in _MAPS:
        for name, child in schema.get(key, {}).items():
            yield from below(child, f"{at}/{key}/{name}")
    for key in _LISTS:
        for index, child in enumerate(schema.get(key, ())):
            yield from below(child, f"{at}/{key}/{index}")
    for key in _SINGLES:
        if key in schema:
            yield from below(schema[key], f"{at}/{key}")


def schemas(document: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """Every schema of a document that is an object, however deep, with its pointer."""
    roots = [
        (SCHEMAS + name, schema)
        for name, schema in document.get("components", {}).get("schemas", {}).items()
    ]
    roots += [(f"{at}/schema", node["schema"]) for at, node in nodes(document) if "schema" in node]
    for at, root in roots:
        for place, schema in below(root, at):
            if isinstance(schema, dict):
                yield place, schema


def received(document: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """Every schema of what a vendor sends (replies, stream events, callbacks, webhooks), references
    followed.
    """
    reader, seen = Contract(document), set[str]()
    waiting = [
        (at, node["schema"])
        for at, node in nodes(document)
        if "schema" in node
        and ("/responses/" in at or "/callbacks/" in at or at.startswith("#/webhooks/"))
    ]
    # The list grows while it is walked: what a reference names is read once, after what names it.
    for at, root in waiting:
        for place, schema in below(root, at):
            if not isinstance(schema, dict):
                continue
            yield place, schema
            for target in (schema.get("$ref"), schema.get("x-polyreel-event")):
                if target and target not in seen:
                    seen.add(target)
                    waiting.append((target, reader.resolve({"$ref": target})))


def json_body(operation: Operation) -> JsonObject | None:
    """The media type object of an operation's JSON body."""
    found: JsonObject | None = (
        operation.spec.get("requestBody", {}).get("content", {}).get("application/json")
    )
    return found


def chosen(reader: Contract, operation: Operation, body: JsonObject) -> list[str]:
    """The request schemas that a body chooses: by its discriminator, else those that accept it."""
    media = json_body(operation)
    assert media
    discriminator = media["schema"].get("discriminator", {})
    if (word := body.get(discriminator.get("propertyName"))) is not None:
        return [discriminator["mapping"][word].removeprefix(SCHEMAS)]
    if operation.slashed is not None:  # the path says it
        named = [name for name, one in operation.request_examples.items() if one is body]
        path = operation.example_paths[named[0]] if named else operation.path
        return list(reader.schemas_at(operation, path))
    return [name for name in operation.request_schemas if not reader.accepts(name, body)]
