"""Makes a published OpenAPI document into one that a `Contract` can read: 3.1, with named bodies.

Nothing is added to what the document says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from ..errors import RequestError
from ..places import Json, JsonObject
from ..providers.base.contract import Contract
from ..providers.base.schemas import SCHEMAS
from ..providers.base.specified import snake
from .plain import merged, schema_of

METHODS: Final = ("get", "post", "put", "patch", "delete")
MOST_DEPTH: Final = 8
MOST_MEMBERS: Final = 40
USUAL_ERRORS: Final = ("400", "401", "402", "404", "429")
"""The HTTP statuses that get what a document says of all errors."""
ROOMS: Final = ("schemas", "responses", "parameters", "examples", "requestBodies", "headers")
"""The parts of `components` that can be left out where nothing refers to them."""


def published(document: Json) -> JsonObject:
    """A copy of a document, in the form that contracts have; RequestError where it has none."""
    _check_usable(document)
    copy: JsonObject = json.loads(json.dumps(document, default=str))
    copy["openapi"] = "3.1.0"
    copy.setdefault("components", {}).setdefault("schemas", {})
    _modernize(copy)
    seen: set[str] = set()
    for path, method, operation in _operations(copy):
        _complete_operation(copy, path, method, operation)
        while operation["operationId"] in seen:
            operation["operationId"] += "Too"
        seen.add(operation["operationId"])
    for name in [
        one for call in Contract(copy).operations.values() for one in call.request_schemas
    ]:
        _flatten(Contract(copy), copy["components"]["schemas"][name])
    return copy


def _check_usable(document: Json) -> None:
    paths = document.get("paths") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(paths, dict) or not paths:
        raise RequestError(["the spec: not an OpenAPI document with paths"])
    version = str(document.get("openapi", document.get("swagger", "none")))
    if not re.fullmatch(r"3\.[01](\.\d+)?", version):
        raise RequestError([f"the spec: OpenAPI {version}; 3.0 and 3.1 are read"])
    for node in _nodes(document):
        if isinstance(target := node.get("$ref"), str) and not target.startswith("#/"):
            reason = "is outside the file; bundle it first"
            raise RequestError([f"the spec: $ref {target[:100]} {reason}"])


def _nodes(value: Json) -> Iterator[JsonObject]:
    """Every object in a JSON value, outer ones first."""
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from _nodes(member)
    elif isinstance(value, list):
        for item in value:
            yield from _nodes(item)


def _modernize(document: JsonObject) -> None:
    """Replace the keywords of OpenAPI 3.0 by those of 3.1."""
    for node in _nodes(document):
        nullable = isinstance(node.get("nullable"), bool) and node.pop("nullable")
        if nullable and "properties" in node:
            node["type"] = ["object", "null"]
        elif nullable and isinstance(node.get("type"), str):
            moved = [key for key in node if key not in {"description", "default"}]
            node["anyOf"] = [{key: node.pop(key) for key in moved}, {"type": "null"}]
        for bound, strict in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if isinstance(node.get(strict), bool) and node.pop(strict) and bound in node:
                node[strict] = node.pop(bound)
        if isinstance(node.get("schema"), dict) and "example" in node:
            example = {"value": node.pop("example")}
            node["examples"] = {"example": example, **node.get("examples", {})}
        if isinstance(node.get("examples"), list) and "value" not in node.get("properties", {}):
            node["examples"] = [_bare(one) for one in node["examples"]]


def _bare(example: Json) -> Json:
    """The value of a schema's example that is written like one of a body."""
    names = set(example) if isinstance(example, dict) else set()
    is_wrapped = "value" in names and names <= {"summary", "description", "value"}
    return example["value"] if isinstance(example, dict) and is_wrapped else example


def _operations(document: JsonObject) -> Iterator[tuple[str, str, JsonObject]]:
    """Every operation with its path and method; it gets the parameters and servers of its path."""
    contract = Contract(document)
    for path, item in document["paths"].items():
        item = item if isinstance(item, dict) else {}  # noqa: PLW2901
        shared, servers = item.pop("parameters", []), item.pop("servers", None)
        for method in METHODS:
            if isinstance(operation := item.get(method), dict):
                every = [*shared, *operation.get("parameters", [])]
                operation["parameters"] = [{**contract.resolve(one)} for one in every]
                operation.setdefault("responses", {"200": {"description": "OK"}})
                if servers:
                    operation.setdefault("servers", servers)
                yield path, method, operation


