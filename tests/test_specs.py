"""Every spec keeps the conventions that the generators, the lens and the simulator rely on.

A convention is a *law*: a small function that yields complaints about a spec, registered together with snippets that
must make it complain. So no law can pass because it looks at nothing.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import pytest
import yaml
from openapi_python_client.strings import snake_case
from openapi_spec_validator import OpenAPIV31SpecValidator
from polyreel.places import JsonObject, PlaceError
from polyreel.providers.base.contract import Contract, Operation
from polyreel.providers.base.schemas import SCHEMAS
from support.specs import (
    NAMES,
    SHARED,
    VENDORS,
    chosen,
    contract,
    json_body,
    nodes,
    operations,
    parse,
    received,
    schemas,
    text,
)

Complaints = Iterator[str]


class Law(NamedTuple):
    """A check of a spec's text, and texts that must break it."""

    check: Callable[[str], Complaints]
    broken: tuple[str, ...]


LAWS: Final[dict[str, Law]] = {}


def law(*broken: str) -> Callable[[Callable[[str], Complaints]], None]:
    """Register a check of a whole spec."""

    def register(check: Callable[[str], Complaints]) -> None:
        LAWS[check.__name__] = Law(check, broken)

    return register


def schema_law(*broken: str) -> Callable[[Callable[[JsonObject], Complaints]], None]:
    """Register a check of every single schema of a spec."""

    def register(check: Callable[[JsonObject], Complaints]) -> None:
        def everywhere(source: str) -> Complaints:
            return (
                f"{at}: {complaint}"
                for at, schema in schemas(parse(source))
                for complaint in check(schema)
            )

        LAWS[check.__name__] = Law(
            everywhere, tuple(f"components: {{schemas: {{Bad: {one}}}}}" for one in broken)
        )

    return register


def operation_law(*broken: str) -> Callable[[Callable[[Contract, JsonObject], Complaints]], None]:
    """Register a check of every operation of a spec."""

    def register(check: Callable[[Contract, JsonObject], Complaints]) -> None:
        def everywhere(source: str) -> Complaints:
            reader = Contract(parse(source))
            for at, operation in operations(reader.document):
                yield from (f"{at}: {complaint}" for complaint in check(reader, operation))

        LAWS[check.__name__] = Law(
            everywhere, tuple(f"paths: {{/x: {{post: {one}}}}}" for one in broken)
        )

    return register


# -- the file --------------------------------------------------------------------------------------


@law("openapi: 3.2.0", "openapi: 3.0.3", "openapi: 3.1")
def other_version(source: str) -> Complaints:
    version = parse(source)["openapi"]
    if not isinstance(version, str) or not re.fullmatch(r"3\.1\.\d+", version):
        yield f"OpenAPI {version}"


@law(
    "{openapi: 3.1.0, paths: {}}",
    "{openapi: 3.1.0, info: {title: t, version: '1'}, paths: {'/{id}': {get: {responses: {'200': {description: d}}}}}}",
)
def invalid_document(source: str) -> Complaints:
    return (error.message for error in OpenAPIV31SpecValidator(parse(source)).iter_errors())


@law(
    "ratio: 16:9",
    "switch: off",
    "switch: [yes]",
    "date: 2026-11-20",
    "'200': {200: {}}",
    "number: .nan",
)
def unquoted(source: str) -> Complaints:
    """YAML 1.1 and 1.2 agree, and on JSON's types only."""
    data = parse(source)
    if yaml.safe_load(source) != data:
        yield "YAML 1.1 reads it differently"
    yield from _not_json(data)


def _not_json(value: object) -> Complaints:
    if isinstance(value, dict):
        yield from (f"{key!r} is no string" for key in value if not isinstance(key, str))
        yield from (complaint for child in value.values() for complaint in _not_json(child))
    elif isinstance(value, list):
        yield from (complaint for child in value for complaint in _not_json(child))
    elif not isinstance(value, str | int | float | None):
        yield f"{value!r} is not JSON"


@law("{a: &x {b: 1}}", "[&x 1, *x]", "{a: {<<: {b: 1}}}")
def anchor(source: str) -> Complaints:
    for event in yaml.parse(source):
        if getattr(event, "anchor", None) or (
            isinstance(event, yaml.ScalarEvent) and event.value == "<<"
        ):
            yield f"anchor, alias or merge key {event.start_mark}"


