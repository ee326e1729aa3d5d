"""Makes a vendor's own OpenAPI document into the contract that polyreel reads.

What a contract needs and the document does not say is proposed, and marked with TODO.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any, Final

from attrs import Factory, define

from ..errors import RequestError
from ..places import Json, JsonObject
from ..providers.base.contract import Contract, Operation
from ..providers.base.refusals import NOT_ACCEPTED
from ..providers.base.schemas import SCHEMAS
from ..providers.base.specified import snake
from . import matching

TODO: Final = "TODO: "
LINK: Final = "https://files.example/1.mp4"
"""The example of a link to a file."""
MOST_DEPTH: Final = 8
METHODS: Final = ("get", "post", "put", "patch", "delete")
CREATING: Final = frozenset(
    (
        "generate",
        "generation",
        "generations",
        "create",
        "video",
        "videos",
        "image",
        "images",
        "clip",
        "clips",
        "task",
    )
)
"""Words in the path or the id of a call that makes something."""
ASKING: Final = frozenset(
    ("task", "tasks", "status", "job", "jobs", "get", "result", "generation", "generations")
)
"""Words in the path or the id of a status query."""
ERRORS: Final = {
    400: "invalid_request",
    401: "unauthorized",
    402: "insufficient_credits",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    422: "unprocessable",
    429: "rate_limited",
    500: "server_error",
}
"""The name of the example of an error, by HTTP status."""


@define
class Draft:
    """A contract that is being made."""

    document: JsonObject
    creates: list[str] = Factory(list)
    """The ids of the operations that make clips or images."""
    get: str = ""
    """The id of the status query."""
    left_out: list[str] = Factory(list)
    """The operations that were left out of the contract; a person should check them."""

    @property
    def contract(self) -> Contract:
        """The contract, as polyreel reads it."""
        return Contract(self.document)


def drafted(document: Json) -> Draft:
    """Draft the contract of an OpenAPI document; RequestError with the reason where none fits."""
    _check_usable(document)
    copy: JsonObject = json.loads(json.dumps(document))
    copy["openapi"] = "3.1.0"
    copy.setdefault("components", {}).setdefault("schemas", {})
    _modernize(copy)
    if not str((copy.get("servers") or [{}])[0].get("url", "")).startswith("https://"):
        copy["servers"] = [
            {"url": "https://api.example", "description": TODO + "the vendor's base URL"}
        ]
    for path, method, operation in _operations(copy):
        _complete_operation(copy, path, method, operation)
    draft = Draft(copy)
    _choose_operations(draft)
    return draft


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
        if node.pop("nullable", None) is True and isinstance(node.get("type"), str):
            moved = [key for key in node if key not in {"description", "default"}]
            node["anyOf"] = [{key: node.pop(key) for key in moved}, {"type": "null"}]
        for bound, strict in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if isinstance(node.get(strict), bool) and node.pop(strict) and bound in node:
                node[strict] = node.pop(bound)
        if "schema" in node and "example" in node:
            example = {"value": node.pop("example")}
            node["examples"] = {"example": example, **node.get("examples", {})}


def _operations(document: JsonObject) -> Iterator[tuple[str, str, JsonObject]]:
    """Every operation with its path and method; it gets the parameters of its path."""
    for path, item in document["paths"].items():
        shared = item.pop("parameters", []) if isinstance(item, dict) else []
        for method in METHODS:
            operation = item.get(method) if isinstance(item, dict) else None
            if isinstance(operation, dict):
                operation["parameters"] = [*shared, *operation.get("parameters", [])]
                operation.setdefault("responses", {"200": {"description": "OK"}})
                yield path, method, operation


def _complete_operation(
    document: JsonObject, path: str, method: str, operation: JsonObject
) -> None:
    """Give an operation an id and its body a named schema; keep only replies with a status."""
    contract = Contract(document)
    words = [word for word in snake(re.sub(r"[{}]", "", path)).split("_") if word]
    operation.setdefault("operationId", method + "".join(map(str.capitalize, words)))
    responses = {str(status): reply for status, reply in operation["responses"].items()}
    operation["responses"] = {
        status: reply for status, reply in responses.items() if re.fullmatch(r"\d{3}", status)
    }
    for reply in operation["responses"].values():
        for media in contract.resolve(reply).get("content", {}).values():
            examples = media.get("examples", {}).items()
            media["examples"] = {name: one for name, one in examples if isinstance(one, dict)}
    if "$ref" in operation.get("requestBody", {}):
        body = contract.resolve(operation["requestBody"])
        operation["requestBody"] = json.loads(json.dumps(body))
    media = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if media and "schema" in media:
        media["schema"] = _with_named_schemas(document, operation["operationId"], media["schema"])


def _with_named_schemas(document: JsonObject, name: str, schema: JsonObject) -> JsonObject:
    """A body's schema as references to named schemas, one for each form of the body."""
    named = document["components"]["schemas"]
    whole = Contract(document).resolve(schema)
    options = whole.get("oneOf") or whole.get("anyOf")
    if options and "properties" not in whole:
        kept = {key: whole[key] for key in ("discriminator", "description") if key in whole}
        parts = [
            _with_named_schemas(document, f"{name}{number}", option)
            for number, option in enumerate(options, 1)
        ]
        return {"oneOf": parts, **kept}
    if "allOf" not in whole and "$ref" in schema:
        return {"$ref": schema["$ref"]}
    title = name[:1].upper() + name[1:] + "Body"
    named[title] = _merged(Contract(document), whole)
    return {"$ref": SCHEMAS + title}


