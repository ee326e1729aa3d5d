"""A vendor's own OpenAPI document, made into the contract that polyreel reads.

What a contract needs and the document does not say is proposed, and marked with TODO.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from attrs import Factory, define

from ..errors import RequestError
from ..jobs.submitting import NOT_ACCEPTED
from ..places import JsonObject
from ..providers.base.contract import Contract, Operation
from ..providers.base.schemas import SCHEMAS
from ..providers.base.specified import snake
from . import matching

TODO: Final = "TODO: "
METHODS: Final = ("get", "post", "put", "patch", "delete")
MAKING: Final = frozenset(
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
SAYING: Final = frozenset(
    ("task", "tasks", "status", "job", "jobs", "get", "result", "generation", "generations")
)
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
"""What the example of an error is called."""


@define
class Draft:
    """A contract that is being made."""

    document: JsonObject
    creates: list[str] = Factory(list)
    """The ids of the operations that make something."""
    get: str = ""
    """The id of the status query."""
    left_out: list[str] = Factory(list)
    """The operations that are not in the contract, for a person to look through."""

    @property
    def contract(self) -> Contract:
        """As polyreel reads it."""
        return Contract(self.document)


def drafted(document: Any) -> Draft:
    """The contract of a document; RequestError where it cannot become one, with the reason."""
    _usable(document)
    copy: JsonObject = json.loads(json.dumps(document))
    copy["openapi"] = "3.1.0"
    copy.setdefault("components", {}).setdefault("schemas", {})
    _modern(copy)
    if not str((copy.get("servers") or [{}])[0].get("url", "")).startswith("https://"):
        copy["servers"] = [
            {"url": "https://api.example", "description": TODO + "the vendor's base URL"}
        ]
    for path, method, operation in _operations(copy):
        _named(copy, path, method, operation)
    draft = Draft(copy)
    _choose(draft)
    return draft


def _usable(document: Any) -> None:
    if (
        not isinstance(document, dict)
        or not isinstance(document.get("paths"), dict)
        or not document["paths"]
    ):
        raise RequestError(["the spec: not an OpenAPI document with paths"])
    version = str(document.get("openapi", document.get("swagger", "none")))
    if not re.fullmatch(r"3\.[01](\.\d+)?", version):
        raise RequestError([f"the spec: OpenAPI {version}; 3.0 and 3.1 are read"])
    for node in _nodes(document):
        if isinstance(target := node.get("$ref"), str) and not target.startswith("#/"):
            raise RequestError(
                [f"the spec: $ref {target[:100]} is outside the file; bundle it first"]
            )


def _nodes(value: Any) -> Iterator[JsonObject]:
    if isinstance(value, dict):
        yield value
    for child in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from _nodes(child)


def _modern(document: JsonObject) -> None:
    """OpenAPI 3.0's ways of saying things, as 3.1 says them; in the schemas of properties."""
    for node in _nodes(document):
        if node.pop("nullable", None) is True and isinstance(node.get("type"), str):
            plain = {
                key: node.pop(key) for key in list(node) if key not in {"description", "default"}
            }
            node["anyOf"] = [plain, {"type": "null"}]
        for bound, strict in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if isinstance(node.get(strict), bool) and node.pop(strict) and bound in node:
                node[strict] = node.pop(bound)
        if "schema" in node and "example" in node:
            node["examples"] = {
                "example": {"value": node.pop("example")},
                **node.get("examples", {}),
            }


def _operations(document: JsonObject) -> Iterator[tuple[str, str, JsonObject]]:
    for path, item in document["paths"].items():
        shared = item.pop("parameters", []) if isinstance(item, dict) else []
        for method in METHODS:
            operation = item.get(method) if isinstance(item, dict) else None
            if isinstance(operation, dict):
                operation["parameters"] = [*shared, *operation.get("parameters", [])]
                operation.setdefault("responses", {"200": {"description": "OK"}})
                yield path, method, operation


def _named(document: JsonObject, path: str, method: str, operation: JsonObject) -> None:
    """An operation with an id, whose body has a named schema, and whose replies have HTTP statuses."""
    words = [word for word in snake(re.sub(r"[{}]", "", path)).split("_") if word]
    operation.setdefault("operationId", method + "".join(map(str.capitalize, words)))
    responses = {str(status): reply for status, reply in operation["responses"].items()}
    operation["responses"] = {
        status: reply for status, reply in responses.items() if re.fullmatch(r"\d{3}", status)
    }
    for reply in operation["responses"].values():
        for media in Contract(document).resolve(reply).get("content", {}).values():
            media["examples"] = {
                k: v for k, v in media.get("examples", {}).items() if isinstance(v, dict)
            }
    if "$ref" in operation.get("requestBody", {}):
        operation["requestBody"] = json.loads(
            json.dumps(Contract(document).resolve(operation["requestBody"]))
        )
    media = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if media and "schema" in media:
        media["schema"] = _referred(document, operation["operationId"], media["schema"])


def _referred(document: JsonObject, name: str, schema: JsonObject) -> JsonObject:
    """A body's schema as references to named ones, one for each form of the body."""
    named = document["components"]["schemas"]
    whole = Contract(document).resolve(schema)
    options = whole.get("oneOf") or whole.get("anyOf")
    if options and "properties" not in whole:
        kept = {key: whole[key] for key in ("discriminator", "description") if key in whole}
        parts = [
            _referred(document, f"{name}{number}", option)
            for number, option in enumerate(options, 1)
        ]
        return {"oneOf": parts, **kept}
    if "allOf" not in whole and "$ref" in schema:
        return {"$ref": schema["$ref"]}
    title = name[:1].upper() + name[1:] + "Body"
    named[title] = _merged(Contract(document), whole)
    return {"$ref": SCHEMAS + title}