@law(
    "components: {schemas: {A: {$ref: common.yaml#/A}}}",
    "components: {schemas: {A: {items: {$ref: '#/components/schemas/B'}}}}",
    "paths: {/x: {get: {responses: {'200': {$ref: '#/components/responses/None'}}}}}",
    "paths: {/x: {post: {requestBody: {content: {a/b: {schema: {discriminator: {mapping: {x: A}}}}}}}}}",
    "paths: {/x: {post: {requestBody: {content: {a/b: {schema: {x-polyreel-event: '#/components/schemas/E'}}}}}}}",
)
def reference_out_of_the_file(source: str) -> Complaints:
    document = parse(source)
    places = [*nodes(document), *schemas(document)]
    targets = [(at, node["$ref"]) for at, node in places if isinstance(node.get("$ref"), str)]
    targets += [(at, node["x-polyreel-event"]) for at, node in places if "x-polyreel-event" in node]
    for at, node in schemas(document):
        targets += [
            (at, target) for target in node.get("discriminator", {}).get("mapping", {}).values()
        ]
    for at, target in targets:
        if not target.startswith("#/"):
            yield f"{at}: {target} is outside"
            continue
        try:
            Contract(document).resolve({"$ref": target})
        except PlaceError:
            yield f"{at}: {target} does not exist"


@law("components: {schemas: {ClipO3: {}, Clip_O3: {}}}", "components: {schemas: {AB: {}, Ab: {}}}")
def clashing_names(source: str) -> Complaints:
    """Each schema becomes a module of its snake-cased name."""
    modules = Counter(
        snake_case(name) for name in parse(source).get("components", {}).get("schemas", {})
    )
    yield from (module for module, count in modules.items() if count > 1)


@law(
    "components: {schemas: {Error: {}}}",
    "components: {schemas: {lower_case: {}}}",
    "components: {schemas: {A-B: {}}}",
)
def clumsy_class_name(source: str) -> Complaints:
    for name in parse(source).get("components", {}).get("schemas", {}):
        if name == "Error" or not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name):
            yield f"a class called {name}"


# -- schemas: what the generators get wrong --------------------------------------------------------

SHADOWED: Final = {"d", "cls", "field_dict", "additional_properties", "to_dict", "from_dict"}


@schema_law(
    *(f"{{properties: {{{name}: {{type: string}}}}}}" for name in sorted(SHADOWED)),
    "{items: {allOf: [{properties: {toDict: {}}}]}}",
)
def shadowed_property(schema: JsonObject) -> Complaints:
    """The generated model has a variable or method of that name."""
    yield from (name for name in schema.get("properties", {}) if snake_case(name) in SHADOWED)


@schema_law(
    "{const: true}", "{if: {properties: {a: {const: 1}}}}", "{properties: {a: {const: word}}}"
)
def untyped_const(schema: JsonObject) -> Complaints:
    if "const" in schema and "type" not in schema:
        yield f"const {schema['const']!r} without a type"


@schema_law("{enum: [1, a]}", "{properties: {a: {enum: [true, 1]}}}", "{enum: [a, null]}")
def mixed_enum(schema: JsonObject) -> Complaints:
    """The whole schema, and every body that uses it, would be dropped."""
    if len({type(value) for value in schema.get("enum", ())}) > 1:
        yield f"enum {schema['enum']}"


@schema_law("{type: [string, 'null'], enum: [a, null]}", "{type: [string, 'null'], enum: [a]}")
def nullable_enum(schema: JsonObject) -> Complaints:
    if isinstance(schema.get("type"), list) and "enum" in schema:
        yield "a type list beside an enum: write anyOf with null"


@schema_law("{properties: {a: {$ref: '#/components/schemas/Bad', default: x}}}")
def default_beside_reference(schema: JsonObject) -> Complaints:
    if "$ref" in schema and "default" in schema:
        yield "the default would be lost"


@schema_law("{type: number, multipleOf: 0.1}", "{items: {multipleOf: 2}}")
def multiple_of(schema: JsonObject) -> Complaints:
    if "multipleOf" in schema:
        yield "validators disagree on multipleOf"


@schema_law("{properties: {a: true}}", "{then: {properties: {a: false}}}")
def boolean_property(schema: JsonObject) -> Complaints:
    yield from (
        name for name, child in schema.get("properties", {}).items() if isinstance(child, bool)
    )


@schema_law("{additionalProperties: false}", "{properties: {a: {unevaluatedProperties: false}}}")
def closed_object(schema: JsonObject) -> Complaints:
    """Vendors add fields without notice; polyreel closes request schemas itself before it sends."""
    if schema.get("additionalProperties") is False or schema.get("unevaluatedProperties") is False:
        yield "an object closed for good"