def _merged(contract: Contract, schema: JsonObject) -> JsonObject:
    """One object schema for an object schema and all parts of its `allOf`."""
    properties: JsonObject = {}
    required: list[str] = []
    own = {key: value for key, value in schema.items() if key != "allOf"}
    for part in [*schema.get("allOf", ()), own]:
        plain = contract.resolve(part)
        plain = _merged(contract, plain) if "allOf" in plain else plain
        properties |= plain.get("properties", {})
        required += [name for name in plain.get("required", ()) if name not in required]
    kept = {key: own[key] for key in own if key not in {"properties", "required"}}
    merged = {**kept, "type": "object", "properties": properties}
    return {**merged, "required": required} if required else merged


# -- which operations matter ---------------------------------------------------------------------


def _choose_operations(draft: Draft) -> None:
    """Give the operations that polyreel needs their roles, and leave the others out."""
    every = list(draft.contract.operations.values())
    creates = [one for one in every if one.role == "create"] or [
        one for one in every if _may_create(draft.contract, one)
    ]
    if not creates:
        reason = "no POST with a JSON body takes a prompt or an image, so nothing can be made"
        raise RequestError([f"the spec: {reason}"])
    queries = [one for one in every if one.method == "GET" and one.path.count("{") == 1]
    queries = [one for one in queries if one.role == "get"] or queries
    if not queries:
        reason = "no GET has one id in its path, so that no job can be asked for"
        raise RequestError([f"the spec: {reason}"])
    best = max(queries, key=lambda one: _nearness(one, creates[0]))
    draft.creates, draft.get = [one.id for one in creates], best.id
    for one in every:
        if one in creates or one is best:
            _add_facts(draft, one, "get" if one is best else "create")
        elif not one.role:
            draft.left_out.append(f"{one.method} {one.path}")
            del draft.document["paths"][one.path][one.method.lower()]
    draft.document["paths"] = {path: item for path, item in draft.document["paths"].items() if item}


def _may_create(contract: Contract, operation: Operation) -> bool:
    """Whether a call may make a clip or an image."""
    if operation.method != "POST" or not operation.request_schemas:
        return False
    names = {name for schema in operation.request_schemas for name in contract.properties(schema)}
    shared = {one for name in names for one in matching.candidates(name)}
    return bool(_words(operation) & CREATING) and bool(
        shared & {"prompt", "first_frame", "source_video"}
    )


