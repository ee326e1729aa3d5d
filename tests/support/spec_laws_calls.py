"""Conventions of a spec's rules and calls, each with texts that break it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from polyreel.places import JsonObject
from polyreel.providers.base.contract import Contract
from polyreel.providers.base.schemas import SCHEMAS

from support.spec_laws import Complaints, law, operation_law
from support.specs import nodes, parse, received, schemas

RULE_FORMS: Final = (
    {"at_most", "of", "source"},
    {"at_most", "of", "when", "source"},
    {"total", "equals", "source"},
    {"total", "equals", "default", "source"},
    {"public_https", "source"},
    {"shots", "at_most", "words", "equals", "default", "source"},
    {"shots", "at_most", "words", "equals", "default", "unless", "source"},
)
POINTERS: Final = ("total", "equals", "public_https", "shots", "unless")
RULED: Final = (
    "properties: {a: {type: array, items: {properties: {s: {}}}}, n: {}}, x-polyreel-rules:"
)


@law(
    *(
        f"components: {{schemas: {{Bad: {{{RULED} [{rule}]}}}}}}"
        for rule in (
            "{at_least: 1, of: [/a], source: s}",
            "{at_most: 1, of: [/a]}",
            "{at_most: 1, of: [/a], source: ''}",
            "{at_most: many, of: [/a], source: s}",
            "{at_most: 1, of: [/a], mark: perhaps, source: s}",
            "{at_most: 1, of: /a, source: s}",
            "{at_most: 1, of: [/b], source: s}",
            "{at_most: 1, of: ['/a/*[s=x]'], source: s}",
            "{at_most: 1, of: [/a], when: [/b], source: s}",
            "{total: /a/s, equals: /n, source: s}",
            "{total: /a/*/t, equals: /n, source: s}",
            "{total: /a/*/s, equals: /m, source: s}",
            "{public_https: url, source: s}",
            "{shots: /n, at_most: 6, words: 9, equals: /n, source: s}",
            "{shots: /m, at_most: 6, words: 9, equals: /n, default: 5, source: s}",
        )
    )
)
def wrong_rule(source: str) -> Complaints:
    """A rule has one of the forms, says where it comes from, and points at declared
    properties.
    """
    reader = Contract(parse(source))
    for at, schema in schemas(reader.document):
        for rule in schema.get("x-polyreel-rules", ()):
            yield from (f"{at}: {complaint}" for complaint in _about_rule(reader, schema, rule))


def _about_rule(reader: Contract, schema: JsonObject, rule: JsonObject) -> Complaints:
    if rule.get("mark", "inferred") != "inferred":
        yield f"{rule['mark']!r} is no mark"
    own = set(rule) - {"mark"}
    if own not in RULE_FORMS or not isinstance(rule["source"], str) or not rule["source"]:
        yield f"{rule} has none of the forms"
        return
    if not isinstance(rule.get("at_most", 0), int):
        yield f"{rule['at_most']!r} is no number"
    lists = [rule.get("of", []), rule.get("when", [])]
    if not all(isinstance(one, list) for one in lists):
        yield f"{lists} should be lists of pointers"
        return
    for pointer in [
        *lists[0],
        *lists[1],
        *(rule[key] for key in POINTERS if key in rule),
    ]:
        if not _declared(reader, schema, pointer):
            yield f"{pointer} is not declared"


def _declared(reader: Contract, schema: JsonObject, pointer: str) -> bool:
    start, *parts = pointer.split("/")
    node: Any = schema
    for part in parts:
        node = reader.resolve(node)
        if part.startswith("*["):
            name, _, value = part[2:-1].partition("=")
            forms = map(reader.resolve, reader.resolve(node.get("items", {})).get("oneOf", ()))
            node = next((one for one in forms if _constant(one, name) == value), None)
        else:
            node = node.get("items") if part == "*" else node.get("properties", {}).get(part)
        if node is None:
            return False
    return start == "" and bool(parts)


def _constant(schema: JsonObject, name: str) -> Any:
    return schema.get("properties", {}).get(name, {}).get("const")


@law(
    "{paths: {}, components: {schemas: {Unused: {x-polyreel-rules: []}}}}",
    "components: {schemas: {A: {items: {x-polyreel-rules: []}}}}\n"
    "paths: {/x: {post: {operationId: x, requestBody: {content: {application/json: "
    "{schema: {$ref: '#/components/schemas/A'}}}}}}}",
)
def rule_that_nobody_reads(source: str) -> Complaints:
    """Rules are checked where they stand on a request schema itself, and nowhere else."""
    reader = Contract(parse(source))
    read = {
        SCHEMAS + name
        for operation in reader.operations.values()
        for name in operation.request_schemas
    }
    for at, schema in schemas(reader.document):
        if "x-polyreel-rules" in schema and at not in read:
            yield at


LIFECYCLE: Final = {"queued", "running", "succeeded", "failed"}
ROLES: Final[Mapping[str, set[str]]] = {
    "create": {"queued"},
    "stream": set(),
    "get": LIFECYCLE,
    "get-fallback": LIFECYCLE,
    "batch-get": {"page"},
    "list": {"page"},
    "list-running": {"page"},
    "credits": {"credits"},
    "upload": {"uploaded"},
    "upload-base64": {"uploaded"},
    "upload-url": {"uploaded"},
    "receipt": {"receipt"},
    "content": set(),
    "result": {"succeeded"},
    "cancel": set(),
    "webhook-keys": {"keys"},
    "models": {"models"},
}
"""Every role, with the examples that its successful JSON reply must have."""

PROOF: Final = {400, 401, 402, 403, 404, 409, 413, 422, 429}
"""The only statuses that can prove that nothing was accepted (design, section 5)."""

DESCRIBED: Final = "operationId: x, tags: [tasks], summary: s, x-polyreel-role: get"


@operation_law(
    f"{{{DESCRIBED.replace('operationId: x, ', '')}}}",
    f"{{{DESCRIBED.replace('[tasks]', '[tasks, files]')}}}",
    f"{{{DESCRIBED.replace('[tasks]', '[other]')}}}",
    f"{{{DESCRIBED.replace('summary: s', 'summary: ')}}}",
    f"{{{DESCRIBED.replace('get', 'fetch')}}}",
    f"{{{DESCRIBED}, x-polyreel-read-only: true}}",
    f"{{{DESCRIBED.replace('x-polyreel-role: get', 'x-polyreel-read-only: false')}}}",
)
def undescribed(_: Contract, operation: JsonObject) -> Complaints:
    if not re.fullmatch(r"[a-z][A-Za-z0-9]*", operation.get("operationId", "")):
        yield "no operationId"
    if len(operation.get("tags", ())) != 1 or operation["tags"][0] not in {
        "generation",
        "tasks",
        "files",
        "account",
    }:
        yield "not exactly one known tag"
    if not operation.get("summary"):
        yield "no summary"
    role = operation.get("x-polyreel-role")
    if operation.get("x-polyreel-read-only") is True:
        if role is not None:
            yield "a role of a call that is never made"
    elif role not in ROLES:
        yield "no known role"


PAID: Final = (
    "x-polyreel-role: create, x-polyreel-idempotency: {mode: none, source: s},"
    " x-polyreel-not-accepted: [400]"
)


@operation_law(
    "{x-polyreel-role: create}",
    f"{{{PAID.replace('none', 'maybe')}}}",
    f"{{{PAID.replace('none', 'replay')}}}",
    f"{{{PAID.replace('none', 'own-id')}}}",
    f"{{{PAID.replace('none', 'none, place: a')}}}",
    f"{{{PAID.replace('source: s', 'note: s')}}}",
    f"{{{PAID.replace('[400]', '[]')}}}",
    f"{{{PAID.replace('[400]', '[400, 500]')}}}",
    f"{{{PAID.replace('[400]', '[408]')}}}",
    f"{{{PAID.replace('create', 'stream').replace('[400]', '[503]')}}}",
    f"{{{PAID}, x-polyreel-not-accepted-codes: {{'200': [a]}}}}",
    f"{{{PAID}, x-polyreel-not-accepted-codes: {{'503': []}}}}",
    f"{{{PAID}, x-polyreel-not-accepted-codes: {{'503': a}}}}",
    f"{{{PAID}, x-polyreel-not-accepted-codes: {{503: [a]}}}}",
)
def billing_left_open(_: Contract, operation: JsonObject) -> Complaints:
    """A paid call says whether a repeat pays again, and which statuses prove that nothing was
    accepted.
    """
    if operation.get("x-polyreel-role") not in {"create", "stream"}:
        return
    idempotency = operation.get("x-polyreel-idempotency", {})
    mode = idempotency.get("mode")
    if mode not in {"none", "replay", "reject", "own-id"} or not idempotency.get("source"):
        yield f"idempotency {idempotency}"
    if (mode == "own-id") != ("place" in idempotency):
        yield "an id of the caller's has a place, and nothing else has"
    if (mode in {"none", "own-id"}) == ("header" in idempotency):
        yield "a key has a header, no key has none"
    proof = operation.get("x-polyreel-not-accepted", [])
    if not proof or not set(proof) <= PROOF:
        yield f"{proof} does not prove non-acceptance"
    for status, codes in operation.get("x-polyreel-not-accepted-codes", {}).items():
        if not (isinstance(status, str) and re.fullmatch(r"[45]\d\d", status)):
            yield f"{status!r} is not the status of an error"
        if not (isinstance(codes, list) and codes and all(isinstance(one, str) for one in codes)):
            yield f"{codes} are not codes"


@operation_law(
    "{responses: {4XX: {}}}", "{responses: {200: {}}}", "{responses: {default: {}}}", "{summary: s}"
)
def status_range(_: Contract, operation: JsonObject) -> Complaints:
    """Every reply is documented under one HTTP status, quoted."""
    if not operation.get("responses"):
        yield "no responses"
    for status in operation.get("responses", {}):
        if not isinstance(status, str) or not re.fullmatch(r"[1-5]\d\d", status):
            yield f"{status!r}"


def _answering(status: int, media: str, more: str = "") -> str:
    return (
        f"{{responses: {{'{status}': {{content: {{application/json: {{schema:"
        f" {{}}{media}}}}}}}}}{more}}}"
    )


@operation_law(_answering(400, ""), _answering(500, ", examples: {}"))
def error_without_example(reader: Contract, operation: JsonObject) -> Complaints:
    """The simulator and the conformance kit answer with documented bodies; no content means an
    empty one.
    """
    for status, reply in operation["responses"].items():
        content = reader.resolve(reply).get("content", {})
        if (
            int(status) >= 400
            and content
            and not any(media.get("examples") for media in content.values())
        ):
            yield status


@operation_law(
    _answering(202, ", examples: {accepted: {value: 1}}", ", x-polyreel-role: create"),
    _answering(200, ", examples: {queued: {}, running: {}, failed: {}}", ", x-polyreel-role: get"),
    _answering(200, "", ", x-polyreel-role: list"),
    "{x-polyreel-role: get, responses: {'200': {description: nothing}}}",
)
def state_without_example(reader: Contract, operation: JsonObject) -> Complaints:
    wanted = ROLES.get(operation.get("x-polyreel-role", ""), set())
    replies = [
        reader.resolve(reply)
        for status, reply in operation["responses"].items()
        if status.startswith("2")
    ]
    bodies = [reply.get("content", {}).get("application/json", {}) for reply in replies]
    if wanted and not bodies:
        yield "no success"
    # A vendor may show some states with one status, and others with another.
    shown = {name for body in bodies for name in body.get("examples", {})}
    yield from (f"no example {name}" for name in sorted(wanted - shown) if bodies)


def _replying(schema: str) -> str:
    return (
        "paths: {/x: {get: {responses: {'200': {content: {a/b: {schema:"
        f" {schema}}}}}}}}}}}}}}}"
    )


@law(
    _replying("{properties: {status: {type: string, enum: [a]}}}"),
    _replying("{properties: {status: {type: string, const: a}}}"),
    _replying("{properties: {status: {anyOf: [{type: string, enum: [a]}, {type: 'null'}]}}}"),
    _replying("{items: {$ref: '#/components/schemas/A'}}")
    + "\ncomponents: {schemas: {A: {properties: "
    "{status: {$ref: '#/components/schemas/S'}}}, S: {enum: [a]}}}",
    _replying("{type: string, x-polyreel-event: '#/components/schemas/A'}")
    + "\ncomponents: {schemas: {A: {properties: {status: {enum: [a]}}}}}",
    "webhooks: {w: {post: {requestBody: {content: {a/b: {schema: {properties: {status: {enum:"
    " [a]}}}}}}}}}",
)
def closed_status_word(source: str) -> Complaints:
    """A new status word must never lose a paid task id."""
    reader = Contract(parse(source))
    for at, schema in received(reader.document):
        word = reader.resolve(schema.get("properties", {}).get("status")) or {}
        choices = [word, *word.get("anyOf", ()), *word.get("oneOf", ())]
        if any("enum" in choice or "const" in choice for choice in map(reader.resolve, choices)):
            yield at


@law(
    "paths: {/x: {post: {requestBody: {content: {a/json: {schema: {type: string}, examples: {a:"
    " {value: 1}}}}}}}}",
    "paths: {/x: {post: {callbacks: {c: {u: {post: {requestBody: {content: {a/json: "
    "{schema: {required: [a]}, examples: {a: {value: {}}}}}}}}}}}}}",
    "components: {responses: {R: {content: {a/json: {schema: {enum: [a]}, examples: {a: {value:"
    " b}}}}}}}",
    "components: {schemas: {A: {type: integer, default: x}}}",
    "components: {schemas: {A: {type: integer, maximum: 3, examples: [4]}}}",
)
def example_that_does_not_fit(source: str) -> Complaints:
    """Every example and default, of callbacks and parameters too, has the shape that it
    illustrates.
    """
    reader = Contract(parse(source))
    cases = [
        (f"{at} {name}", node["schema"], reader.resolve(example)["value"])
        for at, node in nodes(reader.document)
        if "schema" in node
        for name, example in node.get("examples", {}).items()
    ]
    for at, schema in schemas(reader.document):
        cases += [(at, schema, value) for value in schema.get("examples", ())]
        cases += [(at, schema, schema["default"])] if "default" in schema else []
    for at, schema, value in cases:
        yield from (f"{at}: {violation.message}" for violation in reader.fits(schema, value))