@schema_law(
    "{properties: {a: {}}, x-polyreel-send-required: [b]}",
    "{properties: {a: {x-polyreel-accept-only: why}}, x-polyreel-send-required: [a]}",
    "{properties: {a: {x-polyreel-accept-only: why}}, required: [a]}",
    "{x-polyreel-send-required: a}",
)
def unsendable_requirement(schema: JsonObject) -> Complaints:
    """What must be sent is declared, and is not something that is only accepted."""
    declared = schema.get("properties", {})
    names = schema.get("x-polyreel-send-required", [])
    if not isinstance(names, list):
        yield "x-polyreel-send-required is a list of names"
        return
    yield from (f"{name} is not declared" for name in names if name not in declared)
    for name in [*names, *schema.get("required", ())]:
        if "x-polyreel-accept-only" in declared.get(name, {}):
            yield f"{name} is required and never sent"


# -- x-polyreel-rules ------------------------------------------------------------------------------

RULE_FORMS: Final = (
    {"at_most", "of", "source"},
    {"at_most", "of", "when", "source"},
    {"total", "equals", "source"},
    {"total", "equals", "default", "source"},
    {"public_https", "source"},
)
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
            "{at_most: 1, of: /a, source: s}",
            "{at_most: 1, of: [/b], source: s}",
            "{at_most: 1, of: [/a], when: [/b], source: s}",
            "{total: /a/s, equals: /n, source: s}",
            "{total: /a/*/t, equals: /n, source: s}",
            "{total: /a/*/s, equals: /m, source: s}",
            "{public_https: url, source: s}",
        )
    )
)
def wrong_rule(source: str) -> Complaints:
    """A rule has one of the four forms, says where it comes from, and points at declared properties."""
    reader = Contract(parse(source))
    for at, schema in schemas(reader.document):
        for rule in schema.get("x-polyreel-rules", ()):
            yield from (f"{at}: {complaint}" for complaint in _about_rule(reader, schema, rule))


def _about_rule(reader: Contract, schema: JsonObject, rule: JsonObject) -> Complaints:
    if set(rule) not in RULE_FORMS or not isinstance(rule["source"], str) or not rule["source"]:
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
        *(rule[key] for key in ("total", "equals", "public_https") if key in rule),
    ]:
        if not _declared(reader, schema, pointer):
            yield f"{pointer} is not declared"


def _declared(reader: Contract, schema: JsonObject, pointer: str) -> bool:
    start, *parts = pointer.split("/")
    node: Any = schema
    for part in parts:
        node = reader.resolve(node)
        node = node.get("items") if part == "*" else node.get("properties", {}).get(part)
        if node is None:
            return False
    return start == "" and bool(parts)


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


# -- operations ------------------------------------------------------------------------------------

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
    "content": set(),
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
    if operation.get("x-polyreel-role") not in ROLES:
        yield "no known role"


PAID: Final = "x-polyreel-role: create, x-polyreel-idempotency: {mode: none, source: s}, x-polyreel-not-accepted: [400]"


@operation_law(
    "{x-polyreel-role: create}",
    f"{{{PAID.replace('none', 'maybe')}}}",
    f"{{{PAID.replace('none', 'replay')}}}",
    f"{{{PAID.replace('source: s', 'note: s')}}}",
    f"{{{PAID.replace('[400]', '[]')}}}",
    f"{{{PAID.replace('[400]', '[400, 500]')}}}",
    f"{{{PAID.replace('[400]', '[408]')}}}",
    f"{{{PAID.replace('create', 'stream').replace('[400]', '[503]')}}}",
)
def billing_left_open(_: Contract, operation: JsonObject) -> Complaints:
    """A paid call says whether a repeat pays again, and which statuses prove that nothing was accepted."""
    if operation["x-polyreel-role"] not in {"create", "stream"}:
        return
    idempotency = operation.get("x-polyreel-idempotency", {})
    if idempotency.get("mode") not in {"none", "replay", "reject"} or not idempotency.get("source"):
        yield f"idempotency {idempotency}"
    if (idempotency.get("mode") == "none") == ("header" in idempotency):
        yield "a key has a header, no key has none"
    proof = operation.get("x-polyreel-not-accepted", [])
    if not proof or not set(proof) <= PROOF:
        yield f"{proof} does not prove non-acceptance"


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
    return f"{{responses: {{'{status}': {{content: {{application/json: {{schema: {{}}{media}}}}}}}}}{more}}}"