def _words(operation: Operation) -> set[str]:
    return {*snake(operation.path).split("_"), *snake(operation.id).split("_")}


def _nearness(query: Operation, create: Operation) -> tuple[int, int]:
    """How likely a query asks for what a call has made: by their paths, then by its words."""
    ours, theirs = query.path.split("/"), create.path.split("/")
    pairs = zip(ours, theirs, strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return same - len(ours), len(_words(query) & ASKING)


def _add_facts(draft: Draft, operation: Operation, role: str) -> None:
    """Add what polyreel needs to know of an operation, and examples of its errors."""
    spec = draft.document["paths"][operation.path][operation.method.lower()]
    spec["x-polyreel-role"] = role
    if role == "create":
        spec.setdefault("x-polyreel-idempotency", _idempotency(draft.contract, spec))
        known = sorted(int(status) for status in spec["responses"] if int(status) in NOT_ACCEPTED)
        spec.setdefault("x-polyreel-not-accepted", known or sorted(NOT_ACCEPTED))
    for status, reply in spec["responses"].items():
        for media in draft.contract.resolve(reply).get("content", {}).values():
            if int(status) >= 400 and "schema" in media:
                _add_error_example(
                    draft.contract, media, ERRORS.get(int(status), f"error_{status}")
                )


def _idempotency(contract: Contract, spec: JsonObject) -> JsonObject:
    """Whether a repeated call is billed again, guessed from the names of its headers."""
    for parameter in map(contract.resolve, spec["parameters"]):
        if parameter.get("in") == "header" and re.search(
            r"idempot|request-?(key|id)", parameter["name"], re.IGNORECASE
        ):
            question = "does a repeat with this header give the first task, unbilled (replay)?"
            source = f"{TODO}{question} Guessed from its name"
            return {"mode": "replay", "header": parameter["name"], "source": source}
    return {"mode": "none", "source": TODO + "is there a header that makes a repeated call safe?"}


# -- examples ------------------------------------------------------------------------------------


def _add_error_example(contract: Contract, media: JsonObject, name: str) -> None:
    """Add an error's example under the name that polyreel looks for.

    It is the document's own where there is one, else a value that is made from the schema.
    """
    examples = media.setdefault("examples", {})
    if name not in examples:
        own = next(iter(examples.values()), None)
        examples[name] = own or made_example(sample(contract, media["schema"]))
    examples.pop("example", None)


def made_example(value: Json) -> JsonObject:
    """An example whose value was made from a schema, to be replaced by a person."""
    return {"summary": f"{TODO}a real one; this was made from the schema", "value": value}


def sample(contract: Contract, schema: JsonObject, depth: int = 0) -> Any:
    """A value that fits a schema: its own example or default, else a plain value."""
    node = contract.resolve(schema)
    for key in ("example", "const", "default"):
        if key in node:
            return node[key]
    for key in ("examples", "enum"):
        if isinstance(node.get(key), list) and node[key]:
            return node[key][0]
    if "allOf" in node:
        node = _merged(contract, node)
    for key in ("anyOf", "oneOf"):
        if node.get(key):
            return sample(contract, node[key][0], depth + 1)
    return _plain(contract, node, depth)


def _plain(contract: Contract, node: JsonObject, depth: int) -> Any:
    kind = node.get("type", "object" if "properties" in node else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        members = node.get("properties", {}).items() if depth < MOST_DEPTH else ()
        return {name: sample(contract, child, depth + 1) for name, child in members}
    if kind == "array":
        return [sample(contract, node.get("items", {}), depth + 1)] if depth < MOST_DEPTH else []
    if kind in {"integer", "number"}:
        return node.get("minimum", 0)
    if kind in {"boolean", "null"}:
        return False if kind == "boolean" else None
    return LINK if node.get("format") == "uri" else "text"