def _complete_operation(
    document: JsonObject, path: str, method: str, operation: JsonObject
) -> None:
    """Give an operation an id and its body a named schema; keep only replies with a status."""
    contract = Contract(document)
    words = [word for word in snake(re.sub(r"[{}]", "", path)).split("_") if word]
    operation.setdefault("operationId", method + "".join(map(str.capitalize, words)))
    operation["responses"] = _by_status(contract, operation["responses"])
    for reply in operation["responses"].values():
        for media in _json_first(contract.resolve(reply)).values():
            shown = media.get("examples") or _of_schema(contract, media)
            media["examples"] = {name: one for name, one in shown.items() if isinstance(one, dict)}
    if "$ref" in operation.get("requestBody", {}):
        body = contract.resolve(operation["requestBody"])
        operation["requestBody"] = json.loads(json.dumps(body))
    media = _json_first(operation.get("requestBody", {})).get("application/json")
    if media and "schema" in media:
        media["examples"] = media.get("examples") or _of_schema(contract, media)
        name = re.sub(r"\W", "", operation["operationId"])
        parts = _named_schemas(document, name[:1].upper() + name[1:], media["schema"])
        media["schema"] = parts[0] if len(parts) == 1 else {"oneOf": parts}


def _of_schema(contract: Contract, media: JsonObject) -> JsonObject:
    """The examples of a body's schema, for a body that has none of its own."""
    shown = contract.resolve(media.get("schema", {})).get("examples", ())
    whole = [one for one in shown if isinstance(one, dict)] if isinstance(shown, list) else []
    return {f"example_{number}": {"value": one} for number, one in enumerate(whole, 1)}


def _by_status(contract: Contract, responses: JsonObject) -> JsonObject:
    """The replies by HTTP status; those for all other errors stand at the usual ones."""
    every = {str(status).upper(): reply for status, reply in responses.items()}
    found = {status: reply for status, reply in every.items() if re.fullmatch(r"\d{3}", status)}
    others = every.get("4XX", every.get("DEFAULT"))
    if others is not None and "content" in contract.resolve(others):
        for status in USUAL_ERRORS:
            found.setdefault(status, json.loads(json.dumps(contract.resolve(others))))
    if success := every.get("2XX"):
        found.setdefault("200", success)
    return found


def _json_first(holder: JsonObject) -> JsonObject:
    """The content of a body or a reply; JSON with parameters, such as a charset, is plain JSON."""
    content: JsonObject = holder.get("content", {})
    for kind in [one for one in content if one.startswith("application/json;")]:
        content.setdefault("application/json", content.pop(kind))
    return content


def _named_schemas(document: JsonObject, name: str, schema: JsonObject) -> list[JsonObject]:
    """References to named schemas, one for each form of a body."""
    named = document["components"]["schemas"]
    whole = Contract(document).resolve(schema)
    options = whole.get("oneOf") or whole.get("anyOf")
    if options and "properties" not in whole:
        parts = []
        for number, option in enumerate(options, 1):
            title = str(option.get("title", ""))
            own = "".join(word.capitalize() for word in re.findall(r"[A-Za-z0-9]+", title))
            parts += _named_schemas(document, name + (own or str(number)), option)
        return parts
    if "allOf" not in whole and "$ref" in schema:
        return [{"$ref": schema["$ref"]}]
    title = next(one for one in _titles(f"{name}Body") if one not in named)
    named[title] = merged(Contract(document), whole)
    return [{"$ref": SCHEMAS + title}]


def _titles(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}{number}" for number in range(2, 1000))


def _flatten(contract: Contract, schema: JsonObject, depth: int = 0) -> None:
    """Make members that are an object, or null, or one part of a choice, plain objects."""
    for name, child in schema.get("properties", {}).items():
        plain = schema_of(contract, child)
        if "properties" not in plain or depth > MOST_DEPTH:
            continue
        if len(plain["properties"]) > MOST_MEMBERS:
            continue  # options for many others; nobody maps them one by one
        if "properties" not in contract.resolve(child):
            kept = {key: plain[key] for key in plain if key not in {"anyOf", "oneOf", "allOf"}}
            options = [contract.resolve(one) for one in child.get("anyOf", child.get("oneOf", ()))]
            null = any(one.get("type") == "null" for one in options)
            kind = {"type": ["object", "null"]} if null else {"type": "object"}
            plain = schema["properties"][name] = json.loads(json.dumps({**kept, **kind}))
        else:
            plain = contract.resolve(child)
        _flatten(contract, plain, depth + 1)


def without_unused(document: JsonObject) -> None:
    """Drop the parts of `components` that no call, and no webhook, refers to."""
    components = document["components"]
    used: set[str] = set()
    roots = [value for key, value in document.items() if key != "components"]
    waiting = [target for root in roots for target in _references(root)]
    contract = Contract(document)
    while waiting:
        target = waiting.pop()
        if target not in used:
            used.add(target)
            waiting += _references(contract.resolve({"$ref": target}))
    for room in ROOMS:
        kept = {
            name: value
            for name, value in components.get(room, {}).items()
            if any(
                one == (at := f"#/components/{room}/{name}") or one.startswith(f"{at}/")
                for one in used
            )
        }
        if room in components:
            components[room] = kept
        if room != "schemas" and not kept:
            components.pop(room, None)


def _references(value: Json) -> Iterator[str]:
    for node in _nodes(value):
        if isinstance(target := node.get("$ref"), str):
            yield target
        mapping = node.get("discriminator")
        targets = mapping.get("mapping", {}) if isinstance(mapping, dict) else {}
        yield from (one for one in targets.values() if str(one).startswith("#/"))


__all__ = ["published", "without_unused"]