@operation_law(_answering(400, ""), _answering(500, ", examples: {}"))
def error_without_example(reader: Contract, operation: JsonObject) -> Complaints:
    """The simulator and the conformance kit answer with documented bodies; no content means an empty one."""
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
    wanted = ROLES[operation["x-polyreel-role"]]
    replies = [
        reader.resolve(reply)
        for status, reply in operation["responses"].items()
        if status.startswith("2")
    ]
    bodies = [reply.get("content", {}).get("application/json", {}) for reply in replies]
    if wanted and not bodies:
        yield "no success"
    yield from (
        f"no example {name}"
        for body in bodies
        for name in sorted(wanted - body.get("examples", {}).keys())
    )


def _replying(schema: str) -> str:
    return f"paths: {{/x: {{get: {{responses: {{'200': {{content: {{a/b: {{schema: {schema}}}}}}}}}}}}}}}"


@law(
    _replying("{properties: {status: {type: string, enum: [a]}}}"),
    _replying("{properties: {status: {type: string, const: a}}}"),
    _replying("{properties: {status: {anyOf: [{type: string, enum: [a]}, {type: 'null'}]}}}"),
    _replying("{items: {$ref: '#/components/schemas/A'}}")
    + "\ncomponents: {schemas: {A: {properties: "
    "{status: {$ref: '#/components/schemas/S'}}}, S: {enum: [a]}}}",
    _replying("{type: string, x-polyreel-event: '#/components/schemas/A'}")
    + "\ncomponents: {schemas: {A: {properties: {status: {enum: [a]}}}}}",
    "webhooks: {w: {post: {requestBody: {content: {a/b: {schema: {properties: {status: {enum: [a]}}}}}}}}}",
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
    "paths: {/x: {post: {requestBody: {content: {a/json: {schema: {type: string}, examples: {a: {value: 1}}}}}}}}",
    "paths: {/x: {post: {callbacks: {c: {u: {post: {requestBody: {content: {a/json: "
    "{schema: {required: [a]}, examples: {a: {value: {}}}}}}}}}}}}}",
    "components: {responses: {R: {content: {a/json: {schema: {enum: [a]}, examples: {a: {value: b}}}}}}}",
    "components: {schemas: {A: {type: integer, default: x}}}",
    "components: {schemas: {A: {type: integer, maximum: 3, examples: [4]}}}",
)
def example_that_does_not_fit(source: str) -> Complaints:
    """Every example and default, of callbacks and parameters too, has the shape that it illustrates."""
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
        yield from (f"{at}: {breach.message}" for breach in reader.fits(schema, value))


VENDORS_ONLY: Final = {"closed_object"}
CASES: Final = [
    pytest.param(name, kind, id=f"{name}-{kind}")
    for name in NAMES
    for kind in LAWS
    if name != SHARED or kind not in VENDORS_ONLY
]
BROKEN: Final = [
    pytest.param(kind, snippet, id=f"{kind}-{index}")
    for kind, (_, snippets) in LAWS.items()
    for index, snippet in enumerate(snippets)
]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_spec_keeps_the_law(name: str, kind: str) -> None:
    """No law has a complaint about any spec."""
    assert list(LAWS[kind].check(text(name))) == []


@pytest.mark.parametrize(("kind", "snippet"), BROKEN)
def test_law_can_be_broken(kind: str, snippet: str) -> None:
    """Each law complains about each of its bad snippets."""
    assert list(LAWS[kind].check(snippet))


NEAR_MISSES: Final = """
openapi: 3.1.1
info: {title: t, version: "2026-11-20"}
paths:
  /x:
    post:
      operationId: createX
      tags: [generation]
      summary: Make one.
      x-polyreel-role: create
      x-polyreel-idempotency: {mode: replay, header: Idempotency-Key, source: s}
      x-polyreel-not-accepted: [400, 429]
      requestBody:
        content:
          application/json:
            schema: {$ref: '#/components/schemas/Asked'}
            examples: {one: {value: {ratio: '16:9', parts: [{seconds: 3}], default: {$ref: elsewhere.yaml}}}}
      responses:
        '200':
          description: Yes, made.
          content:
            application/json:
              schema: {$ref: '#/components/schemas/Made'}
              examples: {queued: {value: {status: never seen, enum: 1, const: true}}}
        '429': {description: Empty.}
components:
  schemas:
    Asked:
      type: object
      additionalProperties: true
      required: [ratio]
      properties:
        ratio: {type: string, enum: ['16:9', '9:16'], default: '16:9'}
        parts: {type: array, items: {$ref: '#/components/schemas/Part'}}
        default: {}
        flag: {type: boolean, const: true}
        note: {anyOf: [{type: string, enum: [a]}, {type: 'null'}]}
      x-polyreel-send-required: [parts]
      x-polyreel-rules:
        - {total: /parts/*/seconds, equals: /ratio, source: s}
    Part: {type: object, properties: {seconds: {type: integer, examples: [3]}}}
    Made:
      type: object
      properties:
        status: {type: string, examples: [queued]}
        enum: {type: integer}
        const: {type: boolean}
"""