def _merged(contract: Contract, schema: JsonObject) -> JsonObject:
    """One object for an object and all that it is made of."""
    properties: JsonObject = {}
    required: list[str] = []
    for part in [*schema.get("allOf", ()), {k: v for k, v in schema.items() if k != "allOf"}]:
        plain = contract.resolve(part)
        plain = _merged(contract, plain) if "allOf" in plain else plain
        properties |= plain.get("properties", {})
        required += [name for name in plain.get("required", ()) if name not in required]
    kept = {k: v for k, v in schema.items() if k not in {"allOf", "properties", "required"}}
    return {
        **kept,
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
    }


# -- which operations matter -------------------------------------------------------------------------


def _choose(draft: Draft) -> None:
    """Give the operations their roles, and leave the others out."""
    every = list(draft.contract.operations.values())
    creates = [one for one in every if one.role == "create"] or [
        one for one in every if _makes(draft.contract, one)
    ]
    if not creates:
        raise RequestError(
            [
                "the spec: no POST with a JSON body takes a prompt or an image, so nothing can be made"
            ]
        )
    queries = [one for one in every if one.method == "GET" and one.path.count("{") == 1]
    queries = [one for one in queries if one.role == "get"] or queries
    if not queries:
        raise RequestError(
            ["the spec: no GET has one id in its path, so that no job can be asked for"]
        )
    best = max(queries, key=lambda one: _nearness(one, creates[0]))
    draft.creates, draft.get = [one.id for one in creates], best.id
    for one in every:
        if one in creates or one is best:
            _described(draft, one, "get" if one is best else "create")
        elif not one.role:
            draft.left_out.append(f"{one.method} {one.path}")
            del draft.document["paths"][one.path][one.method.lower()]
    draft.document["paths"] = {path: item for path, item in draft.document["paths"].items() if item}


def _makes(contract: Contract, operation: Operation) -> bool:
    """Whether a call may make a clip or an image."""
    if operation.method != "POST" or not operation.request_schemas:
        return False
    names = {name for schema in operation.request_schemas for name in contract.properties(schema)}
    shared = {one for name in names for one in matching.candidates(name)}
    return bool(_words(operation) & MAKING) and bool(
        shared & {"prompt", "first_frame", "source_video"}
    )


def _words(operation: Operation) -> set[str]:
    return {*snake(operation.path).split("_"), *snake(operation.id).split("_")}


def _nearness(query: Operation, create: Operation) -> tuple[int, int]:
    """How likely a query is about what a call has made: by their paths, then by its words."""
    ours, theirs = query.path.split("/"), create.path.split("/")
    same = next(
        (n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
        min(len(ours), len(theirs)),
    )
    return same - len(ours), len(_words(query) & SAYING)


def _described(draft: Draft, operation: Operation, role: str) -> None:
    spec = draft.document["paths"][operation.path][operation.method.lower()]
    spec["x-polyreel-role"] = role
    if role == "create":
        spec.setdefault("x-polyreel-idempotency", _idempotency(draft.contract, spec))
        known = sorted(int(status) for status in spec["responses"] if int(status) in NOT_ACCEPTED)
        spec.setdefault("x-polyreel-not-accepted", known or sorted(NOT_ACCEPTED))
    for status, reply in spec["responses"].items():
        for media in draft.contract.resolve(reply).get("content", {}).values():
            if int(status) >= 400 and "schema" in media:
                _failing(draft.contract, media, ERRORS.get(int(status), f"error_{status}"))


def _idempotency(contract: Contract, spec: JsonObject) -> JsonObject:
    """Whether a repeated call pays again, as far as the names of its headers tell."""
    for parameter in map(contract.resolve, spec["parameters"]):
        if parameter.get("in") == "header" and re.search(
            r"idempot|request-?(key|id)", parameter["name"], re.IGNORECASE
        ):
            text = "does a repeat with this header give the first task, unbilled (replay)? Guessed from its name"
            return {"mode": "replay", "header": parameter["name"], "source": TODO + text}
    return {"mode": "none", "source": TODO + "is there a header that makes a repeated call safe?"}


# -- examples ------------------------------------------------------------------------------------------


def _failing(contract: Contract, media: JsonObject, name: str) -> None:
    """An error's example under the name that polyreel looks for: the document's own, else one made from the schema."""
    examples = media.setdefault("examples", {})
    if name not in examples:
        made = {"summary": TODO + "a real one; this was made from the schema"}
        examples[name] = next(iter(examples.values()), None) or {
            **made,
            "value": sample(contract, media["schema"]),
        }
    examples.pop("example", None)


def sample(contract: Contract, schema: JsonObject, depth: int = 0) -> Any:
    """A value of a schema: its own example or default, else something plain."""
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
        members = node.get("properties", {}).items() if depth < 8 else ()
        return {name: sample(contract, child, depth + 1) for name, child in members}
    if kind == "array":
        return [sample(contract, node.get("items", {}), depth + 1)] if depth < 8 else []
    if kind in {"integer", "number"}:
        return node.get("minimum", 0)
    plain: dict[str, Any] = {"boolean": False, "null": None}
    return plain.get(kind, "https://files.example/1.mp4" if node.get("format") == "uri" else "text")