@pytest.mark.parametrize("kind", LAWS)
def test_law_tells_near_misses_apart(kind: str) -> None:
    """No law complains about a spec that comes close to its trap without falling into it."""
    assert list(LAWS[kind].check(NEAR_MISSES)) == []


# -- examples, through the reader that polyreel itself uses ----------------------------------------

OPERATIONS: Final = [
    pytest.param(contract(name), operation, id=f"{name}-{operation.id}")
    for name in VENDORS
    for operation in contract(name).operations.values()
]
each_operation = pytest.mark.parametrize(("reader", "operation"), OPERATIONS)


def test_every_vendor_can_create_and_read() -> None:
    """The tests below have something to look at."""
    for name in VENDORS:
        reader = contract(name)
        assert reader.operation("create"), name
        assert reader.operation("get"), name
        assert len(reader.operations) == len(list(operations(reader.document))), name


@each_operation
def test_request_examples_fit(reader: Contract, operation: Operation) -> None:
    """Each request example is a body of its operation and of the one workflow that it chooses, rules included."""
    media = json_body(operation)
    if media is None:
        return
    assert operation.request_examples
    for name, body in operation.request_examples.items():
        assert reader.fits(media["schema"], body) == [], name
        workflows = chosen(reader, operation, body)
        assert len(workflows) == 1, name
        assert reader.accepts(workflows[0], body) == [], name


@each_operation
def test_every_workflow_has_an_example(reader: Contract, operation: Operation) -> None:
    """Each request schema is chosen by an example, and by one that polyreel itself may send."""
    workflows = set(operation.request_schemas)
    examples = [
        (chosen(reader, operation, body)[0], body) for body in operation.request_examples.values()
    ]
    assert {name for name, _ in examples} == workflows
    assert {name for name, body in examples if not reader.sends(name, body)} == workflows
    assert workflows or operation.role not in {"create", "stream"}


@each_operation
def test_discriminator_names_every_workflow(reader: Contract, operation: Operation) -> None:
    """The mapping names each workflow once, by the constant that the workflow's own schema asks for."""
    discriminator = (json_body(operation) or {}).get("schema", {}).get("discriminator")
    if discriminator is None:
        return
    mapping = {
        word: target.removeprefix(SCHEMAS) for word, target in discriminator["mapping"].items()
    }
    assert sorted(mapping.values()) == sorted(operation.request_schemas)
    for word, name in mapping.items():
        choice = reader.property(name, discriminator["propertyName"])
        assert choice, name
        assert choice["const"] == word


@each_operation
def test_reply_examples_fit(reader: Contract, operation: Operation) -> None:
    """Each reply example has the shape that its status is documented with."""
    for status, content_type, name, value in reader.replies(operation):
        if content_type == "application/json":
            schema = reader.reply_schema(operation, status)
            assert schema, (status, name)
            assert reader.fits(schema, value) == [], (status, name)
        else:
            assert isinstance(value, str), (status, name)


@each_operation
def test_event_examples_fit(reader: Contract, operation: Operation) -> None:
    """Each `data:` line of a stream's example has the shape of the stream's events."""
    streams = [
        (status, name, value)
        for status, kind, name, value in reader.replies(operation)
        if "event" in kind
    ]
    for status, name, value in streams:
        reply = reader.resolve(operation.spec["responses"][str(status)])
        event = {"$ref": reply["content"]["text/event-stream"]["schema"]["x-polyreel-event"]}
        events = [
            json.loads(line.removeprefix("data:"))
            for line in value.splitlines()
            if line.startswith("data:")
        ]
        assert events, name
        assert [reader.fits(event, one) for one in events] == [[]] * len(events), name
    assert streams or operation.role != "stream"


@each_operation
def test_a_wrong_body_does_not_fit(reader: Contract, operation: Operation) -> None:
    """The two tests above can fail: a body that is no object fits no request and no reply."""
    for name in operation.request_schemas:
        assert reader.accepts(name, "text")
        assert reader.sends(name, {"x-unknown": 1})
    for status in map(int, operation.spec["responses"]):
        if schema := reader.reply_schema(operation, status):
            assert reader.fits(schema, "text"), status
